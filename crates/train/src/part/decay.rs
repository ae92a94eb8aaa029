//! Weight decay.

use super::{HyperParameter, StepContext, Transformation};
use thalweg_graph::Tensor;
use thalweg_nn::{Parameter, Role};

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecayOn {
    /// All of them, as PyTorch does unless told otherwise.
    #[default]
    All,
    /// Weights and embeddings; neither biases nor scales and shifts of normalisations.
    Weights,
}

impl DecayOn {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, DecayOn); 2] =
        [("all", DecayOn::All), ("weights", DecayOn::Weights)];

    /// The factor of a parameter's decay: zero if it has none, else its own multiplier.
    pub fn factor(self, parameter: &Parameter) -> f64 {
        match (self, parameter.role) {
            (DecayOn::All, _) | (DecayOn::Weights, Role::Weight | Role::Embedding) => {
                parameter.multipliers.decay
            }
            (DecayOn::Weights, Role::Bias | Role::NormScale | Role::NormShift) => 0.0,
        }
    }
}

/// `u + weight_decay w`.
///
/// Before momentum or Adam's scaling it is the gradient of `weight_decay / 2 |w|^2` (coupled, as
/// in PyTorch's SGD and Adam); after it, just before the learning rate, it is decoupled (AdamW).
///
/// # Source    Loshchilov, Hutter, Decoupled weight decay regularization, 2019, arXiv 1711.05101
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddDecayedWeights {
    /// The usual value of `weight_decay`.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub on: DecayOn,
}

impl Transformation for AddDecayedWeights {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "weight_decay", default: self.weight_decay }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        _: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let decay = step.hyper("weight_decay");
        let parts = updates.into_iter().zip(step.parameters).zip(step.descriptions);
        let decayed = parts.map(|((update, &w), description)| match self.on.factor(description) {
            0.0 => update,
            1.0 => update + decay * w,
            factor => update + decay * factor * w,
        });
        (decayed.collect(), Vec::new())
    }
}
