//! One more example moves the loss surface less the more there are, more in deep networks and less
//! in wide ones.
//!
//! # Protocol
//! Networks without biases (ReLU, PyTorch's initial weights) are trained on all 1,797 digits, pixels
//! in -1 to 1: Adam at 1e-3, batches of 64, 30 epochs. Widths 4 to 64 with five hidden layers, depths
//! 1 to 8 of width 16, ten seeds each, every network kept whatever it learned. Of each network
//! `C = mean of (k + 1) |L_{k+1} - L_k|` over 100 orders of the examples and `k` from 300 to 1700.
//! Deciding: the mean over seeds of Spearman's correlation of `C` with width, and with depth.
//!
//! That the change falls like `1 / k` is an identity of means, not a property of networks
//! ([`loss_increments`]): it is a gate here and decides nothing.
//!
//! Beside it, of ten digits, one of each class, and every network: how the largest eigenvalue of the
//! example's Gauss-Newton matrix compares with the paper's bound and with that of the products of norms
//! ([`example_hessian_bound`]); that the latter holds is a gate. And the number of examples from which
//! one more changes the smoothed mean loss by less than 0.001.
//!
//! # Departures
//! Digits in place of MNIST, 30 epochs in place of 10, because a digit network of width 4 takes
//! longer. Intervals of the means by Student's t.
//!
//! # Source    Kiselev, Grabovoy, Unraveling the Hessian, 2024, arXiv 2409.11995

use crate::bench::{Bench, TrainedNetwork};
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::data::all_digits;
use crate::statistic::{mean, median};
use crate::work;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::surface::{example_hessian_bound, loss_increments};
use thalweg_nn::architecture::Mlp;
use thalweg_nn::{Architecture, Loss, Model, Parameters};
use thalweg_stats::{Bound, fit_line, spearman};
use thalweg_train::{Evaluator, Length, Member, Optimizer, Schedule, TrainConfig};

/// The check.
pub(crate) struct LandscapeSampleConvergence;

const EXAMPLES: usize = 1797;
const BATCH: usize = 64;
/// Range of `k` over which the height is averaged.
const HEIGHT: (usize, usize) = (300, 1700);
/// Range of `k` over which the slope is fitted.
const SLOPE: (usize, usize) = (50, 1700);
/// Distances from the trained point at which the height is read again.
const RADII: [f64; 3] = [0.1, 0.2, 0.4];
/// A change of the mean loss that is small, and how it is smoothed: as the authors do.
const TOLERANCE: f64 = 1e-3;
const SMOOTHING: f64 = 0.99;
/// Examples whose curvature is bounded: the first ones are a digit of each class.
const BOUNDED: usize = 10;

/// The two series of networks, each as (what varies, hidden layers).
fn series(scale: Scale) -> [Vec<(f64, Vec<usize>)>; 2] {
    let (widths, depths): (&[usize], &[usize]) = match scale {
        Scale::Whole => (&[4, 8, 16, 32, 64], &[1, 2, 4, 6, 8]),
        Scale::Sample => (&[4, 64], &[1, 8]),
    };
    [
        widths.iter().map(|&width| (width as f64, vec![width; 5])).collect(),
        depths.iter().map(|&depth| (depth as f64, vec![16; depth])).collect(),
    ]
}

fn mlp(hidden: &[usize]) -> Mlp {
    Mlp { hidden: hidden.to_vec(), bias: false, ..Mlp::default() }
}

fn model(hidden: &[usize]) -> Result<Model> {
    Ok(Architecture::from(mlp(hidden)).build(&[64], 10)?)
}

/// Random orders of the examples.
fn orders(scale: Scale) -> usize {
    match scale {
        Scale::Whole => 100,
        Scale::Sample => 4,
    }
}

fn epochs(scale: Scale) -> u64 {
    match scale {
        Scale::Whole => 30,
        Scale::Sample => 2,
    }
}

/// What is read off one network.
struct Height {
    /// `C` at the trained point.
    at: f64,
    slope: f64,
    accuracy: f64,
    /// Examples from which one more changes little; NaN where all are too few.
    advice: f64,
    /// `C` at each of the radii.
    around: Vec<f64>,
}

impl Height {
    const COUNT: usize = 4 + RADII.len();

    fn numbers(&self) -> Vec<f64> {
        [&[self.at, self.slope, self.accuracy, self.advice], self.around.as_slice()].concat()
    }

    fn from_numbers(numbers: &[f64]) -> Option<Height> {
        let &[at, slope, accuracy, advice, ref around @ ..] = numbers else { return None };
        Some(Height { at, slope, accuracy, advice, around: around.to_vec() })
    }
}

impl Check for LandscapeSampleConvergence {
    fn slug(&self) -> &'static str {
        "landscape_sample_convergence"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let seeds: u64 = if scale == Scale::Whole { 10 } else { 2 };
        let mut flops = 0;
        for (_, hidden) in series(scale).concat() {
            let model = model(&hidden)?;
            let steps = epochs(scale) * (EXAMPLES / BATCH) as u64;
            flops += work::training(&model, BATCH, steps, seeds as usize)?;
            flops += work::forward(&model, EXAMPLES * (1 + RADII.len()) * seeds as usize)?;
            // The matrix has a direction for each class.
            flops += work::products(&model, 1, 10 * BOUNDED * seeds as usize)?;
        }
        Ok(Protocol {
            data: "all 1,797 digits of 8x8, pixels in -1 to 1".into(),
            arms: vec![
                "widths 4 to 64 of five hidden layers".into(),
                "depths 1 to 8 of width 16".into(),
            ],
            settings: 1,
            seeds: (root..root + seeds).collect(),
            parts: vec![
                Part {
                    name: "correlation with width",
                    statistic: "Spearman's correlation of a network's height C with its width",
                    bound: Bound::below(0.0),
                },
                Part {
                    name: "correlation with depth",
                    statistic: "Spearman's correlation of a network's height C with its depth",
                    bound: Bound::above(0.0),
                },
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        // Exponential losses of scale s have the mean absolute deviation 2 s / e.
        let stream = Stream::new(bench.root(), "papers/planted losses");
        let height = |scale: f64| -> Result<f64> {
            let draws = (0..EXAMPLES as u64).map(|i| -scale * (1.0 - stream.uniform(i)).ln());
            let found =
                loss_increments(&draws.collect::<Vec<f64>>(), 100, &stream.child("orders"))?;
            Ok(found.height(HEIGHT.0, HEIGHT.1))
        };
        let (one, three) = (height(1.0)?, height(3.0)?);
        let expected = 2.0 / std::f64::consts::E;
        let passed = (one / expected - 1.0).abs() < 0.1 && (three / one - 3.0).abs() < 1e-9;
        let found = format!("C is {one:.4} and {three:.4}, expected {expected:.4} and three times");
        Ok(vec![Gate::new("planted losses of known spread give their height", passed, found)])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "The trend is that of how well a network fits its data: C is the mean absolute deviation \
             of the losses, up to a factor that tends to one. Networks of width 4 and 8 do not differ. \
             The paper's bound of an example's curvature held for each one tried, half a million times \
             too large in the median, that by products of norms 380 times.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let members = Member::product(&seeds, &[1e-3]);
        let mut findings = Findings::default();
        let (mut slopes, mut fits, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let names = ["width", "depth"];
        for (name, nets) in names.into_iter().zip(series(bench.scale())) {
            // Of each network in the series, each seed's.
            let mut heights: Vec<Vec<Height>> = Vec::new();
            for (value, hidden) in &nets {
                let key = format!("{name} {value}");
                let networks = trained(bench, &key, hidden, &members)?;
                let found = heights_of(bench, &key, hidden, &networks, &members)?;
                let average = mean(&found.iter().map(|h| h.at).collect::<Vec<_>>())?;
                findings.read_with(format!("mean C at {name} {value}"), &average);
                let advice = median(&found.iter().map(|h| h.advice).collect::<Vec<_>>());
                let what = "median number of examples from which one more changes less than 0.001";
                findings.read(format!("{what} at {name} {value}"), advice);
                heights.push(found);
                bounds.extend(bounds_of(bench, &key, hidden, &networks)?);
            }
            let values: Vec<f64> = nets.iter().map(|(value, _)| *value).collect();
            let rank = |seed: usize, least: f64| -> Result<f64> {
                let kept = values.iter().zip(&heights);
                let kept = kept.filter(|(_, h)| h[seed].accuracy >= least);
                let (x, y): (Vec<f64>, Vec<f64>) =
                    kept.map(|(value, h)| (*value, h[seed].at)).unzip();
                Ok(spearman(&x, &y)?)
            };
            let all: Vec<f64> = (0..seeds.len()).map(|s| rank(s, 0.0)).collect::<Result<_>>()?;
            findings.parts.push(mean(&all)?);
            // Of networks that learned something; a seed with fewer than three says nothing.
            let learned =
                |seed: &usize| heights.iter().filter(|h| h[*seed].accuracy >= 0.2).count() >= 3;
            let kept: Vec<usize> = (0..seeds.len()).filter(learned).collect();
            let ranks: Vec<f64> = kept.iter().map(|&s| rank(s, 0.2)).collect::<Result<_>>()?;
            if ranks.len() > 1 && ranks.iter().all(|rank| rank.is_finite()) {
                let label = format!("correlation with {name} without networks at chance");
                findings.read_with(label, &mean(&ranks)?);
            }
            for height in heights.iter().flatten() {
                slopes.push(height.slope);
                let squares: Vec<f64> = RADII.iter().map(|r| r * r).collect();
                let rises: Vec<f64> = height.around.iter().map(|c| c - height.at).collect();
                fits.push(fit_line(&squares, &rises)?.r_squared);
            }
        }
        let slope = median(&slopes);
        findings.gates.push(Gate::new(
            "the change falls like 1 / k, as an identity has it",
            (-1.15..=-0.85).contains(&slope),
            format!("median slope {slope:.3} in logarithms"),
        ));
        findings
            .read("median R^2 of C's rise over the squared distance from the point", median(&fits));
        read_bounds(&mut findings, &bounds);
        Ok(findings)
    }
}

/// What the Gauss-Newton norms of examples say of their bounds.
fn read_bounds(findings: &mut Findings, bounds: &[Bounded]) {
    // By how much a bound lies above the norm of an example that has one, and in how many cases.
    let above = |bound: fn(&Bounded) -> f64| -> Vec<f64> {
        let known = bounds.iter().filter(|of| of.norm > 0.0);
        known.map(|of| bound(of) / of.norm).collect()
    };
    let (products, theorem) = (above(|of| of.products), above(|of| of.theorem));
    let closest = products.iter().copied().fold(f64::INFINITY, f64::min);
    let held = theorem.iter().filter(|times| **times >= 1.0).count() as f64;
    let largest = bounds.iter().map(|of| of.norm).fold(0.0, f64::max);
    findings.gates.push(Gate::new(
        "no example's Gauss-Newton norm exceeds its bound by products of norms",
        closest >= 1.0 - 1e-9,
        format!(
            "the bound is at least {closest:.3} times the norm, of {} examples",
            products.len()
        ),
    ));
    findings
        .read("share of examples for which the paper's bound holds", held / theorem.len() as f64);
    findings.read("median of the paper's bound over an example's norm", median(&theorem));
    findings.read("median of the bound by products over an example's norm", median(&products));
    findings.read("largest Gauss-Newton norm of an example", largest);
}

/// The networks of one shape.
fn trained(
    bench: &Bench<'_>,
    key: &str,
    hidden: &[usize],
    members: &[Member],
) -> Result<Vec<TrainedNetwork>> {
    let examples = all_digits(DType::F32)?;
    let config = TrainConfig {
        optimizer: Optimizer::adam(),
        schedule: Schedule::default(),
        batch: BATCH,
        length: Length::Epochs(epochs(bench.scale())),
        ..TrainConfig::default()
    };
    let trainer = bench.trainer(&model(hidden)?, &examples, config)?;
    bench.train(&format!("networks/{key}"), &trainer, members)
}

/// The curvature that an example gives a network, and what bounds it.
struct Bounded {
    norm: f64,
    products: f64,
    theorem: f64,
}

/// Of each network, that of some of the examples.
fn bounds_of(
    bench: &Bench<'_>,
    key: &str,
    hidden: &[usize],
    networks: &[TrainedNetwork],
) -> Result<Vec<Bounded>> {
    let numbers = bench.numbers(&format!("bounds/{key}"), || {
        let ctx = bench.exact()?.with_units(&thalweg_methods::Silent);
        let inputs = all_digits(DType::F64)?.input_rows(0..BOUNDED)?.remove(0);
        let mut numbers = Vec::new();
        for network in networks {
            let found = example_hessian_bound(&ctx, &mlp(hidden), &network.weights, &inputs)?;
            let bounds = found.products.iter().zip(&found.theorem);
            let rows = found.norms.iter().zip(bounds);
            numbers
                .extend(rows.flat_map(|(norm, (products, theorem))| [*norm, *products, *theorem]));
        }
        Ok(numbers)
    })?;
    let (rows, _) = numbers.as_chunks::<3>();
    Ok(rows.iter().map(|&[norm, products, theorem]| Bounded { norm, products, theorem }).collect())
}

/// What is read off the networks of one shape.
fn heights_of(
    bench: &Bench<'_>,
    key: &str,
    hidden: &[usize],
    networks: &[TrainedNetwork],
    members: &[Member],
) -> Result<Vec<Height>> {
    let numbers = bench.numbers(&format!("heights/{key}"), || {
        let (model, examples) = (model(hidden)?, all_digits(DType::F32)?);
        let evaluator =
            Evaluator::new(bench.executor(), model, Loss::default(), examples, EXAMPLES)?;
        let mut numbers = Vec::new();
        for (network, member) in networks.iter().zip(members) {
            numbers.extend(height_of(bench, &evaluator, network, member.seed)?.numbers());
        }
        Ok(numbers)
    })?;
    Ok(numbers.chunks(Height::COUNT).filter_map(Height::from_numbers).collect())
}

fn height_of(
    bench: &Bench<'_>,
    evaluator: &Evaluator,
    network: &TrainedNetwork,
    seed: u64,
) -> Result<Height> {
    let stream = Stream::new(seed, "papers/sample convergence");
    let direction = unit(&network.weights.parameters, &stream.child("direction"))?;
    let mut points = vec![network.weights.clone()];
    for radius in RADII {
        let mut moved = network.weights.clone();
        moved.parameters = moved.parameters.add_scaled(radius, &direction)?;
        points.push(moved);
    }
    let found = evaluator.evaluate(&points, &bench.resources())?;
    let mut heights = Vec::new();
    let (mut slope, mut advice) = (f64::NAN, f64::NAN);
    let orders = orders(bench.scale());
    for evaluation in &found {
        let increments = loss_increments(&evaluation.losses, orders, &stream.child("orders"))?;
        if heights.is_empty() {
            slope = increments.slope(SLOPE.0, SLOPE.1)?;
            let enough = increments.sample_size_advice(TOLERANCE, SMOOTHING)?;
            advice = enough.map_or(f64::NAN, |k| k as f64);
        }
        heights.push(increments.height(HEIGHT.0, HEIGHT.1));
    }
    let around = heights.split_off(1);
    let accuracy = found[0].accuracy.unwrap_or(f64::NAN);
    Ok(Height { at: heights[0], slope, accuracy, advice, around })
}

/// A random direction of length one.
fn unit(like: &Parameters, stream: &Stream) -> Result<Parameters> {
    let draws: Vec<f64> = (0..like.count() as u64).map(|i| stream.normal(i)).collect();
    let norm = draws.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scaled: Vec<f64> = draws.iter().map(|x| x / norm).collect();
    Ok(like.unflatten(&scaled)?)
}
