//! Element-wise operations and those that move elements.

use super::check::check;
use thalweg_graph::{DType, GatherAxes, Op, Reduction, Tensor};

/// Small whole numbers out of floats in -1..1, some of them out of range.
fn places<'b>(x: Tensor<'b>, scale: f64, offset: f64) -> Tensor<'b> {
    (x * scale + offset).floor().convert(DType::I32)
}

#[test]
fn elementwise() {
    check("elementwise", &[&[2, 3], &[2, 3], &[3]], &|_, x| {
        vec![
            x[0].greater(x[1]).select(x[0].exp() * x[2], x[1].maximum(x[2])),
            x[0].stop_gradient().convert(DType::F32).bitcast(DType::I32),
        ]
    });
}

#[test]
fn structure() {
    check("structure", &[&[2, 3], &[]], &|b, x| {
        vec![
            x[0].broadcast_in(&[4, 2, 3], &[1, 2]),
            x[0].reshape(&[3, 2]).transpose(&[1, 0]),
            x[0].slice_all(&[0, 1], &[2, 3], &[1, 2]),
            x[0].pad(x[1], &[1, 0], &[0, 2], &[1, 1]),
            b.concatenate(&[x[0], x[1].broadcast_to(&[2, 2])], 1),
            x[0].reverse(&[1]),
        ]
    });
}

#[test]
fn dynamic_slices() {
    check("dynamic slice", &[&[4, 5], &[], &[]], &|_, x| {
        let starts = [places(x[1], 4.0, 1.0), places(x[2], 5.0, 2.0)];
        vec![x[0].dynamic_slice(&starts, &[2, 3]), x[0].dynamic_slice(&starts, &[4, 1])]
    });
    check("dynamic update", &[&[3, 4], &[2, 2], &[], &[]], &|_, x| {
        let starts = [places(x[2], 4.0, 1.0), places(x[3], 5.0, 1.0)];
        vec![x[0].dynamic_update_slice(x[1], &starts)]
    });
    check("unsigned starts", &[&[5], &[2], &[]], &|_, x| {
        let start = places(x[2], 3.0, 3.0).convert(DType::U32);
        vec![x[0].dynamic_slice(&[start], &[2]), x[0].dynamic_update_slice(x[1], &[start])]
    });
}

#[test]
fn gather_and_scatter() {
    check("gather", &[&[2, 3, 2, 2], &[2, 4, 2]], &|_, x| {
        let axes = GatherAxes { batch: 1, trailing: 1 };
        vec![x[0].gather(places(x[1], 3.0, 1.0), axes)]
    });
    check("scatter", &[&[2, 3, 2], &[2, 4], &[2, 4, 2]], &|_, x| {
        let axes = GatherAxes { batch: 1, trailing: 0 };
        vec![x[0].scatter_add(places(x[1], 3.0, 1.0), x[2], axes)]
    });
}

#[test]
fn orders() {
    check("orders", &[&[2, 5], &[2, 5]], &|_, x| {
        let mut all = x[0].sort_with(&[x[1]], 1, true);
        all.extend([x[0].cumulative_sum(0, true), (x[0] + x[1]).arg_max(1)]);
        all
    });
    check("reductions", &[&[2, 3, 2]], &|b, x| {
        let positive = x[0].greater(0.0);
        vec![
            x[0].sum(&[0, 2]),
            x[0].max(&[1]),
            x[0].min(&[0]),
            positive.reduce(Reduction::All, &[1]),
            b.emit_one(Op::Unary(thalweg_graph::Unary::Not), &[positive]),
        ]
    });
}
