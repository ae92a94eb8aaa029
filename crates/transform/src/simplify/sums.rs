//! Factors taken out of sums.
//!
//! The gradient of a normalisation sums `s a + t b` over examples, where `s` and `t` come from
//! sums over the same examples. As `s sum(a) + t sum(b)`, the two sums wait for nothing, and one
//! pass over the data does all of them.

use super::Rewriter;
use thalweg_graph::{Binary, Op, Reduction, Tensor, Unary};

/// Terms of a sum of products at most: each becomes a sum of its own.
const TERMS: usize = 4;

/// A summand: a factor that is the same along the summed axes, and what varies along them.
struct Term<'b> {
    negative: bool,
    factor: Option<Tensor<'b>>,
    varying: Tensor<'b>,
}

/// The sum of products, each with a factor that is the same along the summed axes, as products of
/// sums; of the negative of a value, as the negative of its sum.
pub(super) fn rewrite<'b>(
    rewriter: &Rewriter<'b>,
    operand: Tensor<'b>,
    axes: &[usize],
) -> Option<Tensor<'b>> {
    let shape = operand.shape();
    if !operand.dtype().is_float() || axes.iter().any(|&axis| shape[axis] == 0) {
        return None;
    }
    let mut terms = Vec::new();
    collect(rewriter, operand, axes, false, &mut terms)?;
    let moves = terms.iter().any(|term| term.negative || term.factor.is_some());
    let splits = terms.len() == 1 || terms.iter().all(|term| term.factor.is_some());
    if !moves || !splits {
        return None;
    }
    let sum = |term: &Term<'b>| {
        let op = Op::Reduce { kind: Reduction::Sum, axes: axes.to_vec() };
        let sum = rewriter.emit(op, &[term.varying]);
        match term.factor {
            Some(factor) => rewriter.emit(Op::Binary(Binary::Multiply), &[sum, factor]),
            None => sum,
        }
    };
    let (first, rest) = terms.split_first()?;
    let mut total = sum(first);
    if first.negative {
        total = rewriter.emit(Op::Unary(Unary::Negate), &[total]);
    }
    for term in rest {
        let op = if term.negative { Binary::Subtract } else { Binary::Add };
        total = rewriter.emit(Op::Binary(op), &[total, sum(term)]);
    }
    Some(total)
}

/// The summands of a value; nothing if they are too many.
fn collect<'b>(
    rewriter: &Rewriter<'b>,
    value: Tensor<'b>,
    axes: &[usize],
    negative: bool,
    terms: &mut Vec<Term<'b>>,
) -> Option<()> {
    let node = rewriter.source(value);
    let operand = |index: usize| rewriter.builder.tensor(node.inputs[index]);
    match node.op {
        Op::Unary(Unary::Negate) => collect(rewriter, operand(0), axes, !negative, terms),
        Op::Binary(op @ (Binary::Add | Binary::Subtract)) => {
            collect(rewriter, operand(0), axes, negative, terms)?;
            collect(rewriter, operand(1), axes, negative ^ (op == Binary::Subtract), terms)
        }
        _ => {
            let product = match node.op {
                Op::Binary(Binary::Multiply) => [(0, 1), (1, 0)].into_iter().find_map(|(f, v)| {
                    Some((constant_along(rewriter, operand(f), axes)?, operand(v)))
                }),
                _ => None,
            };
            let (factor, varying) = match product {
                Some((factor, varying)) => (Some(factor), varying),
                None => (None, value),
            };
            terms.push(Term { negative, factor, varying });
            (terms.len() <= TERMS).then_some(())
        }
    }
}

/// A value that is the same along `axes`, without them.
fn constant_along<'b>(
    rewriter: &Rewriter<'b>,
    value: Tensor<'b>,
    axes: &[usize],
) -> Option<Tensor<'b>> {
    let (operand, places) = rewriter.broadcast(value)?;
    if places.iter().any(|place| axes.contains(place)) {
        return None;
    }
    let kept: Vec<usize> = (0..value.rank()).filter(|axis| !axes.contains(axis)).collect();
    let shape = value.shape();
    let op = Op::Broadcast {
        shape: kept.iter().map(|&axis| shape[axis]).collect(),
        axes: places.iter().map(|place| kept.partition_point(|axis| axis < place)).collect(),
    };
    Some(rewriter.emit(op, &[operand]))
}
