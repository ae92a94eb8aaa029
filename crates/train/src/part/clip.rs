//! Clipping by the global norm.

use super::{HyperParameter, StepContext, Transformation, global_norm};
use thalweg_graph::Tensor;

/// `u min(1, clip / |u|)`, the norm being that of all parameters' updates together.
///
/// # Deviations  PyTorch's `clip_grad_norm_` divides by `|u| + 1e-6`; here nothing is added.
/// # Source      Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural
/// networks, 2013, arXiv 1211.5063, algorithm 1
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipByGlobalNorm {
    /// The usual value of `clip`.
    pub clip: f64,
}

impl Transformation for ClipByGlobalNorm {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "clip", default: self.clip }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        _: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let clip = step.hyper("clip");
        let norm = global_norm(step.builder, &updates);
        let above = norm.greater(clip);
        let factor = above.select(clip / above.select(norm, clip), step.builder.scalar(1.0));
        (updates.into_iter().map(|update| update * factor).collect(), Vec::new())
    }
}
