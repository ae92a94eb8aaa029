//! The steps of a plan, from groups of units.

use super::lives::round;
use super::units::{Memo, Root, Units, Work};
use super::view::BufferId;
use super::{Kernel, Step};
use crate::kernel::{Float, Pool};
use crate::loops::{Loop, LoopBuilder, Source};
use crate::plain;
use thalweg_graph::DType;

/// Which buffers are read by others than the group that writes them.
pub(super) struct Seen(Vec<bool>);

impl Seen {
    pub(super) fn of(units: &Units<'_>, order: &[Vec<usize>]) -> Seen {
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

    pub(super) fn is_seen(&self, buffer: BufferId) -> bool {
        self.0[buffer.0 as usize]
    }
}

pub(super) fn step(units: &Units<'_>, members: &[usize], seen: &Seen, pool: &Pool) -> Step {
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
            let mut memo = Memo::new();
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
pub(super) fn scratch(kernel: &Kernel, pool: &Pool) -> usize {
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
                + 64
        }
    }
}
