//! Reductions, windows, orders and running sums.

use crate::case::{Case, case, plain};
use thalweg_array::{Array, DType};
use thalweg_graph::{Op, Reduction, Window};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
        let name = Op::Reduce { kind, axes: vec![] }.name();
        for axes in [&[0usize][..], &[1], &[0, 2], &[0, 1, 2]] {
            cases.push(case(
                format!("{name} over {axes:?}"),
                |draw| vec![draw.distinct(&[2, 3, 4])],
                move |_, x| vec![x[0].reduce(kind, axes)],
            ));
        }
        cases.push(plain(
            format!("{name} at extremes"),
            |_| {
                let (nan, inf) = (f64::NAN, f64::INFINITY);
                let rows = [[1.0, nan, 2.0], [inf, 0.0, -inf], [-0.0, 0.0, 0.0], [inf, 1.0, nan]];
                vec![Array::from_slice(&[4, 3], &rows.concat()).unwrap()]
            },
            move |_, x| vec![x[0].reduce(kind, &[1]), x[0].slice(1, 0, 0).reduce(kind, &[1])],
        ));
        for dtype in [DType::I32, DType::I64, DType::U32] {
            cases.push(plain(
                format!("{name} {dtype}"),
                move |draw| {
                    vec![draw.integers(DType::I64, &[3, 4], -1 << 31, 1 << 31).convert(dtype)]
                },
                move |_, x| vec![x[0].reduce(kind, &[0]), x[0].slice(1, 0, 0).reduce(kind, &[1])],
            ));
        }
    }
    for kind in [Reduction::All, Reduction::Any] {
        let name = Op::Reduce { kind, axes: vec![] }.name();
        cases.push(plain(
            name,
            |_| {
                let rows = [[true, true], [true, false], [false, false]];
                vec![Array::from_slice(&[3, 2], &rows.concat()).unwrap()]
            },
            move |_, x| vec![x[0].reduce(kind, &[1]), x[0].slice(1, 0, 0).reduce(kind, &[1])],
        ));
    }
    windows(&mut cases);
    orders(&mut cases);
    for reverse in [false, true] {
        for axis in 0..2 {
            cases.push(case(
                format!("cumulative_sum along {axis}, reverse {reverse}"),
                |draw| vec![draw.signed(&[3, 4])],
                move |_, x| vec![x[0].cumulative_sum(axis, reverse)],
            ));
        }
        cases.push(plain(
            format!("cumulative_sum of integers, reverse {reverse}"),
            |draw| vec![draw.integers(DType::I32, &[5], 1 << 29, 1 << 31)],
            move |_, x| vec![x[0].cumulative_sum(0, reverse)],
        ));
    }
    cases
}

/// Overlapping, strided, dilated and unevenly padded windows.
fn all_windows() -> Vec<Window> {
    let window = |size: [usize; 2],
                  stride: [usize; 2],
                  padding: [(usize, usize); 2],
                  dilation: [usize; 2]| Window {
        size: size.to_vec(),
        stride: stride.to_vec(),
        padding: Vec::from(padding),
        dilation: dilation.to_vec(),
    };
    vec![
        window([2, 2], [2, 2], [(0, 0), (0, 0)], [1, 1]),
        window([3, 2], [1, 1], [(0, 0), (0, 0)], [1, 1]),
        window([3, 3], [2, 1], [(1, 1), (2, 0)], [1, 1]),
        window([2, 2], [1, 2], [(0, 1), (1, 0)], [2, 3]),
    ]
}

fn windows(cases: &mut Vec<Case>) {
    for (i, window) in all_windows().into_iter().enumerate() {
        let (of_sum, of_max, of_arg_max) = (window.clone(), window.clone(), window);
        cases.push(case(
            format!("window_sum {i}"),
            |draw| vec![draw.signed(&[4, 5])],
            move |_, x| vec![x[0].window_sum(&of_sum)],
        ));
        cases.push(case(
            format!("window_max {i}"),
            |draw| vec![draw.distinct(&[4, 5])],
            move |_, x| vec![x[0].window_max(&of_max)],
        ));
        cases.push(plain(
            format!("window_arg_max {i}"),
            |draw| vec![draw.distinct(&[4, 5]), draw.integers(DType::I32, &[4, 5], 0, 3)],
            move |b, x| {
                let place = |x| b.emit_one(Op::WindowArgMax(of_arg_max.clone()), &[x]);
                vec![place(x[0]), place(x[1])]
            },
        ));
    }
    cases.push(plain(
        "window_arg_max with NaN and ties",
        |_| vec![Array::vector(&[1.0, f64::NAN, 3.0, 3.0, f64::NEG_INFINITY, f64::NEG_INFINITY])],
        |b, x| {
            let window =
                Window { size: vec![2], stride: vec![1], padding: vec![(1, 1)], dilation: vec![1] };
            vec![b.emit_one(Op::WindowArgMax(window), x)]
        },
    ));
    cases.push(plain(
        "window_sum of integers",
        |draw| vec![draw.integers(DType::I32, &[4, 5], 1 << 30, 1 << 31)],
        |_, x| vec![x[0].window_sum(&all_windows()[2])],
    ));
}

fn orders(cases: &mut Vec<Case>) {
    for axis in 0..2 {
        cases.push(plain(
            format!("arg_max along {axis}"),
            |draw| vec![draw.distinct(&[3, 4]), draw.integers(DType::U32, &[3, 4], 0, 3)],
            move |_, x| vec![x[0].arg_max(axis), x[1].arg_max(axis)],
        ));
        for descending in [false, true] {
            cases.push(case(
                format!("sort along {axis}, descending {descending}"),
                |draw| vec![draw.distinct(&[3, 4]), draw.signed(&[3, 4])],
                move |_, x| x[0].sort_with(&x[1..], axis, descending),
            ));
        }
    }
    cases.push(case(
        "sort by integers",
        |draw| vec![draw.integers(DType::I32, &[6], 0, 3), draw.signed(&[6])],
        |_, x| x[0].sort_with(&x[1..], 0, true),
    ));
    cases.push(plain(
        "sort of booleans",
        |draw| vec![draw.booleans(&[6]), draw.integers(DType::I64, &[6], 0, 9)],
        |_, x| x[0].sort_with(&x[1..], 0, true),
    ));
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let rows = [[nan, 1.0, -inf, 1.0], [2.0, nan, inf, nan], [-0.0, 0.0, -0.0, 0.0]];
    for descending in [false, true] {
        cases.push(plain(
            format!("sort with NaN and ties, descending {descending}"),
            move |_| {
                let key = Array::from_slice(&[3, 4], &rows.concat()).unwrap();
                let payload: Vec<i32> = (0..12).collect();
                vec![key, Array::from_slice(&[3, 4], &payload).unwrap()]
            },
            move |_, x| x[0].sort_with(&x[1..], 1, descending),
        ));
    }
    cases.push(plain(
        "arg_max with NaN and ties",
        move |_| vec![Array::from_slice(&[3, 4], &rows.concat()).unwrap()],
        |_, x| vec![x[0].arg_max(1)],
    ));
}
