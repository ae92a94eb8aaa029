//! `vmap`: one program for many members.
//!
//! A function of tensors becomes a function of tensors with one axis more, the batch axis, over
//! whose members it runs alike. Inside, a batched value carries that axis at position 0; a value
//! that no batched one flows into stays as it is and is shared by all members, which is what makes
//! a sweep over weights on the same data cheap.
//!
//! A member's result has the bits that it has alone: every rule keeps the order of each sum, and
//! batch axes go where the executor's order does not depend on extents.

mod control;
mod convolution;
mod moving;
mod rule;

use crate::reach::needed;
use rule::Rule;
use std::collections::HashMap;
use thalweg_graph::{Builder, DType, Graph, GraphError, Op, Tensor, TensorType, Value};

/// A value, and whether it has the batch axis (at position 0).
#[derive(Clone, Copy)]
struct Item<'b> {
    tensor: Tensor<'b>,
    batched: bool,
}

impl<'b> Item<'b> {
    fn batched(tensor: Tensor<'b>) -> Item<'b> {
        Item { tensor, batched: true }
    }

    fn shared(tensor: Tensor<'b>) -> Item<'b> {
        Item { tensor, batched: false }
    }

    /// Shape of one member.
    fn shape(self) -> Vec<usize> {
        self.tensor.shape().split_off(usize::from(self.batched))
    }

    /// Rank of one member.
    fn rank(self) -> usize {
        self.tensor.rank() - usize::from(self.batched)
    }

    /// The value with its batch axis, repeated for each member if it has none.
    fn full(self, size: usize) -> Tensor<'b> {
        if self.batched {
            return self.tensor;
        }
        let shape = prepend(size, &self.tensor.shape());
        let node = self.tensor.builder().node(self.tensor.value().node);
        // Stretched in one go, the narrow value is read and not the wide one.
        if let Op::Broadcast { axes, .. } = &node.op {
            let source = self.tensor.builder().tensor(node.inputs[0]);
            return source.broadcast_in(&shape, &shifted(axes));
        }
        self.tensor.broadcast_to(&shape)
    }
}

/// `first` before the others.
fn prepend(first: usize, others: &[usize]) -> Vec<usize> {
    std::iter::once(first).chain(others.iter().copied()).collect()
}

/// Axes of one member as axes of a batched value.
fn shifted(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}

/// The outputs with the first tensor of each pair replaced by the second, which has a leading axis
/// of extent `size` more; every output has that axis too.
///
/// Only what depends on a replaced tensor is computed for each member; an output that does not is
/// repeated. The replaced tensors are usually placeholders or inputs, but may be any.
///
/// An error at `finish` when a second tensor is not of the first one's type with that axis.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::batch;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [3]));
/// let weights = b.input("weights", TensorType::new(DType::F64, [100, 3]));
/// let weight = b.placeholder(TensorType::new(DType::F64, [3]));
/// let products = batch(&[(weight * x).sum_all()], &[(weight, weights)], 100);
/// let graph = b.finish(&[("products", products[0])])?;
/// assert_eq!(graph.output_types().next().unwrap().to_string(), "f64[100]");
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
#[track_caller]
pub fn batch<'b>(
    outputs: &[Tensor<'b>],
    replaced: &[(Tensor<'b>, Tensor<'b>)],
    size: usize,
) -> Vec<Tensor<'b>> {
    for (old, new) in replaced {
        let expected = TensorType::new(old.dtype(), prepend(size, &old.shape()));
        if new.ty() != expected {
            old.builder().reject("batch", expected.to_string(), new.ty().to_string());
            return outputs.iter().map(|output| Item::shared(*output).full(size)).collect();
        }
    }
    items(outputs, replaced, size).into_iter().map(|item| item.full(size)).collect()
}

/// As [`batch`], but what does not depend on a replaced tensor comes back as it is.
fn items<'b>(
    outputs: &[Tensor<'b>],
    replaced: &[(Tensor<'b>, Tensor<'b>)],
    size: usize,
) -> Vec<Item<'b>> {
    let Some(builder) = outputs.first().map(|output| output.builder()) else { return Vec::new() };
    let mut known: HashMap<Value, Item<'b>> =
        replaced.iter().map(|(old, new)| (old.value(), Item::batched(*new))).collect();
    let first = replaced.iter().map(|(old, _)| old.value().node).min().unwrap_or(u32::MAX);
    let needed = needed(builder, first, outputs);
    for (index, _) in (first..).zip(&needed).filter(|(_, needed)| **needed) {
        let node = builder.node(index);
        // A loop with a batched operand may have results that are shared. They are replaced too,
        // since the loop as it was reads a value that is no longer there.
        if !node.inputs.iter().any(|input| known.contains_key(input)) {
            continue;
        }
        let operands: Vec<Item<'b>> = node
            .inputs
            .iter()
            .map(|input| match known.get(input) {
                Some(item) => *item,
                None => Item::shared(builder.tensor(*input)),
            })
            .collect();
        let rule = Rule { builder, size, place: node.place, types: &node.types };
        // After a mistake, which `finish` reports, values may be of other types.
        let sound = node.inputs.iter().zip(&operands).all(|(input, operand)| {
            let ty = builder.tensor(*input).ty();
            ty.dtype == operand.tensor.dtype() && ty.shape == operand.shape()
        });
        let results = if sound { rule.apply(&node.op, &operands) } else { rule.stand_ins() };
        for (output, item) in results.into_iter().enumerate() {
            known.entry(Value { node: index, output: output as u32 }).or_insert(item);
        }
    }
    outputs
        .iter()
        .map(|output| known.get(&output.value()).copied().unwrap_or(Item::shared(*output)))
        .collect()
}

/// The graph over a batch of `size` members: an input with `Some(axis)` gets an axis of that extent
/// at that position, the others are shared; every output gets it at position 0.
///
/// # Errors
/// When there is not one entry of `axes` for each input, or an axis is beyond an input's rank.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::vmap;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [3]));
/// let w = b.input("w", TensorType::new(DType::F64, [3]));
/// let product = b.finish(&[("product", (x * w).sum_all())])?;
/// let table = vmap(&vmap(&product, &[Some(0), None], 5)?, &[None, Some(1)], 7)?;
/// assert_eq!(table.output_types().next().unwrap().to_string(), "f64[7, 5]");
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
#[track_caller]
pub fn vmap(graph: &Graph, axes: &[Option<usize>], size: usize) -> Result<Graph, GraphError> {
    let builder = Builder::new(float_of(graph));
    if axes.len() != graph.n_inputs() {
        let expected = format!("an axis or none for each of {} inputs", graph.n_inputs());
        builder.reject("vmap", expected, format!("{} entries", axes.len()));
    }
    let outputs: Vec<_> = inline_batched(&builder, graph, axes, size)
        .into_iter()
        .map(|item| item.full(size))
        .collect();
    builder.finish(&graph.output_names().zip(outputs).collect::<Vec<_>>())
}

/// Makes the inputs of `graph` in `builder`, with batch axes where `axes` has them, and the outputs
/// from these.
#[track_caller]
fn inline_batched<'b>(
    builder: &'b Builder,
    graph: &Graph,
    axes: &[Option<usize>],
    size: usize,
) -> Vec<Item<'b>> {
    let mut replaced = Vec::new();
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
        let input = builder.input(&port.name, TensorType::new(port.ty.dtype, shape));
        let one = builder.placeholder(port.ty.clone());
        replaced.push((one, input.move_axis(axis, 0)));
        arguments.push(one);
    }
    let outputs = builder.inline(graph, &arguments);
    items(&outputs, &replaced, size)
}

/// The float type that a graph computes in; a graph of integers has none, and any will do.
fn float_of(graph: &Graph) -> DType {
    let types = graph.nodes().iter().flat_map(|node| &node.types);
    types.map(|ty| ty.dtype).find(|dtype| dtype.is_float()).unwrap_or(DType::F32)
}
