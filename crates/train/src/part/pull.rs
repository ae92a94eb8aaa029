//! A pull of normalisations' scales and shifts to where they began.

use super::{HyperParameter, StepContext, Transformation};
use thalweg_graph::Tensor;
use thalweg_nn::Role;

/// `u - lr factor strength (s - 1)` for the scales of normalisations and `u - lr factor strength m`
/// for their shifts: decoupled weight decay towards the identity. It stands behind the learning rate.
///
/// # Source    Lyle et al., Normalization and effective learning rates in reinforcement learning,
/// 2024, arXiv 2407.01800
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PullAffine {
    /// The usual value of `affine_decay`.
    pub strength: f64,
}

impl Transformation for PullAffine {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "affine_decay", default: self.strength }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        _: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let share = step.hyper("lr") * step.factor * step.hyper("affine_decay");
        let parts = updates.into_iter().zip(step.parameters).zip(step.descriptions);
        let pulled = parts.map(|((update, &w), description)| match description.role {
            Role::NormScale => update - (w - 1.0) * share,
            Role::NormShift => update - w * share,
            Role::Weight | Role::Bias | Role::Embedding => update,
        });
        (pulled.collect(), Vec::new())
    }
}
