//! Adaptive sharpness, weight by weight.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveSharpnessConfig {
    /// The radius, in the units of each weight.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
}

impl Default for AdaptiveSharpnessConfig {
    fn default() -> AdaptiveSharpnessConfig {
        AdaptiveSharpnessConfig { rho: 0.5, steps: 1 }
    }
}

/// How much the loss rises over a step of length `rho`, each weight in units of its absolute value.
///
/// `max over |T^-1 e|_2 <= rho of L(w + e) - L(w)` with `T = diag(|w|)`, to first order at
/// `e = rho T^2 g / |T g|`: definition 2 and equation 6 with the whole objective as batch. A
/// rescaling of weights that leaves the function as it is moves `T` with it.
///
/// # Deviations    no `eta` is added to `T`, which would make it see rescalings; biases have units
/// as well, where the authors' code moves them like SAM
/// # Source    Kwon, Kim, Park, Choi, ASAM: adaptive sharpness-aware minimization for
/// scale-invariant learning of deep neural networks, 2021, arXiv 2102.11600
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveSharpness;

impl Instrument for AdaptiveSharpness {
    const ID: &'static str = "adaptive_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho along the gradient, each weight in units of itself";
    const SOURCE: &'static str = "Kwon et al. 2021, arXiv 2102.11600";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
    ];
    type Config = AdaptiveSharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &AdaptiveSharpnessConfig,
    ) -> Result<Rise, MethodError> {
        let config = AscentConfig {
            norm: Norm::L2,
            scaling: Scaling::Elementwise,
            rho: config.rho,
            steps: config.steps,
            ascent: Ascent::Straight,
        };
        ascend(ctx, objective, point, &config)
    }

    fn cost(config: &AdaptiveSharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<AdaptiveSharpnessConfig> {
        let usual = AdaptiveSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| AdaptiveSharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![AdaptiveSharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
