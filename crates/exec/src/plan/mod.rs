//! From a graph to steps over planned buffers.
//!
//! Planning goes: *demand* (which values must be in memory, which are computed where they are
//! used), *units* (each loop or kernel with what it reads), *groups* (loops over one space that
//! may run as one), *order*, and *memory* (offsets by liveness). All of it depends on the graph
//! alone, so that a plan never changes a bit of a result. Under a budget that this exceeds,
//! *recompute* has some steps done twice: the same kernels, and so the same bits.

mod again;
mod demand;
mod describe;
mod group;
mod index_map;
mod lives;
mod memory;
mod product;
mod recompute;
mod step;
mod units;
pub(crate) mod view;

use crate::kernel::{Convolution, Pass, Pool, Prepared};
use crate::loops::Loop;
use std::sync::Arc;
use thalweg_graph::{Array, DType, Graph, Op, Scan, TensorType, While};
use view::BufferId;

/// Where a buffer lies when the plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Input(usize),
    Output(usize),
    Constant(usize),
    /// Bytes from the start of the arena.
    Arena(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    pub bytes: usize,
    pub home: Home,
}

#[derive(Clone, Debug)]
pub(crate) enum Kernel {
    Loop(Box<Loop>),
    Product {
        prepared: Box<Prepared>,
        dtype: DType,
        a: BufferId,
        a_offset: isize,
        b: BufferId,
        b_offset: isize,
        c: BufferId,
    },
    Convolution {
        pass: Pass,
        convolution: Box<Convolution>,
        dtype: DType,
        operands: [BufferId; 2],
        /// Whether all members share an operand.
        shared: [bool; 2],
        out: BufferId,
    },
    /// An operation on dense buffers with a kernel of its own.
    Plain(Box<Plain>),
    Scan(Box<Loops>),
    While(Box<WhileLoop>),
}

#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub op: Op,
    pub inputs: Vec<(BufferId, TensorType)>,
    pub outputs: Vec<(BufferId, TensorType)>,
    /// Plans of the graphs that the operation holds.
    pub bodies: Vec<Plan>,
}

#[derive(Clone, Debug)]
pub(crate) struct Loops {
    pub scan: Arc<Scan>,
    pub body: Plan,
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
    /// Bytes of each carry.
    pub carry: Vec<usize>,
    /// Bytes of a row of each sequence read.
    pub x_rows: Vec<usize>,
    /// Bytes of a row of each sequence written.
    pub y_rows: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct WhileLoop {
    pub looped: Arc<While>,
    pub condition: Plan,
    pub body: Plan,
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
    pub carry: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Kernel,
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
    /// Bytes of working memory, and where they lie in the arena.
    pub scratch: usize,
    pub scratch_offset: usize,
}

/// A compiled graph: steps in order, over buffers with fixed homes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub buffers: Vec<Buffer>,
    pub steps: Vec<Step>,
    pub constants: Vec<Arc<Array>>,
    pub arena_bytes: usize,
    /// For each output, the input whose buffer it may take over if the caller gives it away.
    pub donors: Vec<Option<usize>>,
    /// Floating-point operations of what is computed again because memory is short.
    pub recomputed: u64,
}

impl Plan {
    /// Plans a verified graph for a pool.
    pub(crate) fn new(graph: &Graph, pool: &Pool) -> Plan {
        let mut units = units::Units::of(graph, pool);
        let order = group::order(&mut units);
        let seen = step::Seen::of(&units, &order);
        let steps = order.iter().map(|group| step::step(&units, group, &seen, pool)).collect();
        memory::assign(&units, steps, memory::buffers(&units))
    }

    /// A plan of the same graph that computes some values again so as to need less memory: it
    /// exceeds some limit, by the bytes that `excess` says, by as little as is found.
    pub(crate) fn within(
        self,
        graph: &Graph,
        pool: &Pool,
        excess: &dyn Fn(&Plan) -> usize,
    ) -> Plan {
        recompute::within(graph, pool, self, excess)
    }
}
