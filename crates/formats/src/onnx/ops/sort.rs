//! Order: the largest, the smallest, the first few.

use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_array::DType;
use thalweg_graph::Tensor;

fn argument<'b>(call: &Call<'_, '_, 'b>, smallest: bool) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", 0)?, x.rank())?;
    let extent = x.shape()[axis];
    let mut x = if x.dtype().is_float() { x } else { x.convert(DType::I64) };
    if smallest {
        x = -x;
    }
    let index = match call.flag("select_last_index")? {
        true => (extent as f64 - 1.0) - x.reverse(&[axis]).arg_max(axis).convert(DType::I64),
        false => x.arg_max(axis).convert(DType::I64),
    };
    one(if call.integer_or("keepdims", 1)? != 0 { index.keep(&[axis]) } else { index })
}

pub fn arg_max<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    argument(call, false)
}

pub fn arg_min<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    argument(call, true)
}

pub fn top_k<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", -1)?, x.rank())?;
    let extent = x.shape()[axis];
    let k = match call.has(1) {
        true => call.host_number(1)?,
        false => call.integer("k")?.ok_or("its number of elements is missing")? as f64,
    };
    if !(k >= 0.0 && k <= extent as f64) {
        return Err(format!("{k} elements of an axis of {extent}"));
    }
    let largest = call.integer_or("largest", 1)? != 0;
    let place = call.builder().iota(DType::I64, &x.shape(), axis);
    let sorted: Vec<Tensor<'b>> = x.sort_with(&[place], axis, largest);
    Ok(sorted.into_iter().map(|part| part.slice(axis, 0, k as usize).into()).collect())
}
