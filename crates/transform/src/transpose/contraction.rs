//! Transposes of products and convolutions, each linear in one operand at a time.

use crate::transpose::structural::inverse;
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Tensor};

/// The cotangent of operand `which` of a general product.
pub(super) fn dot<'b>(
    axes: &DotAxes,
    [lhs, rhs]: [Tensor<'b>; 2],
    which: usize,
    ct: Tensor<'b>,
) -> Tensor<'b> {
    let lhs_free = DotAxes::free(lhs.rank(), &axes.lhs_batch, &axes.lhs_contract);
    let rhs_free = DotAxes::free(rhs.rank(), &axes.rhs_batch, &axes.rhs_contract);
    let n_batch = axes.lhs_batch.len();
    let ct_batch: Vec<usize> = (0..n_batch).collect();
    let ct_lhs: Vec<usize> = (n_batch..n_batch + lhs_free.len()).collect();
    let ct_rhs: Vec<usize> = (n_batch + lhs_free.len()..ct.rank()).collect();
    // The operand's axis at each position of the product: its batch axes, and then its free axes
    // and the summed ones in whichever order the product below gives them.
    let partners = |of: &[usize], by: &[usize]| -> Vec<usize> {
        let mut pairs: Vec<_> = by.iter().copied().zip(of.iter().copied()).collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, axis)| axis).collect()
    };
    let (product, order) = if which == 0 {
        let product = DotAxes {
            lhs_batch: ct_batch,
            rhs_batch: axes.rhs_batch.clone(),
            lhs_contract: ct_rhs,
            rhs_contract: rhs_free,
        };
        let summed = partners(&axes.lhs_contract, &axes.rhs_contract);
        (ct.dot(rhs, product), [axes.lhs_batch.clone(), lhs_free, summed].concat())
    } else {
        let product = DotAxes {
            lhs_batch: axes.lhs_batch.clone(),
            rhs_batch: ct_batch,
            lhs_contract: lhs_free,
            rhs_contract: ct_lhs,
        };
        let summed = partners(&axes.rhs_contract, &axes.lhs_contract);
        (lhs.dot(ct, product), [axes.rhs_batch.clone(), summed, rhs_free].concat())
    };
    product.transpose(&inverse(&order))
}

/// The cotangent of operand `which` of a convolution or of one of its two transposes.
///
/// The three are the three sides of one trilinear form in `x`, `w` and `dy`: the cotangent of an
/// operation's result stands for the side that the operation computes. An operand that the
/// population shares gets the sum over the population.
pub(super) fn convolution<'b>(
    op: &Op,
    [lhs, rhs]: [Tensor<'b>; 2],
    which: usize,
    ct: Tensor<'b>,
) -> Tensor<'b> {
    let (Op::Convolution(window)
    | Op::ConvolutionInputGradient { window, .. }
    | Op::ConvolutionWeightGradient { window, .. }) = op
    else {
        unreachable!("{} is no convolution", op.name())
    };
    let shared = [!window.lhs_population, !window.rhs_population];
    let population = window.has_population();
    // Height and width of an operand with or without a population axis.
    let extents = |tensor: Tensor<'b>, shared: bool, first: usize| {
        let at = first + usize::from(!shared);
        [tensor.shape()[at], tensor.shape()[at + 1]]
    };
    let with = |lhs_population: bool, rhs_population: bool| ConvolutionWindow {
        lhs_population,
        rhs_population,
        ..*window
    };
    let builder = ct.builder();
    let convolution = |x: (Tensor<'b>, bool), w: (Tensor<'b>, bool)| {
        builder.emit_one(Op::Convolution(with(x.1, w.1)), &[x.0, w.0])
    };
    let input_gradient = |dy: (Tensor<'b>, bool), w: (Tensor<'b>, bool), input: [usize; 2]| {
        let op = Op::ConvolutionInputGradient { window: with(dy.1, w.1), input };
        builder.emit_one(op, &[dy.0, w.0])
    };
    let weight_gradient = |x: (Tensor<'b>, bool), dy: (Tensor<'b>, bool), kernel: [usize; 2]| {
        let op = Op::ConvolutionWeightGradient { window: with(x.1, dy.1), kernel };
        builder.emit_one(op, &[x.0, dy.0])
    };
    let left = (lhs, window.lhs_population);
    let right = (rhs, window.rhs_population);
    let ct = (ct, population);
    let cotangent = match (op, which) {
        // y(x, w)
        (Op::Convolution(_), 0) => input_gradient(ct, right, extents(lhs, shared[0], 1)),
        (Op::Convolution(_), _) => weight_gradient(left, ct, extents(rhs, shared[1], 0)),
        // dx(dy, w)
        (Op::ConvolutionInputGradient { .. }, 0) => convolution(ct, right),
        (Op::ConvolutionInputGradient { .. }, _) => {
            weight_gradient(ct, left, extents(rhs, shared[1], 0))
        }
        // dw(x, dy)
        (_, 0) => input_gradient(right, ct, extents(lhs, shared[0], 1)),
        (_, _) => convolution(left, ct),
    };
    if population && shared[which] { cotangent.sum(&[0]) } else { cotangent }
}
