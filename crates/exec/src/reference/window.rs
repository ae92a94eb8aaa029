//! Operations along axes: reductions, windows, orders, running sums.

use super::dense::{Dense, Scalar, for_each_index, offset};
use super::elementwise::{self, is_nan, order};
use super::structural::add;
use std::cmp::Ordering;
use thalweg_array::DType;
use thalweg_graph::{Binary, Reduction, TensorType, Window};

pub(super) fn reduce(x: &Dense, ty: &TensorType, kind: Reduction, axes: &[usize]) -> Dense {
    let combine = |a: Scalar, b: Scalar| match kind {
        Reduction::Sum => add(a, b, x.dtype),
        Reduction::Max => elementwise::binary(Binary::Maximum, a, b, x.dtype),
        Reduction::Min => elementwise::binary(Binary::Minimum, a, b, x.dtype),
        Reduction::All => Scalar::Bool(a.boolean() && b.boolean()),
        Reduction::Any => Scalar::Bool(a.boolean() || b.boolean()),
    };
    let mut result = Dense::build(ty, |_| identity(kind, x.dtype));
    for_each_index(&x.shape, |index| {
        let to = result.at_mut(&without(index, axes));
        *to = combine(*to, x.at(index));
    });
    result
}

/// What a reduction gives over nothing.
fn identity(kind: Reduction, dtype: DType) -> Scalar {
    let (least, largest) = match dtype {
        DType::F32 | DType::F64 => (Scalar::Float(f64::NEG_INFINITY), Scalar::Float(f64::INFINITY)),
        DType::I32 => (Scalar::Integer(i64::from(i32::MIN)), Scalar::Integer(i64::from(i32::MAX))),
        DType::I64 => (Scalar::Integer(i64::MIN), Scalar::Integer(i64::MAX)),
        DType::U32 => (Scalar::Integer(0), Scalar::Integer(i64::from(u32::MAX))),
        DType::Bool => (Scalar::Bool(false), Scalar::Bool(true)),
    };
    match kind {
        Reduction::Sum => Scalar::zero(dtype),
        Reduction::Max => least,
        Reduction::Min => largest,
        Reduction::All => Scalar::Bool(true),
        Reduction::Any => Scalar::Bool(false),
    }
}

fn without(index: &[usize], axes: &[usize]) -> Vec<usize> {
    (0..index.len()).filter(|axis| !axes.contains(axis)).map(|axis| index[axis]).collect()
}

/// Whether `a` is larger than `b`, NaN being larger than any number.
fn larger(a: Scalar, b: Scalar) -> bool {
    match (is_nan(a), is_nan(b)) {
        (true, b_is_nan) => !b_is_nan,
        (false, true) => false,
        (false, false) => order(a, b) == Some(Ordering::Greater),
    }
}

pub(super) fn arg_max(x: &Dense, ty: &TensorType, axis: usize) -> Dense {
    Dense::build(ty, |index| {
        let at = |i: usize| {
            let mut source = index.to_vec();
            source.insert(axis, i);
            x.at(&source)
        };
        let mut best = 0;
        for i in 1..x.shape[axis] {
            if larger(at(i), at(best)) {
                best = i;
            }
        }
        Scalar::Integer(best as i64)
    })
}

pub(super) fn window_sum(x: &Dense, ty: &TensorType, window: &Window) -> Dense {
    Dense::build(ty, |index| {
        let mut sum = Scalar::zero(x.dtype);
        for_each_in_window(x, window, index, |at| sum = add(sum, x.elements[at], x.dtype));
        sum
    })
}

pub(super) fn window_arg_max(x: &Dense, ty: &TensorType, window: &Window) -> Dense {
    Dense::build(ty, |index| {
        let mut best: Option<usize> = None;
        for_each_in_window(x, window, index, |at| {
            if best.is_none_or(|best| larger(x.elements[at], x.elements[best])) {
                best = Some(at);
            }
        });
        Scalar::Integer(best.expect("the verifier asked for an element in every window") as i64)
    })
}

/// Calls `visit` with the row-major position of each element of `x` that the window at `index`
/// holds, in row-major order; padding is left out.
fn for_each_in_window(x: &Dense, window: &Window, index: &[usize], mut visit: impl FnMut(usize)) {
    for_each_index(&window.size, |within| {
        let mut source = Vec::with_capacity(index.len());
        for axis in 0..index.len() {
            let padded = index[axis] * window.stride[axis] + within[axis] * window.dilation[axis];
            match padded.checked_sub(window.padding[axis].0) {
                Some(i) if i < x.shape[axis] => source.push(i),
                _ => return,
            }
        }
        visit(offset(&x.shape, &source));
    });
}

/// Sorts every line along `axis` by the first operand.
pub(super) fn sort(operands: &[&Dense], axis: usize, descending: bool) -> Vec<Dense> {
    let key = operands[0];
    let mut lines = key.shape.clone();
    let extent = std::mem::replace(&mut lines[axis], 1);
    let mut results: Vec<Dense> = operands.iter().map(|&operand| operand.clone()).collect();
    for_each_index(&lines, |line| {
        let place = |i: usize| {
            let mut index = line.to_vec();
            index[axis] = i;
            index
        };
        let mut ranked: Vec<usize> = (0..extent).collect();
        // The library's sort is stable.
        ranked.sort_by(|&i, &j| {
            let (a, b) = (key.at(&place(i)), key.at(&place(j)));
            match order(a, b) {
                Some(order) if descending => order.reverse(),
                Some(order) => order,
                None => is_nan(a).cmp(&is_nan(b)),
            }
        });
        for (operand, result) in operands.iter().zip(&mut results) {
            for (to, &from) in ranked.iter().enumerate() {
                *result.at_mut(&place(to)) = operand.at(&place(from));
            }
        }
    });
    results
}

pub(super) fn cumulative_sum(x: &Dense, axis: usize, reverse: bool) -> Dense {
    let mut result = x.clone();
    for_each_index(&x.shape, |index| {
        let range = if reverse { index[axis]..x.shape[axis] } else { 0..index[axis] + 1 };
        let mut sum = Scalar::zero(x.dtype);
        for i in range {
            let mut source = index.to_vec();
            source[axis] = i;
            sum = add(sum, x.at(&source), x.dtype);
        }
        *result.at_mut(index) = sum;
    });
    result
}
