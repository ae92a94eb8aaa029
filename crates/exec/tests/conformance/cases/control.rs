//! Loops.

use crate::case::{Case, case, plain};
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_graph::{Builder, Op, Scan, Tensor, TensorType, While};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for branching in [0, 2, 3] {
        cases.push(
            case(
                format!("scan of 7 steps, branching {branching}"),
                |draw| vec![draw.signed(&[2]), draw.signed(&[7, 2]), draw.signed(&[])],
                move |b, x| {
                    let (carry, ys) = b.scan(7, &x[..1], &x[1..2], &x[2..], branching, |s| {
                        step(s.carry[0], s.xs[0], s.constants[0])
                    });
                    vec![carry[0], ys[0]]
                },
            )
            .orders(2),
        );
        cases.push(
            case(
                format!("scan of integers beside floats, branching {branching}"),
                |draw| {
                    let shape = [3];
                    vec![
                        draw.signed(&[3]),
                        draw.integers(DType::I32, &[], 0, 4),
                        draw.integers(DType::I32, &[4], 0, 3),
                        draw.signed(&shape),
                    ]
                },
                move |b, x| {
                    let (carry, ys) = b.scan(4, &x[..2], &x[2..3], &x[3..], branching, |s| {
                        let picked = s.constants[0].take(s.xs[0]);
                        let next = (s.carry[0] * picked).sin() + s.constants[0] * 0.5;
                        let count = s.carry[1] + s.xs[0];
                        (vec![next, count], vec![picked * next.sum(&[0]), count])
                    });
                    [carry, ys].concat()
                },
            )
            .orders(2),
        );
    }
    cases.push(case(
        "scan backwards",
        |draw| vec![draw.signed(&[2]), draw.signed(&[3, 2]), draw.signed(&[])],
        |b, x| backwards(b, x, 3, 2),
    ));
    cases.push(
        case(
            "scan of no steps",
            |draw| vec![draw.signed(&[2]), draw.uniform(&[0, 2], 0.0, 1.0), draw.signed(&[])],
            |b, x| backwards(b, x, 0, 2),
        )
        .orders(1),
    );
    cases.push(case(
        "scan of one step",
        |draw| vec![draw.signed(&[2]), draw.signed(&[1, 2]), draw.signed(&[])],
        |b, x| backwards(b, x, 1, 2),
    ));
    cases.push(
        case(
            "scan of a scan",
            |draw| vec![draw.signed(&[2]), draw.signed(&[3, 2, 2])],
            |b, x| {
                let (carry, ys) = b.scan(3, &x[..1], &x[1..], &[], 2, |s| {
                    let (carry, ys) = s.builder.scan(2, s.carry, s.xs, &[], 0, |s| {
                        step(s.carry[0], s.xs[0], s.carry[0].sum(&[0]))
                    });
                    (vec![carry[0]], vec![ys[0]])
                });
                vec![carry[0], ys[0]]
            },
        )
        .orders(2),
    );
    cases.push(
        case(
            "scan with a carry that is not used",
            |draw| vec![draw.signed(&[2]), draw.signed(&[2]), draw.signed(&[3])],
            |b, x| {
                let (carry, ys) = b.scan(3, &x[..2], &x[2..], &[], 0, |s| {
                    (vec![s.carry[1], s.carry[0] * s.xs[0]], vec![])
                });
                assert!(ys.is_empty());
                vec![carry[1]]
            },
        )
        .orders(2),
    );
    cases.push(plain(
        "while",
        |draw| vec![draw.positive(&[]), draw.signed(&[3])],
        |b, x| {
            let looped = While {
                condition: inner(x, |_, x| vec![x[0].less(20.0)]),
                body: inner(x, |_, x| vec![x[0] * 1.7 + x[1].square().sum(&[0])]),
                n_carry: 1,
            };
            b.emit(Op::While(Arc::new(looped)), x)
        },
    ));
    cases.push(plain(
        "while that counts",
        |draw| vec![draw.integers(DType::I64, &[], 3, 30), draw.integers(DType::I64, &[], 0, 1)],
        |b, x| {
            // Collatz: how many steps to one.
            let looped = While {
                condition: inner(x, |_, x| vec![x[0].not_equal(1.0)]),
                body: inner(x, |_, x| {
                    let odd = x[0].remainder(2.0).equal(1.0);
                    let next = odd.select(x[0] * 3.0 + 1.0, x[0] / 2.0);
                    vec![next, x[1] + 1.0]
                }),
                n_carry: 2,
            };
            b.emit(Op::While(Arc::new(looped)), x)
        },
    ));
    cases
}

/// A step that is neither linear nor symmetric in what it takes.
fn step<'s>(
    carry: Tensor<'s>,
    x: Tensor<'s>,
    constant: Tensor<'s>,
) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>) {
    let next = (carry * x + constant).sin() + carry.reverse(&[0]) * 0.5;
    (vec![next], vec![(next * carry).sum(&[0])])
}

fn backwards<'b>(
    b: &'b Builder,
    x: &[Tensor<'b>],
    length: usize,
    checkpoint_branching: usize,
) -> Vec<Tensor<'b>> {
    let row = TensorType::new(x[1].dtype(), &x[1].shape()[1..]);
    let body = Builder::new(b.float());
    let (carry, x_row) = (body.input("carry", x[0].ty()), body.input("x", row));
    let (next, y) = step(carry, x_row, body.input("constant", x[2].ty()));
    let body = body.finish(&[("carry", next[0]), ("y", y[0])]).expect("a sound body");
    let scan = Scan {
        body: Arc::new(body),
        length,
        n_carry: 1,
        n_xs: 1,
        reverse: true,
        checkpoint_branching,
    };
    b.emit(Op::Scan(Arc::new(scan)), x)
}

fn inner(
    like: &[Tensor<'_>],
    body: impl for<'s> Fn(&'s Builder, &[Tensor<'s>]) -> Vec<Tensor<'s>>,
) -> Arc<thalweg_graph::Graph> {
    let b = Builder::new(like[0].builder().float());
    let types: Vec<TensorType> = like.iter().map(|tensor| tensor.ty()).collect();
    let inputs: Vec<_> =
        types.into_iter().enumerate().map(|(i, ty)| b.input(&format!("x{i}"), ty)).collect();
    let outputs = body(&b, &inputs);
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    Arc::new(b.finish(&named).expect("a sound body"))
}
