//! Padding.

use super::shape::check_large;
use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_array::DType;
use thalweg_graph::Tensor;

/// Elements before and after each axis; negative ones are cut off.
fn amounts(call: &Call<'_, '_, '_>, rank: usize) -> Result<Vec<(i64, i64)>, String> {
    let pads = match call.has(1) {
        true => call.host_integers(1)?,
        false => call.integers_of("pads")?.ok_or("its amounts are missing")?,
    };
    let mut axes = Vec::new();
    match call.has(3) {
        true => {
            for axis in call.host_integers(3)? {
                axes.push(axis_of(axis, rank)?);
            }
        }
        false => axes.extend(0..rank),
    }
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} amounts for {} axes", pads.len(), axes.len()));
    }
    let mut amounts = vec![(0, 0); rank];
    for (i, &axis) in axes.iter().enumerate() {
        amounts[axis] = (pads[i], pads[i + axes.len()]);
    }
    Ok(amounts)
}

pub fn pad<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let shape = x.shape();
    let amounts = amounts(call, shape.len())?;
    // First what is cut off.
    let (mut start, mut limit) = (Vec::new(), Vec::new());
    for (&(low, high), &extent) in amounts.iter().zip(&shape) {
        let cut = |amount: i64| usize::try_from(-amount.clamp(-(extent as i64), 0)).unwrap_or(0);
        let (first, last) = (cut(low), extent.saturating_sub(cut(high)));
        if first > last {
            return Err(format!("{low} and {high} leave nothing of {extent} elements"));
        }
        start.push(first);
        limit.push(last);
    }
    let ones = vec![1; shape.len()];
    let cut = x.tensor.slice_all(&x.ordered(&start), &x.ordered(&limit), &ones);
    let amount = |value: i64| usize::try_from(value).unwrap_or(0);
    let low: Vec<usize> = amounts.iter().map(|&(low, _)| amount(low)).collect();
    let high: Vec<usize> = amounts.iter().map(|&(_, high)| amount(high)).collect();
    let result: Vec<usize> = (0..shape.len())
        .map(|axis| {
            (limit[axis] - start[axis]).saturating_add(low[axis]).saturating_add(high[axis])
        })
        .collect();
    check_large(&result)?;
    let (low, high) = (x.ordered(&low), x.ordered(&high));
    let mode = call.text_or("mode", "constant")?;
    if mode == "constant" {
        let fill = match call.optional(2)? {
            Some(fill) => fill.reshape(&[]).convert(cut.dtype()),
            None => call.builder().scalar_of(cut.dtype(), call.float_or("value", 0.0)?),
        };
        return one(x.like(cut.pad(fill, &low, &high, &vec![0; shape.len()])));
    }
    let mut y = cut;
    for axis in 0..shape.len() {
        y = extended(y, axis, low[axis], high[axis], mode)?;
    }
    one(x.like(y))
}

/// One axis extended by elements of its own.
fn extended<'b>(
    x: Tensor<'b>,
    axis: usize,
    low: usize,
    high: usize,
    mode: &str,
) -> Result<Tensor<'b>, String> {
    if low == 0 && high == 0 {
        return Ok(x);
    }
    let extent = x.shape()[axis];
    if extent == 0 {
        return Err("an axis without elements cannot be extended".into());
    }
    let mut parts = Vec::new();
    match mode {
        "edge" => {
            let repeated = |at: usize, n: usize| {
                let mut shape = x.shape();
                shape[axis] = n;
                x.slice(axis, at, at + 1).broadcast_to(&shape)
            };
            if low > 0 {
                parts.push(repeated(0, low));
            }
            parts.push(x);
            if high > 0 {
                parts.push(repeated(extent - 1, high));
            }
        }
        "reflect" => {
            if low >= extent || high >= extent {
                return Err(format!("{low} and {high} reflected of {extent} elements"));
            }
            if low > 0 {
                parts.push(x.slice(axis, 1, low + 1).reverse(&[axis]));
            }
            parts.push(x);
            if high > 0 {
                parts.push(x.slice(axis, extent - 1 - high, extent - 1).reverse(&[axis]));
            }
        }
        "wrap" => {
            if low > extent || high > extent {
                return Err(format!("{low} and {high} wrapped of {extent} elements"));
            }
            if low > 0 {
                parts.push(x.slice(axis, extent - low, extent));
            }
            parts.push(x);
            if high > 0 {
                parts.push(x.slice(axis, 0, high));
            }
        }
        other => return Err(format!("attribute `mode` is `{other}`")),
    }
    Ok(x.builder().concatenate(&parts, axis))
}

/// Cut or padded around the centre to a shape.
pub fn center_crop_pad<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let wanted = super::shape::extents(&call.host_integers(1)?)?;
    let mut axes = Vec::new();
    match call.integers_of("axes")? {
        Some(given) => {
            for axis in given {
                axes.push(axis_of(axis, x.rank())?);
            }
        }
        None => axes.extend(0..x.rank()),
    }
    if axes.len() != wanted.len() {
        return Err(format!("{} extents for {} axes", wanted.len(), axes.len()));
    }
    let mut y = x;
    for (&axis, &to) in axes.iter().zip(&wanted) {
        let from = y.shape()[axis];
        if to <= from {
            let start = (from - to) / 2;
            y = y.slice(axis, start, start + to);
        } else {
            let low = (to - from) / 2;
            let (mut before, mut after) = (vec![0; y.rank()], vec![0; y.rank()]);
            (before[axis], after[axis]) = (low, to - from - low);
            let mut shape = y.shape();
            shape[axis] = to;
            check_large(&shape)?;
            let fill = y.builder().scalar_of(y.dtype(), 0.0);
            y = match y.dtype() {
                DType::Bool => return Err("booleans cannot be padded".into()),
                _ => y.pad(fill, &before, &after, &vec![0; y.rank()]),
            };
        }
    }
    one(y)
}
