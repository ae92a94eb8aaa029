//! Windows, products, convolutions and factorisations.

use super::check::check;
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Window};

#[test]
fn windows() {
    check("windows", &[&[2, 4, 5, 2]], &|b, x| {
        let window = Window::spatial([3, 2], [2, 1], [(1, 1), (0, 1)]);
        vec![
            x[0].window_sum(&window),
            b.emit_one(Op::WindowArgMax(window.clone()), &[x[0]]),
            x[0].window_max(&window),
        ]
    });
}

#[test]
fn products() {
    check("general product", &[&[2, 3, 4, 2, 2], &[4, 2, 3, 2]], &|_, x| {
        let axes = DotAxes {
            lhs_batch: vec![3, 0],
            rhs_batch: vec![1, 3],
            lhs_contract: vec![2, 1],
            rhs_contract: vec![0, 2],
        };
        vec![x[0].dot(x[1], axes)]
    });
    check("matmul", &[&[2, 3], &[3, 4]], &|_, x| vec![x[0].matmul(x[1])]);
    check("free axes", &[&[2, 3, 2], &[5, 3, 2]], &|_, x| {
        let axes = DotAxes { lhs_contract: vec![1], rhs_contract: vec![1], ..DotAxes::default() };
        vec![x[0].dot(x[1], axes)]
    });
}

/// Every row of the tables in `vmap/convolution.rs`, with groups.
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
        let w = with(rhs, [2, 2, 2, 6]);
        check(&format!("convolution {lhs} {rhs}"), &[&x, &w], &move |_, x| {
            vec![x[0].convolution(x[1], window)]
        });
        let dy = with(lhs, [2, 2, 5, 6]);
        check(&format!("input gradient {lhs} {rhs}"), &[&dy, &w], &move |b, x| {
            let op = Op::ConvolutionInputGradient { window, input: [4, 5] };
            vec![b.emit_one(op, &[x[0], x[1]])]
        });
        let x = with(lhs, [2, 4, 5, 4]);
        let dy = with(rhs, [2, 2, 5, 6]);
        check(&format!("weight gradient {lhs} {rhs}"), &[&x, &dy], &move |b, x| {
            let op = Op::ConvolutionWeightGradient { window, kernel: [2, 2] };
            vec![b.emit_one(op, &[x[0], x[1]])]
        });
    }
}

#[test]
fn factorisations() {
    check("factorisations", &[&[3, 3], &[3, 2]], &|b, x| {
        let symmetric = x[0] + x[0].transpose(&[1, 0]) + b.iota(x[0].dtype(), &[3, 3], 0);
        let positive = x[0].matmul(x[0].transpose(&[1, 0])) * 0.1 + {
            let (row, column) =
                (b.iota(x[0].dtype(), &[3, 3], 0), b.iota(x[0].dtype(), &[3, 3], 1));
            row.equal(column).convert(x[0].dtype())
        };
        let factor = b.emit_one(Op::Cholesky, &[positive]);
        let solve = Op::TriangularSolve { lower: true, transpose: true };
        let eigen = b.emit(Op::SymmetricEigen, &[symmetric]);
        vec![factor, b.emit_one(solve, &[factor, x[1]]), eigen[0], eigen[1]]
    });
}
