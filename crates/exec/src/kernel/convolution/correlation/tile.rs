//! Register tiles of pixels by output channels.

use super::{Correlation, Phase};
use crate::kernel::bounds;
use crate::kernel::convolution::geometry::Walk;
use crate::kernel::micro::{MOST_COLUMNS, MOST_ROWS, Panel, Segment, Tile};
use crate::kernel::order::{BLOCK, part_count, part_length};
use crate::kernel::simd::Float;

/// Partial sums of a tile that wait for their neighbour in the tree of parts.
pub(super) const LEVELS: usize = 8;
pub(super) const TILE: usize = MOST_ROWS * MOST_COLUMNS;

/// Operands of one panel, at its first output.
pub(super) struct Place<T> {
    pub source: *const T,
    pub weights: *const T,
    pub output: *mut T,
    /// Images, rows and columns of the outputs.
    pub extents: [usize; 3],
    /// Strides of the source and of the output along them.
    pub strides: [[isize; 3]; 2],
}

impl Correlation {
    /// Row tiles of one panel, block by block, so that a block of weights stays in cache.
    pub(super) unsafe fn panel<T: Float>(&self, place: &Place<T>, phase: &Phase, panel: Panel<T>) {
        let total: usize = place.extents.iter().product();
        let mut segments = &phase.segments[..];
        let mut first = true;
        while first || !segments.is_empty() {
            let (block, rest) = split_block(segments, |s| s.k / BLOCK);
            let mut walk = Walk::new(place.extents, place.strides, 0);
            let mut done = 0;
            while done < total {
                let (live, entry) = panel.class.choose(total - done);
                let (mut rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
                walk.fill(live, &mut rows, &mut c_rows);
                let last = rows[live - 1];
                rows[live..].fill(last);
                // SAFETY: the walk stays inside the unit, and the class is of the pool's set.
                unsafe {
                    entry(&Tile {
                        a: place.source,
                        rows: &rows,
                        a_step: self.a_step(),
                        b: place.weights,
                        b_step: panel.class.width as isize,
                        segments: block,
                        c: place.output,
                        c_rows: &c_rows,
                        live_rows: live,
                        columns: panel.columns,
                        accumulate: !first,
                    });
                }
                done += live;
            }
            segments = rest;
            first = false;
        }
    }

    /// As [`Self::panel`] for sums of more than one part: a tile's parts are joined as they come,
    /// in the order of the tree, on a stack of partial sums.
    pub(super) unsafe fn long_panel<T: Float>(
        &self,
        place: &Place<T>,
        phase: &Phase,
        panel: Panel<T>,
        tiles: *mut T,
        k: usize,
    ) {
        let total: usize = place.extents.iter().product();
        let (parts, length) = (part_count(k), part_length(k));
        let mut walk = Walk::new(place.extents, place.strides, 0);
        let dense: [isize; MOST_ROWS] = std::array::from_fn(|i| (i * MOST_COLUMNS) as isize);
        let mut done = 0;
        while done < total {
            let (live, entry) = panel.class.choose(total - done);
            let (mut rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
            walk.fill(live, &mut rows, &mut c_rows);
            let last = rows[live - 1];
            rows[live..].fill(last);
            let mut segments = &phase.segments[..];
            let mut height = 0;
            // SAFETY: as above; the stack holds at most `LEVELS` tiles, as there are at most 64
            // parts.
            unsafe {
                for part in 0..parts {
                    let mut first = true;
                    while segments.first().is_some_and(|s| s.k < (part + 1) * length) {
                        let (block, rest) = split_block(segments, |s| s.k / BLOCK);
                        entry(&Tile {
                            a: place.source,
                            rows: &rows,
                            a_step: self.a_step(),
                            b: place.weights,
                            b_step: panel.class.width as isize,
                            segments: block,
                            c: tiles.add(height * TILE),
                            c_rows: &dense,
                            live_rows: live,
                            columns: panel.columns,
                            accumulate: !first,
                        });
                        segments = rest;
                        first = false;
                    }
                    height += 1;
                    let joins = if part + 1 == parts {
                        height - 1
                    } else {
                        (part + 1).trailing_zeros() as usize
                    };
                    for _ in 0..joins {
                        height -= 1;
                        add_tile(tiles.add((height - 1) * TILE), tiles.add(height * TILE), live);
                    }
                }
                for (i, &row) in c_rows.iter().enumerate().take(live) {
                    let (from, to) = (tiles.add(i * MOST_COLUMNS), place.output.offset(row));
                    bounds::writes(to, [0, panel.columns as isize - 1]);
                    std::ptr::copy_nonoverlapping(from, to, panel.columns);
                }
            }
            done += live;
        }
    }
}

/// The segments of the first block, and the rest; `block` says which block a segment is in.
pub(super) fn split_block(
    segments: &[Segment],
    block: impl Fn(&Segment) -> usize,
) -> (&[Segment], &[Segment]) {
    let Some(first) = segments.first().map(&block) else { return (&[], &[]) };
    segments.split_at(segments.iter().position(|s| block(s) != first).unwrap_or(segments.len()))
}

/// Adds the rows of one tile of partial sums to another.
unsafe fn add_tile<T: Float>(into: *mut T, from: *const T, rows: usize) {
    bounds::reads(from, [0, (rows * MOST_COLUMNS) as isize - 1]);
    bounds::writes(into, [0, (rows * MOST_COLUMNS) as isize - 1]);
    for i in 0..rows * MOST_COLUMNS {
        // SAFETY: both tiles have `rows` rows; unused columns hold arbitrary sums.
        unsafe { *into.add(i) = *into.add(i) + *from.add(i) }
    }
}
