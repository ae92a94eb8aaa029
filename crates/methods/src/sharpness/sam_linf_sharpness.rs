//! SAM's sharpness with every weight moved equally far.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamLinfSharpnessConfig {
    /// The radius, in the units of each weight.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
}

impl Default for SamLinfSharpnessConfig {
    fn default() -> SamLinfSharpnessConfig {
        SamLinfSharpnessConfig { rho: 1e-3, steps: 1 }
    }
}

/// How much the loss rises when every weight moves by `rho` the way its gradient points.
///
/// With one step `L(w + rho sign(g)) - L(w)`: SAM's inner maximisation with the dual exponent
/// `p = inf`, `q = 1` of its equation 2. A weight without a gradient stays.
///
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently
/// improving generalization, 2021, arXiv 2010.01412
#[derive(Clone, Copy, Debug)]
pub struct SamLinfSharpness;

impl Instrument for SamLinfSharpness {
    const ID: &'static str = "sam_linf_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho in each weight, along the gradient's signs";
    const SOURCE: &'static str = "Foret et al. 2021, arXiv 2010.01412";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation];
    type Config = SamLinfSharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &SamLinfSharpnessConfig,
    ) -> Result<Rise, MethodError> {
        let config = AscentConfig {
            norm: Norm::LInf,
            scaling: Scaling::None,
            rho: config.rho,
            steps: config.steps,
            ascent: Ascent::Straight,
        };
        ascend(ctx, objective, point, &config)
    }

    fn cost(config: &SamLinfSharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<SamLinfSharpnessConfig> {
        let usual = SamLinfSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| SamLinfSharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![SamLinfSharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
