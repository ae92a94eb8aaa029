//! Sharpness against values by hand and against what a whole matrix says.

use crate::common::{
    self, SEEDS, exact, honest, labelled, model, on_digits, planted, valued, weights,
};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_methods::common::{Gradient, gradient};
use thalweg_methods::gradients::{BatchGradientsConfig, gradient_confusion, gradient_noise_scale};
use thalweg_methods::sharpness::{
    Ascent, AscentConfig, CriticalSharpnessConfig, FisherRaoConfig, MSharpnessConfig, Norm,
    RelativeFlatnessConfig, Rise, Scaling, SharpnessConfig, ascend, critical_sharpness,
    fisher_rao_norm, m_sharpness, relative_flatness, sam_sharpness,
};
use thalweg_methods::{Context, Evaluator, ModelObjective, Objective, ObjectiveConfig};
use thalweg_nn::{Loss, Weights};

/// Of the script that writes the fixture.
const SEED: u32 = 20262;

fn linear_softmax(ctx: &Context<'_>) -> (ModelObjective, Weights, Vec<Vec<f64>>) {
    let (inputs, rows) = planted(40, 4);
    let model = model("linear", &[4], 3);
    let data = labelled(&inputs, 3);
    let config = ObjectiveConfig { batch: 16, ..ObjectiveConfig::default() };
    let objective = ModelObjective::new(ctx, &model, Loss::default(), &data, None, &config);
    let point = weights(&model, DType::F64);
    (objective.unwrap(), point, rows)
}

/// Class probabilities of a linear model: weights `[input, class]`, then biases.
fn probabilities(point: &Weights, row: &[f64]) -> Vec<f64> {
    let flat = point.parameters.flatten();
    let score =
        |class: usize| flat[12 + class] + (0..4).map(|i| row[i] * flat[i * 3 + class]).sum::<f64>();
    let powers: Vec<f64> = (0..3).map(|class| score(class).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

#[test]
fn pytorch_agrees() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let model = model("mlp hidden=5", &[4], 3);
    let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
    let drawn = |name: &str, n: usize| common::drawn(SEED, name, n);
    point.parameters = point.parameters.unflatten(&drawn("weights", 43)).unwrap();
    let inputs: Vec<f32> = drawn("inputs", 48).into_iter().map(|x| x as f32).collect();
    let data = labelled(&Array::from_slice(&[12, 4], &inputs).unwrap(), 3);
    let config = ObjectiveConfig { batch: 5, ..ObjectiveConfig::default() };
    let objective =
        ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config).unwrap();
    let ascent = |norm: Norm, scaling: Scaling, rho: f64, steps: usize| {
        let config = AscentConfig { norm, scaling, rho, steps, ascent: Ascent::Straight };
        ascend(&ctx, &objective, &point, &config).unwrap().value
    };
    let one = BatchGradientsConfig { m: 1, batches: 12 };
    let mut seen = 0;
    for line in include_str!("../fixtures/sharpness.txt").lines() {
        let (name, expected) = line.split_once(' ').unwrap();
        let expected: f64 = expected.parse().unwrap();
        let (found, tolerance) = match name {
            "sam" => (ascent(Norm::L2, Scaling::None, 0.05, 1), 1e-12),
            "two_steps" => (ascent(Norm::L2, Scaling::None, 0.05, 2), 1e-12),
            "linf" => (ascent(Norm::LInf, Scaling::None, 1e-3, 1), 1e-12),
            "adaptive" => (ascent(Norm::L2, Scaling::Elementwise, 0.5, 1), 1e-12),
            "filter_adaptive" => (ascent(Norm::L2, Scaling::Filter, 0.5, 1), 1e-12),
            "critical" => {
                let config = CriticalSharpnessConfig { tolerance: 1e-9, ..Default::default() };
                let found = critical_sharpness(&ctx, &objective, &point, &config).unwrap();
                (found.sharpness, 1e-8)
            }
            "fisher_rao" => {
                let config = FisherRaoConfig::Data;
                (fisher_rao_norm(&ctx, &objective, &point, &config).unwrap().norm, 1e-12)
            }
            "flatness" => {
                let config = RelativeFlatnessConfig { layer: None, probes: 2000 };
                let found = relative_flatness(&ctx, &objective, &point, &config).unwrap().measure;
                (found.value, 4.0 * found.standard_error / expected)
            }
            "noise_scale" => {
                let found = gradient_noise_scale(&ctx, &objective, &point, &one).unwrap();
                (found.scale.value, 1e-10)
            }
            "mean_cosine" => {
                let found = gradient_confusion(&ctx, &objective, &point, &one).unwrap();
                (found.mean_cosine.value, 1e-11)
            }
            other => panic!("{other}"),
        };
        assert!((found - expected).abs() < tolerance * expected, "{name}: {found} {expected}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn relative_flatness_is_that_of_the_closed_form() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let (objective, point, rows) = linear_softmax(&ctx);
    // 1/n sum of |x|^2 tr(G (diag p - p p^T)) with the Gram matrix G of the classes' weights.
    let flat = point.parameters.flatten();
    let gram = |a: usize, b: usize| (0..4).map(|i| flat[i * 3 + a] * flat[i * 3 + b]).sum::<f64>();
    let expected: f64 = rows
        .iter()
        .map(|row| {
            let p = probabilities(&point, row);
            let square: f64 = row.iter().map(|x| x * x).sum();
            let pairs = (0..3).flat_map(|a| (0..3).map(move |b| (a, b)));
            let outer: f64 = pairs.map(|(a, b)| gram(a, b) * p[a] * p[b]).sum();
            square * ((0..3).map(|a| gram(a, a) * p[a]).sum::<f64>() - outer)
        })
        .sum::<f64>()
        / 40.0;
    let mut covered = 0;
    for seed in 0..SEEDS {
        let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
        let config = RelativeFlatnessConfig { layer: None, probes: 24 };
        let found = relative_flatness(&ctx, &objective, &point, &config).unwrap();
        covered += usize::from(found.measure.interval(0.95).unwrap().contains(expected));
    }
    honest("relative flatness", covered);
    let many = RelativeFlatnessConfig { layer: Some("fc.weight".into()), probes: 4000 };
    let found = relative_flatness(&ctx, &objective, &point, &many).unwrap();
    assert!((found.measure.value / expected - 1.0).abs() < 0.05, "{found:?} {expected}");
    let none = RelativeFlatnessConfig { layer: Some("fc.bias".into()), probes: 4 };
    let message = relative_flatness(&ctx, &objective, &point, &none).unwrap_err().to_string();
    assert!(message.contains("a weight matrix") && message.contains("fc.bias"), "{message}");
}

#[test]
fn the_fisher_rao_norm_is_that_of_the_closed_form() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let (objective, point, rows) = linear_softmax(&ctx);
    // <w, grad l> of softmax regression is <p - y, f>, with the outputs f.
    let flat = point.parameters.flatten();
    let labels = Objective::labels(&objective).unwrap();
    let outputs = |row: &[f64]| -> Vec<f64> {
        let of = |c: usize| flat[12 + c] + (0..4).map(|i| row[i] * flat[i * 3 + c]).sum::<f64>();
        (0..3).map(of).collect()
    };
    let along = |row: &[f64], label: usize| -> f64 {
        let (p, f) = (probabilities(&point, row), outputs(row));
        (0..3).map(|c| (p[c] - if c == label { 1.0 } else { 0.0 }) * f[c]).sum()
    };
    let of_data: f64 =
        rows.iter().zip(&labels).map(|(row, &l)| along(row, l as usize).powi(2)).sum();
    let of_model: f64 = rows
        .iter()
        .map(|row| {
            let p = probabilities(&point, row);
            (0..3).map(|label| p[label] * along(row, label).powi(2)).sum::<f64>()
        })
        .sum();
    let found = fisher_rao_norm(&ctx, &objective, &point, &FisherRaoConfig::Data).unwrap();
    assert!((found.norm - (of_data / 40.0).sqrt()).abs() < 1e-12, "{found:?}");
    let mean = found.examples.iter().sum::<f64>() / 40.0;
    assert!((mean - found.norm).abs() < 1e-12 && found.standard_error.is_none());
    let found = fisher_rao_norm(&ctx, &objective, &point, &FisherRaoConfig::Model).unwrap();
    assert!((found.norm - (of_model / 40.0).sqrt()).abs() < 1e-12, "{found:?}");
}

#[test]
fn the_fisher_rao_norm_of_homogeneous_layers_counts_them() {
    // Three layers of ReLU without biases: <w, grad l> = 3 (f - y) f for the half squared error.
    let (inputs, _) = planted(20, 4);
    let model = model("mlp hidden=5-4 bias=false", &[4], 1);
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let point = weights(&model, DType::F64);
    let config = ObjectiveConfig::default();
    let (loss, data) = (Loss::HalfSquaredError, valued(&inputs));
    let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
    let found = fisher_rao_norm(&ctx, &objective, &point, &FisherRaoConfig::Data).unwrap();
    // By scaling: with the last layer times 1 + h, f moves by h f, and three layers move alike.
    let last = point.parameters.iter().map(|(name, array)| match name {
        "fc3.weight" => array.clone(),
        _ => Array::zeros(DType::F64, array.shape()),
    });
    let last = point.parameters.with_arrays(last.collect()).unwrap();
    let along = Evaluator::affine(&ctx, &objective, &point, &[last], 2).unwrap();
    let h = 1e-5;
    let found_losses = along.examples_at(&[vec![h], vec![-h]], 0..1).unwrap();
    let (up, down) = (&found_losses[0].losses, &found_losses[1].losses);
    let squares: f64 = up.iter().zip(down).map(|(a, b)| (3.0 * (a - b) / (2.0 * h)).powi(2)).sum();
    assert!((found.norm - (squares / 20.0).sqrt()).abs() < 1e-6 * found.norm, "{found:?}");
}

#[test]
fn m_sharpness_of_all_examples_is_sams_and_grows_as_m_falls() {
    let model = model("mlp hidden=6", &[8, 8, 1], 10);
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let objective = on_digits(&ctx, &model, Some(64), &ObjectiveConfig::default());
    let point = weights(&model, DType::F64);
    let of = |m: usize, batches: Option<usize>| {
        let config = MSharpnessConfig { m, batches, rho: 0.1, steps: 2 };
        m_sharpness(&ctx, &objective, &point, &config).unwrap()
    };
    let config = SharpnessConfig::new(0.1, 2);
    let all: Rise = sam_sharpness(&ctx, &objective, &point, &config).unwrap();
    let whole = of(64, None);
    assert!((whole.mean - all.value).abs() < 1e-12);
    // One batch says nothing of others.
    assert!(whole.estimate.is_some_and(|estimate| estimate.standard_error.is_nan()));
    let (eight, one) = (of(8, None), of(1, None));
    assert_eq!((eight.batches.len(), one.batches.len()), (8, 64));
    assert!(whole.mean < eight.mean && eight.mean < one.mean);
    // Some of the batches are the first of all of them.
    assert_eq!(of(8, Some(3)).batches, eight.batches[..3]);
    // A batch's rise to first order is rho times the length of its gradient.
    let Gradient { gradient, .. } = gradient(&ctx, &objective, &point).unwrap();
    let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!((all.value / (0.1 * length) - 1.0).abs() < 0.5);
}

#[test]
fn a_rise_on_a_sample_has_an_error_that_covers_the_rise_on_all() {
    let model = model("linear", &[8, 8, 1], 10);
    let executor = Executor::new(1);
    let point = weights(&model, DType::F64);
    // The perturbation belongs to the sample, so that its rise is larger than that on all examples
    // by something small beside its error: the gradient of 300 examples is nearly that of all.
    let ctx = exact(&executor);
    let whole = on_digits(&ctx, &model, None, &ObjectiveConfig::default());
    let config = SharpnessConfig::new(0.05, 1);
    let exact_rise = sam_sharpness(&ctx, &whole, &point, &config).unwrap();
    assert!(exact_rise.standard_error.is_none());
    let mut covered = 0;
    for seed in 0..SEEDS {
        let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
        let objective = on_digits(&ctx, &model, Some(300), &ObjectiveConfig::default());
        let found = sam_sharpness(&ctx, &objective, &point, &config).unwrap();
        let error = found.standard_error.unwrap();
        covered += usize::from((found.value - exact_rise.value).abs() < 1.97 * error);
    }
    honest("SAM's rise on a sample", covered);
}

#[test]
fn the_fisher_rao_norm_of_a_sample_has_an_error_that_covers_that_of_all() {
    let model = model("linear", &[8, 8, 1], 10);
    let executor = Executor::new(1);
    let point = weights(&model, DType::F64);
    let ctx = exact(&executor);
    let of = |ctx: &Context<'_>, samples: Option<usize>| {
        let objective = on_digits(ctx, &model, samples, &ObjectiveConfig::default());
        fisher_rao_norm(ctx, &objective, &point, &FisherRaoConfig::Data).unwrap()
    };
    let whole = of(&ctx, None);
    assert!(whole.standard_error.is_none());
    let mut covered = 0;
    for seed in 0..SEEDS {
        let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
        let found = of(&ctx, Some(300));
        let error = found.standard_error.unwrap();
        covered += usize::from((found.norm - whole.norm).abs() < 1.97 * error);
    }
    honest("Fisher-Rao norm on a sample", covered);
}
