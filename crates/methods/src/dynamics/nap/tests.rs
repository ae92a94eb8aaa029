//! What normalising and projecting together do to a network's function.

use super::{StepKind, projected_weights, radial_gradients, replayed_rates, weight_norms};
use crate::common::gradient;
use crate::{Context, ModelObjective, ObjectiveConfig};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_graph::Tensor;
use thalweg_nn::layer::{Dense, LayerNorm};
use thalweg_nn::{Layer, Loss, Model, ModelPort, Scope, Weights};
use thalweg_train::initialize;

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

/// Gradient descent with a rate for each parameter.
fn descend(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    weights: &Weights,
    rate: &dyn Fn(&str) -> f64,
) -> Weights {
    let flat = gradient(ctx, objective, weights).unwrap().gradient;
    let gradients = weights.parameters.unflatten(&flat).unwrap();
    let pairs = weights.parameters.iter().zip(gradients.arrays());
    let moved = pairs.map(|((name, w), g)| {
        let (w, g) = (w.to_f64_vec(), g.to_f64_vec());
        let rate = rate(name);
        let values: Vec<f64> = w.iter().zip(g).map(|(w, g)| w - rate * g).collect();
        Array::from_slice(gradients.get(name).unwrap().shape(), &values).unwrap()
    });
    let parameters = weights.parameters.with_arrays(moved.collect()).unwrap();
    Weights { parameters, buffers: weights.buffers.clone() }
}

#[test]
fn a_projected_network_at_replayed_rates_is_the_unprojected_one() {
    with_objective(|ctx, objective| {
        let names = projected_weights(&model(), false);
        assert_eq!(names, ["first.weight", "second.weight"]);
        let start = initialize(&model(), 2, DType::F64).unwrap();
        let rho = weight_norms(&start.parameters, &names).unwrap();
        // Larger rates make the two differ by what rounding grows to.
        let (rate, mut free) = (0.01, start.clone());
        let (mut norms, mut seen) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            norms.push(weight_norms(&free.parameters, &names).unwrap());
            seen.push(outputs(ctx, &free));
            free = descend(ctx, objective, &free, &|_| rate);
        }
        // The norms have grown, so that the two do not take the same rates.
        assert!(norms[199].iter().zip(&norms[0]).all(|(last, first)| *last > (1.0 + 1e-5) * first));
        let rates = vec![rate; 200];
        let replayed = replayed_rates(StepKind::Gradient, &rates, &norms).unwrap();
        assert!(replayed[0].iter().all(|first| (first - rate).abs() < 1e-12));
        let mut held = start;
        for (rates, seen) in replayed.iter().zip(&seen) {
            let found = outputs(ctx, &held);
            let apart = found.iter().zip(seen).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f64::max) < 1e-8);
            let of = |name: &str| {
                names.iter().position(|known| known == name).map_or(rate, |i| rates[i])
            };
            held = descend(ctx, objective, &held, &of);
            for (name, rho) in names.iter().zip(&rho) {
                let [norm] =
                    weight_norms(&held.parameters, std::slice::from_ref(name)).unwrap()[..]
                else {
                    unreachable!()
                };
                held = times(&held, rho / norm, name);
            }
        }
    });
}
