//! Batched matrix products with any strides.

mod plan;

use super::bounds::{self, Operand};
use super::micro::{Form, MOST_COLUMNS, MOST_ROWS, Panel, Segment, Tile, panels};
use super::order::{BLOCK, part_length};
use super::pack::{align, join_range, pack_columns};
use super::pool::{Pool, Shared};
use super::simd::{Float, prefetch};
use plan::{Plan, ROW_CHUNK};

/// One batch dimension: its extent and how far each operand moves per step (0: shared).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Number of products along the dimension.
    pub extent: usize,
    /// Stride of the left operand, in elements.
    pub a: isize,
    /// Stride of the right operand, in elements.
    pub b: isize,
    /// Stride of the output, in elements; must not make outputs overlap.
    pub c: isize,
}

/// A batch of matrix products `c[i, j] = sum over k of a[i, k] * b[k, j]`.
///
/// Each sum follows [`super::order`] over `k`. Strides count elements and may have any sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Rows.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Extent of the sum.
    pub k: usize,
    /// Strides of `a` by row and by `k`.
    pub a: [isize; 2],
    /// Strides of `b` by `k` and by column.
    pub b: [isize; 2],
    /// Strides of `c` by row and by column.
    pub c: [isize; 2],
    /// Batch dimensions, outermost first.
    pub batch: Vec<Batch>,
}

impl Product {
    /// How the products are done on this pool.
    pub fn prepare<T: Float>(&self, pool: &Pool) -> Prepared {
        let plan = (!self.is_empty()).then(|| Plan::new::<T>(self, pool));
        Prepared { product: self.clone(), plan }
    }

    fn is_empty(&self) -> bool {
        self.m == 0 || self.n == 0 || self.batch.iter().any(|d| d.extent == 0)
    }
}

/// Products with the way they are done on a pool, for many runs.
#[derive(Debug, Clone)]
pub struct Prepared {
    product: Product,
    /// Nothing if there is nothing to do.
    plan: Option<Plan>,
}

impl Prepared {
    /// Bytes of scratch that [`Prepared::run`] needs.
    pub fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        self.plan.as_ref().map_or(0, |plan| {
            let slots = pool.threads() * plan.slot_elements();
            (plan.partial_elements() + slots) * size_of::<T>() + 64
        })
    }

    /// Computes the products, of the type and on the pool that they were prepared for.
    ///
    /// # Safety
    /// Every element that the extents and strides reach is inside its operand; outputs do not
    /// overlap each other or an input; `scratch` has [`Prepared::scratch_bytes`] bytes that nothing
    /// else uses.
    pub unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        a: *const T,
        b: *const T,
        c: *mut T,
        scratch: *mut u8,
    ) {
        let Some(plan) = &self.plan else { return };
        let (a, b) = if plan.swapped { (b, a) } else { (a, b) };
        let work = Work { plan, pool, a, b, c, scratch: align::<T>(scratch) };
        let operands = || self.operands(&work, pool);
        // SAFETY: passed on from the caller; `Plan` only reorders the same index sets.
        bounds::within(operands, || unsafe { work.run() });
    }

    /// The products.
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// What the extents and strides reach.
    fn operands<T: Float>(&self, work: &Work<'_, T>, pool: &Pool) -> Vec<Operand> {
        let it = &self.product;
        let reach = |own: [(usize, isize); 2], of: fn(&Batch) -> isize| {
            it.batch.iter().fold(bounds::reach(own), |[low, high], batch| {
                let [least, most] = bounds::reach([(batch.extent, of(batch))]);
                [low + least, high + most]
            })
        };
        let (m, n, k) = (it.m, it.n, it.k);
        let (a, b) = if work.plan.swapped { (work.b, work.a) } else { (work.a, work.b) };
        vec![
            Operand::new(a, reach([(m, it.a[0]), (k, it.a[1])], |batch| batch.a), false),
            Operand::new(b, reach([(k, it.b[0]), (n, it.b[1])], |batch| batch.b), false),
            Operand::new(work.c, reach([(m, it.c[0]), (n, it.c[1])], |batch| batch.c), true),
            Operand::dense(work.scratch.cast::<u8>(), self.scratch_bytes::<T>(pool), true),
        ]
    }
}

/// A plan with its operands.
struct Work<'a, T> {
    plan: &'a Plan,
    pool: &'a Pool,
    a: *const T,
    b: *const T,
    c: *mut T,
    scratch: *mut T,
}

/// Where an item's sums go: the output itself, or dense partial sums.
struct Target<T> {
    base: *mut T,
    partial: bool,
}

impl<T: Float> Work<'_, T> {
    unsafe fn run(&self) {
        let plan = self.plan;
        let shared = Shared(std::ptr::from_ref(self).cast_mut());
        let column_chunks = plan.columns.div_ceil(plan.column_chunk);
        let row_chunks = plan.rows.div_ceil(plan.row_chunk);
        let per_part = column_chunks * row_chunks;
        let dense = plan.rows * plan.columns;
        let mut first = 0;
        while first < plan.members {
            let wave = if plan.parts == 1 { plan.members } else { plan.wave };
            let members = wave.min(plan.members - first);
            let items = members * plan.parts * per_part;
            self.pool.for_each_slot(items.div_ceil(plan.group), |slot, task| {
                // SAFETY: `self` outlives the call; tasks read it only.
                let work = unsafe { &*shared.get() };
                for item in task * plan.group..items.min((task + 1) * plan.group) {
                    let (chunk, outer) = (item % per_part, item / per_part);
                    let (part, member) = (outer % plan.parts, outer / plan.parts);
                    let [a, b, c] = plan.member(first + member);
                    let rows = chunk / column_chunks * plan.row_chunk;
                    let columns = chunk % column_chunks * plan.column_chunk;
                    // SAFETY: offsets are those of an element inside each operand; a task's
                    // chunk of the output or of the partial sums is its own, and so is its slot.
                    unsafe {
                        let target = if plan.parts == 1 {
                            Target { base: work.c.offset(c), partial: false }
                        } else {
                            let at = (member * plan.parts + part) * dense;
                            Target { base: work.scratch.add(at), partial: true }
                        };
                        let slot =
                            work.scratch.add(plan.partial_elements() + slot * plan.slot_elements());
                        let (a, b) = (work.a.offset(a), work.b.offset(b));
                        work.item(a, b, &target, slot, part, rows, columns);
                    }
                }
            });
            if plan.parts > 1 {
                // SAFETY: the partial sums of these members are complete.
                unsafe { self.join_parts(first, members) }
            }
            first += members;
        }
    }

    /// One chunk of rows and columns over one part of `k`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn item(
        &self,
        a: *const T,
        b: *const T,
        target: &Target<T>,
        slot: *mut T,
        part: usize,
        row: usize,
        column: usize,
    ) {
        let plan = self.plan;
        let rows = plan.row_chunk.min(plan.rows - row);
        let columns = plan.column_chunk.min(plan.columns - column);
        let length = part_length(plan.k);
        let (start, end) = (part * length, plan.k.min((part + 1) * length));
        let packed_b = slot;
        // SAFETY: the slot holds both packed operands; all other addresses come from row, column
        // and `k` indices inside the extents.
        unsafe {
            let packed_a = slot.add(plan.packed_b());
            let mut k = start;
            loop {
                let depth = BLOCK.min(end - k);
                let a_block = a.offset(k as isize * plan.a_step);
                let b_block = b.offset(k as isize * plan.b[0] + column as isize * plan.b[1]);
                if plan.pack_a {
                    self.pack_rows(a_block, packed_a, row, rows, depth);
                }
                let mut packed = 0;
                for panel in panels::<T>(self.pool.isa(), Form::Broadcast, columns) {
                    let from = b_block.offset(panel.start as isize * plan.b[1]);
                    let (b, b_step) = if plan.pack_b {
                        let to = packed_b.add(packed);
                        let width = [panel.columns, panel.class.width];
                        pack_columns(self.pool.isa(), from, plan.b, to, width, depth);
                        packed += depth * panel.class.width;
                        (to.cast_const(), panel.class.width as isize)
                    } else {
                        (from, plan.b[0])
                    };
                    let a = if plan.pack_a { packed_a.cast_const() } else { a_block };
                    let first = k == start;
                    self.panel(a, b, b_step, target, panel, (row, rows), column, depth, first);
                }
                k += depth;
                if k >= end {
                    break;
                }
            }
        }
    }

    /// All row tiles of one panel of columns over one block of `k`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn panel(
        &self,
        a: *const T,
        b: *const T,
        b_step: isize,
        target: &Target<T>,
        panel: Panel<T>,
        (row, rows): (usize, usize),
        column: usize,
        depth: usize,
        first: bool,
    ) {
        let plan = self.plan;
        let segments = [Segment { a: 0, b: 0, k: 0, length: depth }];
        let c_step = if target.partial { 1 } else { plan.c_step };
        let column = (column + panel.start) as isize;
        let mut strided = [T::ZERO; MOST_ROWS * MOST_COLUMNS];
        let strided_rows: [isize; MOST_ROWS] = std::array::from_fn(|i| (i * MOST_COLUMNS) as isize);
        let (mut a_rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
        let mut done = 0;
        while done < rows {
            let (live_rows, entry) = panel.class.choose(rows - done);
            for i in 0..live_rows {
                let (a_row, c_row) = plan.row(row + done + i);
                a_rows[i] = match (plan.pack_a, plan.a_step) {
                    (false, _) => a_row,
                    (true, 1) => ((done + i) * BLOCK) as isize,
                    (true, _) => (done + i) as isize,
                };
                c_rows[i] =
                    if target.partial { ((row + done + i) * plan.columns) as isize } else { c_row };
            }
            let last = a_rows[live_rows - 1];
            a_rows[live_rows..].fill(last);
            let direct = c_step == 1;
            let a_step = if plan.pack_a && plan.a_step != 1 {
                plan.packed_step() as isize
            } else {
                plan.a_step
            };
            // SAFETY: rows, columns and `k` are inside the extents; the entry is of the pool's
            // instruction set; the strided tile has room for every row and column.
            unsafe {
                let c = target.base.offset(column * c_step);
                let tile = Tile {
                    a,
                    rows: &a_rows,
                    a_step,
                    b,
                    b_step,
                    segments: &segments,
                    c: if direct { c } else { strided.as_mut_ptr() },
                    c_rows: if direct { &c_rows } else { &strided_rows },
                    live_rows,
                    columns: panel.columns,
                    accumulate: direct && !first,
                };
                let own =
                    || vec![Operand::dense(tile.c.cast_const(), MOST_ROWS * MOST_COLUMNS, true)];
                if direct {
                    if plan.far_output {
                        // The sums take long enough for what they go to to come meanwhile.
                        for row in &c_rows[..live_rows] {
                            prefetch(c.wrapping_offset(*row), panel.columns);
                        }
                    }
                    entry(&tile)
                } else {
                    bounds::beside(own, || entry(&tile))
                }
                if !direct {
                    for (i, sums) in strided.chunks(MOST_COLUMNS).enumerate().take(live_rows) {
                        let reach = bounds::reach([(panel.columns, c_step)]);
                        bounds::writes(c.wrapping_offset(c_rows[i]), reach);
                        for (j, &sum) in sums.iter().enumerate().take(panel.columns) {
                            let to = c.offset(c_rows[i] + j as isize * c_step);
                            *to = if first { sum } else { *to + sum };
                        }
                    }
                }
            }
            done += live_rows;
        }
    }

    /// Copies a block of rows: `k` next to each other if they were, else rows next to each other.
    unsafe fn pack_rows(&self, a: *const T, to: *mut T, row: usize, rows: usize, depth: usize) {
        let plan = self.plan;
        // SAFETY: rows and `k` are inside the extents, and `to` has room for a chunk.
        unsafe {
            if plan.a_step == 1 {
                for i in 0..rows {
                    let from = a.offset(plan.row(row + i).0);
                    bounds::reads(from, [0, depth as isize - 1]);
                    bounds::writes(to.wrapping_add(i * BLOCK), [0, depth as isize - 1]);
                    std::ptr::copy_nonoverlapping(from, to.add(i * BLOCK), depth);
                }
                return;
            }
            let even = plan.row_dims.len() == 1 && plan.row_dims[0].a == 1;
            let mut offsets = [0; ROW_CHUNK];
            for (i, offset) in offsets.iter_mut().enumerate().take(rows) {
                *offset = plan.row(row + i).0;
                let of_row = a.wrapping_offset(*offset);
                bounds::reads(of_row, bounds::reach([(depth, plan.a_step)]));
            }
            let reach = bounds::reach([(depth, plan.packed_step() as isize), (rows, 1)]);
            bounds::writes(to, reach);
            for k in 0..depth {
                let from = a.offset(k as isize * plan.a_step);
                let to = to.add(k * plan.packed_step());
                if even {
                    std::ptr::copy_nonoverlapping(from.add(row), to, rows);
                } else {
                    for (i, &offset) in offsets.iter().enumerate().take(rows) {
                        *to.add(i) = *from.offset(offset);
                    }
                }
            }
        }
    }

    /// Joins the parts of a wave of members and writes the output.
    unsafe fn join_parts(&self, first: usize, members: usize) {
        const CHUNK: usize = 4096;
        let plan = self.plan;
        let dense = plan.rows * plan.columns;
        let chunks = dense.div_ceil(CHUNK);
        let (scratch, c) = (Shared(self.scratch), Shared(self.c));
        self.pool.for_each(members * chunks, |task| {
            let (member, chunk) = (task / chunks, task % chunks);
            let start = chunk * CHUNK;
            let length = CHUNK.min(dense - start);
            let offset = plan.member(first + member)[2];
            // SAFETY: a task owns its range of elements in every part and in the output.
            unsafe {
                let sums = join_range(
                    scratch.get().add(member * plan.parts * dense + start),
                    dense,
                    plan.parts,
                    length,
                );
                let mut at = start;
                while at < start + length {
                    let (row, column) = (at / plan.columns, at % plan.columns);
                    let run = (plan.columns - column).min(start + length - at);
                    let to = c.get().offset(offset + plan.row(row).1);
                    let first = to.wrapping_offset(column as isize * plan.c_step);
                    bounds::writes(first, bounds::reach([(run, plan.c_step)]));
                    for i in 0..run {
                        *to.offset((column + i) as isize * plan.c_step) = sums[at - start + i];
                    }
                    at += run;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
