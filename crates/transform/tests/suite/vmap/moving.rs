//! Operations that move elements.

use super::check::{booleans, check, floats, integers};
use thalweg_graph::{DType, GatherAxes, Op};

#[test]
fn shapes() {
    check("shapes", &[floats(&[2, 3]), floats(&[2, 1])], &|b, x| {
        vec![
            x[0].broadcast_in(&[2, 4, 3], &[0, 2]),
            x[1].broadcast_in(&[5, 2, 3], &[1, 2]),
            x[0].reshape(&[3, 1, 2]),
            x[0].transpose(&[1, 0]),
            x[0].slice_all(&[0, 1], &[2, 3], &[1, 2]),
            b.concatenate(&[x[0], x[1], x[0]], 1),
            x[0].reverse(&[1]),
            x[0].reverse(&[0, 1]) + x[1],
        ]
    });
    check("pad", &[floats(&[2, 3]), floats(&[])], &|_, x| {
        vec![x[0].pad(x[1], &[1, 0], &[0, 2], &[0, 1]), x[0].pad(x[1], &[0, 0], &[2, 0], &[2, 0])]
    });
    check("pad of booleans", &[booleans(&[3]), booleans(&[])], &|_, x| {
        vec![x[0].pad(x[1], &[1], &[2], &[1])]
    });
}

#[test]
fn dynamic_slices() {
    for dtype in [DType::I32, DType::I64] {
        let inputs = [floats(&[4, 5]), integers(dtype, &[], -2, 6), integers(dtype, &[], -2, 6)];
        check("dynamic slice", &inputs, &|_, x| {
            let starts = [x[1], x[2]];
            vec![
                x[0].dynamic_slice(&starts, &[2, 3]),
                x[0].dynamic_slice(&starts, &[4, 1]),
                x[0].dynamic_slice(&starts, &[1, 5]),
            ]
        });
        let inputs = [floats(&[4, 5]), floats(&[2, 5]), integers(dtype, &[], -2, 6)];
        check("dynamic update of rows", &inputs, &|_, x| {
            vec![x[0].dynamic_update_slice(x[1], &[x[2], x[2]])]
        });
        let [a, b] = [integers(dtype, &[], -1, 4), integers(dtype, &[], -1, 4)];
        check("dynamic update", &[floats(&[2, 3]), floats(&[1, 2]), a, b], &|_, x| {
            vec![x[0].dynamic_update_slice(x[1], &[x[2], x[3]])]
        });
    }
    let start = || integers(DType::U32, &[], 0, 6);
    check("unsigned starts", &[floats(&[5]), floats(&[2]), start()], &|_, x| {
        let slice = x[0].dynamic_slice(&[x[2]], &[3]);
        vec![slice, x[0].dynamic_update_slice(x[1], &[x[2]])]
    });
}

#[test]
fn gathers_and_scatters() {
    let axes = |batch, trailing| GatherAxes { batch, trailing };
    let index = |shape: &[usize]| integers(DType::I32, shape, -1, 5);
    check("take", &[floats(&[4, 3]), index(&[2, 2])], &|_, x| vec![x[0].take(x[1])]);
    check("take along", &[floats(&[2, 4, 3]), index(&[2, 5, 3])], &|_, x| {
        vec![x[0].take_along(x[1], 1)]
    });
    check("gather", &[floats(&[2, 4, 3, 2]), index(&[2, 5, 2])], &move |_, x| {
        vec![x[0].gather(x[1], axes(1, 1))]
    });
    check("a scalar index", &[floats(&[4, 3]), index(&[])], &|_, x| vec![x[0].take(x[1])]);
    let inputs = [floats(&[2, 4, 3, 2]), index(&[2, 5, 2]), floats(&[2, 5, 3, 2])];
    check("scatter add", &inputs, &move |_, x| vec![x[0].scatter_add(x[1], x[2], axes(1, 1))]);
    let inputs = [floats(&[4, 2]), index(&[6]), floats(&[6, 2])];
    check("scatter add of rows", &inputs, &move |_, x| {
        vec![x[0].scatter_add(x[1], x[2], axes(0, 0))]
    });
    check("marks", &[booleans(&[4]), index(&[3]), booleans(&[3])], &move |b, x| {
        vec![b.emit_one(Op::ScatterAdd(axes(0, 0)), x)]
    });
}
