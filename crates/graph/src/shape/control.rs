//! Shape rules of operations that hold graphs.

use super::Inferred;
use crate::error::{Mismatch, ensure};
use crate::graph::{Graph, TensorType};
use crate::op::{Op, Scan};
use thalweg_array::DType;

pub(super) fn infer(op: &Op, inputs: &[&TensorType]) -> Inferred {
    match op {
        Op::Scan(scan) => infer_scan(scan, inputs),
        Op::While(looped) => {
            takes("condition", &looped.condition, inputs)?;
            takes("body", &looped.body, inputs)?;
            ensure!(looped.n_carry <= inputs.len(), "every carry among the operands", "fewer");
            let carry = &inputs[..looped.n_carry];
            gives("body", &looped.body, carry)?;
            gives("condition", &looped.condition, &[&TensorType::new(DType::Bool, [])])?;
            Ok(carry.iter().map(|&ty| ty.clone()).collect())
        }
        Op::LinearSolve(solve) => {
            takes("matvec", &solve.matvec, inputs)?;
            last_to_itself("matvec", &solve.matvec, inputs, solve.n_batch)
        }
        Op::FixedPoint(fixed) => {
            takes("body", &fixed.body, inputs)?;
            last_to_itself("body", &fixed.body, inputs, fixed.n_batch)
        }
        _ => unreachable!("{} holds no graph", op.name()),
    }
}

fn infer_scan(scan: &Scan, inputs: &[&TensorType]) -> Inferred {
    let (n_carry, n_xs) = (scan.n_carry, scan.n_xs);
    ensure!(
        n_carry.checked_add(n_xs).is_some_and(|n| n <= inputs.len()),
        format!("{n_carry} carries and {n_xs} sequences"),
        format!("{} operands", inputs.len())
    );
    let mut body_inputs = Vec::with_capacity(inputs.len());
    for (i, &input) in inputs.iter().enumerate() {
        let is_sequence = (n_carry..n_carry + n_xs).contains(&i);
        body_inputs.push(if is_sequence {
            ensure!(
                input.shape.first() == Some(&scan.length),
                format!("a sequence of {} rows", scan.length),
                input.to_string()
            );
            TensorType::new(input.dtype, &input.shape[1..])
        } else {
            input.clone()
        });
    }
    let body_inputs: Vec<&TensorType> = body_inputs.iter().collect();
    takes("body", &scan.body, &body_inputs)?;
    let outputs: Vec<&TensorType> = scan.body.output_types().collect();
    ensure!(
        outputs.len() >= n_carry && outputs[..n_carry] == body_inputs[..n_carry],
        format!("a body that gives the carries {:?}", &body_inputs[..n_carry]),
        format!("{outputs:?}")
    );
    ensure!(
        scan.checkpoint_branching != 1,
        "a branching of checkpoints of 0 (keep all) or at least 2",
        "1"
    );
    let rows = outputs[n_carry..].iter().map(|y| {
        let mut shape = vec![scan.length];
        shape.extend_from_slice(&y.shape);
        TensorType::new(y.dtype, shape)
    });
    Ok(outputs[..n_carry].iter().map(|&ty| ty.clone()).chain(rows).collect())
}

fn takes(what: &str, graph: &Graph, inputs: &[&TensorType]) -> Result<(), Mismatch> {
    let expected: Vec<&TensorType> = graph.inputs().map(|port| &port.ty).collect();
    ensure!(expected == inputs, format!("a {what} that takes {inputs:?}"), format!("{expected:?}"));
    Ok(())
}

fn gives(what: &str, graph: &Graph, outputs: &[&TensorType]) -> Result<(), Mismatch> {
    let got: Vec<&TensorType> = graph.output_types().collect();
    ensure!(got == outputs, format!("a {what} that gives {outputs:?}"), format!("{got:?}"));
    Ok(())
}

fn last_to_itself(what: &str, graph: &Graph, inputs: &[&TensorType], n_batch: usize) -> Inferred {
    let Some(&last) = inputs.last() else {
        return Err(Mismatch::new("at least one operand", "none"));
    };
    gives(what, graph, &[last])?;
    ensure!(
        last.dtype.is_float() && last.rank() >= n_batch,
        format!("floats with {n_batch} batch axes"),
        last.to_string()
    );
    Ok(vec![last.clone()])
}
