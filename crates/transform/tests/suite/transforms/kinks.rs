//! What is taken for the derivative where there is none, and near the edges of a domain.

use thalweg_exec::reference::evaluate;
use thalweg_graph::Array;
use thalweg_graph::{Builder, DType, Tensor, TensorType, Window};
use thalweg_transform::gradient;

/// The gradient of the sum of `f` at a point, differentiated `order` times.
fn slope(
    order: usize,
    at: &[f64],
    f: impl for<'b> Fn(&'b Builder, Tensor<'b>) -> Tensor<'b>,
) -> Vec<f64> {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [at.len()]));
    let mut y = f(&b, x);
    for _ in 0..order {
        y = gradient(y.sum_all(), &[x])[0];
    }
    let graph = b.finish(&[("y", y)]).unwrap();
    evaluate(&graph, &[Array::vector(at)]).unwrap()[0].to_f64_vec()
}

#[test]
fn ties_share() {
    assert_eq!(slope(1, &[2.0, 2.0, 1.0], |_, x| x.max(&[0])), [0.5, 0.5, 0.0]);
    assert_eq!(slope(1, &[2.0, 1.0, 1.0], |_, x| x.min(&[0])), [0.0, 0.5, 0.5]);
    assert_eq!(slope(1, &[0.0, 1.0, -1.0], |_, x| x.maximum(0.0)), [0.5, 1.0, 0.0]);
    assert_eq!(slope(1, &[0.0, 1.0, -1.0], |_, x| x.minimum(0.0)), [0.5, 0.0, 1.0]);
    // Both operands are the variable: the halves make a whole.
    assert_eq!(slope(1, &[3.0], |_, x| x.maximum(x * 1.0)), [1.0]);
}

#[test]
fn the_first_of_a_window_takes_all() {
    let window =
        Window { size: vec![2], stride: vec![2], padding: vec![(0, 0)], dilation: vec![1] };
    let pooled = slope(1, &[5.0, 5.0, 1.0, 3.0], |_, x| x.window_max(&window));
    assert_eq!(pooled, [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn zero_is_flat() {
    assert_eq!(slope(1, &[-2.0, 0.0, 3.0], |_, x| x.abs()), [-1.0, 0.0, 1.0]);
    assert_eq!(slope(1, &[-1.0, 0.0, 1.0], |_, x| x.relu()), [0.0, 0.0, 1.0]);
}

#[test]
fn powers_at_zero() {
    assert_eq!(slope(1, &[0.0], |_, x| x.power(2.0)), [0.0]);
    assert_eq!(slope(2, &[0.0], |_, x| x.power(2.0)), [2.0]);
    assert_eq!(slope(3, &[0.0, 1.0], |_, x| x.power(2.0)), [0.0, 0.0]);
    assert_eq!(slope(1, &[0.0], |_, x| x.power(1.0)), [1.0]);
    assert_eq!(slope(1, &[0.0], |_, x| x.power(0.0)), [0.0]);
    assert_eq!(slope(3, &[-2.0], |_, x| x.power(3.0)), [6.0]);
    assert_eq!(slope(1, &[2.0], |_, x| x.zeros_like().power(x)), [0.0]);
}

#[test]
fn large_operands_stay_finite() {
    let far = [-800.0, 800.0];
    assert_eq!(slope(1, &far, |_, x| x.logistic()), [0.0, 0.0]);
    assert_eq!(slope(1, &far, |_, x| x.tanh()), [0.0, 0.0]);
    assert_eq!(slope(1, &far, |_, x| x.softplus()), [0.0, 1.0]);
    assert_eq!(slope(2, &far, |_, x| x.softplus()), [0.0, 0.0]);
    assert_eq!(slope(1, &far, |_, x| x.erf()), [0.0, 0.0]);
}
