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
/// Extra row elements between packed `k`, so that they do not share a cache set.
pub(super) const ROW_PAD: usize = 16;
/// Multiply-add slots below which a task is not worth a thread's attention.
const TASK_WORK: f64 = 20_000.0;

/// A dimension of the rows: the matrix's own, or a batch dimension along which `b` is shared.
#[derive(Clone, Copy)]
pub(super) struct RowDim {
    pub(super) extent: usize,
    pub(super) a: isize,
    pub(super) c: isize,
}

/// How a product is carried out: roles, folded dimensions and the cut into tasks.
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
}

impl Plan {
    pub(super) fn new<T: Float>(product: &Product, pool: &Pool) -> Self {
        let straight = Self::oriented(product, false);
        let swapped = Self::oriented(product, true);
        let (x, y) = (straight.estimate::<T>(pool), swapped.estimate::<T>(pool));
        let mut plan = if y < x { swapped } else { straight };
        plan.cut::<T>(pool);
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

    /// Chooses packing and the cut into tasks.
    pub(super) fn cut<T: Float>(&mut self, pool: &Pool) {
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

    pub(super) fn partial_elements(&self) -> usize {
        if self.parts == 1 { 0 } else { self.wave * self.parts * self.rows * self.columns }
    }

    pub(super) fn packed_b(&self) -> usize {
        if self.pack_b { BLOCK.min(self.k) * (self.column_chunk + MOST_COLUMNS) } else { 0 }
    }

    pub(super) fn packed_a(&self) -> usize {
        if self.pack_a { BLOCK * (self.row_chunk + ROW_PAD) } else { 0 }
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
