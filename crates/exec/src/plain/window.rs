//! Sliding windows.

use super::{Number, Slot, by_number};
use crate::kernel::Pool;
use crate::plan::view::row_major;
use thalweg_graph::{DType, Window};

/// Output positions handled by one task.
const TASK: usize = 2 * 1024;

/// Calls `visit(output position, input offset)` for each element of each window, in row-major
/// order within a window; padding is left out. `start(output position)` comes before a window.
fn slide(
    window: &Window,
    from: &[usize],
    to: &[usize],
    pool: &Pool,
    each: impl Fn(usize, &mut dyn Iterator<Item = usize>) + Sync,
) {
    let rank = from.len();
    let strides = row_major(from);
    let n_out: usize = to.iter().product();
    let n_taps: usize = window.size.iter().product();
    pool.for_each(n_out.div_ceil(TASK), |task| {
        for position in task * TASK..((task + 1) * TASK).min(n_out) {
            let mut taps = (0..n_taps).filter_map(|tap| {
                let (mut p, mut t, mut offset) = (position, tap, 0);
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
            });
            each(position, &mut taps);
        }
    });
}

pub(super) unsafe fn sum(window: &Window, operand: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    by_number!(operand.ty.dtype, T => {
        slide(window, &operand.ty.shape, &out.ty.shape, pool, |position, taps| {
            let mut sum = T::ZERO;
            for offset in taps {
                // SAFETY: taps lie inside the operand; positions are written once.
                sum = Number::plus(sum, unsafe { *operand.at::<T>().add(offset) });
            }
            unsafe { *out.at::<T>().add(position) = sum };
        });
    });
}

pub(super) unsafe fn arg_max(window: &Window, operand: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    by_number!(operand.ty.dtype, T => {
        slide(window, &operand.ty.shape, &out.ty.shape, pool, |position, taps| {
            let mut best: Option<(usize, T)> = None;
            for offset in taps {
                // SAFETY: taps lie inside the operand.
                let x = unsafe { *operand.at::<T>().add(offset) };
                let larger = best.is_none_or(|(_, top)| {
                    x > top || (Number::is_nan(x) && !Number::is_nan(top))
                });
                if larger {
                    best = Some((offset, x));
                }
            }
            let place = best.map_or(0, |(offset, _)| offset);
            // SAFETY: positions are written once.
            unsafe { *out.at::<i32>().add(position) = place as i32 };
        });
    });
}
