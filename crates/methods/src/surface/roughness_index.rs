//! The roughness index.

#[cfg(test)]
mod tests;

use super::directions::{DirectionConfig, Ignore, Normalize, normalize, random_direction};
use crate::common::{
    Evaluator, ExampleValues, Objective, SampleTerms, blocks_alike, sample_of_blocks,
    sampled_strata,
};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameters, Weights};
use thalweg_stats::{
    BootstrapConfig, Estimate, Interval, Jackknife, Moments, bootstrap, pairwise_sum,
};

/// Blocks that the examples are dealt into.
const BLOCKS: usize = 16;

/// How the index is taken; the defaults are those of the authors' code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoughnessConfig {
    /// Number of random lines; at least two.
    pub directions: usize,
    /// How far each line goes to either side.
    pub half_width: f64,
    /// Number of equal intervals on it; at least two.
    pub intervals: usize,
    /// How directions are scaled.
    pub normalize: Normalize,
    /// What the total variation of a line is divided by.
    pub divisor: Divisor,
}

/// What the total variation of a line is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Divisor {
    /// Length and range: only the shape of the line counts.
    #[default]
    LengthAndRange,
    /// Length: the mean absolute slope, so that steep lines differ from gentle ones.
    Length,
    /// Nothing.
    One,
}

impl Default for RoughnessConfig {
    fn default() -> RoughnessConfig {
        RoughnessConfig {
            directions: 50,
            half_width: 0.01,
            intervals: 10,
            normalize: Normalize::Filter,
            divisor: Divisor::default(),
        }
    }
}

/// What [`roughness_index`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Roughness {
    /// The index, with its bootstrap standard error over directions.
    pub index: Estimate,
    /// The 95 % interval of the index (BCa bootstrap over directions).
    pub interval: Interval,
    /// Mean and standard error of the normalised total variations.
    pub mean: Estimate,
    /// The normalised total variation of each line, in their order; NaN for one that is left out.
    pub variations: Vec<f64>,
    /// The share of the lines that are not left out on which the loss is not monotone.
    pub turning: f64,
    /// Lines left out because the loss is not finite somewhere on them.
    pub not_finite: usize,
    /// Lines left out because the loss is flat up to rounding.
    pub flat: usize,
    /// What each block of examples contributed by line to the index and to the mean, where the examples
    /// are a sample.
    pub sample: Option<[SampleTerms; 2]>,
}

/// The relative spread of the normalised total variation of the loss on random lines.
///
/// On `m + 1` equally spaced points of `[-l, l]`, with `f_j(t) = L(w + t d_j)`:
/// `T_j = sum over i of |f_j(t_{i+1}) - f_j(t_i)|`, `V_j = T_j / (2 l) / (max f_j - min f_j)`,
/// `index = std(V) / mean(V)` with the unbiased variance. [`Divisor`] has other `V_j`.
///
/// Directions are Gaussian but for arrays of one axis, which do not move, and then scaled. `2 l V_j`
/// is 1 on a monotone line, 2 on one that turns once between equal ends, more where the loss wiggles.
/// So the index is 0 where all lines are monotone and where all turn alike; at small `l` it says how
/// gradient and curvature compare rather than how rough the loss is.
///
/// The loss is not finite or flat on some lines: they are left out and counted. With fewer than
/// two lines left the index is NaN.
///
/// Errors and the interval are over directions; what the choice of a sample of the data leaves open is said
/// by the lines without each of 16 blocks of examples alike (the jackknife). No smaller change would do:
/// where a line's range is small beside what examples have on it, `V_j` is far from linear in them.
///
/// Errors are believable where many lines turn, as at a minimum. Where few do, a line or two decide: of a
/// small random network's 50 lines to 0.1 and 0.01 on either side, 1.96 errors held the index of 2,000 lines
/// on all examples in 141 and 37 of 200 samples; and if none turns, the error is zero.
///
/// # Errors
/// Fewer than two directions or intervals, a half width that is not positive; weights of another
/// model; those of the engine.
/// # Source    Wu et al., Roughness index for loss landscapes of neural network models of partial
/// differential equations, 2021, arXiv 2103.11069, and its code
pub fn roughness_index(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &RoughnessConfig,
) -> Result<Roughness, MethodError> {
    check(config)?;
    let m = config.intervals;
    let offsets: Vec<Vec<f64>> = offsets(config).into_iter().map(|t| vec![t]).collect();
    ctx.progress().start("roughness", config.directions as u64);
    let n = objective.examples();
    let blocks = sampled_strata(objective)
        .map(|strata| blocks_alike(strata, &ctx.stream("roughness/blocks"), BLOCKS))
        .filter(|blocks| blocks.len() > 1)
        .unwrap_or_default();
    let (mut lines, mut contributed) = (Vec::with_capacity(config.directions), Vec::new());
    let mut evaluator = None;
    for j in 0..config.directions {
        let key = format!("roughness/{j}");
        let arrays = ctx.unit(&key, || {
            let direction = line(ctx, objective, point, config, j)?;
            // One set of programs serves all lines.
            let along = match evaluator.take() {
                None => Evaluator::affine(ctx, objective, point, &[direction], m + 1)?,
                Some(known) => Evaluator::moved(known, point, &[direction])?,
            };
            let found = along.examples_at(&offsets, 0..objective.batches().len())?;
            evaluator = Some(along);
            let mean = |at: &ExampleValues| pairwise_sum(&at.losses) / n as f64;
            let losses: Vec<f64> = found.iter().map(mean).collect();
            let without = without_blocks(&losses, &found, &blocks);
            let arrays = [("losses", losses), ("without", without)];
            Ok(arrays.map(|(name, values)| (name.to_owned(), Array::vector(&values))).to_vec())
        })?;
        let found = variation(stored(&key, &arrays, "losses", m + 1)?, objective.float());
        let without = stored(&key, &arrays, "without", blocks.len() * (m + 1))?;
        let of = |losses: &[f64]| config.normalized(&variation(losses, objective.float()));
        let without =
            Jackknife::new(config.normalized(&found), without.chunks(m + 1).map(of).collect());
        contributed.push(without.pseudo_values());
        lines.push(found);
        ctx.progress().advance(1);
    }
    let found = summarize(ctx, config, &lines)?;
    if blocks.is_empty() {
        return Ok(found);
    }
    let strata = sample_of_blocks(blocks.len(), n, objective.sampling().population(n));
    let sample = found.of_sample(contributed, &strata);
    Ok(Roughness { sample, ..found })
}

impl RoughnessConfig {
    /// The normalised variation of a line; NaN of one that is left out.
    fn normalized(&self, line: &Line) -> f64 {
        let length = 2.0 * self.half_width;
        match (line, self.divisor) {
            (Line::NotFinite | Line::Flat, _) => f64::NAN,
            (Line::Varies { total, range }, Divisor::LengthAndRange) => total / range / length,
            (Line::Varies { total, .. }, Divisor::Length) => total / length,
            (Line::Varies { total, .. }, Divisor::One) => *total,
        }
    }
}

/// The losses on a line without each block of examples, one block after the other.
fn without_blocks(losses: &[f64], examples: &[ExampleValues], blocks: &[Vec<usize>]) -> Vec<f64> {
    let mut without = Vec::with_capacity(blocks.len() * losses.len());
    for block in blocks {
        for (loss, at) in losses.iter().zip(examples) {
            let n = at.losses.len() as f64;
            let own: Vec<f64> = block.iter().map(|&place| at.losses[place]).collect();
            without.push((n * loss - pairwise_sum(&own)) / (n - own.len() as f64));
        }
    }
    without
}

impl Roughness {
    /// What each block of examples contributed to the index and to the mean, from what it did to each
    /// line; none without an index.
    fn of_sample(
        &self,
        blocks: Vec<Vec<f64>>,
        strata: &[(Vec<usize>, usize)],
    ) -> Option<[SampleTerms; 2]> {
        let lines = self.variations.iter().zip(blocks).filter(|(variation, _)| !variation.is_nan());
        let (variations, blocks): (Vec<f64>, Vec<Vec<f64>>) = lines.map(|(v, b)| (*v, b)).unzip();
        let (n, mean, index) = (variations.len() as f64, self.mean.value, self.index.value);
        if !index.is_finite() {
            return None;
        }
        let spread = index * mean;
        // By how much the index changes with the variation of a line.
        let slope = |variation: f64| match spread > 0.0 {
            true => (variation - mean) / ((n - 1.0) * spread * mean) - spread / (mean * mean * n),
            false => 0.0,
        };
        let of_index = variations.iter().zip(&blocks).map(|(&variation, each)| {
            let slope = n * slope(variation);
            each.iter().map(|own| index + slope * (own - variation)).collect()
        });
        let of_index = of_index.collect();
        Some([SampleTerms::new(of_index, strata), SampleTerms::new(blocks, strata)])
    }
}

/// The index at each of several points, as the checkpoints of a run, along the same draws.
///
/// # Errors
/// As [`roughness_index`].
pub fn roughness_trajectory(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    points: &[Weights],
    config: &RoughnessConfig,
) -> Result<Vec<Roughness>, MethodError> {
    let at = |(i, point): (usize, &Weights)| {
        roughness_index(&ctx.within(&format!("roughness of point {i}")), objective, point, config)
    };
    points.iter().enumerate().map(at).collect()
}

/// The standard deviation over the mean, with the unbiased variance; NaN of fewer than two.
pub fn relative_spread(variations: &[f64]) -> f64 {
    let moments: Moments = variations.iter().copied().collect();
    moments.standard_deviation().map_or(f64::NAN, |spread| spread / moments.mean())
}

/// Where a line is evaluated.
pub(super) fn offsets(config: &RoughnessConfig) -> Vec<f64> {
    let (m, l) = (config.intervals, config.half_width);
    (0..=m).map(|i| (-l * (m - i) as f64 + l * i as f64) / m as f64).collect()
}

/// The direction of line `j`.
pub(super) fn line(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &RoughnessConfig,
    j: usize,
) -> Result<Parameters, MethodError> {
    let draws = ctx.stream("roughness").at(j as u64);
    let (parameters, weights) = (objective.parameters(), &point.parameters);
    let direction = random_direction(parameters, weights, &DirectionConfig::UNSCALED, &draws)?;
    let still = parameters.iter().zip(direction.arrays()).map(|(p, array)| {
        if p.shape.len() < 2 { Array::zeros(DType::F64, &p.shape) } else { array.clone() }
    });
    let direction = direction.with_arrays(still.collect())?;
    let scaled = DirectionConfig { normalize: config.normalize, ignore: Ignore::default() };
    normalize(parameters, weights, &direction, &scaled)
}

pub(super) fn check(config: &RoughnessConfig) -> Result<(), MethodError> {
    for (what, n) in
        [("number of directions", config.directions), ("number of intervals", config.intervals)]
    {
        if n < 2 {
            return Err(MethodError::config(what, "at least 2", n));
        }
    }
    match config.half_width > 0.0 && config.half_width.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("half width", "a positive number", config.half_width)),
    }
}

/// What became of a line.
pub(super) enum Line {
    NotFinite,
    Flat,
    Varies {
        /// Total variation.
        total: f64,
        /// Highest less lowest value.
        range: f64,
    },
}

pub(super) fn variation(losses: &[f64], float: DType) -> Line {
    if losses.iter().any(|loss| !loss.is_finite()) {
        return Line::NotFinite;
    }
    let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let eps = if float == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    if high - low <= 4.0 * eps * high.abs().max(low.abs()) {
        return Line::Flat;
    }
    let total: f64 = losses.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
    Line::Varies { total, range: high - low }
}

pub(super) fn summarize(
    ctx: &Context<'_>,
    config: &RoughnessConfig,
    lines: &[Line],
) -> Result<Roughness, MethodError> {
    let (mut variations, mut turning, mut not_finite, mut flat) = (Vec::new(), 0, 0, 0);
    for line in lines {
        match line {
            Line::NotFinite => not_finite += 1,
            Line::Flat => flat += 1,
            // Rounding moves the sum of a monotone line's steps by less than this.
            Line::Varies { total, range } => turning += usize::from(total / range > 1.0 + 1e-9),
        }
        variations.push(config.normalized(line));
    }
    let known: Vec<f64> = variations.iter().copied().filter(|v| !v.is_nan()).collect();
    let n = known.len();
    let turning = turning as f64 / n as f64;
    if n < 2 {
        let unknown = Estimate { value: f64::NAN, standard_error: f64::NAN, samples: n };
        let interval = Interval { low: f64::NAN, high: f64::NAN };
        let (index, mean, sample) = (unknown, unknown, None);
        return Ok(Roughness {
            index,
            interval,
            mean,
            variations,
            turning,
            not_finite,
            flat,
            sample,
        });
    }
    let mean = Estimate::mean(&known)?;
    let (index, interval) = if known.iter().all(|v| *v == known[0]) {
        // All alike: the bootstrap has no spread to correct for.
        let index = Estimate { value: 0.0, standard_error: 0.0, samples: n };
        (index, Interval { low: 0.0, high: 0.0 })
    } else {
        // The bootstrap leaves one out in turn: a single line has no spread.
        let spread = |s: &[f64]| if s.len() < 2 { 0.0 } else { relative_spread(s) };
        let seed = ctx.stream("roughness/bootstrap").u64(0);
        let config = BootstrapConfig { seed, ..Default::default() };
        let found = bootstrap(&known, spread, &config)?;
        let (value, standard_error) = (found.value, found.standard_error);
        (Estimate { value, standard_error, samples: n }, found.interval)
    };
    let sample = None;
    Ok(Roughness { index, interval, mean, variations, turning, not_finite, flat, sample })
}

/// [`roughness_index`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct RoughnessIndex;

impl Instrument for RoughnessIndex {
    const ID: &'static str = "roughness_index";
    const SUMMARY: &'static str =
        "relative spread of the total variation of the loss on random lines";
    const SOURCE: &'static str = "Wu et al. 2021, arXiv 2103.11069";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::NormalizedFilters,
        Invariance::LossScale,
    ];
    type Config = RoughnessConfig;
    type Reading = Roughness;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &RoughnessConfig,
    ) -> Result<Roughness, MethodError> {
        roughness_index(ctx, objective, point, config)
    }

    fn cost(config: &RoughnessConfig, _: &Size) -> Cost {
        Cost::exactly(config.directions * (config.intervals + 1), 0, 0)
    }

    fn quantities(reading: &Roughness) -> Vec<Quantity> {
        let index = Quantity::estimated("roughness index", reading.index);
        let mean = Quantity::estimated("mean normalised variation", reading.mean);
        // Where lines are left out, those of two points are no longer the same ones.
        let whole = reading.flat + reading.not_finite == 0;
        let terms = |mean: Quantity| mean.with_terms(Over::Draws, &reading.variations);
        let mean = if whole { terms(mean) } else { mean };
        let [of_index, of_mean] = match &reading.sample {
            Some([index, mean]) => [Some(index), Some(mean)],
            None => [None; 2],
        };
        vec![index.with_sample(of_index), mean.with_sample(of_mean)]
    }

    fn trial() -> RoughnessConfig {
        RoughnessConfig { directions: 32, half_width: 1.0, ..RoughnessConfig::default() }
    }

    fn refused() -> Vec<RoughnessConfig> {
        let usual = RoughnessConfig::default();
        vec![
            RoughnessConfig { directions: 1, ..usual },
            RoughnessConfig { intervals: 1, ..usual },
            RoughnessConfig { half_width: 0.0, ..usual },
            RoughnessConfig { half_width: f64::NAN, ..usual },
        ]
    }
}
