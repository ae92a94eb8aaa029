//! Shape rules of operations that move elements.

use super::{Inferred, arity, axis_within, integers, one, without};
use crate::error::{Mismatch, ensure};
use crate::graph::TensorType;
use crate::op::{GatherAxes, Op};
use thalweg_array::element_count;

pub(super) fn infer(op: &Op, inputs: &[&TensorType]) -> Inferred {
    if !matches!(op, Op::Concatenate { .. }) {
        ensure!(!inputs.is_empty(), "an operand", "none");
    }
    match op {
        Op::Broadcast { shape, axes } => {
            arity(inputs, 1)?;
            broadcast(inputs[0], shape, axes)
        }
        Op::Reshape { shape } => {
            arity(inputs, 1)?;
            ensure!(
                element_count(shape) == Some(inputs[0].element_count()),
                format!("{} elements", inputs[0].element_count()),
                format!("shape {shape:?}")
            );
            one(inputs[0].dtype, shape.as_slice())
        }
        Op::Transpose { permutation } => {
            arity(inputs, 1)?;
            let mut sorted = permutation.clone();
            sorted.sort_unstable();
            ensure!(
                sorted.iter().copied().eq(0..inputs[0].rank()),
                format!("a permutation of the {} axes", inputs[0].rank()),
                format!("{permutation:?}")
            );
            let shape: Vec<_> = permutation.iter().map(|&axis| inputs[0].shape[axis]).collect();
            one(inputs[0].dtype, shape)
        }
        Op::Slice { start, limit, stride } => {
            arity(inputs, 1)?;
            slice(inputs[0], start, limit, stride)
        }
        Op::Pad { low, high, interior } => {
            arity(inputs, 2)?;
            pad(inputs[0], inputs[1], low, high, interior)
        }
        Op::Concatenate { axis } => concatenate(inputs, *axis),
        Op::Reverse { axes } => {
            arity(inputs, 1)?;
            for (i, &axis) in axes.iter().enumerate() {
                axis_within(axis, &inputs[0].shape)?;
                ensure!(!axes[..i].contains(&axis), "each axis named once", format!("{axes:?}"));
            }
            Ok(vec![inputs[0].clone()])
        }
        Op::DynamicSlice { sizes } => {
            starts(&inputs[1..], inputs[0].rank())?;
            let fits = sizes.len() == inputs[0].rank()
                && sizes.iter().zip(&inputs[0].shape).all(|(size, extent)| size <= extent);
            ensure!(fits, format!("sizes within {}", inputs[0]), format!("{sizes:?}"));
            one(inputs[0].dtype, sizes.as_slice())
        }
        Op::DynamicUpdateSlice => {
            ensure!(inputs.len() >= 2, "an operand and an update", inputs.len().to_string());
            let (operand, update) = (inputs[0], inputs[1]);
            starts(&inputs[2..], operand.rank())?;
            let fits = update.dtype == operand.dtype
                && update.rank() == operand.rank()
                && update.shape.iter().zip(&operand.shape).all(|(size, extent)| size <= extent);
            ensure!(fits, format!("an update within {operand}"), update.to_string());
            Ok(vec![operand.clone()])
        }
        Op::Gather(axes) => {
            arity(inputs, 2)?;
            one(inputs[0].dtype, gathered(inputs[0], inputs[1], *axes)?)
        }
        Op::ScatterAdd(axes) => {
            arity(inputs, 3)?;
            let expected = TensorType::new(inputs[0].dtype, gathered(inputs[0], inputs[1], *axes)?);
            ensure!(
                *inputs[2] == expected,
                format!("updates of type {expected}"),
                inputs[2].to_string()
            );
            Ok(vec![inputs[0].clone()])
        }
        _ => unreachable!("{} is not structural", op.name()),
    }
}

fn broadcast(input: &TensorType, shape: &[usize], axes: &[usize]) -> Inferred {
    ensure!(
        axes.len() == input.rank(),
        format!("one result axis for each of {} operand axes", input.rank()),
        format!("{axes:?}")
    );
    let increasing = axes.windows(2).all(|pair| pair[0] < pair[1]);
    ensure!(increasing, "increasing result axes", format!("{axes:?}"));
    for (&axis, &extent) in axes.iter().zip(&input.shape) {
        axis_within(axis, shape)?;
        ensure!(
            extent == shape[axis] || extent == 1,
            format!("an operand that stretches to {shape:?}"),
            format!("{input} on axes {axes:?}")
        );
    }
    one(input.dtype, shape)
}

fn slice(input: &TensorType, start: &[usize], limit: &[usize], stride: &[usize]) -> Inferred {
    let rank = input.rank();
    let counts = start.len() == rank && limit.len() == rank && stride.len() == rank;
    ensure!(
        counts,
        format!("start, limit and stride for {rank} axes"),
        format!("{}, {} and {}", start.len(), limit.len(), stride.len())
    );
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        ensure!(
            start[axis] <= limit[axis] && limit[axis] <= input.shape[axis] && stride[axis] > 0,
            format!("a range within axis {axis} of {input}"),
            format!("{}..{} step {}", start[axis], limit[axis], stride[axis])
        );
        shape.push((limit[axis] - start[axis]).div_ceil(stride[axis]));
    }
    one(input.dtype, shape)
}

fn pad(
    input: &TensorType,
    fill: &TensorType,
    low: &[usize],
    high: &[usize],
    interior: &[usize],
) -> Inferred {
    ensure!(
        fill.rank() == 0 && fill.dtype == input.dtype,
        format!("a fill of type {}[]", input.dtype),
        fill.to_string()
    );
    let rank = input.rank();
    ensure!(
        low.len() == rank && high.len() == rank && interior.len() == rank,
        format!("padding for {rank} axes"),
        format!("{}, {} and {}", low.len(), high.len(), interior.len())
    );
    let shape = (0..rank)
        .map(|axis| {
            let gaps = input.shape[axis].saturating_sub(1).saturating_mul(interior[axis]);
            input.shape[axis]
                .saturating_add(low[axis])
                .saturating_add(high[axis])
                .saturating_add(gaps)
        })
        .collect::<Vec<_>>();
    one(input.dtype, shape)
}

fn concatenate(inputs: &[&TensorType], axis: usize) -> Inferred {
    ensure!(!inputs.is_empty(), "at least one operand", "none");
    let first = inputs[0];
    axis_within(axis, &first.shape)?;
    let mut total = 0usize;
    for input in inputs {
        let fits = input.dtype == first.dtype
            && input.rank() == first.rank()
            && (0..first.rank()).all(|a| a == axis || input.shape[a] == first.shape[a]);
        ensure!(fits, format!("{first} but for axis {axis}"), input.to_string());
        total = total.saturating_add(input.shape[axis]);
    }
    let mut shape = first.shape.clone();
    shape[axis] = total;
    one(first.dtype, shape)
}

fn starts(starts: &[&TensorType], rank: usize) -> Result<(), Mismatch> {
    ensure!(starts.len() == rank, format!("{rank} start indices"), starts.len().to_string());
    for start in starts {
        integers(start)?;
        ensure!(start.rank() == 0, "scalar start indices", start.to_string());
    }
    Ok(())
}

/// Shape of a gather's result.
fn gathered(
    operand: &TensorType,
    indices: &TensorType,
    axes: GatherAxes,
) -> Result<Vec<usize>, Mismatch> {
    integers(indices)?;
    let GatherAxes { batch, trailing } = axes;
    ensure!(
        batch
            .checked_add(trailing)
            .is_some_and(|matched| operand.rank() > matched && indices.rank() >= matched),
        format!("{batch} batch, one indexed and {trailing} trailing axes"),
        format!("{operand} by {indices}")
    );
    let tail = |ty: &TensorType| ty.shape[ty.rank() - trailing..].to_vec();
    ensure!(
        operand.shape[..batch] == indices.shape[..batch] && tail(operand) == tail(indices),
        format!("equal {batch} leading and {trailing} last extents"),
        format!("{operand} by {indices}")
    );
    let mut shape = indices.shape[..indices.rank() - trailing].to_vec();
    shape.extend_from_slice(&operand.shape[batch + 1..]);
    let count = shape.len();
    debug_assert_eq!(
        count,
        without(&operand.shape, &[batch]).len() + indices.rank() - batch - trailing
    );
    Ok(shape)
}
