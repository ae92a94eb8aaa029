//! In the parametrisation of maximal update the rescaled sharpness at the best learning rate comes to
//! the edge of stability at every width; in that of the neural tangent kernel it moves away from the
//! edge as networks get wider. The verdict concerns this part of the claim alone, and not the transfer of
//! learning rates, which does not tell the two apart at these sizes.
//!
//! # Protocol
//! [`ScaledResidual`] with three residual layers, depth scaled, widths 32, 64, 128 and 256, `gamma` one
//! (neural tangent) or `sqrt(N / 32)` (maximal update); half the squared error to centred one-hot targets
//! on 300 digits, pixels in -1 to 1; gradient descent on all of them for 250 steps at rate `eta gamma^2`,
//! `eta` from 1/2 to 16 by half octaves, four seeds. A run whose loss ends above its start counts as
//! diverged. The best `eta` of a width is that of the lowest mean loss over seeds, none of which may
//! diverge. There `e = eta gamma^2 lambda / 2` with the Hessian's largest eigenvalue at the end (at most
//! 30 Lanczos products): 1 is the edge of stability.
//!
//! Deciding, over seeds: `e` at width 256, maximal update minus neural tangent; the distance of `e` at
//! widths 256 and 128 under maximal update; the slope of the log loss at the best rate on `log2` of the
//! width, neural tangent minus maximal update. Beside them the best rates and their drift, the parts of
//! the Hessian, and with one seed at `gamma` four times as large the drift and the spread of the rescaled
//! sharpness over widths at one rate.
//!
//! # Departures
//! Lanczos in place of power iteration, which is not behind it after as many products. Intervals by
//! Student's t in place of the bootstrap, see [`crate::statistic::mean`]. At width 32 both are the same
//! runs and run once.
//!
//! # Source    Noci, Meterez, Hofmann, Orvieto, Super consistency of neural network landscapes and
//! learning rate transfer, 2024, arXiv 2402.17457

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::data::digit_rows;
use crate::spectrum;
use crate::statistic::mean;
use crate::work;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::Silent;
use thalweg_methods::curvature::curvature_split;
use thalweg_methods::dynamics::{ScaledResidual, learning_rate_transfer};
use thalweg_nn::{Loss, Model, Weights};
use thalweg_stats::{Bound, fit_line};
use thalweg_train::{Examples, Length, Member, Optimizer, Schedule, TrainConfig, initialize};

/// The check.
pub(crate) struct SuperConsistency;

const DEPTH: usize = 3;
const PRODUCTS: usize = 30;
/// `gamma_0` of what decides, and of what is read beside it.
const GAMMAS: [f64; 2] = [1.0, 4.0];

struct Sizes {
    widths: &'static [usize],
    examples: usize,
    steps: u64,
    seeds: u64,
    /// Twice the binary logarithms of the rates.
    rates: std::ops::RangeInclusive<i32>,
}

fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            widths: &[32, 64, 128, 256],
            examples: 300,
            steps: 250,
            seeds: 4,
            rates: -2..=8,
        },
        Scale::Sample => {
            Sizes { widths: &[4, 8, 16], examples: 40, steps: 10, seeds: 2, rates: -2..=0 }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Arm {
    MaximalUpdate,
    NeuralTangent,
}

const ARMS: [Arm; 2] = [Arm::MaximalUpdate, Arm::NeuralTangent];

impl Arm {
    fn name(self) -> &'static str {
        match self {
            Arm::MaximalUpdate => "maximal update",
            Arm::NeuralTangent => "neural tangent",
        }
    }

    fn gamma(self, sizes: &Sizes, gamma: f64, width: usize) -> f64 {
        match self {
            Arm::NeuralTangent => gamma,
            Arm::MaximalUpdate => gamma * (width as f64 / sizes.widths[0] as f64).sqrt(),
        }
    }
}

fn rates(sizes: &Sizes) -> Vec<f64> {
    sizes.rates.clone().map(|half| (f64::from(half) / 2.0).exp2()).collect()
}

fn model(gamma: f64, width: usize) -> Result<Model> {
    let network =
        ScaledResidual { width, depth: DEPTH, outputs: 10, gamma, skips: true, scales_depth: true };
    Ok(network.model(64)?)
}

fn data(sizes: &Sizes) -> Result<Examples> {
    let (rows, labels) = digit_rows()?;
    let order = Stream::new(0, "papers/digits").permutation(rows.len());
    let (mut pixels, mut targets) = (Vec::new(), Vec::new());
    for &row in &order[..sizes.examples.min(order.len())] {
        pixels.extend(rows[row].iter().map(|x| 2.0 * x - 1.0));
        targets.extend((0..10).map(|class| f64::from(u8::from(labels[row] == class)) - 0.1));
    }
    let n = targets.len() / 10;
    let array = |width: usize, values: &[f64]| -> Result<Array> {
        Ok(Array::from_slice(&[n, width], values)?.convert(DType::F32))
    };
    Ok(Examples::from_arrays(array(64, &pixels)?, array(10, &targets)?, false, DType::F32)?)
}

fn losses(bench: &Bench<'_>, model: &Model, weights: &[Weights]) -> Result<Vec<f64>> {
    let data = data(&sizes(bench.scale()))?;
    let found = bench.evaluations(model, Loss::HalfSquaredError, &data, weights)?;
    Ok(found.into_iter().map(|found| found.loss).collect())
}

/// What a width gave.
#[derive(Clone)]
struct Width {
    /// Final losses, `[rate][seed]`; infinite of those that diverged.
    losses: Vec<Vec<f64>>,
    /// Of the best rate or that asked for, of each seed: the largest eigenvalues of the Hessian, of its
    /// Gauss-Newton part and of the rest, times `gamma^2`.
    curvature: Vec<[f64; 3]>,
    /// The place of that rate.
    rate: usize,
}

/// Trains one width at every rate. `at` is the rate whose ends are looked at, the best if none is asked
/// for.
fn width(
    bench: &Bench<'_>,
    arm: Arm,
    gamma: f64,
    width: usize,
    seeds: &[u64],
    at: Option<usize>,
) -> Result<Width> {
    let sizes = sizes(bench.scale());
    let rates = rates(&sizes);
    // One network at the first width, whatever it is called.
    let name = if width == sizes.widths[0] { "both" } else { arm.name() };
    let scaled = arm.gamma(&sizes, gamma, width);
    let model = model(scaled, width)?;
    let found = bench.numbers(&format!("losses/{name}/{gamma}/{width}"), || {
        let networks = trained(bench, name, gamma, &model, scaled, width, seeds)?;
        let ends: Vec<Weights> = networks.iter().map(|(weights, _)| weights.clone()).collect();
        let starts = seeds
            .iter()
            .map(|&seed| Ok(initialize(&model, seed, DType::F32)?))
            .collect::<Result<Vec<_>>>()?;
        let starts = losses(bench, &model, &starts)?;
        let ends = losses(bench, &model, &ends)?;
        // For each rate every seed.
        let judged = ends.iter().zip(&networks).enumerate().map(|(i, (&end, (_, finished)))| {
            let trained = *finished && end.is_finite() && end <= starts[i % seeds.len()];
            if trained { end } else { f64::INFINITY }
        });
        Ok(judged.collect())
    })?;
    if found.len() != rates.len() * seeds.len() {
        let text =
            format!("stored losses: expected {}, got {}", rates.len() * seeds.len(), found.len());
        return Err(LabError::Input(text));
    }
    let losses: Vec<Vec<f64>> = found.chunks(seeds.len()).map(<[f64]>::to_vec).collect();
    let means: Vec<f64> =
        losses.iter().map(|of| of.iter().sum::<f64>() / of.len() as f64).collect();
    let best = learning_rate_transfer(&rates, std::slice::from_ref(&means))?.best[0];
    let rate = at.unwrap_or(best);
    let key = format!("curvature/{name}/{gamma}/{width}/{rate}");
    let numbers = bench.numbers(&key, || {
        let networks = trained(bench, name, gamma, &model, scaled, width, seeds)?;
        let ctx = bench.context().clone().with_units(&Silent);
        let objective = spectrum::objective(&ctx, &model, Loss::HalfSquaredError, &data(&sizes)?)?;
        let mut numbers = Vec::new();
        for (weights, _) in &networks[rate * seeds.len()..(rate + 1) * seeds.len()] {
            let found = curvature_split(&ctx, &objective, weights, PRODUCTS)?;
            let parts = [found.hessian, found.gauss_newton, found.residual];
            numbers.extend(parts.map(|value| value * scaled * scaled));
        }
        Ok(numbers)
    })?;
    let curvature = numbers.chunks_exact(3).map(|of| [of[0], of[1], of[2]]).collect();
    Ok(Width { losses, curvature, rate })
}

/// The ends of every rate and seed, for each rate every seed, and whether each is finite.
fn trained(
    bench: &Bench<'_>,
    name: &str,
    gamma: f64,
    model: &Model,
    scaled: f64,
    width: usize,
    seeds: &[u64],
) -> Result<Vec<(Weights, bool)>> {
    let sizes = sizes(bench.scale());
    let data = data(&sizes)?;
    let config = TrainConfig {
        optimizer: Optimizer::sgd(),
        schedule: Schedule::default(),
        loss: Loss::HalfSquaredError,
        batch: data.len(),
        length: Length::Steps(sizes.steps),
        segment: 25,
        ..TrainConfig::default()
    };
    let trainer = bench.trainer(model, &data, config)?;
    let scaled: Vec<f64> = rates(&sizes).iter().map(|rate| rate * scaled * scaled).collect();
    let key = format!("networks/{name}/{gamma}/{width}");
    let networks = bench.train(&key, &trainer, &Member::product(seeds, &scaled))?;
    Ok(networks.into_iter().map(|network| (network.weights, network.finished)).collect())
}

impl Check for SuperConsistency {
    fn slug(&self) -> &'static str {
        "super_consistency"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let n_rates = rates(&sizes).len();
        let mut flops = 0;
        for (i, &width) in sizes.widths.iter().enumerate() {
            let model = model(1.0, width)?;
            let arms = if i == 0 { 1 } else { ARMS.len() };
            // One seed more for the larger gamma.
            let seeds = arms * (sizes.seeds as usize + 1);
            flops += work::training(&model, sizes.examples, sizes.steps, seeds * n_rates)?;
            // The Hessian, its part, and both for the rest.
            flops += work::products(&model, sizes.examples, 4 * PRODUCTS * seeds)?;
        }
        let part = |name, statistic, bound| Part { name, statistic, bound };
        Ok(Protocol {
            data: "300 digits of 8x8, centred one-hot targets; of the claim only its part on sharpness \
                   is decided"
                .into(),
            arms: ARMS.iter().map(|arm| format!("{}, widths 32 to 256", arm.name())).collect(),
            settings: n_rates,
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part(
                    "edge at the largest width",
                    "eta gamma^2 lambda / 2 at the best rate, maximal update minus neural tangent",
                    Bound::Above { claim: 0.3, opposite: 0.0 },
                ),
                part(
                    "spread of the edge",
                    "its distance between the two largest widths under maximal update",
                    Bound::Below { claim: 0.2, opposite: f64::INFINITY },
                ),
                part(
                    "fall of the loss",
                    "slope of the log loss on log2 of the width, neural tangent minus maximal update",
                    Bound::Above { claim: 0.0, opposite: f64::NEG_INFINITY },
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        let sizes = sizes(bench.scale());
        let at_start = model(1.0, sizes.widths[0])?;
        let weights = initialize(&at_start, bench.root(), DType::F32)?;
        let ctx = bench.context().clone().with_units(&Silent);
        let loss = Loss::HalfSquaredError;
        let objective = spectrum::objective(&ctx, &at_start, loss, &data(&sizes)?)?;
        let found = curvature_split(&ctx, &objective, &weights, 2 * PRODUCTS)?;
        let bounded = found.hessian <= found.gauss_newton + found.residual + 1e-3 * found.hessian;
        let split = Gate::new(
            "the Hessian's largest eigenvalue is not above the sum of its parts'",
            bounded && found.hessian > 0.0,
            format!("{:.4} of {:.4} and {:.4}", found.hessian, found.gauss_newton, found.residual),
        );
        let first = sizes.widths[0];
        let gammas = ARMS.map(|arm| arm.gamma(&sizes, 1.0, first));
        let same = bench.numbers("gate/base width", || {
            let mut ends = Vec::new();
            for (arm, gamma) in ARMS.into_iter().zip(gammas) {
                let model = model(gamma, first)?;
                let key = format!("gate/{}", arm.name());
                let found = trained(bench, &key, gamma, &model, gamma, first, &[bench.root()])?;
                ends.push(found.first().map(|(w, _)| w.parameters.flatten()).unwrap_or_default());
            }
            let differ = ends[0].iter().zip(&ends[1]).filter(|(a, b)| a.to_bits() != b.to_bits());
            Ok(vec![differ.count() as f64, ends[0].len() as f64])
        })?;
        let [differ, all] = same[..] else {
            return Err(LabError::Input("stored unit of a gate: expected 2 numbers".into()));
        };
        let base = Gate::new(
            "at the base width both parametrisations are one, bit for bit",
            differ == 0.0 && all > 0.0,
            format!("{differ:.0} of {all:.0} weights differ"),
        );
        Ok(vec![split, base])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "The verdict concerns the sharpness part of the claim alone. Under maximal update the edge is \
             reached from width 128 on (0.95 and 1.00), under the neural tangent's it is not (0.56 and \
             0.47). The transfer of rates is not seen at these sizes: the best one rises by an octave from \
             width 32 to 256 under maximal update, and not at all under the other; at gamma 4, of one \
             seed, it is the other way round.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let rates = rates(&sizes);
        let last = sizes.widths.len() - 1;
        let mut findings = Findings::default();
        let mut all: Vec<Vec<Width>> = Vec::new();
        for arm in ARMS {
            let of = |&n: &usize| width(bench, arm, GAMMAS[0], n, &seeds, None);
            all.push(sizes.widths.iter().map(of).collect::<Result<_>>()?);
        }
        let edge = |arm: usize, width: usize, seed: usize| {
            let of = &all[arm][width];
            rates[of.rate] * of.curvature[seed][0] / 2.0
        };
        let slope = |arm: usize, seed: usize| -> Result<f64> {
            let logs: Vec<f64> = sizes.widths.iter().map(|width| (*width as f64).log2()).collect();
            let losses: Vec<f64> =
                all[arm].iter().map(|of| of.losses[of.rate][seed].ln()).collect();
            Ok(fit_line(&logs, &losses)?.slope)
        };
        let each = |number: &dyn Fn(usize) -> Result<f64>| -> Result<Vec<f64>> {
            (0..seeds.len()).map(number).collect()
        };
        for samples in [
            each(&|seed| Ok(edge(0, last, seed) - edge(1, last, seed)))?,
            each(&|seed| Ok((edge(0, last, seed) - edge(0, last - 1, seed)).abs()))?,
            each(&|seed| Ok(slope(1, seed)? - slope(0, seed)?))?,
        ] {
            findings.parts.push(mean(&samples)?);
        }
        for (a, arm) in ARMS.iter().enumerate() {
            for (i, n) in sizes.widths.iter().enumerate() {
                let (of, what) = (&all[a][i], format!("{} at width {n}", arm.name()));
                findings.read(format!("log2 of the best rate, {what}"), rates[of.rate].log2());
                findings.read_with(format!("edge, {what}"), &mean(&each(&|s| Ok(edge(a, i, s)))?)?);
                let loss = mean(&each(&|seed| Ok(of.losses[of.rate][seed]))?)?;
                findings.read_with(format!("loss, {what}"), &loss);
                for (part, name) in ["sharpness", "Gauss-Newton", "rest"].into_iter().enumerate() {
                    let found = mean(&each(&|seed| Ok(of.curvature[seed][part]))?)?;
                    findings.read_with(format!("rescaled {name}, {what}"), &found);
                }
            }
            let drift = (rates[all[a][last].rate] / rates[all[a][0].rate]).log2();
            findings.read(format!("drift of the best rate in octaves, {}", arm.name()), drift);
        }
        // One seed with features that move more.
        let one = &seeds[..1];
        for arm in ARMS {
            let first = width(bench, arm, GAMMAS[1], sizes.widths[0], one, None)?;
            let (mut best, mut sharp) = (vec![first.rate], vec![first.curvature[0][0]]);
            for &n in &sizes.widths[1..] {
                let found = width(bench, arm, GAMMAS[1], n, one, Some(first.rate))?;
                let losses: Vec<f64> = found.losses.iter().map(|of| of[0]).collect();
                best.push(learning_rate_transfer(&rates, &[losses])?.best[0]);
                sharp.push(found.curvature[0][0]);
            }
            let name = arm.name();
            let drift = (rates[best[last]] / rates[best[0]]).log2();
            findings.read(format!("drift of the best rate in octaves at gamma 4, {name}"), drift);
            let (low, high) = sharp
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
            let spread = (high - low) / (sharp.iter().sum::<f64>() / sharp.len() as f64);
            findings
                .read(format!("spread of the sharpness at one rate and gamma 4, {name}"), spread);
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_are_half_octaves_and_the_targets_are_centred() {
        let sizes = sizes(Scale::Whole);
        let rates = rates(&sizes);
        assert_eq!((rates.len(), rates[0], rates[10]), (11, 0.5, 16.0));
        assert!((rates[1] / rates[0] - f64::sqrt(2.0)).abs() < 1e-15);
        let data = data(&sizes).unwrap();
        assert_eq!(data.len(), 300);
        let sum: f64 = data.targets().to_f64_vec().iter().sum();
        assert!(sum.abs() < 1e-4);
    }

    #[test]
    fn the_base_width_is_common_to_both() {
        let sizes = sizes(Scale::Whole);
        assert_eq!(ARMS.map(|arm| arm.gamma(&sizes, 1.0, 32)), [1.0, 1.0]);
        assert_eq!(ARMS.map(|arm| arm.gamma(&sizes, 4.0, 128)), [8.0, 4.0]);
    }
}
