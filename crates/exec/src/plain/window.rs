//! Sliding windows.

use super::{Number, Slot, by_number};
use crate::kernel::Pool;
use crate::plan::view::row_major;
use thalweg_graph::{DType, Window};

/// Output elements handled by one task.
const TASK: usize = 4 * 1024;

/// Calls `each(first output element, taps, n)` for each group of `n` neighbouring output elements
/// whose windows lie alike: the channels of one place, where the last axis is not windowed. `taps`
/// are the offsets, for the first of them, of the window's elements that are not padding, in
/// row-major order.
fn slide(
    window: &Window,
    from: &[usize],
    to: &[usize],
    pool: &Pool,
    each: impl Fn(usize, &[usize], usize) + Sync,
) {
    let strides = row_major(from);
    let last = from.len().checked_sub(1).filter(|&axis| {
        window.size[axis] == 1 && window.stride[axis] == 1 && window.padding[axis] == (0, 0)
    });
    let (rank, inner) = last.map_or((from.len(), 1), |axis| (axis, from[axis]));
    let n_places: usize = to[..rank].iter().product();
    let n_taps: usize = window.size[..rank].iter().product();
    let per_task = (TASK / (inner.max(1) * n_taps.max(1))).max(1);
    pool.for_each(n_places.div_ceil(per_task), |task| {
        let mut taps = Vec::with_capacity(n_taps);
        for place in task * per_task..((task + 1) * per_task).min(n_places) {
            taps.clear();
            taps.extend((0..n_taps).filter_map(|tap| {
                let (mut p, mut t, mut offset) = (place, tap, 0);
                for axis in (0..rank).rev() {
                    let (o, k) = (p % to[axis], t % window.size[axis]);
                    p /= to[axis];
                    t /= window.size[axis];
                    let at = o * window.stride[axis] + k * window.dilation[axis];
                    let at = at.checked_sub(window.padding[axis].0)?;
                    if at >= from[axis] {
                        return None;
                    }
                    offset += at * strides[axis] as usize;
                }
                Some(offset)
            }));
            each(place * inner, &taps, inner);
        }
    });
}

pub(super) unsafe fn sum(window: &Window, operand: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    by_number!(operand.ty.dtype, T => {
        slide(window, &operand.ty.shape, &out.ty.shape, pool, |first, taps, n| {
            // SAFETY: taps and their neighbours lie inside the operand; groups are written once.
            let to = unsafe { std::slice::from_raw_parts_mut(out.target::<T>(first, n), n) };
            to.fill(T::ZERO);
            for &tap in taps {
                // SAFETY: as above.
                let row = unsafe { std::slice::from_raw_parts(operand.source::<T>(tap, n), n) };
                for (sum, &x) in to.iter_mut().zip(row) {
                    *sum = Number::plus(*sum, x);
                }
            }
        });
    });
}

pub(super) unsafe fn arg_max(window: &Window, operand: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    by_number!(operand.ty.dtype, T => {
        slide(window, &operand.ty.shape, &out.ty.shape, pool, |first, taps, n| {
            // SAFETY: taps and their neighbours lie inside the operand; groups are written once.
            let to = unsafe { std::slice::from_raw_parts_mut(out.target::<i32>(first, n), n) };
            // SAFETY: as above.
            let element = |offset: usize| unsafe { *operand.source::<T>(offset, 1) };
            for (c, place) in to.iter_mut().enumerate() {
                // The shape rule leaves no window without an element.
                let mut best = taps.first().map_or(0, |tap| tap + c);
                let mut top = element(best);
                for &tap in taps.iter().skip(1) {
                    let x = element(tap + c);
                    if Number::exceeds(x, top) {
                        (best, top) = (tap + c, x);
                    }
                }
                *place = best as i32;
            }
        });
    });
}
