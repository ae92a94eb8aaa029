//! Batched matrix products with any strides.

use super::micro::{Form, MOST_COLUMNS, MOST_ROWS, Panel, Segment, Tile, cost, panels};
use super::order::{BLOCK, join, part_count, part_length};
use super::pool::{Pool, Shared};
use super::simd::Float;

/// Columns that a task packs at once.
const COLUMN_CHUNK: usize = 256;
/// Rows that a task packs at once.
const ROW_CHUNK: usize = 240;
/// Extra row elements between packed `k`, so that they do not share a cache set.
const ROW_PAD: usize = 16;
/// Multiply-add slots below which a task is not worth a thread's attention.
const TASK_WORK: f64 = 20_000.0;

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
    /// Bytes of scratch that [`Product::run`] needs on this pool.
    pub fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        if self.is_empty() {
            return 0;
        }
        let plan = Plan::new::<T>(self, pool);
        (plan.partial_elements() + pool.threads() * plan.slot_elements()) * size_of::<T>() + 64
    }

    /// Computes the products.
    ///
    /// # Safety
    /// Every element that the extents and strides reach is inside its operand; outputs do not
    /// overlap each other or an input; `scratch` has [`Product::scratch_bytes`] bytes that nothing
    /// else uses.
    pub unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        a: *const T,
        b: *const T,
        c: *mut T,
        scratch: *mut u8,
    ) {
        if self.is_empty() {
            return;
        }
        let plan = Plan::new::<T>(self, pool);
        let (a, b) = if plan.swapped { (b, a) } else { (a, b) };
        let work = Work { plan: &plan, pool, a, b, c, scratch: align::<T>(scratch) };
        // SAFETY: passed on from the caller; `Plan` only reorders the same index sets.
        unsafe { work.run() }
    }

    fn is_empty(&self) -> bool {
        self.m == 0 || self.n == 0 || self.batch.iter().any(|d| d.extent == 0)
    }
}

/// The first address of a cache line in `scratch`.
pub(super) fn align<T>(scratch: *mut u8) -> *mut T {
    scratch.wrapping_add(scratch.align_offset(64)).cast()
}

/// A dimension of the rows: the matrix's own, or a batch dimension along which `b` is shared.
#[derive(Clone, Copy)]
struct RowDim {
    extent: usize,
    a: isize,
    c: isize,
}

/// How a product is carried out: roles, folded dimensions and the cut into tasks.
struct Plan {
    swapped: bool,
    /// Row dimensions, outermost first.
    row_dims: Vec<RowDim>,
    batch: Vec<Batch>,
    rows: usize,
    columns: usize,
    k: usize,
    a_step: isize,
    b: [isize; 2],
    c_step: isize,
    members: usize,
    parts: usize,
    row_chunk: usize,
    column_chunk: usize,
    /// Items (member, chunk, part) that one task does.
    group: usize,
    /// Members whose partial sums exist at the same time, when there is more than one part.
    wave: usize,
    pack_a: bool,
    pack_b: bool,
}

impl Plan {
    fn new<T: Float>(product: &Product, pool: &Pool) -> Self {
        let straight = Self::oriented(product, false);
        let swapped = Self::oriented(product, true);
        let (x, y) = (straight.estimate::<T>(pool), swapped.estimate::<T>(pool));
        let mut plan = if y < x { swapped } else { straight };
        plan.cut::<T>(pool);
        plan
    }

    /// The product, or with the roles of the operands exchanged: `c^T = b^T a^T`.
    fn oriented(product: &Product, swapped: bool) -> Self {
        let p = product;
        let (rows, columns, a, b, c) = if swapped {
            (p.n, p.m, [p.b[1], p.b[0]], [p.a[1], p.a[0]], [p.c[1], p.c[0]])
        } else {
            (p.m, p.n, p.a, p.b, p.c)
        };
        let mut row_dims: Vec<RowDim> = Vec::with_capacity(p.batch.len() + 1);
        let mut batch = Vec::with_capacity(p.batch.len());
        for d in p.batch.iter().filter(|d| d.extent != 1) {
            let d = if swapped { Batch { a: d.b, b: d.a, ..*d } } else { *d };
            if d.b == 0 {
                row_dims.push(RowDim { extent: d.extent, a: d.a, c: d.c });
            } else {
                batch.push(d);
            }
        }
        row_dims.push(RowDim { extent: rows, a: a[0], c: c[0] });
        // Neighbours that step evenly are one dimension.
        let mut merged: Vec<RowDim> = Vec::with_capacity(row_dims.len());
        for inner in row_dims {
            let step = inner.extent as isize;
            match merged.last_mut() {
                Some(outer) if outer.a == step * inner.a && outer.c == step * inner.c => {
                    *outer = RowDim { extent: outer.extent * inner.extent, ..inner };
                }
                _ => merged.push(inner),
            }
        }
        let row_dims = merged;
        Self {
            swapped,
            rows: row_dims.iter().map(|d| d.extent).product(),
            members: batch.iter().map(|d| d.extent).product(),
            row_dims,
            batch,
            columns,
            k: p.k,
            a_step: a[1],
            // A stride along a single column or a single `k` is never taken.
            b: [b[0], if columns == 1 { 1 } else { b[1] }],
            c_step: if columns == 1 { 1 } else { c[1] },
            parts: part_count(p.k),
            row_chunk: 0,
            column_chunk: 0,
            group: 1,
            wave: 1,
            pack_a: false,
            pack_b: false,
        }
    }

    /// Rough time in multiply-add slots.
    fn estimate<T: Float>(&self, pool: &Pool) -> f64 {
        let (rows, columns, k) = (self.rows as f64, self.columns as f64, self.k as f64);
        // A tile of fewer than about four rows waits for its own latency.
        let arithmetic = rows.max(4.0) * k * f64::from(cost::<T>(pool.isa(), self.columns));
        let transpose = if self.b[1] == 1 { 0.0 } else { columns * k };
        let scatter = if self.c_step == 1 { 0.0 } else { rows * columns };
        (arithmetic + transpose + scatter) * self.members as f64
    }

    /// Chooses packing and the cut into tasks.
    fn cut<T: Float>(&mut self, pool: &Pool) {
        let panel_count = panels::<T>(pool.isa(), Form::Broadcast, self.columns).count();
        let hostile = |stride: isize| (stride.unsigned_abs() * size_of::<T>()).is_multiple_of(512);
        let row_stride = self.row_dims[self.row_dims.len() - 1].a;
        let conflicts = if self.a_step == 1 {
            self.rows >= 8 && hostile(row_stride)
        } else {
            self.k >= 32 && hostile(self.a_step)
        };
        self.pack_a = self.rows >= 8 && (panel_count >= 3 || conflicts);
        self.pack_b = self.b[1] != 1
            || (self.rows >= 48 && panel_count >= 2)
            || (self.rows >= 24 && self.k >= 32 && hostile(self.b[0]));

        let work = self.rows as f64
            * self.k.max(1) as f64
            * self.members as f64
            * f64::from(cost::<T>(pool.isa(), self.columns));
        let wanted = (4.0 * pool.threads() as f64).min(work / TASK_WORK).max(1.0) as usize;
        let wanted = if pool.threads() == 1 { 1 } else { wanted };
        self.column_chunk = COLUMN_CHUNK.min(self.columns);
        self.row_chunk = ROW_CHUNK.min(self.rows);
        let natural = self.members * self.parts * self.columns.div_ceil(self.column_chunk);
        if natural < wanted {
            let pieces = wanted.div_ceil(natural).min(self.rows.div_ceil(8));
            let even = self.rows.div_ceil(pieces).next_multiple_of(4);
            self.row_chunk = self.row_chunk.min(even);
        }
        let items = natural * self.rows.div_ceil(self.row_chunk);
        self.group = (items / wanted.max(1) / 2).max(1);
        if self.parts > 1 {
            self.wave = (4 * pool.threads()).div_ceil(self.parts).clamp(1, self.members);
        }
    }

    fn partial_elements(&self) -> usize {
        if self.parts == 1 { 0 } else { self.wave * self.parts * self.rows * self.columns }
    }

    fn packed_b(&self) -> usize {
        if self.pack_b { BLOCK.min(self.k) * (self.column_chunk + MOST_COLUMNS) } else { 0 }
    }

    fn packed_a(&self) -> usize {
        if self.pack_a { BLOCK * (self.row_chunk + ROW_PAD) } else { 0 }
    }

    fn slot_elements(&self) -> usize {
        (self.packed_a() + self.packed_b()).next_multiple_of(64)
    }

    /// Offsets of `a`, `b` and `c` for one member of the batch.
    fn member(&self, mut index: usize) -> [isize; 3] {
        let mut offsets = [0; 3];
        for d in self.batch.iter().rev() {
            let i = (index % d.extent) as isize;
            index /= d.extent;
            offsets[0] += i * d.a;
            offsets[1] += i * d.b;
            offsets[2] += i * d.c;
        }
        offsets
    }

    /// Offsets of `a` and `c` of a row.
    fn row(&self, mut index: usize) -> (isize, isize) {
        if let [d] = self.row_dims[..] {
            return (index as isize * d.a, index as isize * d.c);
        }
        let mut offsets = (0, 0);
        for d in self.row_dims.iter().rev() {
            let i = (index % d.extent) as isize;
            index /= d.extent;
            offsets.0 += i * d.a;
            offsets.1 += i * d.c;
        }
        offsets
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
                        pack_columns(from, plan.b, to, panel.columns, panel.class.width, depth);
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
                (plan.row_chunk + ROW_PAD) as isize
            } else {
                plan.a_step
            };
            // SAFETY: rows, columns and `k` are inside the extents; the entry is of the pool's
            // instruction set; the strided tile has room for every row and column.
            unsafe {
                let c = target.base.offset(column * c_step);
                entry(&Tile {
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
                });
                if !direct {
                    for (i, sums) in strided.chunks(MOST_COLUMNS).enumerate().take(live_rows) {
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
                    std::ptr::copy_nonoverlapping(from, to.add(i * BLOCK), depth);
                }
                return;
            }
            let even = plan.row_dims.len() == 1 && plan.row_dims[0].a == 1;
            let mut offsets = [0; ROW_CHUNK];
            for (i, offset) in offsets.iter_mut().enumerate().take(rows) {
                *offset = plan.row(row + i).0;
            }
            for k in 0..depth {
                let from = a.offset(k as isize * plan.a_step);
                let to = to.add(k * (plan.row_chunk + ROW_PAD));
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
                    for i in 0..run {
                        *to.offset((column + i) as isize * plan.c_step) = sums[at - start + i];
                    }
                    at += run;
                }
            }
        });
    }
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
pub(super) unsafe fn pack_columns<T: Float>(
    from: *const T,
    [row, column]: [isize; 2],
    to: *mut T,
    columns: usize,
    width: usize,
    depth: usize,
) {
    // SAFETY: the caller vouches for `depth` by `columns` elements at `from` and `depth * width`
    // at `to`.
    unsafe {
        if column == 1 {
            for k in 0..depth {
                let (from, to) = (from.offset(k as isize * row), to.add(k * width));
                std::ptr::copy_nonoverlapping(from, to, columns);
                for j in columns..width {
                    *to.add(j) = T::ZERO;
                }
            }
            return;
        }
        const SQUARE: usize = 8;
        let mut k = 0;
        while k < depth {
            let run = SQUARE.min(depth - k);
            for j in 0..columns {
                let from = from.offset(k as isize * row + j as isize * column);
                let to = to.add(k * width + j);
                if run == SQUARE {
                    for i in 0..SQUARE {
                        *to.add(i * width) = *from.offset(i as isize * row);
                    }
                } else {
                    for i in 0..run {
                        *to.add(i * width) = *from.offset(i as isize * row);
                    }
                }
            }
            for i in k..k + run {
                for j in columns..width {
                    *to.add(i * width + j) = T::ZERO;
                }
            }
            k += run;
        }
    }
}

#[cfg(test)]
mod tests;
