//! Transposes of operations that move elements.

use thalweg_graph::{DType, Op, Tensor, TensorType};

/// Sums over every axis that the operand does not have or that it stretched along.
pub(super) fn broadcast<'b>(operand: &[usize], axes: &[usize], ct: Tensor<'b>) -> Tensor<'b> {
    let shape = ct.shape();
    let summed: Vec<usize> = (0..shape.len())
        .filter(|axis| match axes.iter().position(|to| to == axis) {
            Some(from) => operand[from] != shape[*axis],
            None => true,
        })
        .collect();
    ct.sum(&summed).reshape(operand)
}

pub(super) fn transpose<'b>(permutation: &[usize], ct: Tensor<'b>) -> Tensor<'b> {
    ct.transpose(&inverse(permutation))
}

/// The permutation that undoes another.
pub(crate) fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; permutation.len()];
    for (to, &from) in permutation.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// Puts the elements back where they were, zeros elsewhere.
pub(super) fn slice<'b>(
    operand: &[usize],
    start: &[usize],
    stride: &[usize],
    ct: Tensor<'b>,
) -> Tensor<'b> {
    let shape = ct.shape();
    if shape.contains(&0) {
        return ct.builder().zeros(&TensorType::new(ct.dtype(), operand));
    }
    let interior: Vec<usize> = stride.iter().map(|stride| stride - 1).collect();
    let high: Vec<usize> = (0..shape.len())
        .map(|axis| operand[axis] - start[axis] - ((shape[axis] - 1) * stride[axis] + 1))
        .collect();
    ct.pad(0.0, start, &high, &interior)
}

/// Takes the operand's elements out of the padding.
pub(super) fn pad_operand<'b>(
    operand: &[usize],
    low: &[usize],
    interior: &[usize],
    ct: Tensor<'b>,
) -> Tensor<'b> {
    let stride: Vec<usize> = interior.iter().map(|gap| gap + 1).collect();
    let limit: Vec<usize> = (0..operand.len())
        .map(|axis| match operand[axis] {
            0 => low[axis],
            extent => low[axis] + (extent - 1) * stride[axis] + 1,
        })
        .collect();
    ct.slice_all(low, &limit, &stride)
}

/// Sums over the padding: everything that is not the operand's.
pub(super) fn pad_fill<'b>(operand: Tensor<'b>, pad: &Op, ct: Tensor<'b>) -> Tensor<'b> {
    let builder = ct.builder();
    let inside = builder.zeros(&TensorType::new(DType::Bool, operand.shape()));
    let yes = builder.scalar_of(DType::Bool, 1.0);
    let padding = builder.emit_one(pad.clone(), &[inside, yes]);
    padding.select(ct, ct.zeros_like()).sum_all()
}
