//! A task's inductive bias complexity, a number of bits from its data alone, orders tasks as learners
//! find them hard; it bounds the share of fitting functions that generalise; and it grows with the
//! dimension of the inputs.
//!
//! # Protocol
//! A: 18 tasks of the digits, pixels in 0 to 1: all ten classes; ten pairs of classes; two of five
//! classes; even against odd; below against above five; the ten classes averaged to 4x4, turned by
//! random quarters, and shifted at random by up to two pixels. Ten draws of 600 training examples (200
//! of pairs), the others for testing. The complexity of the training part, with estimated dimension
//! (five neighbours) and the smallest seen distance of classes (below a thousandth of the largest norm
//! left out), aimed at an error of 0.01; the test errors of one nearest neighbour, and of a network with
//! 64 hidden units after 20 epochs (mean of five seeds). Deciding: Kendall's tau over tasks of the
//! complexity with an error, the mean over draws; the larger of both learners' taus, its interval of
//! 97.5 % by the bootstrap over tasks. Both must be above zero.
//!
//! B: functions on a circle of radius 1 with frequencies up to 2, 4 or 6, `1, cos k x, sin k x` with
//! coefficients in -1 to 1, fitted on the first `n` of randomly ordered equidistant points, `n` from 2
//! to twice the frequency; the target is drawn from the box. 100,000 functions that fit; `epsilon` is
//! the hundredth part's quantile of their mean absolute error at `n = 2`. Deciding, over five seeds:
//! the smallest surplus in bits of the bound over `-log2` of the share within `epsilon`, over all cells
//! whose share is a thousandth at least; and the mean slope of the latter on `n`.
//!
//! C: ten classes with 0, 1, 2 or 4 uniform noise features beside the pixels, ten draws. Deciding: the
//! slope of `log2` of the complexity on the estimated dimension.
//!
//! # Departures
//! Other tasks of digits in place of other data sets, because the digits are part of the program: the
//! order is of one kind of data. `epsilon` is one for all `n` of a frequency and not one a cell, because
//! the share could otherwise not fall with `n`. Five seeds in B. The draws of training parts are
//! averaged and tasks resampled. The dimension is not rounded.
//!
//! # Source    Boopathy et al., Model-agnostic measure of generalization difficulty, 2023, arXiv
//! 2305.01034

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::data::digit_rows;
use crate::statistic::{mean, of_best};
use crate::work;
use std::f64::consts::TAU;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::difficulty::{
    ComplexityConfig, DimensionConfig, GeneralizationTask, VolumeConfig, inductive_bias_complexity,
    interpolating_volume, intrinsic_dimension,
};
use thalweg_nn::{Architecture, Loss, Model};
use thalweg_stats::{Bound, fit_line, kendall_tau};
use thalweg_train::{Evaluator, Examples, Length, Member, TrainConfig, Trainer};

/// The check.
pub(crate) struct InductiveBiasComplexity;

const PAIRS: [[i32; 2]; 10] =
    [[0, 1], [1, 7], [2, 3], [3, 8], [4, 9], [5, 6], [8, 9], [0, 6], [5, 9], [2, 7]];
const NOISE_FEATURES: [usize; 4] = [0, 1, 2, 4];
/// Share of fitting functions that `epsilon` is chosen by, and the least that a cell may have.
const SHARES: [f64; 2] = [0.01, 0.001];
const TEST_POINTS: usize = 64;
/// Examples that are tested on, at most.
const TESTED: usize = 800;

struct Sizes {
    /// How many of the tasks.
    tasks: usize,
    train: [usize; 2],
    draws: u64,
    learners: u64,
    epochs: u64,
    frequencies: &'static [usize],
    volume_seeds: usize,
    volume: VolumeConfig,
}

fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            tasks: 18,
            train: [600, 200],
            draws: 10,
            learners: 5,
            epochs: 20,
            frequencies: &[2, 4, 6],
            volume_seeds: 5,
            volume: VolumeConfig { bound: 1.0, draws: 100_000, between: 4, seed: 0 },
        },
        Scale::Sample => Sizes {
            tasks: 4,
            train: [100, 60],
            draws: 2,
            learners: 1,
            epochs: 1,
            frequencies: &[2],
            volume_seeds: 2,
            volume: VolumeConfig { bound: 1.0, draws: 2000, between: 2, seed: 0 },
        },
    }
}

/// Rows with labels from 0 on.
#[derive(Clone)]
struct Task {
    name: String,
    rows: Vec<Vec<f64>>,
    labels: Vec<i32>,
    classes: usize,
    pair: bool,
}

/// Every task, in the order of the documentation but for the pairs, which come second.
fn tasks() -> Result<Vec<Task>> {
    let (rows, labels) = digit_rows()?;
    let all = Task { name: "ten classes".into(), rows, labels, classes: 10, pair: false };
    let chosen = |name: String, classes: &[i32]| -> Task {
        let place = |label: i32| classes.iter().position(|class| *class == label);
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for (row, &label) in all.rows.iter().zip(&all.labels) {
            if let Some(place) = place(label) {
                rows.push(row.clone());
                labels.push(place as i32);
            }
        }
        Task { name, rows, labels, classes: classes.len(), pair: classes.len() == 2 }
    };
    let grouped = |name: &str, group: fn(i32) -> bool| -> Task {
        let labels = all.labels.iter().map(|&label| i32::from(group(label))).collect();
        Task { name: name.into(), labels, classes: 2, ..all.clone() }
    };
    let changed = |name: &str, change: &dyn Fn(u64, &[f64]) -> Vec<f64>| -> Task {
        let rows = all.rows.iter().enumerate().map(|(i, row)| change(i as u64, row)).collect();
        Task { name: name.into(), rows, ..all.clone() }
    };
    let (turns, shifts) = (Stream::new(0, "papers/turns"), Stream::new(0, "papers/shifts"));
    let mut tasks = vec![all.clone()];
    tasks.extend(PAIRS.iter().map(|[a, b]| chosen(format!("{a} against {b}"), &[*a, *b])));
    tasks.extend([
        chosen("classes 0 to 4".into(), &[0, 1, 2, 3, 4]),
        chosen("classes 5 to 9".into(), &[5, 6, 7, 8, 9]),
        grouped("even against odd", |label| label % 2 == 1),
        grouped("below five against above", |label| label >= 5),
        changed("averaged to 4x4", &|_, row| averaged(row)),
        changed("turned by quarters", &|i, row| turned(row, turns.below(i, 4))),
        changed("shifted by up to two pixels", &|i, row| {
            let by = |axis: u64| shifts.below(2 * i + axis, 5) as isize - 2;
            shifted(row, by(0), by(1))
        }),
    ]);
    Ok(tasks)
}

/// The mean of each 2x2 of an image 8x8.
fn averaged(row: &[f64]) -> Vec<f64> {
    let at = |y: usize, x: usize| row[8 * y + x];
    let mean = |y: usize, x: usize| {
        (at(2 * y, 2 * x) + at(2 * y, 2 * x + 1) + at(2 * y + 1, 2 * x) + at(2 * y + 1, 2 * x + 1))
            / 4.0
    };
    (0..16).map(|i| mean(i / 4, i % 4)).collect()
}

/// An image 8x8 after so many quarter turns.
fn turned(row: &[f64], quarters: u64) -> Vec<f64> {
    let once = |row: &[f64]| (0..64).map(|i| row[8 * (i % 8) + 7 - i / 8]).collect::<Vec<f64>>();
    (0..quarters).fold(row.to_vec(), |row, _| once(&row))
}

/// An image 8x8 moved down and to the right, with zeros where nothing was.
fn shifted(row: &[f64], down: isize, right: isize) -> Vec<f64> {
    let at = |i: isize| {
        let (y, x) = (i / 8 - down, i % 8 - right);
        let inside = (0..8).contains(&y) && (0..8).contains(&x);
        if inside { row[(8 * y + x) as usize] } else { 0.0 }
    };
    (0..64).map(at).collect()
}

/// A task's rows in a drawn order: those to train on, and the others.
fn split(task: &Task, train: usize, seed: u64) -> [Task; 2] {
    let order = Stream::new(seed, "papers/tasks").permutation(task.rows.len());
    let (train, test) = order.split_at(train.min(order.len() / 2));
    let of = |places: &[usize]| Task {
        rows: places.iter().map(|&i| task.rows[i].clone()).collect(),
        labels: places.iter().map(|&i| task.labels[i]).collect(),
        ..task.clone()
    };
    [of(train), of(&test[..TESTED.min(test.len())])]
}

/// `log2` of the bits, and the estimated dimension.
fn complexity(bench: &Bench<'_>, train: &Task) -> Result<[f64; 2]> {
    let config = ComplexityConfig::default();
    let (task, found) =
        inductive_bias_complexity(bench.context(), &train.rows, &train.labels, &config)?;
    // Less than nothing is asked for where the data say more than the task needs.
    let bits = found.log2_bits.unwrap_or(0.0);
    Ok([bits, task.dimension])
}

/// The share of wrong answers of the nearest neighbour.
fn neighbour_error(train: &Task, test: &Task) -> f64 {
    let distance =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum() };
    let answer = |row: &[f64]| {
        let mut best = (f64::INFINITY, -1);
        for (other, &label) in train.rows.iter().zip(&train.labels) {
            let apart = distance(row, other);
            best = if apart < best.0 { (apart, label) } else { best };
        }
        best.1
    };
    let wrong = test.rows.iter().zip(&test.labels).filter(|(row, label)| answer(row) != **label);
    wrong.count() as f64 / test.rows.len().max(1) as f64
}

fn model(task: &Task) -> Result<Model> {
    let width = task.rows.first().map_or(0, Vec::len);
    Ok("mlp hidden=64".parse::<Architecture>()?.build(&[width], task.classes)?)
}

/// The mean share of wrong answers of small networks.
fn network_error(
    bench: &Bench<'_>,
    key: &str,
    train: &Task,
    test: &Task,
    seed: u64,
) -> Result<f64> {
    let sizes = sizes(bench.scale());
    let examples = |task: &Task| -> Result<Examples> {
        let shape = [task.rows.len(), task.rows.first().map_or(0, Vec::len)];
        let inputs = Array::from_slice(&shape, &task.rows.concat())?.convert(DType::F32);
        Ok(Examples::from_arrays(inputs, Array::vector(&task.labels), true, DType::F32)?)
    };
    let model = model(train)?;
    let config = TrainConfig {
        optimizer: "sgd:momentum=0.9".parse()?,
        schedule: "cosine".parse()?,
        batch: 20,
        length: Length::Epochs(sizes.epochs),
        segment: 50,
        ..TrainConfig::default()
    };
    let (executor, resources) = (bench.executor(), bench.resources());
    let trainer = Trainer::new(executor, model.clone(), examples(train)?, config, resources)?;
    let first = seed.wrapping_mul(sizes.learners);
    let members: Vec<Member> =
        (0..sizes.learners).map(|i| Member::new(first.wrapping_add(i), 0.05)).collect();
    let networks = bench.train(key, &trainer, &members)?;
    let weights: Vec<_> = networks.into_iter().map(|network| network.weights).collect();
    let (test, batch) = (examples(test)?, test.rows.len());
    let evaluator = Evaluator::new(bench.executor(), model, Loss::default(), test, batch)?;
    let found = evaluator.evaluate(&weights, &bench.resources())?;
    let right: f64 = found.iter().map(|found| found.accuracy.unwrap_or(0.0)).sum();
    Ok(1.0 - right / found.len().max(1) as f64)
}

/// One task over the draws.
#[derive(Clone)]
struct Difficulty {
    bits: Vec<f64>,
    errors: [Vec<f64>; 2],
}

/// The mean over draws of the tau over tasks; a draw in which one side does not vary counts nothing.
fn tau(tasks: &[Difficulty], learner: usize) -> f64 {
    let draws = tasks.first().map_or(0, |task| task.bits.len());
    let of = |draw: usize| {
        let bits: Vec<f64> = tasks.iter().map(|task| task.bits[draw]).collect();
        let errors: Vec<f64> = tasks.iter().map(|task| task.errors[learner][draw]).collect();
        kendall_tau(&bits, &errors).ok().filter(|tau| tau.is_finite()).unwrap_or(0.0)
    };
    (0..draws).map(of).sum::<f64>() / draws.max(1) as f64
}

/// `1, cos x, sin x, cos 2x, ..` at a place of the circle.
fn harmonics(frequency: usize, at: f64) -> Vec<f64> {
    let mut values = vec![1.0];
    for k in 1..=frequency {
        let angle = k as f64 * at;
        values.extend([angle.cos(), angle.sin()]);
    }
    values
}

fn circle_bound(frequency: usize, n: usize, error: f64) -> Result<f64> {
    let task = GeneralizationTask {
        error,
        examples: n as f64,
        dimension: 1.0,
        radius: 1.0,
        combinations: 1.0,
        separation: TAU / frequency as f64,
        outputs: 1.0,
        bound: 1.0,
    };
    Ok(task.complexity()?.bits)
}

/// Of one frequency and seed: the smallest surplus of the bound, the slope of the estimate on the
/// number of points, the largest rise of the bound with a point more, cells kept and dropped.
fn circle(bench: &Bench<'_>, frequency: usize, seed: u64) -> Result<Vec<f64>> {
    let sizes = sizes(bench.scale());
    let stream = Stream::new(seed, "papers/circle").at(frequency as u64);
    let functions = 2 * frequency + 1;
    let target: Vec<f64> =
        (0..functions as u64).map(|k| 2.0 * stream.child("target").uniform(k) - 1.0).collect();
    let test: Vec<Vec<f64>> = (0..TEST_POINTS)
        .map(|i| harmonics(frequency, TAU * i as f64 / TEST_POINTS as f64))
        .collect();
    // As many places as functions, so that any of them are independent.
    let train: Vec<Vec<f64>> = (stream.child("places").permutation(functions).into_iter())
        .map(|i| harmonics(frequency, TAU * i as f64 / functions as f64))
        .collect();
    let (mut level, mut surplus, mut rise) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    let (mut points, mut bits, mut dropped, mut before) = (Vec::new(), Vec::new(), 0.0, f64::NAN);
    for n in 2..=2 * frequency {
        // One walk's draws for every number of points, others for every target.
        let config = VolumeConfig { seed: stream.child("walk").u64(0), ..sizes.volume };
        let found = interpolating_volume(bench.context(), &train[..n], &test, &target, &config)?;
        if n == 2 {
            let mut errors = found.errors.clone();
            errors.sort_unstable_by(f64::total_cmp);
            level = thalweg_stats::quantile(&errors, SHARES[0]);
        }
        let (estimate, bound) = (found.bits(level), circle_bound(frequency, n, level)?);
        if !before.is_nan() {
            rise = rise.max(bound - before);
        }
        before = bound;
        if estimate > -SHARES[1].log2() {
            dropped += 1.0;
            continue;
        }
        surplus = surplus.min(bound - estimate);
        points.push(n as f64);
        bits.push(estimate);
    }
    let slope = fit_line(&points, &bits).map_or(f64::NAN, |line| line.slope);
    Ok(vec![surplus, slope, rise, points.len() as f64, dropped])
}

/// The slope of the logarithm of the complexity on the dimension, over noise features.
fn noise_slope(bench: &Bench<'_>, all: &Task, seed: u64) -> Result<Vec<f64>> {
    let [train, _] = split(all, sizes(bench.scale()).train[0], seed);
    let noise = Stream::new(seed, "papers/noise features");
    let (mut dimensions, mut bits) = (Vec::new(), Vec::new());
    for features in NOISE_FEATURES {
        let mut wider = train.clone();
        for (i, row) in wider.rows.iter_mut().enumerate() {
            row.extend((0..features as u64).map(|j| noise.at(j).uniform(i as u64)));
        }
        let [log2, dimension] = complexity(bench, &wider)?;
        dimensions.push(dimension);
        bits.push(log2);
    }
    let last = dimensions.len() - 1;
    Ok(vec![
        fit_line(&dimensions, &bits)?.slope,
        dimensions[last] - dimensions[0],
        bits[last] - bits[0],
    ])
}

impl Check for InductiveBiasComplexity {
    fn slug(&self) -> &'static str {
        "inductive_bias_complexity"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let mut flops = 0;
        for task in tasks()?.iter().take(sizes.tasks) {
            let train = sizes.train[usize::from(task.pair)];
            let runs = (sizes.learners * sizes.draws) as usize;
            let steps = (train / 20) as u64 * sizes.epochs;
            flops += work::training(&model(task)?, 20, steps, runs)?;
            // The nearest neighbours: three operations an element of a pair.
            flops += 3 * 64 * (train * TESTED) as u64 * sizes.draws;
        }
        for &frequency in sizes.frequencies {
            let functions = (2 * frequency + 1) as u64;
            let cells = (2 * frequency as u64 - 1) * sizes.volume_seeds as u64;
            let each = 2 * functions * (functions * sizes.volume.between as u64 + 64);
            flops += cells * sizes.volume.draws as u64 * each;
        }
        let part = |name, statistic, bound| Part { name, statistic, bound };
        Ok(Protocol {
            data: "18 tasks made of the digits of 8x8; functions on a circle".into(),
            arms: vec![
                "complexity against the errors of one nearest neighbour and of a small network"
                    .into(),
                "the bound against 100,000 functions that fit".into(),
                "0, 1, 2 and 4 noise features".into(),
            ],
            settings: 1,
            seeds: (root..root + sizes.draws).collect(),
            parts: vec![
                part(
                    "tau with one of two learners",
                    "Kendall's tau over tasks of complexity and test error, the larger of two",
                    Bound::above(0.0),
                ),
                part(
                    "surplus of the bound",
                    "smallest bound minus estimate over all cells of the circle, in bits",
                    Bound::above(0.0),
                ),
                part(
                    "estimate a training point",
                    "slope of the estimated bits on the number of training points",
                    Bound::below(0.0),
                ),
                part(
                    "growth with the dimension",
                    "slope of log2 of the complexity on the estimated dimension, over noise features",
                    Bound::above(0.0),
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        let stream = Stream::new(bench.root(), "papers/cube");
        let cube: Vec<Vec<f64>> = (0..1000u64)
            .map(|i| (0..20).map(|j| if j < 3 { stream.uniform(3 * i + j) } else { 0.5 }).collect())
            .collect();
        let found = intrinsic_dimension(bench.context(), &cube, &DimensionConfig::default())?;
        let dimension = Gate::new(
            "a cube of three dimensions in twenty has about three",
            (found - 3.0).abs() < 0.3,
            format!("{found:.2}"),
        );
        let sphere = GeneralizationTask {
            error: 0.1,
            examples: 10.0,
            dimension: 2.0,
            radius: 1.0,
            combinations: 2.0,
            separation: TAU / f64::sqrt(5.0 * 6.0),
            outputs: 1.0,
            bound: 1.0,
        };
        let count = sphere.complexity()?.log2_functions.exp2();
        let harmonics = Gate::new(
            "a sphere has (K + 1)^2 harmonics up to degree K = 5",
            (count - 36.0).abs() < 1e-9,
            format!("{count:.9}"),
        );
        let mut rise = f64::NEG_INFINITY;
        for n in 2..12 {
            rise = rise.max(circle_bound(6, n + 1, 0.1)? - circle_bound(6, n, 0.1)?);
        }
        let falls = Gate::new(
            "the bound falls with every training point",
            rise < 0.0,
            format!("by {:.2} bits at least", -rise),
        );
        Ok(vec![dimension, harmonics, falls])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "Most of the order is that of the number of classes, which the number of bits and the errors \
             both follow. Shifting or turning the images makes them far harder and lowers the number: \
             600 images are too few for their neighbours to show the dimensions that were added.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let mut findings = Findings::default();
        let all = tasks()?;
        let chosen = &all[..sizes.tasks];
        bench.context().progress().start("tasks", (chosen.len() * seeds.len()) as u64);
        let mut difficulties = Vec::new();
        for task in chosen {
            let mut of_task = Difficulty { bits: Vec::new(), errors: [Vec::new(), Vec::new()] };
            for &seed in &seeds {
                let key = format!("task/{}/{seed}", task.name);
                let numbers = bench.numbers(&key, || {
                    let [train, test] = split(task, sizes.train[usize::from(task.pair)], seed);
                    let [bits, _] = complexity(bench, &train)?;
                    let networks = format!("networks/{}/{seed}", task.name);
                    let errors = [
                        neighbour_error(&train, &test),
                        network_error(bench, &networks, &train, &test, seed)?,
                    ];
                    Ok([&[bits], &errors[..]].concat())
                })?;
                let [bits, neighbour, network] = numbers[..] else {
                    let text = format!("stored unit {key:?}: expected 3 numbers");
                    return Err(LabError::Input(text));
                };
                of_task.bits.push(bits);
                of_task.errors[0].push(neighbour);
                of_task.errors[1].push(network);
                bench.context().progress().advance(1);
            }
            let name = &task.name;
            findings.read_with(format!("log2 bits of {name}"), &mean(&of_task.bits)?);
            findings.read_with(format!("network's error on {name}"), &mean(&of_task.errors[1])?);
            difficulties.push(of_task);
        }
        let taus = [0, 1].map(|learner| tau(&difficulties, learner));
        let best = usize::from(taus[1] > taus[0]);
        findings.parts.push(of_best(&difficulties, |tasks| tau(tasks, best), 2)?);
        findings.read("tau with the nearest neighbour's error", taus[0]);
        findings.read("tau with the network's error", taus[1]);
        if bench.scale() == Scale::Whole {
            findings.gates.push(Gate::new(
                "both learners' taus are above zero",
                taus.iter().all(|tau| *tau > 0.0),
                format!("{:.3} and {:.3}", taus[0], taus[1]),
            ));
        }
        let (mut surplus, mut slopes, mut kept, mut dropped) = (Vec::new(), Vec::new(), 0.0, 0.0);
        let cells = (sizes.volume_seeds * sizes.frequencies.len()) as u64;
        bench.context().progress().start("functions on a circle", cells);
        for &seed in &seeds[..sizes.volume_seeds] {
            let (mut least, mut sum) = (f64::INFINITY, 0.0);
            for &frequency in sizes.frequencies {
                let key = format!("circle of {frequency}/{seed}");
                let found = bench.numbers(&key, || circle(bench, frequency, seed))?;
                let [smallest, slope, _, cells, lost] = found[..] else {
                    let text = format!("stored unit {key:?}: expected 5 numbers");
                    return Err(LabError::Input(text));
                };
                least = least.min(smallest);
                sum += slope;
                kept += cells;
                dropped += lost;
                bench.context().progress().advance(1);
            }
            surplus.push(least);
            slopes.push(sum / sizes.frequencies.len() as f64);
        }
        findings.parts.push(mean(&surplus)?);
        findings.parts.push(mean(&slopes)?);
        findings.read("cells of the circle", kept);
        findings.read("cells left out for a share below a thousandth", dropped);
        let (mut growth, mut wider, mut more) = (Vec::new(), Vec::new(), Vec::new());
        for &seed in &seeds {
            let key = format!("noise features/{seed}");
            let found = bench.numbers(&key, || noise_slope(bench, &all[0], seed))?;
            let [slope, dimensions, bits] = found[..] else {
                let text = format!("stored unit {key:?}: expected 3 numbers");
                return Err(LabError::Input(text));
            };
            growth.push(slope);
            wider.push(dimensions);
            more.push(bits);
        }
        findings.parts.push(mean(&growth)?);
        findings.read_with("dimensions gained by four noise features", &mean(&wider)?);
        findings.read_with("log2 bits gained by four noise features", &mean(&more)?);
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_are_what_they_say() {
        let tasks = tasks().unwrap();
        assert_eq!(tasks.len(), 18);
        assert_eq!(tasks.iter().filter(|task| task.pair).count(), 10);
        for task in &tasks {
            assert_eq!(task.rows.len(), task.labels.len());
            let expected = if task.name == "averaged to 4x4" { 16 } else { 64 };
            assert!(task.rows.iter().all(|row| row.len() == expected), "{}", task.name);
            for class in 0..task.classes as i32 {
                assert!(task.labels.contains(&class), "{}", task.name);
            }
            assert!(task.labels.iter().all(|&label| (label as usize) < task.classes));
        }
    }

    #[test]
    fn images_are_moved_as_said() {
        let mut row = vec![0.0; 64];
        row[1] = 1.0;
        let place = |row: &[f64]| row.iter().position(|x| *x == 1.0);
        // The second of the first row comes to the first column, seventh row.
        assert_eq!(place(&turned(&row, 1)), Some(48));
        assert_eq!(turned(&row, 4), row);
        assert_eq!(place(&shifted(&row, 2, 1)), Some(18));
        assert_eq!(place(&shifted(&row, -1, 0)), None);
        assert_eq!(averaged(&row)[0], 0.25);
    }

    #[test]
    fn the_tau_of_an_order_is_one() {
        let task = |bits: f64, error: f64| Difficulty {
            bits: vec![bits; 2],
            errors: [vec![error; 2], vec![-error; 2]],
        };
        let tasks = [task(1.0, 0.1), task(2.0, 0.2), task(3.0, 0.5)];
        assert_eq!([0, 1].map(|learner| tau(&tasks, learner)), [1.0, -1.0]);
    }
}
