//! Convolutions: where the batch axis goes.
//!
//! The three convolutions take one population axis, on either operand or on both, and a batch must
//! never become groups of channels: every implementation is slow there. There is the batch axis `Q`
//! and maybe the population axis `P` that is there already, and each is on the left operand, on the
//! right one, or on both.
//!
//! 1. Axes on both operands are the population, merged if there are two.
//! 2. If there is none, an axis on one operand is the population: in the forward pass and the input
//!    gradient those on the weights (both merged, if both are), in the weight gradient `P` where
//!    there is one (with `Q` merged, if it is on the same operand), else `Q`.
//! 3. Every other axis is on one operand alone, and folds into an axis that this operand shares with
//!    the result and not with the other one:
//!
//! | operation | on the left only | on the right only |
//! |---|---|---|
//! | `convolution(x, w)` | images of `x`, of `y` | output channels of `w`, of `y` |
//! | `input_gradient(dy, w)` | images of `dy`, of `dx` | input channels of `w`, of `dx` |
//! | `weight_gradient(x, dy)` | input channels of `x`, of `dw` | output channels of `dy`, of `dw` |
//!
//! Images are `(axis, image)`; channels are `(group, axis, channel)`, so that groups stay what they
//! are. In the forward pass this comes to:
//!
//! | batched | no `P` | `P` on `x` | `P` on `w` | `P` on both |
//! |---|---|---|---|---|
//! | `x` | `Q` images | `Q P` images | `Q` images, `P` population of `w` | `Q` images, `P` population |
//! | `w` | `Q` population of `w` | `P` images, `Q` population of `w` | `Q P` population of `w` | `Q` channels, `P` population |
//! | both | `Q` population | `P` images, `Q` population | `P` channels, `Q` population | `Q P` population |

use super::Item;
use super::rule::Rule;
use thalweg_graph::{ConvolutionWindow, Op, Tensor};

/// Which of the three.
pub(super) enum Contraction {
    Forward(ConvolutionWindow),
    InputGradient { window: ConvolutionWindow, input: [usize; 2] },
    WeightGradient { window: ConvolutionWindow, kernel: [usize; 2] },
}

/// An axis of a tensor without population into which others fold, as `(group, folded.., rest)`.
#[derive(Clone, Copy)]
struct Fold {
    axis: usize,
    groups: usize,
}

const IMAGES: Fold = Fold { axis: 0, groups: 1 };

impl Contraction {
    fn window(&self) -> ConvolutionWindow {
        match self {
            Contraction::Forward(window)
            | Contraction::InputGradient { window, .. }
            | Contraction::WeightGradient { window, .. } => *window,
        }
    }

    fn op(&self, window: ConvolutionWindow) -> Op {
        match *self {
            Contraction::Forward(_) => Op::Convolution(window),
            Contraction::InputGradient { input, .. } => {
                Op::ConvolutionInputGradient { window, input }
            }
            Contraction::WeightGradient { kernel, .. } => {
                Op::ConvolutionWeightGradient { window, kernel }
            }
        }
    }

    /// The last table above: for each operand, where its own axes fold in it and in the result.
    fn folds(&self) -> [(Fold, Fold); 2] {
        let channels = Fold { axis: 3, groups: self.window().groups };
        // A kernel has the input channels of one group.
        let kernel_inputs = Fold { axis: 2, groups: 1 };
        match self {
            Contraction::Forward(_) => [(IMAGES, IMAGES), (channels, channels)],
            Contraction::InputGradient { .. } => [(IMAGES, IMAGES), (kernel_inputs, channels)],
            Contraction::WeightGradient { .. } => {
                [(channels, kernel_inputs), (channels, channels)]
            }
        }
    }
}

/// The batch or the population axis: its extent, and which operands have it.
#[derive(Clone, Copy)]
struct Extra {
    extent: usize,
    on: [bool; 2],
}

impl Extra {
    fn is_on_both(self) -> bool {
        self.on == [true; 2]
    }
}

pub(super) fn rule<'b>(rule: &Rule<'b, '_>, pass: &Contraction, operands: &[Item<'b>]) -> Tensor<'b> {
    let window = pass.window();
    let population = [window.lhs_population, window.rhs_population];
    let mut extras = vec![Extra { extent: rule.size, on: [operands[0].batched, operands[1].batched] }];
    if let Some(side) = population.iter().position(|&has| has) {
        extras.push(Extra { extent: operands[side].shape()[0], on: population });
    }
    let kept = population_axes(pass, &extras);
    let axes_on = |side: usize, in_population: bool| -> Vec<usize> {
        let on = |&i: &usize| extras[i].on[side] && kept[i] == in_population;
        (0..extras.len()).filter(on).collect()
    };
    let [lhs_folds, rhs_folds] = pass.folds();
    let [lhs, rhs] = [(0, lhs_folds), (1, rhs_folds)].map(|(side, (fold, _))| {
        let base = &operands[side].shape()[usize::from(population[side])..];
        let folds = [(fold, axes_on(side, false))];
        Layout::new(&extras, &axes_on(side, true), &folds, base).fold(operands[side].tensor)
    });
    let [lhs_population, rhs_population] = [0, 1].map(|side| !axes_on(side, true).is_empty());
    let window = ConvolutionWindow { lhs_population, rhs_population, ..window };
    let result = rule.emit_one(pass.op(window), &[lhs, rhs]);
    let folds = [(lhs_folds.1, axes_on(0, false)), (rhs_folds.1, axes_on(1, false))];
    let all_kept: Vec<usize> = (0..extras.len()).filter(|&i| kept[i]).collect();
    let base = &rule.types[0].shape[usize::from(population.contains(&true))..];
    Layout::new(&extras, &all_kept, &folds, base).unfold(result)
}

/// Which of the axes make up the population; the others fold.
fn population_axes(pass: &Contraction, extras: &[Extra]) -> Vec<bool> {
    if extras.iter().any(|extra| extra.is_on_both()) {
        return extras.iter().map(|extra| extra.is_on_both()).collect();
    }
    let side = match pass {
        Contraction::Forward(_) | Contraction::InputGradient { .. } => [false, true],
        Contraction::WeightGradient { .. } => extras[extras.len() - 1].on,
    };
    extras.iter().map(|extra| extra.on == side).collect()
}

/// A part of an axis. In the order of the variants' values: the batch axis, the population axis,
/// then each of the four others, split at its groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Extra(usize),
    Group(usize),
    Rest(usize),
}

impl Part {
    /// The position with all extra axes first, then the four others.
    fn order(self) -> (usize, usize, usize) {
        match self {
            Part::Extra(i) => (0, i, 0),
            Part::Group(axis) => (1, axis, 0),
            Part::Rest(axis) => (1, axis, 1),
        }
    }
}

/// The axes of an operand or a result of the operation, each a list of parts with their extents.
struct Layout {
    axes: Vec<Vec<(Part, usize)>>,
    /// The shape with the extra axes first and nothing folded.
    apart: Vec<usize>,
}

impl Layout {
    fn new(
        extras: &[Extra],
        kept: &[usize],
        folds: &[(Fold, Vec<usize>)],
        base: &[usize],
    ) -> Layout {
        let extra = |i: usize| (Part::Extra(i), extras[i].extent);
        let population: Vec<_> = kept.iter().copied().map(extra).collect();
        let mut outer = population.clone();
        let mut axes = Vec::new();
        if !population.is_empty() {
            axes.push(population);
        }
        for (axis, &extent) in base.iter().enumerate() {
            let mut parts = Vec::new();
            let mut groups = 1;
            for (fold, folded) in folds.iter().filter(|(fold, _)| fold.axis == axis) {
                if !folded.is_empty() {
                    groups = fold.groups;
                    parts.push((Part::Group(axis), groups));
                    parts.extend(folded.iter().copied().map(extra));
                    outer.extend(folded.iter().copied().map(extra));
                }
            }
            parts.push((Part::Rest(axis), extent / groups));
            axes.push(parts);
        }
        outer.sort_by_key(|(part, _)| *part);
        let apart = outer.iter().map(|&(_, extent)| extent).chain(base.iter().copied()).collect();
        Layout { axes, apart }
    }

    /// The parts in the order of the folded tensor, and their extents in plain order.
    fn parts(&self) -> (Vec<(Part, usize)>, Vec<(Part, usize)>) {
        let folded: Vec<_> = self.axes.concat();
        let mut plain = folded.clone();
        plain.sort_by_key(|(part, _)| part.order());
        (folded, plain)
    }

    /// From extra axes first to the layout.
    fn fold<'b>(&self, tensor: Tensor<'b>) -> Tensor<'b> {
        let (folded, plain) = self.parts();
        let split: Vec<usize> = plain.iter().map(|&(_, extent)| extent).collect();
        let merged: Vec<usize> =
            self.axes.iter().map(|parts| parts.iter().map(|&(_, extent)| extent).product()).collect();
        tensor.reshape(&split).transpose(&permutation(&plain, &folded)).reshape(&merged)
    }

    /// From the layout to extra axes first.
    fn unfold<'b>(&self, tensor: Tensor<'b>) -> Tensor<'b> {
        let (folded, plain) = self.parts();
        let split: Vec<usize> = folded.iter().map(|&(_, extent)| extent).collect();
        tensor.reshape(&split).transpose(&permutation(&folded, &plain)).reshape(&self.apart)
    }
}

/// The permutation that takes axes in the order `from` to the order `to`.
fn permutation(from: &[(Part, usize)], to: &[(Part, usize)]) -> Vec<usize> {
    let place = |part: Part| from.iter().position(|&(other, _)| other == part);
    to.iter().filter_map(|&(part, _)| place(part)).collect()
}
