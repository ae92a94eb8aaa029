//! Operations that move elements.

use super::dense::{Dense, Scalar, for_each_index};
use super::elementwise;
use thalweg_graph::{Binary, GatherAxes, TensorType};

pub(super) fn broadcast(x: &Dense, ty: &TensorType, axes: &[usize]) -> Dense {
    Dense::build(ty, |index| {
        let source: Vec<usize> = (0..x.shape.len())
            .map(|axis| if x.shape[axis] == 1 { 0 } else { index[axes[axis]] })
            .collect();
        x.at(&source)
    })
}

pub(super) fn reshape(x: &Dense, ty: &TensorType) -> Dense {
    Dense { dtype: x.dtype, shape: ty.shape.clone(), elements: x.elements.clone() }
}

pub(super) fn transpose(x: &Dense, ty: &TensorType, permutation: &[usize]) -> Dense {
    Dense::build(ty, |index| {
        let mut source = vec![0; index.len()];
        for (axis, &from) in permutation.iter().enumerate() {
            source[from] = index[axis];
        }
        x.at(&source)
    })
}

pub(super) fn slice(x: &Dense, ty: &TensorType, start: &[usize], stride: &[usize]) -> Dense {
    Dense::build(ty, |index| {
        let source: Vec<usize> =
            (0..index.len()).map(|axis| start[axis] + index[axis] * stride[axis]).collect();
        x.at(&source)
    })
}

pub(super) fn pad(
    x: &Dense,
    fill: &Dense,
    ty: &TensorType,
    low: &[usize],
    interior: &[usize],
) -> Dense {
    let mut result = Dense::build(ty, |_| fill.at(&[]));
    for_each_index(&x.shape, |index| {
        let target: Vec<usize> =
            (0..index.len()).map(|axis| low[axis] + index[axis] * (interior[axis] + 1)).collect();
        *result.at_mut(&target) = x.at(index);
    });
    result
}

pub(super) fn concatenate(operands: &[&Dense], ty: &TensorType, axis: usize) -> Dense {
    Dense::build(ty, |index| {
        let mut source = index.to_vec();
        let mut operands = operands.iter();
        loop {
            let operand = operands.next().expect("the extents add up");
            if source[axis] < operand.shape[axis] {
                return operand.at(&source);
            }
            source[axis] -= operand.shape[axis];
        }
    })
}

pub(super) fn reverse(x: &Dense, ty: &TensorType, axes: &[usize]) -> Dense {
    Dense::build(ty, |index| {
        let mut source = index.to_vec();
        for &axis in axes {
            source[axis] = x.shape[axis] - 1 - index[axis];
        }
        x.at(&source)
    })
}

pub(super) fn dynamic_slice(x: &Dense, starts: &[&Dense], ty: &TensorType) -> Dense {
    let starts = clamped(starts, &x.shape, &ty.shape);
    Dense::build(ty, |index| {
        let source: Vec<usize> = index.iter().zip(&starts).map(|(i, start)| i + start).collect();
        x.at(&source)
    })
}

pub(super) fn dynamic_update_slice(x: &Dense, update: &Dense, starts: &[&Dense]) -> Dense {
    let starts = clamped(starts, &x.shape, &update.shape);
    let mut result = x.clone();
    for_each_index(&update.shape, |index| {
        let target: Vec<usize> = index.iter().zip(&starts).map(|(i, start)| i + start).collect();
        *result.at_mut(&target) = update.at(index);
    });
    result
}

/// Starts moved so that a slice of `sizes` lies within `extents`.
fn clamped(starts: &[&Dense], extents: &[usize], sizes: &[usize]) -> Vec<usize> {
    (0..extents.len())
        .map(|axis| {
            let last = (extents[axis] - sizes[axis]) as i64;
            starts[axis].at(&[]).integer().clamp(0, last) as usize
        })
        .collect()
}

pub(super) fn gather(x: &Dense, indices: &Dense, ty: &TensorType, axes: GatherAxes) -> Dense {
    Dense::build(ty, |result| match source_of(result, x, indices, axes) {
        Some(source) => x.at(&source),
        None => Scalar::zero(x.dtype),
    })
}

pub(super) fn scatter_add(x: &Dense, indices: &Dense, updates: &Dense, axes: GatherAxes) -> Dense {
    let mut result = x.clone();
    for_each_index(&updates.shape, |index| {
        if let Some(target) = source_of(index, x, indices, axes) {
            let to = result.at_mut(&target);
            *to = add(*to, updates.at(index), x.dtype);
        }
    });
    result
}

/// The sum of two elements; of booleans, whether one is true.
pub(super) fn add(a: Scalar, b: Scalar, dtype: thalweg_array::DType) -> Scalar {
    let binary = if matches!(a, Scalar::Bool(_)) { Binary::Or } else { Binary::Add };
    elementwise::binary(binary, a, b, dtype)
}

/// Where the element `[B.., I.., S.., T..]` of a gather's result lies in its operand
/// `[B.., N, S.., T..]`; `None` if the index is outside `0..N`.
fn source_of(
    result: &[usize],
    operand: &Dense,
    indices: &Dense,
    axes: GatherAxes,
) -> Option<Vec<usize>> {
    let GatherAxes { batch, trailing } = axes;
    let n_indexed = indices.shape.len() - batch - trailing;
    let (leading, rest) = result.split_at(batch + n_indexed);
    let at = [leading, &rest[rest.len() - trailing..]].concat();
    let picked = usize::try_from(indices.at(&at).integer()).ok()?;
    (picked < operand.shape[batch]).then(|| [&leading[..batch], &[picked], rest].concat())
}
