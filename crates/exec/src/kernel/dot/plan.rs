//! How a product is carried out: roles of the operands, folded dimensions, packing, tasks.

use super::{Batch, Product};
use crate::kernel::micro::{Form, MOST_COLUMNS, cost, panels};
use crate::kernel::order::{BLOCK, part_count};
use crate::kernel::pool::Pool;
use crate::kernel::simd::Float;

/// Columns that a task packs at once.
const COLUMN_CHUNK: usize = 256;
/// Rows that a task packs at once.
pub(super) const ROW_CHUNK: usize = 240;
/// Multiply-add slots below which a task is not worth a thread's attention.
const TASK_WORK: f64 = 5_000.0;
/// Slots that a task costs by itself.
const TASK_OVERHEAD: f64 = 200.0;
/// Bytes of output that a core's own caches do not keep.
const FAR: usize = 1 << 20;
/// Elements of a cache line at most.
const LINE: usize = 16;
/// Elements of a vector that slots are counted in.
const LANES: f64 = 16.0;

/// A dimension of the rows: the matrix's own, or a batch dimension along which `b` is shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowDim {
    pub(super) extent: usize,
    pub(super) a: isize,
    pub(super) c: isize,
}

/// How a product is carried out: roles, folded dimensions and the cut into tasks.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) swapped: bool,
    /// Row dimensions, outermost first.
    pub(super) row_dims: Vec<RowDim>,
    pub(super) batch: Vec<Batch>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    pub(super) a_step: isize,
    pub(super) b: [isize; 2],
    pub(super) c_step: isize,
    pub(super) members: usize,
    pub(super) parts: usize,
    pub(super) row_chunk: usize,
    pub(super) column_chunk: usize,
    /// Items (member, chunk, part) that one task does.
    pub(super) group: usize,
    /// Members whose partial sums exist at the same time, when there is more than one part.
    pub(super) wave: usize,
    pub(super) pack_a: bool,
    pub(super) pack_b: bool,
    /// Whether the output comes from far, so that it is asked for before it is written.
    pub(super) far_output: bool,
}

impl Plan {
    pub(super) fn new<T: Float>(product: &Product, pool: &Pool) -> Self {
        let straight = Self::oriented(product, false);
        let swapped = Self::oriented(product, true);
        let (x, y) = (straight.estimate::<T>(pool), swapped.estimate::<T>(pool));
        let mut plan = if y < x { swapped } else { straight };
        plan.cut::<T>(pool);
        plan.far_output = plan.members * plan.rows * plan.columns * size_of::<T>() > FAR;
        plan
    }

    /// The product, or with the roles of the operands exchanged: `c^T = b^T a^T`.
    pub(super) fn oriented(product: &Product, swapped: bool) -> Self {
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
            far_output: false,
        }
    }

    /// Rough time in multiply-add slots.
    pub(super) fn estimate<T: Float>(&self, pool: &Pool) -> f64 {
        let (rows, columns, k) = (self.rows as f64, self.columns as f64, self.k as f64);
        // A tile of fewer than about four rows waits for its own latency.
        let arithmetic = rows.max(4.0) * k * f64::from(cost::<T>(pool.isa(), self.columns));
        let transpose = match self.b {
            [_, 1] => 0.0,
            [1, _] => 0.4 * columns * k,
            _ => columns * k,
        };
        let scatter = if self.c_step == 1 { 0.0 } else { rows * columns };
        (arithmetic + transpose + scatter) * self.members as f64
    }

    /// Chooses packing and the cut into tasks: of the cuts into equal pieces, the one that ends
    /// first if each thread does its share.
    pub(super) fn cut<T: Float>(&mut self, pool: &Pool) {
        let threads = pool.threads();
        let widest = T::classes(pool.isa(), Form::Broadcast)[0].width;
        let mut best = f64::INFINITY;
        let most = if threads == 1 { 1 } else { 4 * threads };
        let pieces = || std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n <= most);
        for row_pieces in pieces() {
            for column_pieces in pieces() {
                let rows = self.rows.div_ceil(row_pieces).next_multiple_of(4);
                let columns = self.columns.div_ceil(column_pieces).next_multiple_of(widest);
                let mut cut = Self { row_dims: Vec::new(), batch: Vec::new(), ..*self };
                cut.row_chunk = rows.min(ROW_CHUNK).min(self.rows);
                cut.column_chunk = columns.min(COLUMN_CHUNK).min(self.columns);
                let step = self.row_dims[self.row_dims.len() - 1].a;
                (cut.pack_a, cut.pack_b) = cut.packing::<T>(pool, step);
                let tasks = self.members
                    * self.parts
                    * self.rows.div_ceil(cut.row_chunk)
                    * self.columns.div_ceil(cut.column_chunk);
                let task = cut.task::<T>(pool);
                // Small tasks go in groups, and the last of them may come late.
                let group = ((TASK_WORK / task) as usize).clamp(1, tasks.div_ceil(threads));
                let rounds = tasks.div_ceil(group).div_ceil(threads) as f64 + 0.3;
                let time = rounds * group as f64 * task;
                if time < best {
                    best = time;
                    (self.row_chunk, self.column_chunk) = (cut.row_chunk, cut.column_chunk);
                    (self.pack_a, self.pack_b, self.group) = (cut.pack_a, cut.pack_b, group);
                }
            }
        }
        if self.parts > 1 {
            self.wave = (4 * threads).div_ceil(self.parts).clamp(1, self.members);
        }
    }

    /// Whether a task copies its operands, if rows of the left one are `row_stride` apart.
    fn packing<T: Float>(&self, pool: &Pool, row_stride: isize) -> (bool, bool) {
        let (rows, columns) = (self.row_chunk, self.column_chunk);
        let panel_count = panels::<T>(pool.isa(), Form::Broadcast, columns).count();
        let hostile = |stride: isize| (stride.unsigned_abs() * size_of::<T>()).is_multiple_of(512);
        let conflicts = if self.a_step == 1 {
            rows >= 8 && hostile(row_stride)
        } else {
            self.k >= 32 && hostile(self.a_step)
        };
        let pack_a = rows >= 8 && (panel_count >= 3 || conflicts);
        let pack_b = self.b[1] != 1
            || (rows >= 48 && panel_count >= 2)
            || (rows >= 24 && self.k >= 32 && hostile(self.b[0]));
        (pack_a, pack_b)
    }

    /// Rough time of a task in multiply-add slots.
    fn task<T: Float>(&self, pool: &Pool) -> f64 {
        // Copying a vector takes as long as two multiply-adds, turning it over longer.
        let copied = |elements: usize, turned: bool| {
            elements as f64 / LANES * if turned { 6.0 } else { 2.0 }
        };
        let k = self.k.div_ceil(self.parts).max(1);
        let (rows, columns) = (self.row_chunk, self.column_chunk);
        let arithmetic = (rows * k) as f64 * f64::from(cost::<T>(pool.isa(), columns));
        let a = if self.pack_a { copied(rows * k, false) } else { 0.0 };
        let b = if self.pack_b { copied(columns * k, self.b[1] != 1) } else { 0.0 };
        TASK_OVERHEAD + arithmetic + a + b
    }

    pub(super) fn partial_elements(&self) -> usize {
        if self.parts == 1 { 0 } else { self.wave * self.parts * self.rows * self.columns }
    }

    pub(super) fn packed_b(&self) -> usize {
        if self.pack_b { BLOCK.min(self.k) * (self.column_chunk + MOST_COLUMNS) } else { 0 }
    }

    pub(super) fn packed_a(&self) -> usize {
        if self.pack_a { BLOCK * self.packed_step() } else { 0 }
    }

    /// Elements between packed `k` whose rows lie next to each other: an odd number of cache
    /// lines, so that they do not share a set.
    pub(super) fn packed_step(&self) -> usize {
        (self.row_chunk.div_ceil(LINE) | 1) * LINE
    }

    pub(super) fn slot_elements(&self) -> usize {
        (self.packed_a() + self.packed_b()).next_multiple_of(64)
    }

    /// Offsets of `a`, `b` and `c` for one member of the batch.
    pub(super) fn member(&self, mut index: usize) -> [isize; 3] {
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
    pub(super) fn row(&self, mut index: usize) -> (isize, isize) {
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
