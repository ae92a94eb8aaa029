//! Root-mean-square normalisation.

use super::last_extent;
use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `y = x / sqrt(mean of x^2 + eps) * weight`, the mean over the last axis of each position.
///
/// # Shapes    x `[.., units]` -> the same; weight `[units]`
/// # Source    Zhang, Sennrich, Root mean square layer normalization, 2019, arXiv 1910.07467;
/// eps is that of the LLaMA code, where PyTorch takes the type's machine epsilon
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// Added to the mean of squares.
    pub eps: f64,
}

impl Default for RmsNorm {
    fn default() -> RmsNorm {
        RmsNorm { eps: 1e-6 }
    }
}

impl Layer for RmsNorm {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = [last_extent("rms_norm", x)];
        let one = Initializer::Constant(1.0);
        let axes = [Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::NormScale, &axes, one);
        let axis = [x.rank().saturating_sub(1)];
        let mean_square = x.square().mean(&axis).keep(&axis);
        x * (mean_square + self.eps).rsqrt() * scope.parameter(weight)
    }
}
