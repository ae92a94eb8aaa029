//! Simpler forms of operations that move elements, and of reductions of nothing.

use super::{Rewriter, sums};
use thalweg_graph::{Op, Reduction, Tensor};

pub(super) fn rewrite<'b>(
    rewriter: &Rewriter<'b>,
    op: &Op,
    x: &[Tensor<'b>],
) -> Option<Tensor<'b>> {
    let operand = *x.first()?;
    let shape = operand.shape();
    match op {
        Op::Broadcast { shape: to, axes } => {
            if *to == shape && axes.iter().copied().eq(0..to.len()) {
                return Some(operand);
            }
            let (inner, first) = match rewriter.broadcast(operand) {
                Some(inner) => inner,
                None => widened(rewriter, operand, &shape)?,
            };
            let axes = first.iter().map(|&axis| axes[axis]).collect();
            Some(rewriter.emit(Op::Broadcast { shape: to.clone(), axes }, &[inner]))
        }
        Op::Reshape { shape: to } => reshape(rewriter, operand, &shape, to),
        Op::Transpose { permutation } => transpose(rewriter, operand, &shape, permutation),
        Op::Slice { start, limit, stride } => {
            slice(rewriter, operand, &shape, [start, limit, stride])
        }
        Op::Pad { low, high, interior } => {
            let nothing = |amounts: &[usize]| amounts.iter().all(|&amount| amount == 0);
            let inside = interior.iter().zip(&shape).all(|(&gap, &extent)| gap == 0 || extent <= 1);
            (nothing(low) && nothing(high) && inside).then_some(operand)
        }
        Op::Concatenate { axis } => concatenate(rewriter, x, *axis),
        Op::Reverse { axes } => {
            let turned: Vec<usize> = axes.iter().copied().filter(|&axis| shape[axis] > 1).collect();
            if turned.is_empty() {
                return Some(operand);
            }
            let node = rewriter.source(operand);
            match &node.op {
                Op::Reverse { axes: before } if same_axes(before, &turned) => {
                    Some(rewriter.builder.tensor(node.inputs[0]))
                }
                _ if turned.len() < axes.len() => {
                    Some(rewriter.emit(Op::Reverse { axes: turned }, x))
                }
                _ => None,
            }
        }
        Op::DynamicSlice { sizes } => (*sizes == shape).then_some(operand),
        Op::DynamicUpdateSlice => (x[1].shape() == shape).then_some(x[1]),
        Op::Reduce { kind, axes } => reduce(rewriter, operand, &shape, *kind, axes),
        Op::CumulativeSum { axis, .. } => (shape[*axis] <= 1).then_some(operand),
        _ => None,
    }
}

/// The operand of a reshape that only put in axes of extent one, and where its own axes went.
fn widened<'b>(
    rewriter: &Rewriter<'b>,
    tensor: Tensor<'b>,
    shape: &[usize],
) -> Option<(Tensor<'b>, Vec<usize>)> {
    let node = rewriter.source(tensor);
    if !matches!(node.op, Op::Reshape { .. }) {
        return None;
    }
    let inner = rewriter.builder.tensor(node.inputs[0]);
    let axes: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] != 1).collect();
    let same = inner.shape().iter().copied().eq(axes.iter().map(|&axis| shape[axis]));
    same.then_some((inner, axes))
}

fn same_axes(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().all(|axis| b.contains(axis))
}

fn reshape<'b>(
    rewriter: &Rewriter<'b>,
    operand: Tensor<'b>,
    from: &[usize],
    to: &[usize],
) -> Option<Tensor<'b>> {
    if from == to {
        return Some(operand);
    }
    let node = rewriter.source(operand);
    let inner = |output: usize| rewriter.builder.tensor(node.inputs[output]);
    match &node.op {
        Op::Reshape { .. } => Some(rewriter.emit(Op::Reshape { shape: to.to_vec() }, &[inner(0)])),
        // One element, wherever it stands.
        Op::Broadcast { .. } if inner(0).shape().iter().product::<usize>() == 1 => {
            let scalar = rewriter.emit(Op::Reshape { shape: Vec::new() }, &[inner(0)]);
            let op = Op::Broadcast { shape: to.to_vec(), axes: Vec::new() };
            Some(rewriter.emit(op, &[scalar]))
        }
        Op::Constant(array) => Some(rewriter.builder.constant(array.reshape(to).ok()?)),
        _ => None,
    }
}

fn transpose<'b>(
    rewriter: &Rewriter<'b>,
    operand: Tensor<'b>,
    shape: &[usize],
    permutation: &[usize],
) -> Option<Tensor<'b>> {
    if permutation.iter().copied().eq(0..shape.len()) {
        return Some(operand);
    }
    // Axes of more than one element that keep their order keep the elements where they are.
    let moved: Vec<usize> = permutation.iter().copied().filter(|&axis| shape[axis] != 1).collect();
    if moved.windows(2).all(|pair| pair[0] < pair[1]) {
        let to = permutation.iter().map(|&axis| shape[axis]).collect();
        return Some(rewriter.emit(Op::Reshape { shape: to }, &[operand]));
    }
    let node = rewriter.source(operand);
    let inner = || rewriter.builder.tensor(node.inputs[0]);
    match &node.op {
        Op::Transpose { permutation: first } => {
            let permutation = permutation.iter().map(|&axis| first[axis]).collect();
            Some(rewriter.emit(Op::Transpose { permutation }, &[inner()]))
        }
        // The narrow operand is moved instead of the wide result.
        Op::Broadcast { axes, .. } => {
            let to: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
            let (mut order, mut places) = (Vec::new(), Vec::new());
            for (place, axis) in permutation.iter().enumerate() {
                if let Some(of) = axes.iter().position(|taken| taken == axis) {
                    order.push(of);
                    places.push(place);
                }
            }
            let narrow = rewriter.emit(Op::Transpose { permutation: order }, &[inner()]);
            Some(rewriter.emit(Op::Broadcast { shape: to, axes: places }, &[narrow]))
        }
        _ => None,
    }
}

fn slice<'b>(
    rewriter: &Rewriter<'b>,
    operand: Tensor<'b>,
    shape: &[usize],
    [start, limit, stride]: [&[usize]; 3],
) -> Option<Tensor<'b>> {
    let rank = shape.len();
    let extents: Vec<usize> =
        (0..rank).map(|axis| (limit[axis] - start[axis]).div_ceil(stride[axis])).collect();
    if extents == shape {
        return Some(operand);
    }
    let node = rewriter.source(operand);
    let inner = |i: usize| rewriter.builder.tensor(node.inputs[i]);
    match &node.op {
        Op::Slice { start: first, stride: step, .. } if !extents.contains(&0) => {
            let from: Vec<usize> =
                (0..rank).map(|axis| first[axis] + start[axis] * step[axis]).collect();
            let by: Vec<usize> = (0..rank).map(|axis| stride[axis] * step[axis]).collect();
            let to =
                (0..rank).map(|axis| from[axis] + (extents[axis] - 1) * by[axis] + 1).collect();
            Some(rewriter.emit(Op::Slice { start: from, limit: to, stride: by }, &[inner(0)]))
        }
        Op::Broadcast { .. } if inner(0).rank() == 0 => {
            Some(rewriter.emit(Op::Broadcast { shape: extents, axes: Vec::new() }, &[inner(0)]))
        }
        // A slice within one of the parts.
        Op::Concatenate { axis } if !extents.contains(&0) => {
            let mut before = 0;
            for i in 0..node.inputs.len() {
                let part = inner(i);
                let extent = part.shape()[*axis];
                let last = start[*axis] + (extents[*axis] - 1) * stride[*axis];
                if start[*axis] >= before && last < before + extent {
                    let (mut start, mut limit) = (start.to_vec(), limit.to_vec());
                    start[*axis] -= before;
                    limit[*axis] = (limit[*axis] - before).min(extent);
                    let op = Op::Slice { start, limit, stride: stride.to_vec() };
                    return Some(rewriter.emit(op, &[part]));
                }
                before += extent;
            }
            None
        }
        _ => None,
    }
}

fn concatenate<'b>(rewriter: &Rewriter<'b>, x: &[Tensor<'b>], axis: usize) -> Option<Tensor<'b>> {
    let parts: Vec<Tensor<'b>> = x.iter().copied().filter(|part| part.shape()[axis] > 0).collect();
    match parts[..] {
        [only] => Some(only),
        [] => Some(x[0]),
        _ if parts.len() < x.len() => Some(rewriter.emit(Op::Concatenate { axis }, &parts)),
        _ => None,
    }
}

fn reduce<'b>(
    rewriter: &Rewriter<'b>,
    operand: Tensor<'b>,
    shape: &[usize],
    kind: Reduction,
    axes: &[usize],
) -> Option<Tensor<'b>> {
    let left: Vec<usize> =
        (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    if axes.iter().all(|&axis| shape[axis] == 1) {
        return Some(rewriter.emit(Op::Reshape { shape: left }, &[operand]));
    }
    if kind == Reduction::Sum
        && let Some(sum) = sums::rewrite(rewriter, operand, axes)
    {
        return Some(sum);
    }
    // Of one value, all alike: the largest is that value, and a sum of zeros is zero.
    let some = axes.iter().all(|&axis| shape[axis] > 0);
    let (inner, _) = rewriter.broadcast(operand)?;
    let idempotent = match kind {
        Reduction::Sum => rewriter.uniform(operand) == Some(0.0),
        Reduction::Max | Reduction::Min | Reduction::All | Reduction::Any => true,
    };
    (idempotent && some && inner.rank() == 0)
        .then(|| rewriter.emit(Op::Broadcast { shape: left, axes: Vec::new() }, &[inner]))
}
