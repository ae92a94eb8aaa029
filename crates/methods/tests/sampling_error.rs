//! What a sample leaves open of curvature, against the Hessian of each example and over seeds.

mod common;

use common::{exact, labelled, model, on_digits, planted, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, Sampling, vector};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, Eigenpair, ExampleGroup, Hessian, HutchinsonConfig, LanczosConfig,
    ParameterBlock, Scope, exact_moments, hutchinson, lanczos, sampling_error,
};
use thalweg_methods::{BatchNorm, Context, ModelObjective, Objective, ObjectiveConfig};
use thalweg_nn::Loss;
use thalweg_stats::Estimate;

/// The error of a mean over the objective's examples, by its strata.
fn error_of(values: &[f64], objective: &ModelObjective) -> f64 {
    let Sampling::Strata(strata) = objective.sampling() else { panic!("all examples") };
    let of: Vec<(Vec<f64>, usize)> =
        strata.iter().map(|(at, n)| (at.iter().map(|&i| values[i]).collect(), *n)).collect();
    let of: Vec<(&[f64], usize)> = of.iter().map(|(v, n)| (v.as_slice(), *n)).collect();
    Estimate::mean_of_strata(&of).unwrap().standard_error
}

#[test]
fn errors_are_those_of_the_examples_own_hessians() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=4 activation=tanh", &[3], 3);
    let (inputs, _) = planted(60, 3);
    // Batches of 8, so that the last one is smaller.
    let config = ObjectiveConfig { samples: Some(20), batch: 8, ..ObjectiveConfig::default() };
    let data = labelled(&inputs, 3);
    let objective =
        ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let first = model.parameters()[0].name.clone();
    for parameters in [ParameterBlock::All, ParameterBlock::Named(vec![first])] {
        let n = parameters.count(model.parameters()).unwrap();
        let of_example = |i: usize| {
            let scope =
                Scope { parameters: parameters.clone(), examples: ExampleGroup::At(vec![i]) };
            Curvature::new(&ctx, &objective, &point, CurvatureMatrix::Hessian, &scope).unwrap()
        };
        let each: Vec<Curvature<'_>> = (0..20).map(of_example).collect();
        let whole = Scope { parameters: parameters.clone(), examples: ExampleGroup::All };
        let hessian =
            Curvature::new(&ctx, &objective, &point, CurvatureMatrix::Hessian, &whole).unwrap();
        let wanted = LanczosConfig { top: 2, bottom: 1, tolerance: 1e-8, max_products: n };
        let found = lanczos(&ctx, &hessian, &wanted).unwrap();
        let known = [found.top, found.bottom].concat();
        let got = sampling_error(&ctx, &objective, &point, &parameters, &known, 0).unwrap();
        let got = got.unwrap();
        assert_eq!((got.trace, got.examples, got.passes), (None, 20, 3));
        for (pair, error) in known.iter().zip(&got.eigenvalues) {
            let form = |one: &Curvature<'_>| {
                vector::dot(&pair.vector, &one.product(&pair.vector).unwrap())
            };
            let forms: Vec<f64> = each.iter().map(form).collect();
            let mean = forms.iter().sum::<f64>() / 20.0;
            assert!((mean - pair.value).abs() < 1e-10, "{mean} {}", pair.value);
            let expected = error_of(&forms, &objective);
            assert!((error - expected).abs() < 1e-10 * expected, "{error} {expected}");
        }
        // With a whole basis known nothing is left to probes.
        let unit = |i: usize| {
            let vector = (0..n).map(|j| f64::from(u8::from(i == j))).collect();
            Eigenpair { value: 0.0, residual: 0.0, vector }
        };
        let basis: Vec<Eigenpair> = (0..n).map(unit).collect();
        let got = sampling_error(&ctx, &objective, &point, &parameters, &basis, 2).unwrap();
        let trace = |one: &Curvature<'_>| exact_moments(&ctx, one).unwrap().trace;
        let expected = error_of(&each.iter().map(trace).collect::<Vec<_>>(), &objective);
        let got = got.unwrap().trace.unwrap();
        assert!((got - expected).abs() < 1e-9 * expected, "{got} {expected}");
    }
}

#[test]
fn all_examples_and_their_own_statistics_have_no_such_error() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let all = ParameterBlock::All;
    let plain = model("linear", &[8, 8, 1], 10);
    let point = weights(&plain, DType::F64);
    let whole = on_digits(&ctx, &plain, None, &ObjectiveConfig::default());
    assert_eq!(sampling_error(&ctx, &whole, &point, &all, &[], 2).unwrap(), None);
    let some = on_digits(&ctx, &plain, Some(50), &ObjectiveConfig::default());
    let short = Eigenpair { value: 1.0, residual: 0.0, vector: vec![1.0; 5] };
    for (known, probes, expected) in [
        (vec![], 1, "probes of a sampling error: expected none or at least 2, got 1"),
        (vec![short], 2, "a known vector: expected 650 elements, got 5"),
    ] {
        let error = sampling_error(&ctx, &some, &point, &all, &known, probes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let normalised = model("resnet depth=8 width=2", &[8, 8, 1], 10);
    let point = weights(&normalised, DType::F64);
    for (batch_norm, has) in
        [(BatchNorm::Frozen, true), (BatchNorm::Batch, false), (BatchNorm::Recalibrated, false)]
    {
        let config = ObjectiveConfig { batch_norm, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &normalised, Some(50), &config);
        let found = sampling_error(&ctx, &objective, &point, &all, &[], 2).unwrap();
        assert_eq!(found.is_some(), has, "{batch_norm}");
    }
}

/// A 95 % bar covers between 90 and 99 % of 200 samples: that of the trace as a standard error has to,
/// that of an eigenvalue where its neighbours are not too near.
#[test]
fn bars_over_samples_cover() {
    const SEEDS: u64 = 200;
    let executor = Executor::new(2);
    for (text, samples) in [("linear", 200), ("mlp hidden=8 activation=tanh", 200)] {
        let model = model(text, &[8, 8, 1], 10);
        let point = weights(&model, DType::F64);
        let config = ObjectiveConfig::default();
        let wanted = LanczosConfig { top: 1, bottom: 0, tolerance: 1e-4, max_products: 200 };
        let ctx = exact(&executor);
        let all = on_digits(&ctx, &model, None, &config);
        let hessian = Hessian::new(&ctx, &all, &point).unwrap();
        let eigenvalue = lanczos(&ctx, &hessian, &wanted).unwrap().top[0].value;
        let trace = exact_moments(&ctx, &hessian).unwrap().trace;
        let (mut covered, mut bias) = ([0; 2], [0.0; 2]);
        for seed in 0..SEEDS {
            let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
            let objective = on_digits(&ctx, &model, Some(samples), &config);
            let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
            let found = lanczos(&ctx, &hessian, &wanted).unwrap().top;
            let probes = HutchinsonConfig { probes: 16, tolerance: 0.0 };
            let estimate = hutchinson(&ctx, &hessian, &found, &probes).unwrap().trace;
            let block = ParameterBlock::All;
            let error = sampling_error(&ctx, &objective, &point, &block, &found, 8).unwrap();
            let error = error.unwrap();
            let readings = [
                (found[0].value, error.eigenvalues[0], eigenvalue),
                (estimate.value, error.trace.unwrap().hypot(estimate.standard_error), trace),
            ];
            for (i, (value, error, truth)) in readings.into_iter().enumerate() {
                covered[i] += usize::from((value - truth).abs() <= 1.96 * error);
                bias[i] += (value - truth) / error / SEEDS as f64;
            }
        }
        println!("{text}: eigenvalue, trace: {covered:?} of {SEEDS}, bias {bias:?}");
        for (what, count) in ["eigenvalue", "trace"].into_iter().zip(covered) {
            assert!((180..=198).contains(&count), "{what} of {text}: {count} of {SEEDS}");
        }
    }
}
