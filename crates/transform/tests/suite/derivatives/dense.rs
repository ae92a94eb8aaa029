//! Reductions, windows, products and convolutions.

use super::check::{anywhere, check};
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Window};

#[test]
fn reductions() {
    check("sum", &[&[2, 3, 4]], anywhere, &|_, x| vec![x[0].exp().sum(&[0, 2]).sin()]);
    check("max", &[&[3, 4]], anywhere, &|_, x| {
        vec![x[0].exp().max(&[1]) * x[0].sin().min(&[1]), x[0].max(&[0, 1])]
    });
    check("logsumexp", &[&[3, 4]], anywhere, &|_, x| {
        vec![x[0].logsumexp(&[1]), x[0].softmax(0).sum(&[1])]
    });
}

#[test]
fn windows() {
    let windows = [
        ("plain", [2, 3], [1, 1], [(0, 0), (0, 0)], [1, 1]),
        ("tiles with remainder", [2, 3], [2, 3], [(0, 0), (0, 0)], [1, 1]),
        ("strided, padded", [3, 2], [2, 3], [(1, 2), (0, 1)], [1, 1]),
        ("dilated", [2, 2], [1, 2], [(1, 0), (2, 1)], [3, 2]),
        ("windows in the padding", [2, 1], [1, 3], [(4, 5), (3, 7)], [1, 1]),
    ];
    for (name, size, stride, padding, dilation) in windows {
        check(name, &[&[5, 7]], anywhere, &move |_, x| {
            let window = Window {
                size: size.to_vec(),
                stride: stride.to_vec(),
                padding: padding.to_vec(),
                dilation: dilation.to_vec(),
            };
            vec![x[0].exp().window_sum(&window).sin()]
        });
    }
    check("maximum", &[&[1, 5, 6, 2]], anywhere, &|_, x| {
        let window = Window::spatial([3, 2], [2, 1], [(1, 1), (0, 1)]);
        vec![x[0].exp().window_max(&window).sin()]
    });
}

#[test]
fn products() {
    check("matmul", &[&[2, 3], &[3, 4]], anywhere, &|_, x| vec![x[0].exp().matmul(x[1].sin())]);
    check("general product", &[&[2, 3, 4, 2, 5], &[4, 2, 3, 2]], anywhere, &|_, x| {
        // Batch axes 3 and 0 with 1 and 3; summed axes 2 and 1 with 0 and 2.
        let axes = DotAxes {
            lhs_batch: vec![3, 0],
            rhs_batch: vec![1, 3],
            lhs_contract: vec![2, 1],
            rhs_contract: vec![0, 2],
        };
        vec![x[0].exp().dot(x[1].sin(), axes)]
    });
    check("free axes", &[&[2, 3, 4], &[5, 3, 2]], anywhere, &|_, x| {
        let axes = DotAxes { lhs_contract: vec![1], rhs_contract: vec![1], ..DotAxes::default() };
        vec![x[0].exp().dot(x[1], axes).sin()]
    });
}

#[test]
fn convolutions() {
    for (lhs, rhs) in [(false, false), (true, false), (false, true), (true, true)] {
        let window = ConvolutionWindow {
            stride: [2, 1],
            padding: [(1, 0), (0, 2)],
            dilation: [1, 2],
            groups: 2,
            lhs_population: lhs,
            rhs_population: rhs,
            folded: [1, 1],
        };
        let with = |population: bool, shape: [usize; 4]| {
            if population { [&[2], &shape[..]].concat() } else { shape.to_vec() }
        };
        let x = with(lhs, [2, 4, 5, 4]);
        let w = with(rhs, [2, 2, 2, 2]);
        let name = format!("convolution {lhs} {rhs}");
        check(&name, &[&x, &w], anywhere, &move |_, x| {
            vec![x[0].sin().convolution(x[1].exp(), window)]
        });
        let dy = with(lhs, [2, 2, 5, 2]);
        let name = format!("input gradient {lhs} {rhs}");
        check(&name, &[&dy, &w], anywhere, &move |b, x| {
            let op = Op::ConvolutionInputGradient { window, input: [4, 5] };
            vec![b.emit_one(op, &[x[0].sin(), x[1].exp()])]
        });
        let x = with(lhs, [2, 4, 5, 4]);
        let dy = with(rhs, [2, 2, 5, 2]);
        let name = format!("weight gradient {lhs} {rhs}");
        check(&name, &[&x, &dy], anywhere, &move |b, x| {
            let op = Op::ConvolutionWeightGradient { window, kernel: [2, 2] };
            vec![b.emit_one(op, &[x[0].sin(), x[1].exp()])]
        });
    }
}
