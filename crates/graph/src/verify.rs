//! The verifier: everything that the builder promises, checked again on a finished graph.

use crate::error::{GraphError, Mismatch};
use crate::graph::{Graph, Value};
use crate::op::Op;
use crate::shape::infer;

impl Graph {
    /// Checks that operands come before their users, that every type is what the shape rule
    /// gives, and that inputs and outputs point at nodes of this graph; likewise in inner graphs.
    pub fn verify(&self) -> Result<(), GraphError> {
        for (position, (port, node)) in self.inputs.iter().enumerate() {
            let wanted = position as u32;
            let found = self.nodes.get(*node as usize);
            if !found.is_some_and(|n| matches!(n.op, Op::Input { index } if index == wanted)) {
                let place = std::panic::Location::caller();
                let got = format!("{:?} at node {node}", port.name);
                let mismatch = Mismatch::new(format!("the node of input {position}"), got);
                return Err(GraphError::new("input", place, mismatch));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Node, TensorType, Unary};
    use std::sync::Arc;
    use thalweg_array::DType;

    fn sound() -> Graph {
        let b = Builder::new(DType::F64);
        let x = b.input("x", TensorType::new(DType::F64, [2]));
        let (carry, _) = b.scan(2, &[x.exp()], &[], &[], 0, |s| (vec![s.carry[0].sin()], vec![]));
        b.finish(&[("y", carry[0] + x)]).unwrap()
    }

    fn node(graph: &mut Graph, index: usize) -> &mut Node {
        Arc::make_mut(&mut graph.nodes[index])
    }

    /// The complaint about a sound graph after `corrupt`.
    fn complaint(corrupt: impl FnOnce(&mut Graph)) -> String {
        let mut graph = sound();
        graph.verify().unwrap();
        corrupt(&mut graph);
        let error = graph.verify().unwrap_err();
        format!("{}: expected {}, got {}", error.op, error.expected, error.got)
    }

    #[test]
    fn corrupted_graphs_are_caught() {
        // Nodes: 0 input, 1 exp, 2 scan, 3 add.
        assert_eq!(
            complaint(|g| node(g, 1).inputs[0] = Value::first(3)),
            "exp: expected operands defined earlier, got Value { node: 3, output: 0 } at node 1"
        );
        assert_eq!(
            complaint(|g| node(g, 3).inputs[0] = Value { node: 2, output: 1 }),
            "add: expected operands defined earlier, got Value { node: 2, output: 1 } at node 3"
        );
        assert_eq!(
            complaint(|g| node(g, 1).types[0].shape[0] = 3),
            "exp: expected [f64[2]], got [f64[3]]"
        );
        assert_eq!(
            complaint(|g| node(g, 1).op = Op::Unary(Unary::Not)),
            "not: expected integers or booleans, got f64[2]"
        );
        assert_eq!(complaint(|g| node(g, 3).inputs.truncate(1)), "add: expected 2 operands, got 1");
        assert_eq!(
            complaint(|g| g.outputs[0].1.node = 9),
            "output: expected a defined value, got y = Value { node: 9, output: 0 }"
        );
        assert_eq!(
            complaint(|g| g.inputs[0].1 = 1),
            "input: expected the node of input 0, got \"x\" at node 1"
        );
        assert_eq!(
            complaint(|g| g.inputs[0].1 = 40),
            "input: expected the node of input 0, got \"x\" at node 40"
        );
        assert_eq!(
            complaint(|g| g.inputs[0].0.ty.dtype = DType::F32),
            "input: expected an input of this graph, got input 0"
        );
        assert_eq!(
            complaint(|g| node(g, 0).op = Op::Input { index: 1 }),
            "input: expected the node of input 0, got \"x\" at node 0"
        );
    }

    #[test]
    fn a_corrupted_body_is_caught() {
        let inner = complaint(|g| {
            let Op::Scan(scan) = &mut node(g, 2).op else { panic!("a scan") };
            let body = Arc::make_mut(&mut Arc::make_mut(scan).body);
            node(body, 1).inputs[0] = Value::first(7);
        });
        assert_eq!(
            inner,
            "sin: expected operands defined earlier, got Value { node: 7, output: 0 } at node 1"
        );
    }
}
