//! Rules of operations that move elements, where shifting axes is not enough.

use super::rule::Rule;
use super::{Item, prepend};
use thalweg_graph::{DType, GatherAxes, Op, Tensor};

/// A fill of its own for each member is put in by a mask: bits are copied, not added.
pub(super) fn pad<'b>(
    rule: &Rule<'b, '_>,
    x: Item<'b>,
    fill: Item<'b>,
    amounts: [&[usize]; 3],
) -> Tensor<'b> {
    let builder = rule.builder;
    let [low, high, interior] = amounts;
    let plain = Op::Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() };
    let wide = || Op::Pad {
        low: prepend(0, low),
        high: prepend(0, high),
        interior: prepend(0, interior),
    };
    if !fill.batched {
        return rule.emit_one(wide(), &[x.full(rule.size), fill.tensor]);
    }
    let zero = builder.scalar_of(x.tensor.dtype(), 0.0);
    let padded = if x.batched { wide() } else { plain.clone() };
    let padded = Item { tensor: rule.emit_one(padded, &[x.tensor, zero]), batched: x.batched };
    let yes = builder.scalar_of(DType::Bool, 1.0).broadcast_to(&x.shape());
    let inside = rule.emit_one(plain, &[yes, builder.scalar_of(DType::Bool, 0.0)]);
    let padded = padded.full(rule.size);
    let fill = fill.tensor.broadcast_in(&padded.shape(), &[0]);
    rule.emit_one(Op::Select, &[Item::shared(inside).full(rule.size), padded, fill])
}

/// A start as the operation takes it: such that `size` elements fit into `extent`.
fn clamped<'b>(start: Item<'b>, extent: usize, size: usize) -> Item<'b> {
    let last = (extent - size) as f64;
    Item { tensor: start.tensor.maximum(0.0).minimum(last), ..start }
}

/// `[Q, n]`: each member's number and `0..n` counted from it.
fn counted_from<'b>(rule: &Rule<'b, '_>, start: Tensor<'b>, n: usize) -> Tensor<'b> {
    let shape = [rule.size, n];
    rule.builder.iota(start.dtype(), &shape, 1) + start.broadcast_in(&shape, &[0])
}

/// Picks along one axis of each member by indices `[Q, n]`.
fn pick<'b>(rule: &Rule<'b, '_>, x: Item<'b>, axis: usize, indices: Tensor<'b>) -> Item<'b> {
    let batch = usize::from(x.batched);
    let first = x.tensor.move_axis(axis + batch, batch);
    let axes = GatherAxes { batch, trailing: 0 };
    let picked = rule.emit_one(Op::Gather(axes), &[first, indices]);
    Item::batched(picked.move_axis(1, axis + 1))
}

/// Axes whose start is the same for all members are sliced at once, the others gathered.
pub(super) fn dynamic_slice<'b>(
    rule: &Rule<'b, '_>,
    x: Item<'b>,
    starts: &[Item<'b>],
    sizes: &[usize],
) -> Tensor<'b> {
    let shape = x.shape();
    let zero = || rule.builder.scalar_of(DType::I32, 0.0);
    let shared = |axis: usize| !starts[axis].batched;
    let mut operands = vec![x.tensor];
    let mut extents = Vec::new();
    if x.batched {
        operands.push(zero());
        extents.push(rule.size);
    }
    for axis in 0..shape.len() {
        operands.push(if shared(axis) { starts[axis].tensor } else { zero() });
        extents.push(if shared(axis) { sizes[axis] } else { shape[axis] });
    }
    let mut result = x;
    if extents != x.tensor.shape() {
        result.tensor = rule.emit_one(Op::DynamicSlice { sizes: extents }, &operands);
    }
    for axis in (0..shape.len()).filter(|&axis| !shared(axis) && sizes[axis] != shape[axis]) {
        let start = clamped(starts[axis], shape[axis], sizes[axis]);
        let indices = counted_from(rule, start.tensor, sizes[axis]);
        result = pick(rule, result, axis, indices);
    }
    result.full(rule.size)
}

/// With a start of its own for each member, an element is the update's where it lies inside the
/// update, and the operand's elsewhere.
pub(super) fn dynamic_update_slice<'b>(
    rule: &Rule<'b, '_>,
    x: Item<'b>,
    update: Item<'b>,
    starts: &[Item<'b>],
) -> Tensor<'b> {
    let builder = rule.builder;
    let [wide, narrow] = [x.full(rule.size), update.full(rule.size)];
    if starts.iter().all(|start| !start.batched) {
        let mut operands = vec![wide, narrow, builder.scalar_of(DType::I32, 0.0)];
        operands.extend(starts.iter().map(|start| start.tensor));
        return rule.emit_one(Op::DynamicUpdateSlice, &operands);
    }
    let (shape, sizes) = (x.shape(), update.shape());
    let mut moved = update;
    let mut inside: Option<Tensor<'b>> = None;
    for axis in (0..shape.len()).filter(|&axis| sizes[axis] != shape[axis]) {
        let start = clamped(starts[axis], shape[axis], sizes[axis]).full(rule.size);
        let line = [rule.size, shape[axis]];
        let first = start.broadcast_in(&line, &[0]);
        let place = builder.iota(start.dtype(), &line, 1);
        // Unsigned numbers wrap around before the start, and are then outside by far.
        let at = place - first;
        let here = place.greater_equal(first).and(at.less(sizes[axis] as f64));
        let here = here.broadcast_in(&wide.shape(), &[0, axis + 1]);
        inside = Some(inside.map_or(here, |inside| inside.and(here)));
        moved = pick(rule, moved, axis, at);
    }
    match inside {
        Some(inside) => rule.emit_one(Op::Select, &[inside, moved.full(rule.size), wide]),
        None => narrow,
    }
}

/// A batch axis of both operands is matched; the operand's own goes beside the axes that come
/// along, the indices' own beside the axes that are asked for.
pub(super) fn gather<'b>(
    rule: &Rule<'b, '_>,
    x: Item<'b>,
    indices: Item<'b>,
    axes: GatherAxes,
) -> Tensor<'b> {
    let GatherAxes { batch, trailing } = axes;
    match (x.batched, indices.batched) {
        (true, true) => {
            let axes = GatherAxes { batch: batch + 1, trailing };
            rule.emit_one(Op::Gather(axes), &[x.tensor, indices.tensor])
        }
        (true, false) => {
            let x = x.tensor.move_axis(0, batch + 1);
            let result = rule.emit_one(Op::Gather(axes), &[x, indices.tensor]);
            result.move_axis(indices.rank() - trailing, 0)
        }
        (false, _) => {
            let indices = indices.tensor.move_axis(0, batch);
            rule.emit_one(Op::Gather(axes), &[x.tensor, indices]).move_axis(batch, 0)
        }
    }
}

/// As [`gather`]; with indices of their own every operand has the batch axis.
pub(super) fn scatter_add<'b>(
    rule: &Rule<'b, '_>,
    operands: [Item<'b>; 3],
    axes: GatherAxes,
) -> Tensor<'b> {
    let [x, indices, updates] = operands;
    let GatherAxes { batch, trailing } = axes;
    if indices.batched {
        let axes = GatherAxes { batch: batch + 1, trailing };
        return rule.emit_one(Op::ScatterAdd(axes), &rule.full(&operands));
    }
    let x = x.full(rule.size).move_axis(0, batch + 1);
    let updates = updates.full(rule.size).move_axis(0, indices.rank() - trailing);
    let result = rule.emit_one(Op::ScatterAdd(axes), &[x, indices.tensor, updates]);
    result.move_axis(batch + 1, 0)
}
