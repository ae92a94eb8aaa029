//! Loops from groups, then homes for buffers: an offset in one arena by liveness.

use super::units::{Origin, Root, Units, Work};
use super::view::BufferId;
use super::{Buffer, Home, Kernel, Plan, Step};
use crate::kernel::{Float, Pool};
use crate::loops::{Loop, LoopBuilder, Source};
use crate::plain;
use thalweg_graph::DType;

const ALIGNMENT: usize = 64;

/// The plan of units in the given order.
pub(super) fn assign(units: Units<'_>, order: Vec<Vec<usize>>, pool: &Pool) -> Plan {
    let seen = Seen::of(&units, &order);
    let mut steps: Vec<Step> =
        order.iter().map(|members| step(&units, members, &seen, pool)).collect();
    let mut buffers: Vec<Buffer> = units
        .buffers
        .iter()
        .map(|info| {
            let home = match info.origin {
                Origin::Input(index) => Home::Input(index),
                Origin::Constant(index) => Home::Constant(index),
                Origin::Written => Home::Arena(0),
            };
            Buffer { bytes: info.bytes, home }
        })
        .collect();
    for (index, buffer) in units.outputs.iter().enumerate() {
        buffers[buffer.0 as usize].home = Home::Output(index);
    }
    let donors = donors(&units, &mut steps, &buffers);
    let mut lives = Lives::of(&steps, &buffers);
    lives.share_in_place(&mut steps, &buffers);
    let arena_bytes = lives.place(&mut steps, &mut buffers);
    Plan { buffers, steps, constants: units.constants, arena_bytes, donors }
}

/// Which buffers are read by others than the group that writes them.
struct Seen(Vec<bool>);

impl Seen {
    fn of(units: &Units<'_>, order: &[Vec<usize>]) -> Seen {
        let mut group_of = vec![usize::MAX; units.units.len()];
        for (group, members) in order.iter().enumerate() {
            members.iter().for_each(|&member| group_of[member] = group);
        }
        let mut writer = vec![None; units.buffers.len()];
        let mut seen = vec![false; units.buffers.len()];
        for (member, unit) in units.units.iter().enumerate() {
            for buffer in &unit.writes {
                // What several units write part by part is made in memory.
                let other = writer[buffer.0 as usize].replace(group_of[member]);
                seen[buffer.0 as usize] |= other.is_some();
            }
        }
        for (member, unit) in units.units.iter().enumerate() {
            for buffer in &unit.reads {
                seen[buffer.0 as usize] |= writer[buffer.0 as usize] != Some(group_of[member]);
            }
        }
        units.outputs.iter().for_each(|output| seen[output.0 as usize] = true);
        Seen(seen)
    }

    fn is_seen(&self, buffer: BufferId) -> bool {
        self.0[buffer.0 as usize]
    }
}

fn step(units: &Units<'_>, members: &[usize], seen: &Seen, pool: &Pool) -> Step {
    let mut reads: Vec<BufferId> = Vec::new();
    let mut writes: Vec<BufferId> = Vec::new();
    for &member in members {
        writes.extend(&units.units[member].writes);
    }
    for &member in members {
        reads.extend(&units.units[member].reads);
    }
    let kernel = match &units.units[members[0]].work {
        Work::Kernel(kernel) => kernel.clone(),
        Work::Loop(first) => {
            let reduced = members.iter().find_map(|&member| match &units.units[member].work {
                Work::Loop(unit) if matches!(unit.root, Root::Fold(..)) => Some(&unit.reduced),
                _ => None,
            });
            let none = Vec::new();
            let mut builder = LoopBuilder::new(&first.shape, reduced.unwrap_or(&none));
            let mut memo = super::units::Memo::new();
            for &member in members {
                let Work::Loop(unit) = &units.units[member].work else { continue };
                let register = units.emit(unit, &mut builder, &mut memo);
                match &unit.root {
                    // What only this loop reads stays in its register.
                    Root::Store(view) if !seen.is_seen(view.buffer) => {
                        builder.hold(register, view);
                        writes.retain(|&buffer| buffer != view.buffer);
                    }
                    Root::Store(view) => builder.store(register, view),
                    Root::Fold(kind, buffer) => builder.fold(register, *kind, *buffer),
                }
            }
            Kernel::Loop(Box::new(builder.finish()))
        }
    };
    if let Kernel::Loop(body) = &kernel {
        // What one member writes and another reads stays in registers.
        reads = loop_reads(body);
        debug_assert!(
            members
                .iter()
                .flat_map(|&member| &units.units[member].writes)
                .all(|buffer| { seen.is_seen(*buffer) || !reads.contains(buffer) }),
            "a loop reads from memory what it holds"
        );
    }
    reads.sort_unstable();
    reads.dedup();
    writes.sort_unstable();
    writes.dedup();
    let scratch = scratch(&kernel, pool);
    Step { kernel, reads, writes, scratch, scratch_offset: 0 }
}

fn loop_reads(body: &Loop) -> Vec<BufferId> {
    body.loads
        .iter()
        .filter_map(|load| match load.source {
            Source::Memory(buffer) => Some(buffer),
            Source::Position => None,
        })
        .collect()
}

/// Bytes of working memory of a kernel.
fn scratch(kernel: &Kernel, pool: &Pool) -> usize {
    fn float(dtype: DType, f32: impl Fn() -> usize, f64: impl Fn() -> usize) -> usize {
        if dtype == DType::F64 { f64() } else { f32() }
    }
    fn convolution<T: Float>(kernel: &Kernel, pool: &Pool) -> usize {
        let Kernel::Convolution { pass, convolution, shared, .. } = kernel else { return 0 };
        convolution.scratch_bytes::<T>(*pass, pool, *shared)
    }
    match kernel {
        Kernel::Loop(body) => {
            let memory = body.scratch();
            memory.per_thread * pool.threads() + memory.partial
        }
        Kernel::Product { prepared, dtype, .. } => float(
            *dtype,
            || prepared.scratch_bytes::<f32>(pool),
            || prepared.scratch_bytes::<f64>(pool),
        ),
        Kernel::Convolution { dtype, .. } => {
            float(*dtype, || convolution::<f32>(kernel, pool), || convolution::<f64>(kernel, pool))
        }
        Kernel::Plain(plain) => plain::scratch_bytes(plain, pool),
        Kernel::Scan(loops) => {
            round(loops.body.arena_bytes) + loops.carry.iter().map(|&b| round(b)).sum::<usize>()
        }
        Kernel::While(loops) => {
            round(loops.body.arena_bytes.max(loops.condition.arena_bytes))
                + loops.carry.iter().map(|&b| round(b)).sum::<usize>()
                + ALIGNMENT
        }
    }
}

fn round(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Whether a loop reads `from` only where it writes `to`, element by element.
fn reads_where_it_writes(body: &Loop, from: BufferId, to: BufferId) -> bool {
    let stores: Vec<_> = body.stores.iter().filter(|store| store.buffer == to).collect();
    let [store] = stores.as_slice() else { return false };
    body.folds.iter().all(|fold| fold.buffer != to)
        && body
            .loads
            .iter()
            .filter(|load| load.source == Source::Memory(from))
            .all(|load| load.walk == store.walk && load.dtype.size() == store.dtype.size())
}

/// Makes a loop safe for `to` lying where something it reads lies.
fn forbid_direct(step: &mut Step, to: BufferId) {
    if let Kernel::Loop(body) = &mut step.kernel {
        for store in body.stores.iter_mut().filter(|store| store.buffer == to) {
            store.direct = false;
        }
    }
}

/// For each output an input of its type whose last reading is before, or in step with, the
/// output's first writing.
fn donors(units: &Units<'_>, steps: &mut [Step], buffers: &[Buffer]) -> Vec<Option<usize>> {
    let mut given: Vec<usize> = Vec::new();
    let inputs: Vec<(BufferId, usize)> = units
        .buffers
        .iter()
        .enumerate()
        .filter_map(|(buffer, info)| match info.origin {
            Origin::Input(index) => Some((BufferId(buffer as u32), index)),
            _ => None,
        })
        .collect();
    let types: Vec<_> = units.graph.inputs().map(|port| &port.ty).collect();
    let mut donors = Vec::with_capacity(units.outputs.len());
    for (&output, ty) in units.outputs.iter().zip(units.graph.output_types()) {
        let first_write = steps.iter().position(|step| step.writes.contains(&output));
        let found = first_write.and_then(|write| {
            inputs.iter().copied().find(|&(buffer, index)| {
                let last_read = steps.iter().rposition(|step| step.reads.contains(&buffer));
                let in_step = || match &steps[write].kernel {
                    Kernel::Loop(body) => reads_where_it_writes(body, buffer, output),
                    _ => false,
                };
                !given.contains(&index)
                    && types[index] == ty
                    && buffers[output.0 as usize].bytes > 0
                    && last_read.is_none_or(|read| read < write || (read == write && in_step()))
            })
        });
        if let (Some((buffer, index)), Some(write)) = (found, first_write) {
            given.push(index);
            if steps[write].reads.contains(&buffer) {
                forbid_direct(&mut steps[write], output);
            }
        }
        donors.push(found.map(|(_, index)| index));
    }
    donors
}

/// First and last step of each buffer in the arena, and which buffers share one place.
struct Lives {
    spans: Vec<Option<(usize, usize)>>,
    /// The buffer whose place a buffer uses.
    place_of: Vec<usize>,
}

impl Lives {
    fn of(steps: &[Step], buffers: &[Buffer]) -> Lives {
        let mut spans: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
        for (at, step) in steps.iter().enumerate() {
            for buffer in step.reads.iter().chain(&step.writes) {
                if matches!(buffers[buffer.0 as usize].home, Home::Arena(_)) {
                    let span = &mut spans[buffer.0 as usize];
                    *span = Some(span.map_or((at, at), |(first, _)| (first, at)));
                }
            }
        }
        Lives { spans, place_of: (0..buffers.len()).collect() }
    }

    /// Lets a loop write over what it reads for the last time.
    fn share_in_place(&mut self, steps: &mut [Step], buffers: &[Buffer]) {
        for (at, step) in steps.iter_mut().enumerate() {
            let Kernel::Loop(body) = &step.kernel else { continue };
            let mut taken: Vec<usize> = Vec::new();
            let mut shared: Vec<BufferId> = Vec::new();
            for store in &body.stores {
                let to = store.buffer.0 as usize;
                if self.spans[to].is_none_or(|(first, _)| first != at) {
                    continue;
                }
                let from = step.reads.iter().map(|b| b.0 as usize).find(|&from| {
                    let place = self.place_of[from];
                    from != to
                        && self.spans[from].is_some()
                        && self.spans[place].is_some_and(|(_, last)| last == at)
                        && buffers[place].bytes == buffers[to].bytes
                        && !taken.contains(&place)
                        && reads_where_it_writes(body, BufferId(from as u32), store.buffer)
                });
                if let Some(from) = from {
                    let place = self.place_of[from];
                    taken.push(place);
                    self.place_of[to] = place;
                    if let (Some(whole), Some(own)) = (self.spans[place], self.spans[to]) {
                        self.spans[place] = Some((whole.0, own.1));
                    }
                    shared.push(store.buffer);
                }
            }
            for buffer in shared {
                forbid_direct(step, buffer);
            }
        }
    }

    /// Gives each place the lowest free offset, largest first; returns the size of the arena.
    fn place(&self, steps: &mut [Step], buffers: &mut [Buffer]) -> usize {
        enum Owner {
            Buffer(usize),
            Scratch(usize),
        }
        let mut blocks: Vec<(usize, (usize, usize), Owner)> = Vec::new();
        for (index, span) in self.spans.iter().enumerate() {
            if let Some(span) = span
                && self.place_of[index] == index
            {
                blocks.push((round(buffers[index].bytes), *span, Owner::Buffer(index)));
            }
        }
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.scratch > 0) {
            blocks.push((round(step.scratch) + ALIGNMENT, (at, at), Owner::Scratch(at)));
        }
        blocks.sort_by_key(|(bytes, span, _)| (std::cmp::Reverse(*bytes), span.0));
        let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
        let mut arena = 0;
        for (bytes, span, owner) in blocks {
            let mut offset = 0;
            // `placed` is kept in order of offsets, so the first gap that fits is the lowest.
            for &(start, end, other) in &placed {
                let overlaps = span.0 <= other.1 && other.0 <= span.1;
                if overlaps && end > offset {
                    if start >= offset + bytes {
                        break;
                    }
                    offset = end;
                }
            }
            let at = placed.partition_point(|&(start, _, _)| start <= offset);
            placed.insert(at, (offset, offset + bytes, span));
            arena = arena.max(offset + bytes);
            match owner {
                Owner::Buffer(index) => buffers[index].home = Home::Arena(offset),
                Owner::Scratch(step) => steps[step].scratch_offset = offset,
            }
        }
        for index in 0..buffers.len() {
            let place = self.place_of[index];
            if place != index {
                buffers[index].home = buffers[place].home;
            }
        }
        arena
    }
}
