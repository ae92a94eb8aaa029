//! Runs that are watched until both of their losses are low.

use super::{EPSILON, EVERY, LOW, Sizes};
use crate::bench::Bench;
use std::ops::ControlFlow;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::common::vector;
use thalweg_methods::dynamics::{
    Centring, LazyNetwork, PopulationTerms, QuadraticSingleIndex, grokking_delay, kernel_alignment,
    kernel_descent, kernel_drift,
};
use thalweg_nn::{Loss, Weights};
use thalweg_train::{
    Ended, Examples, Length, Member, Optimizer, Schedule, Segment, TrainConfig, Trainer,
};

/// The losses of a run, and what its weights were.
pub(super) struct Watched {
    /// A training loss is that of the weights after so many steps; logarithms begin at one.
    pub(super) train: Vec<(f64, f64)>,
    pub(super) test: Vec<(f64, f64)>,
    /// At the start, at the first look after the training loss was low, at the end.
    pub(super) weights: [Weights; 3],
}

/// Trains one member, and looks at its test loss wherever `test` wants to.
pub(super) fn watch(
    bench: &Bench<'_>,
    trainer: &Trainer,
    member: Member,
    low: f64,
    mut test: impl FnMut(u64, &Weights) -> Result<Option<f64>>,
) -> Result<Watched> {
    let mut state = trainer.start(&[member])?;
    let start = state.weights(0)?;
    let mut losses = Vec::new();
    let mut seen: Vec<(f64, f64)> = test(0, &start)?.map(|loss| (1.0, loss)).into_iter().collect();
    let (mut converged, mut failure) = (None, None);
    let mut look = |segment: &Segment<'_>| {
        let mut read = || -> Result<()> {
            let weights = segment.state.weights(0)?;
            let own = segment.metrics.loss.first().map(Vec::as_slice).unwrap_or_default();
            let step = |i: usize| (segment.first + i as u64).max(1) as f64;
            losses.extend(own.iter().enumerate().map(|(i, loss)| (step(i), *loss)));
            let loss = test(segment.end, &weights)?;
            seen.extend(loss.map(|loss| (segment.end as f64, loss)));
            if converged.is_none() && own.iter().any(|loss| *loss < low) {
                converged = Some(weights);
            }
            Ok(())
        };
        match read() {
            Ok(()) => bench.go_on(),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let ended = trainer.run(&mut state, &mut look)?;
    if let Some(error) = failure {
        return Err(error);
    }
    if ended == Ended::Stopped {
        return Err(LabError::Interrupted);
    }
    let end = state.weights(0)?;
    let converged = converged.unwrap_or_else(|| end.clone());
    Ok(Watched { train: losses, test: seen, weights: [start, converged, end] })
}

/// Descent on the mean squared error of all examples.
pub(super) fn descent(float: DType, examples: &Examples, steps: u64) -> TrainConfig {
    TrainConfig {
        optimizer: Optimizer::sgd(),
        schedule: Schedule::default(),
        loss: Loss::MeanSquaredError,
        batch: examples.len(),
        length: Length::Steps(steps),
        precision: float,
        segment: EVERY,
        ..TrainConfig::default()
    }
}

/// What a network is at one time.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// The alignment of its tangent kernel with the targets, columns centred.
    pub(super) alignment: f64,
    /// With both sides centred.
    pub(super) alignment_of_both: f64,
    /// How far its tangent kernel is from the first.
    pub(super) drift: f64,
    /// The terms of its population loss: mean, trace, alignment; over the targets' variance.
    pub(super) terms: [f64; 3],
}

/// What is read off one run.
pub(super) struct Run {
    pub(super) delay: f64,
    pub(super) train_at: f64,
    pub(super) test_at: f64,
    pub(super) population: f64,
    pub(super) linear: f64,
    /// At the start, when training has converged, at the end.
    pub(super) times: [Reading; 3],
}

/// Numbers of a [`Run`] as it is stored.
const NUMBERS: usize = 23;

impl Run {
    /// One run, computed once.
    pub(super) fn of(
        bench: &Bench<'_>,
        sizes: &Sizes,
        alpha: f64,
        n: usize,
        seed: u64,
    ) -> Result<Run> {
        let key = format!("run/{alpha}-{n}-{seed}");
        let row: [f64; NUMBERS] = bench.row(&key, || numbers(bench, sizes, alpha, n, seed))?;
        let reading = |at: usize| Reading {
            alignment: row[at],
            alignment_of_both: row[at + 1],
            drift: row[at + 2],
            terms: [row[at + 3], row[at + 4], row[at + 5]],
        };
        Ok(Run {
            delay: row[0],
            train_at: row[1],
            test_at: row[2],
            population: row[3],
            linear: row[4],
            times: [reading(5), reading(11), reading(17)],
        })
    }
}

/// Data as examples.
pub(super) fn examples(data: &QuadraticSingleIndex) -> Result<Examples> {
    let (n, d) = (data.inputs.len(), data.beta.len());
    let inputs = Array::from_slice(&[n, d], &data.inputs.concat())?;
    let targets = Array::from_slice(&[n, 1], &data.targets)?;
    Ok(Examples::from_arrays(inputs, targets, false, DType::F64)?)
}

fn numbers(
    bench: &Bench<'_>,
    sizes: &Sizes,
    alpha: f64,
    n: usize,
    seed: u64,
) -> Result<[f64; NUMBERS]> {
    let stream = Stream::new(seed, "papers/single index");
    let data = QuadraticSingleIndex::new(sizes.dimensions, n, &stream);
    let network = LazyNetwork { units: sizes.units, epsilon: EPSILON, alpha };
    let examples = examples(&data)?;
    let config = descent(DType::F64, &examples, sizes.steps);
    let trainer = bench.trainer(&network.model(sizes.dimensions)?, &examples, config)?;
    let rate = sizes.units as f64 / (alpha * alpha);
    let variance = data.variance();
    let low = LOW.map(|share| share * variance);
    let watched = watch(bench, &trainer, Member::new(seed, rate), low[0], |_, weights| {
        Ok(Some(network.population_loss(&weights.parameters.flatten(), &data.beta)))
    })?;
    let delay = grokking_delay(&watched.train, &watched.test, low)?;
    let weights = watched.weights.each_ref().map(|weights| weights.parameters.flatten());
    let kernel = |weights: &[f64]| network.tangent_kernel(weights, &data.inputs, &data.inputs);
    let first = kernel(&weights[0]);
    let linear = linear_error(&network, &weights[0], &first, &data, rate, sizes, &stream)?;
    let population = watched.test.last().map_or(f64::NAN, |(_, loss)| *loss) / variance;
    let mut found = vec![delay.decades(), delay.train_at, delay.test_at, population, linear];
    for weights in &weights {
        let kernel = kernel(weights);
        let aligned = |centring| kernel_alignment(&kernel, &data.targets, centring);
        let terms = network.population_terms(weights, &data.beta);
        let PopulationTerms { mean, trace, alignment } = terms;
        found.extend([aligned(Centring::Columns)?, aligned(Centring::Both)?]);
        found.push(kernel_drift(&kernel, &first)?);
        found.extend([mean, trace, alignment].map(|term| term / variance));
    }
    found.try_into().map_err(|other: Vec<f64>| {
        LabError::Input(format!("a run: expected {NUMBERS} numbers, got {}", other.len()))
    })
}

/// The final error of the model that keeps its first tangent kernel, over the targets' variance.
fn linear_error(
    network: &LazyNetwork,
    start: &[f64],
    kernel: &[Vec<f64>],
    data: &QuadraticSingleIndex,
    rate: f64,
    sizes: &Sizes,
    stream: &Stream,
) -> Result<f64> {
    let outputs = data.inputs.iter().map(|x| network.output(start, x));
    let residual: Vec<f64> = data.targets.iter().zip(outputs).map(|(y, f)| y - f).collect();
    let moved = kernel_descent(kernel, &residual, rate, sizes.steps)?;
    let fresh = QuadraticSingleIndex::new(sizes.dimensions, sizes.fresh, &stream.child("fresh"));
    let between = network.tangent_kernel(start, &fresh.inputs, &data.inputs);
    let mut sum = 0.0;
    for (x, row) in fresh.inputs.iter().zip(&between) {
        // Fresh inputs, and the direction of the task.
        let target = 0.5 * vector::dot(&data.beta, x).powi(2);
        sum += (network.output(start, x) + vector::dot(row, &moved) - target).powi(2);
    }
    Ok(sum / fresh.inputs.len() as f64 / data.variance())
}
