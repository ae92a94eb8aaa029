//! Batching of padding and windows.

use crate::vmap::Rule;
use thalweg_graph::{DType, Op, Tensor, TensorType, Window};

/// A fill of each member's own is put in afterwards, wherever there is padding.
pub(super) fn pad<'b>(
    rule: &Rule<'_, 'b>,
    low: &[usize],
    high: &[usize],
    interior: &[usize],
) -> Tensor<'b> {
    let (operand, fill) = (rule.operands[0], rule.operands[1]);
    let builder = rule.builder;
    let front = |amounts: &[usize]| [&[0], amounts].concat();
    let op = Op::Pad { low: front(low), high: front(high), interior: front(interior) };
    let stretched = operand.stretched(rule.size);
    if !fill.batched {
        return rule.emit_one(op, &[stretched, fill.tensor]);
    }
    let padded = rule.emit_one(op, &[stretched, builder.scalar_of(stretched.dtype(), 0.0)]);
    let inside = builder.zeros(&TensorType::new(DType::Bool, operand.member_type().shape));
    let yes = builder.scalar_of(DType::Bool, 1.0);
    let padding = rule.emit_one(rule.node.op.clone(), &[inside, yes]);
    let shape = padded.shape();
    let axes: Vec<usize> = (1..shape.len()).collect();
    let padding = padding.broadcast_in(&shape, &axes);
    padding.select(fill.tensor.broadcast_in(&shape, &[0]), padded)
}

/// The same window, one member at a time.
pub(super) fn window(window: &Window) -> Window {
    let front = |values: &[usize]| [&[1], values].concat();
    Window {
        size: front(&window.size),
        stride: front(&window.stride),
        padding: [&[(0, 0)], window.padding.as_slice()].concat(),
        dilation: front(&window.dilation),
    }
}

/// The positions found count from the first member's first element; each member's own count from
/// its own.
pub(super) fn window_arg_max<'b>(rule: &Rule<'_, 'b>, of: &Window) -> Tensor<'b> {
    let operand = rule.operands[0];
    let found = rule.emit_one(Op::WindowArgMax(window(of)), &[operand.tensor]);
    let member_size = operand.member_type().element_count();
    let member = rule.builder.iota(DType::I32, &found.shape(), 0);
    found - member * member_size as f64
}
