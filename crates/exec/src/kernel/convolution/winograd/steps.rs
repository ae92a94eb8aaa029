//! The transforms, for one instruction set: channels in the lanes.

use crate::kernel::bounds;
use crate::kernel::micro::{MOST_ROWS, each_row, opaque};
use crate::kernel::simd::{Float, Lanes, Vector};

/// The transforms of an instruction set.
///
/// Pointers cover what the extents say; the machine has the instruction set.
pub struct Steps<T> {
    /// From pixels to values.
    pub(super) input: unsafe fn(&Pixels<T>, *mut T, usize),
    /// From sums to pixels.
    pub(super) output: unsafe fn(*const T, [usize; 2], &Outputs<T>),
    /// From the 9 taps of so many weights, a stride apart, to a value for each point, a stride
    /// apart.
    pub(super) weights: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// From the gradient by outputs to values: pixels, and the strides of tiles and points.
    pub(super) gradient: unsafe fn(&Pixels<T>, *mut T, [usize; 2]),
    /// From a value for each point, a stride apart, to the 9 taps of so many weights, a stride
    /// apart.
    pub(super) taps: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// The products, the widest first.
    pub(super) products: [Kernel<T>; 2],
}

/// Neighbouring tiles of a row, as they are read; values of a tile are `channels` elements after
/// those of the one before, and those of a point a given stride after.
pub(super) struct Pixels<T> {
    /// The four rows of pixels, from their first column on; a row of zeros has no step.
    pub rows: [*const T; 4],
    pub steps: [usize; 4],
    /// Column of the first tile's first pixel, and columns that there are.
    pub column: isize,
    pub columns: usize,
    pub channels: usize,
    pub tiles: usize,
}

/// Neighbouring tiles of a row, as they are written; sums of a tile and of a point are given
/// strides after those of the one before.
pub(super) struct Outputs<T> {
    /// The first pixel of the first tile.
    pub to: *mut T,
    /// Elements from row to row.
    pub row: usize,
    /// Rows and columns that there are, from the first pixel on.
    pub live: [usize; 2],
    pub channels: usize,
    pub tiles: usize,
}

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

/// `[d0 - d2, d1 + d2, d2 - d1, d1 - d3]`.
#[inline(always)]
unsafe fn four<V: Vector>(d: [V; 4]) -> [V; 4] {
    // SAFETY: the machine has the instruction set.
    unsafe { [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])] }
}

/// `[m0 + m1 + m2, m1 - m2 - m3]`.
#[inline(always)]
unsafe fn two<V: Vector>(m: [V; 4]) -> [V; 2] {
    // SAFETY: the machine has the instruction set.
    unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])] }
}

/// `[g0, (g0 + g2 + g1) / 2, (g0 + g2 - g1) / 2, g2]`.
#[inline(always)]
unsafe fn three<V: Vector>(g: [V; 3], half: V) -> [V; 4] {
    // SAFETY: the machine has the instruction set.
    unsafe {
        let ends = g[0].add(g[2]);
        [g[0], ends.add(g[1]).mul(half), ends.sub(g[1]).mul(half), g[2]]
    }
}

/// A walk over vectors of channels: `$at` is the first of each, `load` and `store` do whole
/// vectors without a mask, which would cost time. (A macro: a closure might not be inlined, and
/// then it would be compiled without the instruction set.)
macro_rules! by_vectors {
    ($vector:ty, $channels:expr, |$at:ident, $load:ident, $store:ident| $body:block) => {
        let whole = $channels / <$vector>::LANES * <$vector>::LANES;
        let mut $at = 0;
        while $at < whole {
            macro_rules! $load {
                ($from:expr) => {
                    <$vector>::load($from)
                };
            }
            macro_rules! $store {
                ($value:expr, $to:expr) => {
                    $value.store($to)
                };
            }
            $body
            $at += <$vector>::LANES;
        }
        if $at < $channels {
            let mask = <$vector>::mask($channels - $at);
            macro_rules! $load {
                ($from:expr) => {
                    <$vector>::load_masked($from, mask)
                };
            }
            macro_rules! $store {
                ($value:expr, $to:expr) => {
                    $value.store_masked($to, mask)
                };
            }
            $body
        }
    };
}

#[inline(always)]
unsafe fn input<V: Vector>(it: &Pixels<V::Element>, to: *mut V::Element, stride: usize) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        by_vectors!(V, it.channels, |at, load, store| {
            macro_rules! column {
                ($column:expr) => {{
                    let column: isize = $column;
                    if column >= 0 && column < it.columns as isize {
                        let column = column as usize;
                        let mut d = [V::zero(); 4];
                        for i in 0..4 {
                            d[i] = load!(it.rows[i].add(column * it.steps[i] + at));
                        }
                        four(d)
                    } else {
                        [V::zero(); 4]
                    }
                }};
            }
            // Neighbouring tiles share two columns.
            let mut first = column!(it.column);
            let mut second = column!(it.column + 1);
            for tile in 0..it.tiles {
                let column = it.column + 2 * tile as isize;
                let (third, fourth) = (column!(column + 2), column!(column + 3));
                let mut place = to.add(tile * it.channels + at);
                for i in 0..4 {
                    let row = four([first[i], second[i], third[i], fourth[i]]);
                    for j in 0..4 {
                        store!(row[j], place);
                        place = place.wrapping_add(stride);
                    }
                }
                (first, second) = (third, fourth);
            }
        });
    }
}

#[inline(always)]
unsafe fn output<V: Vector>(
    from: *const V::Element,
    [tile_step, stride]: [usize; 2],
    it: &Outputs<V::Element>,
) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        by_vectors!(V, it.channels, |at, load, store| {
            for tile in 0..it.tiles {
                let mut place = from.add(tile * tile_step + at);
                let mut rows = [[V::zero(); 2]; 4];
                for i in 0..4 {
                    let mut m = [V::zero(); 4];
                    for j in 0..4 {
                        m[j] = load!(place);
                        place = place.wrapping_add(stride);
                    }
                    rows[i] = two(m);
                }
                let left = two([rows[0][0], rows[1][0], rows[2][0], rows[3][0]]);
                let right = two([rows[0][1], rows[1][1], rows[2][1], rows[3][1]]);
                for y in 0..2 {
                    if y < it.live[0] {
                        let to = it.to.add(y * it.row + 2 * tile * it.channels + at);
                        store!(left[y], to);
                        if 2 * tile + 1 < it.live[1] {
                            store!(right[y], to.add(it.channels));
                        }
                    }
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn weights<V: Vector>(
    from: *const V::Element,
    tap: usize,
    count: usize,
    to: *mut V::Element,
    stride: usize,
) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        let half = V::splat(V::Element::from_f64(0.5));
        by_vectors!(V, count, |at, load, store| {
            let mut g = [[V::zero(); 3]; 3];
            for i in 0..3 {
                for j in 0..3 {
                    g[j][i] = load!(from.add((3 * i + j) * tap + at));
                }
            }
            let columns = [three(g[0], half), three(g[1], half), three(g[2], half)];
            for i in 0..4 {
                let row = three([columns[0][i], columns[1][i], columns[2][i]], half);
                for j in 0..4 {
                    store!(row[j], to.add((4 * i + j) * stride + at));
                }
            }
        });
    }
}

/// From the gradient by 2x2 outputs to a value for each point: the weights' transform for
/// kernels of two by two.
#[inline(always)]
unsafe fn gradient<V: Vector>(
    it: &Pixels<V::Element>,
    to: *mut V::Element,
    [tile_step, stride]: [usize; 2],
) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        let half = V::splat(V::Element::from_f64(0.5));
        by_vectors!(V, it.channels, |at, load, store| {
            for tile in 0..it.tiles {
                let mut columns = [[V::zero(); 4]; 2];
                for j in 0..2 {
                    let column = it.column as usize + 2 * tile + j;
                    if column < it.columns {
                        let upper = load!(it.rows[0].add(column * it.steps[0] + at));
                        let lower = load!(it.rows[1].add(column * it.steps[1] + at));
                        columns[j] = pair([upper, lower], half);
                    }
                }
                let mut place = to.add(tile * tile_step + at);
                for i in 0..4 {
                    let row = pair([columns[0][i], columns[1][i]], half);
                    for j in 0..4 {
                        store!(row[j], place);
                        place = place.wrapping_add(stride);
                    }
                }
            }
        });
    }
}

/// `[g0, (g0 + g1) / 2, (g0 - g1) / 2, g1]`.
#[inline(always)]
unsafe fn pair<V: Vector>(g: [V; 2], half: V) -> [V; 4] {
    // SAFETY: the machine has the instruction set.
    unsafe { [g[0], g[0].add(g[1]).mul(half), g[0].sub(g[1]).mul(half), g[1]] }
}

/// `[m0 + m1 + m2, m1 - m2, m1 + m2 - m3]`.
#[inline(always)]
unsafe fn back<V: Vector>(m: [V; 4]) -> [V; 3] {
    // SAFETY: the machine has the instruction set.
    unsafe {
        let middle = m[1].add(m[2]);
        [m[0].add(middle), m[1].sub(m[2]), middle.sub(m[3])]
    }
}

#[inline(always)]
unsafe fn taps<V: Vector>(
    from: *const V::Element,
    stride: usize,
    count: usize,
    to: *mut V::Element,
    tap: usize,
) {
    // SAFETY: as documented for `Steps`.
    unsafe {
        by_vectors!(V, count, |at, load, store| {
            let mut columns = [[V::zero(); 3]; 4];
            for j in 0..4 {
                let mut m = [V::zero(); 4];
                for i in 0..4 {
                    m[i] = load!(from.add((4 * i + j) * stride + at));
                }
                columns[j] = back(m);
            }
            for i in 0..3 {
                let row = back([columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
                for j in 0..3 {
                    store!(row[j], to.add((3 * i + j) * tap + at));
                }
            }
        });
    }
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
unsafe fn product<V: Vector, const ROWS: usize, const NV: usize>(it: &Product<V::Element>) {
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
unsafe fn product_across<V: Vector, const ROWS: usize, const NV: usize>(it: &Product<V::Element>) {
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

/// The products of a vector, compiled for its instruction set.
macro_rules! kernel {
    ($element:ty, $vector:ty, $rows:literal, $nv:literal $(, $feature:literal)?) => {{
        $(#[target_feature(enable = $feature)])?
        unsafe fn run(it: &Product<$element>) {
            // SAFETY: the kernel is reached only through an available instruction set.
            unsafe { product::<$vector, $rows, $nv>(it) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn run_across(it: &Product<$element>) {
            // SAFETY: as above.
            unsafe { product_across::<$vector, $rows, $nv>(it) }
        }
        Kernel { rows: $rows, columns: $nv * <$vector as Vector>::LANES, run, run_across }
    }};
}

/// The steps with a vector, compiled for its instruction set.
macro_rules! steps {
    ($name:ident, $element:ty, $vector:ty, $products:expr $(, $feature:literal)?) => {
        pub(crate) static $name: Steps<$element> = {
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_input(it: &Pixels<$element>, to: *mut $element, stride: usize) {
                // SAFETY: the steps are reached only through an available instruction set.
                unsafe { input::<$vector>(it, to, stride) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_output(
                from: *const $element,
                strides: [usize; 2],
                it: &Outputs<$element>,
            ) {
                // SAFETY: as above.
                unsafe { output::<$vector>(from, strides, it) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_weights(
                from: *const $element,
                tap: usize,
                count: usize,
                to: *mut $element,
                stride: usize,
            ) {
                // SAFETY: as above.
                unsafe { weights::<$vector>(from, tap, count, to, stride) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_gradient(it: &Pixels<$element>, to: *mut $element, strides: [usize; 2]) {
                // SAFETY: as above.
                unsafe { gradient::<$vector>(it, to, strides) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_taps(
                from: *const $element,
                stride: usize,
                count: usize,
                to: *mut $element,
                tap: usize,
            ) {
                // SAFETY: as above.
                unsafe { taps::<$vector>(from, stride, count, to, tap) }
            }
            Steps {
                gradient: run_gradient,
                taps: run_taps,
                input: run_input,
                output: run_output,
                weights: run_weights,
                products: $products,
            }
        };
    };
}

/// Registers of 32 bytes, also where there are larger ones: transforms store more than they add,
/// and Zen 4 stores 64 bytes in twice the time.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use super::*;
    use crate::kernel::simd::x86::{F32x8, F64x4};

    macro_rules! avx2 {
        ($name:ident, $element:ty, $vector:ty) => {
            steps!(
                $name,
                $element,
                $vector,
                [
                    kernel!($element, $vector, 6, 2, "avx2,fma"),
                    kernel!($element, $vector, 8, 1, "avx2,fma"),
                ],
                "avx2,fma"
            );
        };
    }
    avx2!(F32, f32, F32x8);
    avx2!(F64, f64, F64x4);
}

macro_rules! portable {
    ($name:ident, $element:ty) => {
        steps!(
            $name,
            $element,
            Lanes<$element, 4>,
            [
                kernel!($element, Lanes<$element, 4>, 4, 2),
                kernel!($element, Lanes<$element, 4>, 4, 1),
            ]
        );
    };
}
portable!(F32_PORTABLE, f32);
portable!(F64_PORTABLE, f64);
