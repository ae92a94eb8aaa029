//! Each form that is made simpler, and its neighbours that are not.

use super::{Function, left, trace};
use thalweg_exec::reference;
use thalweg_graph::{Array, Builder, DType, Op, Reduction, Tensor};
use thalweg_transform::simplify;

const NOTHING: [&str; 0] = [];

#[test]
fn arithmetic() {
    let x: &[&[usize]] = &[&[2, 3], &[2, 3]];
    assert_eq!(left(x, &|_, x| vec![x[0] * 1.0, -(-x[0]), x[0] - 0.0, x[0] / 1.0]), NOTHING);
    assert_eq!(left(x, &|_, x| vec![x[0] + (-x[1])]), ["subtract"]);
    assert_eq!(left(x, &|_, x| vec![(-x[0]) + x[1]]), ["subtract"]);
    assert_eq!(left(x, &|_, x| vec![x[0] - (-x[1])]), ["add"]);
    assert_eq!(left(x, &|_, x| vec![(-x[0]) * (-x[1]), (-x[0]) / (-x[1])]), ["multiply", "divide"]);
    assert_eq!(
        left(x, &|_, x| vec![x[0] + (-x[1].slice(0, 0, 1)).broadcast_to(&[2, 3])]),
        ["slice", "broadcast", "subtract"]
    );
    assert_eq!(left(x, &|_, x| vec![(x[0] + x[1]) * (x[0] + x[1])]), ["add", "multiply"]);
    // A zero times an infinity is NaN, and a quotient of equals may be.
    assert_eq!(left(x, &|_, x| vec![x[0] * 0.0]), ["constant", "broadcast", "multiply"]);
    assert_eq!(left(x, &|_, x| vec![x[0] / x[0]]), ["divide"]);
    assert_eq!(left(x, &|_, x| vec![x[0] - x[0]]), ["subtract"]);
    assert_eq!(left(x, &|_, x| vec![x[0].stop_gradient()]), ["stop_gradient"]);
}

#[test]
fn selection_and_conversion() {
    let x: &[&[usize]] = &[&[4], &[4]];
    assert_eq!(left(x, &|_, x| vec![x[0].less(x[1]).select(x[0], x[0])]), NOTHING);
    assert_eq!(
        left(x, &|b, x| {
            let yes = b.scalar_of(DType::Bool, 1.0).broadcast_to(&[4]);
            vec![yes.select(x[0], x[1])]
        }),
        NOTHING
    );
    assert_eq!(left(x, &|_, x| vec![x[0].convert(DType::F64).convert(DType::F32)]), NOTHING);
    assert_eq!(
        left(x, &|_, x| vec![x[0].convert(DType::I32).convert(DType::F32)]),
        ["convert", "convert"]
    );
    assert_eq!(
        left(x, &|_, x| vec![x[0].less(x[1]).logical_not().select(x[0], x[1])]),
        ["less", "select"]
    );
}

#[test]
fn movement() {
    let x: &[&[usize]] = &[&[2, 3], &[4, 1]];
    assert_eq!(left(x, &|_, x| vec![x[0].transpose(&[1, 0]).transpose(&[1, 0])]), NOTHING);
    assert_eq!(left(x, &|_, x| vec![x[0].reshape(&[6]).reshape(&[3, 2])]), ["reshape"]);
    assert_eq!(left(x, &|_, x| vec![x[0].reshape(&[6]).reshape(&[2, 3])]), NOTHING);
    assert_eq!(left(x, &|_, x| vec![x[1].transpose(&[1, 0])]), ["reshape"]);
    assert_eq!(
        left(x, &|_, x| vec![x[0].broadcast_to(&[4, 2, 3]).broadcast_to(&[5, 4, 2, 3])]),
        ["broadcast"]
    );
    assert_eq!(left(x, &|_, x| vec![x[0].slice(1, 1, 3).slice(1, 1, 2)]), ["slice"]);
    assert_eq!(left(x, &|_, x| vec![x[0].reverse(&[0, 1]).reverse(&[1, 0])]), NOTHING);
    assert_eq!(left(x, &|_, x| vec![x[1].reverse(&[1])]), NOTHING);
    assert_eq!(left(x, &|b, x| vec![b.concatenate(&[x[0], x[0].slice(0, 0, 0)], 0)]), NOTHING);
    assert_eq!(left(x, &|b, x| vec![b.concatenate(&[x[0], x[0]], 0).slice(0, 2, 4)]), NOTHING);
    assert_eq!(
        left(x, &|_, x| vec![x[0].pad(0.0, &[0, 0], &[0, 1], &[0, 0])]),
        ["constant", "pad"]
    );
}

#[test]
fn reductions() {
    let x: &[&[usize]] = &[&[4, 1], &[]];
    for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
        assert_eq!(left(x, &move |_, x| vec![x[0].reduce(kind, &[1])]), ["reshape"]);
    }
    assert_eq!(left(x, &|_, x| vec![x[1].broadcast_to(&[3]).max(&[0])]), NOTHING);
    // A sum of equals is not a product: it is rounded at every step.
    assert_eq!(
        left(x, &|_, x| vec![x[1].broadcast_to(&[3]).sum(&[0])]),
        ["broadcast", "reduce_sum"]
    );
}

/// A row again and again.
fn rows(x: Tensor<'_>) -> Tensor<'_> {
    x.broadcast_in(&[4, 3], &[1])
}

#[test]
fn factors_of_sums() {
    let x: &[&[usize]] = &[&[4, 3], &[4, 3], &[3]];
    let one: Function<'_> = &|_, x| vec![(x[0] * rows(x[2])).sum(&[0])];
    assert_eq!(left(x, one), ["reduce_sum", "multiply"]);
    let negative: Function<'_> = &|_, x| vec![(-x[0]).sum(&[0, 1])];
    assert_eq!(left(x, negative), ["reduce_sum", "negate"]);
    assert_eq!(
        left(x, &|_, x| vec![(x[0] * rows(x[2]) - rows(x[2]) * x[1]).sum(&[0])]),
        ["reduce_sum", "multiply", "reduce_sum", "multiply", "subtract"]
    );
    // Along the summed axis the factor varies; a term without a factor would cancel otherwise than
    // before; nothing times infinity is no zero; and each term costs a sum.
    let stays: [Function<'_>; 4] = [
        &|_, x| vec![(x[0] * rows(x[2])).sum(&[1])],
        &|_, x| vec![(x[0] - x[1] * rows(x[2])).sum(&[0])],
        &|_, x| vec![x[0].slice(0, 0, 0).sum(&[0])],
        &|_, x| {
            let s = rows(x[2]);
            let term = |n: f64| (x[0] + n).exp() * s;
            vec![(((term(1.0) + term(2.0)) + (term(3.0) + term(4.0))) + term(5.0)).sum(&[0])]
        },
    ];
    for f in stays {
        let names = left(x, f);
        assert_eq!(names.iter().filter(|name| **name == "reduce_sum").count(), 1, "{names:?}");
        assert_eq!(names.last(), Some(&"reduce_sum"), "{names:?}");
    }
}

#[test]
fn sums_of_products_keep_their_values() {
    let graph = trace(&[&[5, 4, 3], &[5, 4, 3], &[4]], &|_, x| {
        let s = x[2].broadcast_in(&[5, 4, 3], &[1]);
        let t = x[2].exp().broadcast_in(&[5, 4, 3], &[1]);
        vec![(-(x[0] * s - (t * x[1] + s * (x[0] * x[1])))).sum(&[0, 2])]
    });
    let simple = simplify(&graph);
    assert!(simple.nodes().iter().filter(|node| node.op.name() == "reduce_sum").count() == 3);
    let numbers = |n: usize, seed: f64| -> Vec<f32> {
        (0..n).map(|i| ((i as f64 + seed) * 0.7).sin() as f32).collect()
    };
    let arrays = [
        Array::from_slice(&[5, 4, 3], &numbers(60, 0.1)).unwrap(),
        Array::from_slice(&[5, 4, 3], &numbers(60, 9.7)).unwrap(),
        Array::from_slice(&[4], &numbers(4, 3.3)).unwrap(),
    ];
    let of = |graph| reference::evaluate_f64(graph, &arrays).unwrap()[0].to_f64_vec();
    for (a, b) in of(&simple).into_iter().zip(of(&graph)) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }
}

fn two(b: &Builder) -> [Tensor<'_>; 2] {
    [[1.5f32, -2.0], [0.25, 4.0]].map(|elements| b.constant(Array::vector(&elements)))
}

#[test]
fn small_constants() {
    assert_eq!(
        left(&[], &|b, _| {
            let [x, y] = two(b);
            vec![x + y, x * y - x, (x / y).abs(), x.maximum(y), x.less(y).select(x, y)]
        }),
        ["constant"; 5]
    );
    assert_eq!(
        left(&[], &|b, _| {
            let [x, y] = two(b);
            vec![x.convert(DType::I32), x.convert(DType::F64) + y.convert(DType::F64)]
        }),
        ["constant"; 2]
    );
    // The executor's own functions are not known here.
    assert_eq!(left(&[], &|b, _| vec![two(b)[0].exp()]), ["constant", "exp"]);
    // A large constant stays small in the graph.
    assert_eq!(
        left(&[], &|b, _| vec![b.scalar(2.0).broadcast_to(&[1000]) + 1.0]),
        ["constant", "broadcast"]
    );
}

#[test]
fn dynamic_slices_of_everything() {
    assert_eq!(
        left(&[&[3], &[3]], &|b, x| {
            let start = x[0].sum_all().convert(DType::I32);
            let whole = x[0].dynamic_slice(&[start], &[3]);
            vec![whole, b.emit_one(Op::DynamicUpdateSlice, &[x[0], x[1], start])]
        }),
        NOTHING
    );
}
