//! Layer normalisation.

use super::{last_extent, scale_and_shift};
use crate::model::Layer;
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, mean and biased variance over the last
/// axis of each position.
///
/// # Shapes    x `[.., units]` -> the same; parameters `[units]`
/// # Source    Ba, Kiros, Hinton, Layer normalization, 2016, arXiv 1607.06450
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f64,
}

impl Default for LayerNorm {
    fn default() -> LayerNorm {
        LayerNorm { eps: 1e-5 }
    }
}

impl Layer for LayerNorm {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let units = last_extent("layer_norm", x);
        let [weight, bias] = scale_and_shift(scope, units);
        let axis = [x.rank().saturating_sub(1)];
        let centred = x - x.mean(&axis).keep(&axis);
        let variance = centred.square().mean(&axis).keep(&axis);
        centred * (variance + self.eps).rsqrt() * weight + bias
    }
}
