//! Elements written by index.
//!
//! The engine adds at an index. To overwrite, what was there is masked out; of several updates of
//! one element ONNX does not say which one counts, and here they are added.

use super::gather::{flat_index, wrapped};
use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_array::DType;
use thalweg_graph::{GatherAxes, Tensor, TensorType};

/// What happens where an update meets an element.
fn adds(call: &Call<'_, '_, '_>) -> Result<bool, String> {
    match call.text_or("reduction", "none")? {
        "none" => Ok(false),
        "add" => Ok(true),
        other => Err(format!("attribute `reduction` `{other}` is not supported")),
    }
}

/// `x` with updates added or put in place, and `spread` bringing a mask to its shape.
fn written<'b>(
    x: Tensor<'b>,
    index: Tensor<'b>,
    updates: Tensor<'b>,
    axes: GatherAxes,
    add: bool,
) -> Tensor<'b> {
    if add {
        return x.scatter_add(index, updates, axes);
    }
    let builder = x.builder();
    let ty = |tensor: Tensor<'b>| TensorType::new(DType::Bool, tensor.shape());
    let hit = builder.zeros(&ty(x)).scatter_add(index, builder.full(&ty(updates), 1.0), axes);
    let put = x.zeros_like().scatter_add(index, updates, axes);
    match x.dtype() {
        DType::Bool => hit.and(put).or(hit.logical_not().and(x)),
        _ => hit.select(put, x),
    }
}

pub fn scatter_elements<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x, index, updates) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let add = adds(call)?;
    let shape = x.shape();
    let axis = axis_of(call.integer_or("axis", 0)?, shape.len())?;
    let given = index.shape();
    let fits = given == updates.shape()
        && given.len() == shape.len()
        && (0..shape.len()).all(|a| a == axis || given[a] <= shape[a])
        && index.dtype().is_integer();
    if !fits {
        return Err(format!(
            "indices of shape {given:?} and updates of shape {:?} for {shape:?}",
            updates.shape()
        ));
    }
    // What has no index gets one outside, which is dropped.
    let none = vec![0; shape.len()];
    let missing: Vec<usize> =
        (0..shape.len()).map(|a| if a == axis { 0 } else { shape[a] - given[a] }).collect();
    let index = wrapped(index, shape[axis]).pad(shape[axis] as f64, &none, &missing, &none);
    let updates =
        updates.pad(call.builder().scalar_of(updates.dtype(), 0.0), &none, &missing, &none);
    let axes = GatherAxes { batch: axis, trailing: shape.len() - axis - 1 };
    one(written(x, index, updates, axes, add))
}

pub fn scatter_nd<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x, index, updates) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let add = adds(call)?;
    let (shape, given) = (x.shape(), index.shape());
    let depth = given.last().copied().unwrap_or(0);
    if depth == 0 || depth > shape.len() || !index.dtype().is_integer() {
        return Err(format!("indices of shape {given:?} for {shape:?}"));
    }
    let expected = [&given[..given.len() - 1], &shape[depth..]].concat();
    if updates.shape() != expected {
        return Err(format!("updates of shape {:?}, not {expected:?}", updates.shape()));
    }
    let flat = flat_index(index, &shape[..depth])?;
    let count: usize = shape[..depth].iter().product();
    let merged = [&[count], &shape[depth..]].concat();
    let axes = GatherAxes { batch: 0, trailing: 0 };
    one(written(x.reshape(&merged), flat, updates, axes, add).reshape(&shape))
}
