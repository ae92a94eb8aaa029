//! Text of small graphs after each transformation.

use thalweg_graph::{Builder, ConvolutionWindow, DType, Tensor, TensorType};
use thalweg_transform::{Replacement, gradient, hvp, jvp, simplify, vmap};

fn text<'b>(b: &'b Builder, outputs: &[Tensor<'b>]) -> String {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    simplify(&b.finish(&named).unwrap()).to_string()
}

fn input<'b>(b: &'b Builder, name: &str, shape: &[usize]) -> Tensor<'b> {
    b.input(name, TensorType::new(DType::F32, shape))
}

#[test]
fn forward() {
    let b = Builder::new(DType::F32);
    let (x, t) = (input(&b, "x", &[2]), input(&b, "t", &[2]));
    let result = jvp(&[(x.sin() * x).sum_all()], &[x], &[t]);
    assert_eq!(
        text(&b, &[result.tangents[0].unwrap()]),
        "\
graph(x: f32[2], t: f32[2]) {
  %2 = sin x : f32[2]
  %3 = cos x : f32[2]
  %4 = multiply t, %3 : f32[2]
  %5 = multiply %4, x : f32[2]
  %6 = multiply t, %2 : f32[2]
  %7 = add %5, %6 : f32[2]
  %8 = reduce_sum %7 {axes: [0]} : f32[]
  return y0 = %8
}"
    );
}

#[test]
fn reverse() {
    let b = Builder::new(DType::F32);
    let (x, w) = (input(&b, "x", &[8, 3]), input(&b, "w", &[3, 2]));
    let loss = x.matmul(w).relu().sum_all();
    assert_eq!(
        text(&b, &gradient(loss, &[w])),
        "\
graph(x: f32[8, 3], w: f32[3, 2]) {
  %2 = dot x, w {batch: ([], []), contract: ([1], [0])} : f32[8, 2]
  %3 = constant {value: f32[] [0.0]} : f32[]
  %4 = broadcast %3 {axes: []} : f32[8, 2]
  %5 = less_equal %2, %4 : bool[8, 2]
  %6 = constant {value: f32[] [1.0]} : f32[]
  %7 = broadcast %6 {axes: []} : f32[8, 2]
  %8 = select %5, %4, %7 : f32[8, 2]
  %9 = dot x, %8 {batch: ([], []), contract: ([0], [0])} : f32[3, 2]
  return y0 = %9
}"
    );
}

#[test]
fn convolution() {
    let b = Builder::new(DType::F32);
    let (x, w) = (input(&b, "x", &[2, 4, 4, 3]), input(&b, "w", &[3, 3, 3, 5]));
    let window = ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };
    let y = x.convolution(w, window);
    assert_eq!(text(&b, &gradient((y * y).sum_all(), &[x, w])), "\
graph(x: f32[2, 4, 4, 3], w: f32[3, 3, 3, 5]) {
  %2 = convolution x, w {padding: [(1, 1), (1, 1)]} : f32[2, 4, 4, 5]
  %3 = constant {value: f32[] [2.0]} : f32[]
  %4 = broadcast %3 {axes: []} : f32[2, 4, 4, 5]
  %5 = multiply %4, %2 : f32[2, 4, 4, 5]
  %6 = convolution_weight_gradient x, %5 {padding: [(1, 1), (1, 1)], kernel: [3, 3]} : f32[3, 3, 3, 5]
  %7 = convolution_input_gradient %5, w {padding: [(1, 1), (1, 1)], input: [4, 4]} : f32[2, 4, 4, 3]
  return y0 = %7, y1 = %6
}");
}

#[test]
fn second_order() {
    let b = Builder::new(DType::F32);
    let (x, v) = (input(&b, "x", &[4]), input(&b, "v", &[4]));
    assert_eq!(
        text(&b, &hvp(x.exp().sum_all(), &[x], &[v])),
        "\
graph(x: f32[4], v: f32[4]) {
  %2 = exp x : f32[4]
  %3 = multiply v, %2 : f32[4]
  return y0 = %3
}"
    );
}

#[test]
fn members() {
    let b = Builder::new(DType::F32);
    let (x, member) = (input(&b, "x", &[8, 3]), b.placeholder(TensorType::new(DType::F32, [3, 2])));
    let batched = input(&b, "w", &[6, 3, 2]);
    let loss = x.exp().matmul(member).sum_all();
    let each = vmap(&[loss], &[Replacement { member, batched, axis: 0 }], 6);
    assert_eq!(
        text(&b, &each),
        "\
graph(x: f32[8, 3], w: f32[6, 3, 2]) {
  %2 = exp x : f32[8, 3]
  %3 = dot %2, w {batch: ([], []), contract: ([1], [1])} : f32[8, 6, 2]
  %4 = transpose %3 {permutation: [1, 0, 2]} : f32[6, 8, 2]
  %5 = reduce_sum %4 {axes: [1, 2]} : f32[6]
  return y0 = %5
}"
    );
}

#[test]
fn a_loop_back() {
    let b = Builder::new(DType::F32);
    let (x, w) = (input(&b, "x", &[2]), input(&b, "w", &[2]));
    let (carry, _) = b.scan(6, &[x], &[], &[w], 0, |step| {
        (vec![(step.carry[0] * step.constants[0]).exp()], vec![])
    });
    assert_eq!(text(&b, &gradient(carry[0].sum_all(), &[w])), "\
graph(x: f32[2], w: f32[2]) {
  %2 = constant {value: f32[] [0.0]} : f32[]
  %3 = broadcast %2 {axes: []} : f32[2]
  %4 = constant {value: f32[] [1.0]} : f32[]
  %5 = scan x, w {length: 6, n_carry: 1, n_xs: 0, reverse: false, checkpoint_branching: 0} : f32[2], f32[6, 2]
    body = graph(carry0: f32[2], constant0: f32[2]) {
      %2 = multiply carry0, constant0 : f32[2]
      %3 = exp %2 : f32[2]
      return result0 = %3, result1 = carry0
    }
  %6 = broadcast %4 {axes: []} : f32[2]
  %7 = scan %6, %3, %5.1, w {length: 6, n_carry: 2, n_xs: 1, reverse: true, checkpoint_branching: 0} : f32[2], f32[2]
    body = graph(carry0: f32[2], sum0: f32[2], start0: f32[2], constant0: f32[2]) {
      %4 = multiply start0, constant0 : f32[2]
      %5 = exp %4 : f32[2]
      %6 = multiply carry0, %5 : f32[2]
      %7 = multiply %6, start0 : f32[2]
      %8 = multiply %6, constant0 : f32[2]
      %9 = add sum0, %7 : f32[2]
      return result0 = %8, result1 = %9
    }
  return y0 = %7.1
}");
}
