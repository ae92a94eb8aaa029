//! Reverse mode: the transpose of what is linear.
//!
//! `y = A x` is a graph whose placeholders `x` enter linearly; the other values in it are data.
//! One walk over the nodes that depend on placeholders, results first, turns cotangents of `y`
//! into cotangents `A^T y` of `x`. Every operation is linear in exactly the operands that depend
//! on placeholders, or it is an error: linearise first.

mod contraction;
mod structural;
mod window;

use crate::jvp::add;
use crate::reach::{Loops, Reach, between, needed};
use crate::{scan, solve};
use std::collections::HashMap;
use thalweg_graph::{Binary, Builder, Node, Op, Reduction, Tensor, Unary, Value};

/// An operand of a node that is transposed.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'b> {
    /// The value; of a linear operand only the type may be looked at.
    pub(crate) tensor: Tensor<'b>,
    pub(crate) linear: bool,
}

/// What transposition gives.
pub(crate) struct Transposed<'b> {
    /// The cotangent of each placeholder; `None` where it is zero throughout.
    pub(crate) cotangents: Vec<Option<Tensor<'b>>>,
    /// The values asked for, free of placeholders: a loop that computed data beside linear values
    /// is replaced by one that computes the data.
    pub(crate) data: Vec<Tensor<'b>>,
}

/// Transposes the map from `placeholders` to `outputs` and applies it to their cotangents.
///
/// `data` are values that do not depend on placeholders but may come out of loops that do.
pub(crate) fn transpose<'b>(
    builder: &'b Builder,
    outputs: &[(Tensor<'b>, Option<Tensor<'b>>)],
    placeholders: &[Tensor<'b>],
    data: &[Tensor<'b>],
) -> Transposed<'b> {
    let live: Vec<(Tensor<'b>, Tensor<'b>)> =
        outputs.iter().filter_map(|&(output, ct)| Some((output, ct?))).collect();
    let targets: Vec<Tensor<'b>> = live.iter().map(|&(output, _)| output).collect();
    let wanted = [targets.as_slice(), data].concat();
    let seeds: Vec<Value> = placeholders.iter().map(|placeholder| placeholder.value()).collect();
    let last = wanted.iter().map(|tensor| tensor.value().node).max().unwrap_or(0);
    let reach = Reach::of(builder, &seeds, last, Loops::SeenThrough);
    let path = between(builder, &reach, &targets);
    let mut known = Known::new(builder, &reach, &path, &wanted);
    let data = data.iter().map(|&value| known.get(value.value())).collect();

    let mut cotangents: HashMap<Value, Tensor<'b>> = HashMap::new();
    let accumulate = |cotangents: &mut HashMap<Value, Tensor<'b>>, to: Value, ct| {
        let sum = add(cotangents.get(&to).copied(), Some(ct));
        cotangents.extend(sum.map(|sum| (to, sum)));
    };
    for (output, ct) in live {
        if reach.contains(output.value()) {
            accumulate(&mut cotangents, output.value(), ct);
        }
    }
    for &index in path.iter().rev() {
        let node = builder.node(index);
        let results: Vec<Option<Tensor<'b>>> = (0..node.types.len() as u32)
            .map(|output| cotangents.get(&Value { node: index, output }).copied())
            .collect();
        if node.inputs.is_empty() || results.iter().all(Option::is_none) {
            continue;
        }
        let operands: Vec<Operand<'b>> = node
            .inputs
            .iter()
            .map(|&input| {
                let linear = reach.contains(input);
                let tensor = if linear { builder.tensor(input) } else { known.get(input) };
                Operand { tensor, linear }
            })
            .collect();
        let contributions = match known.tapes.remove(&index) {
            Some(tape) => tape.transpose(builder, &results),
            None => cotangents_of(builder, &node, &operands, &results),
        };
        for ((&input, operand), ct) in node.inputs.iter().zip(&operands).zip(contributions) {
            if let Some(ct) = ct.filter(|_| operand.linear) {
                accumulate(&mut cotangents, input, ct);
            }
        }
    }
    let cotangents = seeds.iter().map(|seed| cotangents.get(seed).copied()).collect();
    Transposed { cotangents, data }
}

/// Data that the linear part uses.
struct Known<'b> {
    builder: &'b Builder,
    replaced: HashMap<Value, Tensor<'b>>,
    /// Of each loop on the path: its data run forward, ready to be run back.
    tapes: HashMap<u32, scan::Tape<'b>>,
}

impl<'b> Known<'b> {
    fn new(builder: &'b Builder, reach: &Reach, path: &[u32], wanted: &[Tensor<'b>]) -> Known<'b> {
        let mut known = Known { builder, replaced: HashMap::new(), tapes: HashMap::new() };
        let first = reach.first();
        for (offset, _) in needed(builder, first, wanted).iter().enumerate().filter(|&(_, &n)| n) {
            let index = first + offset as u32;
            let node = builder.node(index);
            // A loop that carries a tangent along to no result is no part of the linear map, but
            // holds on to a placeholder all the same.
            let linear = reach.any(index) || node.inputs.iter().any(|&x| reach.contains(x));
            if let (Op::Scan(looped), true) = (&node.op, linear) {
                let operands: Vec<Operand<'b>> = node
                    .inputs
                    .iter()
                    .map(|&input| Operand {
                        tensor: known.get(input),
                        linear: reach.contains(input),
                    })
                    .collect();
                let on_path = path.binary_search(&index).is_ok();
                let (data, tape) = scan::forward(builder, looped, node.place, &operands, on_path);
                known.tapes.extend(tape.map(|tape| (index, tape)));
                let data = data.into_iter().enumerate();
                known.replaced.extend(data.filter_map(|(output, tensor)| {
                    Some((Value { node: index, output: output as u32 }, tensor?))
                }));
            } else if node.inputs.iter().any(|input| known.replaced.contains_key(input))
                && !reach.any(index)
            {
                let operands: Vec<_> = node.inputs.iter().map(|&input| known.get(input)).collect();
                let results = builder.emit_at(node.op.clone(), &operands, node.place);
                known.replaced.extend(results.into_iter().enumerate().map(|(output, tensor)| {
                    (Value { node: index, output: output as u32 }, tensor)
                }));
            }
        }
        known
    }

    fn get(&self, value: Value) -> Tensor<'b> {
        self.replaced.get(&value).copied().unwrap_or_else(|| self.builder.tensor(value))
    }
}

/// The rule of one node: the cotangent of each linear operand, from those of the results.
fn cotangents_of<'b>(
    builder: &'b Builder,
    node: &Node,
    operands: &[Operand<'b>],
    results: &[Option<Tensor<'b>>],
) -> Vec<Option<Tensor<'b>>> {
    let nothing = || vec![None; operands.len()];
    let Some(ct) = results[0] else { return nothing() };
    let x = |i: usize| operands[i].tensor;
    let linear = |i: usize| operands[i].linear;
    let only = |operand: usize, cotangent: Tensor<'b>| {
        let mut all = nothing();
        all[operand] = Some(cotangent);
        all
    };
    let refuse = || {
        builder.reject(
            "transpose",
            "an operation linear in the operands that depend on tangents",
            format!("{} written at {}", node.op.name(), node.place),
        );
        nothing()
    };
    // Zero for the other operands' cotangents, which are not asked for.
    let each = |f: &dyn Fn(usize) -> Tensor<'b>| {
        (0..operands.len()).map(|i| linear(i).then(|| f(i))).collect::<Vec<_>>()
    };
    match &node.op {
        Op::Unary(Unary::Negate) => only(0, -ct),
        Op::Unary(
            Unary::Abs
            | Unary::Sign
            | Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Logistic
            | Unary::Erf
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Not
            | Unary::IsFinite,
        ) => refuse(),
        Op::Binary(Binary::Add) => each(&|_| ct),
        Op::Binary(Binary::Subtract) => each(&|i| if i == 0 { ct } else { -ct }),
        Op::Binary(Binary::Multiply) if !(linear(0) && linear(1)) => each(&|i| ct * x(1 - i)),
        Op::Binary(Binary::Divide) if !linear(1) => only(0, ct / x(1)),
        Op::Binary(
            Binary::Multiply
            | Binary::Divide
            | Binary::Remainder
            | Binary::Power
            | Binary::Maximum
            | Binary::Minimum
            | Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical,
        ) => refuse(),
        Op::Select if !linear(0) => each(&|i| {
            let zeros = ct.zeros_like();
            if i == 1 { x(0).select(ct, zeros) } else { x(0).select(zeros, ct) }
        }),
        Op::Convert(_) if ct.dtype().is_float() => only(0, ct.convert(x(0).dtype())),
        Op::Bitcast(dtype) if *dtype == x(0).dtype() => only(0, ct),
        Op::Broadcast { axes, .. } => only(0, structural::broadcast(&x(0).shape(), axes, ct)),
        Op::Reshape { .. } => only(0, ct.reshape(&x(0).shape())),
        Op::Transpose { permutation } => only(0, structural::transpose(permutation, ct)),
        Op::Slice { start, stride, .. } => {
            only(0, structural::slice(&x(0).shape(), start, stride, ct))
        }
        Op::Pad { low, interior, .. } => each(&|i| match i {
            0 => structural::pad_operand(&x(0).shape(), low, interior, ct),
            _ => structural::pad_fill(x(0), &node.op, ct),
        }),
        Op::Concatenate { axis } => {
            let mut start = 0;
            operands
                .iter()
                .map(|operand| {
                    let from = start;
                    start += operand.tensor.shape()[*axis];
                    operand.linear.then(|| ct.slice(*axis, from, start))
                })
                .collect()
        }
        Op::Reverse { axes } => only(0, ct.reverse(axes)),
        Op::DynamicSlice { .. } => {
            let starts: Vec<_> = (1..operands.len()).map(x).collect();
            only(0, x(0).zeros_like().dynamic_update_slice(ct, &starts))
        }
        Op::DynamicUpdateSlice => {
            let starts: Vec<_> = (2..operands.len()).map(x).collect();
            each(&|i| match i {
                0 => ct.dynamic_update_slice(x(1).zeros_like(), &starts),
                _ => ct.dynamic_slice(&starts, &x(1).shape()),
            })
        }
        Op::Gather(axes) => only(0, x(0).zeros_like().scatter_add(x(1), ct, *axes)),
        Op::ScatterAdd(axes) => each(&|i| if i == 0 { ct } else { ct.gather(x(1), *axes) }),
        Op::Reduce { kind: Reduction::Sum, axes } => {
            let shape = x(0).shape();
            let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
            only(0, ct.broadcast_in(&shape, &kept))
        }
        Op::Reduce {
            kind: Reduction::Max | Reduction::Min | Reduction::All | Reduction::Any,
            ..
        } => refuse(),
        Op::WindowSum(window) => only(0, window::window_sum(x(0), window, ct)),
        Op::CumulativeSum { axis, reverse } => only(0, ct.cumulative_sum(*axis, !reverse)),
        Op::Dot(axes) if !(linear(0) && linear(1)) => {
            each(&|i| contraction::dot(axes, [x(0), x(1)], i, ct))
        }
        Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. }
            if !(linear(0) && linear(1)) =>
        {
            each(&|i| contraction::convolution(&node.op, [x(0), x(1)], i, ct))
        }
        Op::TriangularSolve { lower, transpose } if !linear(0) => {
            let op = Op::TriangularSolve { lower: *lower, transpose: !transpose };
            only(1, builder.emit_at(op, &[x(0), ct], node.place)[0])
        }
        Op::LinearSolve(it) if operands.iter().rev().skip(1).all(|operand| !operand.linear) => {
            let last = operands.len() - 1;
            let constants: Vec<_> = (0..last).map(x).collect();
            only(last, solve::linear_solve_transpose(builder, it, node.place, &constants, ct))
        }
        Op::Input { .. } | Op::Constant(_) | Op::Iota { .. } => nothing(),
        Op::Scan(_) => unreachable!("a scan on the path has a tape"),
        Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Bitcast(_)
        | Op::Threefry
        | Op::StopGradient
        | Op::WindowArgMax(_)
        | Op::ArgMax { .. }
        | Op::Sort { .. }
        | Op::Dot(_)
        | Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. }
        | Op::Cholesky
        | Op::TriangularSolve { .. }
        | Op::SymmetricEigen
        | Op::LinearSolve(_)
        | Op::FixedPoint(_)
        | Op::While(_) => refuse(),
    }
}
