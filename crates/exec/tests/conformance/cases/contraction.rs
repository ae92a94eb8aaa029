//! Products and the three convolutions.

use crate::case::{Case, case};
use thalweg_graph::{ConvolutionWindow, DotAxes, Op};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    dots(&mut cases);
    for (name, window) in windows() {
        for (lhs_population, rhs_population) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let window = ConvolutionWindow { lhs_population, rhs_population, ..window };
            convolutions(&name, window, &mut cases);
        }
    }
    cases
}

fn dots(cases: &mut Vec<Case>) {
    let axes = |lb: &[usize], rb: &[usize], lc: &[usize], rc: &[usize]| DotAxes {
        lhs_batch: lb.to_vec(),
        rhs_batch: rb.to_vec(),
        lhs_contract: lc.to_vec(),
        rhs_contract: rc.to_vec(),
    };
    let products: [(&str, &[usize], &[usize], DotAxes); 7] = [
        ("matrix product", &[2, 3], &[3, 4], axes(&[], &[], &[1], &[0])),
        ("both transposed", &[3, 2], &[4, 3], axes(&[], &[], &[0], &[1])),
        ("inner", &[5], &[5], axes(&[], &[], &[0], &[0])),
        ("outer", &[2], &[3], axes(&[], &[], &[], &[])),
        ("batch", &[2, 3, 4], &[4, 2, 5], axes(&[0], &[1], &[2], &[0])),
        ("two of each", &[2, 3, 4, 2], &[4, 2, 2, 3], axes(&[0, 1], &[1, 3], &[3, 2], &[2, 0])),
        ("nothing to sum", &[2, 0], &[0, 3], axes(&[], &[], &[1], &[0])),
    ];
    for (name, lhs, rhs, axes) in products {
        cases.push(case(
            format!("dot: {name}"),
            |draw| vec![draw.signed(lhs), draw.signed(rhs)],
            move |_, x| vec![x[0].dot(x[1], axes.clone())],
        ));
    }
    cases.push(case(
        "dot with itself",
        |draw| vec![draw.signed(&[3, 3])],
        |_, x| vec![x[0].matmul(x[0])],
    ));
}

/// Every option alone, then all of them.
pub fn windows() -> Vec<(String, ConvolutionWindow)> {
    let plain = ConvolutionWindow::PLAIN;
    let stride = [2, 1];
    let padding = [(1, 0), (0, 2)];
    let dilation = [1, 2];
    [
        ("plain", plain),
        ("stride", ConvolutionWindow { stride, ..plain }),
        ("padding", ConvolutionWindow { padding, ..plain }),
        ("dilation", ConvolutionWindow { dilation, ..plain }),
        ("groups", ConvolutionWindow { groups: 2, ..plain }),
        ("all", ConvolutionWindow { stride, padding, dilation, groups: 2, ..plain }),
    ]
    .map(|(name, window)| (name.to_owned(), window))
    .to_vec()
}

fn convolutions(name: &str, window: ConvolutionWindow, cases: &mut Vec<Case>) {
    const POPULATION: usize = 2;
    let input = [5, 4];
    let kernel = [3, 2];
    let groups = window.groups;
    let (channels_in, channels_out) = (2 * groups, 3 * groups);
    let output: Vec<usize> =
        (0..2).map(|i| window.output_extent(i, input[i], kernel[i]).expect("it fits")).collect();
    let x = vec![2, input[0], input[1], channels_in];
    let w = vec![kernel[0], kernel[1], channels_in / groups, channels_out];
    let y = vec![2, output[0], output[1], channels_out];
    let with = |shape: &[usize], population: bool| {
        let mut shape = shape.to_vec();
        if population {
            shape.insert(0, POPULATION);
        }
        shape
    };
    let (lhs, rhs) = (window.lhs_population, window.rhs_population);
    let operations = [
        (Op::Convolution(window), x.clone(), w.clone()),
        (Op::ConvolutionInputGradient { window, input }, y.clone(), w),
        (Op::ConvolutionWeightGradient { window, kernel }, x, y),
    ];
    for (op, left, right) in operations {
        let (left, right) = (with(&left, lhs), with(&right, rhs));
        cases.push(case(
            format!("{}: {name}, populations {lhs} {rhs}", op.name()),
            |draw| vec![draw.signed(&left), draw.signed(&right)],
            move |b, x| vec![b.emit_one(op.clone(), x)],
        ));
    }
}
