//! Adaptive worst-case sharpness.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveWorstSharpnessConfig {
    /// The radius, in the units of each weight.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
}

impl Default for AdaptiveWorstSharpnessConfig {
    fn default() -> AdaptiveWorstSharpnessConfig {
        AdaptiveWorstSharpnessConfig { rho: 1e-3, steps: 20 }
    }
}

/// The largest rise of the loss with every weight moved by at most a share `rho` of itself, as
/// projected gradient ascent finds it.
///
/// `max over |d / |w||_inf <= rho of L(w + d) - L(w)`: equation 1 with `c = |w|` and `p = inf`. A
/// lower bound, as all ascents give.
///
/// # Deviations    as [`super::WorstSharpness`]
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveWorstSharpness;

impl Instrument for AdaptiveWorstSharpness {
    const ID: &'static str = "adaptive_worst_sharpness";
    const SUMMARY: &'static str = "largest rise of the loss with every weight moved by at most rho of itself, by projected ascent";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
    ];
    type Config = AdaptiveWorstSharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &AdaptiveWorstSharpnessConfig,
    ) -> Result<Rise, MethodError> {
        let config = AscentConfig {
            norm: Norm::LInf,
            scaling: Scaling::Elementwise,
            rho: config.rho,
            steps: config.steps,
            ascent: Ascent::Projected,
        };
        ascend(ctx, objective, point, &config)
    }

    fn cost(config: &AdaptiveWorstSharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<AdaptiveWorstSharpnessConfig> {
        let usual = AdaptiveWorstSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| AdaptiveWorstSharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![AdaptiveWorstSharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
