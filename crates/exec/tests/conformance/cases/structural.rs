//! Operations that move elements.

use crate::case::{Case, case, plain};
use thalweg_array::{Array, DType};
use thalweg_graph::{GatherAxes, Op};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        plain("input", |draw| vec![draw.words(&[2])], |_, x| vec![x[0]]),
        case("input that goes out twice", |draw| vec![draw.signed(&[2])], |_, x| vec![x[0], x[0]]),
        plain(
            "constant",
            |_| vec![],
            |b, _| vec![b.constant(Array::vector(&[1i64, -5])), b.constant(Array::scalar(true))],
        ),
        case(
            "constant as a factor",
            |draw| vec![draw.signed(&[2])],
            |b, x| vec![x[0] * b.constant(Array::vector(&[2.0, 3.0]).convert(b.float()))],
        ),
        plain(
            "iota",
            |_| vec![],
            |b, _| {
                let dtypes = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U32];
                dtypes.map(|dtype| b.iota(dtype, &[2, 3, 2], 1)).to_vec()
            },
        ),
        case(
            "iota as a factor",
            |draw| vec![draw.signed(&[2, 3])],
            |b, x| vec![x[0] * b.iota(b.float(), &[2, 3], 1)],
        ),
        case(
            "broadcast",
            |draw| vec![draw.signed(&[2, 1])],
            |_, x| vec![x[0].broadcast_in(&[2, 4, 3], &[0, 2])],
        ),
        case(
            "broadcast of a scalar",
            |draw| vec![draw.signed(&[])],
            |_, x| vec![x[0].broadcast_in(&[2, 3], &[])],
        ),
        case("reshape", |draw| vec![draw.signed(&[2, 3])], |_, x| vec![x[0].reshape(&[3, 1, 2])]),
        case(
            "transpose",
            |draw| vec![draw.signed(&[2, 3, 4])],
            |_, x| vec![x[0].transpose(&[2, 0, 1])],
        ),
        case(
            "slice",
            |draw| vec![draw.signed(&[4, 6])],
            |_, x| vec![x[0].slice_all(&[1, 0], &[4, 5], &[2, 3])],
        ),
        case(
            "slice of nothing",
            |draw| vec![draw.signed(&[4, 2])],
            |_, x| vec![x[0].slice(0, 2, 2), x[0].slice(0, 2, 2).sum(&[0])],
        ),
        case(
            "pad",
            |draw| vec![draw.signed(&[2, 3]), draw.signed(&[])],
            |_, x| vec![x[0].pad(x[1], &[1, 0], &[0, 2], &[0, 1])],
        ),
        plain(
            "pad of booleans",
            |draw| vec![draw.booleans(&[3])],
            |b, x| vec![x[0].pad(b.constant(Array::scalar(true)), &[1], &[2], &[1])],
        ),
        case(
            "concatenate",
            |draw| vec![draw.signed(&[2, 3]), draw.signed(&[2, 1]), draw.signed(&[2, 2])],
            |b, x| vec![b.concatenate(x, 1)],
        ),
        case(
            "concatenate of one twice",
            |draw| vec![draw.signed(&[2])],
            |b, x| vec![b.concatenate(&[x[0], x[0] * x[0]], 0)],
        ),
        case("reverse", |draw| vec![draw.signed(&[2, 3, 2])], |_, x| vec![x[0].reverse(&[0, 2])]),
    ];
    dynamic(&mut cases);
    gathers(&mut cases);
    cases
}

fn dynamic(cases: &mut Vec<Case>) {
    // The last pairs of starts lie outside and are clamped.
    for (row, column) in [(0, 1), (1, 2), (-3, 9)] {
        let starts = move || [Array::scalar(row), Array::scalar(i64::from(column))];
        cases.push(case(
            format!("dynamic_slice at {row}, {column}"),
            move |draw| [vec![draw.signed(&[3, 4])], starts().to_vec()].concat(),
            |_, x| vec![x[0].dynamic_slice(&x[1..], &[2, 3])],
        ));
        cases.push(case(
            format!("dynamic_update_slice at {row}, {column}"),
            move |draw| {
                [vec![draw.signed(&[3, 4]), draw.signed(&[2, 3])], starts().to_vec()].concat()
            },
            |_, x| vec![x[0].dynamic_update_slice(x[1], &x[2..])],
        ));
    }
}

/// Batch and trailing axes, operand, indices.
const GATHERS: [(usize, usize, &[usize], &[usize]); 7] = [
    (0, 0, &[5], &[]),
    (0, 0, &[5, 2], &[3]),
    (0, 0, &[4, 2], &[2, 3]),
    (1, 0, &[2, 5], &[2]),
    (1, 0, &[2, 5, 3], &[2, 4]),
    (0, 1, &[5, 2, 3], &[4, 3]),
    (1, 1, &[2, 4, 2, 3], &[2, 3, 3]),
];

fn gathers(cases: &mut Vec<Case>) {
    for (batch, trailing, operand, indices) in GATHERS {
        let axes = GatherAxes { batch, trailing };
        // Indices -1 and N lie outside.
        let n = operand[batch] as i64;
        cases.push(case(
            format!("gather {batch} {trailing} {operand:?} by {indices:?}"),
            move |draw| vec![draw.signed(operand), draw.integers(DType::I32, indices, -1, n + 1)],
            move |_, x| vec![x[0].gather(x[1], axes)],
        ));
        let mut updates = indices[..indices.len() - trailing].to_vec();
        updates.extend_from_slice(&operand[batch + 1..]);
        cases.push(case(
            format!("scatter_add {batch} {trailing} {operand:?} by {indices:?}"),
            move |draw| {
                vec![
                    draw.signed(operand),
                    draw.integers(DType::I64, indices, -1, n + 1),
                    draw.signed(&updates),
                ]
            },
            move |_, x| vec![x[0].scatter_add(x[1], x[2], axes)],
        ));
    }
    cases.push(plain(
        "gather and scatter_add of integers",
        |draw| {
            vec![
                draw.integers(DType::I32, &[4, 2], -9, 9),
                draw.integers(DType::U32, &[3], 0, 6),
                draw.integers(DType::I32, &[3, 2], i64::from(i32::MAX) - 2, i64::from(i32::MAX)),
            ]
        },
        |b, x| {
            let axes = GatherAxes { batch: 0, trailing: 0 };
            vec![x[0].take(x[1]), b.emit_one(Op::ScatterAdd(axes), x)]
        },
    ));
}
