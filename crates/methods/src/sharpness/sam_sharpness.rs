//! Sharpness as sharpness-aware minimisation sees it.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharpnessConfig {
    /// Length of the way along the gradient.
    pub rho: f64,
    /// Steps that it is taken in, each along the gradient where it begins.
    pub steps: usize,
}

impl Default for SharpnessConfig {
    fn default() -> SharpnessConfig {
        SharpnessConfig { rho: 0.05, steps: 1 }
    }
}

/// How much the loss rises over a way of length `rho` along the gradient of all the data.
///
/// With one step `L(w + rho g / |g|) - L(w)` with `g = grad L(w)`: the inner maximisation of SAM to
/// first order, equation 2, over the whole objective instead of a batch (which is
/// [`super::m_sharpness()`]). Zero where the gradient is zero.
///
/// # Errors
/// A radius that is not positive, no steps; weights of another model; those of the engine.
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently
/// improving generalization, 2021, arXiv 2010.01412
pub fn sam_sharpness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &SharpnessConfig,
) -> Result<Rise, MethodError> {
    let config = AscentConfig {
        norm: Norm::L2,
        scaling: Scaling::None,
        rho: config.rho,
        steps: config.steps,
        ascent: Ascent::Straight,
    };
    ascend(ctx, objective, point, &config)
}

/// [`sam_sharpness`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct SamSharpness;

impl Instrument for SamSharpness {
    const ID: &'static str = "sam_sharpness";
    const SUMMARY: &'static str = "rise of the loss over a step of length rho along the gradient";
    const SOURCE: &'static str = "Foret et al. 2021, arXiv 2010.01412";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = SharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &SharpnessConfig,
    ) -> Result<Rise, MethodError> {
        sam_sharpness(ctx, objective, point, config)
    }

    fn cost(config: &SharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<SharpnessConfig> {
        let usual = SharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| SharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![SharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
