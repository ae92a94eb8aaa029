//! Sharpness-aware minimisation.

use super::{Evaluated, GradientRule, HyperParameter, Objective, StepContext, global_norm};

/// The gradient at `w + rho g / |g|`, where `g` is the gradient at `w` on the same batch with the
/// same draws.
///
/// Loss, outputs and buffers are those at `w`. The ascent is not differentiated, as in the paper's
/// equation 3; where `g` is zero there is none. `rho = 0` is the plain gradient.
///
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, 2021, arXiv
/// 2010.01412, algorithm 1
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sam {
    /// The usual value of `rho`.
    pub rho: f64,
}

impl GradientRule for Sam {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        vec![HyperParameter { name: "rho", default: self.rho }]
    }

    fn evaluate<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        objective: &Objective<'_, 'b>,
    ) -> Evaluated<'b> {
        let here = objective(step.parameters);
        let norm = global_norm(step.builder, &here.gradient);
        let zero = norm.equal(0.0);
        let scale = zero.select(norm, step.hyper("rho") / zero.select(1.0, norm));
        let ascended: Vec<_> =
            step.parameters.iter().zip(&here.gradient).map(|(&w, &g)| w + scale * g).collect();
        Evaluated { gradient: objective(&ascended).gradient, ..here }
    }
}
