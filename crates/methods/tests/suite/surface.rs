//! Surfaces: invariances, and the same bits whatever the chunks, threads and interruptions.

use crate::common::{Dying, SEEDS, exact, honest, model, on_digits, weights};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Split, SplitConfig, digits};
use thalweg_exec::Executor;
use thalweg_graph::Tensor;
use thalweg_methods::registry::Instrument;
use thalweg_methods::surface::{
    DirectionConfig, GridRange, Ignore, Normalize, Plane, RandomSurface, RandomSurfaceConfig,
    RoughnessConfig, Surface, between, random_planes, roughness_index, roughness_trajectory,
    surface,
};
use thalweg_methods::{
    BatchNorm, Context, Evaluation, Evaluator, Function, MethodError, ModelObjective, Objective,
    ObjectiveConfig, Status, evaluate,
};
use thalweg_nn::layer::{self, Activation, Convolution, Dense};
use thalweg_nn::{Layer, Loss, Model, ModelPort, Parameters, Role, Scope, Weights};
use thalweg_train::{Examples, Resources};

fn random(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    directions: DirectionConfig,
) -> Surface {
    let x = GridRange::new(-0.5, 0.5, 5).unwrap();
    let y = Some(GridRange::new(-0.5, 0.5, 3).unwrap());
    let config = RandomSurfaceConfig { directions, x, y, pairs: 2 };
    RandomSurface::measure(ctx, objective, point, &config).unwrap()
}

fn worst(a: &Surface, b: &Surface) -> f64 {
    assert!(a.loss.iter().chain(&b.loss).all(|loss| loss.is_finite()));
    let pairs = a.loss.iter().zip(&b.loss);
    pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs() / (1.0 + a.abs())))
}

/// The arrays with every element of one of them times a factor of its filter.
fn times(arrays: &Parameters, name: &str, factor: impl Fn(usize) -> f64) -> Parameters {
    let change = |(known, array): (&str, &Array)| {
        let mut values = array.to_f64_vec();
        if known == name {
            let n = array.shape()[array.rank() - 1];
            values.iter_mut().enumerate().for_each(|(i, x)| *x *= factor(i % n));
        }
        (known.to_owned(), Array::from_slice(array.shape(), &values).unwrap())
    };
    assert!(arrays.get(name).is_some(), "{name}");
    Parameters::new(arrays.iter().map(change).collect()).unwrap()
}

/// The weights with every element of a parameter times a factor of its filter.
fn scaled(weights: &Weights, name: &str, factor: impl Fn(usize) -> f64) -> Weights {
    let parameters = times(&weights.parameters, name, factor);
    Weights { parameters, buffers: weights.buffers.clone() }
}

fn matrices(model: &Model) -> Vec<String> {
    let weights = model.parameters().iter().filter(|p| p.role == Role::Weight);
    weights.map(|p| p.name.clone()).collect()
}

#[test]
fn filter_normalisation_does_not_see_the_scale_of_layers() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=12-10 bias=false activation=relu", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let names = matrices(&model);
    let other = scaled(&scaled(&point, &names[0], |_| 7.0), &names[1], |_| 1.0 / 7.0);
    let objective = on_digits(&ctx, &model, Some(64), &ObjectiveConfig::default());
    let of = |normalize, at: &Weights| {
        let config = DirectionConfig { normalize, ignore: Ignore::default() };
        random(&ctx, &objective, at, config)
    };
    for normalize in [Normalize::Filter, Normalize::Layer, Normalize::Weight] {
        let difference = worst(&of(normalize, &point), &of(normalize, &other));
        assert!(difference < 1e-12, "{normalize}: {difference}");
    }
    for normalize in
        [Normalize::None, Normalize::UnitFilter, Normalize::UnitLayer, Normalize::UnitSphere]
    {
        let difference = worst(&of(normalize, &point), &of(normalize, &other));
        assert!(difference > 1e-3, "{normalize}: {difference}");
    }
}

/// Two convolutions whose statistics have no epsilon, so that they do not see a factor at all.
struct WithoutEpsilon;

impl Layer for WithoutEpsilon {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let norm = layer::BatchNorm { eps: 0.0, ..layer::BatchNorm::default() };
        let mut x = x;
        for i in 1..3 {
            let convolution = Convolution::new(4, 3).padding(1).bias(false);
            x = convolution.forward(&scope.enter(&format!("conv{i}")), x);
            x = Activation::Relu.of(norm.forward(&scope.enter(&format!("norm{i}")), x));
        }
        Dense::new(10).forward(&scope.enter("fc"), x.mean(&[1, 2]))
    }
}

#[test]
fn filter_normalisation_does_not_see_the_scale_of_filters_before_batch_normalisation() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let port = ModelPort::float("input", &[8, 8, 1]);
    let model = Model::new(Arc::new(WithoutEpsilon), vec![port], &["output"]).unwrap();
    let point = weights(&model, DType::F64);
    let factor = |filter: usize| [30.0, 0.5, 2.0, 10.0][filter];
    let kept = scaled(&point, "conv1.weight", factor);
    // Where they are frozen, the statistics are those of the outputs so scaled.
    let mean = times(&point.buffers, "norm1.running_mean", factor);
    let buffers = times(&mean, "norm1.running_var", |filter| factor(filter).powi(2));
    let other = Weights { parameters: kept.parameters.clone(), buffers };
    for batch_norm in BatchNorm::ALL {
        let config = ObjectiveConfig { batch_norm, batch: 32, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(64), &config);
        let apart = |normalize, other: &Weights| {
            let config = DirectionConfig { normalize, ignore: Ignore::default() };
            let of = |at: &Weights| random(&ctx, &objective, at, config);
            worst(&of(&point), &of(other))
        };
        for normalize in [Normalize::Filter, Normalize::Weight] {
            let difference = apart(normalize, &other);
            assert!(difference < 1e-9, "{batch_norm}, {normalize}: {difference}");
        }
        for normalize in [Normalize::None, Normalize::Layer] {
            let difference = apart(normalize, &other);
            assert!(difference > 1e-3, "{batch_norm}, {normalize}: {difference}");
        }
        let unscaled = apart(Normalize::Filter, &kept);
        assert_eq!(unscaled > 1e-3, batch_norm == BatchNorm::Frozen, "{batch_norm}: {unscaled}");
    }
}

#[test]
fn roughness_along_a_trajectory_is_that_of_each_point() {
    let executor = Executor::new(2);
    let wave = Function::new(DType::F64, &[("w", &[2, 2])], |_, w| {
        (w[0] * 300.0).sin().sum_all() + w[0].square().sum_all()
    });
    let at = |coordinates: [f64; 4]| wave.point(&coordinates).unwrap();
    let points = [[0.5, -1.0, 0.3, 0.8], [0.1, 0.2, -0.3, 0.4], [0.5, -1.0, 0.3, 0.8]].map(at);
    let config = RoughnessConfig { directions: 12, ..RoughnessConfig::default() };
    let store = Dying::after(3 * 12);
    let ctx = Context::new(&executor, 0).with_units(&store);
    let found = roughness_trajectory(&ctx, &wave, &points, &config).unwrap();
    let fresh = Context::new(&executor, 0);
    let alone = |point: Weights| roughness_index(&fresh, &wave, &point, &config).unwrap();
    assert_eq!(found, points.map(alone));
    assert!(found[0] == found[2] && found[0] != found[1]);
}

#[test]
fn threads_chunks_and_budgets_change_no_bit_and_the_centre_is_one_evaluation() {
    for batch_norm in BatchNorm::ALL {
        let run = |threads: usize, memory: usize| {
            let executor = Executor::new(threads);
            let ctx = Context::new(&executor, 0).with_memory(memory);
            let model = model("resnet depth=8 width=4", &[8, 8, 1], 10);
            let config = ObjectiveConfig { batch_norm, batch: 48, ..ObjectiveConfig::default() };
            let objective = on_digits(&ctx, &model, Some(100), &config);
            let point = weights(&model, DType::F32);
            let found = random(&ctx, &objective, &point, DirectionConfig::default());
            (found, evaluate(&ctx, &objective, &point).unwrap())
        };
        let (whole, alone) = run(1, 1 << 30);
        assert_eq!(whole.centre, alone);
        for pair in 0..2 {
            assert_eq!(whole.pair(pair)[7].to_bits(), alone.loss.to_bits(), "{batch_norm}");
            let errors = whole.loss_standard_error.as_ref().unwrap();
            assert_eq!(Some(errors[15 * pair + 7]), alone.standard_error);
            assert_eq!(Some(whole.accuracy.as_ref().unwrap()[15 * pair + 7]), alone.accuracy);
        }
        assert_ne!(whole.pair(0), whole.pair(1));
        for (threads, memory) in [(2, 1 << 30), (3, 1 << 30), (2, 8 << 20)] {
            assert_eq!(run(threads, memory).0, whole, "{batch_norm}, {threads} threads, {memory}");
        }
    }
}

/// The products of a first layer are those of the centre and of each direction, if it is large
/// enough for that: whatever goes at once, and with the error of points that are formed first.
#[test]
fn a_first_layer_that_points_share_changes_no_bit() {
    let model = model("mlp hidden=24 activation=tanh", &[8, 8, 1], 10);
    let points: Vec<Vec<f64>> =
        (0..9).map(|i| vec![f64::from(i % 3) - 1.0, f64::from(i / 3) - 1.0]).collect();
    type Found = Result<(usize, Vec<f64>, Vec<f64>), MethodError>;
    let run = |threads: usize, memory: usize, float: DType| -> Found {
        let executor = Executor::new(threads);
        let ctx = Context::new(&executor, 0).with_memory(memory).with_precision(float)?;
        let config = ObjectiveConfig { batch: 48, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(100), &config);
        let centre = weights(&model, DType::F32).convert(float);
        let config = DirectionConfig::default();
        let roomy = ctx.clone().with_memory(1 << 30);
        let plane = random_planes(&roomy, &objective, &centre, &config, 1, true).unwrap().remove(0);
        let narrow = |p: Parameters| p.convert(DType::F32).convert(float);
        let directions = [narrow(plane.x), narrow(plane.y.unwrap())];
        let affine = Evaluator::affine(&ctx, &objective, &centre, &directions, points.len())?;
        let formed = |point: &Vec<f64>| {
            let moved = centre.parameters.add_scaled(point[0], &directions[0]).unwrap();
            let parameters = moved.add_scaled(point[1], &directions[1]).unwrap().convert(float);
            Weights { parameters, buffers: centre.buffers.clone() }
        };
        let formed: Vec<Weights> = points.iter().map(formed).collect();
        let losses = |found: Vec<Evaluation>| found.iter().map(|e| e.loss).collect::<Vec<f64>>();
        let alone = formed.iter().map(|one| evaluate(&ctx, &objective, one).unwrap()).collect();
        Ok((affine.members(), losses(affine.at(&points)?), losses(alone)))
    };
    let Err(MethodError::Memory { needed, .. }) = run(2, 1000, DType::F32) else {
        panic!("1000 bytes are too few")
    };
    let (members, whole, alone) = run(1, 1 << 30, DType::F32).unwrap();
    let (fewer, chunks, _) = run(2, needed, DType::F32).unwrap();
    assert_eq!((members, fewer), (9, 1));
    assert_eq!(chunks, whole);
    assert_eq!(run(3, 2 * needed, DType::F32).unwrap().1, whole);
    assert_eq!(whole[4], alone[4], "the centre");
    assert!(whole != alone, "points are not formed");
    let (_, exact, formed) = run(1, 1 << 30, DType::F64).unwrap();
    for i in 0..points.len() {
        assert!((exact[i] - formed[i]).abs() < 1e-10 * formed[i], "{} {}", exact[i], formed[i]);
        assert!((whole[i] - exact[i]).abs() < 1e-5 * exact[i], "{} {}", whole[i], exact[i]);
    }
}

#[test]
fn recalibrated_statistics_are_those_of_the_point() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("resnet depth=8 width=2", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let with = |batch_norm, batch| {
        let config = ObjectiveConfig { batch_norm, batch, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(64), &config);
        evaluate(&ctx, &objective, &point).unwrap().loss
    };
    // In a single batch, recalibrated statistics are the batch's own but for the unbiased variance.
    let (recalibrated, batch) = (with(BatchNorm::Recalibrated, 64), with(BatchNorm::Batch, 64));
    let (off, far) = ((recalibrated - batch).abs(), (with(BatchNorm::Frozen, 64) - batch).abs());
    assert!(off > 0.0 && off < 0.05 * far, "{recalibrated} {batch} {far}");
    // In several it is not.
    assert_ne!(with(BatchNorm::Recalibrated, 20), recalibrated);
    // Frozen losses do not know the batches.
    let (one, many) = (with(BatchNorm::Frozen, 64), with(BatchNorm::Frozen, 20));
    assert_eq!(one.to_bits(), many.to_bits());
}

#[test]
fn a_killed_surface_goes_on_with_the_same_bits() {
    let executor = Executor::new(2);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let run = |ctx: &Context<'_>| -> Result<Surface, MethodError> {
        let objective = on_digits(ctx, &model, None, &ObjectiveConfig::default());
        let range = GridRange::new(-1.0, 1.0, 9)?;
        let config =
            RandomSurfaceConfig { x: range, y: Some(range), pairs: 2, ..Default::default() };
        RandomSurface::measure(ctx, &objective, &point, &config)
    };
    let undisturbed = run(&Context::new(&executor, 5)).unwrap();
    assert_eq!(undisturbed.loss_standard_error, None);
    for units in 0..6 {
        let store = Dying::after(units);
        let killed = run(&Context::new(&executor, 5).with_units(&store));
        assert_eq!(killed, Err(MethodError::Interrupted));
        let store = store.revived();
        // Another budget, and so other chunks.
        let ctx = Context::new(&executor, 5).with_units(&store).with_memory(4 << 20);
        assert_eq!(run(&ctx).unwrap(), undisturbed, "killed after {units} units");
    }
}

#[test]
fn lines_between_checkpoints_end_at_them() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let (a, b) =
        (weights(&model, DType::F64), thalweg_train::initialize(&model, 9, DType::F64).unwrap());
    let objective = on_digits(&ctx, &model, Some(50), &ObjectiveConfig::default());
    let x = between(&a.parameters, &b.parameters).unwrap();
    let line = [Plane { x, y: None }];
    let found = surface(&ctx, &objective, &a, &line, &[0.0, 0.5, 1.0], &[0.0]).unwrap();
    let end = evaluate(&ctx, &objective, &b).unwrap().loss;
    assert!((found.loss[2] - end).abs() < 1e-12 && found.loss[0] == found.centre.loss);
    assert!(surface(&ctx, &objective, &a, &line, &[0.0], &[1.0]).is_err());
    assert!(surface(&ctx, &objective, &a, &line, &[], &[0.0]).is_err());
    assert!(surface(&ctx, &objective, &a, &line, &[f64::NAN], &[0.0]).is_err());
}

#[test]
fn directions_that_span_nothing_are_refused() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let [a, b, c] =
        [0, 9, 8].map(|seed| thalweg_train::initialize(&model, seed, DType::F64).unwrap());
    let objective = on_digits(&ctx, &model, Some(50), &ObjectiveConfig::default());
    let to = |other: &Parameters| between(&a.parameters, other).unwrap();
    let (x, y, nowhere) = (to(&b.parameters), to(&c.parameters), to(&a.parameters));
    let on = |x: &Parameters, y: Option<&Parameters>| {
        let plane = [Plane { x: x.clone(), y: y.cloned() }];
        let second: &[f64] = if y.is_some() { &[0.0, 1.0] } else { &[0.0] };
        surface(&ctx, &objective, &a, &plane, &[0.0, 1.0], second)
    };
    let message = |x, y| on(x, y).unwrap_err().to_string();
    assert!(message(&nowhere, None).starts_with("direction x of a surface"));
    assert!(message(&x, Some(&nowhere)).starts_with("direction y of a surface"));
    // As a mean of two networks, which lies on the line between them as far as it is not rounded.
    let tilted = |by: f64| x.add_scaled(by, &y).unwrap();
    assert!(message(&x, Some(&tilted(1e-8))).ends_with("parallel ones"));
    let plane = on(&x, Some(&tilted(1e-4))).unwrap();
    let end = evaluate(&ctx, &objective, &b).unwrap().loss;
    assert!((plane.loss[1] - end).abs() < 1e-12, "{} {end}", plane.loss[1]);
}

#[test]
fn losses_that_are_not_finite_are_a_status() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0);
    let model = model("mlp hidden=8-8-8", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let objective = on_digits(&ctx, &model, Some(50), &ObjectiveConfig::default());
    let config = DirectionConfig::default();
    let planes = random_planes(&ctx, &objective, &point, &config, 1, false).unwrap();
    let found = surface(&ctx, &objective, &point, &planes, &[0.0, 1e15], &[0.0]).unwrap();
    assert_eq!(found.status, [Status::Computed, Status::NotFinite]);
    assert!(found.loss_standard_error.unwrap()[1].is_nan());
}

#[test]
fn the_standard_error_covers_the_loss_of_all_data() {
    let executor = Executor::new(2);
    let model = model("mlp hidden=16", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let ctx = Context::new(&executor, 0);
    let all = on_digits(&ctx, &model, None, &ObjectiveConfig::default());
    let truth = evaluate(&ctx, &all, &point).unwrap();
    assert_eq!(truth.standard_error, None);
    let mut inside = 0;
    for seed in 0..SEEDS {
        let ctx = Context::new(&executor, seed);
        let some = on_digits(&ctx, &model, Some(200), &ObjectiveConfig::default());
        let found = evaluate(&ctx, &some, &point).unwrap();
        let error = found.standard_error.unwrap();
        inside += usize::from((found.loss - truth.loss).abs() < 1.97 * error);
    }
    honest("loss of a sample", inside);
}

#[test]
fn the_standard_error_is_that_of_a_stratified_sample_without_replacement() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let split = Split::new(digits(), &SplitConfig::default()).unwrap();
    let normalization = Normalization::fit(&split.train).unwrap();
    let sizes = split.train.class_counts().unwrap();
    let config = ObjectiveConfig { samples: Some(900), ..ObjectiveConfig::default() };
    let (loss, data) = (Loss::default(), Some(&normalization));
    let objective = ModelObjective::new(&ctx, &model, loss, &split.train, data, &config).unwrap();
    let found = evaluate(&ctx, &objective, &point).unwrap();

    let examples = Examples::new(objective.subset().unwrap(), data, DType::F64).unwrap();
    let other = Arc::new(Executor::new(1));
    let evaluator = thalweg_train::Evaluator::new(other, model, loss, examples, 900).unwrap();
    let each = evaluator.evaluate(&[point], &Resources::default()).unwrap().remove(0);
    assert!((each.loss - found.loss).abs() < 1e-12);
    assert_eq!(each.accuracy, found.accuracy);
    // sum over classes of (N_c / N)^2 (1 - n_c / N_c) s_c^2 / n_c
    let labels = objective.subset().unwrap().labels().unwrap();
    let total: usize = sizes.iter().sum();
    let mut variance = 0.0;
    for (class, &size) in sizes.iter().enumerate() {
        let of_class = each.losses.iter().zip(&labels).filter(|(_, l)| **l == class as i32);
        let losses: Vec<f64> = of_class.map(|(loss, _)| *loss).collect();
        let n = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let spread = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let (share, size) = (size as f64 / total as f64, size as f64);
        variance += share * share * (1.0 - n / size) * spread / n;
    }
    let expected = variance.sqrt();
    let error = found.standard_error.unwrap();
    assert!((error - expected).abs() < 1e-10 * expected, "{error} {expected}");
}
