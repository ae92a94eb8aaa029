//! Places inside a network, found by how the values of its graph hang together.
//!
//! Nothing here knows names of layers: what holds for an architecture holds for an imported graph.

mod activation;
mod classifier;
mod inside;
mod layer_inputs;
mod residual;

pub(crate) use activation::Activation;
pub(crate) use classifier::{Features, features};
pub(crate) use inside::inside;
pub use residual::BlockKind;

use super::gradient::Declared;
use super::objective::Objective;
use crate::MethodError;
use std::sync::Arc;
use thalweg_graph::{Builder, Node, Op, Tensor, Value};

/// What each value of a network's graph depends on, and which of them its outputs need.
pub(crate) struct Dissection<'b> {
    builder: &'b Builder,
    outputs: Tensor<'b>,
    nodes: Vec<Arc<Node>>,
    /// Whether a node depends on the examples.
    on_data: Vec<bool>,
    /// Whether it depends on weights.
    on_weights: Vec<bool>,
    /// Whether the outputs depend on it.
    needed: Vec<bool>,
}

impl<'b> Dissection<'b> {
    /// Of the graph that [`super::declare`] traced.
    ///
    /// # Errors
    /// An objective that is not the loss of a network's outputs.
    pub(crate) fn new(
        objective: &dyn Objective,
        declared: &Declared<'b>,
    ) -> Result<Dissection<'b>, MethodError> {
        let Some(outputs) = declared.outputs else {
            let expected = "the loss of a network's outputs";
            return Err(MethodError::mismatch("the objective", expected, "another function"));
        };
        let builder = outputs.builder();
        let end = outputs.value().node + 1;
        let nodes: Vec<Arc<Node>> = (0..end).map(|index| builder.node(index)).collect();
        // Inputs are declared in this order: weights, buffers, data.
        let (n_weights, n_buffers) = (objective.parameters().len(), objective.buffers().len());
        let (mut on_data, mut on_weights) = (Vec::new(), Vec::new());
        for node in &nodes {
            let of = |known: &[bool]| node.inputs.iter().any(|value| known[value.node as usize]);
            let (mut data, mut weights) = (of(&on_data), of(&on_weights));
            if let Op::Input { index } = node.op {
                data = index as usize >= n_weights + n_buffers;
                weights = (index as usize) < n_weights;
            }
            on_data.push(data);
            on_weights.push(weights);
        }
        let mut needed = vec![false; nodes.len()];
        needed[end as usize - 1] = true;
        for index in (0..nodes.len()).rev() {
            if needed[index] {
                nodes[index].inputs.iter().for_each(|value| needed[value.node as usize] = true);
            }
        }
        Ok(Dissection { builder, outputs, nodes, on_data, on_weights, needed })
    }

    /// The operands of a node that depend on the examples.
    fn data_operands(&self, node: &Node) -> Vec<Value> {
        let each = node.inputs.iter().copied();
        each.filter(|value| self.on_data[value.node as usize]).collect()
    }

    /// Whether a node is a product of what comes from the examples with a weight.
    fn is_weighted(&self, node: &Node) -> bool {
        let [left, right] = node.inputs[..] else { return false };
        let [a, b] = [left, right].map(|value| self.on_data[value.node as usize]);
        let weight = if a { right } else { left };
        is_product(&node.op) && a != b && self.on_weights[weight.node as usize]
    }
}

fn is_product(op: &Op) -> bool {
    matches!(op, Op::Dot(_) | Op::Convolution(_))
}

/// Whether values come out of a graph of its own.
fn is_loop(op: &Op) -> bool {
    matches!(op, Op::Scan(_) | Op::While(_) | Op::FixedPoint(_) | Op::LinearSolve(_))
}
