//! Adam's scaling.

use super::{HyperParameter, Slot, StepContext, Transformation, safe_sqrt};
use thalweg_graph::Tensor;

/// `m' = beta1 m + (1 - beta1) g`, `v' = beta2 v + (1 - beta2) g^2`; the update of step `t` is
/// `(m' / (1 - beta1^t)) / (sqrt(v' / (1 - beta2^t)) + eps)`.
///
/// # Gradient  through the square root taken as zero where `v'` is zero
/// # Source    Kingma, Ba, Adam, 2015, arXiv 1412.6980, algorithm 1
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleByAdam {
    /// The usual value of `beta1`.
    pub beta1: f64,
    /// The usual value of `beta2`.
    pub beta2: f64,
    /// The usual value of `eps`.
    pub eps: f64,
}

impl Transformation for ScaleByAdam {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![
            HyperParameter { name: "beta1", default: self.beta1 },
            HyperParameter { name: "beta2", default: self.beta2 },
            HyperParameter { name: "eps", default: self.eps },
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "exp_avg", initial: 0.0 }, Slot { name: "exp_avg_sq", initial: 0.0 }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        state: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let (beta1, beta2, eps) = (step.hyper("beta1"), step.hyper("beta2"), step.hyper("eps"));
        // 1 - beta^t without cancellation.
        let correction = |beta: Tensor<'b>| -(step.count * beta.log()).expm1();
        let (correction1, correction2) = (correction(beta1), correction(beta2));
        let average =
            |beta: Tensor<'b>, old: Tensor<'b>, new: Tensor<'b>| beta * old + (1.0 - beta) * new;
        let first: Vec<_> =
            updates.iter().zip(&state[0]).map(|(&g, &m)| average(beta1, m, g)).collect();
        let second: Vec<_> =
            updates.iter().zip(&state[1]).map(|(&g, &v)| average(beta2, v, g * g)).collect();
        let scaled = first
            .iter()
            .zip(&second)
            .map(|(&m, &v)| (m / correction1) / (safe_sqrt(v / correction2) + eps))
            .collect();
        (scaled, vec![first, second])
    }
}
