//! Constants, and tensors made of an index.

use crate::onnx::attribute::Attribute;
use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::ops::{cast, shape};
use crate::onnx::value::Value;
use thalweg_array::{Array, DType};
use thalweg_graph::{Tensor, TensorType};

pub fn constant<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let Some((name, value)) = call.node.attributes.first() else {
        return Err("it has no value".into());
    };
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let array = match value {
        Attribute::Tensor(stored) => stored.array()?,
        Attribute::Float(value) => Array::scalar(*value as f32),
        Attribute::Floats(values) => Array::vector(&narrow(values)),
        Attribute::Int(value) => Array::scalar(*value),
        Attribute::Ints(values) if name == "value_floats" && values.is_empty() => {
            Array::vector::<f32>(&[])
        }
        Attribute::Ints(values) => Array::vector(values),
        _ => return Err(format!("a constant given by `{name}` is not supported")),
    };
    one(array)
}

pub fn constant_of_shape<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let extents = shape::extents(&call.host_integers(0)?)?;
    shape::check_large(&extents)?;
    let value = match call.stored("value")? {
        Some(stored) => stored.array()?,
        None => Array::vector(&[0f32]),
    };
    let value = value.reshape(&[]).map_err(|_| "attribute `value` should hold one element")?;
    one(call.literal(&value).broadcast_in(&extents, &[]))
}

pub fn range<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    // What is small was folded.
    let (start, limit, step) = (call.host_number(0)?, call.host_number(1)?, call.host_number(2)?);
    let count = ((limit - start) / step).ceil().max(0.0);
    if !count.is_finite() || count > f64::from(u32::MAX) {
        return Err(format!("a range from {start} to {limit} by {step}"));
    }
    let extents = [count as usize];
    shape::check_large(&extents)?;
    let dtype = match call.host(0)?.dtype() {
        dtype if dtype.is_float() => call.builder().float(),
        dtype => dtype,
    };
    let index = call.builder().iota(dtype, &extents, 0);
    one(index * call.builder().scalar_of(dtype, step) + call.builder().scalar_of(dtype, start))
}

pub fn eye_like<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let shape = call.shape(0)?;
    if shape.len() != 2 {
        return Err(format!("a matrix is needed, got shape {shape:?}"));
    }
    let k = call.integer_or("k", 0)?;
    let float = call.builder().float();
    let dtype = match call.integer("dtype")? {
        Some(code) => cast::dtype(code, float)?,
        None => match call.value(0)?.dtype() {
            Some(dtype) if !dtype.is_float() => dtype,
            _ => float,
        },
    };
    let [row, column] = indices(call, &shape);
    one((row + k as f64).equal(column).convert(dtype))
}

/// Row and column of each element of matrices in the last two axes.
fn indices<'b>(call: &Call<'_, '_, 'b>, shape: &[usize]) -> [Tensor<'b>; 2] {
    let builder = call.builder();
    let rank = shape.len();
    [rank.saturating_sub(2), rank.saturating_sub(1)]
        .map(|axis| builder.iota(DType::I64, shape, axis))
}

pub fn trilu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    if x.rank() < 2 {
        return Err(format!("matrices are needed, got shape {:?}", x.shape()));
    }
    let k = if call.has(1) { call.host_integers(1)?.first().copied().unwrap_or(0) } else { 0 };
    let upper = call.integer_or("upper", 1)? != 0;
    let rank = x.rank();
    let [row, column] = indices(call, &x.shape()[rank - 2..]);
    let diagonal = row + k as f64;
    let kept = if upper { column.greater_equal(diagonal) } else { column.less_equal(diagonal) };
    let kept = kept.broadcast_to(&x.shape());
    one(match x.dtype() {
        DType::Bool => kept.and(x),
        _ => kept.select(x, x.zeros_like()),
    })
}

/// A window `sum of a_i cos(2 pi i n / m)`.
fn window<'b>(call: &Call<'_, '_, 'b>, coefficients: &[f64]) -> Outcome<'b> {
    let size = call.host_integers(0)?.first().copied().unwrap_or(0);
    let size = usize::try_from(size).map_err(|_| format!("a window of {size} elements"))?;
    shape::check_large(&[size])?;
    let float = call.builder().float();
    let dtype = cast::dtype(call.integer_or("output_datatype", 1)?, float)?;
    let periodic = call.integer_or("periodic", 1)? != 0;
    let steps = if periodic { size } else { size.saturating_sub(1) }.max(1) as f64;
    let n = call.builder().iota(float, &[size], 0);
    let mut sum = call.builder().zeros(&TensorType::new(float, [size]));
    for (i, &a) in coefficients.iter().enumerate() {
        sum = sum + (n * (std::f64::consts::TAU * i as f64 / steps)).cos() * a;
    }
    one(sum.convert(dtype))
}

pub fn hann<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    window(call, &[0.5, -0.5])
}

pub fn hamming<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    window(call, &[25.0 / 46.0, -21.0 / 46.0])
}

pub fn blackman<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    window(call, &[0.42, -0.5, 0.08])
}

/// The value if it is known while tracing.
pub(super) fn known<'v, 'b>(value: &'v Value<'b>) -> Option<&'v Array> {
    match value {
        Value::Host(array) => Some(array),
        _ => None,
    }
}
