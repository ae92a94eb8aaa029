//! Which element-wise values are stored, and which are computed where they are used.
//!
//! A value is stored when something other than a loop needs it (a product, a convolution, an
//! output), when it is stretched by a broadcast, or when several loops need it and computing it
//! again costs more than storing it and reading it back. Costs are in bytes of memory traffic an
//! element; a cheap operation on a tile in the cache takes about as long as one.

use super::index_map::only_moves_ones;
use thalweg_graph::{Graph, Op, Unary};

/// Passes over memory that a stored value costs: its line is fetched, written, and read back.
const STORED: u32 = 3;
/// Cost of a transcendental function.
const TRANSCENDENTAL: u32 = 8;
/// Cost beyond which a value is stored even if one loop needs it, so that no loop grows without
/// bound.
const LARGEST: u32 = 320;

/// How a node takes part in planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An input, a constant, or the result of a kernel.
    Memory,
    /// Computed element by element.
    Elementwise,
    /// Reduced element by element.
    Reduce,
    /// Another way of reading its operand.
    View,
}

pub(super) fn role(op: &Op) -> Role {
    match op {
        Op::StopGradient
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Reverse { .. } => Role::View,
        Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Bitcast(_)
        | Op::Threefry => Role::Elementwise,
        Op::Reduce { .. } => Role::Reduce,
        Op::Input { .. }
        | Op::Constant(_)
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice
        | Op::Gather(_)
        | Op::ScatterAdd(_)
        | Op::WindowSum(_)
        | Op::WindowArgMax(_)
        | Op::ArgMax { .. }
        | Op::Sort { .. }
        | Op::CumulativeSum { .. }
        | Op::Dot(_)
        | Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. }
        | Op::Cholesky
        | Op::TriangularSolve { .. }
        | Op::SymmetricEigen
        | Op::LinearSolve(_)
        | Op::FixedPoint(_)
        | Op::Scan(_)
        | Op::While(_) => Role::Memory,
    }
}

fn cost(op: &Op) -> u32 {
    match op {
        Op::Unary(
            Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Logistic
            | Unary::Erf,
        )
        | Op::Threefry => TRANSCENDENTAL,
        Op::Binary(thalweg_graph::Binary::Power) => 2 * TRANSCENDENTAL,
        _ => 1,
    }
}

/// Loops that a value is computed in: none, one, or several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loops {
    None,
    One(u32),
    Several,
}

impl Loops {
    fn and(self, other: Loops) -> Loops {
        match (self, other) {
            (Loops::None, x) | (x, Loops::None) => x,
            (Loops::One(a), Loops::One(b)) if a == b => self,
            _ => Loops::Several,
        }
    }
}

/// Rounds of pricing: what the round before stores is read in the next, not computed.
const ROUNDS: usize = 3;

/// For each node, whether it is an element-wise value that is stored.
pub(super) fn stored(graph: &Graph) -> Vec<bool> {
    let mut stored = vec![false; graph.nodes().len()];
    for _ in 0..ROUNDS {
        stored = round(graph, &stored);
    }
    stored
}

/// What is stored if the price of a value is that of computing it from `known` values.
fn round(graph: &Graph, known: &[bool]) -> Vec<bool> {
    let nodes = graph.nodes();
    let mut must = vec![false; nodes.len()];
    // Cost of computing a value, and of having it where it is needed.
    let mut price = vec![0u32; nodes.len()];
    let mut need = vec![0u32; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let operands = node.inputs.iter().map(|input| need[input.node as usize]);
        let size = node.types.iter().map(|ty| ty.dtype.size() as u32).max().unwrap_or(0);
        price[index] = match role(&node.op) {
            Role::Memory | Role::Reduce => size,
            // What is stretched is small, and stays in the cache.
            Role::View if stretches(graph, index) => 1,
            Role::View => operands.max().unwrap_or(0),
            Role::Elementwise => operands.fold(cost(&node.op), u32::saturating_add),
        };
        if price[index] > LARGEST {
            must[index] = true;
        }
        need[index] = if must[index] || known[index] { size } else { price[index] };
    }
    let mut loops = vec![Loops::None; nodes.len()];
    let mut stored = vec![false; nodes.len()];
    for value in graph.output_values() {
        must[value.node as usize] = true;
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        match role(&node.op) {
            Role::Memory => {
                for input in &node.inputs {
                    must[input.node as usize] = true;
                }
            }
            Role::Reduce => {
                let input = node.inputs[0].node as usize;
                loops[input] = loops[input].and(Loops::One(index as u32));
            }
            Role::Elementwise => {
                let size = node.types[0].dtype.size() as u32;
                let again = loops[index] == Loops::Several && price[index] > STORED * size;
                stored[index] = must[index] || again;
                let into = if stored[index] { Loops::One(index as u32) } else { loops[index] };
                for input in &node.inputs {
                    let input = input.node as usize;
                    loops[input] = loops[input].and(into);
                }
            }
            Role::View => {
                let input = node.inputs[0];
                let moves = match &node.op {
                    Op::Reshape { .. } => {
                        !only_moves_ones(&graph.type_of(input).shape, &node.types[0].shape)
                    }
                    _ => stretches(graph, index),
                };
                let source = input.node as usize;
                if must[index] || (moves && loops[index] != Loops::None) {
                    must[source] = true;
                } else {
                    loops[source] = loops[source].and(loops[index]);
                }
            }
        }
    }
    stored
}

/// Whether a node is a broadcast to more elements.
fn stretches(graph: &Graph, index: usize) -> bool {
    let node = &graph.nodes()[index];
    matches!(node.op, Op::Broadcast { .. })
        && graph.type_of(node.inputs[0]).element_count() != node.types[0].element_count()
}
