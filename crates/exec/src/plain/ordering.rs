//! Sorting, the place of the largest, and running sums.

use super::{Number, Slot, around, by_number, by_size};
use crate::kernel::Pool;
use std::cmp::Ordering;
use thalweg_graph::DType;

/// Calls `lane(start)` for each line along an axis; `start` is its first element.
fn lanes(pool: &Pool, before: usize, extent: usize, after: usize, lane: impl Fn(usize) + Sync) {
    let n_lanes = before * after;
    let per_task = (16 * 1024 / extent.max(1)).max(1);
    pool.for_each(n_lanes.div_ceil(per_task), |task| {
        for at in task * per_task..((task + 1) * per_task).min(n_lanes) {
            lane(at / after * extent * after + at % after);
        }
    });
}

/// Elements from the first to the last of a lane.
fn lane_reach(extent: usize, after: usize) -> usize {
    extent.checked_sub(1).map_or(0, |last| last * after + 1)
}

/// The first largest element; NaN is larger than all.
pub(super) unsafe fn arg_max(axis: usize, operand: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    let (before, extent, after) = around(&operand.ty.shape, axis);
    by_number!(operand.ty.dtype, T => {
        lanes(pool, before, extent, after, |start| {
            // SAFETY: a lane's elements lie inside the operand; lanes have separate results.
            unsafe {
                let from = operand.source::<T>(start, lane_reach(extent, after));
                let mut best = 0;
                for k in 1..extent {
                    let (x, top) = (*from.add(k * after), *from.add(best * after));
                    if Number::exceeds(x, top) {
                        best = k;
                    }
                }
                let place = start / (extent * after) * after + start % after;
                *out.target::<i32>(place, 1) = best as i32;
            }
        });
    });
}

/// NaN comes last in either direction; zeros of either sign are equal.
fn compare<T: Number>(a: T, b: T, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

pub(super) unsafe fn sort(
    axis: usize,
    descending: bool,
    inputs: &[Slot<'_>],
    outputs: &[Slot<'_>],
    pool: &Pool,
) {
    let (before, extent, after) = around(&inputs[0].ty.shape, axis);
    let key_type = inputs[0].ty.dtype;
    lanes(pool, before, extent, after, |start| {
        let mut order: Vec<usize> = (0..extent).collect();
        // SAFETY: a lane's elements lie inside the operands; lanes have separate results.
        unsafe {
            by_number!(key_type, T => {
                let from = inputs[0].source::<T>(start, lane_reach(extent, after));
                let key = |k: usize| *from.add(k * after);
                order.sort_by(|&a, &b| compare(key(a), key(b), descending));
            });
            for (from, to) in inputs.iter().zip(outputs) {
                by_size!(from.ty.dtype.size(), T => {
                    let from = from.source::<T>(start, lane_reach(extent, after));
                    let to = to.target::<T>(start, lane_reach(extent, after));
                    for (k, &source) in order.iter().enumerate() {
                        *to.add(k * after) = *from.add(source * after);
                    }
                });
            }
        }
    });
}

pub(super) unsafe fn cumulative_sum(
    axis: usize,
    reverse: bool,
    operand: &Slot<'_>,
    out: &Slot<'_>,
    pool: &Pool,
) {
    let (before, extent, after) = around(&operand.ty.shape, axis);
    by_number!(operand.ty.dtype, T => {
        lanes(pool, before, extent, after, |start| {
            let from = operand.source::<T>(start, lane_reach(extent, after));
            let to = out.target::<T>(start, lane_reach(extent, after));
            let mut sum = T::ZERO;
            for k in 0..extent {
                let k = if reverse { extent - 1 - k } else { k };
                // SAFETY: a lane's elements lie inside the operand; lanes have separate results.
                unsafe {
                    sum = Number::plus(sum, *from.add(k * after));
                    *to.add(k * after) = sum;
                }
            }
        });
    });
}
