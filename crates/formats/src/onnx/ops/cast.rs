//! Conversions of element types.

use crate::element::ElementKind;
use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::stored::{element_kind, type_name};
use thalweg_array::{Array, DType};

/// The engine's type for ONNX's; every float is the model's own.
pub(in crate::onnx) fn dtype(code: i64, float: DType) -> Result<DType, String> {
    let kind = i32::try_from(code).ok().and_then(element_kind);
    match kind {
        Some(kind) if kind.is_float() => Ok(float),
        Some(kind) => Ok(kind.dtype()),
        None => {
            let name = type_name(i32::try_from(code).unwrap_or(-1));
            Err(format!("the type {name} is not supported"))
        }
    }
}

/// Refuses integers too narrow for the engine where the conversion would cut bits off.
fn check_narrow(code: i64, from: DType) -> Result<(), String> {
    use ElementKind::{I8, I16, U8, U16};
    match i32::try_from(code).ok().and_then(element_kind) {
        Some(kind @ (I8 | I16 | U8 | U16)) if from != DType::Bool => {
            Err(format!("conversion to {kind} is not supported"))
        }
        _ => Ok(()),
    }
}

/// A constant converted.
pub(in crate::onnx) fn array(x: &Array, code: i64) -> Result<Array, String> {
    let kind = i32::try_from(code).ok().and_then(element_kind);
    if let Some(kind) = kind {
        return Ok(match kind {
            ElementKind::I8 => wrapped(x, |v| i64::from(v as i8))?,
            ElementKind::I16 => wrapped(x, |v| i64::from(v as i16))?,
            ElementKind::U8 => wrapped(x, |v| i64::from(v as u8))?,
            ElementKind::U16 => wrapped(x, |v| i64::from(v as u16))?,
            kind => x.convert(kind.dtype()),
        });
    }
    dtype(code, DType::F32).map(|dtype| x.convert(dtype))
}

fn wrapped(x: &Array, of: impl Fn(i64) -> i64) -> Result<Array, String> {
    let wide = x.convert(DType::I64);
    let values: Vec<i64> =
        wide.as_slice::<i64>().map_err(|error| error.to_string())?.iter().map(|&v| of(v)).collect();
    let made = Array::from_slice(x.shape(), &values).map_err(|error| error.to_string())?;
    Ok(made.convert(DType::I32))
}

pub fn cast<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let to = call.integer("to")?.ok_or("attribute `to` is missing")?;
    let x = call.laid(0)?;
    check_narrow(to, x.tensor.dtype())?;
    let dtype = dtype(to, call.builder().float())?;
    one(x.like(x.tensor.convert(dtype)))
}

pub fn cast_like<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let to = call.value(1)?.dtype().ok_or("its second input is a sequence")?;
    let to = if to.is_float() { call.builder().float() } else { to };
    one(x.like(x.tensor.convert(to)))
}
