//! Batching of gathers, scatters and dynamic slices.

use crate::vmap::{Rule, Slot};
use thalweg_graph::{DType, GatherAxes, Op, Tensor};

/// Indices of one's own into a shared operand are more indices; otherwise the members' axis is one
/// more batch axis.
pub(super) fn gather<'b>(rule: &Rule<'_, 'b>, axes: GatherAxes) -> Tensor<'b> {
    let (operand, indices) = (rule.operands[0], rule.operands[1]);
    if operand.batched {
        let axes = GatherAxes { batch: axes.batch + 1, ..axes };
        return rule.emit_one(Op::Gather(axes), &rule.stretched());
    }
    let indices = indices.tensor.move_axis(0, axes.batch);
    let picked = rule.emit_one(Op::Gather(axes), &[operand.tensor, indices]);
    picked.move_axis(axes.batch, 0)
}

pub(super) fn scatter_add<'b>(rule: &Rule<'_, 'b>, axes: GatherAxes) -> Tensor<'b> {
    let axes = GatherAxes { batch: axes.batch + 1, ..axes };
    rule.emit_one(Op::ScatterAdd(axes), &rule.stretched())
}

/// Starts that all members share slice as before; along the axes whose start is each member's own,
/// the elements are gathered.
pub(super) fn dynamic_slice<'b>(rule: &Rule<'_, 'b>, sizes: &[usize]) -> Slot<'b> {
    let (operand, starts) = (rule.operands[0], &rule.operands[1..]);
    let extents = operand.member_type().shape;
    // A slice as long as its axis starts at zero whatever is asked for.
    let own = |axis: usize| starts[axis].batched && sizes[axis] < extents[axis];
    let zero = |axis: usize| rule.builder.scalar_of(starts[axis].tensor.dtype(), 0.0);
    let mut shared_starts: Vec<Tensor<'b>> = (0..sizes.len())
        .map(|axis| if starts[axis].batched { zero(axis) } else { starts[axis].tensor })
        .collect();
    let mut shared_sizes: Vec<usize> =
        (0..sizes.len()).map(|axis| if own(axis) { extents[axis] } else { sizes[axis] }).collect();
    if operand.batched {
        shared_starts.insert(0, rule.builder.scalar_of(DType::I32, 0.0));
        shared_sizes.insert(0, rule.size);
    }
    let moves = shared_sizes != operand.tensor.shape();
    let mut result = match moves {
        true => {
            Slot { tensor: operand.tensor.dynamic_slice(&shared_starts, &shared_sizes), ..operand }
        }
        false => operand,
    };
    for axis in (0..sizes.len()).filter(|&axis| own(axis)) {
        let first = clamped(starts[axis].tensor, extents[axis] - sizes[axis]);
        let grid = [rule.size, sizes[axis]];
        let places = first.broadcast_in(&grid, &[0]) + rule.builder.iota(first.dtype(), &grid, 1);
        result = Slot::batched(pick(result, places, axis));
    }
    result
}

/// Every place asks whether the update covers it, and takes the update's element or keeps its own.
pub(super) fn dynamic_update_slice<'b>(rule: &Rule<'_, 'b>) -> Tensor<'b> {
    let (operand, update, starts) = (rule.operands[0], rule.operands[1], &rule.operands[2..]);
    let stretched = operand.stretched(rule.size);
    if !starts.iter().any(|start| start.batched) {
        let first = rule.builder.scalar_of(DType::I32, 0.0);
        let starts: Vec<_> =
            [first].into_iter().chain(starts.iter().map(|start| start.tensor)).collect();
        return stretched.dynamic_update_slice(update.stretched(rule.size), &starts);
    }
    let (extents, sizes) = (operand.member_type().shape, update.member_type().shape);
    let shape = stretched.shape();
    let mut picked = update;
    let mut covered: Option<Tensor<'b>> = None;
    for axis in (0..sizes.len()).filter(|&axis| sizes[axis] < extents[axis]) {
        let start = clamped(starts[axis].stretched(rule.size), extents[axis] - sizes[axis]);
        let grid = [rule.size, extents[axis]];
        let places = rule.builder.iota(start.dtype(), &grid, 1);
        let start = start.broadcast_in(&grid, &[0]);
        // Before the start a difference of unsigned numbers wraps round to a large one.
        let place = places - start;
        let inside = places.greater_equal(start).and(place.less(sizes[axis] as f64));
        picked = Slot::batched(pick(picked, place, axis));
        let inside = inside.broadcast_in(&shape, &[0, axis + 1]);
        covered = Some(covered.map_or(inside, |covered| covered.and(inside)));
    }
    let picked = picked.stretched(rule.size);
    covered.map_or(picked, |covered| covered.select(picked, stretched))
}

/// Elements `places [member, n]` along an axis, which becomes `n` long.
fn pick<'b>(operand: Slot<'b>, places: Tensor<'b>, axis: usize) -> Tensor<'b> {
    let batch = usize::from(operand.batched);
    operand
        .tensor
        .move_axis(axis + batch, batch)
        .gather(places, GatherAxes { batch, trailing: 0 })
        .move_axis(1, axis + 1)
}

/// A start moved to where the slice fits.
fn clamped(start: Tensor<'_>, last: usize) -> Tensor<'_> {
    start.maximum(0.0).minimum(last as f64)
}
