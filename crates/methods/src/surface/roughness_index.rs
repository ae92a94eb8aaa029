//! The roughness index.

use super::directions::{DirectionConfig, Ignore, Normalize, normalize, random_direction};
use crate::common::{Evaluator, ExampleValues, Objective, SampleTerms, sampled_strata};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameters, Weights};
use thalweg_stats::{BootstrapConfig, Estimate, Interval, Moments, bootstrap, pairwise_sum};

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
    /// What each example contributed by line to the index and to the mean, to first order, where the
    /// examples are a sample.
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
/// Errors and the interval are over directions; what the choice of a sample of the data leaves open its
/// examples say: with a line's steps up and down, its highest and its lowest point held, `V_j` is a ratio
/// of means over examples.
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
    let (strata, n) = (sampled_strata(objective), objective.examples());
    let mut lines = Vec::with_capacity(config.directions);
    let mut examples = Vec::new();
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
            let mut arrays = vec![("losses".into(), Array::vector(&losses))];
            if strata.is_some() {
                let each = config.contributions(&losses, &found);
                arrays.push(("examples".into(), Array::vector(&each)));
            }
            Ok(arrays)
        })?;
        lines.push(variation(stored(&key, &arrays, "losses", m + 1)?, objective.float()));
        if strata.is_some() {
            examples.push(stored(&key, &arrays, "examples", n)?.to_vec());
        }
        ctx.progress().advance(1);
    }
    let found = summarize(ctx, config, &lines)?;
    let sample = strata.and_then(|strata| found.of_sample(examples, strata));
    Ok(Roughness { sample, ..found })
}

impl RoughnessConfig {
    /// What each example contributes to the variation of a line, from its losses on it.
    fn contributions(&self, losses: &[f64], examples: &[ExampleValues]) -> Vec<f64> {
        let place = |better: fn(f64, f64) -> bool| {
            (0..losses.len())
                .fold(0, |best, i| if better(losses[i], losses[best]) { i } else { best })
        };
        let (high, low) = (place(|a, b| a > b), place(|a, b| a < b));
        let steps = losses.windows(2).map(|pair| (pair[1] - pair[0]).signum());
        let signs: Vec<f64> = steps.collect();
        let total_and_range = |at: &dyn Fn(usize) -> f64| {
            let each = signs.iter().enumerate().map(|(i, sign)| sign * (at(i + 1) - at(i)));
            (each.sum::<f64>(), at(high) - at(low))
        };
        let (total, range) = total_and_range(&|i| losses[i]);
        let length = 2.0 * self.half_width;
        let contribution = |example: usize| {
            let (own, own_range) = total_and_range(&|i| examples[i].losses[example]);
            match self.divisor {
                Divisor::LengthAndRange => {
                    (own / range - total / range * (own_range / range - 1.0)) / length
                }
                Divisor::Length => own / length,
                Divisor::One => own,
            }
        };
        let n = examples.first().map_or(0, |at| at.losses.len());
        (0..n).map(contribution).collect()
    }
}

impl Roughness {
    /// What each example contributed to the index and to the mean, from what it did to each line; none
    /// without an index.
    fn of_sample(
        &self,
        examples: Vec<Vec<f64>>,
        strata: &[(Vec<usize>, usize)],
    ) -> Option<[SampleTerms; 2]> {
        let lines =
            self.variations.iter().zip(examples).filter(|(variation, _)| !variation.is_nan());
        let (variations, examples): (Vec<f64>, Vec<Vec<f64>>) = lines.map(|(v, e)| (*v, e)).unzip();
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
        let of_index = variations.iter().zip(&examples).map(|(&variation, each)| {
            let slope = n * slope(variation);
            each.iter().map(|own| index + slope * (own - variation)).collect()
        });
        let of_index = of_index.collect();
        Some([SampleTerms::new(of_index, strata), SampleTerms::new(examples, strata)])
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
    let length = 2.0 * config.half_width;
    for line in lines {
        variations.push(match *line {
            Line::NotFinite => {
                not_finite += 1;
                f64::NAN
            }
            Line::Flat => {
                flat += 1;
                f64::NAN
            }
            Line::Varies { total, range } => {
                // Rounding moves the sum of a monotone line's steps by less than this.
                turning += usize::from(total / range > 1.0 + 1e-9);
                match config.divisor {
                    Divisor::LengthAndRange => total / range / length,
                    Divisor::Length => total / length,
                    Divisor::One => total,
                }
            }
        });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use crate::common::vector;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::Tensor;

    fn of(
        config: &RoughnessConfig,
        at: &[f64; 4],
        traced: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b> + Send + Sync + 'static,
    ) -> Roughness {
        let function = Function::new(DType::F64, &[("w", &[2, 2])], move |_, w| traced(w[0]));
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        roughness_index(&ctx, &function, &function.point(at).unwrap(), config).unwrap()
    }

    fn gaussian() -> RoughnessConfig {
        RoughnessConfig { normalize: Normalize::None, ..RoughnessConfig::default() }
    }

    #[test]
    fn at_a_minimum_every_line_turns_once() {
        let found = of(&gaussian(), &[0.0; 4], |w| w.square().sum_all());
        assert!(found.variations.iter().all(|v| (v * 0.01 - 1.0).abs() < 1e-9));
        assert!(found.index.value < 1e-9 && found.turning == 1.0);
    }

    #[test]
    fn without_the_range_the_index_of_a_bowl_is_that_of_its_curvatures() {
        // T_j = l^2 d^T H d for Gaussian d: mean tr H, variance 2 tr H^2.
        let lines = RoughnessConfig { directions: 1500, divisor: Divisor::Length, ..gaussian() };
        fn bowl(w: Tensor<'_>) -> Tensor<'_> {
            let root =
                w.builder().constant(Array::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap());
            (w.square() * root).sum_all() * 0.5
        }
        let found = of(&lines, &[0.0; 4], bowl);
        let expected = (2.0f64 * 30.0).sqrt() / 10.0;
        let off = (found.index.value - expected) / found.index.standard_error;
        assert!(off.abs() < 3.0, "{} {expected}", found.index.value);
        let mean = found.mean.value * 2.0 * 0.01 / (0.01 * 0.01);
        assert!((mean - 10.0).abs() < 4.0 * found.mean.standard_error * 200.0, "{mean}");
        let whole = of(&RoughnessConfig { divisor: Divisor::One, ..lines }, &[0.0; 4], bowl);
        assert!((whole.index.value - found.index.value).abs() < 1e-12);
    }

    /// How often the bar of the index and its interval hold the index of very many lines, each drawn from
    /// a stream of its own.
    fn covered(divisor: Divisor, draw: impl Fn(&Stream) -> (f64, f64)) -> [usize; 2] {
        let config = RoughnessConfig { divisor, ..gaussian() };
        let lines = |seed: u64, lines: u64| -> Vec<Line> {
            let stream = Stream::new(seed, "lines");
            let line = |j: u64| {
                let (total, range) = draw(&stream.at(j));
                Line::Varies { total, range }
            };
            (0..lines).map(line).collect()
        };
        let executor = Executor::new(1);
        let read = |seed: u64, lines: &[Line]| {
            summarize(&Context::new(&executor, seed), &config, lines).unwrap()
        };
        let many = lines(1 << 32, 400_000);
        let variation = |line: &Line| match (line, divisor) {
            (Line::Varies { total, range }, Divisor::LengthAndRange) => total / range,
            (Line::Varies { total, .. }, _) => *total,
            _ => f64::NAN,
        };
        let truth = relative_spread(&many.iter().map(variation).collect::<Vec<_>>());
        let mut covered = [0; 2];
        for seed in 0..200 {
            let found = read(seed, &lines(seed, 50));
            covered[0] += usize::from(found.index.interval(0.95).unwrap().contains(truth));
            covered[1] += usize::from(found.interval.contains(truth));
        }
        covered
    }

    #[test]
    fn bars_of_the_index_cover() {
        // A slope and a curvature: lines on which the loss turns, and others on which it does not.
        let parabola = |draws: &Stream| {
            let (slope, curvature) = (draws.normal(0), 1.0 + draws.normal(1).powi(2));
            let (left, right) = (0.5 * curvature - slope, 0.5 * curvature + slope);
            let turn = -slope / curvature;
            let lowest = if turn.abs() < 1.0 { -0.5 * slope * slope / curvature } else { f64::NAN };
            let low = left.min(right).min(lowest);
            let total =
                if turn.abs() < 1.0 { left + right - 2.0 * lowest } else { (left - right).abs() };
            (total, left.max(right) - low)
        };
        // The middle of a bowl: the curvatures along the lines, a sum of squares.
        let bowl = |draws: &Stream| {
            let total = (0..12).map(|i| (1.0 + i as f64) * draws.normal(i).powi(2)).sum::<f64>();
            (total, total)
        };
        let found = [covered(Divisor::LengthAndRange, parabola), covered(Divisor::Length, bowl)];
        assert!(found.concat().iter().all(|count| (180..=198).contains(count)), "{found:?}");
    }

    #[test]
    fn a_linear_loss_is_monotone() {
        let found = of(&gaussian(), &[1.0, 2.0, 3.0, 4.0], |w| w.sum_all() * 3.0);
        assert!(found.variations.iter().all(|v| (v * 0.02 - 1.0).abs() < 1e-9));
        assert!(found.index.value < 1e-9 && found.turning == 0.0);
        assert_eq!((found.flat, found.not_finite, found.variations.len()), (0, 0, 50));
    }

    #[test]
    fn the_index_does_not_know_the_scale_of_the_loss() {
        let at = [0.5, -1.0, 0.3, 0.8];
        fn loss(w: Tensor<'_>) -> Tensor<'_> {
            (w * 300.0).sin().sum_all() + w.square().sum_all()
        }
        let one = of(&RoughnessConfig::default(), &at, loss);
        let other = of(&RoughnessConfig::default(), &at, |w| loss(w) * 7.0 + 5.0);
        assert!(one.index.value > 0.05 && one.turning > 0.5);
        assert!((one.index.value - other.index.value).abs() < 1e-9);
        assert!(one.interval.contains(one.index.value) && one.index.standard_error > 0.0);
    }

    #[test]
    fn what_is_flat_or_not_finite_is_counted() {
        let flat = of(&gaussian(), &[1.0; 4], |w| w.sum_all() * 0.0 + 2.0);
        assert_eq!((flat.flat, flat.variations.len()), (50, 50));
        assert!(flat.index.value.is_nan() && flat.variations.iter().all(|v| v.is_nan()));
        let broken = of(&gaussian(), &[0.0; 4], |w| w.sqrt().sum_all());
        assert_eq!(broken.not_finite, 50);
    }

    #[test]
    fn lines_that_are_left_out_keep_their_place() {
        // From the middle a line of half width 0.01 goes where a root is not finite if an element of
        // its direction is larger than one.
        fn edge(w: Tensor<'_>) -> Tensor<'_> {
            (w + 0.01).sqrt().sum_all()
        }
        let found = of(&gaussian(), &[0.0; 4], edge);
        let kept = found.variations.iter().filter(|v| v.is_finite()).count();
        assert!(found.not_finite > 0 && kept > 1 && kept + found.not_finite == 50);
        // Line j is that of its own draws, whoever is left out before it.
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let function = Function::new(DType::F64, &[("w", &[2, 2])], |_, w| edge(w[0]));
        let point = function.point(&[0.0; 4]).unwrap();
        for (j, found) in found.variations.iter().enumerate() {
            let direction = line(&ctx, &function, &point, &gaussian(), j).unwrap().flatten();
            let reaches = direction.iter().any(|d| d.abs() > 1.0);
            assert_eq!(found.is_nan(), reaches, "line {j}: {direction:?}");
        }
    }

    #[test]
    fn a_line_of_the_unit_sphere_has_length_one_without_arrays_of_one_axis() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let shapes: [(&str, &[usize]); 2] = [("w", &[2, 2]), ("b", &[2])];
        let function = Function::new(DType::F64, &shapes, |_, w| {
            w[0].square().sum_all() + w[1].square().sum_all()
        });
        let point = function.point(&[0.0, 0.0, 0.0, 3.0, 1.0, 1.0]).unwrap();
        let sphere = RoughnessConfig { normalize: Normalize::UnitSphere, ..gaussian() };
        let [unit, gaussian] = [sphere, gaussian()]
            .map(|config| line(&ctx, &function, &point, &config, 3).unwrap().flatten());
        let length = vector::norm(&gaussian);
        for (unit, gaussian) in unit.iter().zip(&gaussian) {
            assert!((unit - gaussian / length).abs() < 1e-15);
        }
        assert_eq!(&unit[4..], [0.0, 0.0]);
        // At the middle of a bowl all lines turn once, however long they are.
        let bowl = of(&sphere, &[0.0; 4], |w| w.square().sum_all());
        assert!(bowl.index.value < 1e-9 && bowl.turning == 1.0);
    }

    #[test]
    fn lines_of_two_points_are_paired_only_where_none_is_left_out() {
        let terms = |reading: &Roughness| -> Vec<bool> {
            RoughnessIndex::quantities(reading).iter().map(|q| q.terms.is_some()).collect()
        };
        let whole = of(&gaussian(), &[0.5; 4], |w| w.square().sum_all());
        assert_eq!(terms(&whole), [false, true]);
        assert_eq!(terms(&Roughness { flat: 1, ..whole.clone() }), [false, false]);
        assert_eq!(terms(&Roughness { not_finite: 1, ..whole }), [false, false]);
    }
}
