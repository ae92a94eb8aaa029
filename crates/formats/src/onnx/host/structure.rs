//! Constants taken apart and put together.

use super::{few, places, stretched, stretched_places, strides};
use crate::onnx::call::{Call, axis_of, integers};
use crate::onnx::ops::shape;
use thalweg_array::{Array, DType, Element};

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The elements at places of an array's storage.
fn pick(from: &Array, shape: &[usize], places: &[usize]) -> Result<Array, String> {
    fn of<T: Element>(from: &Array, shape: &[usize], places: &[usize]) -> Result<Array, String> {
        let values = from.as_slice::<T>().map_err(text)?;
        let picked: Option<Vec<T>> = places.iter().map(|&at| values.get(at).copied()).collect();
        Array::from_slice(shape, &picked.ok_or("an index is outside its axis")?).map_err(text)
    }
    match from.dtype() {
        DType::F32 => of::<f32>(from, shape, places),
        DType::F64 => of::<f64>(from, shape, places),
        DType::I32 => of::<i32>(from, shape, places),
        DType::I64 => of::<i64>(from, shape, places),
        DType::U32 => of::<u32>(from, shape, places),
        DType::Bool => of::<bool>(from, shape, places),
    }
}

/// Arrays of one type end to end along an axis.
fn concatenate(arrays: &[&Array], axis: i64) -> Result<Option<Array>, String> {
    let Some(first) = arrays.first() else { return Ok(None) };
    let axis = axis_of(axis, first.rank())?;
    let mut shape = first.shape().to_vec();
    shape[axis] = 0;
    for array in arrays {
        let fits = array.rank() == first.rank()
            && array.dtype() == first.dtype()
            && (0..first.rank()).all(|a| a == axis || array.shape()[a] == first.shape()[a]);
        if !fits {
            return Err(format!(
                "{}{:?} does not go beside {}{:?}",
                array.dtype(),
                array.shape(),
                first.dtype(),
                first.shape()
            ));
        }
        shape[axis] = shape[axis].saturating_add(array.shape()[axis]);
    }
    let Some(_) = few(&shape) else { return Ok(None) };
    let outer: usize = shape[..axis].iter().product();
    let mut bytes = Vec::new();
    for row in 0..outer {
        for array in arrays {
            let size = array.size_in_bytes() / outer.max(1);
            bytes.extend_from_slice(&array.as_bytes()[row * size..(row + 1) * size]);
        }
    }
    let mut out = Array::try_zeros(first.dtype(), &shape).map_err(text)?;
    fill(&mut out, &bytes)?;
    Ok(Some(out))
}

/// Writes elements that were bytes of arrays of the same type.
fn fill(out: &mut Array, bytes: &[u8]) -> Result<(), String> {
    macro_rules! write {
        ($rust:ty) => {{
            let (elements, _) = bytes.as_chunks::<{ size_of::<$rust>() }>();
            let target = out.as_mut_slice::<$rust>().map_err(text)?;
            for (to, &from) in target.iter_mut().zip(elements) {
                *to = <$rust>::from_ne_bytes(from);
            }
        }};
    }
    match out.dtype() {
        DType::F32 => write!(f32),
        DType::F64 => write!(f64),
        DType::I32 => write!(i32),
        DType::I64 => write!(i64),
        DType::U32 => write!(u32),
        DType::Bool => {
            let target = out.as_mut_slice::<bool>().map_err(text)?;
            target.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from != 0);
        }
    }
    Ok(())
}

/// The results of a structural operation, `None` if it is none of these.
pub(super) fn fold(
    call: &Call<'_, '_, '_>,
    arrays: &[Option<&Array>],
) -> Result<Option<Vec<Array>>, String> {
    let input = |i: usize| -> Result<&Array, String> {
        arrays.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
    };
    let reshaped = |shape: Vec<usize>| -> Result<Option<Vec<Array>>, String> {
        Ok(Some(vec![input(0)?.reshape(&shape).map_err(text)?]))
    };
    match call.node.op.as_str() {
        "Identity" => Ok(Some(vec![input(0)?.clone()])),
        "Reshape" => reshaped(shape::reshape_target(call, input(0)?.shape())?),
        "Squeeze" => reshaped(shape::squeeze_target(call, input(0)?.shape())?),
        "Unsqueeze" => reshaped(shape::unsqueeze_target(call, input(0)?.shape())?),
        "Flatten" => reshaped(shape::flatten_target(call, input(0)?.shape())?),
        "Transpose" => {
            let x = input(0)?;
            let permutation = shape::permutation(call, x.rank())?;
            let own = strides(x.shape());
            let to: Vec<usize> = permutation.iter().map(|&axis| x.shape()[axis]).collect();
            let steps: Vec<usize> = permutation.iter().map(|&axis| own[axis]).collect();
            Ok(Some(vec![pick(x, &to, &places(&to, &steps, 0))?]))
        }
        "Expand" => {
            let x = input(0)?;
            let to = stretched(x.shape(), &shape::extents(&integers(input(1)?)?)?)?;
            match few(&to) {
                Some(_) => Ok(Some(vec![pick(x, &to, &stretched_places(x.shape(), &to))?])),
                None => Ok(None),
            }
        }
        "ConstantOfShape" => {
            let to = shape::extents(&integers(input(0)?)?)?;
            if few(&to).is_none() {
                return Ok(None);
            }
            let value = match call.stored("value")? {
                Some(stored) => stored.array()?,
                None => Array::vector(&[0f32]),
            };
            let count = thalweg_array::element_count(&to).unwrap_or(0);
            if value.len() != 1 {
                return Err("attribute `value` should hold one element".into());
            }
            Ok(Some(vec![pick(&value, &to, &vec![0; count])?]))
        }
        "Tile" => {
            let x = input(0)?;
            let repeats = shape::extents(&integers(input(1)?)?)?;
            if repeats.len() != x.rank() {
                return Err(format!("{} repeats of {} axes", repeats.len(), x.rank()));
            }
            let to: Vec<usize> =
                x.shape().iter().zip(&repeats).map(|(&a, &b)| a.saturating_mul(b)).collect();
            if few(&to).is_none() {
                return Ok(None);
            }
            let own = strides(x.shape());
            let mut at = vec![0usize];
            for axis in 0..to.len() {
                let (extent, step) = (x.shape()[axis], own[axis]);
                at = at
                    .iter()
                    .flat_map(|&base| (0..to[axis]).map(move |i| base + i % extent.max(1) * step))
                    .collect();
            }
            Ok(Some(vec![pick(x, &to, &at)?]))
        }
        "Concat" => {
            let given: Vec<&Array> = arrays.iter().copied().flatten().collect();
            let axis = call.integer("axis")?.ok_or("attribute `axis` is missing")?;
            Ok(concatenate(&given, axis)?.map(|array| vec![array]))
        }
        "Slice" => {
            let x = input(0)?;
            let ranges = shape::slices(call, x.shape())?;
            let own = strides(x.shape());
            let mut at = vec![0usize];
            let mut to = Vec::with_capacity(x.rank());
            for (range, &step) in ranges.iter().zip(&own) {
                to.push(range.count);
                let indices: Vec<usize> = range.indices().map(|i| i * step).collect();
                at = at.iter().flat_map(|&base| indices.iter().map(move |i| base + i)).collect();
            }
            Ok(Some(vec![pick(x, &to, &at)?]))
        }
        "Gather" => {
            let x = input(0)?;
            let axis = axis_of(call.integer_or("axis", 0)?, x.rank())?;
            let extent = x.shape()[axis];
            let mut indices = Vec::new();
            for index in integers(input(1)?)? {
                indices.push(
                    axis_of(index, extent)
                        .map_err(|_| format!("index {index} of an axis of {extent} elements"))?,
                );
            }
            let to = [&x.shape()[..axis], input(1)?.shape(), &x.shape()[axis + 1..]].concat();
            if few(&to).is_none() {
                return Ok(None);
            }
            let inner: usize = x.shape()[axis + 1..].iter().product();
            let outer: usize = x.shape()[..axis].iter().product();
            let mut at = Vec::new();
            for row in 0..outer {
                for &index in &indices {
                    let start = (row * extent + index) * inner;
                    at.extend(start..start + inner);
                }
            }
            Ok(Some(vec![pick(x, &to, &at)?]))
        }
        "Split" => {
            let x = input(0)?;
            let (axis, parts) = shape::split_parts(call, x.shape())?;
            let own = strides(x.shape());
            let mut start = 0;
            let mut out = Vec::with_capacity(parts.len());
            for part in parts {
                let mut to = x.shape().to_vec();
                to[axis] = part;
                out.push(pick(x, &to, &places(&to, &own, start * own[axis]))?);
                start += part;
            }
            Ok(Some(out))
        }
        "NonZero" => {
            let x = input(0)?;
            let values = x.to_f64_vec();
            let found: Vec<usize> = (0..values.len()).filter(|&at| values[at] != 0.0).collect();
            let own = strides(x.shape());
            let index = |axis: usize, at: usize| (at / own[axis] % x.shape()[axis]) as i64;
            let rows: Vec<i64> = (0..x.rank())
                .flat_map(|axis| found.iter().map(move |&at| (axis, at)))
                .map(|(axis, at)| index(axis, at))
                .collect();
            Ok(Some(vec![Array::from_slice(&[x.rank(), found.len()], &rows).map_err(text)?]))
        }
        _ => Ok(None),
    }
}
