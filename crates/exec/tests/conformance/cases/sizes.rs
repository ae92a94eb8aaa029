//! Extents around the widths and blocks that an executor works in: run, not differentiated (but
//! for what has kernels of its own backward).

use crate::case::{Case, case, plain};
use thalweg_array::DType;
use thalweg_graph::{ConvolutionWindow, DotAxes, GatherAxes, Op, Window};

/// Around one vector, one tile of two, sixteen lanes, and several blocks.
const EXTENTS: [usize; 9] = [1, 2, 7, 8, 15, 16, 17, 67, 1031];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in EXTENTS {
        cases.push(plain(
            format!("element by element, {n}"),
            move |draw| vec![draw.signed(&[n]), draw.positive(&[3, n]), draw.signed(&[3, 1])],
            |_, x| {
                let mixed = (x[0] * x[1] + x[2]).tanh();
                vec![mixed, x[1].log() / x[0], mixed.greater(0.1).select(x[2], x[1].sqrt())]
            },
        ));
        cases.push(plain(
            format!("reductions, {n}"),
            move |draw| vec![draw.uniform(&[3, n, 2], -1.0, 1.0)],
            |_, x| {
                let x = x[0];
                vec![
                    x.sum(&[1]),
                    x.sum(&[0, 1]),
                    x.sum(&[1, 2]),
                    x.square().sum(&[0, 1, 2]),
                    x.max(&[1]),
                    x.transpose(&[0, 2, 1]).min(&[2]),
                    x.transpose(&[0, 2, 1]).exp().sum(&[2]),
                    x.logsumexp(&[1]),
                    x.softmax(1),
                    x.cumulative_sum(1, false),
                    x.arg_max(1),
                ]
            },
        ));
        cases.push(plain(
            format!("movements, {n}"),
            move |draw| {
                vec![draw.signed(&[n, 3]), draw.integers(DType::I32, &[5], -1, n as i64 + 1)]
            },
            |b, x| {
                let (x, places) = (x[0], x[1]);
                let rows = x.take(places);
                let axes = GatherAxes { batch: 0, trailing: 0 };
                vec![
                    x.transpose(&[1, 0]),
                    x.reverse(&[0]) * 2.0,
                    x.pad(b.scalar(-1.0), &[2, 0], &[1, 1], &[1, 0]),
                    b.concatenate(&[x, rows], 0),
                    x.scatter_add(places, rows, axes),
                    x.sort(0),
                    x.reshape(&[x.shape()[0] * 3]).broadcast_in(&[2, x.shape()[0] * 3, 2], &[1]),
                ]
            },
        ));
    }
    products(&mut cases);
    convolutions(&mut cases);
    cases.push(case(
        "pooling of a larger image",
        |draw| vec![draw.distinct(&[2, 13, 11, 5])],
        |_, x| {
            let window = Window::spatial([3, 2], [2, 1], [(1, 0), (0, 1)]);
            vec![x[0].window_max(&window), x[0].window_sum(&window)]
        },
    ));
    cases
}

fn products(cases: &mut Vec<Case>) {
    let sizes = [
        (1, 1, 1),
        (1, 67, 300),
        (5, 1, 17),
        (16, 16, 16),
        (17, 33, 15),
        (64, 10, 129),
        (37, 41, 1100),
    ];
    for (m, n, k) in sizes {
        cases.push(case(
            format!("product of {m}, {k} and {k}, {n}"),
            move |draw| vec![draw.uniform(&[m, k], -1.0, 1.0), draw.uniform(&[k, n], -1.0, 1.0)],
            |_, x| vec![x[0].matmul(x[1])],
        ));
        cases.push(case(
            format!("product of {k}, {m} and 2, {n}, {k}, transposed and shared"),
            move |draw| vec![draw.uniform(&[k, m], -1.0, 1.0), draw.uniform(&[2, n, k], -1.0, 1.0)],
            |_, x| {
                let axes =
                    DotAxes { lhs_contract: vec![0], rhs_contract: vec![2], ..DotAxes::default() };
                vec![x[0].dot(x[1], axes).sin()]
            },
        ));
    }
}

fn convolutions(cases: &mut Vec<Case>) {
    // Batch, height and width, channels in each group, channels out of each group, kernel.
    let sizes = [
        (1, [7, 9], 1, 1, [3, 3]),
        (2, [9, 8], 3, 17, [3, 3]),
        (3, [6, 6], 16, 16, [1, 1]),
        (2, [11, 5], 18, 9, [5, 2]),
    ];
    for (batch, [height, width], channels_in, channels_out, [rows, columns]) in sizes {
        for (name, window) in super::contraction::windows() {
            let groups = window.groups;
            let x = vec![batch, height, width, groups * channels_in];
            let w = vec![rows, columns, channels_in, groups * channels_out];
            for (lhs_population, rhs_population) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let window = ConvolutionWindow { lhs_population, rhs_population, ..window };
                let members = |shape: &[usize], population: bool| match population {
                    true => [&[3], shape].concat(),
                    false => shape.to_vec(),
                };
                let (x, w) = (members(&x, lhs_population), members(&w, rhs_population));
                cases.push(case(
                    format!("convolution {name} of {x:?} by {w:?}"),
                    move |draw| vec![draw.uniform(&x, -1.0, 1.0), draw.uniform(&w, -1.0, 1.0)],
                    move |b, x| vec![b.emit_one(Op::Convolution(window), x).tanh()],
                ));
            }
        }
    }
}
