//! What a step keeps for the way back.
//!
//! A step back runs its step's data again, and the largest part of that are products which the
//! run forward has just computed. In a run whose carries are all there anyway, the last level of
//! the tree, they are rows of the loop forward and are read on the way back, where they take no
//! more memory than the carries. What is cheap to compute from them is computed again.

use super::steps::{Backward, Forward, State, row_types};
use crate::inner::{trace, types};
use std::collections::HashMap;
use thalweg_graph::{Builder, Graph, Op, Tensor, TensorType, Value};

/// The step forward that also writes what is kept, and the step back that reads it as sequences
/// that follow its own.
pub(super) struct Kept {
    pub(super) forward: Forward,
    pub(super) back: Backward,
    /// Rows that the loop writes on its own account.
    pub(super) n_ys: usize,
}

impl Kept {
    /// The two steps; `None` where nothing is worth to be kept, or where it takes more memory than
    /// the carries.
    pub(super) fn new(
        builder: &Builder,
        forward: &Forward,
        back: &Backward,
        state: &State<'_>,
    ) -> Option<Kept> {
        let data = [types(&state.carry), row_types(&state.xs), types(&state.constants)];
        let n_data: usize = data.iter().map(Vec::len).sum();
        let kept = worth_keeping(&back.step, n_data);
        let kept_types: Vec<TensorType> =
            kept.iter().map(|&value| back.step.type_of(value).clone()).collect();
        let bytes =
            |types: &[TensorType]| types.iter().map(TensorType::size_in_bytes).sum::<usize>();
        if kept.is_empty() || bytes(&kept_types) > bytes(&data[0]) {
            return None;
        }
        let [carry, xs, constants] = data;
        let groups = [("carry", carry.clone()), ("x", xs.clone()), ("constant", constants.clone())];
        let step = trace(builder, &groups, |inner, inputs| {
            let arguments = inputs.concat();
            let mut results = inner.inline(&forward.step, &arguments);
            results.extend(computed(inner, &back.step, &arguments, &[], &kept));
            results
        })?;
        let cotangents = back.step.inputs().skip(n_data).map(|port| port.ty.clone()).collect();
        let groups = [
            ("carry", carry),
            ("x", xs),
            ("kept", kept_types),
            ("constant", constants),
            ("cotangent", cotangents),
        ];
        let outputs: Vec<Value> = back.step.output_values().collect();
        let step_back = trace(builder, &groups, |inner, inputs| {
            let [carry, xs, rows, constants, cotangents] = inputs else { return Vec::new() };
            let arguments = [&carry[..], xs, constants, cotangents].concat();
            let given: Vec<_> = kept.iter().copied().zip(rows.iter().copied()).collect();
            computed(inner, &back.step, &arguments, &given, &outputs)
        })?;
        let n_ys = forward.step.n_outputs() - forward.n_carry;
        let forward = Forward { step, ..*forward };
        let back = Backward { step: step_back, kept: None, ..*back };
        Some(Kept { forward, back, n_ys })
    }
}

/// Values that need none of the inputs from `n_data` on, that the rest of the graph reads, at
/// first or second hand, and that are dear to compute: not element by element, not a view.
fn worth_keeping(graph: &Graph, n_data: usize) -> Vec<Value> {
    let nodes = graph.nodes();
    let mut late = vec![false; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        late[index] = match node.op {
            Op::Input { index } => index as usize >= n_data,
            _ => node.inputs.iter().any(|input| late[input.node as usize]),
        };
    }
    let mut kept = Vec::new();
    let mut seen = vec![false; nodes.len()];
    let mut reads: Vec<Value> = graph.output_values().collect();
    let of_late = nodes.iter().zip(&late).filter(|(_, late)| **late);
    reads.extend(of_late.flat_map(|(node, _)| node.inputs.iter().copied()));
    while let Some(value) = reads.pop() {
        let index = value.node as usize;
        let node = &nodes[index];
        if late[index] || node.inputs.is_empty() {
            continue;
        }
        if is_cheap(&node.op) {
            if !std::mem::replace(&mut seen[index], true) {
                reads.extend(node.inputs.iter().copied());
            }
        } else if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept.sort_by_key(|value| (value.node, value.output));
    kept
}

/// Whether computing a value again costs about what reading it does.
fn is_cheap(op: &Op) -> bool {
    let moves = matches!(
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
    );
    op.is_elementwise() || moves
}

/// `wanted` values of a graph, from its inputs and the values that are `given`.
fn computed<'s>(
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
    use crate::{simplify, value_and_grad};
    use thalweg_graph::{Builder, DType, Graph, Op, TensorType};

    const STEPS: usize = 81;
    const BRANCHING: usize = 9;
    const WIDTH: usize = 6;

    /// Products that running a graph takes.
    fn products(graph: &Graph) -> usize {
        let nodes = graph.nodes().iter();
        nodes
            .map(|node| match &node.op {
                Op::Dot(_) => 1,
                Op::Scan(scan) => scan.length * products(&scan.body),
                _ => 0,
            })
            .sum()
    }

    /// The gradient, with respect to its start, of a weight that descends on `rows` examples.
    fn through_descent(rows: usize) -> Graph {
        let b = Builder::new(DType::F64);
        let square = [WIDTH, WIDTH];
        let w = b.input("w", TensorType::new(DType::F64, square));
        let xs = b.input("x", TensorType::new(DType::F64, [STEPS, rows, WIDTH]));
        let (last, _) = b.scan(STEPS, &[w], &[xs], &[], BRANCHING, |s| {
            let (w, x) = (s.carry[0], s.xs[0]);
            let slope = x.transpose(&[1, 0]).matmul(x.matmul(w).tanh());
            (vec![w - slope * 0.1], Vec::new())
        });
        let (value, gradient) = value_and_grad(last[0].square().sum(&[0, 1]), &[w]);
        simplify(&b.finish(&[("value", value), ("gradient", gradient[0])]).unwrap())
    }

    #[test]
    fn products_are_kept_where_they_are_no_larger_than_the_carries() {
        // Two products a step forward, twice; two back, which read the first of them.
        assert_eq!(products(&through_descent(WIDTH)), 6 * STEPS);
        // Forward again in each step back, but not in the last step of the nine chunks, whose
        // end nobody reads.
        assert_eq!(products(&through_descent(WIDTH + 1)), 7 * STEPS - 2 * STEPS / BRANCHING);
    }
}
