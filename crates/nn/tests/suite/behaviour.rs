//! What layers and models do beyond their values: masks, statistics, members, faults.

use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::{
    Architecture, BatchNormMode, Draw, Loss, Mode, Model, Multipliers, PortType, Role, Weights,
};
use thalweg_transform::{value_and_grad, vmap_graph};

/// A congruential generator keyed by a name.
struct Source(u32);

impl Draw for Source {
    fn uniform(&mut self, name: &str, n: usize) -> Vec<f64> {
        let start = name.bytes().fold(self.0, |s, b| (s ^ u32::from(b)).wrapping_mul(0x0100_0193));
        let mut state = start;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / 2f64.powi(24)
        };
        (0..n).map(next).collect()
    }

    fn normal(&mut self, name: &str, n: usize) -> Vec<f64> {
        let sum = |twelve: &[f64]| twelve.iter().sum::<f64>() - 6.0;
        self.uniform(name, 12 * n).chunks(12).map(sum).collect()
    }
}

fn build(text: &str, input: &[usize]) -> Model {
    text.parse::<Architecture>().unwrap().build(input, 3).unwrap()
}

fn draws(seed: u32, shape: &[usize]) -> Array {
    let values = Source(seed).normal("data", shape.iter().product());
    Array::from_slice(shape, &values).unwrap()
}

/// `(parameters.., buffers.., x, key) -> output` under a mode.
fn apply(model: &Model, x: &TensorType, batch_norm: BatchNormMode, dropout: bool) -> Graph {
    let b = Builder::new(x.dtype);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", x.clone());
    let key = b.input("key", TensorType::new(DType::U32, [2]));
    let mode = Mode { batch_norm, dropout_key: dropout.then_some(key) };
    let applied = model.apply(&b, &parameters, &buffers, x, &mode);
    b.finish(&[("output", applied.output)]).unwrap()
}

fn run(graph: &Graph, weights: &Weights, rest: &[Array]) -> Vec<Array> {
    let mut inputs = weights.parameters.arrays().to_vec();
    inputs.extend_from_slice(weights.buffers.arrays());
    inputs.extend_from_slice(rest);
    reference::evaluate(graph, &inputs).unwrap()
}

#[test]
fn dropout_drops_its_share_keeps_the_mean_and_follows_its_key() {
    use std::sync::Arc;
    use thalweg_nn::ModelPort;
    use thalweg_nn::layer::Dropout;
    let port = ModelPort::float("x", &[500]);
    let model = Model::new(Arc::new(Dropout { rate: 0.3 }), vec![port], &["y"]).unwrap();
    let weights = model.initialize(&mut Source(1), DType::F64).unwrap();
    let ty = TensorType::new(DType::F64, [40, 500]);
    let ones = Array::full(&[40, 500], 1.0f64);
    let masked = |n: usize, key: [u32; 2], dropout: bool| {
        let ty = TensorType::new(DType::F64, [n, 500]);
        let graph = apply(&model, &ty, BatchNormMode::Frozen, dropout);
        run(&graph, &weights, &[ones.rows(0..n).unwrap(), Array::vector(&key)])[0].to_f64_vec()
    };
    let first = masked(40, [1, 2], true);
    assert!(first.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-15));
    let dropped = first.iter().filter(|&&y| y == 0.0).count() as f64 / first.len() as f64;
    // Five standard errors of a share of 20,000.
    assert!((dropped - 0.3).abs() < 5.0 * (0.21f64 / 20_000.0).sqrt(), "{dropped}");
    assert_ne!(first, masked(40, [1, 3], true));
    assert_eq!(first, masked(40, [1, 2], true));
    assert_eq!(first[..5000], masked(10, [1, 2], true)[..]);
    assert_eq!(masked(40, [1, 2], false), ones.to_f64_vec());
    assert_eq!(ty.element_count(), first.len());
}

/// A diverged network has no loss, whatever its activation.
#[test]
fn what_is_not_a_number_stays_so_behind_every_activation() {
    let executor = Executor::new(1);
    let names =
        ["relu", "leaky", "gelu", "gelu-tanh", "silu", "tanh", "sigmoid", "sine", "softplus"];
    for name in names {
        let model = build(&format!("mlp hidden=3 activation={name}"), &[4]);
        let mut weights = model.initialize(&mut Source(1), DType::F32).unwrap();
        let mut arrays = weights.parameters.clone().into_arrays();
        for (array, parameter) in arrays.iter_mut().zip(model.parameters()) {
            if parameter.name == "fc1.bias" {
                *array = Array::full(&[3], f32::NAN);
            }
        }
        weights.parameters = model.parameter_tree(arrays).unwrap();
        let ty = TensorType::new(DType::F32, [5, 4]);
        let graph = apply(&model, &ty, BatchNormMode::Frozen, false);
        let rest = [draws(2, &[5, 4]).convert(DType::F32), Array::vector(&[1u32, 2])];
        let mut inputs = weights.parameters.arrays().to_vec();
        inputs.extend_from_slice(&rest);
        let fast = executor.compile(&graph).unwrap().run(inputs).unwrap();
        for found in [&fast[0], &run(&graph, &weights, &rest)[0]] {
            assert!(found.to_f64_vec().iter().all(|y| y.is_nan()), "{name}: {found:?}");
        }
    }
}

#[test]
fn layers_of_one_network_draw_different_masks() {
    let model = build("mlp hidden=64-64 activation=identity bias=false dropout=0.5", &[64]);
    let identity = {
        let mut eye = vec![0.0f64; 64 * 64];
        (0..64).for_each(|i| eye[i * 64 + i] = 1.0);
        Array::from_slice(&[64, 64], &eye).unwrap()
    };
    let last = Array::full(&[64, 3], 1.0f64);
    let parameters = model.parameter_tree(vec![identity.clone(), identity, last]).unwrap();
    let weights = Weights { parameters, buffers: model.initial_buffers(DType::F64) };
    let graph = apply(&model, &TensorType::new(DType::F64, [50, 64]), BatchNormMode::Frozen, true);
    let x = Array::full(&[50, 64], 1.0f64);
    let y = run(&graph, &weights, &[x, Array::vector(&[5u32, 6])])[0].to_f64_vec();
    // Each unit survives both masks with probability 1/4 and then counts 4.
    let share = y.iter().sum::<f64>() / (y.len() * 64 * 4) as f64;
    assert!((share - 0.25).abs() < 5.0 * (0.1875f64 / 3200.0).sqrt(), "{share}");
}

/// Loss and gradients of training on a shared batch.
fn training(model: &Model, float: DType, x: &TensorType) -> Graph {
    let b = Builder::new(float);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", x.clone());
    let key = b.input("key", TensorType::new(DType::U32, [2]));
    let applied = model.apply(&b, &parameters, &buffers, x, &Mode::train(key));
    let places = applied.output.shape();
    let y = b.input("y", TensorType::new(DType::I32, &places[..places.len() - 1]));
    let loss = Loss::default().of(applied.output, y, None);
    let (loss, gradients) = value_and_grad(loss, &parameters);
    let names: Vec<String> =
        (0..gradients.len() + applied.new_buffers.len()).map(|i| format!("{i}")).collect();
    let mut outputs = vec![("loss", loss)];
    let rest = gradients.into_iter().chain(applied.new_buffers);
    outputs.extend(names.iter().map(String::as_str).zip(rest));
    b.finish(&outputs).unwrap()
}

#[test]
fn a_member_of_a_population_gets_the_bits_that_it_gets_alone() {
    let executor = Executor::new(2);
    for (text, input) in [
        ("resnet depth=8 width=4", [8, 8, 1].as_slice()),
        ("resnet depth=8 width=2 norm=group shortcut=a activation=gelu", &[8, 8, 1]),
        ("convnet channels=3-4 head=flatten dropout=0.25", &[8, 8, 1]),
        ("mlp hidden=16-9 norm=layer activation=silu dropout=0.5", &[8, 8, 1]),
        ("mlp hidden=8 norm=batch activation=tanh", &[8, 8, 1]),
        ("deep-linear depth=3 width=7", &[8, 8, 1]),
        ("siren hidden=9-7 omega=3", &[8, 8, 1]),
        ("alternet width=4 heads=1-2-3 head_units=4", &[8, 8, 1]),
        ("vit patch=2 depth=1 width=8 heads=2 dropout=0.1", &[8, 8, 1]),
        ("gpt depth=2 width=12 heads=3 dropout=0.1", &[7]),
    ] {
        let model = build(text, input);
        let float = DType::F32;
        let x = model.inputs()[0].batch_type(float, 12);
        let single = training(&model, float, &x);
        let n_weights = model.parameters().len() + model.buffers().len();
        let axes: Vec<Option<usize>> =
            (0..n_weights).map(|_| Some(0)).chain([None, Some(0), None]).collect();
        let population = vmap_graph(&single, &axes, 3).unwrap();
        let [x, y] = match model.inputs()[0].ty {
            PortType::Float => {
                let y = Array::vector(&[0i32, 1, 2, 0, 1, 2, 2, 1, 0, 0, 0, 1]);
                [draws(9, &x.shape).convert(float), y]
            }
            PortType::Index => [9, 10].map(|seed| {
                let draws = Source(seed).uniform("data", x.element_count());
                let tokens: Vec<i32> = draws.iter().map(|u| (u * 3.0) as i32).collect();
                Array::from_slice(&x.shape, &tokens).unwrap()
            }),
        };
        let inputs = |member: u32| -> Vec<Array> {
            let weights = model.initialize(&mut Source(member), float).unwrap();
            let mut inputs = weights.parameters.into_arrays();
            inputs.extend(weights.buffers.into_arrays());
            inputs.extend([x.clone(), Array::vector(&[member, 7u32]), y.clone()]);
            inputs
        };
        let members: Vec<Vec<Array>> = (0..3).map(inputs).collect();
        let stacked: Vec<Array> = axes
            .iter()
            .enumerate()
            .map(|(i, axis)| match axis {
                None => members[0][i].clone(),
                Some(_) => {
                    let each: Vec<_> = members.iter().map(|m| m[i].clone()).collect();
                    Array::stack(&each).unwrap()
                }
            })
            .collect();
        let together = executor.compile(&population).unwrap().run(stacked).unwrap();
        let program = executor.compile(&single).unwrap();
        for (m, inputs) in members.into_iter().enumerate() {
            let alone = program.run(inputs).unwrap();
            for (i, (alone, together)) in alone.iter().zip(&together).enumerate() {
                assert_eq!(alone, &together.row(m).unwrap(), "{text}: member {m}, output {i}");
            }
        }
    }
}

#[test]
fn recalibrated_statistics_are_the_averages_of_the_batches() {
    let model = build("mlp hidden=4 norm=batch", &[5]);
    let weights = model.initialize(&mut Source(3), DType::F64).unwrap();
    let b = Builder::new(DType::F64);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", TensorType::new(DType::F64, [6, 5]));
    let applied = model.apply(&b, &parameters, &buffers, x, &Mode::BATCH);
    let [mean, variance] = applied.statistics[..] else { panic!("two statistics") };
    let [moved, _] = applied.new_buffers[..] else { panic!("two buffers") };
    let outputs = [("mean", mean), ("variance", variance), ("moved", moved)];
    let graph = b.finish(&outputs).unwrap();
    let data = draws(4, &[6, 5]);
    let results = run(&graph, &weights, std::slice::from_ref(&data));
    let weight = weights.parameters.get("fc1.weight").unwrap().to_f64_vec();
    let bias = weights.parameters.get("fc1.bias").unwrap().to_f64_vec();
    let data = data.to_f64_vec();
    for unit in 0..4 {
        let hidden = |n: usize| {
            bias[unit] + (0..5).map(|i| data[n * 5 + i] * weight[i * 4 + unit]).sum::<f64>()
        };
        let mean = (0..6).map(hidden).sum::<f64>() / 6.0;
        let variance = (0..6).map(|n| (hidden(n) - mean).powi(2)).sum::<f64>() / 5.0;
        assert!((results[0].to_f64_vec()[unit] - mean).abs() < 1e-14);
        assert!((results[1].to_f64_vec()[unit] - variance).abs() < 1e-14);
        assert!((results[2].to_f64_vec()[unit] - 0.1 * mean).abs() < 1e-14);
    }
}

#[test]
fn batch_statistics_of_one_value_are_refused() {
    let model = build("mlp hidden=4 norm=batch", &[5]);
    let b = Builder::new(DType::F32);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", TensorType::new(DType::F32, [1, 5]));
    let applied = model.apply(&b, &parameters, &buffers, x, &Mode::BATCH);
    let error = b.finish(&[("y", applied.output)]).unwrap_err();
    assert_eq!(error.op, "batch_norm");
    assert_eq!(error.expected, "several values per channel");
    assert_eq!(error.got, "1 in f32[1, 4]");
}

#[test]
fn a_forward_multiplier_scales_what_the_network_sees() {
    let model = build("linear bias=false", &[5]);
    let scaled = model.clone().with_multipliers(|parameter| Multipliers {
        forward: if parameter.role == Role::Weight { 3.0 } else { 1.0 },
        ..Multipliers::default()
    });
    let weights = model.initialize(&mut Source(3), DType::F64).unwrap();
    let ty = TensorType::new(DType::F64, [2, 5]);
    let rest = [draws(4, &[2, 5]), Array::vector(&[0u32, 0])];
    let of = |model: &Model| {
        run(&apply(model, &ty, BatchNormMode::Frozen, false), &weights, &rest)[0].to_f64_vec()
    };
    let tripled: Vec<f64> = of(&model).iter().map(|y| 3.0 * y).collect();
    let close = of(&scaled).iter().zip(&tripled).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(close, "{:?} {tripled:?}", of(&scaled));
}
