//! Graphs after each transformation, as text: a change of a rule shows here as a change of what it
//! builds.

use thalweg_array::DType;
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_transform::{gradient_graph, jvp_graph, simplify, vmap_graph};

/// The squared length of a dense layer's output.
fn layer() -> Graph {
    let b = Builder::new(DType::F32);
    let x = b.input("x", TensorType::new(DType::F32, [8, 3]));
    let w = b.input("w", TensorType::new(DType::F32, [3, 2]));
    b.finish(&[("loss", x.matmul(w).tanh().square().sum_all())]).unwrap()
}

fn check(graph: &Graph, expected: &str) {
    let got = graph.to_string();
    assert_eq!(got, expected.trim_start(), "\n{got}\n");
}

#[test]
fn forward() {
    check(
        &simplify(&jvp_graph(&layer(), &[1]).unwrap()),
        r"
graph(x: f32[8, 3], w: f32[3, 2], w.tangent: f32[3, 2]) {
  %3 = dot x, w {batch: ([], []), contract: ([1], [0])} : f32[8, 2]
  %4 = tanh %3 : f32[8, 2]
  %5 = multiply %4, %4 : f32[8, 2]
  %6 = reduce_sum %5 {axes: [0, 1]} : f32[]
  %7 = dot x, w.tangent {batch: ([], []), contract: ([1], [0])} : f32[8, 2]
  %8 = constant {value: f32[] [1.0]} : f32[]
  %9 = broadcast %8 {axes: []} : f32[8, 2]
  %10 = subtract %9, %4 : f32[8, 2]
  %11 = add %9, %4 : f32[8, 2]
  %12 = multiply %10, %11 : f32[8, 2]
  %13 = multiply %7, %12 : f32[8, 2]
  %14 = multiply %13, %4 : f32[8, 2]
  %15 = add %14, %14 : f32[8, 2]
  %16 = reduce_sum %15 {axes: [0, 1]} : f32[]
  return loss = %6, loss.tangent = %16
}",
    );
}

#[test]
fn reverse() {
    check(
        &simplify(&gradient_graph(&layer(), 0, &[1]).unwrap()),
        r"
graph(x: f32[8, 3], w: f32[3, 2]) {
  %2 = dot x, w {batch: ([], []), contract: ([1], [0])} : f32[8, 2]
  %3 = tanh %2 : f32[8, 2]
  %4 = multiply %3, %3 : f32[8, 2]
  %5 = reduce_sum %4 {axes: [0, 1]} : f32[]
  %6 = constant {value: f32[] [1.0]} : f32[]
  %7 = broadcast %6 {axes: []} : f32[8, 2]
  %8 = subtract %7, %3 : f32[8, 2]
  %9 = add %7, %3 : f32[8, 2]
  %10 = multiply %8, %9 : f32[8, 2]
  %11 = constant {value: f32[] [2.0]} : f32[]
  %12 = broadcast %11 {axes: []} : f32[8, 2]
  %13 = multiply %12, %3 : f32[8, 2]
  %14 = multiply %13, %10 : f32[8, 2]
  %15 = dot x, %14 {batch: ([], []), contract: ([0], [0])} : f32[3, 2]
  return loss = %5, w.gradient = %15
}",
    );
}

/// Members with weights of their own on shared examples: one product.
#[test]
fn batched() {
    check(
        &simplify(&vmap_graph(&layer(), &[None, Some(0)], 5).unwrap()),
        r"
graph(x: f32[8, 3], w: f32[5, 3, 2]) {
  %2 = dot x, w {batch: ([], []), contract: ([1], [1])} : f32[8, 5, 2]
  %3 = transpose %2 {permutation: [1, 0, 2]} : f32[5, 8, 2]
  %4 = tanh %3 : f32[5, 8, 2]
  %5 = multiply %4, %4 : f32[5, 8, 2]
  %6 = reduce_sum %5 {axes: [1, 2]} : f32[5]
  return loss = %6
}",
    );
}

#[test]
fn batched_gradient() {
    let gradient = gradient_graph(&layer(), 0, &[1]).unwrap();
    check(
        &simplify(&vmap_graph(&gradient, &[None, Some(0)], 5).unwrap()),
        r"
graph(x: f32[8, 3], w: f32[5, 3, 2]) {
  %2 = constant {value: f32[] [1.0]} : f32[]
  %3 = constant {value: f32[] [2.0]} : f32[]
  %4 = dot x, w {batch: ([], []), contract: ([1], [1])} : f32[8, 5, 2]
  %5 = transpose %4 {permutation: [1, 0, 2]} : f32[5, 8, 2]
  %6 = tanh %5 : f32[5, 8, 2]
  %7 = multiply %6, %6 : f32[5, 8, 2]
  %8 = reduce_sum %7 {axes: [1, 2]} : f32[5]
  %9 = broadcast %2 {axes: []} : f32[5, 8, 2]
  %10 = subtract %9, %6 : f32[5, 8, 2]
  %11 = add %9, %6 : f32[5, 8, 2]
  %12 = multiply %10, %11 : f32[5, 8, 2]
  %13 = broadcast %3 {axes: []} : f32[5, 8, 2]
  %14 = multiply %13, %6 : f32[5, 8, 2]
  %15 = multiply %14, %12 : f32[5, 8, 2]
  %16 = dot x, %15 {batch: ([], []), contract: ([0], [1])} : f32[3, 5, 2]
  %17 = transpose %16 {permutation: [1, 0, 2]} : f32[5, 3, 2]
  return loss = %8, w.gradient = %17
}",
    );
}
