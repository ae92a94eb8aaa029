//! Tangents of reductions.

use thalweg_graph::{Reduction, Tensor};

/// The tangent of `y = reduce(x)` along `t`.
pub(super) fn reduce<'b>(
    kind: Reduction,
    axes: &[usize],
    x: Tensor<'b>,
    t: Tensor<'b>,
    y: Tensor<'b>,
) -> Option<Tensor<'b>> {
    match kind {
        Reduction::Sum => Some(t.sum(axes)),
        Reduction::Max | Reduction::Min => {
            let shape = x.shape();
            if axes.iter().any(|&axis| shape[axis] == 0) {
                return None;
            }
            // The mean over the elements that are largest.
            let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
            let chosen = x.equal(y.broadcast_in(&shape, &kept));
            let count = chosen.convert(x.dtype()).sum(axes);
            Some(chosen.select(t, t.zeros_like()).sum(axes) / count)
        }
        Reduction::All | Reduction::Any => None,
    }
}
