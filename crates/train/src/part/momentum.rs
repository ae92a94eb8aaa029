//! Momentum.

use super::{HyperParameter, Slot, StepContext, Transformation};
use thalweg_graph::Tensor;

/// `m' = momentum m + g`; the update is `m'`, with Nesterov's look-ahead `g + momentum m'`.
///
/// PyTorch's form with dampening 0: the learning rate comes after the buffer, which starts at
/// zero.
///
/// # Source    Sutskever et al., On the importance of initialization and momentum in deep
/// learning, 2013
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// The usual value of `momentum`.
    pub momentum: f64,
    /// Whether the update looks ahead.
    pub nesterov: bool,
}

impl Transformation for Momentum {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "momentum", default: self.momentum }]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "momentum", initial: 0.0 }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        state: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let momentum = step.hyper("momentum");
        let buffers: Vec<_> =
            updates.iter().zip(&state[0]).map(|(&g, &m)| momentum * m + g).collect();
        let updates = match self.nesterov {
            false => buffers.clone(),
            true => updates.iter().zip(&buffers).map(|(&g, &m)| g + momentum * m).collect(),
        };
        (updates, vec![buffers])
    }
}
