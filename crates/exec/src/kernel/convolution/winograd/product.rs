//! The products between the transforms, all rows of a kernel at once.

use crate::kernel::bounds;
use crate::kernel::micro::{MOST_ROWS, each_row, opaque};
use crate::kernel::simd::Vector;

/// Computes all sums of so many rows and columns.
pub(super) struct Kernel<T> {
    pub rows: usize,
    pub columns: usize,
    pub run: unsafe fn(&Product<T>),
    /// With the left operand read across: its rows are next to each other.
    pub run_across: unsafe fn(&Product<T>),
}

/// `c[row][column] = sum over k of a[row][k] * b[k][column]`.
pub(super) struct Product<T> {
    /// Rows that are `a_row` elements apart; read across, `k` are.
    pub a: *const T,
    pub a_row: usize,
    /// Rows of the kernel's columns, one after the other; read across, `b_row` elements apart.
    pub b: *const T,
    pub b_row: usize,
    /// Rows that are `c_row` elements apart.
    pub c: *mut T,
    pub c_row: usize,
    pub depth: usize,
    /// Add to what `c` holds.
    pub accumulate: bool,
}

/// Rows between two pointers into the left operand: those between are at multiples of the stride
/// that an address can hold.
const APART: usize = 4;

impl<T> Product<T> {
    /// Asserts that all of it is inside the kernel's operands.
    #[inline(always)]
    fn check(&self, [rows, columns]: [usize; 2], across: bool) {
        let last = |n: usize, step: usize| n.saturating_sub(1) * step;
        let (a, b) = match across {
            true => (last(self.depth, self.a_row) + rows, last(self.depth, self.b_row) + columns),
            false => (last(rows, self.a_row) + self.depth, self.depth * columns),
        };
        bounds::reads(self.a, [0, a as isize - 1]);
        bounds::reads(self.b, [0, b as isize - 1]);
        bounds::writes(self.c, [0, (last(rows, self.c_row) + columns) as isize - 1]);
    }
}

/// All `ROWS x (NV vectors)` sums in registers.
#[inline(always)]
pub(super) unsafe fn product<V: Vector, const ROWS: usize, const NV: usize>(
    it: &Product<V::Element>,
) {
    it.check([ROWS, NV * V::LANES], false);
    // SAFETY: as documented for `Steps`.
    unsafe {
        let mut sums = [[V::zero(); NV]; ROWS];
        let mut a = [it.a; MOST_ROWS / APART];
        for (group, a) in a.iter_mut().enumerate().take(ROWS.div_ceil(APART)) {
            *a = opaque(it.a.add(group * APART * it.a_row));
        }
        let mut b = it.b;
        let mut left = it.depth;
        macro_rules! run {
            ($unroll:literal) => {
                while left >= $unroll {
                    for u in 0..$unroll {
                        let mut right = [V::zero(); NV];
                        for (v, right) in right.iter_mut().enumerate() {
                            *right = V::load(b.add((u * NV + v) * V::LANES));
                        }
                        each_row!(ROWS, m, {
                            let left = V::splat(*a[m / APART].add(m % APART * it.a_row + u));
                            for (sum, &right) in sums[m % ROWS].iter_mut().zip(&right) {
                                *sum = left.fma(right, *sum);
                            }
                        });
                    }
                    for a in a.iter_mut().take(ROWS.div_ceil(APART)) {
                        *a = a.add($unroll);
                    }
                    b = b.add($unroll * NV * V::LANES);
                    left -= $unroll;
                }
            };
        }
        run!(4);
        run!(1);
        finish::<V, ROWS, NV>(it, &sums);
    }
}

/// The same with rows of `a` next to each other, and those of `b` and each `k` of `a` apart.
#[inline(always)]
pub(super) unsafe fn product_across<V: Vector, const ROWS: usize, const NV: usize>(
    it: &Product<V::Element>,
) {
    it.check([ROWS, NV * V::LANES], true);
    // SAFETY: as documented for `Steps`.
    unsafe {
        let mut sums = [[V::zero(); NV]; ROWS];
        let (mut a, mut b) = (it.a, it.b);
        for _ in 0..it.depth {
            let mut right = [V::zero(); NV];
            for (v, right) in right.iter_mut().enumerate() {
                *right = V::load(b.add(v * V::LANES));
            }
            each_row!(ROWS, m, {
                let left = V::splat(*a.add(m));
                for (sum, &right) in sums[m % ROWS].iter_mut().zip(&right) {
                    *sum = left.fma(right, *sum);
                }
            });
            a = a.wrapping_add(it.a_row);
            b = b.wrapping_add(it.b_row);
        }
        finish::<V, ROWS, NV>(it, &sums);
    }
}

/// Writes sums, or adds them.
#[inline(always)]
unsafe fn finish<V: Vector, const ROWS: usize, const NV: usize>(
    it: &Product<V::Element>,
    sums: &[[V; NV]; ROWS],
) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        each_row!(ROWS, m, {
            for (v, &sum) in sums[m % ROWS].iter().enumerate() {
                let c = it.c.add(m * it.c_row + v * V::LANES);
                let sum = if it.accumulate { V::load(c).add(sum) } else { sum };
                sum.store(c);
            }
        });
    }
}
