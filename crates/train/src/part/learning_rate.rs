//! The learning rate.

use super::{HyperParameter, StepContext, Transformation};
use thalweg_graph::Tensor;

/// `-(lr factor) u`, with the schedule's factor and the parameter's own multiplier: the last part
/// of a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByLearningRate {
    /// The usual value of `lr`.
    pub lr: f64,
}

impl Transformation for ScaleByLearningRate {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "lr", default: self.lr }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        _: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let rate = -(step.hyper("lr") * step.factor);
        let parts = updates.into_iter().zip(step.descriptions);
        let scaled = parts.map(|(update, p)| match p.multipliers.learning_rate {
            1.0 => update * rate,
            multiplier => update * (rate * multiplier),
        });
        (scaled.collect(), Vec::new())
    }
}
