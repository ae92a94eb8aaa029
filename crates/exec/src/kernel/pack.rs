//! Operands laid out for the inner kernel, and partial sums joined.

use super::bounds;
use super::order::join;
use super::simd::transpose::transpose;
use super::simd::{Float, Isa};

/// The first address of a cache line in `scratch`.
pub(super) fn align<T>(scratch: *mut u8) -> *mut T {
    scratch.wrapping_add(scratch.align_offset(64)).cast()
}

/// Joins `length` elements of `parts` arrays that lie `stride` apart; the result is in the first.
///
/// # Safety
/// The elements are valid, and nothing else touches them.
pub(super) unsafe fn join_range<'a, T: Float>(
    base: *mut T,
    stride: usize,
    parts: usize,
    length: usize,
) -> &'a [T] {
    bounds::writes(base, [0, (parts.saturating_sub(1) * stride + length) as isize - 1]);
    join(parts, |into, from| {
        // SAFETY: different parts do not overlap.
        let (into, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(base.add(into * stride), length),
                std::slice::from_raw_parts(base.add(from * stride), length),
            )
        };
        for (into, &from) in into.iter_mut().zip(from) {
            *into = *into + from;
        }
    });
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(base, length) }
}

/// Copies `depth` rows of `columns` columns into rows of `width`, padded with zeros.
///
/// # Safety
/// `from` has the strided elements, `to` has `depth * width`, and the machine has the instruction
/// set.
pub(super) unsafe fn pack_columns<T: Float>(
    isa: Isa,
    from: *const T,
    [row, column]: [isize; 2],
    to: *mut T,
    [columns, width]: [usize; 2],
    depth: usize,
) {
    bounds::reads(from, bounds::reach([(depth, row), (columns, column)]));
    bounds::writes(to, [0, (depth * width) as isize - 1]);
    // SAFETY: as documented for the caller.
    unsafe {
        if row == 1 && column != 1 {
            transpose(isa, from, column, [columns, depth], to, width as isize);
        }
        for k in 0..depth {
            let (from, to) = (from.offset(k as isize * row), to.add(k * width));
            if column == 1 {
                std::ptr::copy_nonoverlapping(from, to, columns);
            } else if row != 1 {
                for j in 0..columns {
                    *to.add(j) = *from.offset(j as isize * column);
                }
            }
            for j in columns..width {
                *to.add(j) = T::ZERO;
            }
        }
    }
}
