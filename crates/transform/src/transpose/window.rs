//! Transpose of the sum over windows.

use thalweg_graph::{Tensor, Window};

/// Each element gets the sum of the cotangents of the windows that hold it: the cotangents are
/// spread out to the windows' first positions, and summed over the windows turned round.
pub(super) fn window_sum<'b>(operand: Tensor<'b>, window: &Window, ct: Tensor<'b>) -> Tensor<'b> {
    let shape = operand.shape();
    if shape.contains(&0) {
        return operand.zeros_like();
    }
    let rank = shape.len();
    let tiles = (0..rank).all(|axis| {
        window.size[axis] == window.stride[axis]
            && window.dilation[axis] == 1
            && window.padding[axis] == (0, 0)
    });
    if tiles {
        return untile(&shape, &window.size, ct);
    }
    let n_windows = ct.shape();
    let interior: Vec<usize> = window.stride.iter().map(|stride| stride - 1).collect();
    let spread = ct.pad(0.0, &vec![0; rank], &vec![0; rank], &interior);
    // Before the first element stands room for the windows that begin in the padding; where the
    // padding is wider than a window's reach, windows lie in it altogether and are cut off.
    let (mut start, mut limit) = (vec![0; rank], spread.shape());
    let mut padding = vec![(0, 0); rank];
    for axis in 0..rank {
        let reach = (window.size[axis] - 1) * window.dilation[axis];
        let low = window.padding[axis].0;
        let last_window = (n_windows[axis] - 1) * window.stride[axis];
        let last_needed = shape[axis] - 1 + low;
        start[axis] = low.saturating_sub(reach);
        limit[axis] -= last_window.saturating_sub(last_needed).min(limit[axis]);
        padding[axis] = (reach.saturating_sub(low), last_needed.saturating_sub(last_window));
        if start[axis] >= limit[axis] {
            return operand.zeros_like();
        }
    }
    let spread = spread.slice_all(&start, &limit, &vec![1; rank]);
    spread.window_sum(&Window {
        size: window.size.clone(),
        stride: vec![1; rank],
        padding,
        dilation: window.dilation.clone(),
    })
}

/// Windows side by side without overlap: every element is in one, or in none at the end.
fn untile<'b>(shape: &[usize], size: &[usize], ct: Tensor<'b>) -> Tensor<'b> {
    let n_windows = ct.shape();
    let pairs: Vec<usize> =
        n_windows.iter().zip(size).flat_map(|(&windows, &size)| [windows, size]).collect();
    let covered: Vec<usize> = n_windows.iter().zip(size).map(|(n, size)| n * size).collect();
    let whole: Vec<usize> = (0..n_windows.len()).map(|axis| 2 * axis).collect();
    let high: Vec<usize> = shape.iter().zip(&covered).map(|(all, covered)| all - covered).collect();
    let zeros = vec![0; shape.len()];
    ct.broadcast_in(&pairs, &whole).reshape(&covered).pad(0.0, &zeros, &high, &zeros)
}
