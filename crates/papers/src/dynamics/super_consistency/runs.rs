//! Networks of one width at every rate, and along their training at one.

use super::{Arm, DEPTH, Sizes, rates, sizes};
use crate::bench::{Bench, TrainedNetwork};
use crate::data::digit_rows;
use crate::spectrum;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::Silent;
use thalweg_methods::curvature::curvature_split;
use thalweg_methods::dynamics::{
    ScaledResidual, SharpnessAt, SharpnessConfig, SizedRun, learning_rate_transfer,
    sharpness_by_scale,
};
use thalweg_nn::{Loss, Model, NetworkSize, UpdateSize, Weights};
use thalweg_train::{
    Examples, Length, Member, Optimizer, Schedule, TrainConfig, Trainer, initialize,
};

/// Products that an eigenvalue may take.
pub(super) const PRODUCTS: usize = 30;

/// The network of a width.
pub(super) fn network(sizes: &Sizes, arm: Arm, gamma: f64, width: usize) -> ScaledResidual {
    let base_width = sizes.widths[0];
    let size = NetworkSize { width, base_width, depth: DEPTH, base_depth: Some(1), gamma };
    let (parametrization, updates) = (arm.parametrization(), UpdateSize::Gradient);
    ScaledResidual { size, outputs: 10, skips: true, parametrization, updates }
}

pub(super) fn model(sizes: &Sizes, arm: Arm, gamma: f64, width: usize) -> Result<Model> {
    Ok(network(sizes, arm, gamma, width).model(64)?)
}

pub(super) fn data(sizes: &Sizes) -> Result<Examples> {
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
pub(super) struct Width {
    /// Final losses, `[rate][seed]`; infinite of those that diverged.
    pub(super) losses: Vec<Vec<f64>>,
    /// Of the best rate or that asked for, of each seed: the largest eigenvalues of the Hessian, of its
    /// Gauss-Newton part and of the rest, times `gamma^2`; no numbers where it diverged.
    pub(super) curvature: Vec<[f64; 3]>,
    /// The place of that rate.
    pub(super) rate: usize,
}

/// Trains one width at every rate. `at` is the rate whose ends are looked at, the best if none is asked
/// for.
pub(super) fn width(
    bench: &Bench<'_>,
    arm: Arm,
    gamma: f64,
    width: usize,
    seeds: &[u64],
    at: Option<usize>,
) -> Result<Width> {
    let sizes = sizes(bench.scale());
    let rates = rates(&sizes);
    let name = arm.name_at(&sizes, width);
    let model = model(&sizes, arm, gamma, width)?;
    let networks = format!("networks/{name}/{gamma}/{width}");
    let found = bench.numbers(&format!("losses/{name}/{gamma}/{width}"), || {
        let networks = trained(bench, &networks, &model, seeds)?;
        let ends: Vec<Weights> = networks.iter().map(|end| end.weights.clone()).collect();
        let starts = seeds
            .iter()
            .map(|&seed| Ok(initialize(&model, seed, DType::F32)?))
            .collect::<Result<Vec<_>>>()?;
        let starts = losses(bench, &model, &starts)?;
        let ends = losses(bench, &model, &ends)?;
        // For each rate every seed.
        let judged = ends.iter().zip(&networks).enumerate().map(|(i, (&end, network))| {
            let trained = network.finished && end.is_finite() && end <= starts[i % seeds.len()];
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
        let networks = trained(bench, &networks, &model, seeds)?;
        let ctx = bench.context().clone().with_units(&Silent);
        let objective = spectrum::objective(&ctx, &model, Loss::HalfSquaredError, &data(&sizes)?)?;
        let scaled = network(&sizes, arm, gamma, width).gamma();
        let mut numbers = Vec::new();
        let ends = &networks[rate * seeds.len()..(rate + 1) * seeds.len()];
        for (end, loss) in ends.iter().zip(&losses[rate]) {
            // The curvature where a run diverged to says nothing, and may be no number.
            if loss.is_infinite() {
                numbers.extend([f64::NAN; 3]);
                continue;
            }
            let found = curvature_split(&ctx, &objective, &end.weights, PRODUCTS)?;
            let parts = [found.hessian, found.gauss_newton, found.residual];
            numbers.extend(parts.map(|value| value * scaled * scaled));
        }
        Ok(numbers)
    })?;
    let curvature = numbers.chunks_exact(3).map(|of| [of[0], of[1], of[2]]).collect();
    Ok(Width { losses, curvature, rate })
}

fn trainer(bench: &Bench<'_>, model: &Model) -> Result<Trainer> {
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
    bench.trainer(model, &data, config)
}

/// The ends of every rate and seed, for each rate every seed.
pub(super) fn trained(
    bench: &Bench<'_>,
    key: &str,
    model: &Model,
    seeds: &[u64],
) -> Result<Vec<TrainedNetwork>> {
    let rates = rates(&sizes(bench.scale()));
    bench.train(key, &trainer(bench, model)?, &Member::product(seeds, &rates))
}

/// The rescaled sharpness and the loss of one width along the training of a seed at one rate: `[time]`, no
/// numbers once it has diverged.
pub(super) fn over_time(
    bench: &Bench<'_>,
    arm: Arm,
    width: usize,
    rate: f64,
    seed: u64,
) -> Result<[Vec<f64>; 2]> {
    let sizes = sizes(bench.scale());
    let name = arm.name_at(&sizes, width);
    let network = network(&sizes, arm, 1.0, width);
    let model = network.model(64)?;
    let numbers = bench.numbers(&format!("over time/{name}/{width}"), || {
        let members = [Member::new(seed, rate)];
        let key = format!("points/{name}/{width}");
        let points = bench.checkpoints(&key, &trainer(bench, &model)?, &members, sizes.every)?;
        let points: Vec<Weights> = points.into_iter().flatten().map(|at| at.weights).collect();
        let ctx = bench.context().clone().with_units(&Silent);
        let objective = spectrum::objective(&ctx, &model, Loss::HalfSquaredError, &data(&sizes)?)?;
        let factor = network.gamma().powi(2);
        let run = SizedRun { objective: &objective, points: &points, factor };
        let config = SharpnessConfig { products: PRODUCTS, ..SharpnessConfig::default() };
        let found = sharpness_by_scale(&ctx, &[run], &config)?.into_iter().flatten();
        let pair = |at: Option<SharpnessAt>| match at {
            Some(at) => [at.top.first().copied().unwrap_or(f64::NAN), at.loss],
            None => [f64::NAN; 2],
        };
        Ok(found.flat_map(pair).collect())
    })?;
    let place = |at: usize| -> Vec<f64> { numbers.iter().skip(at).step_by(2).copied().collect() };
    Ok([place(0), place(1)])
}
