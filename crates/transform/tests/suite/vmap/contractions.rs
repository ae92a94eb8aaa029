//! Products, convolutions and factorisations.

use super::check::{check, floats};
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Tensor};

#[test]
fn products() {
    check("matrix product", &[floats(&[5, 40]), floats(&[40, 7])], &|_, x| vec![x[0].matmul(x[1])]);
    check("matrix by vector", &[floats(&[5, 300]), floats(&[300])], &|_, x| {
        let axes = DotAxes { lhs_contract: vec![1], rhs_contract: vec![0], ..DotAxes::default() };
        vec![x[0].dot(x[1], axes)]
    });
    check("inner product", &[floats(&[2, 600]), floats(&[600, 2])], &|_, x| {
        let axes =
            DotAxes { lhs_contract: vec![0, 1], rhs_contract: vec![1, 0], ..DotAxes::default() };
        vec![x[0].dot(x[1], axes)]
    });
    check("general product", &[floats(&[2, 3, 4, 5]), floats(&[6, 5, 2, 3])], &|_, x| {
        let axes = DotAxes {
            lhs_batch: vec![1],
            rhs_batch: vec![3],
            lhs_contract: vec![3],
            rhs_contract: vec![1],
        };
        vec![x[0].dot(x[1], axes)]
    });
    check("outer product", &[floats(&[3]), floats(&[4])], &|_, x| {
        vec![x[0].dot(x[1], DotAxes::default())]
    });
}

/// All three convolutions of `images` images with `groups` groups, populations where flagged.
fn convolutions(images: usize, channels: [usize; 2], groups: usize, population: [bool; 2]) {
    let [lhs_population, rhs_population] = population;
    let window = ConvolutionWindow {
        stride: [2, 1],
        padding: [(1, 0), (1, 2)],
        dilation: [1, 2],
        groups,
        lhs_population,
        rhs_population,
        folded: [1, 1],
    };
    let [inputs, outputs] = channels;
    let (x, w) = ([images, 6, 5, inputs], [3, 2, inputs / groups, outputs]);
    let y = [images, 3, 6, outputs];
    let with = |population: bool, shape: [usize; 4]| {
        floats(&[&[2][..usize::from(population)], &shape[..]].concat())
    };
    let name = |pass: &str| format!("{pass}, {groups} groups, population {population:?}");
    check(&name("forward"), &[with(lhs_population, x), with(rhs_population, w)], &move |_, t| {
        vec![t[0].convolution(t[1], window)]
    });
    let operands = [with(lhs_population, y), with(rhs_population, w)];
    check(&name("input gradient"), &operands, &move |b, t| {
        vec![b.emit_one(Op::ConvolutionInputGradient { window, input: [6, 5] }, t)]
    });
    let operands = [with(lhs_population, x), with(rhs_population, y)];
    check(&name("weight gradient"), &operands, &move |b, t| {
        vec![b.emit_one(Op::ConvolutionWeightGradient { window, kernel: [3, 2] }, t)]
    });
}

#[test]
fn convolutions_without_population() {
    convolutions(2, [3, 5], 1, [false, false]);
    convolutions(3, [4, 6], 2, [false, false]);
    convolutions(5, [16, 16], 1, [false, false]);
}

#[test]
fn convolutions_with_a_population() {
    for population in [[true, false], [false, true], [true, true]] {
        convolutions(2, [3, 4], 1, population);
        convolutions(3, [4, 6], 2, population);
    }
}

fn positive<'b>(x: Tensor<'b>) -> Tensor<'b> {
    let n = x.shape()[0];
    let diagonal = x.builder().iota(thalweg_graph::DType::I32, &[n, n], 0);
    let unit = diagonal.equal(diagonal.transpose(&[1, 0])).convert(x.dtype());
    x.matmul(x.transpose(&[1, 0])) + unit
}

#[test]
fn factorisations() {
    check("cholesky", &[floats(&[4, 4])], &|b, x| {
        vec![b.emit_one(Op::Cholesky, &[positive(x[0])])]
    });
    check("eigen", &[floats(&[4, 4])], &|b, x| b.emit(Op::SymmetricEigen, &[positive(x[0])]));
    for transpose in [false, true] {
        check("triangular solve", &[floats(&[3, 3]), floats(&[3, 2])], &move |b, x| {
            let op = Op::TriangularSolve { lower: true, transpose };
            vec![b.emit_one(op, &[positive(x[0]), x[1]])]
        });
    }
}
