//! Elements picked by index.

use super::constant::known;
use super::shape::{check_large, host_list};
use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_array::{Array, DType};
use thalweg_graph::{GatherAxes, Tensor};

/// An index counted from the end becomes one counted from the start.
pub(super) fn wrapped(index: Tensor<'_>, extent: usize) -> Tensor<'_> {
    if index.dtype() == DType::U32 {
        return index;
    }
    index.less(0.0).select(index + extent as f64, index)
}

/// The indices of a node, known to lie within an axis if they are constants.
fn indices<'b>(call: &Call<'_, '_, 'b>, i: usize, extent: usize) -> Result<Tensor<'b>, String> {
    if let Some(array) = known(call.value(i)?) {
        let mut places = Vec::with_capacity(array.len());
        for index in host_list(call.value(i)?)? {
            let place = axis_of(index, extent)
                .map_err(|_| format!("index {index} of an axis of {extent} elements"))?;
            places.push(place as i64);
        }
        let array = Array::from_slice(array.shape(), &places).map_err(|error| error.to_string())?;
        return Ok(call.literal(&array));
    }
    let index = call.tensor(i)?;
    match index.dtype().is_integer() {
        true => Ok(wrapped(index, extent)),
        false => Err(format!("indices are of type {}", index.dtype())),
    }
}

pub fn gather<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", 0)?, x.rank())?;
    let extent = x.shape()[axis];
    if let Some(array) = known(call.value(1)?)
        && let [index] = host_list(call.value(1)?)?[..]
    {
        let place = axis_of(index, extent)
            .map_err(|_| format!("index {index} of an axis of {extent} elements"))?;
        let part = x.slice(axis, place, place + 1);
        let mut shape = x.shape();
        shape.splice(axis..=axis, array.shape().iter().copied());
        return one(part.reshape(&shape));
    }
    let index = indices(call, 1, extent)?;
    let n = index.rank();
    let mut result = x.shape();
    result.splice(axis..=axis, index.shape());
    check_large(&result)?;
    if x.dtype() == DType::Bool {
        let picked = x.convert(DType::I32).move_axis(axis, 0).take(index);
        return one(placed(picked, n, axis).not_equal(0.0));
    }
    one(placed(x.move_axis(axis, 0).take(index), n, axis))
}

/// The first `n` axes moved behind `axis` of the others.
fn placed(x: Tensor<'_>, n: usize, axis: usize) -> Tensor<'_> {
    let rank = x.rank();
    let mut order: Vec<usize> = (n..n + axis).collect();
    order.extend(0..n);
    order.extend(n + axis..rank);
    x.transpose(&order)
}

pub fn gather_elements<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", 0)?, x.rank())?;
    let index = indices(call, 1, x.shape()[axis])?;
    let mut limit = index.shape();
    if limit.len() != x.rank() {
        return Err(format!("indices of shape {limit:?} for {:?}", x.shape()));
    }
    limit[axis] = x.shape()[axis];
    if limit.iter().zip(x.shape()).any(|(&wanted, extent)| wanted > extent) {
        return Err(format!("indices of shape {:?} for {:?}", index.shape(), x.shape()));
    }
    let part = x.slice_all(&vec![0; limit.len()], &limit, &vec![1; limit.len()]);
    one(part.take_along(index, axis))
}

/// Index tuples along the last axis as one index into flattened leading axes.
pub(super) fn flat_index<'b>(index: Tensor<'b>, extents: &[usize]) -> Result<Tensor<'b>, String> {
    let last = index.rank().checked_sub(1).ok_or("indices without an axis")?;
    let mut flat: Option<Tensor<'b>> = None;
    for (i, &extent) in extents.iter().enumerate() {
        let part = wrapped(index.index(last, i), extent);
        flat = Some(match flat {
            None => part,
            Some(before) => before * extent as f64 + part,
        });
    }
    match flat {
        Some(flat) => Ok(flat),
        None => Ok(index.sum(&[last])),
    }
}

pub fn gather_nd<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x, index) = (call.tensor(0)?, call.tensor(1)?);
    let batch = call.count_or("batch_dims", 0)?;
    let (from, to) = (x.shape(), index.shape());
    let depth = to.last().copied().unwrap_or(0);
    let fits = index.dtype().is_integer()
        && batch < to.len()
        && depth >= 1
        && batch.checked_add(depth).is_some_and(|n| n <= from.len())
        && from[..batch] == to[..batch];
    if !fits {
        return Err(format!("indices of shape {to:?} for {from:?} with {batch} batch axes"));
    }
    let extents = &from[batch..batch + depth];
    let flat = flat_index(index, extents)?;
    let mut merged = from[..batch].to_vec();
    merged.push(extents.iter().product());
    merged.extend(&from[batch + depth..]);
    one(x.reshape(&merged).gather(flat, GatherAxes { batch, trailing: 0 }))
}

pub fn one_hot<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let index = call.tensor(0)?;
    let depth = call.host_number(1)?;
    if !(depth >= 0.0 && depth <= f64::from(i32::MAX)) {
        return Err(format!("a depth of {depth}"));
    }
    let depth = depth as usize;
    let rank = index.rank() + 1;
    let axis = axis_of(call.integer_or("axis", -1)?, rank)?;
    let mut shape = index.shape();
    shape.push(depth);
    check_large(&shape)?;
    // Indices may be given as floats.
    let index = wrapped(index.convert(DType::I64), depth);
    let hot = index.one_hot(depth, DType::Bool).move_axis(rank - 1, axis);
    let values = call.tensor(2)?;
    if values.shape() != [2] {
        return Err(format!("two values are needed, got shape {:?}", values.shape()));
    }
    let [off, on] = [0, 1].map(|i| values.index(0, i).broadcast_in(&hot.shape(), &[]));
    one(hot.select(on, off))
}

/// Columns of the last axis, as classifiers of `ai.onnx.ml` pick their labels.
pub fn feature_extractor<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = x.rank().checked_sub(1).ok_or("an input without axes")?;
    let index = indices(call, 1, x.shape()[axis])?;
    let index = index.reshape(&[index.ty().element_count()]);
    let y = placed(x.move_axis(axis, 0).take(index), 1, axis);
    one(if axis == 0 { y.expand(0) } else { y })
}

pub fn compress<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let kept: Vec<i64> = host_list(call.value(1)?)?;
    let mut x = call.tensor(0)?;
    let axis = match call.integer("axis")? {
        Some(axis) => axis_of(axis, x.rank())?,
        None => {
            x = x.reshape(&[x.ty().element_count()]);
            0
        }
    };
    let extent = x.shape()[axis];
    let mut parts = Vec::new();
    for (i, _) in kept.iter().enumerate().filter(|&(i, &keep)| keep != 0 && i < extent) {
        parts.push(x.slice(axis, i, i + 1));
    }
    one(match parts.is_empty() {
        true => x.slice(axis, 0, 0),
        false => call.builder().concatenate(&parts, axis),
    })
}
