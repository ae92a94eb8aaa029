//! Homes for buffers: inputs, outputs that may take over an input's place, and the arena.

use super::lives::{Access, Lives, Over, over, reads_where_it_writes};
use super::units::{Origin, Units};
use super::view::BufferId;
use super::{Buffer, Home, Kernel, Plan, Step};

/// The buffers of units; those of the arena have no offset yet.
pub(super) fn buffers(units: &Units<'_>) -> Vec<Buffer> {
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
    buffers
}

/// The plan of steps in their order over these buffers.
pub(super) fn assign(units: &Units<'_>, mut steps: Vec<Step>, mut buffers: Vec<Buffer>) -> Plan {
    let donors = donors(units, &mut steps, &buffers);
    let overs: Vec<Vec<Over>> = steps.iter().map(over).collect();
    let accesses: Vec<Access<'_>> = steps
        .iter()
        .zip(&overs)
        .map(|(step, over)| Access {
            reads: &step.reads,
            writes: &step.writes,
            over,
            scratch: step.scratch,
        })
        .collect();
    let lives = Lives::of(&accesses, &buffers);
    let (arena_bytes, scratch) = lives.place(&accesses, &mut buffers);
    for (step, offset) in steps.iter_mut().zip(scratch) {
        step.scratch_offset = offset;
    }
    for (at, buffer) in lives.in_place {
        forbid_direct(&mut steps[at], buffer);
    }
    let constants = units.constants.clone();
    Plan { buffers, steps, constants, arena_bytes, donors, recomputed: 0 }
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
