//! What normalising and projecting together do to a network's function.

use super::{
    NapConfig, StepKind, nap, projected_weights, radial_gradients, replay_elr_schedule,
    replay_layer_rates, weight_norms,
};
use crate::{Context, ModelObjective, ObjectiveConfig};
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_graph::Tensor;
use thalweg_nn::layer::{Dense, LayerNorm};
use thalweg_nn::{Layer, Loss, Model, ModelPort, Scope, Weights};
use thalweg_train::part::{ScaleByTable, UpdateRule};
use thalweg_train::{
    Ended, Examples, Length, Member, Optimizer, Resources, Schedule, Segment, TrainConfig, Trainer,
    initialize,
};

/// Two normalised layers whose epsilon is next to nothing, so that scales do not matter.
struct Free;

impl Layer for Free {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let mut x = x;
        for name in ["first", "second"] {
            let scope = scope.enter(name);
            let dense = Dense { bias: false, ..Dense::new(6) };
            let norm = LayerNorm { eps: 1e-20 };
            x = norm.forward(&scope.enter("norm"), dense.forward(&scope, x)).tanh();
        }
        Dense::new(3).forward(&scope.enter("output"), x)
    }
}

pub(super) fn model() -> Model {
    Model::new(Arc::new(Free), vec![ModelPort::float("input", &[4])], &["output"]).unwrap()
}

pub(super) fn data() -> (Array, Array) {
    let stream = Stream::new(9, "inputs");
    let values: Vec<f64> = (0..20 * 4).map(|i| stream.normal(i)).collect();
    let labels: Vec<i32> = (0..20).map(|i| i % 3).collect();
    (Array::from_slice(&[20, 4], &values).unwrap(), Array::vector(&labels))
}

fn with_objective<T>(work: impl FnOnce(&Context<'_>, &ModelObjective) -> T) -> T {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
    let ((inputs, labels), config) = (data(), ObjectiveConfig::default());
    let loss = Loss::default();
    let objective =
        ModelObjective::from_arrays(&ctx, &model(), loss, vec![inputs], labels, true, &config);
    work(&ctx, &objective.unwrap())
}

fn outputs(ctx: &Context<'_>, weights: &Weights) -> Vec<f64> {
    let graph = model().evaluation_graph(DType::F64, 20).unwrap();
    let program = ctx.executor().compile(&graph).unwrap();
    let parameters = weights.parameters.arrays().iter().cloned();
    program.run(parameters.chain([data().0]).collect()).unwrap()[0].to_f64_vec()
}

fn times(weights: &Weights, factor: f64, name: &str) -> Weights {
    let scaled = weights.parameters.iter().map(|(known, array)| match known == name {
        true => {
            let values: Vec<f64> = array.to_f64_vec().iter().map(|w| w * factor).collect();
            Array::from_slice(array.shape(), &values).unwrap()
        }
        false => array.clone(),
    });
    let parameters = weights.parameters.with_arrays(scaled.collect()).unwrap();
    Weights { parameters, buffers: weights.buffers.clone() }
}

#[test]
fn the_scale_of_a_normalised_layer_does_not_matter() {
    with_objective(|ctx, objective| {
        let weights = initialize(&model(), 1, DType::F64).unwrap();
        for (name, cosine) in radial_gradients(ctx, objective, &weights).unwrap() {
            assert_eq!(cosine.abs() < 1e-10, name != "output.weight", "{name}: {cosine}");
        }
        let before = outputs(ctx, &weights);
        for (name, same) in
            [("first.weight", true), ("second.weight", true), ("output.weight", false)]
        {
            let after = outputs(ctx, &times(&weights, 3.0, name));
            let apart = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
            assert_eq!(apart.fold(0.0, f64::max) < 1e-10, same, "{name}");
        }
    });
}

/// The weights before each of some steps of gradient descent on all examples, and after the last.
fn descended(
    model: &Model,
    rule: UpdateRule,
    (lr, schedule): (f64, Schedule),
    steps: u64,
) -> Vec<Weights> {
    let (inputs, labels) = data();
    let examples = Examples::from_arrays(inputs, labels, true, DType::F64).unwrap();
    let config = TrainConfig {
        schedule,
        batch: 20,
        length: Length::Steps(steps),
        precision: DType::F64,
        segment: 1,
        ..TrainConfig::default()
    };
    let executor = Arc::new(Executor::new(1));
    let resources = Resources::default();
    let trainer =
        Trainer::with_rule(executor, model.clone(), rule, examples, config, resources).unwrap();
    let mut state = trainer.start(&[Member::new(2, lr)]).unwrap();
    let mut seen = vec![state.weights(0).unwrap()];
    let mut look = |segment: &Segment<'_>| {
        seen.push(segment.state.weights(0).unwrap());
        ControlFlow::Continue(())
    };
    assert_eq!(trainer.run(&mut state, &mut look).unwrap(), Ended::Finished);
    seen
}

/// The largest distance of two runs' outputs at any step.
fn apart(ctx: &Context<'_>, one: &[Weights], other: &[Weights]) -> f64 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other).flat_map(|(one, other)| {
        outputs(ctx, one).into_iter().zip(outputs(ctx, other)).map(|(a, b)| (a - b).abs())
    });
    pairs.fold(0.0, f64::max)
}

#[test]
fn a_projected_network_at_replayed_rates_is_the_unprojected_one() {
    // Larger rates make the two differ by what rounding grows to.
    const RATE: f64 = 0.01;
    const STEPS: u64 = 200;
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
    let names = projected_weights(&model(), false);
    assert_eq!(names, ["first.weight", "second.weight"]);
    let (kind, constant) = (StepKind::Gradient, Schedule::default());
    let plain = || Optimizer::sgd().rule();
    let projected = |rule, schedule| {
        let (model, rule) = nap(&model(), rule, &NapConfig::default()).unwrap();
        descended(&model, rule, schedule, STEPS)
    };
    // The same scales and shifts are held.
    let (held, _) = nap(&model(), plain(), &NapConfig::default()).unwrap();
    let free = descended(&held, plain(), (RATE, constant.clone()), STEPS);
    let norms_of = |weights: &Weights| weight_norms(&weights.parameters, &names).unwrap();
    let norms: Vec<Vec<f64>> = free[..STEPS as usize].iter().map(norms_of).collect();
    // The norms have grown, so that the two do not take the same rates.
    assert!(norms[199].iter().zip(&norms[0]).all(|(last, first)| *last > (1.0 + 1e-5) * first));

    let layers = replay_layer_rates(kind, &names, &norms).unwrap();
    let replayed = projected(plain().then(Arc::new(layers)), (RATE, constant.clone()));
    let layer_wise = apart(&ctx, &free, &replayed);
    assert!(layer_wise < 1e-8, "{layer_wise}");
    for weights in &replayed {
        let kept =
            norms_of(weights).iter().zip(&norms[0]).all(|(w, rho)| (w / rho - 1.0).abs() < 1e-12);
        assert!(kept);
    }
    // One factor for all layers is near, and none is not.
    let schedule = replay_elr_schedule(kind, &[RATE; STEPS as usize], &norms).unwrap();
    assert!((schedule.0 - RATE).abs() < 1e-15);
    let jointly = apart(&ctx, &free, &projected(plain(), schedule));
    let without = apart(&ctx, &free, &projected(plain(), (RATE, constant)));
    assert!(
        layer_wise < 0.1 * jointly && jointly < 0.5 * without,
        "{layer_wise} {jointly} {without}"
    );
}

#[test]
fn a_table_scales_the_named_parameters_alone_and_holds_at_its_end() {
    let table = |factors: &[(&str, &[f64])]| {
        let each = factors.iter().map(|(name, of)| ((*name).to_owned(), of.to_vec()));
        Optimizer::sgd().rule().then(Arc::new(ScaleByTable { factors: each.collect() }))
    };
    let run = |rule| descended(&model(), rule, (0.1, Schedule::default()), 3);
    let moves = |run: &[Weights], name: &str| -> Vec<f64> {
        let of = |weights: &Weights| weights.parameters.get(name).unwrap().to_f64_vec();
        let pairs = run.windows(2).map(|pair| of(&pair[1]).into_iter().zip(of(&pair[0])));
        pairs.map(|pair| pair.map(|(a, b)| (a - b).abs()).sum()).collect()
    };
    let found = run(table(&[("first.weight", &[1.0, 0.0][..])]));
    let first = moves(&found, "first.weight");
    assert!(first[0] > 0.0 && first[1..] == [0.0, 0.0], "{first:?}");
    assert!(moves(&found, "output.weight").iter().all(|step| *step > 0.0));
    let (inputs, labels) = data();
    let examples = Examples::from_arrays(inputs, labels, true, DType::F64).unwrap();
    for (factors, expected) in [
        (("third.weight", &[1.0][..]), "names of parameters"),
        (("first.weight", &[][..]), "none of first.weight"),
    ] {
        let config = TrainConfig { batch: 20, precision: DType::F64, ..TrainConfig::default() };
        let executor = Arc::new(Executor::new(1));
        let (rule, resources) = (table(&[factors]), Resources::default());
        let made = Trainer::with_rule(executor, model(), rule, examples.clone(), config, resources);
        let ran = made.and_then(|trainer| {
            let mut state = trainer.start(&[Member::new(2, 0.1)])?;
            trainer.run(&mut state, &mut thalweg_train::Unobserved)
        });
        let message = ran.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
