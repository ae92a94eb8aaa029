//! Sharpness as sharpness-aware minimisation sees it.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, Scaling};
use super::by_ascent::{ByAscent, Reach};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::Invariance;
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far [`sam_sharpness`] goes, by default over a length of 0.05 in one step.
pub type SharpnessConfig = Reach<SamSharpness>;

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
    ascend(ctx, objective, point, &config.ascent())
}

/// [`sam_sharpness`] as an instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamSharpness;

impl ByAscent for SamSharpness {
    const ID: &'static str = "sam_sharpness";
    const SUMMARY: &'static str = "rise of the loss over a step of length rho along the gradient";
    const SOURCE: &'static str = "Foret et al. 2021, arXiv 2010.01412";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::L2,
        scaling: Scaling::None,
        rho: 0.05,
        steps: 1,
        ascent: Ascent::Straight,
    };
}
