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
//! sharpness over those widths that do not diverge at one rate. And with one seed at the best rate of width
//! 32 the rescaled sharpness and the loss every 50 steps, and how far those of width 128 are from those of 256
//! as a share ([`relative_gaps`]): super consistent is what does not come apart with time.
//!
//! # Departures
//! Lanczos in place of power iteration, which is not behind it after as many products. Intervals by
//! Student's t in place of the bootstrap, see [`crate::statistic::mean`]. At width 32 both are the same
//! runs and run once; that the rules of both give them is a gate.
//!
//! # Source    Noci, Meterez, Hofmann, Orvieto, Super consistency of neural network landscapes and
//! learning rate transfer, 2024, arXiv 2402.17457

mod runs;

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::spectrum;
use crate::statistic::mean;
use crate::work;
use runs::{PRODUCTS, Width, data, model, over_time, trained, width};
use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_methods::Silent;
use thalweg_methods::curvature::curvature_split;
use thalweg_methods::dynamics::{learning_rate_transfer, relative_gaps};
use thalweg_nn::{Loss, Parametrization};
use thalweg_stats::{Bound, fit_line};
use thalweg_train::initialize;

/// The check.
pub(crate) struct SuperConsistency;

const DEPTH: usize = 3;
/// `gamma_0` of what decides, and of what is read beside it.
const GAMMAS: [f64; 2] = [1.0, 4.0];

struct Sizes {
    widths: &'static [usize],
    examples: usize,
    steps: u64,
    /// Steps between two looks at a run.
    every: u64,
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
            every: 50,
            seeds: 4,
            rates: -2..=8,
        },
        Scale::Sample => Sizes {
            widths: &[4, 8, 16],
            examples: 40,
            steps: 10,
            every: 10,
            seeds: 2,
            rates: -2..=0,
        },
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

    /// The name of its runs of a width: one at the first width, whatever it is called.
    fn name_at(self, sizes: &Sizes, width: usize) -> &'static str {
        if width == sizes.widths[0] { "both" } else { self.name() }
    }

    fn parametrization(self) -> Parametrization {
        match self {
            Arm::MaximalUpdate => Parametrization::MaximalUpdate,
            Arm::NeuralTangent => Parametrization::NeuralTangent,
        }
    }
}

fn rates(sizes: &Sizes) -> Vec<f64> {
    sizes.rates.clone().map(|half| (f64::from(half) / 2.0).exp2()).collect()
}

/// Trains one seed of a width by the rule of each, and counts the weights that differ.
fn differing(bench: &Bench<'_>, width: usize) -> Result<[f64; 2]> {
    bench.row(&format!("gate/{width}"), || {
        let sizes = sizes(bench.scale());
        let mut ends = Vec::new();
        for arm in ARMS {
            let model = model(&sizes, arm, 1.0, width)?;
            let key = format!("gate/networks/{}/{width}", arm.name());
            let found = trained(bench, &key, &model, &[bench.root()])?;
            let flat = found.iter().flat_map(|end| end.weights.parameters.flatten());
            ends.push(flat.collect::<Vec<f64>>());
        }
        let differ = ends[0].iter().zip(&ends[1]).filter(|(a, b)| a.to_bits() != b.to_bits());
        Ok([differ.count() as f64, ends[0].len() as f64])
    })
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
            let model = model(&sizes, Arm::NeuralTangent, 1.0, width)?;
            let arms = if i == 0 { 1 } else { ARMS.len() };
            // One seed more for the larger gamma.
            let seeds = arms * (sizes.seeds as usize + 1);
            flops += work::training(&model, sizes.examples, sizes.steps, seeds * n_rates)?;
            // The Hessian, its part, and both for the rest.
            flops += work::products(&model, sizes.examples, 4 * PRODUCTS * seeds)?;
            // One seed at one rate, along its training.
            let looks = (sizes.steps / sizes.every.max(1) + 1) as usize;
            flops += work::training(&model, sizes.examples, sizes.steps, arms)?;
            flops += work::products(&model, sizes.examples, PRODUCTS * arms * looks)?;
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
        let (first, second) = (sizes.widths[0], sizes.widths[1]);
        let at_start = model(&sizes, Arm::NeuralTangent, 1.0, first)?;
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
        let ([none, all], [some, others]) = (differing(bench, first)?, differing(bench, second)?);
        let base = Gate::new(
            "at the base width the rules of both give one network, bit for bit, and at the next do not",
            none == 0.0 && all > 0.0 && some > 0.5 * others,
            format!(
                "{none:.0} of {all:.0} trained weights differ at width {first}, {some:.0} of {others:.0} at \
                 width {second}"
            ),
        );
        Ok(vec![split, base])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "The verdict concerns the sharpness part of the claim alone, by a rule that compares \
             both at width 256. Under maximal update the edge is reached from width 128 on (0.51, \
             0.84, 0.96 and 1.00 at widths 32 to 256). Under the neural tangent's it stays at \
             about a half at all widths (0.51, 0.56, 0.56, 0.47): the edge is not reached, but it \
             is not moved away from either. The transfer of rates is not seen at these sizes: the \
             best one rises by an octave from width 32 to 256 under maximal update, and not at \
             all under the other; at gamma 4, of one seed, it is the other way round. Along \
             training at a common rate, from step 50 on, the sharpnesses of the two widest differ \
             by 0.14 to 0.19 of their size under maximal update and by 0.23 to 0.25 under the \
             other, their losses by 0.30 to 0.59 and by 0.21 to 0.33.",
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
        // One seed at a rate that is common to all, along its training.
        let common = rates[all[0][0].rate];
        for arm in ARMS {
            let of = |&n: &usize| over_time(bench, arm, n, common, seeds[0]);
            let traces = sizes.widths.iter().map(of).collect::<Result<Vec<_>>>()?;
            for (place, what) in ["rescaled sharpness", "loss"].into_iter().enumerate() {
                let values: Vec<Vec<f64>> = traces.iter().map(|of| of[place].clone()).collect();
                let gaps = relative_gaps(&values)?.pop().unwrap_or_default();
                let widest = values.last().map_or(&[][..], Vec::as_slice);
                for (time, (value, gap)) in widest.iter().zip(&gaps).enumerate() {
                    let when = format!("after {} steps, {}", time as u64 * sizes.every, arm.name());
                    findings.read(format!("{what} of the widest at a common rate {when}"), *value);
                    let name =
                        format!("{what}, share between the two widest at a common rate {when}");
                    findings.read(name, *gap);
                }
            }
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
            // What diverged at that rate has no curvature that says anything.
            let kept: Vec<f64> = sharp.iter().copied().filter(|s| s.is_finite()).collect();
            let (low, high) = kept
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
            let spread = (high - low) / (kept.iter().sum::<f64>() / kept.len() as f64);
            findings
                .read(format!("spread of the sharpness at one rate and gamma 4, {name}"), spread);
            let lost = (sharp.len() - kept.len()) as f64;
            findings.read(format!("widths that diverge at one rate and gamma 4, {name}"), lost);
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
        let gammas = |gamma: f64, width: usize| {
            ARMS.map(|arm| runs::network(&sizes, arm, gamma, width).gamma())
        };
        assert_eq!(gammas(1.0, 32), [1.0, 1.0]);
        assert_eq!(gammas(4.0, 128), [8.0, 4.0]);
    }
}
