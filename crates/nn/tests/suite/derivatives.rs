//! Directional derivatives of each architecture's loss to order three, against differences.

use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::architecture::Kind;
use thalweg_nn::{Architecture, Loss, Mode, Model, PortType};
use thalweg_transform::{gradient, hvp};

const BATCH: usize = 3;
const CLASSES: usize = 3;

/// Small and smooth; every kind is among them.
const NETWORKS: [(&str, &[usize]); 11] = [
    ("linear", &[4]),
    ("mlp hidden=5 activation=gelu-tanh norm=layer", &[4]),
    ("deep-linear depth=3 width=4", &[4]),
    ("siren hidden=5-4 omega=2", &[4]),
    ("convnet channels=3-4 activation=softplus pool=average", &[4, 4, 1]),
    ("resnet depth=8 width=2 activation=tanh", &[8, 8, 1]),
    (
        "alternet blocks=2-2 attention=0-1 heads=1-2 width=2 head_units=2 activation=tanh",
        &[8, 8, 1],
    ),
    (
        "alternet blocks=2 attention=1 heads=2 width=3 head_units=2 window=3 norm=layer convolutions=1 activation=softplus",
        &[6, 6, 1],
    ),
    ("vit patch=2 depth=2 width=6 heads=2", &[4, 4, 2]),
    ("vit patch=2 depth=1 width=4 heads=1 pool=mean", &[4, 4, 1]),
    ("gpt depth=2 width=6 heads=3", &[5]),
];

/// Sine of a quadratic phase: no two alike, none large.
fn numbers(start: usize, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let at = |i: usize| (0.7 * (start + i) as f64 + 0.013 * (i * i) as f64).sin();
    Array::from_slice(shape, &(0..n).map(at).collect::<Vec<_>>()).unwrap()
}

fn tokens(start: usize, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let at = |i: usize| ((start + i * i + i / 2) % CLASSES) as i32;
    Array::from_slice(shape, &(0..n).map(at).collect::<Vec<_>>()).unwrap()
}

/// `(weights.., direction.., x, y)` to the loss and its first three derivatives along the
/// direction: reverse mode, forward over reverse, and reverse over that.
fn graph(model: &Model) -> Graph {
    let b = Builder::new(DType::F64);
    let (parameters, buffers) = model.declare(&b);
    let direction: Vec<Tensor<'_>> = parameters
        .iter()
        .enumerate()
        .map(|(i, parameter)| b.input(&format!("direction {i}"), parameter.ty()))
        .collect();
    let x = b.input("x", model.inputs()[0].batch_type(DType::F64, BATCH));
    let output = model.apply(&b, &parameters, &buffers, x, &Mode::BATCH).output;
    let places = output.shape();
    let y = b.input("y", TensorType::new(DType::I32, &places[..places.len() - 1]));
    let loss = Loss::default().of(output, y, None);
    let first = product(&gradient(loss, &parameters), &direction);
    let second = product(&hvp(loss, &parameters, &direction), &direction);
    let third = product(&gradient(second, &parameters), &direction);
    b.finish(&[("0", loss), ("1", first), ("2", second), ("3", third)]).unwrap()
}

fn product<'b>(a: &[Tensor<'b>], b: &[Tensor<'b>]) -> Tensor<'b> {
    a.iter().zip(b).map(|(a, b)| (*a * *b).sum_all()).reduce(|a, b| a + b).unwrap()
}

#[test]
fn derivatives_agree_with_differences_to_order_three() {
    let executor = Executor::new(2);
    let mut kinds: Vec<&str> = Vec::new();
    for (text, input) in NETWORKS {
        let architecture = text.parse::<Architecture>().unwrap();
        let model = architecture.build(input, CLASSES).unwrap();
        kinds.push(architecture.kind.name());
        let graph = graph(&model);
        let program = executor.compile(&graph).unwrap();
        let shapes: Vec<&[usize]> = model.parameters().iter().map(|p| p.shape.as_slice()).collect();
        let each = |offset: usize| -> Vec<Array> {
            shapes.iter().enumerate().map(|(i, shape)| numbers(offset + 97 * i, shape)).collect()
        };
        let (weights, direction) = (each(1), each(1001));
        let ports = graph.inputs().map(|port| port.ty.shape.clone()).collect::<Vec<_>>();
        let [x_shape, y_shape] = &ports[ports.len() - 2..] else { panic!("data") };
        let x = match model.inputs()[0].ty {
            PortType::Float => numbers(5, x_shape),
            PortType::Index => tokens(1, x_shape),
        };
        let at = |step: f64| -> Vec<Array> {
            let moved = weights.iter().zip(&direction).map(|(w, v)| {
                let sum: Vec<f64> =
                    w.to_f64_vec().iter().zip(v.to_f64_vec()).map(|(w, v)| w + step * v).collect();
                Array::from_slice(w.shape(), &sum).unwrap()
            });
            let buffers = model.initial_buffers(DType::F64).into_arrays();
            let data = [x.clone(), tokens(2, y_shape)];
            moved.chain(buffers).chain(direction.iter().cloned()).chain(data).collect()
        };
        let scalars = |arrays: Vec<Array>| -> Vec<f64> {
            arrays.iter().map(|array| array.item().unwrap()).collect()
        };
        let oracle = |step| scalars(reference::evaluate(&graph, &at(step)).unwrap());
        let exact = oracle(0.0);
        // Central differences at two steps, extrapolated after Richardson.
        let step = 2e-4;
        let outer = [oracle(step), oracle(-step)];
        let inner = [oracle(step / 2.0), oracle(-step / 2.0)];
        for order in 1..=3 {
            let slope = |[up, down]: &[Vec<f64>; 2], step: f64| {
                (up[order - 1] - down[order - 1]) / (2.0 * step)
            };
            let expected = (4.0 * slope(&inner, step / 2.0) - slope(&outer, step)) / 3.0;
            let got = exact[order];
            assert!(got.abs() > 1e-4, "{text}: derivative {order} says nothing: {got}");
            let error = (got - expected).abs() / got.abs();
            assert!(error < 1e-6, "{text}: derivative {order} is {got}, by differences {expected}");
        }
        let run = scalars(program.run(at(0.0)).unwrap());
        for (order, (run, exact)) in run.iter().zip(&exact).enumerate() {
            let error = (run - exact).abs() / exact.abs();
            assert!(error < 1e-10, "{text}: derivative {order} is {run}, the oracle says {exact}");
        }
    }
    for kind in Kind::all() {
        assert!(kinds.contains(&kind.name()), "{} is not differentiated", kind.name());
    }
}
