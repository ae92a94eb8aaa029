//! The units of a plan: one loop root or one kernel each, with what it reads and writes.

mod kernels;

use super::Kernel;
use super::demand::{self, Role, role};
use super::index_map::IndexMap;
use super::view::{BufferId, View};
use crate::kernel::Pool;
use crate::loops::{LoopBuilder, TileOp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use thalweg_graph::{Array, Graph, Op, Reduction, TensorType, Value};

/// What a unit of a loop does with the value that it computes.
#[derive(Clone, Debug)]
pub(super) enum Root {
    /// Writes it to a view of a buffer (dense but for parts of a concatenation or a padding).
    Store(View),
    /// Reduces it into a dense buffer.
    Fold(Reduction, BufferId),
}

/// A value computed over a loop's space, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct LoopUnit {
    pub value: Value,
    pub root: Root,
    pub shape: Vec<usize>,
    pub reduced: Vec<usize>,
    /// The value is computed here; otherwise it is read from where it lies.
    pub computes: bool,
    /// Buffers read, and whether each is read only at the loop's own coordinates.
    pub loads: HashMap<BufferId, bool>,
}

#[derive(Clone, Debug)]
pub(super) enum Work {
    Loop(LoopUnit),
    Kernel(Kernel),
}

#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub work: Work,
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
    /// Place in the graph's own order.
    pub position: u32,
}

/// Where a buffer's content comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Input(usize),
    Constant(usize),
    /// Written by units; at run time an output of the program, or working memory.
    Written,
}

#[derive(Debug)]
pub(super) struct BufferInfo {
    pub bytes: usize,
    pub origin: Origin,
}

/// A graph as units over buffers.
pub(super) struct Units<'g> {
    pub graph: &'g Graph,
    pub units: Vec<Unit>,
    pub buffers: Vec<BufferInfo>,
    pub constants: Vec<Arc<Array>>,
    pub outputs: Vec<BufferId>,
    stored: Vec<bool>,
    views: HashMap<Value, View>,
    dense: HashMap<Value, BufferId>,
}

impl<'g> Units<'g> {
    pub(super) fn of(graph: &'g Graph, pool: &Pool) -> Units<'g> {
        let mut units = Units {
            graph,
            units: Vec::new(),
            buffers: Vec::new(),
            constants: Vec::new(),
            outputs: Vec::new(),
            stored: demand::stored(graph),
            views: HashMap::new(),
            dense: HashMap::new(),
        };
        for index in 0..graph.nodes().len() as u32 {
            units.node(index, pool);
        }
        let end = graph.nodes().len() as u32;
        let mut taken = HashSet::new();
        for value in graph.output_values().collect::<Vec<_>>() {
            let shape = &graph.type_of(value).shape;
            let view = units.views[&value].clone();
            let whole = view.is_dense(shape)
                && units.buffers[view.buffer.0 as usize].origin == Origin::Written
                && units.buffers[view.buffer.0 as usize].bytes
                    == graph.type_of(value).size_in_bytes();
            let buffer = if whole && taken.insert(view.buffer) {
                view.buffer
            } else {
                let copy = units.copy(value, end);
                taken.insert(copy);
                copy
            };
            units.outputs.push(buffer);
        }
        units
    }

    fn ty(&self, value: Value) -> &'g TensorType {
        self.graph.type_of(value)
    }

    fn buffer(&mut self, bytes: usize, origin: Origin) -> BufferId {
        self.buffers.push(BufferInfo { bytes, origin });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A new buffer for a value, which from now on lies there.
    fn place(&mut self, value: Value) -> BufferId {
        let ty = self.ty(value);
        let buffer = self.buffer(ty.size_in_bytes(), Origin::Written);
        self.views.insert(value, View::dense(buffer, &ty.shape));
        buffer
    }

    fn node(&mut self, index: u32, pool: &Pool) {
        let node = &self.graph.nodes()[index as usize];
        let value = Value::first(index);
        match role(&node.op) {
            Role::Elementwise => {
                if self.stored[index as usize] {
                    let buffer = self.place(value);
                    let view = View::dense(buffer, &node.types[0].shape);
                    self.push_loop(value, Root::Store(view), &[], true, index);
                }
            }
            Role::Reduce => {
                let Op::Reduce { kind, axes } = &node.op else { return };
                let buffer = self.place(value);
                let source = node.inputs[0];
                self.push_loop(source, Root::Fold(*kind, buffer), axes, false, index);
            }
            Role::View => {
                let source = node.inputs[0];
                let Some(view) = self.views.get(&source).cloned() else { return };
                let (from, to) = (&self.ty(source).shape, &node.types[0].shape);
                let view = match &node.op {
                    Op::StopGradient => view,
                    Op::Broadcast { axes, .. } => view.broadcast(from, to, axes),
                    Op::Transpose { permutation } => view.transpose(permutation),
                    Op::Slice { start, stride, .. } => view.slice(start, stride),
                    Op::Reverse { axes } => view.reverse(from, axes),
                    _ => view.reshape(from, to).unwrap_or_else(|| {
                        let buffer = self.dense(source, index);
                        View::dense(buffer, to)
                    }),
                };
                self.views.insert(value, view);
            }
            Role::Memory => self.memory(index, pool),
        }
    }

    /// A loop that computes `value` over its own shape.
    fn push_loop(
        &mut self,
        value: Value,
        root: Root,
        reduced: &[usize],
        computes: bool,
        position: u32,
    ) {
        let shape = self.ty(value).shape.clone();
        let mut loads = HashMap::new();
        let mut seen = HashSet::new();
        self.reads(value, &IndexMap::identity(shape.len()), computes, &mut seen, &mut loads);
        let mut reads: Vec<BufferId> = loads.keys().copied().collect();
        reads.sort_unstable();
        let target = match &root {
            Root::Store(view) => view.buffer,
            Root::Fold(_, buffer) => *buffer,
        };
        let reduced = reduced.to_vec();
        self.units.push(Unit {
            work: Work::Loop(LoopUnit { value, root, shape, reduced, computes, loads }),
            reads,
            writes: vec![target],
            position,
        });
    }

    /// Whether a value is computed inside loops: it lies nowhere, or is what the loop stores.
    fn is_inline(&self, value: Value, computes: bool) -> bool {
        let op = &self.graph.nodes()[value.node as usize].op;
        match role(op) {
            Role::Elementwise => computes || !self.views.contains_key(&value),
            Role::View => !self.views.contains_key(&value),
            Role::Memory | Role::Reduce => false,
        }
    }

    fn reads(
        &self,
        value: Value,
        map: &IndexMap,
        computes: bool,
        seen: &mut HashSet<(Value, IndexMap)>,
        loads: &mut HashMap<BufferId, bool>,
    ) {
        if !seen.insert((value, map.clone())) {
            return;
        }
        if !self.is_inline(value, computes) {
            let view = &self.views[&value];
            let own = map.is_identity() && view.is_dense(&self.ty(value).shape);
            loads.entry(view.buffer).and_modify(|same| *same &= own).or_insert(own);
            return;
        }
        let node = &self.graph.nodes()[value.node as usize];
        if role(&node.op) == Role::View {
            let source = node.inputs[0];
            let (from, to) = (&self.ty(source).shape, &node.types[0].shape);
            let inner = map.through(&node.op, from, to).expect("moving views lie in memory");
            return self.reads(source, &inner, false, seen, loads);
        }
        for &input in &node.inputs {
            self.reads(input, map, false, seen, loads);
        }
    }

    /// Emits the code of a loop unit; the root's register is returned.
    pub(super) fn emit(&self, unit: &LoopUnit, builder: &mut LoopBuilder, memo: &mut Memo) -> u16 {
        let rank = unit.shape.len();
        self.expand(unit.value, &IndexMap::identity(rank), rank, unit.computes, builder, memo)
    }

    fn expand(
        &self,
        value: Value,
        map: &IndexMap,
        rank: usize,
        computes: bool,
        builder: &mut LoopBuilder,
        memo: &mut Memo,
    ) -> u16 {
        if let Some(&register) = memo.get(&(value, map.clone())) {
            return register;
        }
        let node = &self.graph.nodes()[value.node as usize];
        let dtype = self.ty(value).dtype;
        let register = if !self.is_inline(value, computes) {
            builder.load(&map.apply(&self.views[&value], rank), dtype)
        } else if role(&node.op) == Role::View {
            let source = node.inputs[0];
            let (from, to) = (&self.ty(source).shape, &node.types[0].shape);
            let inner = map.through(&node.op, from, to).expect("moving views lie in memory");
            self.expand(source, &inner, rank, false, builder, memo)
        } else if let Op::Iota { axis, .. } = node.op {
            let (offset, strides) = map.coordinate(axis, rank);
            builder.position(offset, strides, dtype)
        } else {
            let sources: Vec<u16> = node
                .inputs
                .iter()
                .map(|&input| self.expand(input, map, rank, false, builder, memo))
                .collect();
            let from = self.ty(node.inputs[0]).dtype;
            let op = match &node.op {
                Op::Unary(unary) => TileOp::Unary(*unary, from),
                Op::Binary(binary) => TileOp::Binary(*binary, from),
                Op::Compare(comparison) => TileOp::Compare(*comparison, from),
                Op::Select => TileOp::Select(dtype.size() as u8),
                Op::Convert(to) if *to == from => TileOp::Copy(dtype.size() as u8),
                Op::Convert(to) => TileOp::Convert(from, *to),
                Op::Bitcast(_) => TileOp::Copy(dtype.size() as u8),
                Op::Threefry => TileOp::Threefry,
                op => unreachable!("{} is not element-wise", op.name()),
            };
            builder.emit(op, &sources, dtype)
        };
        memo.insert((value, map.clone()), register);
        register
    }

    /// A dense copy of a value that lies in memory.
    fn copy(&mut self, value: Value, position: u32) -> BufferId {
        let ty = self.ty(value);
        let buffer = self.buffer(ty.size_in_bytes(), Origin::Written);
        self.push_loop(value, Root::Store(View::dense(buffer, &ty.shape)), &[], false, position);
        buffer
    }

    /// A buffer that holds exactly a value's elements in row-major order.
    fn dense(&mut self, value: Value, position: u32) -> BufferId {
        let view = &self.views[&value];
        if view.is_dense(&self.ty(value).shape) {
            return view.buffer;
        }
        if let Some(&buffer) = self.dense.get(&value) {
            return buffer;
        }
        let buffer = self.copy(value, position);
        self.dense.insert(value, buffer);
        buffer
    }
}

/// Registers of values already emitted in a loop.
pub(super) type Memo = HashMap<(Value, IndexMap), u16>;
