//! What a sample leaves open of curvature, against the Hessian of each example and over seeds.

use crate::common::{exact, labelled, model, on_digits, planted, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, Sampling, gradient, vector};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, Eigenpair, ExampleGroup, Hessian, Hutchinson, HutchinsonConfig,
    Lanczos, LanczosConfig, ParameterBlock, Scope, curvature_terms, exact_moments, lanczos,
};
use thalweg_methods::registry::{Instrument, Quantity, Size, instrument};
use thalweg_methods::{BatchNorm, Context, Meter, ModelObjective, Objective, ObjectiveConfig};
use thalweg_nn::{Loss, Weights};
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
        let got = curvature_terms(&ctx, &objective, &point, &parameters, &known, 0).unwrap();
        let got = got.unwrap();
        assert_eq!((got.trace, got.examples, got.passes), (None, 20, 3));
        for (pair, terms) in known.iter().zip(&got.eigenvalues) {
            let form = |one: &Curvature<'_>| {
                vector::dot(&pair.vector, &one.product(&pair.vector).unwrap())
            };
            let forms: Vec<f64> = each.iter().map(form).collect();
            let mean = forms.iter().sum::<f64>() / 20.0;
            assert!((mean - pair.value).abs() < 1e-10, "{mean} {}", pair.value);
            let (error, expected) = (terms.standard_error(), error_of(&forms, &objective));
            assert!((error - expected).abs() < 1e-10 * expected, "{error} {expected}");
        }
        // With a whole basis known nothing is left to probes.
        let unit = |i: usize| {
            let vector = (0..n).map(|j| f64::from(u8::from(i == j))).collect();
            Eigenpair { value: 0.0, residual: 0.0, vector }
        };
        let basis: Vec<Eigenpair> = (0..n).map(unit).collect();
        let got = curvature_terms(&ctx, &objective, &point, &parameters, &basis, 2).unwrap();
        let trace = |one: &Curvature<'_>| exact_moments(&ctx, one).unwrap().trace;
        let expected = error_of(&each.iter().map(trace).collect::<Vec<_>>(), &objective);
        let got = got.unwrap().trace.unwrap().standard_error();
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
    assert_eq!(curvature_terms(&ctx, &whole, &point, &all, &[], 2).unwrap(), None);
    let some = on_digits(&ctx, &plain, Some(50), &ObjectiveConfig::default());
    let short = Eigenpair { value: 1.0, residual: 0.0, vector: vec![1.0; 5] };
    for (known, probes, expected) in [
        (vec![], 1, "probes of a sampling error: expected none or at least 2, got 1"),
        (vec![short], 2, "a known vector: expected 650 elements, got 5"),
    ] {
        let error = curvature_terms(&ctx, &some, &point, &all, &known, probes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let normalised = model("resnet depth=8 width=2", &[8, 8, 1], 10);
    let point = weights(&normalised, DType::F64);
    for (batch_norm, has) in
        [(BatchNorm::Frozen, true), (BatchNorm::Batch, false), (BatchNorm::Recalibrated, false)]
    {
        let config = ObjectiveConfig { batch_norm, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &normalised, Some(50), &config);
        let found = curvature_terms(&ctx, &objective, &point, &all, &[], 2).unwrap();
        assert_eq!(found.is_some(), has, "{batch_norm}");
    }
}

/// What instruments say of a network on a sample, and of the whole data.
struct Readings {
    eigenvalue: Quantity,
    trace: Quantity,
}

fn read(ctx: &Context<'_>, objective: &ModelObjective, point: &Weights) -> Readings {
    let wanted = LanczosConfig { top: 1, bottom: 0, tolerance: 1e-4, max_products: 200 };
    let top = Lanczos::measure(ctx, objective, point, &wanted).unwrap();
    let probes = HutchinsonConfig { probes: 24, tolerance: 0.0 };
    let trace = Hutchinson::measure(ctx, objective, point, &probes).unwrap();
    let [eigenvalue] = <[Quantity; 1]>::try_from(Lanczos::quantities(&top)).unwrap();
    Readings { eigenvalue, trace: Hutchinson::quantities(&trace).remove(0) }
}

/// A 95 % bar covers between 90 and 99 % of 200 samples: that of the trace as a standard error has to,
/// that of an eigenvalue where its neighbours are not too near, and those of their differences between
/// two networks on the same examples, which are far shorter than both errors added in squares.
#[test]
fn bars_over_samples_cover() {
    const SEEDS: u64 = 200;
    let executor = Executor::new(2);
    for (text, samples) in [("linear", 200), ("mlp hidden=8 activation=tanh", 200)] {
        let model = model(text, &[8, 8, 1], 10);
        let config = ObjectiveConfig::default();
        let ctx = exact(&executor);
        let all = on_digits(&ctx, &model, None, &config);
        let first = weights(&model, DType::F64);
        // A little way down, as two checkpoints of one run are apart.
        let mut second = first.clone();
        for _ in 0..5 {
            let slope = gradient(&ctx, &all, &second).unwrap().gradient;
            let slope = second.parameters.unflatten(&slope).unwrap();
            second.parameters = second.parameters.add_scaled(-0.05, &slope).unwrap();
        }
        let points = [first, second];
        let truth = points.each_ref().map(|point| {
            let hessian = Hessian::new(&ctx, &all, point).unwrap();
            let exact = exact_moments(&ctx, &hessian).unwrap().trace;
            (read(&ctx, &all, point).eigenvalue.value.number(), exact)
        });
        let (mut covered, mut shorter) = ([0; 4], [0.0; 2]);
        for seed in 0..SEEDS {
            let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
            let objective = on_digits(&ctx, &model, Some(samples), &config);
            let [one, other] = points.each_ref().map(|point| read(&ctx, &objective, point));
            let mut within = |which: usize, value: f64, error: f64, truth: f64| {
                covered[which] += usize::from((value - truth).abs() <= 1.96 * error);
            };
            let pairs = [(&one.eigenvalue, &other.eigenvalue), (&one.trace, &other.trace)];
            for (which, (first, second)) in pairs.into_iter().enumerate() {
                let of = |truth: &(f64, f64)| if which == 0 { truth.0 } else { truth.1 };
                let own = first.value.standard_error().unwrap();
                within(which, first.value.number(), own, of(&truth[0]));
                let sample = [first, second].map(|of| of.sample.as_ref().unwrap());
                let sample = sample[1].combined(1.0, sample[0], -1.0).unwrap().standard_error();
                let draws = first.terms.as_ref().zip(second.terms.as_ref()).map(|(a, b)| {
                    let apart: Vec<f64> =
                        b.values.iter().zip(&a.values).map(|(b, a)| b - a).collect();
                    Estimate::mean(&apart).unwrap().standard_error
                });
                let error = sample.hypot(draws.unwrap_or(0.0));
                let apart = second.value.number() - first.value.number();
                within(2 + which, apart, error, of(&truth[1]) - of(&truth[0]));
                let unpaired = own.hypot(second.value.standard_error().unwrap());
                shorter[which] += error / unpaired / SEEDS as f64;
            }
        }
        println!("{text}: {covered:?} of {SEEDS}, paired over unpaired {shorter:?}");
        for (count, what) in covered.into_iter().zip(["eigenvalue", "trace", "change", "change"]) {
            assert!((180..=198).contains(&count), "{what} of {text}: {covered:?} of {SEEDS}");
        }
        assert!(shorter.iter().all(|ratio| *ratio < 0.5), "{text}: {shorter:?}");
    }
}

/// What instruments take beside products on a sample is declared.
#[test]
fn second_derivatives_of_a_sample_are_counted() {
    let executor = Executor::new(1);
    let model = model("linear", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let ctx = exact(&executor);
    for (samples, expected) in [(None, [0.0, 0.0]), (Some(50), [5.0, 8.0])] {
        let objective = on_digits(&ctx, &model, samples, &ObjectiveConfig::default());
        for (id, expected) in ["lanczos", "hutchinson"].into_iter().zip(expected) {
            let (entry, meter) = (instrument(id).unwrap(), Meter::default());
            (entry.measure)(&ctx.clone().with_meter(&meter), &objective, &point).unwrap();
            let taken = meter.passes(objective.examples());
            assert_eq!((taken.second_derivatives, taken.losses), (expected, 0.0), "{id}");
            let declared = (entry.cost)(&Size::of(&objective)).passes();
            assert_eq!(declared.second_derivatives, expected, "{id}");
        }
    }
}
