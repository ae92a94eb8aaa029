//! Expressions that invite a rewrite, on operands that tell a sound one from an unsound one.

use crate::case::{Case, plain};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, DotAxes, Reduction, Tensor};

#[expect(clippy::eq_op, reason = "the rewrites of equal operands are what is looked at")]
pub fn cases() -> Vec<Case> {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let extremes = move || Array::vector(&[0.0, 1.0, -2.0, inf, -inf, nan, 1e-30, 0.5]);
    let mut cases = vec![
        plain(
            "neutral and absorbing elements",
            move |_| vec![extremes()],
            |_, x| {
                let x = x[0];
                vec![
                    x * 1.0,
                    x * 0.0,
                    x + 0.0,
                    0.0 - x,
                    x - x,
                    x / x,
                    x / 1.0,
                    0.0 / x,
                    x * -1.0,
                    -(-x),
                    x - (-x),
                    x.maximum(x),
                    x.minimum(f64::INFINITY),
                    x.maximum(f64::NEG_INFINITY),
                ]
            },
        ),
        plain(
            "powers by constants",
            |_| vec![Array::vector(&[0.0, 1.0, -2.0, 4.0, -0.5, 1e-20])],
            |_, x| {
                let exponents = [0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 0.5, -0.5, 2.5];
                exponents.map(|exponent| x[0].power(exponent)).to_vec()
            },
        ),
        plain(
            "functions undone by their inverses",
            move |_| vec![extremes()],
            |_, x| {
                let x = x[0];
                vec![
                    x.exp().log(),
                    x.log().exp(),
                    x.square().sqrt(),
                    x.abs().abs(),
                    x.floor().ceil(),
                    x.sign().sign(),
                ]
            },
        ),
        plain(
            "conversions there and back",
            |_| vec![Array::vector(&[0.4, -1.6, 3e9, -3e9, 2.0])],
            |b, x| {
                [DType::I32, DType::I64, DType::U32, DType::Bool]
                    .map(|dtype| x[0].convert(dtype).convert(b.float()))
                    .to_vec()
            },
        ),
        plain(
            "selections",
            |draw| vec![draw.booleans(&[4]), draw.signed(&[4]), draw.signed(&[4])],
            |b, x| {
                let (c, p, q) = (x[0], x[1], x[2]);
                let yes = b.constant(Array::full(&[4], true));
                vec![
                    c.select(p, p),
                    yes.select(p, q),
                    yes.logical_not().select(p, q),
                    c.logical_not().select(p, q),
                    c.select(c.select(p, q), q),
                    c.and(c).select(p, q),
                    c.xor(c).select(p, q),
                ]
            },
        ),
        plain(
            "arithmetic of literals",
            |_| vec![],
            |b, _| {
                let ints = |values: &[i32]| b.constant(Array::vector(values));
                let (p, q) = (ints(&[i32::MIN, 7, -7, 5]), ints(&[-1, 0, 2, -3]));
                let floats = b.scalar(0.1) + b.scalar(0.2);
                vec![
                    p + q,
                    p * q,
                    p / q,
                    p.remainder(q),
                    p.shift_left(q),
                    p.shift_right_logical(q),
                    p.maximum(q),
                    p.less(q),
                    -p,
                    p.abs(),
                    floats,
                    floats.exp(),
                    floats.power(3.0),
                    b.scalar(1.0) / b.scalar(0.0),
                    b.scalar(-1.0).sqrt(),
                    b.iota(DType::I32, &[3], 0) + 1.0,
                ]
            },
        ),
    ];
    cases.push(plain("movements", |draw| vec![draw.signed(&[2, 3, 4])], |b, x| movements(b, x[0])));
    cases.push(plain(
        "reductions of what was stretched",
        |draw| vec![draw.distinct(&[3]), draw.signed(&[2, 1, 3])],
        |_, x| {
            let stretched = x[0].broadcast_in(&[4, 3, 2], &[1]);
            vec![
                stretched.sum(&[0]),
                stretched.sum(&[0, 2]),
                stretched.sum(&[0, 1, 2]),
                stretched.max(&[2]),
                stretched.min(&[0, 1]),
                x[1].sum(&[1]),
                x[1].max(&[1]),
                x[1].sum(&[1]).sum(&[0]),
                x[1].sum(&[0, 2]).sum(&[0]),
                x[0].sort(0).sort(0),
                x[0].cumulative_sum(0, false).cumulative_sum(0, true),
                x[0].greater(0.0).reduce(Reduction::Any, &[0]),
            ]
        },
    ));
    cases.push(plain(
        "products of what was moved",
        |draw| vec![draw.signed(&[3, 4]), draw.signed(&[5, 3])],
        |_, x| {
            let axes =
                DotAxes { lhs_contract: vec![0], rhs_contract: vec![1], ..DotAxes::default() };
            vec![
                x[0].transpose(&[1, 0]).matmul(x[1].transpose(&[1, 0])),
                x[0].dot(x[1], axes),
                (x[0] * 2.0).transpose(&[1, 0]).matmul(x[1].transpose(&[1, 0]) * 3.0),
                x[0].expand(0).transpose(&[0, 2, 1]).matmul(x[1].transpose(&[1, 0])),
            ]
        },
    ));
    cases
}

fn movements<'b>(b: &'b Builder, x: Tensor<'b>) -> Vec<Tensor<'b>> {
    let zero = b.scalar(0.0);
    let one = b.scalar_of(DType::I32, 1.0);
    vec![
        x.transpose(&[2, 0, 1]).transpose(&[1, 2, 0]),
        x.transpose(&[1, 0, 2]).transpose(&[2, 1, 0]),
        x.reshape(&[6, 4]).reshape(&[4, 6]),
        x.reshape(&[24]).reshape(&[2, 3, 4]),
        x.reverse(&[0, 1]).reverse(&[1, 2]),
        x.slice(1, 1, 3).slice(1, 1, 2),
        x.slice_all(&[0, 0, 1], &[2, 3, 4], &[1, 2, 2]).slice(2, 1, 2),
        x.pad(zero, &[0, 1, 0], &[0, 2, 0], &[0, 0, 0]).slice(1, 1, 4),
        x.pad(zero, &[0, 1, 0], &[0, 2, 0], &[0, 0, 0]).slice(1, 0, 2),
        x.pad(zero, &[1, 0, 0], &[0, 0, 0], &[0, 1, 0]).pad(zero, &[0; 3], &[1; 3], &[1, 0, 0]),
        b.concatenate(&[x, x * 2.0], 1).slice(1, 3, 6),
        b.concatenate(&[x, x * 2.0], 1).slice(1, 2, 4),
        b.concatenate(&[b.concatenate(&[x, x], 0), x], 0),
        x.broadcast_in(&[2, 5, 3, 4], &[0, 2, 3]).broadcast_in(&[2, 5, 3, 4, 2], &[0, 1, 2, 3]),
        x.broadcast_in(&[2, 5, 3, 4], &[0, 2, 3]).transpose(&[1, 3, 2, 0]),
        x.dynamic_slice(&[one, one, one], &[1, 2, 3]),
        x.dynamic_slice(&[one, one, one], &[2, 3, 4]),
        x.dynamic_update_slice(x.slice(1, 0, 1), &[one - 1.0, one, one - 1.0]),
        x.zeros_like().pad(zero, &[1, 0, 0], &[0; 3], &[0; 3]) + 1.0,
    ]
}
