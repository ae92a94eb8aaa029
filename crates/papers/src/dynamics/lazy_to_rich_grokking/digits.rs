//! The second task: digits, under a perceptron whose output is scaled.

use super::runs::{descent, watch};
use super::{LOW, Sizes};
use crate::bench::Bench;
use crate::check::Findings;
use crate::images::digits_instead;
use crate::spectrum::objective_of_first;
use crate::statistic::mean;
use crate::work;
use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_methods::dynamics::{grokking_delay, kernel_drift, output_scale, tangent_features};
use thalweg_nn::{Architecture, Loss, Model, Weights};
use thalweg_train::{Evaluator, Member, initialize};

const ALPHAS: [f64; 3] = [0.1, 1.0, 10.0];
/// Seeds that are run, of those of the check.
const SEEDS: usize = 3;
/// The rate of descent, times `alpha^2`.
const RATE: f64 = 0.05;
/// The mean over outputs of the variance of one-hot targets of ten classes.
const VARIANCE: f64 = 0.09;
/// Looks at the test loss a decade of steps.
const PER_DECADE: f64 = 40.0;
/// Examples whose tangent kernel is looked at.
const KERNEL: usize = 30;

fn model() -> Result<Model> {
    Ok("mlp hidden=64".parse::<Architecture>()?.build(&[64], 10)?)
}

/// Operations of all runs.
pub(super) fn flops(sizes: &Sizes) -> Result<u64> {
    let runs = ALPHAS.len() * SEEDS.min(sizes.seeds as usize);
    // The output at the start is computed beside every other one.
    work::training(&model()?, 2 * sizes.digits[0], sizes.digit_steps, runs)
}

/// What is read off one run: the step at which the training loss was low, that of the test loss, the final
/// test loss over the variance, the final test accuracy, how far the tangent kernel moved, and whether the
/// training loss was low at all.
fn run(bench: &Bench<'_>, sizes: &Sizes, alpha: f64, seed: u64) -> Result<[f64; 6]> {
    let [train, test] = digits_instead(sizes.digits[0], sizes.digits[1])?;
    let (train, test) = (train.examples(true, DType::F32)?, test.examples(true, DType::F32)?);
    let base = model()?;
    let start = initialize(&base, seed, DType::F32)?;
    let scaled = output_scale(&base, alpha, Some(&start))?;
    let trainer = bench.trainer(&scaled, &train, descent(DType::F32, &train, sizes.digit_steps))?;
    let loss = Loss::MeanSquaredError;
    let (executor, n) = (bench.executor(), test.len());
    let evaluator = Evaluator::new(executor, scaled.clone(), loss, test, n)?;
    let low = LOW.map(|share| share * VARIANCE);
    let (mut next, mut accuracy) = (1.0, 0.0);
    let look = |step: u64, weights: &Weights| -> Result<Option<f64>> {
        if step > 0 && (step as f64) < next && step < sizes.digit_steps {
            return Ok(None);
        }
        next = step.max(1) as f64 * 10f64.powf(1.0 / PER_DECADE);
        let found = evaluator.evaluate(std::slice::from_ref(weights), &bench.resources())?;
        let Some(found) = found.first() else { return Ok(None) };
        accuracy = found.accuracy.unwrap_or(0.0);
        Ok(Some(found.loss))
    };
    let member = Member::new(seed, RATE / (alpha * alpha));
    let watched = watch(bench, &trainer, member, low[0], look)?;
    let delay = grokking_delay(&watched.train, &watched.test, low)?;
    let error = watched.test.last().map_or(f64::NAN, |(_, loss)| *loss) / VARIANCE;
    let ctx = bench.context();
    let objective = objective_of_first(ctx, &scaled, loss, &train, KERNEL)?;
    let kernel = |weights: &Weights| -> Result<Vec<Vec<f64>>> {
        let features = tangent_features(ctx, &objective, weights)?;
        Ok(features.kernel(&features)?)
    };
    let drift = kernel_drift(&kernel(&watched.weights[2])?, &kernel(&watched.weights[0])?)?;
    let fitted = f64::from(u8::from(delay.reached[0]));
    Ok([delay.train_at, delay.test_at, error, accuracy, drift, fitted])
}

/// Runs all, and says what came out.
pub(super) fn read(
    bench: &Bench<'_>,
    sizes: &Sizes,
    seeds: &[u64],
    findings: &mut Findings,
) -> Result<()> {
    let seeds = &seeds[..SEEDS.min(seeds.len())];
    for alpha in ALPHAS {
        let rows = bench.each(&format!("digits at scale {alpha}"), seeds, |&seed| {
            bench.row(&format!("digits/{alpha}-{seed}"), || run(bench, sizes, alpha, seed))
        })?;
        // What was not fitted has no delay.
        if rows.iter().all(|row| row[5] == 1.0) {
            let delays: Vec<f64> = rows.iter().map(|row| (row[1] / row[0]).log10()).collect();
            findings.read_with(format!("delay on digits at scale {alpha}"), &mean(&delays)?);
        }
        let columns = [
            "step of fitting",
            "step of generalising",
            "final error",
            "final accuracy",
            "drift of the kernel",
            "share of seeds that fit",
        ];
        findings
            .read_columns(&columns, &rows, |what| format!("{what} on digits at scale {alpha}"))?;
    }
    Ok(())
}
