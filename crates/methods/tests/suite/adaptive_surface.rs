//! Surfaces to a tolerance against exact ones: planted functions, and a network on the digits.

use crate::common::{Dying, exact, model, on_digits, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::gradient;
use thalweg_methods::surface::{
    AdaptiveSurface, DirectionConfig, GridRange, Plane, Surface, Tolerance, adaptive_surface,
    random_planes, surface,
};
use thalweg_methods::{
    BatchNorm, Context, Function, MethodError, Objective, ObjectiveConfig, Status,
};
use thalweg_nn::{Model, Weights};

fn range(end: f64, points: usize) -> Vec<f64> {
    GridRange::new(-end, end, points).unwrap().values()
}

/// The plane of a function of `x` and `y`, exactly and to a tolerance.
fn planted(function: &Function, n: usize, tolerance: f64) -> (Surface, AdaptiveSurface) {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let along = |at: &[f64]| function.point(at).unwrap().parameters;
    let centre = function.point(&[0.0, 0.0]).unwrap();
    let planes = [Plane { x: along(&[1.0, 0.0]), y: Some(along(&[0.0, 1.0])) }];
    let at = range(1.0, n);
    let truth = surface(&ctx, function, &centre, &planes, &at, &at).unwrap();
    let tolerance = Tolerance::new(tolerance).unwrap();
    let found = adaptive_surface(&ctx, function, &centre, &planes, &at, &at, tolerance).unwrap();
    (truth, found)
}

/// Errors in tolerances.
fn errors(truth: &Surface, found: &Surface, tolerance: f64) -> Vec<f64> {
    let centre = truth.centre.loss;
    let error =
        |(t, f): (&f64, &f64)| (t - f).abs() / (tolerance * ((t - centre).abs() + centre.abs()));
    truth.loss.iter().zip(&found.loss).map(error).collect()
}

fn share(values: impl Iterator<Item = bool>) -> f64 {
    let (mut all, mut true_ones) = (0, 0);
    for value in values {
        all += 1;
        true_ones += usize::from(value);
    }
    true_ones as f64 / all as f64
}

const AXES: [(&str, &[usize]); 2] = [("x", &[]), ("y", &[])];

#[test]
fn a_bowl_takes_few_points() {
    let bowl = Function::new(DType::F64, &AXES, |_, w| {
        (w[0] * 3.0).square() + w[0] * w[1] + w[1].square() + 1.0
    });
    let (truth, found) = planted(&bowl, 65, 0.01);
    assert!(found.evaluated() < 65 * 65 / 8, "{}", found.evaluated());
    let errors = errors(&truth, &found.surface, 0.01);
    assert!(share(errors.iter().map(|e| *e <= 1.0)) > 0.99);
    assert_eq!(found.surface.loss[32 * 65 + 32].to_bits(), truth.centre.loss.to_bits());
    for (point, &samples) in found.samples.iter().enumerate() {
        let evaluated = samples > 0;
        assert_eq!(found.interpolation_error[point] == 0.0, evaluated);
        assert!(!evaluated || found.surface.loss[point] == truth.loss[point]);
    }
    assert!(found.sampling_error.iter().all(|error| *error == 0.0), "one example is all");
}

#[test]
fn a_bowl_with_its_bottom_at_zero_has_a_scale_too() {
    let bowl = Function::new(DType::F64, &AXES, |_, w| w[0].square() + (w[1] * 2.0).square());
    let (truth, found) = planted(&bowl, 33, 0.02);
    // The tolerance is that of a scale which is not zero; here of the height alone.
    let off = errors(&truth, &found.surface, 0.02);
    assert!(share(off.iter().map(|e| *e <= 1.0 || e.is_nan())) > 0.95);
    assert!(found.evaluated() < 33 * 33, "{}", found.evaluated());
}

#[test]
fn a_ripple_takes_the_points_that_it_needs() {
    let ripple =
        Function::new(DType::F64, &AXES, |_, w| (w[0] * 45.0).sin() * 0.3 + w[1].square() + 2.0);
    let (truth, found) = planted(&ripple, 41, 0.01);
    let errors = errors(&truth, &found.surface, 0.01);
    assert!(share(errors.iter().map(|e| *e <= 1.0)) >= 0.95);
    let bowl = Function::new(DType::F64, &AXES, |_, w| w[1].square() + 2.0);
    assert!(found.evaluated() > 3 * planted(&bowl, 41, 0.01).1.evaluated());
}

#[test]
fn walls_and_what_is_not_finite_are_met_with_points() {
    let wall = Function::new(DType::F64, &AXES, |_, w| {
        let steep = (w[1] * 12.0 - 6.0).exp();
        (0.63 - w[0]).log() * -0.2 + w[0].square() + steep + 1.0
    });
    let (truth, found) = planted(&wall, 51, 0.02);
    assert!(truth.status.contains(&Status::NotFinite));
    assert_eq!(found.surface.status, truth.status);
    let errors = errors(&truth, &found.surface, 0.02);
    let finite = errors.iter().filter(|e| e.is_finite());
    assert!(share(finite.map(|e| *e <= 1.0)) >= 0.95);
    // Beside the wall every point was evaluated: of each row the last that is finite.
    for row in 0..51 {
        let last = (0..51).rfind(|x| truth.status[51 * row + x] == Status::Computed).unwrap();
        assert!(found.samples[51 * row + last] > 0, "row {row}");
    }
    assert!(found.evaluated() < 51 * 51);
}

/// A small network after some steps of gradient descent on the digits.
fn trained(ctx: &Context<'_>) -> (Model, Weights) {
    let model = model("mlp hidden=12", &[8, 8, 1], 10);
    let objective = on_digits(ctx, &model, None, &ObjectiveConfig::default());
    let mut point = weights(&model, DType::F32);
    for _ in 0..60 {
        let found = gradient(ctx, &objective, &point).unwrap();
        let direction = point.parameters.unflatten(&found.gradient).unwrap();
        point.parameters = point.parameters.add_scaled(-0.5, &direction).unwrap();
    }
    (model, point)
}

struct Digits {
    model: Model,
    point: Weights,
    planes: Vec<Plane>,
    at: Vec<f64>,
}

impl Digits {
    fn new(points: usize) -> Digits {
        let executor = Executor::new(2);
        let ctx = Context::new(&executor, 0);
        let (model, point) = trained(&ctx);
        let objective = on_digits(&ctx, &model, None, &ObjectiveConfig::default());
        let config = DirectionConfig::default();
        let planes = random_planes(&ctx, &objective, &point, &config, 1, true).unwrap();
        Digits { model, point, planes, at: range(1.0, points) }
    }

    fn exact(&self, ctx: &Context<'_>, samples: Option<usize>) -> Surface {
        let objective = on_digits(ctx, &self.model, samples, &ObjectiveConfig::default());
        surface(ctx, &objective, &self.point, &self.planes, &self.at, &self.at).unwrap()
    }

    fn adaptive(
        &self,
        ctx: &Context<'_>,
        tolerance: f64,
        samples: Option<usize>,
    ) -> Result<AdaptiveSurface, MethodError> {
        let objective = on_digits(ctx, &self.model, samples, &ObjectiveConfig::default());
        let tolerance = Tolerance::new(tolerance)?;
        let (at, planes) = (&self.at, &self.planes);
        adaptive_surface(ctx, &objective, &self.point, planes, at, at, tolerance)
    }
}

#[test]
fn error_bars_cover_the_exact_surface() {
    let executor = Executor::new(2);
    let digits = Digits::new(25);
    let truth = digits.exact(&Context::new(&executor, 0), None);
    let (mut sampled, mut covered, mut between, mut bounded, mut within) = (0, 0, 0, 0, 0.0);
    let mut evaluations = 0;
    for seed in 0..50 {
        let ctx = Context::new(&executor, seed);
        let found = digits.adaptive(&ctx, 0.05, None).unwrap();
        let off = errors(&truth, &found.surface, 0.05);
        within += share(off.iter().map(|e| *e <= 1.0)) / 50.0;
        evaluations += found.evaluations;
        for (point, &loss) in found.surface.loss.iter().enumerate() {
            let error = (loss - truth.loss[point]).abs();
            let bar = 1.96 * found.sampling_error[point];
            if found.samples[point] == 0 {
                between += 1;
                bounded += usize::from(error <= bar + found.interpolation_error[point]);
            } else if bar > 0.0 {
                sampled += 1;
                covered += usize::from(error <= bar);
            } else {
                assert_eq!(loss.to_bits(), truth.loss[point].to_bits());
            }
        }
    }
    let (covered, bounded) =
        (covered as f64 / f64::from(sampled), bounded as f64 / f64::from(between));
    let saved = 50.0 * 1438.0 * 625.0 / evaluations as f64;
    let told = format!(
        "{covered:.3} of {sampled}, {bounded:.3} of {between}, {within:.3} within, {saved:.1} times"
    );
    assert!(sampled > 1000 && covered >= 0.9, "{told}");
    assert!(between > 1000 && bounded >= 0.9, "{told}");
    assert!(within >= 0.95 && saved > 4.0, "{told}");
    println!("{told}");
}

#[test]
fn without_tolerance_all_is_the_exact_surface() {
    let executor = Executor::new(2);
    let digits = Digits::new(11);
    let ctx = Context::new(&executor, 0);
    for samples in [None, Some(100)] {
        let truth = digits.exact(&ctx, samples);
        let found = digits.adaptive(&ctx, 1e-9, samples).unwrap();
        assert_eq!(found.surface.loss, truth.loss);
        assert_eq!(found.surface.accuracy, truth.accuracy);
        assert_eq!(found.surface.centre, truth.centre);
        assert_eq!(found.evaluated(), 121);
        assert!(found.sampling_error.iter().all(|error| *error == 0.0));
        let errors = found.surface.loss_standard_error.unwrap();
        let expected = truth.loss_standard_error.unwrap_or_else(|| vec![0.0; 121]);
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b;
        assert!(errors.iter().zip(&expected).all(close));
    }
}

#[test]
fn the_choice_of_examples_is_part_of_the_standard_error() {
    let executor = Executor::new(2);
    let digits = Digits::new(17);
    let ctx = Context::new(&executor, 0);
    let truth = digits.exact(&ctx, Some(300)).loss_standard_error.unwrap();
    let found = digits.adaptive(&ctx, 0.05, Some(300)).unwrap();
    let total = found.surface.loss_standard_error.unwrap();
    let ratios: Vec<f64> = total.iter().zip(&truth).map(|(total, exact)| total / exact).collect();
    // At least what the exact surface has, but for estimates from smaller samples without strata.
    assert!(share(ratios.iter().map(|r| *r > 0.8 && *r < 2.5)) > 0.95, "{ratios:?}");
    let both = total.iter().zip(&found.sampling_error);
    assert!(both.clone().all(|(total, sampling)| total >= sampling));
}

#[test]
fn accuracy_is_interpolated_with_the_loss() {
    let executor = Executor::new(2);
    let digits = Digits::new(25);
    let ctx = Context::new(&executor, 0);
    let truth = digits.exact(&ctx, None).accuracy.unwrap();
    let found = digits.adaptive(&ctx, 0.05, None).unwrap();
    let found = found.surface.accuracy.unwrap();
    let off = truth.iter().zip(&found).map(|(t, f)| (t - f).abs());
    assert!(off.clone().sum::<f64>() / (truth.len() as f64) < 0.02, "{off:?}");
}

#[test]
fn threads_budgets_and_interruptions_change_no_bit() {
    let digits = Digits::new(21);
    let run = |threads: usize, memory: usize| {
        let executor = Executor::new(threads);
        let ctx = Context::new(&executor, 3).with_memory(memory);
        digits.adaptive(&ctx, 0.05, None)
    };
    let whole = run(1, 1 << 30).unwrap();
    assert!(whole.evaluated() < 21 * 21 && whole.evaluations < 441 * 1438);
    for (threads, memory) in [(2, 1 << 30), (3, 3 << 20)] {
        assert_eq!(run(threads, memory).as_ref(), Ok(&whole), "{threads} threads, {memory}");
    }
    // Losses that others lean on are held, and have to fit.
    let refused = run(2, 300 << 10).unwrap_err().to_string();
    assert!(refused.contains("a surface to a tolerance, for the losses"), "{refused}");
    let executor = Executor::new(2);
    for units in [0, 3, 20] {
        let store = Dying::after(units);
        let ctx = Context::new(&executor, 3);
        let killed = digits.adaptive(&ctx.clone().with_units(&store), 0.05, None);
        assert_eq!(killed, Err(MethodError::Interrupted));
        let store = store.revived();
        let ctx = ctx.with_units(&store).with_memory(4 << 20);
        assert_eq!(digits.adaptive(&ctx, 0.05, None).unwrap(), whole, "killed after {units}");
    }
    let other = digits.adaptive(&Context::new(&executor, 4), 0.05, None).unwrap();
    assert_ne!(other.surface.loss, whole.surface.loss, "another seed draws other examples");
}

#[test]
fn with_batch_statistics_points_take_all_examples() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0);
    let model = model("resnet depth=8 width=2", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    for batch_norm in [BatchNorm::Batch, BatchNorm::Recalibrated] {
        let config = ObjectiveConfig { batch_norm, batch: 48, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(96), &config);
        let directions = DirectionConfig::default();
        let planes = random_planes(&ctx, &objective, &point, &directions, 1, false).unwrap();
        let at = range(0.5, 33);
        let truth = surface(&ctx, &objective, &point, &planes, &at, &[0.0]).unwrap();
        let tolerance = Tolerance::new(0.1).unwrap();
        let found =
            adaptive_surface(&ctx, &objective, &point, &planes, &at, &[0.0], tolerance).unwrap();
        for (at, &samples) in found.samples.iter().enumerate() {
            assert!(samples == 0 || samples == 96);
            assert!(samples == 0 || found.surface.loss[at] == truth.loss[at], "{batch_norm}");
        }
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for tolerance in [0.0, -0.1, 1.0, f64::NAN, f64::INFINITY] {
        let message = Tolerance::new(tolerance).unwrap_err().to_string();
        assert!(message.contains("above 0 and below 1"), "{message}");
    }
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let pole = Function::new(DType::F64, &AXES, |_, w| w[0].log() + w[1]);
    let along = pole.point(&[1.0, 0.0]).unwrap().parameters;
    let line = [Plane { x: along, y: None }];
    let tolerance = Tolerance::new(0.1).unwrap();
    let run = |x: &[f64], y: &[f64], at: f64| {
        let centre = pole.point(&[at, 0.0]).unwrap();
        adaptive_surface(&ctx, &pole as &dyn Objective, &centre, &line, x, y, tolerance)
    };
    for x in [vec![0.0, 1.0], vec![1.0, 0.5, 0.0]] {
        let found = run(&x, &[0.0], 1.0).unwrap();
        let exact: Vec<f64> = x.iter().map(|x| (1.0 + x).ln()).collect();
        assert_eq!((found.surface.loss, found.samples), (exact, vec![1; x.len()]));
    }
    let told = |found: Result<AdaptiveSurface, MethodError>| found.unwrap_err().to_string();
    assert!(told(run(&[0.0, 1.0], &[0.0], 0.0)).contains("centre"));
    assert!(told(run(&[0.0, 1.0, 0.5], &[0.0], 1.0)).contains("rising"));
    assert!(told(run(&[0.0, 0.0], &[0.0], 1.0)).contains("rising"));
    assert!(told(run(&[0.0], &[1.0], 1.0)).contains("line"));
    assert!(told(run(&[], &[0.0], 1.0)).contains("at least one point"));
}
