//! Average-case sharpness.

use super::ball::{REFUSED_RADII, Scaling, check_radius, scale};
use super::rise::Rises;
use crate::common::{Objective, SampleTerms, normals, sampled_strata, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// How the average is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageSharpnessConfig {
    /// Standard deviation of the noise, in the units of each weight.
    pub rho: f64,
    /// Number of drawn perturbations, each used with both signs; at least two, for a standard error.
    pub draws: usize,
}

impl Default for AverageSharpnessConfig {
    fn default() -> AverageSharpnessConfig {
        AverageSharpnessConfig { rho: 0.01, draws: 32 }
    }
}

impl AverageSharpnessConfig {
    pub(super) fn check(&self) -> Result<(), MethodError> {
        check_radius(self.rho)?;
        match self.draws < 2 {
            true => Err(MethodError::config("number of draws", "at least 2", self.draws)),
            false => Ok(()),
        }
    }

    pub(super) fn cost(&self) -> Cost {
        Cost::exactly(3 * self.draws, 0, 0)
    }

    pub(super) fn refused() -> Vec<AverageSharpnessConfig> {
        let usual = AverageSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| AverageSharpnessConfig { rho, ..usual });
        let draws = [0, 1].map(|draws| AverageSharpnessConfig { draws, ..usual });
        [&radii[..], &draws[..]].concat()
    }
}

/// What [`average_sharpness`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct AverageRise {
    /// The expected rise, with its standard error over the draws.
    pub rise: Estimate,
    /// The rise of each draw, the mean over both its signs.
    pub draws: Vec<f64>,
    /// The rise of each example by draw, where the examples are a sample.
    pub sample: Option<SampleTerms>,
}

impl AverageRise {
    pub(super) fn quantities(&self) -> Vec<Quantity> {
        let rise = Quantity::estimated("expected rise of the loss", self.rise);
        vec![rise.with_terms(Over::Draws, &self.draws).with_sample(self.sample.as_ref())]
    }
}

/// The expected rise of the loss under Gaussian noise on the weights.
///
/// `E[L(w + d) - L(w)]` over `d ~ N(0, rho^2 diag(c^2))` with the unit `c` of each weight:
/// equation 2 over the whole objective. Each draw is used with both signs,
/// `(L(w + d) + L(w - d)) / 2 - L(w)`, which takes the slope out of the variance and leaves, to
/// second order, `d^T H d / 2`: the expectation is `rho^2 / 2 sum c_i^2 H_ii` where the loss is
/// quadratic.
///
/// Each draw is a unit of work. The standard error is that over the draws; what the choice of a sample
/// leaves open the rises of its examples say.
///
/// # Errors
/// A standard deviation that is not positive, fewer than two draws; a loss that is not finite;
/// weights of another model; those of the engine.
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
pub fn average_sharpness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    scaling: Scaling,
    config: &AverageSharpnessConfig,
) -> Result<AverageRise, MethodError> {
    config.check()?;
    let scale = scale(objective, &point.parameters, scaling)?;
    let stream = ctx.stream("average sharpness");
    let mut rises = Rises::new(ctx, objective, point);
    ctx.progress().start("average sharpness", config.draws as u64);
    let strata = sampled_strata(objective);
    let n = objective.examples();
    let (mut draws, mut examples) = (Vec::with_capacity(config.draws), Vec::new());
    for draw in 0..config.draws {
        let key = format!("average/{draw}");
        let arrays = ctx.unit(&key, || {
            let mut noise = normals(&stream.at(draw as u64), scale.len());
            noise.iter_mut().zip(&scale).for_each(|(x, c)| *x *= c);
            vector::scale(&mut noise, config.rho);
            let all = 0..objective.batches().len();
            let losses = rises.losses(&noise, &[-1.0, 0.0, 1.0], all)?;
            let [down, still, up] = &losses[..] else {
                return Err(MethodError::mismatch("losses", "those of three points", losses.len()));
            };
            let mean = |of: &[f64]| pairwise_sum(of) / n.max(1) as f64;
            let rise = 0.5 * (mean(down) + mean(up)) - mean(still);
            let mut arrays = vec![("rise".into(), Array::vector(&[rise]))];
            if strata.is_some() {
                let each = down.iter().zip(still).zip(up);
                let each = each.map(|((down, still), up)| 0.5 * (down + up) - still);
                arrays.push(("examples".into(), Array::vector(&each.collect::<Vec<_>>())));
            }
            Ok(arrays)
        })?;
        draws.push(stored(&key, &arrays, "rise", 1)?[0]);
        if strata.is_some() {
            examples.push(stored(&key, &arrays, "examples", n)?.to_vec());
        }
        ctx.progress().advance(1);
    }
    if let Some(value) = draws.iter().find(|rise| !rise.is_finite()) {
        let what = format!("the loss under noise of {} on the weights", config.rho);
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let sample = strata.map(|strata| SampleTerms::new(examples, strata));
    Ok(AverageRise { rise: Estimate::mean(&draws)?, draws, sample })
}

/// [`average_sharpness`] with all weights in the same unit, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct AverageSharpness;

impl Instrument for AverageSharpness {
    const ID: &'static str = "average_sharpness";
    const SUMMARY: &'static str = "expected rise of the loss under Gaussian noise on the weights";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = AverageSharpnessConfig;
    type Reading = AverageRise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &AverageSharpnessConfig,
    ) -> Result<AverageRise, MethodError> {
        average_sharpness(ctx, objective, point, Scaling::None, config)
    }

    fn cost(config: &AverageSharpnessConfig, _: &Size) -> Cost {
        config.cost()
    }

    fn quantities(reading: &AverageRise) -> Vec<Quantity> {
        reading.quantities()
    }

    fn trial() -> AverageSharpnessConfig {
        AverageSharpnessConfig { rho: 0.1, draws: 128 }
    }

    fn refused() -> Vec<AverageSharpnessConfig> {
        AverageSharpnessConfig::refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;

    #[test]
    fn intervals_cover_the_expected_rise() {
        // The sum of (i + 1) w_i^2 with slopes and a mixed term: the expected rise is
        // rho^2 sum of (i + 1) c_i^2, whatever these are.
        let curvatures: Vec<f64> = (1..=8).map(f64::from).collect();
        let at = [2.0, -0.5, 1.0, 0.7, -0.4, 0.6, 0.5, -0.3];
        let function = Function::new(DType::F64, &[("w", &[8])], |builder, w| {
            let curvatures: Vec<f64> = (1..=8).map(f64::from).collect();
            let squares = w[0].square() * builder.constant(Array::vector(&curvatures));
            squares.sum_all() + w[0].sum_all() * 5.0 + w[0].index(0, 0) * w[0].index(0, 1)
        });
        let point = function.point(&at).unwrap();
        let executor = Executor::new(1);
        for scaling in [Scaling::None, Scaling::Elementwise] {
            let unit = |w: &f64| if scaling == Scaling::None { 1.0 } else { w * w };
            let expected: f64 = curvatures.iter().zip(&at).map(|(k, w)| 0.01 * k * unit(w)).sum();
            let mut covered = 0;
            for seed in 0..200 {
                let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
                let config = AverageSharpnessConfig { rho: 0.1, draws: 40 };
                let found = average_sharpness(&ctx, &function, &point, scaling, &config).unwrap();
                covered += usize::from(found.rise.interval(0.95).unwrap().contains(expected));
            }
            assert!((180..=198).contains(&covered), "{scaling:?}: {covered}");
        }
    }

    #[test]
    fn a_slope_alone_does_not_rise() {
        let function = Function::new(DType::F64, &[("x", &[3])], |_, w| w[0].sum_all() * 7.0);
        let point = function.point(&[1.0, 2.0, 3.0]).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let config = AverageSharpnessConfig { rho: 0.1, draws: 4 };
        let found = average_sharpness(&ctx, &function, &point, Scaling::None, &config).unwrap();
        assert!(found.rise.value.abs() < 1e-13 && found.rise.standard_error < 1e-13);
        let broken = Function::new(DType::F64, &[("x", &[])], |_, w| w[0].log());
        let point = broken.point(&[0.0]).unwrap();
        let message = average_sharpness(&ctx, &broken, &point, Scaling::None, &config);
        let message = message.unwrap_err().to_string();
        assert!(message.contains("the loss under noise of 0.1"), "{message}");
    }
}
