//! Batching of the three convolutions: a population axis, or members folded into the batch or the
//! channels, never one group for each member.
//!
//! `Q` is the members' axis, `P` a population axis that is there already, `N` the batch; channels
//! fold within their group, as `[group, member, channel]`. A population of first operands alone
//! is folded into `N` first where the operation keeps `N` (the forward convolution and the input
//! gradient), so only the rows without it remain.
//!
//! | first operand | second operand | `y = convolution(x, w)` | `dx = input_gradient(dy, w)` |
//! |---|---|---|---|
//! | `Q N` | shared | `Q` into `N` | `Q` into `N` |
//! | `N` | `Q` | population `Q` | population `Q` |
//! | `Q N` | `Q` | population `Q` | population `Q` |
//! | `Q N` | `P` | `Q` into `N` | `Q` into `N` |
//! | `N` | `Q P` | population `Q P` | population `Q P` |
//! | `Q N` | `Q P` | population `Q`, `P` into output channels | population `Q`, `P` into input channels |
//! | `Q P N` | `P` | `Q` into `N` | `Q` into `N` |
//! | `P N` | `Q P` | population `P`, `Q` into output channels | population `P`, `Q` into input channels |
//! | `Q P N` | `Q P` | population `Q P` | population `Q P` |
//!
//! | `x` | `dy` | `dw = weight_gradient(x, dy)` |
//! |---|---|---|
//! | `Q` and none, none and `Q`, `Q` and `Q` | | population `Q` |
//! | `Q P` | shared | population `Q P` |
//! | `P` | `Q` | population `P`, `Q` into output channels |
//! | `Q P` | `Q` | population `Q`, `P` into input channels |
//! | `Q` | `P` | population `P`, `Q` into input channels |
//! | shared | `Q P` | population `Q P` |
//! | `Q` | `Q P` | population `Q`, `P` into output channels |
//! | `Q P` | `P` | population `P`, `Q` into input channels |
//! | `P` | `Q P` | population `P`, `Q` into output channels |
//! | `Q P` | `Q P` | population `Q P` |

use crate::vmap::{Rule, Slot};
use thalweg_graph::{ConvolutionWindow, Op, Tensor};

/// Which of the two axes in front an operand carries: members, population.
#[derive(Clone, Copy, PartialEq)]
struct Axes {
    members: bool,
    population: bool,
}

/// Which kind of channels members fold into.
#[derive(Clone, Copy)]
enum Fold {
    /// The output channels of `w`, `y` and `dw`: the last axis, by groups.
    Output,
    /// The input channels of `w` and `dw`, which are one group's: the last axis but one.
    KernelInput,
    /// The channels of `x` and `dx`: the last axis, by groups.
    Input,
}

impl Fold {
    /// The window of an operation whose channels hold so many members more.
    fn window(self, window: ConvolutionWindow, members: usize) -> ConvolutionWindow {
        let [input, output] = window.folded;
        let folded = match self {
            Fold::Output => [input, output * members],
            Fold::KernelInput | Fold::Input => [input * members, output],
        };
        ConvolutionWindow { folded, ..window }
    }

    fn axis(self, rank: usize) -> usize {
        match self {
            Fold::Output | Fold::Input => rank - 1,
            Fold::KernelInput => rank - 2,
        }
    }

    /// Groups along the axis: a kernel's input channels are those of one group.
    fn groups(self, groups: usize) -> usize {
        match self {
            Fold::Output | Fold::Input => groups,
            Fold::KernelInput => 1,
        }
    }
}

/// Takes axis `from` into the channels of each group, in front of the group's own.
fn fold(tensor: Tensor<'_>, from: usize, into: Fold, groups: usize) -> Tensor<'_> {
    let shape = tensor.shape();
    let groups = into.groups(groups);
    let channels = into.axis(shape.len());
    let (members, per_group) = (shape[from], shape[channels] / groups);
    let split = [&shape[..channels], &[groups, per_group], &shape[channels + 1..]].concat();
    // Once `from` has left, the group stands one place earlier and the member goes behind it.
    let moved = tensor.reshape(&split).move_axis(from, channels);
    let mut merged = shape;
    merged[channels] = groups * members * per_group;
    merged.remove(from);
    moved.reshape(&merged)
}

/// Takes `members` out of the channels of each group to axis `to`: undoes [`fold`].
fn unfold(tensor: Tensor<'_>, members: usize, to: usize, from: Fold, groups: usize) -> Tensor<'_> {
    let shape = tensor.shape();
    let groups = from.groups(groups);
    let channels = from.axis(shape.len());
    let per_group = shape[channels] / groups / members.max(1);
    let split =
        [&shape[..channels], &[groups, members, per_group], &shape[channels + 1..]].concat();
    let moved = tensor.reshape(&split).move_axis(channels + 1, to);
    let mut apart = shape;
    apart[channels] = groups * per_group;
    apart.insert(to, members);
    moved.reshape(&apart)
}

/// Two neighbouring axes made one.
fn merge(tensor: Tensor<'_>, axis: usize) -> Tensor<'_> {
    let mut shape = tensor.shape();
    let second = shape.remove(axis + 1);
    shape[axis] *= second;
    tensor.reshape(&shape)
}

/// One axis made two, the first of extent `first`.
fn split(tensor: Tensor<'_>, axis: usize, first: usize, second: usize) -> Tensor<'_> {
    let mut shape = tensor.shape();
    shape[axis] = first;
    shape.insert(axis + 1, second);
    tensor.reshape(&shape)
}

/// What differs between the three operations.
#[derive(Clone, Copy)]
struct Kind {
    /// Where members of the second operand alone go, in it and in the result.
    second: (Fold, Fold),
    /// The operation with the population flags set.
    op: fn(ConvolutionWindow, [usize; 2]) -> Op,
}

pub(super) fn forward<'b>(
    rule: &Rule<'_, 'b>,
    x: Slot<'b>,
    w: Slot<'b>,
    window: ConvolutionWindow,
) -> Tensor<'b> {
    let kind =
        Kind { second: (Fold::Output, Fold::Output), op: |window, _| Op::Convolution(window) };
    keeps_batch(rule, kind, x, w, window, [0, 0])
}

pub(super) fn input_gradient<'b>(
    rule: &Rule<'_, 'b>,
    dy: Slot<'b>,
    w: Slot<'b>,
    window: ConvolutionWindow,
    input: [usize; 2],
) -> Tensor<'b> {
    let kind = Kind {
        second: (Fold::KernelInput, Fold::Input),
        op: |window, input| Op::ConvolutionInputGradient { window, input },
    };
    keeps_batch(rule, kind, dy, w, window, input)
}

/// The first table.
fn keeps_batch<'b>(
    rule: &Rule<'_, 'b>,
    kind: Kind,
    first: Slot<'b>,
    second: Slot<'b>,
    window: ConvolutionWindow,
    extents: [usize; 2],
) -> Tensor<'b> {
    let emit_in = |window, lhs: (Tensor<'b>, bool), rhs: (Tensor<'b>, bool)| {
        let window = ConvolutionWindow { lhs_population: lhs.1, rhs_population: rhs.1, ..window };
        rule.emit_one((kind.op)(window, extents), &[lhs.0, rhs.0])
    };
    let emit = |lhs, rhs| emit_in(window, lhs, rhs);
    let (size, groups) = (rule.size, window.groups);
    let (x, w) = (first.tensor, second.tensor);
    let left = Axes { members: first.batched, population: window.lhs_population };
    let right = Axes { members: second.batched, population: window.rhs_population };
    if left.population && !right.population {
        let at = usize::from(left.members);
        let (population, batch) = (x.shape()[at], x.shape()[at + 1]);
        let folded = Slot { tensor: merge(x, at), ..first };
        let plain = ConvolutionWindow { lhs_population: false, ..window };
        let result = keeps_batch(rule, kind, folded, second, plain, extents);
        return split(result, 1, population, batch);
    }
    match (left.members, right.members, left.population, right.population) {
        (true, false, false, population) => {
            let batch = x.shape()[1];
            let result = emit((merge(x, 0), false), (w, population));
            let at = usize::from(population);
            split(result, at, size, batch).move_axis(at, 0)
        }
        (false, true, false, false) => emit((x, false), (w, true)),
        (true, true, false, false) => emit((x, true), (w, true)),
        (false, true, false, true) => {
            let population = w.shape()[1];
            split(emit((x, false), (merge(w, 0), true)), 0, size, population)
        }
        (true, true, false, true) => {
            let population = w.shape()[1];
            let folded = fold(w, 1, kind.second.0, groups);
            let window = kind.second.0.window(window, population);
            let result = emit_in(window, (x, true), (folded, true));
            unfold(result, population, 1, kind.second.1, groups)
        }
        (true, false, true, _) => {
            let batch = x.shape()[2];
            let folded = merge(x.move_axis(0, 1), 1);
            split(emit((folded, true), (w, true)), 1, size, batch).move_axis(1, 0)
        }
        (false, true, true, _) => {
            let folded = fold(w, 0, kind.second.0, groups);
            let window = kind.second.0.window(window, size);
            let result = emit_in(window, (x, true), (folded, true));
            unfold(result, size, 0, kind.second.1, groups)
        }
        (true, true, true, _) => {
            let population = x.shape()[1];
            split(emit((merge(x, 0), true), (merge(w, 0), true)), 0, size, population)
        }
        (false, false, ..) => unreachable!("an operand is batched"),
    }
}

/// The second table.
pub(super) fn weight_gradient<'b>(
    rule: &Rule<'_, 'b>,
    first: Slot<'b>,
    second: Slot<'b>,
    window: ConvolutionWindow,
    kernel: [usize; 2],
) -> Tensor<'b> {
    let emit_in = |window, lhs: (Tensor<'b>, bool), rhs: (Tensor<'b>, bool)| {
        let window = ConvolutionWindow { lhs_population: lhs.1, rhs_population: rhs.1, ..window };
        let op = Op::ConvolutionWeightGradient { window, kernel };
        rule.emit_one(op, &[lhs.0, rhs.0])
    };
    let emit = |lhs, rhs| emit_in(window, lhs, rhs);
    let (size, groups) = (rule.size, window.groups);
    let (x, dy) = (first.tensor, second.tensor);
    let left = Axes { members: first.batched, population: window.lhs_population };
    let right = Axes { members: second.batched, population: window.rhs_population };
    match (left.members, right.members, left.population, right.population) {
        (_, _, false, false) => emit((x, left.members), (dy, right.members)),
        // Both axes on the operands that have any: one longer population.
        (true, false, true, false) | (false, true, false, true) | (true, true, true, true) => {
            let merged = |tensor: Tensor<'b>, axes: Axes| {
                if axes.members { (merge(tensor, 0), true) } else { (tensor, false) }
            };
            let population = if left.members { x.shape()[1] } else { dy.shape()[1] };
            split(emit(merged(x, left), merged(dy, right)), 0, size, population)
        }
        // Members of `dy` alone beside a population of `x`.
        (false, true, true, population) => {
            let folded = fold(dy, 0, Fold::Output, groups);
            let window = Fold::Output.window(window, size);
            let result = emit_in(window, (x, true), (folded, population));
            unfold(result, size, 0, Fold::Output, groups)
        }
        // Members of `x` alone beside a population of `dy`.
        (true, false, population, true) => {
            let folded = fold(x, 0, Fold::Input, groups);
            let window = Fold::Input.window(window, size);
            let result = emit_in(window, (folded, population), (dy, true));
            unfold(result, size, 0, Fold::KernelInput, groups)
        }
        (true, true, true, false) => {
            let population = x.shape()[1];
            let folded = fold(x, 1, Fold::Input, groups);
            let window = Fold::Input.window(window, population);
            let result = emit_in(window, (folded, true), (dy, true));
            unfold(result, population, 1, Fold::KernelInput, groups)
        }
        (true, true, false, true) => {
            let population = dy.shape()[1];
            let folded = fold(dy, 1, Fold::Output, groups);
            let window = Fold::Output.window(window, population);
            let result = emit_in(window, (x, true), (folded, true));
            unfold(result, population, 1, Fold::Output, groups)
        }
        (false, false, ..) => unreachable!("an operand is batched"),
    }
}
