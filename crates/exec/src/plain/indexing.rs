//! Slices at computed places, gather and scatter.

use super::{Number, Slot, by_number, by_size, integer};
use crate::kernel::Pool;
use crate::plan::view::row_major;
use thalweg_graph::{DType, GatherAxes};

/// Elements moved by one task.
const TASK: usize = 16 * 1024;

/// Start along each axis, clamped so that `sizes` fit.
unsafe fn clamped(starts: &[Slot<'_>], shape: &[usize], sizes: &[usize]) -> Vec<usize> {
    starts
        .iter()
        .zip(shape.iter().zip(sizes))
        .map(|(start, (&extent, &size))| {
            // SAFETY: a start is one integer.
            unsafe { integer(start, 0) }.clamp(0, (extent - size) as i64) as usize
        })
        .collect()
}

/// Calls `f(offset in the whole, offset in the part, length)` for each row of a box.
fn rows(
    shape: &[usize],
    starts: &[usize],
    sizes: &[usize],
    mut f: impl FnMut(usize, usize, usize),
) {
    if sizes.contains(&0) {
        return;
    }
    let strides = row_major(shape);
    let length = sizes.last().copied().unwrap_or(1);
    let n_rows = sizes[..sizes.len().saturating_sub(1)].iter().product::<usize>();
    for row in 0..n_rows {
        let mut rest = row;
        let mut offset = starts.last().copied().unwrap_or(0);
        for axis in (0..sizes.len().saturating_sub(1)).rev() {
            offset += (starts[axis] + rest % sizes[axis]) * strides[axis] as usize;
            rest /= sizes[axis];
        }
        f(offset, row * length, length);
    }
}

pub(super) unsafe fn dynamic_slice(operand: &Slot<'_>, starts: &[Slot<'_>], out: &Slot<'_>) {
    let sizes = &out.ty.shape;
    // SAFETY: starts are scalars, and clamped boxes lie inside the operand.
    unsafe {
        let starts = clamped(starts, &operand.ty.shape, sizes);
        by_size!(operand.ty.dtype.size(), T => {
            rows(&operand.ty.shape, &starts, sizes, |whole, part, length| {
                let from = operand.source::<T>(whole, length);
                std::ptr::copy_nonoverlapping(from, out.target(part, length), length);
            });
        });
    }
}

pub(super) unsafe fn dynamic_update_slice(
    operand: &Slot<'_>,
    update: &Slot<'_>,
    starts: &[Slot<'_>],
    out: &Slot<'_>,
) {
    let sizes = &update.ty.shape;
    // SAFETY: as for `dynamic_slice`; the result has the operand's size.
    unsafe {
        let starts = clamped(starts, &operand.ty.shape, sizes);
        copy(operand, out);
        by_size!(operand.ty.dtype.size(), T => {
            rows(&operand.ty.shape, &starts, sizes, |whole, part, length| {
                let to = out.target::<T>(whole, length);
                std::ptr::copy_nonoverlapping(update.source(part, length), to, length);
            });
        });
    }
}

/// Copies a whole operand.
unsafe fn copy(operand: &Slot<'_>, out: &Slot<'_>) {
    let bytes = operand.ty.size_in_bytes();
    // SAFETY: the caller gives a result of the operand's size.
    unsafe {
        std::ptr::copy_nonoverlapping(operand.source::<u8>(0, bytes), out.target(0, bytes), bytes);
    }
}

/// Extents of `[B.., N, S.., T..]` by `[B.., I.., T..]`.
struct Extents {
    batch: usize,
    n: usize,
    indices: usize,
    slices: usize,
    trailing: usize,
}

impl Extents {
    fn of(axes: GatherAxes, operand: &Slot<'_>, indices: &Slot<'_>) -> Extents {
        let shape = &operand.ty.shape;
        let tail = shape.len() - axes.trailing;
        let index_shape = &indices.ty.shape;
        let index_tail = index_shape.len() - axes.trailing;
        Extents {
            batch: shape[..axes.batch].iter().product(),
            n: shape[axes.batch],
            indices: index_shape[axes.batch..index_tail].iter().product(),
            slices: shape[axes.batch + 1..tail].iter().product(),
            trailing: shape[tail..].iter().product(),
        }
    }
}

pub(super) unsafe fn gather(
    axes: GatherAxes,
    operand: &Slot<'_>,
    indices: &Slot<'_>,
    out: &Slot<'_>,
    pool: &Pool,
) {
    let e = Extents::of(axes, operand, indices);
    let row = e.slices * e.trailing;
    let n_rows = e.batch * e.indices;
    if row == 0 || n_rows == 0 {
        return;
    }
    let per_task = (TASK / row).max(1);
    by_size!(operand.ty.dtype.size(), T => {
        pool.for_each(n_rows.div_ceil(per_task), |task| {
            for at in task * per_task..((task + 1) * per_task).min(n_rows) {
                let batch = at / e.indices;
                // SAFETY: indices outside are skipped; tasks write separate rows.
                unsafe {
                    let to = out.target::<T>(at * row, row);
                    let base = batch * e.n * row;
                    if e.trailing == 1 {
                        let index = integer(indices, at);
                        if (0..e.n as i64).contains(&index) {
                            let from = operand.source::<T>(base + index as usize * row, row);
                            std::ptr::copy_nonoverlapping(from, to, row);
                        } else {
                            std::ptr::write_bytes(to, 0, row);
                        }
                        continue;
                    }
                    for t in 0..e.trailing {
                        let index = integer(indices, at * e.trailing + t);
                        let inside = (0..e.n as i64).contains(&index);
                        for s in 0..e.slices {
                            let place = s * e.trailing + t;
                            *to.add(place) = if inside {
                                *operand.source::<T>(base + index as usize * row + place, 1)
                            } else {
                                0
                            };
                        }
                    }
                }
            }
        });
    });
}

/// Each element of the result takes its updates in increasing order of index position.
pub(super) unsafe fn scatter_add(
    axes: GatherAxes,
    operand: &Slot<'_>,
    indices: &Slot<'_>,
    updates: &Slot<'_>,
    out: &Slot<'_>,
    pool: &Pool,
) {
    let e = Extents::of(axes, operand, indices);
    let row = e.slices * e.trailing;
    // SAFETY: the result has the operand's size.
    unsafe { copy(operand, out) };
    if row == 0 || e.batch == 0 || e.indices == 0 {
        return;
    }
    // A task owns a range of columns of one batch, so no two tasks add to one element.
    let columns =
        if e.batch >= pool.threads() { row } else { row.div_ceil(pool.threads()).max(16) };
    let pieces = row.div_ceil(columns);
    by_number!(operand.ty.dtype, T => {
        pool.for_each(e.batch * pieces, |task| {
            let (batch, piece) = (task / pieces, task % pieces);
            let (low, high) = (piece * columns, ((piece + 1) * columns).min(row));
            for i in 0..e.indices {
                let at = batch * e.indices + i;
                // SAFETY: indices outside are skipped; tasks add to separate columns.
                unsafe {
                    let base = batch * e.n * row;
                    let from = updates.source::<T>(at * row, row);
                    let once = (e.trailing == 1).then(|| integer(indices, at));
                    for place in low..high {
                        let index = once.unwrap_or_else(|| {
                            integer(indices, at * e.trailing + place % e.trailing)
                        });
                        if (0..e.n as i64).contains(&index) {
                            let to = out.target::<T>(base + index as usize * row + place, 1);
                            *to = Number::plus(*to, *from.add(place));
                        }
                    }
                }
            }
        });
    });
}
