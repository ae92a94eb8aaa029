//! Transposed copies of small matrices, by squares in registers.

use super::{Float, Isa};
use crate::kernel::bounds;

/// `to[j * to_stride + i] = from[i * from_stride + j]` for `rows` values of `i` and `columns` of
/// `j`: arguments from, its stride, rows, columns, to, its stride.
pub type Transposition<T> = unsafe fn(*const T, isize, usize, usize, *mut T, isize);

/// A transposed copy with an instruction set.
///
/// # Safety
/// The machine has the instruction set; all elements are inside their operands, which do not
/// overlap.
#[inline]
pub(crate) unsafe fn transpose<T: Float>(
    isa: Isa,
    from: *const T,
    from_stride: isize,
    [rows, columns]: [usize; 2],
    to: *mut T,
    to_stride: isize,
) {
    bounds::reads(from, bounds::reach([(rows, from_stride), (columns, 1)]));
    bounds::writes(to, bounds::reach([(columns, to_stride), (rows, 1)]));
    // SAFETY: passed on from the caller.
    unsafe { T::transposition(isa)(from, from_stride, rows, columns, to, to_stride) }
}

/// Without squares, and for what is left beside them.
pub(crate) unsafe fn scalar<T: Float>(
    from: *const T,
    from_stride: isize,
    rows: usize,
    columns: usize,
    to: *mut T,
    to_stride: isize,
) {
    for i in 0..rows {
        for j in 0..columns {
            // SAFETY: passed on from the caller.
            unsafe {
                let value = *from.offset(i as isize * from_stride + j as isize);
                *to.offset(j as isize * to_stride + i as isize) = value;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    //! Squares in AVX2 registers.

    use super::scalar;
    use std::arch::x86_64::*;

    /// Walks the squares of a matrix and leaves the rest to scalar code.
    macro_rules! by_squares {
        ($name:ident, $element:ty, $side:literal, $square:ident) => {
            /// As [`super::Transposition`]; the machine must have AVX2.
            #[target_feature(enable = "avx2")]
            pub(crate) unsafe fn $name(
                from: *const $element,
                from_stride: isize,
                rows: usize,
                columns: usize,
                to: *mut $element,
                to_stride: isize,
            ) {
                let (whole_rows, whole_columns) = (rows / $side * $side, columns / $side * $side);
                // SAFETY: squares and the two strips cover the matrix once.
                unsafe {
                    for i in (0..whole_rows).step_by($side) {
                        for j in (0..whole_columns).step_by($side) {
                            let (y, x) = (i as isize, j as isize);
                            $square(
                                from.offset(y * from_stride + x),
                                from_stride,
                                to.offset(x * to_stride + y),
                                to_stride,
                            );
                        }
                    }
                    let right = whole_columns as isize;
                    scalar(
                        from.offset(right),
                        from_stride,
                        rows,
                        columns - whole_columns,
                        to.offset(right * to_stride),
                        to_stride,
                    );
                    let below = whole_rows as isize;
                    scalar(
                        from.offset(below * from_stride),
                        from_stride,
                        rows - whole_rows,
                        whole_columns,
                        to.offset(below),
                        to_stride,
                    );
                }
            }
        };
    }
    by_squares!(transpose_f32, f32, 8, square_f32);
    by_squares!(transpose_f64, f64, 4, square_f64);

    #[target_feature(enable = "avx2")]
    unsafe fn square_f32(from: *const f32, from_stride: isize, to: *mut f32, to_stride: isize) {
        // SAFETY: the caller gives 8 rows of 8 elements on both sides.
        unsafe {
            let row = |i: isize| _mm256_loadu_ps(from.offset(i * from_stride));
            let r = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let ((a0, a1), (a2, a3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
            let ((a4, a5), (a6, a7)) = (pair(r[4], r[5]), pair(r[6], r[7]));
            let four = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xEE>(a, b));
            let ((b0, b1), (b2, b3)) = (four(a0, a2), four(a1, a3));
            let ((b4, b5), (b6, b7)) = (four(a4, a6), four(a5, a7));
            let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
            let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
            let columns = [
                low(b0, b4),
                low(b1, b5),
                low(b2, b6),
                low(b3, b7),
                high(b0, b4),
                high(b1, b5),
                high(b2, b6),
                high(b3, b7),
            ];
            for (i, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.offset(i as isize * to_stride), column);
            }
        }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn square_f64(from: *const f64, from_stride: isize, to: *mut f64, to_stride: isize) {
        // SAFETY: the caller gives 4 rows of 4 elements on both sides.
        unsafe {
            let row = |i: isize| _mm256_loadu_pd(from.offset(i * from_stride));
            let r = [row(0), row(1), row(2), row(3)];
            let pair = |a, b| (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let ((a0, a1), (a2, a3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
            let low = |a, b| _mm256_permute2f128_pd::<0x20>(a, b);
            let high = |a, b| _mm256_permute2f128_pd::<0x31>(a, b);
            for (i, column) in
                [low(a0, a2), low(a1, a3), high(a0, a2), high(a1, a3)].into_iter().enumerate()
            {
                _mm256_storeu_pd(to.offset(i as isize * to_stride), column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Draws;

    fn check<T: Float>(draws: &mut Draws) {
        let [rows, columns] = [draws.between(0, 35), draws.between(0, 35)];
        let (from_stride, to_stride) = (columns + draws.below(3), rows + draws.below(3));
        let from = draws.numbers::<T>(rows * from_stride);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut to = vec![T::ZERO; columns * to_stride];
            // SAFETY: the slices hold the strided matrices.
            unsafe {
                let (a, b) = (from.as_ptr(), to.as_mut_ptr());
                transpose(isa, a, from_stride as isize, [rows, columns], b, to_stride as isize);
            }
            for j in 0..columns {
                for i in 0..to_stride {
                    let expected = if i < rows { from[i * from_stride + j] } else { T::ZERO };
                    assert_eq!(to[j * to_stride + i], expected, "{rows}x{columns} at {i}, {j}");
                }
            }
        }
    }

    #[test]
    fn transposition_of_any_extent() {
        let mut draws = Draws::new(31);
        for _ in 0..200 {
            check::<f32>(&mut draws);
            check::<f64>(&mut draws);
        }
    }
}
