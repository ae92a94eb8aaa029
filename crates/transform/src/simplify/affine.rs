//! Linear operations on affine points.
//!
//! The points of a surface are `w + a d + b e`: weights that all members share, and coordinates of
//! each member's own. Where the other operand is shared too, as the data are in a first layer,
//!
//! `op(x, w + a d + b e) = op(x, w) + a op(x, d) + b op(x, e)`
//!
//! and the products on the right are computed once for all members. Such a point is known by how
//! batching writes it: the members' axis comes first, what they share is a broadcast without that
//! axis, and what is a member's own and a single number is a broadcast of that axis alone.
//!
//! **When.** A product is distributed if an additional member costs less that way: it no longer
//! pays for multiplications, but reads as many results as there are terms. What this costs depends
//! on the number of terms and on how many products are summed in an element, and on nothing else:
//! the number of members and that of examples are chosen by memory, and bits would depend on it.
//! So the products that all members share are divided among [`MEMBERS`] of them, however many go
//! at once: a population no larger than the number of terms gains nothing or loses, at worst that
//! number of times its first layer.
//!
//! **Rounding.** Each term is rounded for itself, so that the error is relative to the largest of
//! them; that of the weights, where they are added up first, is too. A gather, linear in its table,
//! moves elements and keeps their bits.

use super::Rewriter;
use thalweg_graph::{Binary, ConvolutionWindow, DotAxes, GatherAxes, Op, Tensor, Unary};

/// Members that share the cost of what is computed once, for the estimate.
const MEMBERS: f64 = 32.0;
/// Multiply-adds that take as long as reading an element, in either float type: of matrix products,
/// whose results mostly stay in a cache; and of convolutions, whose results do not. Measured: a
/// plane through a dense layer of 8 inputs gains 1.1 to 1.7, through a convolution of 3x3x3 nothing.
const PRODUCT_BALANCE: f64 = 8.0;
const CONVOLUTION_BALANCE: f64 = 24.0;
/// Terms of a point at most.
const TERMS: usize = 16;

/// A linear operation on an affine point as a sum of operations on what its members share.
pub(super) fn rewrite<'b>(
    rewriter: &Rewriter<'b>,
    op: &Op,
    x: &[Tensor<'b>],
) -> Option<Tensor<'b>> {
    match op {
        Op::Dot(axes) => [0, 1]
            .into_iter()
            .find_map(|operand| Linear::dot(axes, x, operand)?.distribute(rewriter, op, x)),
        Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. } => {
            Linear::convolution(op, x)?.distribute(rewriter, op, x)
        }
        Op::Gather(axes) => Linear::gather(rewriter, *axes, x)?.distribute(rewriter, op, x),
        _ => None,
    }
}

/// A summand: coordinates of each member's own, times a value that they share.
struct Term<'b> {
    negative: bool,
    /// A number for each member `[member]`, or one for all of them `[]`.
    coordinates: Vec<Tensor<'b>>,
    /// Without the members' axis.
    shared: Tensor<'b>,
}

/// An operation as a linear function of one operand, whose first axis counts members.
struct Linear<'b> {
    /// Which operand that is.
    operand: usize,
    /// The operation on one member's, and its other operand.
    once: Op,
    other: Tensor<'b>,
    /// The members' axis of the result.
    members: usize,
    /// What an element of the result costs.
    cost: Cost,
}

enum Cost {
    /// Multiply-adds that take as long as reading so many elements.
    Products(f64),
    /// A move from a table of so many elements.
    Move(usize),
}

impl<'b> Linear<'b> {
    /// Of an operand whose first axis is neither summed nor matched with one of the other's.
    fn dot(axes: &DotAxes, x: &[Tensor<'b>], operand: usize) -> Option<Linear<'b>> {
        let mut once = axes.clone();
        let own = match operand {
            0 => [&mut once.lhs_batch, &mut once.lhs_contract],
            _ => [&mut once.rhs_batch, &mut once.rhs_contract],
        };
        for axis in own.into_iter().flatten() {
            *axis = axis.checked_sub(1)?;
        }
        let left = DotAxes::free(x[0].rank(), &axes.lhs_batch, &axes.lhs_contract).len();
        let shape = x[0].shape();
        let depth: usize = axes.lhs_contract.iter().map(|&axis| shape[axis]).product();
        Some(Linear {
            operand,
            once: Op::Dot(once),
            other: x[1 - operand],
            members: axes.lhs_batch.len() + operand * left,
            cost: Cost::Products(depth as f64 / PRODUCT_BALANCE),
        })
    }

    /// Of the only operand with a population.
    fn convolution(op: &Op, x: &[Tensor<'b>]) -> Option<Linear<'b>> {
        // The last four axes: of images `n, h, w, c`, of a kernel `h, w, in, out`.
        let shape = x[1].shape();
        let &[height, width, inner, outer] = shape.last_chunk()?;
        let (window, depth) = match op {
            Op::Convolution(window) => (window, height * width * inner),
            Op::ConvolutionInputGradient { window, .. } => {
                (window, height * width * (outer / window.groups.max(1)))
            }
            // Of examples and places: the second operand is the output's gradient.
            Op::ConvolutionWeightGradient { window, .. } => (window, height * width * inner),
            _ => return None,
        };
        let alone = ConvolutionWindow { lhs_population: false, rhs_population: false, ..*window };
        let mut once = op.clone();
        if let Op::Convolution(window)
        | Op::ConvolutionInputGradient { window, .. }
        | Op::ConvolutionWeightGradient { window, .. } = &mut once
        {
            *window = alone;
        }
        let operand = match (window.lhs_population, window.rhs_population) {
            (true, false) => 0,
            (false, true) => 1,
            _ => return None,
        };
        let other = x[1 - operand];
        let cost = Cost::Products(depth as f64 / CONVOLUTION_BALANCE);
        Some(Linear { operand, once, other, members: 0, cost })
    }

    /// Of the table, at places that are the same for all members.
    fn gather(rewriter: &Rewriter<'b>, axes: GatherAxes, x: &[Tensor<'b>]) -> Option<Linear<'b>> {
        let batch = axes.batch.checked_sub(1)?;
        let other = without_members(rewriter, x[1])?;
        let table = x[0].shape()[1..].iter().product();
        let once = Op::Gather(GatherAxes { batch, ..axes });
        Some(Linear { operand: 0, once, other, members: 0, cost: Cost::Move(table) })
    }

    fn distribute(&self, rewriter: &Rewriter<'b>, op: &Op, x: &[Tensor<'b>]) -> Option<Tensor<'b>> {
        let point = x[self.operand];
        let mut terms = Vec::new();
        collect(rewriter, point, false, &mut Vec::new(), &mut terms)?;
        if terms.iter().flat_map(|term| &term.coordinates).all(|factor| factor.rank() == 0) {
            return None;
        }
        // Of the operation as it is, which is dropped if nothing reads it.
        let result = rewriter.builder.emit_at(op.clone(), x, rewriter.place)[0].shape();
        let elements = result.iter().product::<usize>();
        if elements == 0 || !self.pays(terms.len(), elements / result[self.members]) {
            return None;
        }
        let rest: Vec<usize> = (0..result.len()).filter(|&axis| axis != self.members).collect();
        let stretched = |tensor: Tensor<'b>, axes: &[usize]| {
            let op = Op::Broadcast { shape: result.clone(), axes: axes.to_vec() };
            rewriter.emit(op, &[tensor])
        };
        let binary = |op, a, b| rewriter.emit(Op::Binary(op), &[a, b]);
        let mut total: Option<Tensor<'b>> = None;
        for term in &terms {
            let operands = match self.operand {
                0 => [term.shared, self.other],
                _ => [self.other, term.shared],
            };
            let mut value = stretched(rewriter.emit(self.once.clone(), &operands), &rest);
            for &coordinate in &term.coordinates {
                let axes = &[self.members][..coordinate.rank()];
                value = binary(Binary::Multiply, value, stretched(coordinate, axes));
            }
            total = Some(match (total, term.negative) {
                (None, false) => value,
                (None, true) => rewriter.emit(Op::Unary(Unary::Negate), &[value]),
                (Some(sum), false) => binary(Binary::Add, sum, value),
                (Some(sum), true) => binary(Binary::Subtract, sum, value),
            });
        }
        total
    }

    /// Whether an additional member, of so many results, costs less as so many terms. In elements
    /// read or written for each result: the product or move itself, the result written and read
    /// back; against a term of each kind read, and a share of having computed them.
    fn pays(&self, terms: usize, results: usize) -> bool {
        let terms = terms as f64;
        let work = match self.cost {
            Cost::Products(work) => work,
            // The table of each member is written, and its parts are read.
            Cost::Move(table) => (terms + 1.0) * table as f64 / results as f64,
        };
        let once = match self.cost {
            Cost::Products(_) => work,
            Cost::Move(_) => 1.0,
        };
        work + 2.0 > terms + terms * (once + 1.0) / MEMBERS
    }
}

/// The terms of an affine point; nothing if it is none, or they are too many.
fn collect<'b>(
    rewriter: &Rewriter<'b>,
    value: Tensor<'b>,
    negative: bool,
    coordinates: &mut Vec<Tensor<'b>>,
    terms: &mut Vec<Term<'b>>,
) -> Option<()> {
    let node = rewriter.source(value);
    let operand = |index: usize| rewriter.builder.tensor(node.inputs[index]);
    match &node.op {
        Op::Unary(Unary::Negate) => collect(rewriter, operand(0), !negative, coordinates, terms),
        Op::Binary(op @ (Binary::Add | Binary::Subtract)) => {
            collect(rewriter, operand(0), negative, coordinates, terms)?;
            let negative = negative ^ (*op == Binary::Subtract);
            collect(rewriter, operand(1), negative, coordinates, terms)
        }
        Op::Binary(Binary::Multiply) => {
            let (factor, rest) = [(0, 1), (1, 0)]
                .into_iter()
                .find_map(|(f, rest)| Some((coordinate(rewriter, operand(f))?, operand(rest))))?;
            coordinates.push(factor);
            let found = collect(rewriter, rest, negative, coordinates, terms);
            coordinates.pop();
            found
        }
        _ => {
            let shared = without_members(rewriter, value)?;
            terms.push(Term { negative, coordinates: coordinates.clone(), shared });
            (terms.len() <= TERMS).then_some(())
        }
    }
}

/// The number of each member that a value is everywhere, or that of all members.
fn coordinate<'b>(rewriter: &Rewriter<'b>, value: Tensor<'b>) -> Option<Tensor<'b>> {
    let (operand, axes) = rewriter.broadcast(value)?;
    (axes.is_empty() || axes == [0]).then_some(operand)
}

/// One member's part of a value that all members share.
fn without_members<'b>(rewriter: &Rewriter<'b>, value: Tensor<'b>) -> Option<Tensor<'b>> {
    let (operand, axes) = rewriter.broadcast(value)?;
    let axes: Vec<usize> = axes.iter().map(|axis| axis.checked_sub(1)).collect::<Option<_>>()?;
    let shape = value.shape().get(1..)?.to_vec();
    Some(rewriter.emit(Op::Broadcast { shape, axes }, &[operand]))
}
