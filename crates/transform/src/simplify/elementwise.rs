//! Simpler forms of element-wise operations.

use super::Rewriter;
use thalweg_graph::{Binary, Op, Tensor, Unary};

pub(super) fn rewrite<'b>(
    rewriter: &Rewriter<'b>,
    op: &Op,
    x: &[Tensor<'b>],
) -> Option<Tensor<'b>> {
    let simpler = match op {
        Op::Unary(unary) => unary_identity(rewriter, *unary, x[0]),
        Op::Binary(binary) => binary_identity(rewriter, *binary, x[0], x[1]),
        Op::Select => select(rewriter, x),
        Op::Convert(dtype) => {
            let node = rewriter.source(x[0]);
            let through = node.inputs.first().map(|&input| rewriter.builder.tensor(input));
            match (&node.op, through) {
                _ if *dtype == x[0].dtype() => Some(x[0]),
                // Out of f32 and back again.
                (Op::Convert(wide), Some(narrow))
                    if narrow.dtype() == *dtype
                        && dtype.is_float()
                        && wide.size() > dtype.size()
                        && wide.is_float() =>
                {
                    Some(narrow)
                }
                _ => None,
            }
        }
        Op::Bitcast(dtype) if *dtype == x[0].dtype() => Some(x[0]),
        _ => None,
    };
    simpler.or_else(|| before_broadcast(rewriter, op, x))
}

fn unary_identity<'b>(rewriter: &Rewriter<'b>, unary: Unary, x: Tensor<'b>) -> Option<Tensor<'b>> {
    let node = rewriter.source(x);
    let undone = match unary {
        Unary::Negate | Unary::Not => node.op == Op::Unary(unary),
        _ => false,
    };
    undone.then(|| rewriter.builder.tensor(node.inputs[0]))
}

/// The value of which this is the negative, stretched or not.
fn negated<'b>(rewriter: &Rewriter<'b>, x: Tensor<'b>) -> Option<Tensor<'b>> {
    let node = rewriter.source(x);
    let inner = || rewriter.builder.tensor(node.inputs[0]);
    match &node.op {
        Op::Unary(Unary::Negate) => Some(inner()),
        Op::Broadcast { .. } => {
            let narrow = negated(rewriter, inner())?;
            Some(rewriter.emit(node.op.clone(), &[narrow]))
        }
        _ => None,
    }
}

fn binary_identity<'b>(
    rewriter: &Rewriter<'b>,
    binary: Binary,
    a: Tensor<'b>,
    b: Tensor<'b>,
) -> Option<Tensor<'b>> {
    let (left, right) = (rewriter.uniform(a), rewriter.uniform(b));
    let emit = |binary: Binary, a: Tensor<'b>, b: Tensor<'b>| {
        Some(rewriter.emit(Op::Binary(binary), &[a, b]))
    };
    match binary {
        Binary::Add if right == Some(0.0) => Some(a),
        Binary::Add if left == Some(0.0) => Some(b),
        Binary::Add => match (negated(rewriter, a), negated(rewriter, b)) {
            (_, Some(b)) => emit(Binary::Subtract, a, b),
            (Some(a), None) => emit(Binary::Subtract, b, a),
            (None, None) => None,
        },
        Binary::Subtract if right == Some(0.0) => Some(a),
        Binary::Subtract => emit(Binary::Add, a, negated(rewriter, b)?),
        Binary::Multiply if right == Some(1.0) => Some(a),
        Binary::Multiply if left == Some(1.0) => Some(b),
        Binary::Divide if right == Some(1.0) => Some(a),
        Binary::Multiply | Binary::Divide => {
            let (a, b) = (negated(rewriter, a)?, negated(rewriter, b)?);
            emit(binary, a, b)
        }
        Binary::Power if right == Some(1.0) => Some(a),
        Binary::Power if right == Some(2.0) => emit(Binary::Multiply, a, a),
        Binary::Power if right == Some(-1.0) => {
            let one = rewriter.builder.full(&a.ty(), 1.0);
            emit(Binary::Divide, one, a)
        }
        Binary::And | Binary::Or if a.dtype() == thalweg_graph::DType::Bool => {
            // The neutral value of `and` is true, the other one decides; of `or` the reverse.
            let neutral = if binary == Binary::And { 1.0 } else { 0.0 };
            match (left, right) {
                _ if a.value() == b.value() => Some(a),
                (Some(left), _) => Some(if left == neutral { b } else { a }),
                (_, Some(right)) => Some(if right == neutral { a } else { b }),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

fn select<'b>(rewriter: &Rewriter<'b>, x: &[Tensor<'b>]) -> Option<Tensor<'b>> {
    let &[condition, on_true, on_false] = x else { return None };
    if on_true.value() == on_false.value() {
        return Some(on_true);
    }
    if let Some(condition) = rewriter.uniform(condition) {
        return Some(if condition != 0.0 { on_true } else { on_false });
    }
    let node = rewriter.source(condition);
    (node.op == Op::Unary(Unary::Not)).then(|| {
        let condition = rewriter.builder.tensor(node.inputs[0]);
        rewriter.emit(Op::Select, &[condition, on_false, on_true])
    })
}

/// An operation on operands that were all stretched alike is done before they are.
fn before_broadcast<'b>(rewriter: &Rewriter<'b>, op: &Op, x: &[Tensor<'b>]) -> Option<Tensor<'b>> {
    let shape = x.first()?.shape();
    let (first, axes) = rewriter.broadcast(x[0])?;
    let narrow = first.shape();
    if narrow.iter().product::<usize>() >= shape.iter().product() {
        return None;
    }
    let mut operands = vec![first];
    for &other in &x[1..] {
        let (operand, others) = rewriter.broadcast(other)?;
        if others != axes || operand.shape() != narrow {
            return None;
        }
        operands.push(operand);
    }
    let result = rewriter.emit(op.clone(), &operands);
    Some(rewriter.emit(Op::Broadcast { shape, axes }, &[result]))
}
