//! Forward mode: the derivative of outputs along tangents.
//!
//! One walk over the nodes between the variables and the outputs, operands first; each node's rule
//! builds its tangent from those of its operands with ordinary operations, so what comes out can
//! be transformed again. A tangent that is zero throughout is absent, not a tensor of zeros.

mod elementwise;
mod factorization;
mod reduction;

use crate::reach::{Loops, Reach, between};
use crate::{scan, solve};
use std::collections::HashMap;
use thalweg_graph::{Builder, GatherAxes, Node, Op, Tensor, Value};

/// A value and its tangent.
#[derive(Clone, Copy)]
pub(crate) struct Dual<'b> {
    pub(crate) primal: Tensor<'b>,
    pub(crate) tangent: Option<Tensor<'b>>,
}

/// Values of outputs and their tangents.
pub struct Jvp<'b> {
    /// The outputs. Use these in place of the ones given: a loop that computes values and tangents
    /// together gives both, and the loop that computed the values alone is no longer needed.
    pub outputs: Vec<Tensor<'b>>,
    /// The derivative of each output along the tangents; `None` where it is zero throughout.
    pub tangents: Vec<Option<Tensor<'b>>>,
}

/// The derivative of `outputs` as functions of `wrt`, along `tangents`.
///
/// `dy = sum over i of (dy / dx_i) dx_i`
///
/// The variables are values of the same builder, inputs or not; each is taken as independent of
/// the others. A variable that is not of a float type, or a tangent of another type than its
/// variable, is an error at `finish`.
#[track_caller]
pub fn jvp<'b>(outputs: &[Tensor<'b>], wrt: &[Tensor<'b>], tangents: &[Tensor<'b>]) -> Jvp<'b> {
    let Some(first) = outputs.first() else {
        return Jvp { outputs: Vec::new(), tangents: Vec::new() };
    };
    let builder = first.builder();
    check_pairs(builder, "jvp", wrt, tangents);
    let seeds: Vec<_> = wrt.iter().zip(tangents).filter(|(x, _)| x.dtype().is_float()).collect();
    let seeds: Vec<_> = seeds.into_iter().map(|(&x, &t)| (x, t)).collect();
    let duals = duals(builder, outputs, &seeds);
    Jvp {
        outputs: duals.iter().map(|dual| dual.primal).collect(),
        tangents: duals.iter().map(|dual| dual.tangent).collect(),
    }
}

/// Records an error unless variables are floats and stand beside tensors of their own types.
#[track_caller]
pub(crate) fn check_pairs<'b>(
    builder: &Builder,
    what: &str,
    wrt: &[Tensor<'b>],
    tangents: &[Tensor<'b>],
) {
    if wrt.len() != tangents.len() {
        builder.reject(what, format!("{} tangents", wrt.len()), tangents.len().to_string());
    }
    for (x, t) in wrt.iter().zip(tangents) {
        if !x.dtype().is_float() {
            builder.reject(what, "a variable of a float type", x.ty().to_string());
        } else if x.ty() != t.ty() {
            builder.reject(what, format!("a tangent of type {}", x.ty()), t.ty().to_string());
        }
    }
}

/// Outputs with tangents, when some values have given ones.
pub(crate) fn duals<'b>(
    builder: &'b Builder,
    outputs: &[Tensor<'b>],
    seeds: &[(Tensor<'b>, Tensor<'b>)],
) -> Vec<Dual<'b>> {
    let mut known: HashMap<Value, Dual<'b>> = HashMap::new();
    for &(x, t) in seeds {
        let dual = known.entry(x.value()).or_insert(Dual { primal: x, tangent: None });
        dual.tangent = add(dual.tangent, Some(t));
    }
    let seeds: Vec<Value> = known.keys().copied().collect();
    let last = outputs.iter().map(|output| output.value().node).max().unwrap_or(0);
    let reach = Reach::of(builder, &seeds, last, Loops::Whole);
    for index in between(builder, &reach, outputs) {
        let node = builder.node(index);
        let results = node_duals(builder, index, &node, &known);
        for (output, dual) in results.into_iter().enumerate() {
            // A variable keeps its own tangent, whatever it is computed from.
            known.entry(Value { node: index, output: output as u32 }).or_insert(dual);
        }
    }
    outputs
        .iter()
        .map(|&output| {
            let plain = Dual { primal: output, tangent: None };
            known.get(&output.value()).copied().unwrap_or(plain)
        })
        .collect()
}

fn node_duals<'b>(
    builder: &'b Builder,
    index: u32,
    node: &Node,
    known: &HashMap<Value, Dual<'b>>,
) -> Vec<Dual<'b>> {
    let operands: Vec<Dual<'b>> = node
        .inputs
        .iter()
        .map(|&input| {
            let plain = Dual { primal: builder.tensor(input), tangent: None };
            known.get(&input).copied().unwrap_or(plain)
        })
        .collect();
    let primals: Vec<_> = operands.iter().map(|operand| operand.primal).collect();
    let tangents: Vec<_> = operands.iter().map(|operand| operand.tangent).collect();
    let flows = tangents.iter().any(Option::is_some);
    if let (Op::Scan(looped), true) = (&node.op, flows) {
        return scan::jvp(builder, looped, node.place, &operands);
    }
    let unchanged =
        primals.iter().zip(&node.inputs).all(|(primal, &input)| primal.value() == input);
    let outputs = if unchanged {
        (0..node.types.len() as u32)
            .map(|output| builder.tensor(Value { node: index, output }))
            .collect()
    } else {
        builder.emit_at(node.op.clone(), &primals, node.place)
    };
    let results = if flows {
        tangents_of(builder, node, &primals, &tangents, &outputs)
    } else {
        vec![None; outputs.len()]
    };
    outputs.into_iter().zip(results).map(|(primal, tangent)| Dual { primal, tangent }).collect()
}

/// The sum of two tangents.
pub(crate) fn add<'b>(a: Option<Tensor<'b>>, b: Option<Tensor<'b>>) -> Option<Tensor<'b>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (one, None) | (None, one) => one,
    }
}

/// The rule of one node: operands `x`, their tangents `t` of which at least one is there, and
/// results `y`.
fn tangents_of<'b>(
    builder: &'b Builder,
    node: &Node,
    x: &[Tensor<'b>],
    t: &[Option<Tensor<'b>>],
    y: &[Tensor<'b>],
) -> Vec<Option<Tensor<'b>>> {
    // The operation itself, on other operands.
    let again = |operands: &[Tensor<'b>]| builder.emit_at(node.op.clone(), operands, node.place)[0];
    // An operation linear in its first operand, the others being data.
    let linear_in_first = || {
        t[0].map(|t0| {
            let mut operands = x.to_vec();
            operands[0] = t0;
            again(&operands)
        })
    };
    // An operation linear in each of its first `n` operands and in all of them together.
    let linear_in_all = |n: usize| {
        t[..n].iter().any(Option::is_some).then(|| {
            let mut operands = x.to_vec();
            for (operand, tangent) in operands[..n].iter_mut().zip(t) {
                *operand = tangent.unwrap_or_else(|| operand.zeros_like());
            }
            again(&operands)
        })
    };
    let bilinear = || {
        let left = t[0].map(|t0| again(&[t0, x[1]]));
        let right = t[1].map(|t1| again(&[x[0], t1]));
        add(left, right)
    };
    match &node.op {
        Op::Input { .. } | Op::Constant(_) | Op::Iota { .. } => vec![None],
        Op::Unary(unary) => {
            vec![t[0].and_then(|t0| elementwise::unary(*unary, x[0], t0, y[0]))]
        }
        Op::Binary(binary) => {
            vec![elementwise::binary(*binary, [x[0], x[1]], [t[0], t[1]], y[0])]
        }
        Op::Select => {
            let branches = t[1].is_some() || t[2].is_some();
            let or_zero = |i: usize| t[i].unwrap_or_else(|| x[i].zeros_like());
            vec![branches.then(|| x[0].select(or_zero(1), or_zero(2)))]
        }
        Op::Convert(dtype) => vec![t[0].filter(|_| dtype.is_float()).map(|t0| t0.convert(*dtype))],
        Op::Bitcast(dtype) => vec![t[0].filter(|_| *dtype == x[0].dtype())],
        // Comparisons, bits and random words are locally constant.
        Op::Compare(_) | Op::Threefry | Op::StopGradient => vec![None],
        Op::WindowArgMax(_) | Op::ArgMax { .. } => vec![None],
        Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::Gather(_)
        | Op::WindowSum(_)
        | Op::CumulativeSum { .. } => vec![linear_in_first()],
        Op::Pad { .. } | Op::DynamicUpdateSlice => vec![linear_in_all(2)],
        Op::Concatenate { .. } => vec![linear_in_all(x.len())],
        Op::ScatterAdd(axes) => vec![match t[2] {
            None => t[0],
            Some(updates) => {
                let operand = t[0].unwrap_or_else(|| x[0].zeros_like());
                Some(operand.scatter_add(x[1], updates, *axes))
            }
        }],
        Op::Reduce { kind, axes } => {
            vec![t[0].and_then(|t0| reduction::reduce(*kind, axes, x[0], t0, y[0]))]
        }
        Op::Sort { axis, descending } => {
            let places = builder.iota(thalweg_graph::DType::I32, &x[0].shape(), *axis);
            let operands: Vec<_> = x.iter().copied().chain([places]).collect();
            let op = Op::Sort { axis: *axis, descending: *descending };
            let sorted = builder.emit_at(op, &operands, node.place);
            let order = sorted[sorted.len() - 1];
            let trailing = x[0].rank() - axis - 1;
            let picked = |t0: Tensor<'b>| t0.gather(order, GatherAxes { batch: *axis, trailing });
            t.iter().map(|tangent| tangent.map(picked)).collect()
        }
        Op::Dot(_)
        | Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. } => vec![bilinear()],
        Op::Cholesky => vec![t[0].map(|t0| factorization::cholesky(t0, y[0]))],
        Op::TriangularSolve { lower, transpose } => {
            vec![Some(factorization::triangular_solve(*lower, *transpose, x, t, y[0]))]
        }
        Op::SymmetricEigen => {
            t[0].map_or(vec![None, None], |t0| factorization::symmetric_eigen(t0, y[0], y[1]))
        }
        Op::LinearSolve(it) => vec![solve::linear_solve_jvp(builder, it, node.place, x, t, y[0])],
        Op::FixedPoint(it) => vec![solve::fixed_point_jvp(builder, it, node.place, x, t, y[0])],
        Op::Scan(_) => unreachable!("a scan gives values and tangents together"),
        Op::While(looped) => scan::while_jvp(builder, looped, t),
    }
}
