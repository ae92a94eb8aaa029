//! Sharpness batch by batch.

use super::ascent::{moved, straight};
use super::ball::{Ball, Norm, REFUSED_RADII, Scaling, check_radius, check_steps};
use super::rise::Rises;
use crate::common::{Gathered, Gradients, Objective, frozen_at};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError, Passes};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// Which batches, and how far the ascent goes on each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MSharpnessConfig {
    /// Examples in a batch.
    pub m: usize,
    /// Number of batches, at most as many as have all the examples together; `None`: so many.
    pub batches: Option<usize>,
    /// Length of the way along each batch's gradient.
    pub rho: f64,
    /// Steps that it is taken in.
    pub steps: usize,
}

impl Default for MSharpnessConfig {
    fn default() -> MSharpnessConfig {
        MSharpnessConfig { m: 128, batches: None, rho: 0.05, steps: 1 }
    }
}

impl MSharpnessConfig {
    fn check(&self) -> Result<(), MethodError> {
        check_radius(self.rho)?;
        check_steps(self.steps)?;
        if self.m == 0 {
            return Err(MethodError::config("examples in a batch", "at least 1", 0));
        }
        match self.batches {
            Some(0) => Err(MethodError::config("number of batches", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    /// How many batches of how many examples there will be.
    fn taken(&self, examples: usize) -> (usize, usize) {
        let m = self.m.min(examples.max(1));
        let whole = (examples / m).max(1);
        (self.batches.map_or(whole, |wanted| wanted.min(whole)), m)
    }
}

/// What [`m_sharpness`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRise {
    /// The mean rise.
    pub mean: f64,
    /// The mean with its standard error over the draws of batches, NaN of a single one; none where a
    /// batch is all the data.
    pub estimate: Option<Estimate>,
    /// The rise of each batch.
    pub batches: Vec<f64>,
}

/// The mean over batches of `m` examples of how much the batch's loss rises along its gradient.
///
/// `mean over batches S of max over |e|_2 <= rho of L_S(w + e) - L_S(w)`, to first order as
/// [`super::sam_sharpness()`]: what SAM penalises when each worker perturbs by its own `m` examples.
/// It grows as `m` falls.
///
/// Each batch is drawn from all the data without regard to the others, by the stream `m-sharpness`, and
/// is a unit of work. So their rises are independent, and the spread of these is the error of their mean
/// whatever share of the data they make up. Batches that share no example, as those of an epoch, have
/// means that differ less; by how much depends on how far a rise is a mean over examples, which they do
/// not tell. On a sample of the data examples that no batch had before stand for those that are not
/// there, so that the error holds the choice of the sample.
///
/// # Errors
/// No examples in a batch, no batches or steps, a radius that is not positive; a loss that is not
/// finite; weights of another model; those of the engine.
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, 2021, arXiv
/// 2010.01412, section 4.1; Andriushchenko, Flammarion, Towards understanding sharpness-aware
/// minimization, 2022, arXiv 2206.06232, equation 3
pub fn m_sharpness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &MSharpnessConfig,
) -> Result<BatchRise, MethodError> {
    config.check()?;
    let (batches, m) = config.taken(objective.examples());
    let point = frozen_at(ctx, objective, point)?;
    let drawn = Gathered::drawn(objective, &ctx.stream("m-sharpness"), m, batches);
    let ball = Ball::new(&drawn, &point, Norm::L2, Scaling::None, config.rho)?;
    let gradients = Gradients::new(ctx, &drawn)?;
    let mut rises = Rises::new(ctx, &drawn, &point);
    ctx.progress().start("m-sharpness", batches as u64);
    let mut found = Vec::with_capacity(batches);
    for batch in 0..batches {
        let key = format!("m-sharpness/{batch}");
        let arrays = ctx.unit(&key, || {
            let gradient = |u: &[f64]| {
                let by = ball.perturbation(u);
                let parameters = moved(&point.parameters, &by)?.convert(objective.float());
                let at = Weights { parameters, buffers: point.buffers.clone() };
                let found = gradients.over(&at, batch..batch + 1)?;
                Ok((found.at.loss, found.gradient))
            };
            let u = straight(&ball, config.steps, gradient)?;
            let rise = rises.over(&ball.perturbation(&u), batch..batch + 1)?.value;
            Ok(vec![("rise".into(), Array::vector(&[rise]))])
        })?;
        found.push(stored(&key, &arrays, "rise", 1)?[0]);
        ctx.progress().advance(1);
    }
    if let Some(value) = found.iter().find(|rise| !rise.is_finite()) {
        let what = format!("the rise of a batch's loss over a way of {}", config.rho);
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let mean = pairwise_sum(&found) / found.len().max(1) as f64;
    let whole = m == objective.sampling().population(objective.examples());
    let alone = Estimate { value: mean, standard_error: f64::NAN, samples: found.len() };
    let estimate = (!whole).then(|| Estimate::mean(&found).unwrap_or(alone));
    Ok(BatchRise { mean, estimate, batches: found })
}

/// [`m_sharpness`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct MSharpness;

impl Instrument for MSharpness {
    const ID: &'static str = "m_sharpness";
    const SUMMARY: &'static str =
        "mean over batches of m examples of the rise along the batch's own gradient";
    const SOURCE: &'static str = "Foret et al. 2021, arXiv 2010.01412";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = MSharpnessConfig;
    type Reading = BatchRise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &MSharpnessConfig,
    ) -> Result<BatchRise, MethodError> {
        m_sharpness(ctx, objective, point, config)
    }

    fn cost(config: &MSharpnessConfig, size: &Size) -> Cost {
        let (batches, m) = config.taken(size.examples);
        let share = batches.saturating_mul(m);
        let n = size.examples as f64;
        Cost::Exactly(Passes {
            losses: (2 * share) as f64 / n,
            gradients: (config.steps * share) as f64 / n,
            products: 0.0,
            second_derivatives: 0.0,
        })
    }

    fn quantities(reading: &BatchRise) -> Vec<Quantity> {
        let name = "mean rise of a batch's loss";
        let quantity = match reading.estimate {
            Some(estimate) => Quantity::estimated(name, estimate),
            None => Quantity::exact(name, reading.mean),
        };
        vec![quantity.with_terms(Over::Draws, &reading.batches).of_data()]
    }

    fn trial() -> MSharpnessConfig {
        MSharpnessConfig { m: 4, batches: None, ..MSharpnessConfig::default() }
    }

    fn refused() -> Vec<MSharpnessConfig> {
        let usual = MSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| MSharpnessConfig { rho, ..usual });
        let others = vec![
            MSharpnessConfig { m: 0, ..usual },
            MSharpnessConfig { batches: Some(0), ..usual },
            MSharpnessConfig { steps: 0, ..usual },
        ];
        [radii.to_vec(), others].concat()
    }
}
