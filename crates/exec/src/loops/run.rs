//! Walks the iteration space of a loop, tile by tile and task by task.

mod folds;

use super::bodies::Bodies;
use super::fold::with_storage;
use super::partition::Partition;
use super::region::{Region, gather, scatter};
use super::watch::check;
use super::{FOLD_BLOCK, LANES, Loop, Source, TileOp};
use crate::kernel::Pool;
use crate::kernel::bounds;
use crate::kernel::pool::Shared;
use crate::plan::view::BufferId;
use thalweg_graph::DType;

/// Where a loop's working memory lies, from its plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopScratch {
    /// Bytes of one thread: register slots, then the lanes of each fold.
    pub per_thread: usize,
    /// Bytes of all partial sums.
    pub partial: usize,
}

impl Loop {
    pub(crate) fn scratch(&self) -> LoopScratch {
        let partial = if self.n_blocks() > 1 {
            let per_block: usize = self
                .folds
                .iter()
                .map(|f| (self.kept() * f.dtype.size()).next_multiple_of(64))
                .sum();
            per_block * self.n_blocks()
        } else {
            0
        };
        LoopScratch { per_thread: self.parts().sum(), partial }
    }

    /// Bytes of the parts of a thread's memory: register slots, a slot for the results of whole
    /// reductions, and the lanes of each fold.
    pub(super) fn parts(&self) -> impl Iterator<Item = usize> + '_ {
        let slots = self.n_slots + usize::from(self.runs() > 0);
        let lanes = self.folds.iter().map(|fold| self.lane_bytes(fold.dtype));
        std::iter::repeat_n(self.slot_bytes, slots).chain(lanes)
    }

    /// How many whole reductions a tile holds.
    fn runs(&self) -> usize {
        let whole = !self.folds.is_empty() && self.n_blocks() == 1 && self.r_outer.is_empty();
        let elements = self.reduced() * self.columns();
        if whole && elements > 0 { self.tile / elements } else { 0 }
    }

    fn lane_bytes(&self, dtype: DType) -> usize {
        (LANES * self.columns() * dtype.size()).next_multiple_of(64)
    }

    /// Runs the loop.
    ///
    /// # Safety
    /// `memory` gives each buffer's start and bytes; every access stays inside its buffer; no other code
    /// touches what the loop writes; `scratch` holds `scratch()` of bytes, `per_thread` once for
    /// each thread of the pool, on a 64-byte boundary.
    pub(crate) unsafe fn run(
        &self,
        pool: &Pool,
        memory: &dyn Fn(BufferId) -> (*mut u8, usize),
        scratch: *mut u8,
    ) {
        let partial = scratch.wrapping_add(self.scratch().per_thread * pool.threads());
        let operands = || self.operands(memory, partial);
        // SAFETY: passed on from the caller.
        bounds::within(operands, || unsafe { self.run_all(pool, memory, scratch) });
    }

    /// # Safety
    /// As for [`Loop::run`].
    pub(super) unsafe fn run_all(
        &self,
        pool: &Pool,
        memory: &dyn Fn(BufferId) -> (*mut u8, usize),
        scratch: *mut u8,
    ) {
        if self.kept() == 0 || (self.folds.is_empty() && self.reduced() == 0) {
            return;
        }
        let per_thread = self.scratch().per_thread;
        let partition = Partition::of(self, pool.threads());
        let run = Run {
            body: self,
            one_o: partition.o_step == 1,
            loads: self
                .loads
                .iter()
                .map(|load| match load.source {
                    Source::Memory(buffer) => memory(buffer).0,
                    Source::Position => std::ptr::null_mut(),
                })
                .collect(),
            stores: self.stores.iter().map(|store| memory(store.buffer).0).collect(),
            folds: self.folds.iter().map(|fold| memory(fold.buffer).0).collect(),
            bodies: Bodies::of(pool.isa()),
            partial: scratch.wrapping_add(per_thread * pool.threads()),
        };
        let start = Shared(scratch);
        let shared = &run;
        pool.for_each_slot(partition.tasks(), |slot, index| {
            let private = start.get().wrapping_add(slot * per_thread);
            // SAFETY: slots of running tasks differ, so `private` is this task's own; tasks write
            // disjoint parts of stores, folds and partial sums.
            let task = || unsafe { shared.task(&partition, index, private) };
            bounds::beside(|| self.private(private), task);
        });
        if self.n_blocks() > 1 {
            // SAFETY: all tasks have ended, so partial sums are complete and unshared.
            unsafe { run.join_blocks() };
        }
    }
}

/// A loop with the addresses of its buffers.
struct Run<'a> {
    body: &'a Loop,
    loads: Vec<*mut u8>,
    stores: Vec<*mut u8>,
    folds: Vec<*mut u8>,
    bodies: Bodies,
    /// Whether a task has one place along `o`.
    one_o: bool,
    partial: *mut u8,
}

// SAFETY: the addresses are only dereferenced by tasks, whose writes are disjoint.
unsafe impl Sync for Run<'_> {}

impl Run<'_> {
    unsafe fn task(&self, partition: &Partition, index: usize, private: *mut u8) {
        let body = self.body;
        let block = index % partition.r_tasks;
        let index = index / partition.r_tasks;
        let i = index % partition.i_tasks * partition.i_step;
        let index = index / partition.i_tasks;
        let o = index % partition.o_tasks * partition.o_step;
        let outer = index / partition.o_tasks;
        let i_end = (i + partition.i_step).min(body.i);
        let o_end = (o + partition.o_step).min(body.o);

        let mut inline = [std::ptr::null_mut::<u8>(); 64];
        let mut heap = Vec::new();
        let registers: &mut [*mut u8] = if body.slots.len() <= inline.len() {
            &mut inline[..body.slots.len()]
        } else {
            heap.resize(body.slots.len(), std::ptr::null_mut());
            &mut heap
        };
        for (address, &slot) in registers.iter_mut().zip(&body.slots) {
            *address = private.wrapping_add(usize::from(slot) * body.slot_bytes);
        }
        if cfg!(debug_assertions) {
            // What a task has not written itself shows as NaN.
            // SAFETY: these bytes are this task's own until it ends.
            unsafe { std::ptr::write_bytes(private, 0xff, body.scratch().per_thread) };
        }
        let mut filled = 0;
        if body.folds.is_empty() {
            let ni = (i_end - i).min(body.tile);
            let no = if ni == i_end - i { (body.tile / ni).max(1) } else { 1 };
            let whole = ni == i_end - i;
            for o in (o..o_end).step_by(no) {
                for at in (i..i_end).step_by(ni) {
                    let region = Region {
                        outer,
                        r_outer: 0,
                        o,
                        r: 0,
                        i: at,
                        no: no.min(o_end - o),
                        nr: 1,
                        ni: ni.min(i_end - at),
                    };
                    // SAFETY: the regions of a task partition its own part of the space.
                    unsafe { self.tile(&region, registers, private, filled) };
                    filled = if whole { filled.max(region.elements()) } else { 0 };
                }
            }
            return;
        }
        let columns = i_end - i;
        let mut lanes = [std::ptr::null_mut::<u8>(); 32];
        let mut lane_heap = Vec::new();
        let lanes: &mut [*mut u8] = if body.folds.len() <= lanes.len() {
            &mut lanes[..body.folds.len()]
        } else {
            lane_heap.resize(body.folds.len(), std::ptr::null_mut());
            &mut lane_heap
        };
        let mut offset = body.n_slots * body.slot_bytes;
        let results = private.wrapping_add(offset);
        offset += usize::from(body.runs() > 0) * body.slot_bytes;
        for (address, fold) in lanes.iter_mut().zip(&body.folds) {
            *address = private.wrapping_add(offset);
            offset += body.lane_bytes(fold.dtype);
        }
        let reduced = body.reduced();
        let first = block * FOLD_BLOCK;
        let last = (first + FOLD_BLOCK).min(reduced);
        // A reduction of nothing is the identity.
        let live = (last - first).clamp(1, LANES);
        let several = body.runs();
        let rows = (body.tile / columns).max(1);
        let rows = if rows >= LANES { rows / LANES * LANES } else { rows };
        for o in (o..o_end).step_by(several.max(1)) {
            if several > 0 {
                let no = several.min(o_end - o);
                let region = Region { outer, r_outer: 0, o, r: 0, i, no, nr: reduced, ni: columns };
                // SAFETY: the regions of a task partition its own part of the space; the slot of
                // results has room for a tile.
                unsafe {
                    self.tile(&region, registers, private, filled);
                    let kept = Region { nr: 1, ..region };
                    self.fold_runs(lanes, registers, results, reduced, &kept);
                }
                filled = filled.max(region.elements());
                continue;
            }
            // SAFETY: the regions of a task partition its own part of the space.
            unsafe { self.clear(lanes, live, columns) };
            let mut at = first;
            while at < last {
                let r = at % body.r.max(1);
                let nr = rows.min(body.r - r).min(last - at);
                let r_outer = at / body.r.max(1);
                let region = Region { outer, r_outer, o, r, i, no: 1, nr, ni: columns };
                // SAFETY: the regions of a task partition its own part of the space.
                unsafe {
                    self.tile(&region, registers, private, filled);
                    self.accumulate(lanes, registers, at, nr, columns);
                }
                filled = filled.max(region.elements());
                at += nr;
            }
            // SAFETY: the regions of a task partition its own part of the space.
            unsafe { self.finish(lanes, live, outer, o, i, columns, block) };
        }
    }

    /// Evaluates the code on a region. `filled`: how many elements earlier regions of the task have
    /// filled in the slots of loads that do not change within it. (The first region may be shorter
    /// than the next: a block may begin within a row.)
    unsafe fn tile(
        &self,
        region: &Region,
        registers: &mut [*mut u8],
        private: *mut u8,
        filled: usize,
    ) {
        let body = self.body;
        let slot = |register: u16| {
            private.wrapping_add(body.slots[register as usize] as usize * body.slot_bytes)
        };
        let n = region.elements();
        for (store, &base) in body.stores.iter().zip(&self.stores) {
            if store.direct && region.is_dense(&store.walk) {
                let offset = body.offset(&store.walk, region) * store.dtype.size() as isize;
                registers[store.register as usize] = base.wrapping_offset(offset);
            } else if store.direct {
                registers[store.register as usize] = slot(store.register);
            }
        }
        for instruction in &body.code {
            if let TileOp::Load(index) = instruction.op {
                let load = &body.loads[index as usize];
                let walk = &load.walk;
                let constant = (walk.o == 0 || self.one_o)
                    && walk.r == 0
                    && walk.r_outer.iter().all(|&stride| stride == 0);
                if constant && n <= filled {
                    continue;
                }
                let register = instruction.target as usize;
                let offset = body.offset(walk, region);
                match load.source {
                    Source::Memory(_) => {
                        let size = load.dtype.size();
                        let from =
                            self.loads[index as usize].wrapping_offset(offset * size as isize);
                        if region.is_dense(walk) && !constant && !load.copied {
                            registers[register] = from;
                            continue;
                        }
                        let slot = slot(instruction.target);
                        registers[register] = slot;
                        // SAFETY: the access stays inside its buffer, and a slot holds a tile.
                        unsafe {
                            match size {
                                1 => gather::<u8>(from, slot, walk, region),
                                4 => gather::<u32>(from, slot, walk, region),
                                _ => gather::<u64>(from, slot, walk, region),
                            }
                        }
                    }
                    Source::Position => {
                        let slot = slot(instruction.target);
                        registers[register] = slot;
                        with_storage!(load.dtype, T => {
                            let slot = slot.cast::<T>();
                            bounds::writes(slot, [0, n as isize - 1]);
                            region.each(walk, |k, step| {
                                // SAFETY: `k` is below the number of elements of a tile.
                                unsafe { *slot.add(k) = (offset + step) as T };
                            });
                        });
                    }
                }
            } else {
                check(instruction, registers, n);
                // SAFETY: every register holds `n` elements of its type; slots are assigned so
                // that a target is apart from its sources, and a direct store is never read.
                unsafe { (self.bodies.run)(instruction, registers, n) };
            }
        }
        for (store, &base) in body.stores.iter().zip(&self.stores) {
            let size = store.dtype.size();
            let to = base.wrapping_offset(body.offset(&store.walk, region) * size as isize);
            let from = registers[store.register as usize];
            if from == to {
                continue;
            }
            // SAFETY: the access stays inside its buffer; tasks store disjoint elements.
            unsafe {
                match size {
                    1 => scatter::<u8>(from, to, &store.walk, region),
                    4 => scatter::<u32>(from, to, &store.walk, region),
                    _ => scatter::<u64>(from, to, &store.walk, region),
                }
            }
        }
    }
}
