//! What has no derivative to check against differences, and the values taken at kinks.

use crate::compare::oracle;
use crate::transforms::{jvp, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, Tensor, TensorType, Window};

const INTEGER: &str = "its results are integers or booleans, which do not move continuously";
const STEPS: &str = "constant between its jumps: its derivative is zero wherever it exists";
const NO_OPERAND: &str = "it has no operand";

/// Operations that no case differentiates, with the reason.
pub const EXEMPT: &[(&str, &str)] = &[
    ("input", NO_OPERAND),
    ("constant", NO_OPERAND),
    ("iota", NO_OPERAND),
    ("sign", STEPS),
    ("floor", STEPS),
    ("ceil", STEPS),
    ("round", STEPS),
    ("not", INTEGER),
    ("is_finite", INTEGER),
    ("and", INTEGER),
    ("or", INTEGER),
    ("xor", INTEGER),
    ("shift_left", INTEGER),
    ("shift_right_logical", INTEGER),
    ("equal", INTEGER),
    ("not_equal", INTEGER),
    ("less", INTEGER),
    ("less_equal", INTEGER),
    ("greater", INTEGER),
    ("greater_equal", INTEGER),
    ("bitcast", "bits do not move continuously"),
    ("threefry", INTEGER),
    ("stop_gradient", "its derivative is zero by definition, whatever differences say"),
    ("reduce_all", INTEGER),
    ("reduce_any", INTEGER),
    ("window_arg_max", INTEGER),
    ("arg_max", INTEGER),
    ("while", "a loop of unknown length runs forward only"),
];

fn vector(n: usize) -> TensorType {
    TensorType::new(DType::F64, [n])
}

/// A graph of one vector.
fn of_vector(n: usize, f: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b>) -> Graph {
    let b = Builder::new(DType::F64);
    let x = b.input("x0", vector(n));
    b.finish(&[("y0", f(x))]).unwrap()
}

/// Forward and reverse derivative of the sum of an element-wise function, which must agree.
fn slopes(f: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b>, at: &[f64]) -> Vec<f64> {
    let graph = of_vector(at.len(), f);
    let (x, ones) = (Array::vector(at), Array::vector(&vec![1.0; at.len()]));
    let forward = oracle(&jvp(&graph), &[x.clone(), ones.clone()], "jvp")[1].to_f64_vec();
    let reverse = oracle(&vjp(&graph), &[x, ones], "vjp")[0].to_f64_vec();
    assert_eq!(forward, reverse);
    forward
}

/// The gradient of a scalar function of a vector.
fn gradient(f: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b>, at: &[f64]) -> Vec<f64> {
    let graph = of_vector(at.len(), f);
    let inputs = [Array::vector(at), Array::scalar(1.0)];
    oracle(&vjp(&graph), &inputs, "vjp")[0].to_f64_vec()
}

#[test]
fn step_functions_have_derivative_zero_everywhere() {
    let at = [-1.5, -1.0, 0.0, 0.5, 2.0, 2.7];
    assert_eq!(slopes(|x| x.sign(), &at), [0.0; 6]);
    assert_eq!(slopes(|x| x.floor(), &at), [0.0; 6]);
    assert_eq!(slopes(|x| x.ceil(), &at), [0.0; 6]);
    assert_eq!(slopes(|x| x.round(), &at), [0.0; 6]);
}

#[test]
fn integers_and_bits_carry_no_derivative() {
    let at = [0.5, 2.0];
    assert_eq!(slopes(|x| x.convert(DType::I32).convert(DType::F64), &at), [0.0; 2]);
    assert_eq!(slopes(|x| x.bitcast(DType::I64).bitcast(DType::F64), &at), [0.0; 2]);
    assert_eq!(slopes(|x| x.greater(1.0).convert(DType::F64), &at), [0.0; 2]);
    // The value picked moves, the place it is picked from does not.
    assert_eq!(gradient(|x| x.take(x.arg_max(0)).square(), &[1.0, 3.0, 2.0]), [0.0, 6.0, 0.0]);
}

#[test]
fn stop_gradient_stops_one_path_and_not_another() {
    assert_eq!(slopes(|x| x.stop_gradient(), &[2.0]), [0.0]);
    assert_eq!(slopes(|x| x * x.stop_gradient(), &[2.0]), [2.0]);
    // The straight-through estimator: the value is rounded, the derivative is not.
    assert_eq!(slopes(|x| x + (x.round() - x).stop_gradient(), &[2.3]), [1.0]);
    // A stopped path stays stopped under a second derivative.
    let graph = of_vector(1, |x| x * x * x.stop_gradient());
    let second = oracle(
        &jvp(&jvp(&graph)),
        &[&[3.0][..], &[1.0], &[1.0], &[0.0]].map(Array::vector),
        "second derivative",
    );
    assert_eq!(second[3].to_f64_vec(), [6.0]);
}

#[test]
fn derivatives_at_kinks() {
    assert_eq!(slopes(|x| x.relu(), &[-1.0, 0.0, -0.0, 1.0]), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(slopes(|x| x.abs(), &[-2.0, 0.0, -0.0, 2.0]), [-1.0, 0.0, 0.0, 1.0]);
    assert_eq!(slopes(|x| x.maximum(1.0), &[0.0, 1.0, 2.0]), [0.0, 0.5, 1.0]);
    assert_eq!(slopes(|x| x.minimum(1.0), &[0.0, 1.0, 2.0]), [1.0, 0.5, 0.0]);
    // Both halves of a tie of a value with itself.
    assert_eq!(slopes(|x| x.maximum(x), &[3.0]), [1.0]);
}

#[test]
fn extrema_share_a_tie() {
    assert_eq!(gradient(|x| x.max(&[0]), &[1.0, 5.0, 5.0, 2.0]), [0.0, 0.5, 0.5, 0.0]);
    assert_eq!(
        gradient(|x| x.min(&[0]), &[1.0, 5.0, 1.0, 1.0]),
        [1.0, 0.0, 1.0, 1.0].map(|w| w / 3.0)
    );
}

#[test]
fn pooling_gives_a_tie_to_the_first() {
    let window =
        Window { size: vec![3], stride: vec![2], padding: vec![(0, 0)], dilation: vec![1] };
    let pooled = gradient(|x| x.window_max(&window).sum(&[0]), &[1.0, 4.0, 4.0, 4.0, 0.0]);
    assert_eq!(pooled, [0.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn sorting_moves_what_it_sorts() {
    let weights = Array::vector(&[1.0, 10.0, 100.0]);
    let graph = {
        let b = Builder::new(DType::F64);
        let x = b.input("x0", vector(3));
        b.finish(&[("y0", (x.sort(0) * b.constant(weights)).sum(&[0]))]).unwrap()
    };
    let inputs = [Array::vector(&[3.0, 1.0, 2.0]), Array::scalar(1.0)];
    assert_eq!(oracle(&vjp(&graph), &inputs, "sort")[0].to_f64_vec(), [100.0, 1.0, 10.0]);
}

#[test]
fn the_branch_not_taken_gives_no_nan() {
    let slope = slopes(
        |x| {
            let positive = x.greater(0.0);
            positive.select(positive.select(x, x.zeros_like() + 1.0).sqrt(), x.zeros_like())
        },
        &[-4.0, 0.0, 4.0],
    );
    assert_eq!(slope, [0.0, 0.0, 0.25]);
}

#[test]
fn a_loop_of_unknown_length_refuses_to_be_differentiated() {
    let inner = |condition: bool| {
        let b = Builder::new(DType::F64);
        let x = b.input("x", TensorType::new(DType::F64, []));
        b.finish(&[("y", if condition { x.less(9.0) } else { x * 2.0 })]).unwrap().into()
    };
    let looped = thalweg_graph::While { condition: inner(true), body: inner(false), n_carry: 1 };
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, []));
    let y = b.emit_one(thalweg_graph::Op::While(looped.into()), &[x]);
    let slope = thalweg_transform::jvp(&[y], &[x], &[b.scalar(1.0)]).tangents[0];
    let slope = slope.unwrap_or(x);
    let error = b.finish(&[("slope", slope)]).unwrap_err();
    assert!(error.op.contains("while"), "{error}");
}

/// The derivative of a scalar by another that it depends on, forward.
fn along<'b>(of: Tensor<'b>, by: Tensor<'b>) -> Tensor<'b> {
    let one = of.builder().scalar(1.0);
    thalweg_transform::jvp(&[of], &[by], &[one]).tangents[0].expect("it depends on the variable")
}

/// d/dx [x d/dy (x + y)] = 1: a nested derivative must not take the outer direction for its own.
#[test]
fn nested_derivatives_do_not_confuse_their_directions() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, []));
    let y = b.input("y", TensorType::new(DType::F64, []));
    let inner = along(x + y, y);
    let outer = along(x * inner, x);
    // The same with an inner function of both, by reverse mode inside forward mode and the other
    // way: f(x) = d/dy (x y^2) at y = x, that is 2 x^2 with derivative 4 x.
    let z = b.placeholder(TensorType::new(DType::F64, []));
    let slope = thalweg_transform::gradient(x * z * z, &[z])[0];
    let at_x = thalweg_transform::substitute(&[slope], &[(z, x)])[0];
    let forward = along(at_x, x);
    let reverse = thalweg_transform::gradient(at_x, &[x])[0];
    let outputs = [("outer", outer), ("forward", forward), ("reverse", reverse)];
    let graph = b.finish(&outputs).unwrap();
    let got: Vec<f64> = oracle(&graph, &[Array::scalar(3.0), Array::scalar(1.0)], "nested")
        .iter()
        .map(|array| array.item().unwrap())
        .collect();
    assert_eq!(got, [1.0, 12.0, 12.0]);
}
