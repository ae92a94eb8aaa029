//! The same derivative asked for in different ways.

use crate::case::Case;
use crate::compare::{assert_all_close, cotangents, extended, oracle};
use crate::draw::Draw;
use crate::tolerance::IDENTITY;
use crate::transforms::{forward, jvp, reverse, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, ConvolutionWindow, Graph, Op, Tensor, TensorType};
use thalweg_transform::{
    gradient_graph, hvp_graph, jvp_graph, linearize, vjp_graph, vmap_graph, vmap_shared,
};

/// Graph to graph: forward mode, reverse mode, and each of the other.
pub fn graphs_and_values_agree(case: &Case) {
    if case.orders == 0 {
        return;
    }
    let name = &case.name;
    let mut draw = Draw::new(&format!("{name} by graphs"));
    let graph = case.graph(DType::F64);
    let wrt = forward(&graph);
    let pushed = extended(&case.operands, wrt.clone(), &mut draw);
    let pulled = [&case.operands[..], &cotangents(&graph, &mut draw)].concat();
    let what = format!("jvp_graph of {name}");
    let by_graph = jvp_graph(&graph, &wrt).unwrap_or_else(|error| panic!("{what}: {error}"));
    let got = oracle(&by_graph, &pushed, &what);
    assert_all_close(&got, &oracle(&jvp(&graph), &pushed, &what), IDENTITY, &what);
    let what = format!("vjp_graph of {name}");
    let by_graph = vjp_graph(&graph, &wrt).unwrap_or_else(|error| panic!("{what}: {error}"));
    let got = oracle(&by_graph, &pulled, &what).split_off(graph.n_outputs());
    assert_all_close(&got, &oracle(&vjp(&graph), &pulled, &what), IDENTITY, &what);
    // Nested: inputs and outputs must find names of their own.
    let what = format!("jvp_graph of vjp_graph of {name}");
    let wrt = forward(&by_graph);
    let second = jvp_graph(&by_graph, &wrt).unwrap_or_else(|error| panic!("{what}: {error}"));
    let twice = jvp_graph(&second, &forward(&second));
    assert!(twice.is_ok(), "{what}, once more: {:?}", twice.err());
    let pushed = extended(&pulled, wrt, &mut draw);
    let tangents = oracle(&second, &pushed, &what).split_off(by_graph.n_outputs());
    let n_floats = reverse(&graph).len();
    let expected = oracle(&jvp(&vjp(&graph)), &pushed, &what);
    assert_all_close(&tangents[n_floats..], &expected[forward(&graph).len()..], IDENTITY, &what);
}

/// A linear map taken once, applied and transposed, is forward and reverse mode.
pub fn linear_maps_agree_with_both_modes(case: &Case) {
    if case.orders == 0 {
        return;
    }
    let name = &case.name;
    let mut draw = Draw::new(&format!("{name} linearised"));
    let graph = case.graph(DType::F64);
    let pushed = extended(&case.operands, forward(&graph), &mut draw);
    let seeds = cotangents(&graph, &mut draw);
    let b = Builder::new(DType::F64);
    let input =
        |name: String, array: &Array| b.input(&name, TensorType::new(array.dtype(), array.shape()));
    let inputs: Vec<Tensor<'_>> =
        pushed.iter().enumerate().map(|(i, array)| input(format!("x{i}"), array)).collect();
    let (x, tangents) = inputs.split_at(case.operands.len());
    let cotangents: Vec<Tensor<'_>> =
        seeds.iter().enumerate().map(|(i, array)| input(format!("c{i}"), array)).collect();
    let outputs = b.inline(&graph, x);
    let floats: Vec<Tensor<'_>> = reverse(&graph).into_iter().map(|i| outputs[i]).collect();
    let moving: Vec<Tensor<'_>> = forward(&graph).into_iter().map(|i| x[i]).collect();
    let linear = linearize(&floats, &moving);
    let results = [linear.apply(tangents), linear.transpose(&cotangents)].concat();
    let names: Vec<String> = (0..results.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(results).collect();
    let both = b.finish(&named).unwrap_or_else(|error| panic!("linear map of {name}: {error}"));
    let what = format!("linear map of {name}");
    let got = oracle(&both, &[&pushed[..], &seeds].concat(), &what);
    let pushed_forward = oracle(&jvp(&graph), &pushed, &what).split_off(graph.n_outputs());
    let pulled_back = oracle(&vjp(&graph), &[&case.operands[..], &seeds].concat(), &what);
    assert_all_close(&got, &[pushed_forward, pulled_back].concat(), IDENTITY, &what);
}

/// `f(x) = sum(sin(x) x^2)`, whose derivatives are known.
fn known() -> Graph {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [3]));
    b.finish(&[("count", b.scalar(3.0)), ("y", (x.sin() * x * x).sum(&[0]))]).unwrap()
}

#[test]
fn gradients_and_hessian_products_of_a_known_function() {
    let at = [0.3f64, -1.2, 2.0];
    let along = [1.0, -0.5, 2.0];
    let slope = |x: f64| x.cos() * x * x + 2.0 * x * x.sin();
    let curvature = |x: f64| (2.0 - x * x) * x.sin() + 4.0 * x * x.cos();
    let expected: Vec<f64> = at.iter().map(|&x| slope(x)).collect();
    let gradient = gradient_graph(&known(), 1, &[0]).unwrap();
    assert_eq!(gradient.output_names().collect::<Vec<_>>(), ["count", "y", "x.gradient"]);
    let got = oracle(&gradient, &[Array::vector(&at)], "gradient");
    assert_all_close(&got[2..], &[Array::vector(&expected)], IDENTITY, "gradient");
    let product: Vec<f64> = at.iter().zip(along).map(|(&x, v)| curvature(x) * v).collect();
    let hvp = hvp_graph(&known(), 1, &[0]).unwrap();
    let got = oracle(&hvp, &[Array::vector(&at), Array::vector(&along)], "hvp");
    let expected = [Array::vector(&expected), Array::vector(&product)];
    assert_all_close(&got, &expected, IDENTITY, "gradient and hvp");
}

#[test]
fn what_no_member_enters_is_shared() {
    let b = Builder::new(DType::F64);
    let scalar = TensorType::new(DType::F64, []);
    let (x, w) = (b.placeholder(scalar.clone()), b.input("w", scalar));
    let batched = b.input("x", TensorType::new(DType::F64, [4]));
    let replacement = thalweg_transform::Replacement { member: x, batched, axis: 0 };
    let results = vmap_shared(&[x * w, w.exp()], &[replacement], 4);
    assert!(matches!(results[0], thalweg_transform::Batched::Members(t) if t.shape() == [4]));
    assert!(matches!(results[1], thalweg_transform::Batched::Shared(t) if t.rank() == 0));
}

/// Batching must not turn a convolution into a grouped one, however deep it is nested.
#[test]
fn batches_of_convolutions_have_no_more_groups() {
    let groups = |graph: &Graph| -> Vec<usize> {
        let of = |op: &Op| match op {
            Op::Convolution(window)
            | Op::ConvolutionInputGradient { window, .. }
            | Op::ConvolutionWeightGradient { window, .. } => Some(window.groups),
            _ => None,
        };
        graph.nodes().iter().filter_map(|node| of(&node.op)).collect()
    };
    let window = ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [2, 4, 4, 3]));
    let w = b.input("w", TensorType::new(DType::F64, [3, 3, 3, 5]));
    let plain = b.finish(&[("y", x.convolution(w, window))]).unwrap();
    let gradient = vjp(&plain);
    for graph in [plain, gradient] {
        let n = graph.n_inputs();
        for first in crate::batching::leading_subsets(n) {
            let once = vmap_graph(&graph, &first, 2).unwrap();
            assert!(groups(&once).iter().all(|&g| g == 1), "{first:?}: {once}");
            for second in crate::batching::leading_subsets(n) {
                let twice = vmap_graph(&once, &second, 3).unwrap();
                assert!(groups(&twice).iter().all(|&g| g == 1), "{first:?} {second:?}: {twice}");
            }
        }
    }
}
