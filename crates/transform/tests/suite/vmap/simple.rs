//! Element-wise operations, reductions, windows, orders.

use super::check::{booleans, check, floats, integers};
use thalweg_graph::{Binary, Comparison, DType, Op, Reduction, Unary, Window};

#[test]
fn every_unary_function() {
    for unary in Unary::ALL {
        let input = match unary {
            Unary::Not => booleans(&[2, 3]),
            _ => floats(&[2, 3]),
        };
        check(&format!("{unary:?}"), &[input], &move |_, x| vec![x[0].unary(unary)]);
    }
}

#[test]
fn every_binary_function_and_comparison() {
    for binary in Binary::ALL {
        let input = match binary {
            Binary::And | Binary::Or | Binary::Xor => booleans(&[3]),
            Binary::ShiftLeft | Binary::ShiftRightLogical => integers(DType::U32, &[3], 0, 40),
            Binary::Divide | Binary::Remainder => integers(DType::I32, &[3], -5, 6),
            _ => floats(&[3]),
        };
        check(&format!("{binary:?}"), &[input.clone(), input], &move |b, x| {
            vec![b.emit_one(Op::Binary(binary), x)]
        });
    }
    for comparison in Comparison::ALL {
        let input = integers(DType::I32, &[4], -1, 2);
        check(&format!("{comparison:?}"), &[input.clone(), input], &move |b, x| {
            vec![b.emit_one(Op::Compare(comparison), x)]
        });
    }
}

#[test]
fn other_element_wise_operations() {
    check("select", &[booleans(&[4]), floats(&[4]), floats(&[4])], &|_, x| {
        vec![x[0].select(x[1], x[2])]
    });
    check("conversions", &[floats(&[4])], &|_, x| {
        vec![x[0].convert(DType::I32), x[0].bitcast(DType::U32), x[0].stop_gradient()]
    });
    let words = || integers(DType::U32, &[3], 0, 1000);
    let inputs = [words(), words(), words(), words()];
    check("threefry", &inputs[..2], &|b, x| {
        let counter = b.iota(DType::U32, &[3], 0);
        vec![b.emit_one(Op::Threefry, &[x[0], x[1], counter, x[1]])]
    });
    check("what is the same for all", &[floats(&[2]), floats(&[2])], &|b, x| {
        vec![x[0] * x[1] + 2.0, x[0].exp(), b.iota(DType::I32, &[2, 2], 1)]
    });
}

#[test]
fn reductions() {
    for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
        for axes in [vec![0], vec![1], vec![0, 2], vec![0, 1, 2]] {
            check(&format!("{kind:?} {axes:?}"), &[floats(&[3, 17, 4])], &move |_, x| {
                vec![x[0].reduce(kind, &axes)]
            });
        }
    }
    for kind in [Reduction::All, Reduction::Any] {
        check(&format!("{kind:?}"), &[booleans(&[3, 2])], &move |_, x| {
            vec![x[0].reduce(kind, &[1]), x[0].reduce(kind, &[0])]
        });
    }
    check("a long sum", &[floats(&[5000])], &|_, x| vec![x[0].sum_all(), x[0].square().mean(&[0])]);
}

#[test]
fn softmax_and_normalisation() {
    check("softmax", &[floats(&[5, 37])], &|_, x| {
        vec![x[0].softmax(1), x[0].log_softmax(0), x[0].logsumexp(&[0, 1])]
    });
    check("normalisation", &[floats(&[6, 3, 3, 4]), floats(&[4])], &|_, x| {
        let mean = x[0].mean(&[0, 1, 2]).keep(&[0, 1, 2]);
        let centred = x[0] - mean;
        let variance = centred.square().mean(&[0, 1, 2]).keep(&[0, 1, 2]);
        vec![centred * (variance + 1e-5).rsqrt() * x[1]]
    });
}

fn window() -> Window {
    Window {
        size: vec![1, 2, 3],
        stride: vec![1, 1, 2],
        padding: vec![(0, 0), (1, 0), (0, 1)],
        dilation: vec![1, 2, 1],
    }
}

#[test]
fn windows_and_orders() {
    check("windows", &[floats(&[2, 4, 5])], &|b, x| {
        let places = b.emit_one(Op::WindowArgMax(window()), x);
        vec![x[0].window_sum(&window()), places, x[0].window_max(&window())]
    });
    check("orders", &[floats(&[3, 4]), integers(DType::I32, &[3, 4], 0, 3)], &|_, x| {
        let mut results = x[1].sort_with(&[x[0]], 1, false);
        results.extend(x[0].sort_with(&[x[1]], 0, true));
        results.extend([x[0].arg_max(1), x[1].arg_max(0)]);
        results.extend([x[0].cumulative_sum(0, false), x[1].cumulative_sum(1, true)]);
        results
    });
    check("order of booleans", &[booleans(&[9]), floats(&[9])], &|_, x| {
        x[0].sort_with(&[x[1]], 0, true)
    });
}
