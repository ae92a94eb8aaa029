//! Group normalisation.

use super::{last_extent, scale_and_shift};
use crate::model::Layer;
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, mean and biased variance over the
/// positions and the channels of one group, for each example.
///
/// # Shapes    x `[batch, .., channels]` -> the same; parameters `[channels]`
/// # Errors    a number of groups that does not divide the channels is refused
/// # Source    Wu, He, Group normalization, 2018, arXiv 1803.08494
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// Groups of channels, consecutive ones together.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl GroupNorm {
    /// With PyTorch's epsilon.
    pub fn new(groups: usize) -> GroupNorm {
        GroupNorm { groups, eps: 1e-5 }
    }
}

impl Layer for GroupNorm {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let channels = last_extent("group_norm", x);
        let [weight, bias] = scale_and_shift(scope, channels);
        let shape = x.shape();
        if shape.len() < 2 || self.groups == 0 || !channels.is_multiple_of(self.groups) {
            let expected = format!("[batch, .., channels] in {} groups", self.groups);
            scope.builder().reject("group_norm", expected, x.ty().to_string());
            return x;
        }
        let positions = shape[1..shape.len() - 1].iter().product();
        let grouped = x.reshape(&[shape[0], positions, self.groups, channels / self.groups]);
        let axes = [1, 3];
        let centred = grouped - grouped.mean(&axes).keep(&axes);
        let variance = centred.square().mean(&axes).keep(&axes);
        (centred * (variance + self.eps).rsqrt()).reshape(&shape) * weight + bias
    }
}
