//! Functions made of several operations, as networks use them.

use crate::case::{Case, case, plain};
use thalweg_array::{Array, DType};
use thalweg_graph::{ConvolutionWindow, DotAxes, GatherAxes, Tensor, Window};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "relu away from its kink",
            |draw| vec![draw.signed(&[6])],
            |_, x| vec![x[0].relu() * x[0]],
        ),
        case(
            "softplus on both sides",
            |_| vec![Array::vector(&[-30.0, -2.0, -0.1, 0.1, 2.0, 30.0])],
            |_, x| vec![x[0].softplus()],
        ),
        plain(
            "stable forms at extremes",
            |_| {
                let (inf, nan) = (f64::INFINITY, f64::NAN);
                vec![
                    Array::vector(&[-1e30, -1e4, 0.0, 1e4, 1e30, inf, -inf, nan]),
                    Array::from_slice(
                        &[5, 2],
                        &[1e4, 1e4, -1e4, -1e4, 1e30, -1e30, -inf, -inf, -inf, 3.0],
                    )
                    .unwrap(),
                ]
            },
            |_, x| vec![x[0].softplus(), x[0].logistic(), x[1].logsumexp(&[1])],
        ),
        case(
            "logsumexp",
            |draw| vec![draw.distinct(&[2, 3, 2])],
            |_, x| vec![x[0].logsumexp(&[1]), x[0].logsumexp(&[0, 2])],
        ),
        case("softmax", |draw| vec![draw.distinct(&[2, 4])], |_, x| vec![x[0].softmax(1)]),
        case("log_softmax", |draw| vec![draw.distinct(&[4, 2])], |_, x| vec![x[0].log_softmax(0)]),
        case("gelu", |draw| vec![draw.signed(&[6])], |_, x| vec![gelu(x[0])]),
        case(
            "cross-entropy",
            |draw| vec![draw.distinct(&[3, 4]), draw.integers(DType::I32, &[3], 0, 4)],
            |_, x| {
                let axes = GatherAxes { batch: 1, trailing: 0 };
                let picked = x[0].log_softmax(1).gather(x[1], axes);
                let one_hot = x[1].one_hot(4, x[0].dtype());
                vec![-picked.mean(&[0]), -(x[0].log_softmax(1) * one_hot).sum(&[0, 1])]
            },
        ),
        case(
            "batch norm",
            |draw| vec![draw.distinct(&[4, 2, 3]), draw.positive(&[3]), draw.signed(&[3])],
            |_, x| vec![batch_norm(x[0], &[0, 1], x[1], x[2])],
        ),
        case(
            "layer norm",
            |draw| vec![draw.distinct(&[2, 5])],
            |_, x| {
                let centred = x[0] - x[0].mean(&[1]).keep(&[1]);
                let variance = centred.square().mean(&[1]).keep(&[1]);
                vec![centred * (variance + 1e-5).rsqrt()]
            },
        ),
        case(
            "max-pooling of overlapping windows",
            |draw| vec![draw.distinct(&[2, 5, 5, 2])],
            |_, x| {
                let window = Window::spatial([3, 3], [2, 2], [(1, 1), (1, 1)]);
                vec![x[0].window_max(&window).square()]
            },
        )
        .orders(2),
        case(
            "average-pooling",
            |draw| vec![draw.signed(&[2, 4, 4, 2])],
            |_, x| {
                let window = Window::spatial([2, 2], [2, 2], [(0, 0), (0, 0)]);
                vec![(x[0].window_sum(&window) * 0.25).sin()]
            },
        )
        .orders(2),
        case(
            "perceptron",
            |draw| {
                vec![
                    draw.signed(&[3, 4]),
                    draw.signed(&[4, 5]),
                    draw.signed(&[5]),
                    draw.signed(&[5, 2]),
                    draw.integers(DType::I32, &[3], 0, 2),
                ]
            },
            |_, x| {
                let hidden = (x[0].matmul(x[1]) + x[2]).tanh();
                vec![loss(hidden.matmul(x[3]), x[4])]
            },
        ),
        case(
            "convolutional network",
            |draw| {
                vec![
                    draw.signed(&[2, 5, 4, 2]),
                    draw.uniform(&[3, 3, 2, 3], -0.4, 0.4),
                    draw.positive(&[3]),
                    draw.signed(&[3]),
                    draw.signed(&[3, 2]),
                    draw.integers(DType::I32, &[2], 0, 2),
                ]
            },
            |_, x| {
                let same = ConvolutionWindow {
                    padding: [(1, 1), (1, 1)],
                    stride: [2, 1],
                    ..ConvolutionWindow::PLAIN
                };
                let features = batch_norm(x[0].convolution(x[1], same), &[0, 1, 2], x[2], x[3]);
                vec![loss(gelu(features).mean(&[1, 2]).matmul(x[4]), x[5])]
            },
        )
        .orders(2),
        case(
            "attention",
            |draw| {
                vec![
                    draw.distinct(&[2, 3, 4]),
                    draw.uniform(&[4, 4], -0.5, 0.5),
                    draw.uniform(&[4, 4], -0.5, 0.5),
                ]
            },
            |_, x| {
                let (queries, keys) = (x[0].matmul(x[1]), x[0].matmul(x[2]));
                let scores = queries.dot(
                    keys,
                    DotAxes {
                        lhs_batch: vec![0],
                        rhs_batch: vec![0],
                        lhs_contract: vec![2],
                        rhs_contract: vec![2],
                    },
                );
                let mixed = scores.softmax(2).dot(
                    x[0],
                    DotAxes {
                        lhs_batch: vec![0],
                        rhs_batch: vec![0],
                        lhs_contract: vec![2],
                        rhs_contract: vec![1],
                    },
                );
                vec![mixed]
            },
        )
        .orders(2),
        case(
            "gradient descent in a scan",
            |draw| vec![draw.signed(&[3]), draw.signed(&[5, 3]), draw.uniform(&[], 0.05, 0.1)],
            |b, x| {
                let (carry, ys) = b.scan(5, &x[..1], &x[1..2], &x[2..], 2, |s| {
                    let (w, target, rate) = (s.carry[0], s.xs[0], s.constants[0]);
                    let loss = ((w.sin() - target).square()).sum(&[0]);
                    let slope = thalweg_transform::gradient(loss, &[w])[0];
                    (vec![w - slope * rate], vec![loss])
                });
                vec![carry[0], ys[0]]
            },
        )
        .orders(2),
    ]
}

fn gelu(x: Tensor<'_>) -> Tensor<'_> {
    x * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
}

fn batch_norm<'b>(
    x: Tensor<'b>,
    axes: &[usize],
    scale: Tensor<'b>,
    shift: Tensor<'b>,
) -> Tensor<'b> {
    let centred = x - x.mean(axes).keep(axes);
    let variance = centred.square().mean(axes).keep(axes);
    centred * (variance + 1e-5).rsqrt() * scale + shift
}

fn loss<'b>(logits: Tensor<'b>, labels: Tensor<'b>) -> Tensor<'b> {
    let picked = logits.log_softmax(1).gather(labels, GatherAxes { batch: 1, trailing: 0 });
    -picked.mean(&[0])
}
