//! The text of a graph before and after.

use super::trace;
use thalweg_transform::simplify;

#[test]
fn before_and_after() {
    let graph = trace(&[&[4, 3], &[3]], &|b, x| {
        let unused = x[0].exp();
        let scale = b.scalar(2.0) * 0.5;
        let shifted = x[0].transpose(&[1, 0]).transpose(&[1, 0]) * scale + (-x[1]);
        let again = x[0] - x[1];
        vec![shifted * again, unused.sum_all() * 0.0 + 1.0]
    });
    let before = "\
graph(x0: f32[4, 3], x1: f32[3]) {
  %2 = exp x0 : f32[4, 3]
  %3 = constant {value: f32[] [2.0]} : f32[]
  %4 = constant {value: f32[] [0.5]} : f32[]
  %5 = multiply %3, %4 : f32[]
  %6 = transpose x0 {permutation: [1, 0]} : f32[3, 4]
  %7 = transpose %6 {permutation: [1, 0]} : f32[4, 3]
  %8 = broadcast %5 {axes: []} : f32[4, 3]
  %9 = multiply %7, %8 : f32[4, 3]
  %10 = negate x1 : f32[3]
  %11 = broadcast %10 {axes: [1]} : f32[4, 3]
  %12 = add %9, %11 : f32[4, 3]
  %13 = broadcast x1 {axes: [1]} : f32[4, 3]
  %14 = subtract x0, %13 : f32[4, 3]
  %15 = multiply %12, %14 : f32[4, 3]
  %16 = reduce_sum %2 {axes: [0, 1]} : f32[]
  %17 = constant {value: f32[] [0.0]} : f32[]
  %18 = multiply %16, %17 : f32[]
  %19 = constant {value: f32[] [1.0]} : f32[]
  %20 = add %18, %19 : f32[]
  return y0 = %15, y1 = %20
}";
    assert_eq!(graph.to_string(), before);
    let after = "\
graph(x0: f32[4, 3], x1: f32[3]) {
  %2 = exp x0 : f32[4, 3]
  %3 = constant {value: f32[] [1.0]} : f32[]
  %4 = broadcast x1 {axes: [1]} : f32[4, 3]
  %5 = subtract x0, %4 : f32[4, 3]
  %6 = multiply %5, %5 : f32[4, 3]
  %7 = reduce_sum %2 {axes: [0, 1]} : f32[]
  %8 = constant {value: f32[] [0.0]} : f32[]
  %9 = multiply %7, %8 : f32[]
  %10 = add %9, %3 : f32[]
  return y0 = %6, y1 = %10
}";
    assert_eq!(simplify(&graph).to_string(), after);
}
