//! Which values of an arena depend on which others.
//!
//! Loops can be seen through: an output of a loop depends only on the operands that its body's
//! data flow reaches, so that the values and the tangents computed by one loop stay apart.

use std::sync::Arc;
use thalweg_graph::{Builder, Graph, Node, Op, Tensor, Value};

/// Which results of a node are reached.
#[derive(Clone)]
enum Reached {
    None,
    All,
    Some(Vec<bool>),
}

/// Values that depend on given ones, themselves included.
pub(crate) struct Reach {
    first: u32,
    flags: Vec<Reached>,
    loops: Loops,
}

/// What is asked of loops.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Loops {
    /// What must be copied where operands are replaced: with one result of a loop all of them.
    Whole,
    /// What really depends on what.
    SeenThrough,
}

impl Reach {
    /// The values among nodes up to `last` that depend on `from`.
    pub(crate) fn of(builder: &Builder, from: &[Value], last: u32, loops: Loops) -> Reach {
        let first = from.iter().map(|value| value.node).min().unwrap_or(u32::MAX);
        let mut reach = Reach { first, flags: Vec::new(), loops };
        if first > last {
            return reach;
        }
        reach.flags.reserve((last - first) as usize + 1);
        for index in first..=last {
            let node = builder.node(index);
            let seeds: Vec<u32> =
                from.iter().filter(|seed| seed.node == index).map(|seed| seed.output).collect();
            reach.visit(&node, &seeds);
        }
        reach
    }

    /// Which outputs of a graph depend on the flagged inputs.
    pub(crate) fn outputs(graph: &Graph, inputs: &[bool]) -> Vec<bool> {
        let flags = Vec::with_capacity(graph.nodes().len());
        let mut reach = Reach { first: 0, flags, loops: Loops::SeenThrough };
        for node in graph.nodes() {
            let seeded =
                matches!(node.op, Op::Input { index } if inputs.get(index as usize) == Some(&true));
            reach.visit(node, if seeded { &[0] } else { &[] });
        }
        graph.output_values().map(|value| reach.contains(value)).collect()
    }

    /// The first node that can be reached.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    pub(crate) fn contains(&self, value: Value) -> bool {
        let Some(index) = value.node.checked_sub(self.first) else { return false };
        match self.flags.get(index as usize) {
            None | Some(Reached::None) => false,
            Some(Reached::All) => true,
            Some(Reached::Some(outputs)) => outputs[value.output as usize],
        }
    }

    /// Whether any result of a node is reached.
    pub(crate) fn any(&self, node: u32) -> bool {
        let Some(index) = node.checked_sub(self.first) else { return false };
        !matches!(self.flags.get(index as usize), None | Some(Reached::None))
    }

    fn visit(&mut self, node: &Arc<Node>, seeds: &[u32]) {
        let operands: Vec<bool> = node.inputs.iter().map(|&input| self.contains(input)).collect();
        let mut reached = if operands.contains(&true) {
            let through = match self.loops {
                Loops::Whole => None,
                Loops::SeenThrough => outputs_reached(&node.op, &operands),
            };
            match through {
                None => Reached::All,
                Some(outputs) if outputs.iter().all(|&output| output) => Reached::All,
                Some(outputs) if outputs.contains(&true) => Reached::Some(outputs),
                Some(_) => Reached::None,
            }
        } else {
            Reached::None
        };
        if !seeds.is_empty() && !matches!(reached, Reached::All) {
            let mut outputs = match reached {
                Reached::Some(outputs) => outputs,
                _ => vec![false; node.types.len()],
            };
            for &seed in seeds {
                outputs[seed as usize] = true;
            }
            let all = outputs.iter().all(|&output| output);
            reached = if all { Reached::All } else { Reached::Some(outputs) };
        }
        self.flags.push(reached);
    }
}

/// The outputs of a loop that depend on the flagged operands; `None` for what is not a loop.
fn outputs_reached(op: &Op, operands: &[bool]) -> Option<Vec<bool>> {
    let (body, n_carry) = match op {
        Op::Scan(scan) => (&scan.body, scan.n_carry),
        Op::While(looped) => {
            // How often the body runs depends on the condition, and every carry on that.
            let mut flags = operands.to_vec();
            settle(&looped.body, looped.n_carry, &mut flags);
            if Reach::outputs(&looped.condition, &flags).contains(&true) {
                return None;
            }
            (&looped.body, looped.n_carry)
        }
        _ => return None,
    };
    let mut flags = operands.to_vec();
    Some(settle(body, n_carry, &mut flags))
}

/// Repeats a loop body's data flow until the carries that are reached stay the same: `flags` are
/// those of the body's inputs, first as the operands have them. Gives the flags of its outputs.
pub(crate) fn settle(body: &Graph, n_carry: usize, flags: &mut [bool]) -> Vec<bool> {
    loop {
        let outputs = Reach::outputs(body, flags);
        let mut changed = false;
        for (flag, &output) in flags[..n_carry].iter_mut().zip(&outputs) {
            changed |= output && !*flag;
            *flag |= output;
        }
        if !changed {
            let mut reached = outputs;
            // After no step at all a carry is its own operand.
            for (output, &flag) in reached[..n_carry].iter_mut().zip(flags.iter()) {
                *output |= flag;
            }
            return reached;
        }
    }
}

/// Nodes that depend on `reach` and that `outputs` need, in increasing order.
pub(crate) fn between(builder: &Builder, reach: &Reach, outputs: &[Tensor<'_>]) -> Vec<u32> {
    let needed = needed(builder, reach.first, outputs);
    (0..needed.len() as u32)
        .filter(|&offset| needed[offset as usize] && reach.any(reach.first + offset))
        .map(|offset| reach.first + offset)
        .collect()
}

/// Whether each node from `first` on is needed by `outputs`.
pub(crate) fn needed(builder: &Builder, first: u32, outputs: &[Tensor<'_>]) -> Vec<bool> {
    let last = outputs.iter().map(|output| output.value().node).max();
    let Some(last) = last.filter(|&last| last >= first) else { return Vec::new() };
    let mut needed = vec![false; (last - first) as usize + 1];
    for node in outputs.iter().filter_map(|output| output.value().node.checked_sub(first)) {
        needed[node as usize] = true;
    }
    for offset in (0..needed.len()).rev() {
        if needed[offset] {
            for input in &builder.node(first + offset as u32).inputs {
                if let Some(input) = input.node.checked_sub(first) {
                    needed[input as usize] = true;
                }
            }
        }
    }
    needed
}
