//! The transforms, with channels in the lanes of a vector.

use super::POINTS;
use crate::kernel::bounds::{self, reach};
use crate::kernel::simd::{Float, Vector};

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
pub(super) unsafe fn input<V: Vector>(it: &Pixels<V::Element>, to: *mut V::Element, stride: usize) {
    let tile = it.channels as isize;
    bounds::writes(to, reach([(it.tiles, tile), (POINTS, stride as isize), (it.channels, 1)]));
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
pub(super) unsafe fn output<V: Vector>(
    from: *const V::Element,
    [tile_step, stride]: [usize; 2],
    it: &Outputs<V::Element>,
) {
    let tiles = (it.tiles, tile_step as isize);
    bounds::reads(from, reach([tiles, (POINTS, stride as isize), (it.channels, 1)]));
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
pub(super) unsafe fn weights<V: Vector>(
    from: *const V::Element,
    tap: usize,
    count: usize,
    to: *mut V::Element,
    stride: usize,
) {
    bounds::reads(from, reach([(9, tap as isize), (count, 1)]));
    bounds::writes(to, reach([(POINTS, stride as isize), (count, 1)]));
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
pub(super) unsafe fn gradient<V: Vector>(
    it: &Pixels<V::Element>,
    to: *mut V::Element,
    [tile_step, stride]: [usize; 2],
) {
    let tiles = (it.tiles, tile_step as isize);
    bounds::writes(to, reach([tiles, (POINTS, stride as isize), (it.channels, 1)]));
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
pub(super) unsafe fn taps<V: Vector>(
    from: *const V::Element,
    stride: usize,
    count: usize,
    to: *mut V::Element,
    tap: usize,
) {
    bounds::reads(from, reach([(POINTS, stride as isize), (count, 1)]));
    bounds::writes(to, reach([(9, tap as isize), (count, 1)]));
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
