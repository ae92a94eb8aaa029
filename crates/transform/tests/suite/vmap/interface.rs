//! `vmap` on values of a builder, and what is refused.

use super::check::{floats, trace};
use thalweg_exec::reference::evaluate;
use thalweg_graph::{Array, Builder, DType, Op, Tensor, TensorType};
use thalweg_transform::{Replacement, vmap, vmap_graph};

fn ty(shape: &[usize]) -> TensorType {
    TensorType::new(DType::F64, shape)
}

fn replacement<'b>(member: Tensor<'b>, batched: Tensor<'b>) -> Replacement<'b> {
    Replacement { member, batched, axis: 0 }
}

#[test]
fn an_inner_value_is_replaced() {
    let b = Builder::new(DType::F64);
    let (x, many) = (b.input("x", ty(&[2])), b.input("many", ty(&[3, 2])));
    let middle = x.exp();
    let outputs = vmap(&[middle * x, x + 1.0, middle], &[replacement(middle, many)], 3);
    let graph = b.finish(&[("a", outputs[0]), ("b", outputs[1]), ("c", outputs[2])]).unwrap();
    let rows = Array::from_slice(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let results = evaluate(&graph, &[Array::vector(&[10.0, 100.0]), rows.clone()]).unwrap();
    assert_eq!(results[0].to_f64_vec(), [10.0, 200.0, 30.0, 400.0, 50.0, 600.0]);
    assert_eq!(results[1].to_f64_vec(), [11.0, 101.0, 11.0, 101.0, 11.0, 101.0]);
    assert_eq!(results[2], rows);
}

#[test]
fn a_loop_whose_shared_result_is_used_is_replaced() {
    let b = Builder::new(DType::F64);
    let one = b.placeholder(ty(&[]));
    let (many, count) = (b.input("many", ty(&[3])), b.input("count", ty(&[])));
    let (carry, _) = b.scan(4, &[one, count], &[], &[], 0, |step| {
        (vec![step.carry[0] * step.carry[1], step.carry[1] + 1.0], vec![])
    });
    let outputs = vmap(&[carry[1] * 2.0, carry[0]], &[replacement(one, many)], 3);
    let graph = b.finish(&[("count", outputs[0]), ("product", outputs[1])]).unwrap();
    let inputs = [Array::vector(&[1.0, 2.0, 3.0]), Array::scalar(1.0)];
    let results = evaluate(&graph, &inputs).unwrap();
    assert_eq!(results[0].to_f64_vec(), [10.0; 3]);
    assert_eq!(results[1].to_f64_vec(), [24.0, 48.0, 72.0]);
    assert_eq!(graph.nodes().iter().filter(|node| matches!(node.op, Op::Scan(_))).count(), 1);
}

#[test]
fn weights_on_shared_data_give_a_population() {
    let graph = trace(&[floats(&[8, 6, 6, 3]), floats(&[3, 3, 3, 4])], &|_, x| {
        let y = x[0].convolution(x[1], thalweg_graph::ConvolutionWindow::PLAIN);
        vec![y.relu().sum(&[1, 2])]
    });
    let text = vmap_graph(&graph, &[None, Some(0)], 5).unwrap().to_string();
    let expected = "\
graph(x0: f32[8, 6, 6, 3], x1: f32[5, 3, 3, 3, 4]) {
  %2 = constant {value: f32[] [0.0]} : f32[]
  %3 = convolution x0, x1 {population: (false, true)} : f32[5, 8, 4, 4, 4]
  %4 = broadcast %2 {axes: []} : f32[5, 8, 4, 4, 4]
  %5 = less_equal %3, %4 : bool[5, 8, 4, 4, 4]
  %6 = select %5, %4, %3 : f32[5, 8, 4, 4, 4]
  %7 = reduce_sum %6 {axes: [2, 3]} : f32[5, 8, 4]
  return y0 = %7
}";
    assert_eq!(text, expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    let graph = trace(&[floats(&[2]), floats(&[])], &|_, x| vec![x[0] * x[1]]);
    let complaint = |axes: &[Option<usize>]| {
        let error = vmap_graph(&graph, axes, 3).unwrap_err();
        format!("{}: expected {}, got {}", error.op, error.expected, error.got)
    };
    assert_eq!(
        complaint(&[None]),
        "vmap: expected an axis or none for each of 2 inputs, got 1 entries"
    );
    assert_eq!(
        complaint(&[Some(1), Some(1)]),
        "vmap: expected an axis of input \"x1\" up to 0, got 1"
    );
    let b = Builder::new(DType::F64);
    let (x, y) = (b.input("x", ty(&[2])), b.input("y", ty(&[2])));
    let outputs = vmap(&[x * 2.0], &[replacement(x, y)], 3);
    let error = b.finish(&[("z", outputs[0])]).unwrap_err();
    assert_eq!(
        (error.op, error.expected, error.got),
        (
            "vmap".to_owned(),
            "f64[3, 2], the members' axis included".to_owned(),
            "f64[2] with axis 0".to_owned(),
        )
    );
}

#[test]
fn a_batch_too_large_is_an_error_and_no_panic() {
    let window = thalweg_graph::Window {
        size: vec![2],
        stride: vec![1],
        padding: vec![(0, 0)],
        dilation: vec![1],
    };
    let graph = trace(&[floats(&[1 << 20])], &move |b, x| {
        let (_, ys) = b.scan(2, &[], &[], &[x[0]], 0, |step| {
            (vec![], vec![step.constants[0].window_max(&window).sum_all()])
        });
        ys
    });
    let error = vmap_graph(&graph, &[Some(0)], 1 << 12).unwrap_err();
    assert!(error.op.starts_with("window_arg_max at "), "{}", error.op);
    assert_eq!(error.expected, "fewer than 2^31 elements");
}
