//! The same step on other buffers, and what a step costs.

use super::view::BufferId;
use super::{Kernel, Step};
use crate::loops::{Source, TileOp};

impl Step {
    /// Reads and writes other buffers in place of its own, of the same sizes.
    pub(super) fn rename(
        &mut self,
        read: impl Fn(BufferId) -> BufferId,
        written: impl Fn(BufferId) -> BufferId,
    ) {
        let all = |buffers: &mut [BufferId], name: &dyn Fn(BufferId) -> BufferId| {
            buffers.iter_mut().for_each(|buffer| *buffer = name(*buffer));
        };
        all(&mut self.reads, &read);
        all(&mut self.writes, &written);
        match &mut self.kernel {
            Kernel::Loop(body) => {
                for load in &mut body.loads {
                    if let Source::Memory(buffer) = &mut load.source {
                        *buffer = read(*buffer);
                    }
                }
                body.stores.iter_mut().for_each(|store| store.buffer = written(store.buffer));
                body.folds.iter_mut().for_each(|fold| fold.buffer = written(fold.buffer));
            }
            Kernel::Product { a, b, c, .. } => {
                (*a, *b, *c) = (read(*a), read(*b), written(*c));
            }
            Kernel::Convolution { operands, out, .. } => {
                all(operands, &read);
                *out = written(*out);
            }
            Kernel::Plain(plain) => {
                plain.inputs.iter_mut().for_each(|(buffer, _)| *buffer = read(*buffer));
                plain.outputs.iter_mut().for_each(|(buffer, _)| *buffer = written(*buffer));
            }
            Kernel::Scan(loops) => {
                all(&mut loops.inputs, &read);
                all(&mut loops.outputs, &written);
            }
            Kernel::While(loops) => {
                all(&mut loops.inputs, &read);
                all(&mut loops.outputs, &written);
            }
        }
    }

    /// Whether the step may be done twice: a loop over an inner graph is too dear.
    pub(super) fn is_simple(&self) -> bool {
        match &self.kernel {
            Kernel::Loop(_) | Kernel::Product { .. } | Kernel::Convolution { .. } => true,
            Kernel::Plain(plain) => plain.bodies.is_empty(),
            Kernel::Scan(_) | Kernel::While(_) => false,
        }
    }

    /// Floating-point operations: an element-wise function counts as one.
    pub(super) fn flops(&self) -> u64 {
        match &self.kernel {
            Kernel::Loop(body) => {
                let computes = |op: TileOp| !matches!(op, TileOp::Load(_) | TileOp::Copy(_));
                let each = body.code.iter().filter(|code| computes(code.op)).count();
                let elements = if body.folds.is_empty() { 1 } else { body.reduced() };
                (each + body.folds.len()) as u64 * elements as u64 * body.kept() as u64
            }
            Kernel::Product { prepared, .. } => {
                let p = prepared.product();
                let batch: usize = p.batch.iter().map(|axis| axis.extent).product();
                2 * p.m as u64 * p.k as u64 * p.n as u64 * batch as u64
            }
            Kernel::Convolution { convolution, .. } => 2 * convolution.multiplications() as u64,
            Kernel::Plain(plain) => {
                let types = plain.inputs.iter().chain(&plain.outputs).map(|(_, ty)| ty);
                types.map(|ty| ty.element_count() as u64).sum()
            }
            Kernel::Scan(_) | Kernel::While(_) => 0,
        }
    }
}
