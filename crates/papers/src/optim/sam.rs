//! At an equal number of gradients, sharpness-aware minimisation generalises better from wrong labels
//! than gradient descent, and ends where the Hessian's largest eigenvalue is smaller.
//!
//! # Protocol
//! For each seed a stratified split of the digits: 600 to train on, of which 240 get a wrong label, 300
//! to choose settings on, 897 to test on. A network 64-128-128-10 with ReLU, momentum 0.9, batches of
//! 64, a rate that falls along a cosine. Arms: SAM for 60 epochs; gradient descent for 120 epochs (as
//! many gradients) and for 60 (as many steps). Six settings each: SAM's rate 0.05 or 0.1 and rho 0.05,
//! 0.1 or 0.2 without weight decay; the others' rate 0.05 or 0.1 and weight decay 0, 5e-4 or 5e-3.
//! Chosen by the mean accuracy at the end on the 300 over three seeds of their own; the baseline is the
//! length of gradient descent that does better there, at its best setting. Ten fresh seeds, each with its
//! own split, wrong labels, initial weights and order.
//!
//! Deciding, over seeds: SAM's accuracy on the test part at the last step minus the baseline's; the
//! logarithm of the largest Hessian eigenvalue on the 600 (at most 20 Lanczos steps), SAM minus
//! baseline, once with the wrong labels that were trained on and once with the right ones. Beside
//! them the same at equal training loss: the baseline at the first epoch whose mean loss is not above that
//! of SAM's last epoch.
//!
//! # Departures
//! Intervals by Student's t in place of the bootstrap, see [`crate::statistic::mean`]. Weight decay
//! comes after SAM's ascent; here SAM has none. Both kinds of labels decide. Every seed divides the
//! digits anew: the 300 to choose on are none of the test part of their own seed, and half of those
//! of a tuning seed are in the test part of a fresh one, which chooses among six settings for every
//! arm. Of the largest eigenvalue and the worst rise of the loss, which the claim both names, the
//! row decides by the first, and the second is not measured.
//!
//! # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently improving
//! generalization, 2021, arXiv 2010.01412

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::spectrum;
use crate::statistic::{column, mean_if_any, paired};
use crate::tuning::{Choice, Setting};
use crate::work;
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{
    Dataset, Normalization, Provenance, Split, SplitConfig, Stream, Subset, Targets, digits,
};
use thalweg_lab::{LabError, Result};
use thalweg_methods::curvature::{CurvatureMatrix, LanczosConfig, Scope};
use thalweg_nn::{Architecture, Loss, Model, Weights};
use thalweg_stats::Bound;
use thalweg_train::{Ended, Examples, Length, Member, Segment, TrainConfig, Trainer, initialize};

/// The check.
pub(crate) struct Sam;

const BATCH: usize = 64;
const NOISE: f64 = 0.4;
const RATES: [f64; 2] = [0.05, 0.1];
const RADII: [f64; 3] = [0.05, 0.1, 0.2];
const DECAYS: [f64; 3] = [0.0, 5e-4, 5e-3];
const PRODUCTS: usize = 20;

struct Sizes {
    hidden: &'static str,
    /// Examples to train on.
    train: usize,
    /// Examples that products with the Hessian are over.
    curvature: usize,
    epochs: u64,
    seeds: u64,
    tuning_seeds: u64,
}

fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            hidden: "128-128",
            train: 600,
            curvature: 600,
            epochs: 60,
            seeds: 10,
            tuning_seeds: 3,
        },
        Scale::Sample => {
            Sizes { hidden: "8", train: 128, curvature: 64, epochs: 2, seeds: 2, tuning_seeds: 1 }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Arm {
    Sam,
    EqualGradients,
    EqualSteps,
}

const ARMS: [Arm; 3] = [Arm::Sam, Arm::EqualGradients, Arm::EqualSteps];

impl Arm {
    fn name(self) -> &'static str {
        match self {
            Arm::Sam => "SAM",
            Arm::EqualGradients => "gradient descent of equal gradients",
            Arm::EqualSteps => "gradient descent of equal steps",
        }
    }

    fn epochs(self, sizes: &Sizes) -> u64 {
        if self == Arm::EqualGradients { 2 * sizes.epochs } else { sizes.epochs }
    }

    /// Gradients that a step takes.
    fn gradients(self) -> u64 {
        if self == Arm::Sam { 2 } else { 1 }
    }

    fn settings(self) -> Vec<Setting> {
        match self {
            Arm::Sam => Setting::grid(&RATES, "rho", &RADII),
            _ => Setting::grid(&RATES, "weight_decay", &DECAYS),
        }
    }

    fn config(self, sizes: &Sizes) -> Result<TrainConfig> {
        let text = match self {
            Arm::Sam => "sgd:momentum=0.9,rho=0.05",
            _ => "sgd:momentum=0.9,weight_decay=0",
        };
        Ok(TrainConfig {
            optimizer: text.parse()?,
            schedule: "cosine".parse()?,
            batch: BATCH,
            length: Length::Epochs(self.epochs(sizes)),
            // An epoch, so that its end can be looked at.
            segment: (sizes.train / BATCH) as u64,
            ..TrainConfig::default()
        })
    }
}

fn model(sizes: &Sizes) -> Result<Model> {
    Ok(format!("mlp hidden={}", sizes.hidden).parse::<Architecture>()?.build(&[8, 8, 1], 10)?)
}

/// What one seed has of the digits.
struct Parts {
    noisy: Examples,
    clean: Examples,
    validation: Examples,
    test: Examples,
}

fn parts(sizes: &Sizes, seed: u64) -> Result<Parts> {
    const TEST: usize = 897;
    const VALIDATION: usize = 300;
    let known = digits();
    // Without the test part that the digits bring, which is smaller.
    let (Some(inputs), Targets::Classes { labels, .. }) =
        (known.inputs().in_memory(), known.targets())
    else {
        return Err(LabError::Input("digits: expected images with classes".into()));
    };
    let name = known.name();
    let fresh = Dataset::classification(name, inputs, labels, Some(10), Provenance::default())?;
    let all = fresh.len();
    let config = SplitConfig {
        test_fraction: TEST as f64 / all as f64,
        validation_fraction: VALIDATION as f64 / (all - TEST) as f64,
        seed,
    };
    let split = Split::new(Arc::new(fresh), &config)?;
    let Some(validation) = split.validation else {
        return Err(LabError::Input("digits: expected a part for validation".into()));
    };
    let clean = split.train.subsample(sizes.train, &Stream::new(seed, "papers/fewer"))?;
    let noisy = clean.with_label_noise(NOISE, &Stream::new(seed, "papers/label noise"))?;
    let normalization = Normalization::fit(&clean)?;
    let of = |part: &Subset| -> Result<Examples> {
        Ok(Examples::new(part, Some(&normalization), DType::F32)?)
    };
    Ok(Parts {
        noisy: of(&noisy)?,
        clean: of(&clean)?,
        validation: of(&validation)?,
        test: of(&split.test)?,
    })
}

fn trainer(bench: &Bench<'_>, arm: Arm, sizes: &Sizes, parts: &Parts) -> Result<Trainer> {
    bench.trainer(&model(sizes)?, &parts.noisy, arm.config(sizes)?)
}

/// The accuracy of members of a tuning seed on the validation part.
fn validated(bench: &Bench<'_>, arm: Arm, seed: u64, members: &[Member]) -> Result<Vec<f64>> {
    let sizes = sizes(bench.scale());
    let parts = parts(&sizes, seed)?;
    let trainer = trainer(bench, arm, &sizes, &parts)?;
    let key = format!("networks/tuning/{}/{seed}", arm.name());
    let networks = bench.train(&key, &trainer, members)?;
    bench.accuracies(&model(&sizes)?, &parts.validation, &networks)
}

/// The largest Hessian eigenvalue on some examples.
fn largest(
    bench: &Bench<'_>,
    sizes: &Sizes,
    examples: &Examples,
    weights: &Weights,
) -> Result<f64> {
    let (ctx, model, loss) = (bench.context(), model(sizes)?, Loss::default());
    let objective = spectrum::objective_of_first(ctx, &model, loss, examples, sizes.curvature)?;
    let config = LanczosConfig { top: 1, max_products: PRODUCTS, ..LanczosConfig::default() };
    let what = (CurvatureMatrix::Hessian, &Scope::default());
    Ok(spectrum::extremes(ctx, &objective, weights, what, &config)?.top[0].value)
}

/// What is read off the end of a run: test accuracy, loss on the wrong labels, its largest
/// eigenvalue, and that on the right labels; and the mean loss of the last epoch.
fn run(bench: &Bench<'_>, arm: Arm, setting: Setting, seed: u64) -> Result<[f64; 5]> {
    bench.row(&format!("run/{}/{seed}", arm.name()), || {
        let sizes = sizes(bench.scale());
        let parts = parts(&sizes, seed)?;
        let ended = epochs(bench, arm, setting, seed, &parts, None)?;
        let Some(Epoch { weights, loss }) = ended else {
            return Err(LabError::Input("a run without a last epoch".into()));
        };
        let (model, end) = (model(&sizes)?, std::slice::from_ref(&weights));
        let tested = bench.evaluations(&model, Loss::default(), &parts.test, end)?;
        let trained = bench.evaluations(&model, Loss::default(), &parts.noisy, end)?;
        Ok([
            tested[0].accuracy.unwrap_or(0.0),
            trained[0].loss,
            largest(bench, &sizes, &parts.noisy, &weights)?,
            largest(bench, &sizes, &parts.clean, &weights)?,
            loss,
        ])
    })
}

/// The end of an epoch.
struct Epoch {
    weights: Weights,
    /// The mean of its batches' losses.
    loss: f64,
}

/// The last epoch, or the first whose loss is not above a level; none if there is no such one.
fn epochs(
    bench: &Bench<'_>,
    arm: Arm,
    setting: Setting,
    seed: u64,
    parts: &Parts,
    level: Option<f64>,
) -> Result<Option<Epoch>> {
    let sizes = sizes(bench.scale());
    let trainer = trainer(bench, arm, &sizes, parts)?;
    let mut state = trainer.start(&[setting.member(seed)])?;
    let (mut loss, mut reached, mut stopped) = (f64::NAN, false, false);
    let mut look = |segment: &Segment<'_>| {
        let losses = segment.metrics.loss.first().map(Vec::as_slice).unwrap_or_default();
        loss = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        reached = level.is_some_and(|level| loss <= level);
        stopped = bench.context().check().is_err();
        match reached || stopped {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let ended = trainer.run(&mut state, &mut look)?;
    if ended == Ended::Stopped && stopped {
        return Err(LabError::Interrupted);
    }
    if level.is_some() && !reached {
        return Ok(None);
    }
    Ok(Some(Epoch { weights: state.weights(0)?, loss }))
}

impl Check for Sam {
    fn slug(&self) -> &'static str {
        "sam"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let model = model(&sizes)?;
        let steps = (sizes.train / BATCH) as u64;
        let mut flops = 0;
        for arm in ARMS {
            let runs = arm.settings().len() * sizes.tuning_seeds as usize + sizes.seeds as usize;
            let gradients = steps * arm.epochs(&sizes) * arm.gradients();
            flops += work::training(&model, BATCH, gradients, runs)?;
            flops += work::forward(&model, 1500 * runs)?;
        }
        // The baseline's second run for its matched loss is at most the longer one.
        let again = steps * Arm::EqualGradients.epochs(&sizes);
        flops += work::training(&model, BATCH, again, sizes.seeds as usize)?;
        let looks = (2 * ARMS.len() + 1) * sizes.seeds as usize;
        flops += work::products(&model, sizes.curvature, PRODUCTS * looks)?;
        let part = |name, statistic, bound| Part { name, statistic, bound };
        Ok(Protocol {
            data:
                "digits of 8x8, 600 to train on with 40 % wrong labels, 300 to choose on, 897 to \
                   test on"
                    .into(),
            arms: ARMS.iter().map(|arm| arm.name().to_owned()).collect(),
            settings: RATES.len() * RADII.len(),
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part(
                    "test accuracy",
                    "SAM minus the better of both lengths of gradient descent, at the last step",
                    Bound::above(0.0),
                ),
                part(
                    "curvature with wrong labels",
                    "log of the largest Hessian eigenvalue on the training labels, SAM minus baseline",
                    Bound::below(0.0),
                ),
                part(
                    "curvature with right labels",
                    "log of the largest Hessian eigenvalue on the true labels, SAM minus baseline",
                    Bound::below(0.0),
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        // Two weights and two examples: L = (a^2 w1^2 + b^2 w2^2) / 4.
        let model = "linear bias=false".parse::<Architecture>()?.build(&[2], 1)?;
        let input = Array::from_slice(&[2, 2], &[2.0, 0.0, 0.0, 1.0])?;
        let data =
            Examples::from_arrays(input, Array::zeros(DType::F64, &[2, 1]), false, DType::F64)?;
        let config = |text: &str| -> Result<TrainConfig> {
            Ok(TrainConfig {
                optimizer: text.parse()?,
                schedule: "constant".parse()?,
                loss: Loss::HalfSquaredError,
                batch: 2,
                length: Length::Steps(1),
                precision: DType::F64,
                ..TrainConfig::default()
            })
        };
        let (lr, rho, h, w) = (0.1, 0.3, [2.0, 0.5], [0.4, -1.0]);
        let mut start = initialize(&model, bench.root(), DType::F64)?;
        start.parameters = start.parameters.unflatten(&w)?;
        let after = |text: &str| -> Result<Vec<f64>> {
            let trainer = bench.trainer(&model, &data, config(text)?)?;
            let member = [Member::new(bench.root(), lr)];
            let ends = bench.train_from(
                &format!("gate/{text}"),
                &trainer,
                &member,
                std::slice::from_ref(&start),
            )?;
            Ok(ends[0].weights.parameters.flatten())
        };
        let g = [h[0] * w[0], h[1] * w[1]];
        let norm = g[0].hypot(g[1]);
        let found = after("sgd:rho=0.3")?;
        let off = (0..2).map(|i| {
            let expected = w[i] - lr * (g[i] + rho * h[i] * g[i] / norm);
            ((found[i] - expected) / expected).abs()
        });
        let off = off.fold(0.0, f64::max);
        let exact = Gate::new(
            "a step on a parabola is w - lr (H w + rho H^2 w / |H w|)",
            off < 1e-6,
            format!("apart by {off:.1e}"),
        );
        let (none, plain) = (after("sgd:rho=0")?, after("sgd")?);
        let same = none.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits());
        let base = Gate::new(
            "without a radius it is gradient descent, bit for bit",
            same && found != plain,
            format!("{none:?} and {plain:?}"),
        );
        Ok(vec![exact, base])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "The baseline is the shorter training, which does better on the validation part (0.75 \
             against 0.67): with the gradients that SAM takes, gradient descent learns the wrong \
             labels. Rho ends at the largest that was offered and weight decay too, so that both \
             may have been held back. At equal training loss the logarithm of the curvature is \
             lower by nearly as much (-1.49 against -1.60). The worst rise of the loss, which the \
             claim names too, is not measured.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let first = bench.root() + sizes.seeds;
        let tuning: Vec<u64> = (first..first + sizes.tuning_seeds).collect();
        let mut findings = Findings::default();
        let mut chosen = Vec::new();
        for arm in ARMS {
            let validated = |seed: u64, members: &[Member]| validated(bench, arm, seed, members);
            chosen.push(Choice::of(bench, arm.name(), &arm.settings(), &tuning, validated)?);
        }
        let baseline = if chosen[1].accuracy >= chosen[2].accuracy { 1 } else { 2 };
        let mut runs: Vec<Vec<[f64; 5]>> = Vec::new();
        for (arm, choice) in ARMS.into_iter().zip(&chosen) {
            let run = |&seed: &u64| run(bench, arm, choice.setting, seed);
            runs.push(bench.each(arm.name(), &seeds, run)?);
        }
        let gain = |arm: usize| paired(&column(&runs[0], 0), &column(&runs[arm], 0));
        let log_ratio = |i: usize| {
            let logs = |arm: usize| -> Vec<f64> { runs[arm].iter().map(|of| of[i].ln()).collect() };
            paired(&logs(0), &logs(baseline))
        };
        findings.parts = vec![gain(baseline)?, log_ratio(2)?, log_ratio(3)?];
        // The baseline where its loss is first that of SAM's end.
        let matched = bench.numbers("matched", || {
            let mut found = Vec::new();
            for (&seed, run) in seeds.iter().zip(&runs[0]) {
                let parts = parts(&sizes, seed)?;
                let (arm, setting) = (ARMS[baseline], chosen[baseline].setting);
                let epoch = epochs(bench, arm, setting, seed, &parts, Some(run[4]))?;
                found.push(match epoch {
                    Some(epoch) => {
                        (run[2] / largest(bench, &sizes, &parts.noisy, &epoch.weights)?).ln()
                    }
                    None => f64::NAN,
                });
            }
            Ok(found)
        })?;
        let matched: Vec<f64> = matched.into_iter().filter(|ratio| ratio.is_finite()).collect();
        findings.read("seeds whose baseline reaches SAM's training loss", matched.len() as f64);
        let ratio = mean_if_any(&matched)?;
        findings.read_with("curvature with wrong labels at equal training loss", &ratio);
        for ((arm, choice), runs) in ARMS.into_iter().zip(&chosen).zip(&runs) {
            let name = arm.name();
            choice.read(&mut findings, name);
            findings.read(format!("validation accuracy of {name}"), choice.accuracy);
            let columns = [
                "test accuracy",
                "loss on the training labels",
                "largest eigenvalue with wrong labels",
                "largest eigenvalue with right labels",
            ];
            findings.read_columns(&columns, runs, |what| format!("{what} of {name}"))?;
        }
        let other = 3 - baseline;
        let name = format!("test accuracy, SAM minus {}", ARMS[other].name());
        findings.read_with(name, &gain(other)?);
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_as_large_as_said_and_share_nothing() {
        let parts = parts(&sizes(Scale::Whole), 3).unwrap();
        let sizes = [&parts.noisy, &parts.clean, &parts.validation, &parts.test].map(|e| e.len());
        assert_eq!(sizes, [600, 600, 300, 897]);
        let labels = |examples: &Examples| examples.targets().to_f64_vec();
        let pairs = labels(&parts.noisy).into_iter().zip(labels(&parts.clean));
        assert_eq!(pairs.filter(|(noisy, clean)| noisy != clean).count(), 240);
    }
}
