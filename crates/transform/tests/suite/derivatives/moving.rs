//! Operations that move elements.

use super::check::{anywhere, check};
use thalweg_graph::{Array, GatherAxes};

#[test]
fn broadcast_reshape_transpose() {
    check("broadcast", &[&[2, 1], &[3]], anywhere, &|_, x| {
        vec![x[0].broadcast_in(&[4, 2, 3], &[1, 2]).exp() * x[1]]
    });
    check("reshape", &[&[2, 3]], anywhere, &|_, x| {
        vec![x[0].sin().reshape(&[3, 2]).transpose(&[1, 0]) * x[0]]
    });
    check("transpose", &[&[2, 3, 4]], anywhere, &|_, x| {
        vec![(x[0] * x[0]).transpose(&[2, 0, 1]).exp()]
    });
}

#[test]
fn slice_pad_concatenate_reverse() {
    check("slice", &[&[7, 5]], anywhere, &|_, x| {
        vec![x[0].exp().slice_all(&[1, 0], &[6, 5], &[2, 3]).sin()]
    });
    check("empty slice", &[&[4]], anywhere, &|_, x| vec![x[0].exp().slice(0, 2, 2), x[0].sin()]);
    check("pad", &[&[2, 3], &[]], anywhere, &|_, x| {
        vec![x[0].exp().pad(x[1].sin(), &[1, 0], &[0, 2], &[2, 1]).sin()]
    });
    check("concatenate", &[&[2, 3], &[2, 1]], anywhere, &|b, x| {
        vec![b.concatenate(&[x[0].exp(), x[1], x[0]], 1).sin()]
    });
    check("reverse", &[&[2, 3]], anywhere, &|_, x| vec![x[0].exp().reverse(&[1]) * x[0]]);
}

#[test]
fn dynamic_slices() {
    check("dynamic slice", &[&[4, 5], &[2, 2]], anywhere, &|b, x| {
        let starts = [
            b.scalar_of(thalweg_graph::DType::I32, 9.0),
            b.scalar_of(thalweg_graph::DType::I32, 1.0),
        ];
        vec![
            x[0].exp().dynamic_slice(&starts, &[2, 2]) * x[1],
            x[0].sin().dynamic_update_slice(x[1].exp(), &starts) * x[0],
        ]
    });
}

#[test]
fn gather_and_scatter() {
    check("gather", &[&[2, 3, 2, 2]], anywhere, &|b, x| {
        let places = b.constant(
            Array::from_slice(&[2, 4, 2], &[0i32, 1, 2, 0, 7, -1, 1, 1, 0, 0, 2, 1, 2, 2, 0, 5])
                .unwrap(),
        );
        vec![x[0].exp().gather(places, GatherAxes { batch: 1, trailing: 1 }).sin()]
    });
    check("scatter", &[&[3, 2], &[4, 2]], anywhere, &|b, x| {
        let places = b.constant(Array::vector(&[2i32, 0, 2, 9]));
        let axes = GatherAxes { batch: 0, trailing: 0 };
        vec![x[0].exp().scatter_add(places, x[1].sin(), axes).exp()]
    });
}

#[test]
fn sort_and_running_sum() {
    check("sort", &[&[2, 5], &[2, 5]], anywhere, &|_, x| {
        let sorted = x[0].sort_with(&[x[1].exp()], 1, true);
        vec![sorted[0].sin(), sorted[1] * sorted[0]]
    });
    check("running sum", &[&[3, 4]], anywhere, &|_, x| {
        vec![x[0].exp().cumulative_sum(0, false).sin(), x[0].sin().cumulative_sum(1, true)]
    });
}
