//! Lists of tensors.

use super::shape::host_list;
use crate::onnx::call::{Call, Outcome, axis_of, one};
use crate::onnx::value::Value;
use thalweg_array::{Array, DType};
use thalweg_graph::GatherAxes;

fn list<'v, 'b>(call: &'v Call<'_, '_, 'b>, i: usize) -> Result<&'v [Value<'b>], String> {
    match call.value(i)? {
        Value::Sequence(values) => Ok(values),
        _ => Err(format!("input {i} should be a sequence")),
    }
}

/// A place in a list, counted from the end if it is negative; `last` itself where it is left out.
fn place(call: &Call<'_, '_, '_>, i: usize, count: usize, last: usize) -> Result<usize, String> {
    if !call.has(i) {
        return Ok(last);
    }
    let index = call.host_integers(i)?.first().copied().ok_or("no index")?;
    if index == count as i64 && last == count {
        return Ok(count);
    }
    axis_of(index, count).map_err(|_| format!("place {index} of a sequence of {count}"))
}

pub fn sequence_construct<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let values = call.inputs.iter().flatten().cloned().collect();
    Ok(vec![Value::Sequence(values)])
}

pub fn sequence_empty<'b>(_: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    Ok(vec![Value::Sequence(Vec::new())])
}

pub fn sequence_length<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    one(Array::scalar(list(call, 0)?.len() as i64))
}

pub fn sequence_at<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let values = list(call, 0)?;
    let at = place(call, 1, values.len(), usize::MAX)?;
    values.get(at).cloned().map(|value| vec![value]).ok_or_else(|| "no such element".into())
}

pub fn sequence_insert<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut values = list(call, 0)?.to_vec();
    let at = place(call, 2, values.len(), values.len())?;
    values.insert(at, call.value(1)?.clone());
    Ok(vec![Value::Sequence(values)])
}

pub fn sequence_erase<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut values = list(call, 0)?.to_vec();
    let last = values.len().checked_sub(1).ok_or("the sequence is empty")?;
    let at = place(call, 1, values.len(), last)?;
    values.remove(at);
    Ok(vec![Value::Sequence(values)])
}

pub fn concat_from_sequence<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut tensors = Vec::new();
    for value in list(call, 0)? {
        tensors.push(value.laid(call.builder())?.plain());
    }
    let rank = tensors.first().ok_or("the sequence is empty")?.rank();
    let axis = call.integer("axis")?.ok_or("attribute `axis` is missing")?;
    let new = call.flag("new_axis")?;
    let axis = axis_of(axis, if new { rank + 1 } else { rank })?;
    if new {
        tensors.iter_mut().for_each(|tensor| *tensor = tensor.expand(axis));
    }
    one(call.builder().concatenate(&tensors, axis))
}

pub fn split_to_sequence<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", 0)?, x.rank())?;
    let extent = x.shape()[axis];
    let mut keep = true;
    let parts: Vec<usize> = match call.has(1) {
        false => {
            keep = call.integer_or("keepdims", 1)? != 0;
            vec![1; extent]
        }
        true => {
            let sizes = host_list(call.value(1)?)?;
            let scalar = call.shape(1)?.is_empty();
            let sizes = super::shape::extents(&sizes)?;
            match sizes[..] {
                [size] if scalar && size > 0 => {
                    (0..extent.div_ceil(size)).map(|i| size.min(extent - i * size)).collect()
                }
                _ => sizes,
            }
        }
    };
    if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(extent) {
        return Err(format!("parts {parts:?} of {extent} elements"));
    }
    let mut start = 0;
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        let piece = x.slice(axis, start, start + part);
        let piece = if keep { piece } else { x.index(axis, start) };
        values.push(Value::from(piece));
        start += part;
    }
    Ok(vec![Value::Sequence(values)])
}

/// The first elements of each sequence of a batch, turned round.
pub fn reverse_sequence<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x, lengths) = (call.tensor(0)?, call.tensor(1)?);
    let (batch, time) = (call.count_or("batch_axis", 1)?, call.count_or("time_axis", 0)?);
    let shape = x.shape();
    if shape.len() < 2
        || batch > 1
        || time > 1
        || batch == time
        || lengths.shape() != [shape[batch]]
    {
        return Err(format!("lengths of shape {:?} for {shape:?}", lengths.shape()));
    }
    let lead = [shape[0], shape[1]];
    let place = call.builder().iota(DType::I64, &lead, time);
    let length = lengths.convert(DType::I64).broadcast_in(&lead, &[batch]);
    let turned = length - 1.0 - place;
    let index = place.less(length).select(turned, place);
    // Time behind the batch, so that the batch is matched.
    let (x, index) = match time {
        0 => (x.move_axis(0, 1), index.transpose(&[1, 0])),
        _ => (x, index),
    };
    let y = x.gather(index, GatherAxes { batch: 1, trailing: 0 });
    one(if time == 0 { y.move_axis(0, 1) } else { y })
}
