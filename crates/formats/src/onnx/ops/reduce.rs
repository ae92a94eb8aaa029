//! Reductions over axes.

use super::elementwise;
use crate::onnx::call::{Call, Outcome, axis_of, one};
use crate::onnx::value::Laid;
use thalweg_array::DType;
use thalweg_graph::{Reduction, Tensor};

/// Applies a reduction to the axes that the node names.
fn over<'b>(
    call: &Call<'_, '_, 'b>,
    of: impl FnOnce(Tensor<'b>, &[usize]) -> Tensor<'b>,
) -> Outcome<'b> {
    let x = call.laid(0)?;
    let rank = x.rank();
    let given = call.axes(1, "axes")?;
    if given.as_ref().is_none_or(Vec::is_empty) && call.flag("noop_with_empty_axes")? {
        return one(x.like(of(x.tensor, &[])));
    }
    let mut axes = Vec::new();
    for axis in given.unwrap_or_default() {
        let axis = axis_of(axis, rank)?;
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    if axes.is_empty() {
        axes.extend(0..rank);
    }
    let keep = call.integer_or("keepdims", 1)? != 0;
    // Without channels, or without anything after them, both orders are the same.
    let fits = keep || axes.contains(&1) || (2..rank).all(|axis| axes.contains(&axis));
    let x = if fits { x } else { Laid::plain_of(x.plain()) };
    let mut places: Vec<usize> = axes.iter().map(|&axis| x.axis(axis)).collect();
    places.sort_unstable();
    let y = of(x.tensor, &places);
    one(match keep {
        true => x.like(y.keep(&places)),
        false => Laid::plain_of(y),
    })
}

pub fn sum<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.sum(axes))
}

pub fn mean<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| match x.dtype().is_float() {
        true => x.mean(axes),
        false => {
            let shape = x.shape();
            let n: usize = axes.iter().map(|&axis| shape[axis]).product();
            x.sum(axes) / n as f64
        }
    })
}

/// Booleans are ordered as well: any, and all.
fn extreme<'b>(x: Tensor<'b>, axes: &[usize], number: Reduction, boolean: Reduction) -> Tensor<'b> {
    x.reduce(if x.dtype() == DType::Bool { boolean } else { number }, axes)
}

pub fn max<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| extreme(x, axes, Reduction::Max, Reduction::Any))
}

pub fn min<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| extreme(x, axes, Reduction::Min, Reduction::All))
}

pub fn product<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| axes.iter().rev().fold(x, |x, &axis| elementwise::product(x, axis)))
}

pub fn l1<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.abs().sum(axes))
}

pub fn l2<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.square().sum(axes).sqrt())
}

pub fn sum_square<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.square().sum(axes))
}

pub fn log_sum<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.sum(axes).log())
}

pub fn log_sum_exp<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    over(call, |x, axes| x.logsumexp(axes))
}

pub fn cumulative_sum<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.host_integers(1)?.first().copied().ok_or("no axis")?, x.rank())?;
    let reverse = call.flag("reverse")?;
    let sum = x.cumulative_sum(axis, reverse);
    if !call.flag("exclusive")? || x.shape()[axis] == 0 {
        return one(sum);
    }
    // Moved on by one element, with zero first.
    let extent = x.shape()[axis];
    let mut amount = vec![0; x.rank()];
    amount[axis] = 1;
    let none = vec![0; x.rank()];
    one(match reverse {
        true => sum.slice(axis, 1, extent).pad(0.0, &none, &amount, &none),
        false => sum.slice(axis, 0, extent - 1).pad(0.0, &amount, &none, &none),
    })
}
