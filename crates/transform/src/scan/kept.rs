//! What a step keeps for the way back.
//!
//! A step back runs its step's data again, and the largest part of that are products which the
//! run forward has just computed. In a run whose carries are all there anyway, the last level of
//! the tree, they are rows of the loop forward and are read on the way back, where they take no
//! more memory than the carries. What is cheap to compute from them is computed again.

use super::steps::{Backward, Forward, State, row_types};
use crate::inner::{trace, types};
use crate::stage::{Keep, computed, worth_keeping};
use thalweg_graph::{Builder, TensorType, Value};

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
        let kept = worth_keeping(&back.step, |input| input >= n_data, Keep::Dear);
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
