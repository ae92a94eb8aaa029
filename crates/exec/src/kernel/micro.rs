//! The one register-tiled inner kernel under every product and convolution.
//!
//! It computes `rows x columns` block sums
//!
//! ```text
//! c[m][n] (+)= sum over segments s, over k in 0..s.length, of
//!              a[row[m] + s.a + k * a_step] * b[s.b + (s.k + k) * b_step + n]
//! ```
//!
//! with all sums in registers. `a` is broadcast by a free offset for each row, so that patches of
//! an image are read in place, without an im2col; `b` is read a row of columns at a time. The
//! lane-wise form, for depthwise convolutions, reads `a[row[m] + s.a + k * a_step + n]` instead.

mod tables;

use super::bounds;
use super::simd::{Float, Isa, Vector};

/// The most rows that any tile has.
pub const MOST_ROWS: usize = 24;
/// The most columns that any tile has.
pub const MOST_COLUMNS: usize = 32;

/// A run of `k` with fixed steps in both operands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Offset into `a`.
    pub a: isize,
    /// Offset into `b`, beside that of `k`.
    pub b: isize,
    /// First `k`, which counts rows of `b`.
    pub k: usize,
    /// Number of products.
    pub length: usize,
}

/// What one call of the inner kernel works on. Offsets and steps count elements.
pub struct Tile<'a, T> {
    /// Base of the broadcast operand.
    pub a: *const T,
    /// Offset of each row of the tile; as many as the kernel has rows (repeat the last).
    pub rows: &'a [isize; MOST_ROWS],
    /// Step of `k` in `a`.
    pub a_step: isize,
    /// Base of the row operand.
    pub b: *const T,
    /// Step of `k` in `b`.
    pub b_step: isize,
    /// The runs of `k`, in order.
    pub segments: &'a [Segment],
    /// Base of the output.
    pub c: *mut T,
    /// Offset of each row in the output.
    pub c_rows: &'a [isize; MOST_ROWS],
    /// Rows to write.
    pub live_rows: usize,
    /// Columns to read and write.
    pub columns: usize,
    /// Add to what the output holds, instead of overwriting it.
    pub accumulate: bool,
}

impl<T> Tile<'_, T> {
    /// Asserts that everything the tile describes is inside the kernel's operands.
    fn check(&self, lanewise: bool) {
        let across = self.columns as isize - 1;
        let rows = &self.rows[..self.live_rows.min(MOST_ROWS)];
        for segment in self.segments.iter().filter(|segment| segment.length > 0) {
            let last = segment.length as isize - 1;
            let (a_end, b_end) = (last * self.a_step, last * self.b_step);
            for row in rows {
                let a = self.a.wrapping_offset(segment.a + row);
                let wide = if lanewise { across } else { 0 };
                bounds::reads(a, [a_end.min(0), a_end.max(0) + wide]);
            }
            let b = self.b.wrapping_offset(segment.b + segment.k as isize * self.b_step);
            bounds::reads(b, [b_end.min(0), b_end.max(0) + across]);
        }
        for row in &self.c_rows[..rows.len()] {
            bounds::writes(self.c.wrapping_offset(*row), [0, across]);
        }
    }
}

/// How the kernel reads the left operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One element for all columns.
    Broadcast,
    /// One element for each column.
    Lanewise,
}

/// An instance of the inner kernel.
pub type Entry<T> = unsafe fn(&Tile<T>);

/// The tiles of one column width.
pub struct Class<T: 'static> {
    /// Columns.
    pub width: usize,
    /// Relative time of one row and one `k`: the share of a full-width multiply-add's slot.
    pub cost: f32,
    /// Instances by rows, ascending.
    pub entries: &'static [(usize, Entry<T>)],
}

impl<T> Class<T> {
    /// The instance for up to `rows` rows, and how many of them it covers.
    pub(crate) fn choose(&self, rows: usize) -> (usize, Entry<T>) {
        for &(size, entry) in self.entries {
            if size >= rows {
                return (rows, entry);
            }
        }
        self.entries[self.entries.len() - 1]
    }
}

/// Width and place of one column panel, and the class that computes it.
#[derive(Clone, Copy)]
pub(crate) struct Panel<T: 'static> {
    /// First column.
    pub start: usize,
    /// Columns in use.
    pub columns: usize,
    /// Instances.
    pub class: &'static Class<T>,
}

/// The panels of `columns` columns, left to right, at the least cost.
pub(crate) fn panels<T: Float>(
    isa: Isa,
    form: Form,
    columns: usize,
) -> impl Iterator<Item = Panel<T>> {
    let classes = T::classes(isa, form);
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = columns - start;
        if rest == 0 {
            return None;
        }
        let class = best(classes, rest).1;
        let panel = Panel { start, columns: class.width.min(rest), class };
        start += panel.columns;
        Some(panel)
    })
}

/// Relative time of one row and one `k` over `columns` columns.
pub(crate) fn cost<T: Float>(isa: Isa, columns: usize) -> f32 {
    best(T::classes(isa, Form::Broadcast), columns).0
}

/// The cheapest cover of `columns`: its cost, and its first class.
fn best<T: 'static>(classes: &'static [Class<T>], columns: usize) -> (f32, &'static Class<T>) {
    let widest = &classes[0];
    if columns > widest.width {
        let whole = (columns - 1) / widest.width;
        return (
            whole as f32 * widest.cost + best(classes, columns - whole * widest.width).0,
            widest,
        );
    }
    // Either one class covers all, or the widest that fits goes first.
    let cover = classes.iter().rev().find(|c| c.width >= columns).unwrap_or(widest);
    let mut found = (cover.cost, cover);
    if let Some(first) = classes.iter().find(|c| c.width < columns) {
        let total = first.cost + best(classes, columns - first.width).0;
        if total < found.0 {
            found = (total, first);
        }
    }
    found
}

/// Straight-line repetition for each row of a tile: a loop might not be unrolled, and then the
/// accumulators would live in memory.
macro_rules! each_row {
    ($rows:ident, $m:ident, $body:block) => {
        each_row!(@ $rows, $m, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)
    };
    (@ $rows:ident, $m:ident, $body:block, $($i:literal)*) => {
        $(if $i < $rows {
            let $m: usize = $i;
            $body
        })*
    };
}
pub(crate) use each_row;

/// Hides where a pointer comes from. Without it, the compiler keeps the sum of each row's offset
/// and each unrolled step in memory and loads one for every multiply-add.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // Nothing is read or written through it.
pub(crate) fn opaque<T>(pointer: *const T) -> *const T {
    let mut pointer = pointer;
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: no instruction is emitted; the pointer comes out as it went in.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// `UNROLL` consecutive `k`.
#[inline(always)]
unsafe fn advance<
    V: Vector,
    const ROWS: usize,
    const NV: usize,
    const UNROLL: usize,
    const LANEWISE: bool,
>(
    sums: &mut [[V; NV]; ROWS],
    rows: &[isize; ROWS],
    steps: [isize; 2],
    a: *const V::Element,
    b: *const V::Element,
    mask: V::Mask,
) {
    // SAFETY: the caller of the entry function guarantees that every address formed here is inside
    // its operand, and that the machine has the vector's instruction set.
    unsafe {
        let mut right = [[V::zero(); NV]; UNROLL];
        let mut bases = [a; UNROLL];
        let mut base = a;
        for (u, (right, place)) in right.iter_mut().zip(&mut bases).enumerate() {
            if u > 0 {
                base = opaque(base.byte_offset(steps[0]));
            }
            *place = base;
            let from = b.byte_offset(u as isize * steps[1]);
            for (v, right) in right.iter_mut().enumerate() {
                let from = from.add(v * V::LANES);
                *right = if v + 1 < NV { V::load(from) } else { V::load_masked(from, mask) };
            }
        }
        each_row!(ROWS, m, {
            for (base, right) in bases.iter().zip(&right) {
                let from = base.byte_offset(rows[m % ROWS]);
                if LANEWISE {
                    let left = V::load_masked(from, mask);
                    sums[m % ROWS][0] = left.fma(right[0], sums[m % ROWS][0]);
                } else {
                    let left = V::splat(*from);
                    for (sum, &right) in sums[m % ROWS].iter_mut().zip(right) {
                        *sum = left.fma(right, *sum);
                    }
                }
            }
        });
    }
}

/// The kernel; see the module.
///
/// # Safety
/// The machine has the vector's instruction set, every offset that the tile describes is inside
/// its operand, `0 < columns <= NV * LANES`, and the columns in use reach into the last vector.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const NV: usize, const LANEWISE: bool>(
    tile: &Tile<V::Element>,
) {
    if cfg!(debug_assertions) {
        tile.check(LANEWISE);
    }
    let size = size_of::<V::Element>() as isize;
    // SAFETY: as documented for the caller.
    unsafe {
        let mut sums = [[V::zero(); NV]; ROWS];
        let mask = V::mask(tile.columns - (NV - 1) * V::LANES);
        let mut rows = [0; ROWS];
        each_row!(ROWS, m, { rows[m % ROWS] = tile.rows[m] * size });
        let steps = [tile.a_step * size, tile.b_step * size];
        for segment in tile.segments {
            let mut a = tile.a.offset(segment.a);
            let mut b = tile.b.offset(segment.b).byte_offset(segment.k as isize * steps[1]);
            let mut left = segment.length;
            macro_rules! run {
                ($unroll:literal) => {
                    while left >= $unroll {
                        let (s, r) = (&mut sums, &rows);
                        advance::<V, ROWS, NV, $unroll, LANEWISE>(s, r, steps, a, b, mask);
                        a = a.byte_offset($unroll * steps[0]);
                        b = b.byte_offset($unroll * steps[1]);
                        left -= $unroll;
                    }
                };
            }
            if NV == 1 {
                run!(4);
            } else {
                run!(2);
            }
            run!(1);
        }
        each_row!(ROWS, m, {
            if m < tile.live_rows {
                let c = tile.c.offset(tile.c_rows[m]);
                for (v, &sum) in sums[m % ROWS].iter().enumerate() {
                    let c = c.add(v * V::LANES);
                    let mut sum = sum;
                    if v + 1 < NV || tile.columns == NV * V::LANES {
                        if tile.accumulate {
                            sum = V::load(c).add(sum);
                        }
                        sum.store(c);
                    } else {
                        if tile.accumulate {
                            sum = V::load_masked(c, mask).add(sum);
                        }
                        sum.store_masked(c, mask);
                    }
                }
            }
        });
    }
}
