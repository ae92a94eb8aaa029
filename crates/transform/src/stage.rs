//! A graph in two parts: what some inputs take no part in, and the rest.

use crate::graphs::{finish, float_of, input_names, inputs, output_names, unused};
use std::collections::{BTreeSet, HashMap, HashSet};
use thalweg_graph::{Builder, Graph, GraphError, Op, Tensor, Value};

/// A graph in two parts, of which the first can be run once for many runs of the second.
pub struct Stages {
    /// From the early inputs, in the graph's order, to the values that are kept.
    pub early: Graph,
    /// From all inputs of the graph and then what is kept to the graph's outputs.
    pub late: Graph,
}

/// Splits a graph by which of its inputs are `late`, those that change from run to run.
///
/// What does not depend on them is kept as far as it is dear to compute, as products, convolutions
/// and sums are, or read by what is, or takes more reading to compute again than to keep. What else
/// is computed element by element is computed again. `None` where nothing is worth to be kept.
/// Split a graph after [`crate::simplify()`], so that the parts add up in the order that the whole
/// does.
///
/// # Errors
/// None for a graph that is sound.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::stages;
/// let b = Builder::new(DType::F32);
/// let v = b.input("v", TensorType::new(DType::F32, [4]));
/// let w = b.input("w", TensorType::new(DType::F32, [4, 4]));
/// let graph = b.finish(&[("y", w.matmul(w).tanh().matmul(v))])?;
/// let stages = stages(&graph, &[0])?.expect("a product of w alone");
/// assert_eq!((stages.early.n_inputs(), stages.early.n_outputs()), (1, 1));
/// assert_eq!((stages.late.n_inputs(), stages.late.n_outputs()), (3, 1));
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
pub fn stages(graph: &Graph, late: &[usize]) -> Result<Option<Stages>, GraphError> {
    let kept = worth_keeping(graph, |input| late.contains(&input), Keep::Frequent);
    if kept.is_empty() {
        return Ok(None);
    }
    let names = |taken: &mut Vec<String>| -> Vec<String> {
        (0..kept.len()).map(|i| unused(taken, "kept", &i.to_string())).collect()
    };
    let b = Builder::new(float_of(graph));
    let arguments: Vec<Tensor<'_>> = graph
        .inputs()
        .enumerate()
        .map(|(i, port)| match late.contains(&i) {
            true => b.placeholder(port.ty.clone()),
            false => b.input(&port.name, port.ty.clone()),
        })
        .collect();
    let values = computed(&b, graph, &arguments, &[], &kept);
    let outputs: Vec<_> = names(&mut Vec::new()).into_iter().zip(values).collect();
    let early = finish(&b, &outputs)?;
    let b = Builder::new(float_of(graph));
    let arguments = inputs(&b, graph);
    let given: Vec<(Value, Tensor<'_>)> = kept
        .iter()
        .zip(names(&mut input_names(graph)))
        .map(|(&value, name)| (value, b.input(&name, graph.type_of(value).clone())))
        .collect();
    let wanted: Vec<Value> = graph.output_values().collect();
    let values = computed(&b, graph, &arguments, &given, &wanted);
    let outputs: Vec<_> = output_names(graph).into_iter().zip(values).collect();
    let late = finish(&b, &outputs)?;
    Ok(Some(Stages { early, late }))
}

/// Which values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those that are dear to compute: not element by element, not a view.
    Dear,
    /// And those that a dear operation reads, which would be written to memory for it, and those
    /// that take more reading to compute again than to keep.
    Frequent,
}

/// Values that need no late input and that the rest of the graph reads, at first hand or through
/// what is computed again.
pub(crate) fn worth_keeping(
    graph: &Graph,
    is_late: impl Fn(usize) -> bool,
    keep: Keep,
) -> Vec<Value> {
    let nodes = graph.nodes();
    let mut late = vec![false; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        late[index] = match node.op {
            Op::Input { index } => is_late(index as usize),
            _ => node.inputs.iter().any(|input| late[input.node as usize]),
        };
    }
    let reads = |dear: bool| -> Vec<Value> {
        let readers = nodes.iter().zip(&late).filter(|(_, late)| **late).map(|(node, _)| node);
        let readers = readers.filter(|node| is_cheap(&node.op) != dear);
        readers.flat_map(|node| node.inputs.iter().copied()).collect()
    };
    let mut search = Search { graph, late: &late, kept: BTreeSet::new() };
    let dear = |_: &Search<'_>, value: Value| !is_cheap(&nodes[value.node as usize].op);
    if keep == Keep::Frequent {
        search.follow(reads(true), |_, value| !is_view(&nodes[value.node as usize].op));
        search.follow(reads(false), |search, value| {
            let op = &nodes[value.node as usize].op;
            !is_cheap(op) || (!is_view(op) && search.sources(value) > 1)
        });
    }
    search.follow([reads(true), reads(false), graph.output_values().collect()].concat(), dear);
    search.kept.into_iter().collect()
}

/// A walk from early values towards the inputs.
struct Search<'a> {
    graph: &'a Graph,
    late: &'a [bool],
    kept: BTreeSet<Value>,
}

impl Search<'_> {
    /// Keeps the first values worth it on every way; literals and inputs never are.
    fn follow(&mut self, mut reads: Vec<Value>, worth: impl Fn(&Self, Value) -> bool) {
        let mut seen = HashSet::new();
        while let Some(value) = reads.pop() {
            let inputs = &self.graph.nodes()[value.node as usize].inputs;
            let known = self.late[value.node as usize] || self.kept.contains(&value);
            if known || inputs.is_empty() || !seen.insert(value) {
                continue;
            }
            if worth(self, value) {
                self.kept.insert(value);
            } else {
                reads.extend(inputs.iter().copied());
            }
        }
    }

    /// How many values of a like size are read to compute one again.
    fn sources(&self, value: Value) -> usize {
        let bytes = |value: Value| self.graph.type_of(value).size_in_bytes();
        let mut seen = HashSet::new();
        let mut reads = self.graph.nodes()[value.node as usize].inputs.clone();
        let mut count = 0;
        while let Some(read) = reads.pop() {
            if bytes(read) < bytes(value) / 4 || !seen.insert(read) {
                continue;
            }
            let node = &self.graph.nodes()[read.node as usize];
            if node.inputs.is_empty() || self.kept.contains(&read) || !is_cheap(&node.op) {
                count += 1;
            } else {
                reads.extend(node.inputs.iter().copied());
            }
        }
        count
    }
}

/// Whether computing a value again costs about what reading it does.
fn is_cheap(op: &Op) -> bool {
    op.is_elementwise() || is_view(op)
}

/// Whether an operation only moves elements.
fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concatenate { .. }
            | Op::Reverse { .. }
            | Op::DynamicSlice { .. }
            | Op::DynamicUpdateSlice
            | Op::Gather(_)
    )
}

/// `wanted` values of a graph, from its inputs and the values that are `given`.
pub(crate) fn computed<'s>(
    builder: &'s Builder,
    graph: &Graph,
    inputs: &[Tensor<'s>],
    given: &[(Value, Tensor<'s>)],
    wanted: &[Value],
) -> Vec<Tensor<'s>> {
    let nodes = graph.nodes();
    let mut known: HashMap<Value, Tensor<'s>> = given.iter().copied().collect();
    let mut needed = vec![false; nodes.len()];
    let mut reads = wanted.to_vec();
    while let Some(value) = reads.pop() {
        let index = value.node as usize;
        if !known.contains_key(&value) && !std::mem::replace(&mut needed[index], true) {
            reads.extend(nodes[index].inputs.iter().copied());
        }
    }
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let results = match node.op {
            Op::Input { index } => vec![inputs[index as usize]],
            _ => {
                let operands: Vec<_> = node.inputs.iter().map(|input| known[input]).collect();
                builder.emit_at(node.op.clone(), &operands, node.place)
            }
        };
        for (output, tensor) in results.into_iter().enumerate() {
            let value = Value { node: index as u32, output: output as u32 };
            known.entry(value).or_insert(tensor);
        }
    }
    wanted.iter().map(|value| known[value]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hvp, simplify};
    use thalweg_graph::{DType, TensorType};

    fn products(graph: &Graph) -> usize {
        graph.nodes().iter().filter(|node| matches!(node.op, Op::Dot(_))).count()
    }

    /// A product with the Hessian of two layers: three products of matrices forward and back that
    /// no vector takes part in, and six that it does.
    #[test]
    fn a_product_with_a_hessian_computes_a_third_once() {
        let b = Builder::new(DType::F64);
        let square = |name| b.input(name, TensorType::new(DType::F64, [7, 7]));
        let (x, w, u, v, z) = (square("x"), square("w"), square("u"), square("v"), square("z"));
        let y = x.matmul(w).tanh().matmul(u);
        let products_with = hvp(y.square().sum_all(), &[w, u], &[v, z]);
        let graph =
            simplify(&b.finish(&[("w", products_with[0]), ("u", products_with[1])]).unwrap());
        let parts = stages(&graph, &[3, 4]).unwrap().unwrap();
        assert_eq!(products(&parts.early) + products(&parts.late), products(&graph));
        assert_eq!(products(&parts.early), 3);
        // The hidden layer, and what comes back to the output and to it.
        assert_eq!(parts.early.n_outputs(), 3, "{}", parts.early);
        assert!(stages(&graph, &[0, 1, 2, 3, 4]).unwrap().is_none());
    }
}
