//! Text of a graph, for snapshots and for reading.

use crate::graph::{Graph, Node, Value};
use crate::op::{ConvolutionWindow, Op, Window};
use std::fmt::{self, Write};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, 0)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, 0)
    }
}

impl Graph {
    fn print(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        f.write_str("graph(")?;
        for (i, port) in self.inputs().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {}", port.name, port.ty)?;
        }
        f.write_str(") {\n")?;
        for (index, node) in self.nodes.iter().enumerate() {
            if matches!(node.op, Op::Input { .. }) {
                continue;
            }
            write!(f, "{indent}  %{index} = {}", node.op.name())?;
            for (i, &input) in node.inputs.iter().enumerate() {
                let separator = if i == 0 { " " } else { ", " };
                write!(f, "{separator}{}", self.label(input))?;
            }
            f.write_str(&attributes(node))?;
            let types: Vec<String> = node.types.iter().map(ToString::to_string).collect();
            writeln!(f, " : {}", types.join(", "))?;
            for (name, body) in node.op.bodies() {
                write!(f, "{indent}    {name} = ")?;
                body.print(f, depth + 2)?;
                f.write_str("\n")?;
            }
        }
        write!(f, "{indent}  return")?;
        for (i, (name, value)) in self.outputs.iter().enumerate() {
            let separator = if i == 0 { " " } else { ", " };
            write!(f, "{separator}{name} = {}", self.label(*value))?;
        }
        write!(f, "\n{indent}}}")
    }

    fn label(&self, value: Value) -> String {
        let node = &self.nodes[value.node as usize];
        match node.op {
            Op::Input { index } => self.inputs[index as usize].0.name.clone(),
            _ if node.types.len() > 1 => format!("%{}.{}", value.node, value.output),
            _ => format!("%{}", value.node),
        }
    }
}

impl Op {
    /// The graphs that the operation holds, and what they are called.
    pub fn bodies(&self) -> Vec<(&'static str, &Graph)> {
        match self {
            Op::Scan(scan) => vec![("body", &scan.body)],
            Op::While(looped) => vec![("condition", &looped.condition), ("body", &looped.body)],
            Op::LinearSolve(solve) => vec![("matvec", &solve.matvec)],
            Op::FixedPoint(fixed) => vec![("body", &fixed.body)],
            _ => Vec::new(),
        }
    }
}

fn attributes(node: &Node) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: &dyn fmt::Debug| {
        let separator = if text.is_empty() { " {" } else { ", " };
        write!(text, "{separator}{name}: {value:?}").expect("writing to a string");
    };
    match &node.op {
        Op::Constant(array) => add("value", array),
        Op::Iota { axis, .. } | Op::Concatenate { axis } | Op::ArgMax { axis } => {
            add("axis", axis);
        }
        Op::Broadcast { axes, .. } => add("axes", axes),
        Op::Transpose { permutation } => add("permutation", permutation),
        Op::Slice { start, limit, stride } => {
            add("start", start);
            add("limit", limit);
            add("stride", stride);
        }
        Op::Pad { low, high, interior } => {
            add("low", low);
            add("high", high);
            add("interior", interior);
        }
        Op::Reverse { axes } | Op::Reduce { axes, .. } => add("axes", axes),
        Op::Gather(axes) | Op::ScatterAdd(axes) => {
            add("batch", &axes.batch);
            add("trailing", &axes.trailing);
        }
        Op::WindowSum(window) | Op::WindowArgMax(window) => window_attributes(window, &mut add),
        Op::Sort { axis, descending } => {
            add("axis", axis);
            add("descending", descending);
        }
        Op::CumulativeSum { axis, reverse } => {
            add("axis", axis);
            add("reverse", reverse);
        }
        Op::Dot(axes) => {
            add("batch", &(&axes.lhs_batch, &axes.rhs_batch));
            add("contract", &(&axes.lhs_contract, &axes.rhs_contract));
        }
        Op::Convolution(window) => convolution_attributes(window, &mut add),
        Op::ConvolutionInputGradient { window, input } => {
            convolution_attributes(window, &mut add);
            add("input", input);
        }
        Op::ConvolutionWeightGradient { window, kernel } => {
            convolution_attributes(window, &mut add);
            add("kernel", kernel);
        }
        Op::TriangularSolve { lower, transpose } => {
            add("lower", lower);
            add("transpose", transpose);
        }
        Op::LinearSolve(solve) => {
            add("solver", &solve.solver);
            add("max_iterations", &solve.max_iterations);
            add("tolerance", &f64::from_bits(solve.tolerance_bits));
            add("n_batch", &solve.n_batch);
        }
        Op::FixedPoint(fixed) => {
            add("max_iterations", &fixed.max_iterations);
            add("tolerance", &f64::from_bits(fixed.tolerance_bits));
            add("n_batch", &fixed.n_batch);
        }
        Op::Scan(scan) => {
            add("length", &scan.length);
            add("n_carry", &scan.n_carry);
            add("n_xs", &scan.n_xs);
            add("reverse", &scan.reverse);
            add("checkpoint_branching", &scan.checkpoint_branching);
        }
        Op::While(looped) => add("n_carry", &looped.n_carry),
        Op::Input { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Bitcast(_)
        | Op::Threefry
        | Op::StopGradient
        | Op::Reshape { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice
        | Op::Cholesky
        | Op::SymmetricEigen => {}
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

type Add<'a> = dyn FnMut(&str, &dyn fmt::Debug) + 'a;

fn window_attributes(window: &Window, add: &mut Add<'_>) {
    add("size", &window.size);
    add("stride", &window.stride);
    add("padding", &window.padding);
    if window.dilation.iter().any(|&d| d != 1) {
        add("dilation", &window.dilation);
    }
}

/// Only what differs from the plain convolution.
fn convolution_attributes(window: &ConvolutionWindow, add: &mut Add<'_>) {
    let plain = ConvolutionWindow::PLAIN;
    if window.stride != plain.stride {
        add("stride", &window.stride);
    }
    if window.padding != plain.padding {
        add("padding", &window.padding);
    }
    if window.dilation != plain.dilation {
        add("dilation", &window.dilation);
    }
    if window.groups != 1 {
        add("groups", &window.groups);
    }
    if window.has_population() {
        add("population", &(window.lhs_population, window.rhs_population));
    }
    if window.folded != plain.folded {
        add("folded", &window.folded);
    }
}
