//! Assembles a loop: registers, then axes sorted and merged, then slots for the registers.

use super::{Fold, Instruction, LANES, Load, Loop, Source, Store, TileOp, Walk};
use crate::plan::view::{BufferId, View};
use std::collections::HashMap;
use thalweg_graph::{DType, Reduction};

/// Bytes that a tile's registers may fill. That is more than a first-level cache where there are
/// many registers: of a long program a few are in use at a time, and short tiles cost more.
const TILE_BYTES: usize = 64 * 1024;
const MOST_TILE: usize = 1024;
const LEAST_TILE: usize = 128;
/// Columns of a fold, beyond which it does not take whole rows.
const MOST_COLUMNS: usize = 512;

/// An access over the axes of the space before they are sorted.
struct Access {
    offset: isize,
    strides: Vec<isize>,
}

/// A loop under construction over `shape`, some axes of which are reduced.
pub(crate) struct LoopBuilder {
    shape: Vec<usize>,
    reduced: Vec<usize>,
    code: Vec<Instruction>,
    known: HashMap<(TileOp, [u16; 4]), u16>,
    loads: Vec<(Source, DType, Access)>,
    known_loads: HashMap<(Source, DType, isize, Vec<isize>), u16>,
    dtypes: Vec<DType>,
    stores: Vec<(u16, BufferId, Access)>,
    folds: Vec<(u16, Reduction, BufferId, Access)>,
}

impl LoopBuilder {
    pub(crate) fn new(shape: &[usize], reduced: &[usize]) -> LoopBuilder {
        LoopBuilder {
            shape: shape.to_vec(),
            reduced: reduced.to_vec(),
            code: Vec::new(),
            known: HashMap::new(),
            loads: Vec::new(),
            known_loads: HashMap::new(),
            dtypes: Vec::new(),
            stores: Vec::new(),
            folds: Vec::new(),
        }
    }

    pub(crate) fn load(&mut self, view: &View, dtype: DType) -> u16 {
        self.source(Source::Memory(view.buffer), dtype, view.offset, view.strides.clone())
    }

    /// A register with the value `offset + strides . coordinates`.
    pub(crate) fn position(&mut self, offset: isize, strides: Vec<isize>, dtype: DType) -> u16 {
        self.source(Source::Position, dtype, offset, strides)
    }

    fn source(&mut self, source: Source, dtype: DType, offset: isize, strides: Vec<isize>) -> u16 {
        let strides = self.used(&strides);
        let key = (source, dtype, offset, strides.clone());
        if let Some(&register) = self.known_loads.get(&key) {
            return register;
        }
        let index = self.loads.len() as u16;
        self.loads.push((source, dtype, Access { offset, strides }));
        let register = self.emit(TileOp::Load(index), &[], dtype);
        self.known_loads.insert(key, register);
        register
    }

    /// The stride of an axis of extent one is never used; zero lets equal accesses meet.
    fn used(&self, strides: &[isize]) -> Vec<isize> {
        let pairs = strides.iter().zip(&self.shape);
        pairs.map(|(&stride, &extent)| if extent == 1 { 0 } else { stride }).collect()
    }

    pub(crate) fn emit(&mut self, op: TileOp, sources: &[u16], result: DType) -> u16 {
        let mut padded = [0; 4];
        padded[..sources.len()].copy_from_slice(sources);
        *self.known.entry((op, padded)).or_insert_with(|| {
            let target = self.dtypes.len() as u16;
            self.dtypes.push(result);
            self.code.push(Instruction { op, target, sources: padded });
            target
        })
    }

    /// Whatever the loop reads at the view from now on is the register.
    pub(crate) fn hold(&mut self, register: u16, view: &View) {
        let source = Source::Memory(view.buffer);
        let key = (source, self.dtypes[register as usize], view.offset, self.used(&view.strides));
        self.known_loads.insert(key, register);
    }

    /// Writes a register to a view. Whatever the loop reads there from now on is the register:
    /// the memory is written only when a tile ends.
    pub(crate) fn store(&mut self, register: u16, view: &View) {
        self.hold(register, view);
        let access = Access { offset: view.offset, strides: view.strides.clone() };
        self.stores.push((register, view.buffer, access));
    }

    /// Reduces a register over the reduced axes into a dense buffer of the kept axes.
    pub(crate) fn fold(&mut self, register: u16, kind: Reduction, buffer: BufferId) {
        let mut strides = vec![0; self.shape.len()];
        let mut stride = 1;
        for axis in (0..self.shape.len()).rev() {
            if !self.reduced.contains(&axis) {
                strides[axis] = stride;
                stride *= self.shape[axis].max(1) as isize;
            }
        }
        self.folds.push((register, kind, buffer, Access { offset: 0, strides }));
    }

    pub(crate) fn finish(self) -> Loop {
        let accesses: Vec<&Access> = self
            .loads
            .iter()
            .map(|(_, _, access)| access)
            .chain(self.stores.iter().map(|(_, _, access)| access))
            .chain(self.folds.iter().map(|(_, _, _, access)| access))
            .collect();
        let axes = Axes::sort(&self.shape, &self.reduced, &accesses, !self.folds.is_empty());
        let walk = |access: &Access| axes.walk(access);

        let uses = Uses::of(&self.code, &self.stores, &self.folds, self.dtypes.len());
        let (slots, n_slots) = uses.assign(&self.code);
        let element = self.dtypes.iter().map(|dtype| dtype.size()).max().unwrap_or(4);
        let tile = (TILE_BYTES / (n_slots.max(1) * element)).clamp(LEAST_TILE, MOST_TILE) / 64 * 64;
        let row = fold_columns(axes.i.extent, self.folds.len()).next_multiple_of(64);
        let tile = if self.folds.is_empty() { tile } else { tile.max(row) };

        let read: Vec<BufferId> = self
            .loads
            .iter()
            .filter_map(|(source, _, _)| match source {
                Source::Memory(buffer) => Some(*buffer),
                Source::Position => None,
            })
            .collect();
        let is_load = |register: u16| {
            self.code.iter().any(|c| c.target == register && matches!(c.op, TileOp::Load(_)))
        };
        let mut direct_registers: Vec<u16> = Vec::new();
        let stores = self
            .stores
            .iter()
            .map(|(register, buffer, access)| {
                let direct = !read.contains(buffer)
                    && !is_load(*register)
                    && !direct_registers.contains(register);
                if direct {
                    direct_registers.push(*register);
                }
                let dtype = self.dtypes[*register as usize];
                Store { register: *register, buffer: *buffer, dtype, walk: walk(access), direct }
            })
            .collect();
        let folds = self
            .folds
            .iter()
            .map(|(register, kind, buffer, access)| Fold {
                register: *register,
                kind: *kind,
                buffer: *buffer,
                dtype: self.dtypes[*register as usize],
                walk: walk(access),
            })
            .collect();
        let n_results = self.stores.len() + self.folds.len();
        let is_result = |load: usize| {
            let target = |c: &&Instruction| c.op == TileOp::Load(load as u16);
            let register = self.code.iter().find(target).map(|c| c.target);
            let mut results = self.stores.iter().map(|s| s.0).chain(self.folds.iter().map(|f| f.0));
            results.any(|result| Some(result) == register)
        };
        let loads = self
            .loads
            .iter()
            .enumerate()
            .map(|(index, (source, dtype, access))| Load {
                source: *source,
                dtype: *dtype,
                walk: walk(access),
                copied: !self.stores.is_empty() && n_results > 1 && is_result(index),
            })
            .collect();
        Loop {
            loads,
            stores,
            folds,
            code: self.code,
            slots,
            n_slots,
            slot_bytes: (tile * element).next_multiple_of(64),
            tile,
            outer: axes.outer.iter().map(|axis| axis.extent).collect(),
            o: axes.o.extent,
            r_outer: axes.r_outer.iter().map(|axis| axis.extent).collect(),
            r: axes.r.extent,
            i: axes.i.extent,
        }
    }
}

/// One axis of the sorted space: its extent and, for each access, its stride.
#[derive(Clone)]
struct Axis {
    extent: usize,
    strides: Vec<isize>,
}

struct Axes {
    outer: Vec<Axis>,
    o: Axis,
    r_outer: Vec<Axis>,
    r: Axis,
    i: Axis,
    /// Address of an access in `strides`, by its position.
    order: Vec<*const Access>,
}

impl Axes {
    fn sort(shape: &[usize], reduced: &[usize], accesses: &[&Access], folds: bool) -> Axes {
        let unit = Axis { extent: 1, strides: vec![0; accesses.len()] };
        let axis = |index: usize| Axis {
            extent: shape[index],
            strides: accesses.iter().map(|access| access.strides[index]).collect(),
        };
        let long: Vec<usize> = (0..shape.len()).filter(|&index| shape[index] != 1).collect();
        let mut kept: Vec<usize> =
            long.iter().copied().filter(|index| !folds || !reduced.contains(index)).collect();
        let mut r =
            merge(long.iter().copied().filter(|index| folds && reduced.contains(index)).map(axis));
        if r.iter().any(|axis| axis.extent == 0) {
            // Nothing is reduced, however many axes say so, and no coordinate can be counted.
            r = vec![Axis { extent: 0, ..unit.clone() }];
        }
        // The innermost axis is kept apart when it lies inside the reduced ones, or when nothing
        // is reduced; a reduction over the last axis has rows of one element.
        let inner = kept.last().copied().filter(|last| long.last() == Some(last));
        let (mut o, i) = match inner {
            Some(inner) => {
                kept.pop();
                let mut o = merge(kept.into_iter().map(axis));
                let mut i = axis(inner);
                // Merging the innermost axis outward is right only if no reduced axis lies
                // between in memory, which the strides of every access say.
                while let Some(last) = o.last() {
                    let Some(merged) = join(last, &i) else { break };
                    i = merged;
                    o.pop();
                }
                (o, i)
            }
            None => (merge(kept.into_iter().map(axis)), unit.clone()),
        };
        let o_last = o.pop().unwrap_or_else(|| unit.clone());
        let r_last = r.pop().unwrap_or_else(|| unit.clone());
        let order = accesses.iter().map(|&access| std::ptr::from_ref(access)).collect();
        Axes { outer: o, o: o_last, r_outer: r, r: r_last, i, order }
    }

    fn walk(&self, access: &Access) -> Walk {
        let position = self
            .order
            .iter()
            .position(|&known| std::ptr::eq(known, access))
            .expect("every access was sorted");
        let stride = |axis: &Axis| axis.strides[position];
        Walk {
            offset: access.offset,
            outer: self.outer.iter().map(stride).collect(),
            o: stride(&self.o),
            r_outer: self.r_outer.iter().map(stride).collect(),
            r: stride(&self.r),
            i: stride(&self.i),
        }
    }
}

/// Two neighbouring axes as one, if every access walks them as one.
fn join(outer: &Axis, inner: &Axis) -> Option<Axis> {
    let alike = outer
        .strides
        .iter()
        .zip(&inner.strides)
        .all(|(&outer, &step)| outer == step * inner.extent as isize);
    alike.then(|| Axis { extent: outer.extent * inner.extent, strides: inner.strides.clone() })
}

fn merge(axes: impl Iterator<Item = Axis>) -> Vec<Axis> {
    let mut merged: Vec<Axis> = Vec::new();
    for axis in axes {
        match merged.last().and_then(|last| join(last, &axis)) {
            Some(joined) => *merged.last_mut().expect("there is a last axis") = joined,
            None => merged.push(axis),
        }
    }
    merged
}

/// Last instruction that reads each register; `usize::MAX` if it must last to the tile's end.
struct Uses(Vec<usize>);

impl Uses {
    fn of(
        code: &[Instruction],
        stores: &[(u16, BufferId, Access)],
        folds: &[(u16, Reduction, BufferId, Access)],
        n_registers: usize,
    ) -> Uses {
        let mut last = vec![0; n_registers];
        for (position, instruction) in code.iter().enumerate() {
            for &source in &instruction.sources[..instruction.op.n_sources()] {
                last[source as usize] = position;
            }
        }
        let kept = stores.iter().map(|s| s.0).chain(folds.iter().map(|f| f.0));
        // A load may be filled once for a whole task, so its slot is never given away.
        let loads = code.iter().filter(|c| matches!(c.op, TileOp::Load(_))).map(|c| c.target);
        for register in kept.chain(loads) {
            last[register as usize] = usize::MAX;
        }
        Uses(last)
    }

    /// Slots such that a target never shares one with its sources.
    fn assign(&self, code: &[Instruction]) -> (Vec<u16>, usize) {
        let mut slots = vec![0u16; self.0.len()];
        let mut free: Vec<u16> = Vec::new();
        let mut n_slots = 0;
        for (position, instruction) in code.iter().enumerate() {
            // For the same reason a load takes no slot that an earlier register writes.
            let reused = match instruction.op {
                TileOp::Load(_) => None,
                _ => free.pop(),
            };
            slots[instruction.target as usize] = reused.unwrap_or_else(|| {
                n_slots += 1;
                n_slots - 1
            });
            let mut ended: Vec<u16> = instruction.sources[..instruction.op.n_sources()]
                .iter()
                .copied()
                .filter(|&source| self.0[source as usize] == position)
                .collect();
            ended.sort_unstable();
            ended.dedup();
            free.extend(ended.into_iter().map(|source| slots[source as usize]));
        }
        (slots, usize::from(n_slots))
    }
}

impl TileOp {
    pub(super) fn n_sources(self) -> usize {
        match self {
            TileOp::Load(_) => 0,
            TileOp::Unary(..) | TileOp::Convert(..) | TileOp::Copy(_) => 1,
            TileOp::Binary(..) | TileOp::Compare(..) => 2,
            TileOp::Select(_) => 3,
            TileOp::Threefry => 4,
        }
    }
}

/// Columns that a fold may work on at once: all, if that are not too many, because whole rows are
/// read where they lie.
pub(super) fn fold_columns(columns: usize, n_folds: usize) -> usize {
    if columns <= (1024 / n_folds.max(1)).min(MOST_COLUMNS) {
        columns
    } else {
        narrow_fold_columns(n_folds)
    }
}

/// Columns such that the lanes of folds stay in the first-level cache.
pub(super) fn narrow_fold_columns(n_folds: usize) -> usize {
    (16 * 1024 / (LANES * 4 * n_folds.max(1))).clamp(32, 128) / 16 * 16
}
