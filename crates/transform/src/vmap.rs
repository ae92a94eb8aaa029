//! Batching: one program over many members.
//!
//! One walk over the nodes that depend on batched values, operands first; each node's rule builds
//! the batched node. A batched value carries the member's axis first. What no member's value
//! enters stays as it is and is computed once for all: that is the point.

mod contraction;
mod control;
mod convolution;
mod indexing;
mod structural;

use crate::reach::{Loops, Reach, between};
use std::collections::HashMap;
use thalweg_graph::{Builder, DType, Graph, GraphError, Node, Op, Tensor, TensorType, Value};

/// A value, shared by all members or with their axis in front.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'b> {
    pub(crate) tensor: Tensor<'b>,
    pub(crate) batched: bool,
}

impl<'b> Slot<'b> {
    pub(crate) fn shared(tensor: Tensor<'b>) -> Slot<'b> {
        Slot { tensor, batched: false }
    }

    pub(crate) fn batched(tensor: Tensor<'b>) -> Slot<'b> {
        Slot { tensor, batched: true }
    }

    /// The value of one member.
    pub(crate) fn member_type(&self) -> TensorType {
        let ty = self.tensor.ty();
        TensorType::new(ty.dtype, &ty.shape[usize::from(self.batched).min(ty.rank())..])
    }

    /// The value with the members' axis in front, stretched along it if all share it.
    pub(crate) fn stretched(&self, size: usize) -> Tensor<'b> {
        if self.batched {
            return self.tensor;
        }
        let shape = [&[size], &self.tensor.shape()[..]].concat();
        let builder = self.tensor.builder();
        let node = builder.node(self.tensor.value().node);
        // Stretched in one go: the narrow value is read and not the wide one.
        if let Op::Broadcast { axes, .. } = &node.op {
            let axes: Vec<usize> = axes.iter().map(|axis| axis + 1).collect();
            return builder.tensor(node.inputs[0]).broadcast_in(&shape, &axes);
        }
        self.tensor.broadcast_to(&shape)
    }
}

/// A value that is replaced by one for each member.
#[derive(Clone, Copy)]
pub struct Replacement<'b> {
    /// The value as one member sees it.
    pub member: Tensor<'b>,
    /// The values of all members.
    pub batched: Tensor<'b>,
    /// The axis of `batched` that counts the members.
    pub axis: usize,
}

/// The outputs for `size` members, each with the members' axis in front.
///
/// An output that no replaced value enters is the same for all members and is stretched. A
/// replacement whose type is not its member's with an axis of `size` inserted is an error at
/// `finish`.
#[track_caller]
pub fn vmap<'b>(
    outputs: &[Tensor<'b>],
    replacements: &[Replacement<'b>],
    size: usize,
) -> Vec<Tensor<'b>> {
    vmap_shared(outputs, replacements, size)
        .into_iter()
        .map(|output| match output {
            Batched::Members(tensor) => tensor,
            Batched::Shared(tensor) => Slot::shared(tensor).stretched(size),
        })
        .collect()
}

/// An output of a batched program.
#[derive(Clone, Copy, Debug)]
pub enum Batched<'b> {
    /// One value for each member, their axis in front.
    Members(Tensor<'b>),
    /// The same value for all members.
    Shared(Tensor<'b>),
}

/// As [`vmap()`], with outputs that are the same for all members left as they are.
#[track_caller]
pub fn vmap_shared<'b>(
    outputs: &[Tensor<'b>],
    replacements: &[Replacement<'b>],
    size: usize,
) -> Vec<Batched<'b>> {
    let Some(first) = outputs.first() else { return Vec::new() };
    let builder = first.builder();
    let mut seeds = Vec::with_capacity(replacements.len());
    for replacement in replacements {
        let Replacement { member, batched, axis } = *replacement;
        let mut expected = member.ty();
        expected.shape.insert(axis.min(expected.shape.len()), size);
        if axis > member.rank() || batched.ty() != expected {
            let got = format!("{} with axis {axis}", batched.ty());
            builder.reject("vmap", format!("{expected}, the members' axis included"), got);
            return outputs.iter().map(|&output| Batched::Shared(output)).collect();
        }
        seeds.push((member, batched.move_axis(axis, 0)));
    }
    slots(builder, outputs, &seeds, size)
        .into_iter()
        .map(|slot| match slot.batched {
            true => Batched::Members(slot.tensor),
            false => Batched::Shared(slot.tensor),
        })
        .collect()
}

/// The graph for `size` members: an input with `Some(axis)` gets the members' axis at that
/// position, the others are shared; every output gets it in front.
///
/// # Errors
/// When there is not one entry of `axes` for each input, or an axis is beyond an input's rank.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::vmap_graph;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [3]));
/// let w = b.input("w", TensorType::new(DType::F64, [3]));
/// let product = b.finish(&[("product", (x * w).sum_all())])?;
/// let line = vmap_graph(&product, &[Some(0), None], 5)?;
/// let table = vmap_graph(&line, &[None, Some(1)], 7)?;
/// assert_eq!(table.output_types().next().unwrap().to_string(), "f64[7, 5]");
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
#[track_caller]
pub fn vmap_graph(graph: &Graph, axes: &[Option<usize>], size: usize) -> Result<Graph, GraphError> {
    let types = graph.nodes().iter().flat_map(|node| &node.types).map(|ty| ty.dtype);
    // A graph of integers computes in no float type, and any will do.
    let float = types.clone().find(|dtype| dtype.is_float()).unwrap_or(DType::F32);
    let builder = Builder::new(float);
    if axes.len() != graph.n_inputs() {
        let expected = format!("an axis or none for each of {} inputs", graph.n_inputs());
        builder.reject("vmap", expected, format!("{} entries", axes.len()));
    }
    let mut replacements = Vec::new();
    let mut arguments = Vec::with_capacity(graph.n_inputs());
    for (i, port) in graph.inputs().enumerate() {
        let Some(axis) = axes.get(i).copied().flatten() else {
            arguments.push(builder.input(&port.name, port.ty.clone()));
            continue;
        };
        if axis > port.ty.rank() {
            let expected = format!("an axis of input {:?} up to {}", port.name, port.ty.rank());
            builder.reject("vmap", expected, axis.to_string());
        }
        let axis = axis.min(port.ty.rank());
        let mut shape = port.ty.shape.clone();
        shape.insert(axis, size);
        let batched = builder.input(&port.name, TensorType::new(port.ty.dtype, shape));
        let member = builder.placeholder(port.ty.clone());
        replacements.push(Replacement { member, batched, axis });
        arguments.push(member);
    }
    let outputs = vmap(&builder.inline(graph, &arguments), &replacements, size);
    builder.finish(&graph.output_names().zip(outputs).collect::<Vec<_>>())
}

/// Outputs when some values have batched stand-ins.
pub(crate) fn slots<'b>(
    builder: &'b Builder,
    outputs: &[Tensor<'b>],
    seeds: &[(Tensor<'b>, Tensor<'b>)],
    size: usize,
) -> Vec<Slot<'b>> {
    let mut known: HashMap<Value, Slot<'b>> = HashMap::new();
    known.extend(seeds.iter().map(|&(old, new)| (old.value(), Slot::batched(new))));
    let from: Vec<Value> = seeds.iter().map(|(old, _)| old.value()).collect();
    let last = outputs.iter().map(|output| output.value().node).max().unwrap_or(0);
    let reach = Reach::of(builder, &from, last, Loops::Whole);
    for index in between(builder, &reach, outputs) {
        let node = builder.node(index);
        let operands: Vec<Slot<'b>> = node
            .inputs
            .iter()
            .map(|&input| {
                let shared = Slot::shared(builder.tensor(input));
                known.get(&input).copied().unwrap_or(shared)
            })
            .collect();
        let moved = |(operand, &input): (&Slot<'b>, &Value)| operand.tensor.value() != input;
        let results = if operands.iter().any(|operand| operand.batched) {
            Rule { builder, node: &node, operands: &operands, size }.apply()
        } else if operands.iter().zip(&node.inputs).any(moved) {
            // A shared result of a batched loop is another loop's.
            let operands: Vec<_> = operands.iter().map(|operand| operand.tensor).collect();
            let results = builder.emit_at(node.op.clone(), &operands, node.place);
            results.into_iter().map(Slot::shared).collect()
        } else {
            continue;
        };
        for (output, slot) in results.into_iter().enumerate() {
            known.entry(Value { node: index, output: output as u32 }).or_insert(slot);
        }
    }
    outputs
        .iter()
        .map(|output| known.get(&output.value()).copied().unwrap_or(Slot::shared(*output)))
        .collect()
}

/// One node to be batched, at least one of its operands being so.
pub(crate) struct Rule<'a, 'b> {
    pub(crate) builder: &'b Builder,
    pub(crate) node: &'a Node,
    pub(crate) operands: &'a [Slot<'b>],
    pub(crate) size: usize,
}

impl<'b> Rule<'_, 'b> {
    pub(crate) fn emit(&self, op: Op, operands: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        self.builder.emit_at(op, operands, self.node.place)
    }

    pub(crate) fn emit_one(&self, op: Op, operands: &[Tensor<'b>]) -> Tensor<'b> {
        self.emit(op, operands)[0]
    }

    /// All operands with the members' axis.
    pub(crate) fn stretched(&self) -> Vec<Tensor<'b>> {
        self.operands.iter().map(|operand| operand.stretched(self.size)).collect()
    }

    fn apply(&self) -> Vec<Slot<'b>> {
        let x = self.operands;
        // After a mistake, which `finish` reports, values may be of other types than they were.
        let sound = |(operand, &input): (&Slot<'b>, &Value)| {
            operand.member_type() == self.builder.tensor(input).ty()
        };
        if !x.iter().zip(&self.node.inputs).all(sound) {
            return control::nothing(self);
        }
        let all = |op: Op| {
            self.emit(op, &self.stretched()).into_iter().map(Slot::batched).collect::<Vec<_>>()
        };
        let one = |tensor: Tensor<'b>| vec![Slot::batched(tensor)];
        let next = |axes: &[usize]| axes.iter().map(|axis| axis + 1).collect::<Vec<usize>>();
        let front = |values: &[usize], first: usize| [&[first], values].concat();
        let op = &self.node.op;
        match op {
            Op::Input { .. } | Op::Constant(_) | Op::Iota { .. } => {
                unreachable!("{} has no operand", op.name())
            }
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Bitcast(_)
            | Op::Threefry
            | Op::StopGradient
            | Op::Cholesky
            | Op::TriangularSolve { .. }
            | Op::SymmetricEigen => all(op.clone()),
            Op::Broadcast { shape, axes } => {
                all(Op::Broadcast { shape: front(shape, self.size), axes: front(&next(axes), 0) })
            }
            Op::Reshape { shape } => all(Op::Reshape { shape: front(shape, self.size) }),
            Op::Transpose { permutation } => {
                all(Op::Transpose { permutation: front(&next(permutation), 0) })
            }
            Op::Slice { start, limit, stride } => all(Op::Slice {
                start: front(start, 0),
                limit: front(limit, self.size),
                stride: front(stride, 1),
            }),
            Op::Pad { low, high, interior } => one(structural::pad(self, low, high, interior)),
            Op::Concatenate { axis } => all(Op::Concatenate { axis: axis + 1 }),
            Op::Reverse { axes } => all(Op::Reverse { axes: next(axes) }),
            Op::DynamicSlice { sizes } => vec![indexing::dynamic_slice(self, sizes)],
            Op::DynamicUpdateSlice => one(indexing::dynamic_update_slice(self)),
            Op::Gather(axes) => one(indexing::gather(self, *axes)),
            Op::ScatterAdd(axes) => one(indexing::scatter_add(self, *axes)),
            Op::Reduce { kind, axes } => all(Op::Reduce { kind: *kind, axes: next(axes) }),
            Op::WindowSum(window) => all(Op::WindowSum(structural::window(window))),
            Op::WindowArgMax(window) => one(structural::window_arg_max(self, window)),
            Op::ArgMax { axis } => all(Op::ArgMax { axis: axis + 1 }),
            Op::Sort { axis, descending } => {
                all(Op::Sort { axis: axis + 1, descending: *descending })
            }
            Op::CumulativeSum { axis, reverse } => {
                all(Op::CumulativeSum { axis: axis + 1, reverse: *reverse })
            }
            Op::Dot(axes) => one(contraction::dot(self, axes)),
            Op::Convolution(window) => one(convolution::forward(self, x[0], x[1], *window)),
            Op::ConvolutionInputGradient { window, input } => {
                one(convolution::input_gradient(self, x[0], x[1], *window, *input))
            }
            Op::ConvolutionWeightGradient { window, kernel } => {
                one(convolution::weight_gradient(self, x[0], x[1], *window, *kernel))
            }
            Op::LinearSolve(it) => one(control::linear_solve(self, it)),
            Op::FixedPoint(it) => one(control::fixed_point(self, it)),
            Op::Scan(looped) => control::scan(self, looped),
            Op::While(looped) => control::repeat_while(self, looped),
        }
    }
}
