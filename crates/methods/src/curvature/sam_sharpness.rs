//! Sharpness as sharpness-aware minimisation sees it.

use crate::common::{Evaluator, Objective, gradient, vector};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharpnessConfig {
    /// Length of the step along the gradient.
    pub rho: f64,
}

impl Default for SharpnessConfig {
    fn default() -> SharpnessConfig {
        SharpnessConfig { rho: 0.05 }
    }
}

/// What [`sam_sharpness`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sharpness {
    /// `L(w + rho g / |g|) - L(w)`; not finite where one of them is not.
    pub value: f64,
    /// `L(w)`.
    pub loss: f64,
    /// `|g|`.
    pub gradient_norm: f64,
}

/// How much the loss rises over one step of length `rho` along the gradient of all the data.
///
/// `L(w + rho g / |g|) - L(w)` with `g = grad L(w)`: the inner maximisation of SAM to first order,
/// equation 2, over the whole objective instead of a batch. Zero where the gradient is zero.
///
/// # Errors
/// A radius that is not positive; weights of another model; those of the engine.
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently
/// improving generalization, 2021, arXiv 2010.01412
pub fn sam_sharpness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &SharpnessConfig,
) -> Result<Sharpness, MethodError> {
    if !(config.rho > 0.0 && config.rho.is_finite()) {
        return Err(MethodError::config("rho", "a positive number", config.rho));
    }
    ctx.progress().start("sharpness", 2);
    let found = gradient(ctx, objective, point)?;
    ctx.progress().advance(1);
    let gradient_norm = found.norm();
    let mut ascent = found.gradient;
    if gradient_norm > 0.0 {
        vector::scale(&mut ascent, 1.0 / gradient_norm);
    }
    // In f64, so that the unit vector is rounded once, by the evaluator.
    let template = point.parameters.convert(thalweg_array::DType::F64);
    let direction = template.unflatten(&ascent)?;
    let evaluator = Evaluator::affine(ctx, objective, point, &[direction], 2)?;
    let values = evaluator.at(&[vec![0.0], vec![config.rho]])?;
    ctx.progress().advance(1);
    let (loss, moved) = (values[0].loss, values[1].loss);
    Ok(Sharpness { value: moved - loss, loss, gradient_norm })
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
    type Reading = Sharpness;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &SharpnessConfig,
    ) -> Result<Sharpness, MethodError> {
        sam_sharpness(ctx, objective, point, config)
    }

    fn cost(_: &SharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, 1, 0)
    }

    fn quantities(reading: &Sharpness) -> Vec<Quantity> {
        vec![Quantity::exact("rise of the loss", reading.value)]
    }

    fn refused() -> Vec<SharpnessConfig> {
        [0.0, -1.0, f64::NAN, f64::INFINITY].map(|rho| SharpnessConfig { rho }).to_vec()
    }
}
