//! How far a basin reaches, and its volume, by random rays.

#[cfg(test)]
mod tests;

use super::directions::{DirectionConfig, normalize};
use crate::common::{Evaluator, Objective, SampleTerms, Status, sampled_strata, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use std::f64::consts::PI;
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameter, Parameters, Weights};
use thalweg_stats::{Estimate, Moments, pairwise_sum};

/// Which basin, and how it is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BasinConfig {
    /// Number of random rays; at least two.
    pub rays: usize,
    /// The basin ends where the loss has risen by so much over the centre's.
    pub rise: f64,
    /// Coordinates: weights as they are (`none`), or in units of the root mean square of the weights'
    /// filter or array, or of what else a direction of ones is scaled to; and what is held.
    pub directions: DirectionConfig,
    /// How far rays go, in norms of the weights that move.
    pub reach: f64,
}

impl Default for BasinConfig {
    fn default() -> BasinConfig {
        let directions = DirectionConfig::default();
        BasinConfig { rays: 64, rise: 0.1, directions, reach: 4.0 }
    }
}

/// A basin as random rays find it.
#[derive(Clone, Debug, PartialEq)]
pub struct Basin {
    /// The distance at which each ray leaves it, in the coordinates; that of the end of the ray where
    /// it does not.
    pub radius: Vec<f64>,
    /// Rays that do not leave it as far as they go.
    pub not_left: usize,
    /// Rays that leave it for losses that are not finite.
    pub not_finite: usize,
    /// Mean and standard error of the radii.
    pub mean_radius: Estimate,
    /// Number of coordinates.
    pub dimension: usize,
    /// The estimate of the logarithm of the volume, with its standard error by the delta method.
    pub log_volume: Estimate,
    /// On how many rays the estimate rests in effect: `(sum v)^2 / sum v^2` of `v = r^n`. With few, its
    /// standard error is too small, and it is too small itself.
    pub effective_rays: f64,
    /// A lower bound of the logarithm of the volume in expectation, with a standard error that holds
    /// in any dimension.
    pub log_volume_bound: Estimate,
    /// What each example contributed by ray to the mean radius and to the bound, to first order, where
    /// the examples are a sample.
    pub sample: Option<[SampleTerms; 2]>,
}

/// The radius of a basin along random rays and the logarithm of its volume.
///
/// The basin is what can be seen from the centre below `L_c + rise`: its radius `r(u)` along a unit
/// vector `u` is the first distance at which the loss is seen to reach that level. Its volume in `n`
/// coordinates is
///
/// `V = omega_n E_u r(u)^n, omega_n = pi^(n/2) / Gamma(n/2 + 1)`,
///
/// over uniform `u`, estimated by the mean over `K` rays: `log V = log omega_n + log mean r_i^n`, with the
/// standard error `sd(r^n) / (mean(r^n) sqrt K)`. In many dimensions a few rays carry the mean, most
/// often none of those that would have to; then only the bound of Jensen's inequality says something,
/// `log V >= log omega_n + n E log r`, whose mean has an honest error.
///
/// Coordinates are weights divided by a unit: one, or the root mean square of their filter or array, so
/// that rescaling filters changes nothing. Those whose unit is zero do not move and do not count.
///
/// Each ray is looked at on 32 distances that grow geometrically over six decades, then twice on 32
/// between the two that enclose the level, then linearly: an excursion over the level between two
/// distances is not seen. A ray is a unit of work and takes 96 evaluations.
///
/// Errors are over rays. On a sample of the data the loss reaches the level elsewhere: where it rises
/// with a slope `s`, and the loss of an example by `d`, its radius by `(rise - d) / s`. This takes the
/// derivatives of all losses at the centre and where each ray leaves.
///
/// # Errors
/// Fewer than two rays, a rise or a reach that is not positive; weights of another model; a loss at
/// the centre that is not finite; those of the engine.
/// # Source    Huang, Emam, Goldblum, Fowl, Terry, Huang, Goldstein, Understanding generalization
/// through visualizations, 2020, arXiv 1906.03291 (volume from radii); the bound is Jensen's
pub fn basin(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    config: &BasinConfig,
) -> Result<Basin, MethodError> {
    check(config)?;
    let described = objective.parameters();
    let units = units(described, &centre.parameters, &config.directions)?;
    let dimension = units.iter().filter(|unit| **unit != 0.0).count();
    if dimension == 0 {
        return Err(MethodError::config("coordinates of a basin", "some that move", 0));
    }
    let at_centre = crate::evaluate(ctx, objective, centre)?;
    if at_centre.status != Status::Computed {
        let what = "the loss at the centre of a basin".to_owned();
        return Err(MethodError::NotFinite { what, value: at_centre.loss.to_string() });
    }
    let level = at_centre.loss + config.rise;
    // In the coordinates the weights that move have this norm.
    let weights = centre.parameters.convert(DType::F64).flatten();
    let own = |(w, unit): (&f64, &f64)| if *unit == 0.0 { 0.0 } else { w / unit };
    let norm = vector::norm(&weights.iter().zip(&units).map(own).collect::<Vec<_>>());
    let reach = config.reach * if norm > 0.0 { norm } else { (dimension as f64).sqrt() };
    ctx.progress().start("basin", config.rays as u64);
    let stream = ctx.stream("basin");
    let (mut radius, mut not_left, mut not_finite) = (Vec::new(), 0, 0);
    let (strata, mut examples) = (sampled_strata(objective), Vec::new());
    let (mut evaluator, mut derivatives) = (None, None);
    for ray in 0..config.rays {
        let key = format!("basin/{ray}");
        let arrays = ctx.unit(&key, || {
            let draws = stream.at(ray as u64);
            let mut u = Vec::with_capacity(units.len());
            for parameter in described {
                let own = draws.child(&parameter.name);
                u.extend((0..parameter.count() as u64).map(|i| own.normal(i)));
            }
            u.iter_mut().zip(&units).filter(|(_, unit)| **unit == 0.0).for_each(|(x, _)| *x = 0.0);
            let length = vector::norm(&u);
            u.iter_mut().zip(&units).for_each(|(x, unit)| *x *= unit / length);
            let direction = centre.parameters.convert(DType::F64).unflatten(&u)?;
            let direction = [direction];
            let along = match evaluator.take() {
                None => Evaluator::affine(ctx, objective, centre, &direction, STEPS)?,
                Some(known) => Evaluator::moved(known, centre, &direction)?,
            };
            let found = crossing(&along, at_centre.loss, level, reach)?;
            evaluator = Some(along);
            let mut arrays = vec![("ray".to_owned(), Array::vector(&found))];
            if strata.is_some() {
                let along = match derivatives.take() {
                    None => Evaluator::with_derivatives(ctx, objective, centre, &direction[0], 2)?,
                    Some(known) => Evaluator::moved(known, centre, &direction)?,
                };
                let each = contributions(&along, objective, found)?;
                derivatives = Some(along);
                arrays.push(("examples".to_owned(), Array::vector(&each)));
            }
            Ok(arrays)
        })?;
        let found = stored(&key, &arrays, "ray", 2)?;
        radius.push(found[0]);
        if strata.is_some() {
            examples.push(stored(&key, &arrays, "examples", objective.examples())?.to_vec());
        }
        not_left += usize::from(found[1] == NOT_LEFT);
        not_finite += usize::from(found[1] == LEFT_FOR_NOTHING);
        ctx.progress().advance(1);
    }
    let mean_radius = Estimate::mean(&radius)?;
    let volume = log_volume(&radius, dimension)?;
    let sample = strata.map(|strata| {
        let logs = radius.iter().zip(&examples).map(|(radius, each)| {
            let share = dimension as f64 / radius;
            each.iter().map(|own| share * (own - radius)).collect()
        });
        let logs = logs.collect();
        [SampleTerms::new(examples, strata), SampleTerms::new(logs, strata)]
    });
    Ok(Basin {
        radius,
        not_left,
        not_finite,
        mean_radius,
        dimension,
        log_volume: volume.estimate,
        effective_rays: volume.effective,
        log_volume_bound: volume.bound,
        sample,
    })
}

/// Points of a ray that are looked at together.
const STEPS: usize = 32;
/// How a ray ends.
const LEFT: f64 = 0.0;
const NOT_LEFT: f64 = 1.0;
const LEFT_FOR_NOTHING: f64 = 2.0;

fn check(config: &BasinConfig) -> Result<(), MethodError> {
    if config.rays < 2 {
        return Err(MethodError::config("number of rays", "at least 2", config.rays));
    }
    for (what, value) in [("rise of the loss", config.rise), ("reach of rays", config.reach)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(MethodError::config(what, "a positive number", value));
        }
    }
    Ok(())
}

/// What a unit along each coordinate is in weights.
fn units(
    described: &[Parameter],
    weights: &Parameters,
    config: &DirectionConfig,
) -> Result<Vec<f64>, MethodError> {
    // A direction of ones, scaled to a filter's norm, has its root mean square everywhere.
    let ones = described.iter().map(|p| {
        let array = Array::from_slice(&p.shape, &vec![1.0; p.count()])?;
        Ok((p.name.clone(), array))
    });
    let ones = Parameters::new(ones.collect::<Result<_, MethodError>>()?)?;
    Ok(normalize(described, weights, &ones, config)?.flatten())
}

/// Where the loss reaches a level first along a ray, and how.
fn crossing(
    along: &Evaluator<'_>,
    at_centre: f64,
    level: f64,
    reach: f64,
) -> Result<[f64; 2], MethodError> {
    let last = (STEPS - 1) as f64;
    let ladder = |i: usize| reach * 10f64.powf(-6.0 * (last - i as f64) / last);
    let mut distances: Vec<f64> = (0..STEPS).map(ladder).collect();
    let (mut low, mut below) = (0.0, at_centre);
    let (mut high, mut above) = (f64::NAN, f64::NAN);
    for round in 0..3 {
        let points: Vec<Vec<f64>> = distances.iter().map(|&t| vec![t]).collect();
        let losses: Vec<f64> = along.at(&points)?.iter().map(|e| e.loss).collect();
        let first = losses.iter().position(|loss| !loss.is_finite() || *loss >= level);
        match first {
            Some(first) => (high, above) = (distances[first], losses[first]),
            None if round == 0 => return Ok([reach, NOT_LEFT]),
            None => {}
        }
        let inside = first.unwrap_or(distances.len());
        if inside > 0 {
            (low, below) = (distances[inside - 1], losses[inside - 1]);
        }
        let step = (high - low) / (STEPS + 1) as f64;
        distances = (1..=STEPS).map(|i| low + step * i as f64).collect();
    }
    if !above.is_finite() {
        return Ok([low, LEFT_FOR_NOTHING]);
    }
    let share = if above > below { (level - below) / (above - below) } else { 1.0 };
    Ok([low + share.clamp(0.0, 1.0) * (high - low), LEFT])
}

/// What each example contributes to the radius at which a ray leaves. One that does not, or leaves for
/// losses that are not finite, ends where it does whatever the examples.
fn contributions(
    along: &Evaluator<'_>,
    objective: &dyn Objective,
    [radius, how]: [f64; 2],
) -> Result<Vec<f64>, MethodError> {
    let n = objective.examples();
    if how != LEFT {
        return Ok(vec![radius; n]);
    }
    let found = along.examples_at(&[vec![0.0], vec![radius]], 0..objective.batches().len())?;
    let [still, there] = &found[..] else {
        return Err(MethodError::mismatch("losses", "those of two points", found.len()));
    };
    let mean = |values: &[f64]| pairwise_sum(values) / n.max(1) as f64;
    let rises: Vec<f64> = there.losses.iter().zip(&still.losses).map(|(a, b)| a - b).collect();
    let (rise, slope) = (mean(&rises), mean(&there.derivatives[0]));
    // Where the level is only touched nothing of first order says where it would be reached.
    let slope = if slope > 0.0 { slope } else { f64::NAN };
    Ok(rises.iter().map(|own| radius + (rise - own) / slope).collect())
}

struct LogVolume {
    estimate: Estimate,
    effective: f64,
    bound: Estimate,
}

/// The logarithm of the volume from radii along uniform rays in `n` dimensions.
fn log_volume(radius: &[f64], n: usize) -> Result<LogVolume, MethodError> {
    let (n, rays) = (n as f64, radius.len() as f64);
    let ball = 0.5 * n * PI.ln() - log_gamma(0.5 * n + 1.0);
    let logs: Vec<f64> = radius.iter().map(|r| n * r.ln()).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let volumes: Moments = logs.iter().map(|log| (log - largest).exp()).collect();
    let mean = volumes.mean();
    let spread = volumes.standard_deviation().unwrap_or(0.0);
    let squares: f64 = logs.iter().map(|log| (2.0 * (log - largest)).exp()).sum();
    let estimate = Estimate {
        value: ball + largest + mean.ln(),
        standard_error: spread / mean / rays.sqrt(),
        samples: radius.len(),
    };
    let mut bound = Estimate::mean(&logs)?;
    bound.value += ball;
    Ok(LogVolume { estimate, effective: (rays * mean).powi(2) / squares, bound })
}

/// The logarithm of the gamma function for arguments from one half up: Stirling's series, whose
/// terms left out are below 1e-15 from 12 up, and the recurrence below.
fn log_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 12.0 {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0];
    let sum = series.iter().rev().fold(0.0, |sum, term| sum * square + term) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + sum - f64::ln(product)
}

/// [`basin`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct BasinVolume;

impl Instrument for BasinVolume {
    const ID: &'static str = "basin";
    const SUMMARY: &'static str = "radius of the basin along random rays, and its log-volume";
    const SOURCE: &'static str = "Huang et al. 2020, arXiv 1906.03291";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::LayerRescaling, Invariance::NormalizedFilters];
    type Config = BasinConfig;
    type Reading = Basin;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &BasinConfig,
    ) -> Result<Basin, MethodError> {
        basin(ctx, objective, point, config)
    }

    fn cost(config: &BasinConfig, size: &Size) -> Cost {
        let derivatives = if size.sampled { 2 * config.rays } else { 0 };
        Cost::at_most(1 + config.rays * 3 * STEPS, 0, 0).with_second_derivatives(derivatives)
    }

    /// Without the volume itself, whose error says little in many dimensions.
    fn quantities(reading: &Basin) -> Vec<Quantity> {
        let [of_radius, of_bound] = match &reading.sample {
            Some([radius, bound]) => [Some(radius), Some(bound)],
            None => [None; 2],
        };
        vec![
            Quantity::estimated("mean radius", reading.mean_radius)
                .with_terms(Over::Draws, &reading.radius)
                .with_sample(of_radius),
            Quantity::estimated("bound of the log-volume", reading.log_volume_bound)
                .with_sample(of_bound),
        ]
    }

    fn trial() -> BasinConfig {
        BasinConfig { rays: 32, ..BasinConfig::default() }
    }

    fn refused() -> Vec<BasinConfig> {
        let usual = BasinConfig::default();
        vec![
            BasinConfig { rays: 1, ..usual },
            BasinConfig { rise: 0.0, ..usual },
            BasinConfig { rise: f64::NAN, ..usual },
            BasinConfig { reach: f64::INFINITY, ..usual },
        ]
    }
}
