//! Results of folds: lanes that are filled, joined and written.

use super::Run;
use crate::kernel::bounds::{reads, writes};
use crate::kernel::order;
use crate::loops::LANES;
use crate::loops::fold;
use crate::loops::region::{Region, scatter};

impl Run<'_> {
    pub(super) unsafe fn clear(&self, lanes: &[*mut u8], live: usize, columns: usize) {
        for (&lanes, fold) in lanes.iter().zip(&self.body.folds) {
            writes(lanes, bytes(live * columns * fold.dtype.size()));
            // SAFETY: `lane_bytes` of room were planned for each fold.
            unsafe { fold::clear(lanes, fold.dtype, fold.kind, live, columns) };
        }
    }

    /// Adds `rows` of the folded registers.
    pub(super) unsafe fn accumulate(
        &self,
        lanes: &[*mut u8],
        registers: &[*mut u8],
        first: usize,
        rows: usize,
        columns: usize,
    ) {
        for (&lanes, fold) in lanes.iter().zip(&self.body.folds) {
            let from = registers[fold.register as usize].cast_const();
            let size = fold.dtype.size();
            reads(from, bytes(rows * columns * size));
            writes(lanes, bytes(LANES * columns * size));
            // SAFETY: the tile holds the rows, and the lanes are separate memory.
            unsafe {
                (self.bodies.add)(lanes, from, fold.dtype, fold.kind, first, rows, columns);
            }
        }
    }

    /// Reduces whole runs of the folded registers and writes their results.
    pub(super) unsafe fn fold_runs(
        &self,
        lanes: &[*mut u8],
        registers: &[*mut u8],
        results: *mut u8,
        reduced: usize,
        region: &Region,
    ) {
        let body = self.body;
        for ((&lanes, fold), &base) in lanes.iter().zip(&body.folds).zip(&self.folds) {
            let size = fold.dtype.size();
            let from = registers[fold.register as usize].cast_const();
            let extents = [region.no, reduced, region.ni];
            let to = base.wrapping_offset(body.offset(&fold.walk, region) * size as isize);
            reads(from, bytes(region.no * reduced * region.ni * size));
            writes(lanes, bytes(reduced.min(LANES) * region.ni * size));
            writes(results, bytes(region.elements() * size));
            // SAFETY: the tile holds the runs, the lanes a run, and the results are fewer than
            // the tile's elements; every task writes its own places.
            unsafe {
                (self.bodies.runs)(from, results, lanes, fold.dtype, fold.kind, extents);
                match size {
                    1 => scatter::<u8>(results, to, &fold.walk, region),
                    4 => scatter::<u32>(results, to, &fold.walk, region),
                    _ => scatter::<u64>(results, to, &fold.walk, region),
                }
            }
        }
    }

    /// Joins the lanes and writes the block's result: to its place, or among the partial sums.
    #[allow(clippy::too_many_arguments)]
    pub(super) unsafe fn finish(
        &self,
        lanes: &[*mut u8],
        live: usize,
        outer: usize,
        o: usize,
        i: usize,
        columns: usize,
        block: usize,
    ) {
        let body = self.body;
        let mut partial = self.partial;
        for ((&lanes, fold), &base) in lanes.iter().zip(&body.folds).zip(&self.folds) {
            let size = fold.dtype.size();
            let region = Region { outer, r_outer: 0, o, r: 0, i, no: 1, nr: 1, ni: columns };
            // SAFETY: the lanes hold `columns` of each; every task and block writes its own place.
            unsafe {
                (self.bodies.join)(lanes, fold.dtype, fold.kind, live, columns);
                if body.n_blocks() == 1 {
                    let to = base.wrapping_offset(body.offset(&fold.walk, &region) * size as isize);
                    match size {
                        1 => scatter::<u8>(lanes, to, &fold.walk, &region),
                        4 => scatter::<u32>(lanes, to, &fold.walk, &region),
                        _ => scatter::<u64>(lanes, to, &fold.walk, &region),
                    }
                } else {
                    let row = (body.kept() * size).next_multiple_of(64);
                    let at = ((outer * body.o + o) * body.i + i) * size;
                    let to = partial.wrapping_add(block * row + at);
                    writes(to, bytes(columns * size));
                    std::ptr::copy_nonoverlapping(lanes, to, columns * size);
                    partial = partial.wrapping_add(row * body.n_blocks());
                }
            }
        }
    }

    pub(super) unsafe fn join_blocks(&self) {
        let body = self.body;
        let mut partial = self.partial;
        for (fold, &base) in body.folds.iter().zip(&self.folds) {
            let size = fold.dtype.size();
            let row = (body.kept() * size).next_multiple_of(64);
            order::join(body.n_blocks(), |into, from| {
                let (into, from) =
                    (partial.wrapping_add(into * row), partial.wrapping_add(from * row));
                reads(from, bytes(body.kept() * size));
                writes(into, bytes(body.kept() * size));
                // SAFETY: rows of different blocks are separate.
                unsafe { fold::combine(into, from, fold.dtype, fold.kind, body.kept()) };
            });
            let outer: usize = body.outer.iter().product();
            for outer in 0..outer {
                let region =
                    Region { outer, r_outer: 0, o: 0, r: 0, i: 0, no: body.o, nr: 1, ni: body.i };
                let from = partial.wrapping_add(outer * body.o * body.i * size);
                let to = base.wrapping_offset(body.offset(&fold.walk, &region) * size as isize);
                // SAFETY: the region is all of the results under one outer coordinate.
                unsafe {
                    match size {
                        1 => scatter::<u8>(from, to, &fold.walk, &region),
                        4 => scatter::<u32>(from, to, &fold.walk, &region),
                        _ => scatter::<u64>(from, to, &fold.walk, &region),
                    }
                }
            }
            partial = partial.wrapping_add(row * body.n_blocks());
        }
    }
}

/// So many bytes, as a range.
fn bytes(n: usize) -> [isize; 2] {
    [0, n as isize - 1]
}
