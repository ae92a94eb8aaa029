//! The verifier: everything that the builder promises, checked again on a finished graph.

use crate::error::{GraphError, Mismatch};
use crate::graph::{Graph, Value};
use crate::op::Op;
use crate::shape::infer;

impl Graph {
    /// Checks that operands come before their users, that every type is what the shape rule
    /// gives, and that inputs and outputs point at nodes of this graph; likewise in inner graphs.
    pub fn verify(&self) -> Result<(), GraphError> {
        for (index, node) in self.nodes.iter().enumerate() {
            let fail = |expected: &str, got: String| {
                Err(GraphError::new(node.op.name(), node.place, Mismatch::new(expected, got)))
            };
            if let Some(bad) = node.inputs.iter().find(|&&input| !self.defined(input, index)) {
                return fail("operands defined earlier", format!("{bad:?} at node {index}"));
            }
            if let Op::Input { index: position } = node.op {
                let known = self.inputs.get(position as usize);
                if known.is_none_or(|(port, at)| *at != index as u32 || port.ty != node.types[0]) {
                    return fail("an input of this graph", format!("input {position}"));
                }
                continue;
            }
            let types: Vec<_> = node.inputs.iter().map(|&value| self.type_of(value)).collect();
            match infer(&node.op, &types) {
                Ok(inferred) if inferred == node.types => {}
                Ok(inferred) => return fail(&format!("{inferred:?}"), format!("{:?}", node.types)),
                Err(mismatch) => return Err(GraphError::new(node.op.name(), node.place, mismatch)),
            }
            match &node.op {
                Op::Scan(scan) => scan.body.verify()?,
                Op::While(looped) => {
                    looped.condition.verify()?;
                    looped.body.verify()?;
                }
                Op::LinearSolve(solve) => solve.matvec.verify()?,
                Op::FixedPoint(fixed) => fixed.body.verify()?,
                _ => {}
            }
        }
        let end = self.nodes.len();
        if let Some((name, value)) = self.outputs.iter().find(|(_, v)| !self.defined(*v, end)) {
            let place = std::panic::Location::caller();
            let got = format!("{name} = {value:?}");
            return Err(GraphError::new("output", place, Mismatch::new("a defined value", got)));
        }
        Ok(())
    }

    fn defined(&self, value: Value, before: usize) -> bool {
        (value.node as usize) < before
            && (value.output as usize) < self.nodes[value.node as usize].types.len()
    }
}
