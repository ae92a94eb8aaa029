//! Values worked out by hand.

use super::*;
use thalweg_graph::{
    Binary, Builder, ConvolutionWindow, DotAxes, FixedPoint, GatherAxes, LinearSolve, Reduction,
    Solver, Tensor, Unary, While, Window,
};

/// The outputs of a graph of constants.
fn constant(build: impl for<'b> Fn(&'b Builder) -> Vec<Tensor<'b>>) -> Vec<Array> {
    let b = Builder::new(DType::F64);
    let outputs = build(&b);
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    evaluate(&b.finish(&named).unwrap(), &[]).unwrap()
}

fn matrix(rows: usize, columns: usize, elements: &[f64]) -> Array {
    Array::from_slice(&[rows, columns], elements).unwrap()
}

fn close(array: &Array, expected: &[f64]) {
    let got = array.to_f64_vec();
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() < 1e-12 || g.is_nan() && e.is_nan(), "{got:?} for {expected:?}");
    }
}

#[test]
fn integers_wrap_and_division_by_zero_gives_zero() {
    let results = constant(|b| {
        let a = b.constant(Array::vector(&[i32::MAX, i32::MIN, 7, -7, i32::MIN]));
        let c = b.constant(Array::vector(&[1i32, -1, 0, 2, -1]));
        let apply = |binary| b.emit_one(Op::Binary(binary), &[a, c]);
        vec![
            apply(Binary::Add),
            apply(Binary::Divide),
            apply(Binary::Remainder),
            apply(Binary::Multiply),
            a.unary(Unary::Negate),
        ]
    });
    let of = |i: usize| results[i].as_slice::<i32>().unwrap().to_vec();
    assert_eq!(of(0), [i32::MIN, i32::MAX, 7, -5, i32::MAX]);
    assert_eq!(of(1), [i32::MAX, i32::MIN, 0, -3, i32::MIN]);
    assert_eq!(of(2), [0, 0, 0, -1, 0]);
    assert_eq!(of(3), [i32::MAX, i32::MIN, 0, -14, i32::MIN]);
    assert_eq!(of(4), [-i32::MAX, i32::MIN, -7, 7, i32::MIN]);
}

#[test]
fn shifts_out_of_the_word_give_zero() {
    let results = constant(|b| {
        let a = b.constant(Array::vector(&[-1i32, 1, 1, 1]));
        let by = b.constant(Array::vector(&[4i32, 31, 32, -1]));
        let u = b.constant(Array::vector(&[u32::MAX, 1]));
        let by_u = b.constant(Array::vector(&[1u32, 31]));
        vec![a.shift_left(by), a.shift_right_logical(by), u.shift_left(by_u), u.logical_not()]
    });
    assert_eq!(results[0].as_slice::<i32>().unwrap(), [-16, i32::MIN, 0, 0]);
    assert_eq!(results[1].as_slice::<i32>().unwrap(), [0x0fff_ffff, 0, 0, 0]);
    assert_eq!(results[2].as_slice::<u32>().unwrap(), [u32::MAX - 1, 1 << 31]);
    assert_eq!(results[3].as_slice::<u32>().unwrap(), [0, u32::MAX - 1]);
}

#[test]
fn nan_passes_through_extrema_and_sorts_last() {
    let nan = f64::NAN;
    let results = constant(|b| {
        let a = b.constant(Array::vector(&[3.0, nan, -1.0, 2.0]));
        let tags = b.constant(Array::vector(&[0i32, 1, 2, 3]));
        let up = a.sort_with(&[tags], 0, false);
        let down = a.sort_with(&[tags], 0, true);
        vec![
            a.max(&[0]),
            a.min(&[0]),
            a.maximum(0.0),
            a.arg_max(0),
            up[0],
            up[1],
            down[0],
            down[1],
            a.less(5.0),
            a.not_equal(a),
        ]
    });
    close(&results[0], &[nan]);
    close(&results[1], &[nan]);
    close(&results[2], &[3.0, nan, 0.0, 2.0]);
    close(&results[3], &[1.0]);
    close(&results[4], &[-1.0, 2.0, 3.0, nan]);
    close(&results[5], &[2.0, 3.0, 0.0, 1.0]);
    close(&results[6], &[3.0, 2.0, -1.0, nan]);
    close(&results[7], &[0.0, 3.0, 2.0, 1.0]);
    close(&results[8], &[1.0, 0.0, 1.0, 1.0]);
    close(&results[9], &[0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn reductions_over_nothing_give_their_identities() {
    let results = constant(|b| {
        let floats = b.zeros(&TensorType::new(DType::F64, [0, 2]));
        let booleans = b.zeros(&TensorType::new(DType::Bool, [0]));
        let words = b.zeros(&TensorType::new(DType::U32, [0]));
        vec![
            floats.sum(&[0]),
            floats.max(&[0]),
            floats.min(&[0]),
            booleans.reduce(Reduction::All, &[0]),
            booleans.reduce(Reduction::Any, &[0]),
            words.max(&[0]),
            words.min(&[0]),
        ]
    });
    close(&results[0], &[0.0, 0.0]);
    assert_eq!(results[1].to_f64_vec(), [f64::NEG_INFINITY; 2]);
    assert_eq!(results[2].to_f64_vec(), [f64::INFINITY; 2]);
    let last: Vec<f64> = results[3..].iter().map(|a| a.item().unwrap()).collect();
    assert_eq!(last, [1.0, 0.0, 0.0, f64::from(u32::MAX)]);
}

#[test]
fn elements_move_where_the_rules_say() {
    let results = constant(|b| {
        let a = b.iota(DType::F64, &[2, 3], 1) + b.iota(DType::F64, &[2, 3], 0) * 10.0;
        let two = b.scalar_of(DType::I32, 2.0);
        let minus = b.scalar_of(DType::I32, -5.0);
        let update = b.constant(matrix(1, 2, &[7.0, 8.0]));
        let permuted = b.iota(DType::F64, &[2, 3, 4], 0).transpose(&[2, 0, 1]);
        vec![
            a.transpose(&[1, 0]),
            a.pad(-1.0, &[0, 1], &[1, 0], &[0, 1]),
            a.slice_all(&[0, 0], &[2, 3], &[1, 2]),
            b.concatenate(&[a, a.slice(1, 0, 1)], 1),
            a.reverse(&[1]),
            a.dynamic_slice(&[minus, two], &[1, 2]),
            a.dynamic_update_slice(update, &[two, two]),
            permuted.slice(0, 1, 2),
        ]
    });
    close(&results[0], &[0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
    let n = -1.0;
    let rows = [[n, 0.0, n, 1.0, n, 2.0], [n, 10.0, n, 11.0, n, 12.0], [n; 6]];
    close(&results[1], &rows.concat());
    close(&results[2], &[0.0, 2.0, 10.0, 12.0]);
    close(&results[3], &[0.0, 1.0, 2.0, 0.0, 10.0, 11.0, 12.0, 10.0]);
    close(&results[4], &[2.0, 1.0, 0.0, 12.0, 11.0, 10.0]);
    close(&results[5], &[1.0, 2.0]);
    close(&results[6], &[0.0, 1.0, 2.0, 10.0, 7.0, 8.0]);
    assert_eq!(results[7].shape(), [1, 2, 3]);
    close(&results[7], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn gather_reads_zero_outside_and_scatter_drops() {
    let results = constant(|b| {
        let table = b.constant(matrix(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let rows = b.constant(Array::vector(&[2i32, -1, 0, 3]));
        let along = b.constant(Array::from_slice(&[3], &[1i32, 0, 1]).unwrap());
        let columns = b.constant(Array::from_slice(&[1, 2], &[2i32, 0]).unwrap());
        let ones = b.full(&TensorType::new(DType::F64, [4, 2]), 1.0);
        vec![
            table.take(rows),
            table.gather(along, GatherAxes { batch: 1, trailing: 0 }),
            table.gather(columns, GatherAxes { batch: 0, trailing: 1 }),
            table.scatter_add(rows, ones, GatherAxes { batch: 0, trailing: 0 }),
        ]
    });
    close(&results[0], &[5.0, 6.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
    close(&results[1], &[2.0, 3.0, 6.0]);
    close(&results[2], &[5.0, 2.0]);
    close(&results[3], &[2.0, 3.0, 3.0, 4.0, 6.0, 7.0]);
}

#[test]
fn windows_leave_padding_out_and_prefer_the_first() {
    let results = constant(|b| {
        let a = b.constant(Array::vector(&[1.0, 4.0, 4.0, -2.0]));
        let window =
            Window { size: vec![2], stride: vec![2], padding: vec![(1, 1)], dilation: vec![1] };
        let sum = a.window_sum(&window);
        let places = b.emit_one(Op::WindowArgMax(window.clone()), &[-a]);
        let wide = Window { size: vec![2], dilation: vec![2], ..window };
        vec![
            sum,
            places,
            a.window_sum(&wide),
            a.cumulative_sum(0, false),
            a.cumulative_sum(0, true),
        ]
    });
    close(&results[0], &[1.0, 8.0, -2.0]);
    close(&results[1], &[0.0, 1.0, 3.0]);
    close(&results[2], &[4.0, 2.0]);
    close(&results[3], &[1.0, 5.0, 9.0, 7.0]);
    close(&results[4], &[7.0, 6.0, 2.0, -2.0]);
}

/// A 1 by 4 image, a 1 by 2 kernel: `y[i] = x[2i - 1] w[0] + x[2i + 1] w[1]` with stride 2,
/// padding (1, 0), dilation 2.
#[test]
fn convolution_by_hand() {
    let window = ConvolutionWindow {
        stride: [1, 2],
        padding: [(0, 0), (1, 0)],
        dilation: [1, 2],
        ..ConvolutionWindow::PLAIN
    };
    let results = constant(|b| {
        let x = b.constant(Array::from_slice(&[1, 1, 4, 1], &[1.0, 2.0, 3.0, 4.0]).unwrap());
        let w = b.constant(Array::from_slice(&[1, 2, 1, 1], &[10.0, 1.0]).unwrap());
        let y = x.convolution(w, window);
        let input_gradient = Op::ConvolutionInputGradient { window, input: [1, 4] };
        let weight_gradient = Op::ConvolutionWeightGradient { window, kernel: [1, 2] };
        vec![y, b.emit_one(input_gradient, &[y, w]), b.emit_one(weight_gradient, &[x, y])]
    });
    close(&results[0], &[2.0, 24.0]);
    close(&results[1], &[0.0, 2.0 + 240.0, 0.0, 24.0]);
    close(&results[2], &[48.0, 2.0 * 2.0 + 4.0 * 24.0]);
}

#[test]
fn grouped_convolution_mixes_only_within_groups() {
    let results = constant(|b| {
        let x = b.constant(Array::from_slice(&[1, 1, 1, 4], &[1.0, 2.0, 3.0, 4.0]).unwrap());
        let w = b.constant(Array::from_slice(&[1, 1, 2, 2], &[1.0, 10.0, 2.0, 20.0]).unwrap());
        vec![x.convolution(w, ConvolutionWindow { groups: 2, ..ConvolutionWindow::PLAIN })]
    });
    close(&results[0], &[1.0 + 4.0, 30.0 + 80.0]);
}

#[test]
fn dot_orders_batch_left_right() {
    let results = constant(|b| {
        let left = b.iota(DType::F64, &[2, 3, 4], 0) + b.iota(DType::F64, &[2, 3, 4], 1) * 10.0;
        let right = b.iota(DType::F64, &[5, 2, 4], 0);
        let axes = DotAxes {
            lhs_batch: vec![0],
            rhs_batch: vec![1],
            lhs_contract: vec![2],
            rhs_contract: vec![2],
        };
        vec![left.dot(right, axes)]
    });
    assert_eq!(results[0].shape(), [2, 3, 5]);
    // [1, 2, 3]: four times (1 + 20) * 3.
    assert_eq!(results[0].to_f64_vec()[15 + 2 * 5 + 3], 4.0 * 21.0 * 3.0);
}

#[test]
fn factorisations_by_hand() {
    let results = constant(|b| {
        // The upper triangle is wrong on purpose: it is not read.
        let a = b.constant(matrix(2, 2, &[4.0, 99.0, 2.0, 5.0]));
        let right = b.constant(matrix(2, 1, &[2.0, 5.0]));
        let lower = b.emit_one(Op::Cholesky, &[a]);
        let solve = |lower_triangle, transpose| {
            let op = Op::TriangularSolve { lower: lower_triangle, transpose };
            b.emit_one(op, &[a, right])
        };
        let symmetric = b.constant(matrix(2, 2, &[2.0, 99.0, -1.0, 2.0]));
        let eigen = b.emit(Op::SymmetricEigen, &[symmetric]);
        let indefinite = b.constant(matrix(2, 2, &[-1.0, 0.0, 0.0, 1.0]));
        vec![
            lower,
            solve(true, false),
            solve(true, true),
            solve(false, false),
            eigen[0],
            eigen[1],
            b.emit_one(Op::Cholesky, &[indefinite]),
        ]
    });
    close(&results[0], &[2.0, 0.0, 1.0, 2.0]);
    close(&results[1], &[0.5, 0.8]);
    close(&results[2], &[0.0, 1.0]);
    close(&results[3], &[0.5 - 99.0 / 4.0, 1.0]);
    close(&results[4], &[1.0, 3.0]);
    let h = 0.5f64.sqrt();
    close(&results[5], &[h, h, h, -h]);
    assert!(results[6].to_f64_vec()[0].is_nan());
}

#[test]
fn loops_by_hand() {
    let results = constant(|b| {
        let xs = b.constant(Array::vector(&[1.0, 2.0, 3.0]));
        let (carry, ys) = b.scan(3, &[b.scalar(1.0)], &[xs], &[b.scalar(10.0)], 0, |step| {
            let next = step.carry[0] * step.xs[0] + step.constants[0];
            (vec![next], vec![step.carry[0]])
        });
        vec![carry[0], ys[0]]
    });
    close(&results[0], &[((1.0 + 10.0) * 2.0 + 10.0) * 3.0 + 10.0]);
    close(&results[1], &[1.0, 11.0, 32.0]);

    let scalar = TensorType::new(DType::F64, []);
    let inner = |f: &dyn for<'b> Fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>, ty: &TensorType| {
        let b = Builder::new(DType::F64);
        let (x, c) = (b.input("x", ty.clone()), b.input("c", ty.clone()));
        std::sync::Arc::new(b.finish(&[("y", f(x, c))]).unwrap())
    };
    let looped = While {
        condition: inner(&|x, c| x.less(c), &scalar),
        body: inner(&|x, _| x * 2.0, &scalar),
        n_carry: 1,
    };
    let pair = TensorType::new(DType::F64, [2, 2]);
    let fixed = FixedPoint {
        body: inner(&|c, x| (x + c / x) * 0.5, &pair),
        max_iterations: 50,
        tolerance_bits: 1e-14f64.to_bits(),
        n_batch: 1,
    };
    let solve = LinearSolve {
        matvec: inner(&|c, x| x * c + x.reverse(&[1]), &pair),
        solver: Solver::BiConjugateGradientStabilized,
        max_iterations: 10,
        tolerance_bits: 1e-14f64.to_bits(),
        n_batch: 1,
    };
    let results = constant(|b| {
        let (x, c) = (b.scalar(3.0), b.scalar(20.0));
        let squares = b.constant(matrix(2, 2, &[4.0, 9.0, 16.0, 2.0]));
        let start = b.full(&squares.ty(), 1.0);
        let diagonal = b.constant(matrix(2, 2, &[2.0, 3.0, 0.0, 0.0]));
        let right = b.constant(matrix(2, 2, &[3.0, 4.0, 5.0, 6.0]));
        vec![
            b.emit_one(Op::While(looped.clone().into()), &[x, c]),
            b.emit_one(Op::FixedPoint(fixed.clone().into()), &[squares, start]),
            b.emit_one(Op::LinearSolve(solve.clone().into()), &[diagonal, right]),
        ]
    });
    close(&results[0], &[24.0]);
    close(&results[1], &[2.0, 3.0, 4.0, 2f64.sqrt()]);
    close(&results[2], &[1.0, 1.0, 6.0, 5.0]);
}

#[test]
fn an_f32_graph_rounds_only_at_its_outputs() {
    let b = Builder::new(DType::F32);
    let x = b.input("x", TensorType::new(DType::F32, []));
    let graph = b.finish(&[("y", (x + 1.0) - 1.0)]).unwrap();
    let tiny = Array::scalar(1e-12f32);
    assert!((evaluate(&graph, &[tiny]).unwrap()[0].item().unwrap() - 1e-12).abs() < 1e-15);
    let wide = evaluate_f64(&graph, &[Array::scalar(0.1f64)]).unwrap();
    assert_eq!((wide[0].dtype(), wide[0].item()), (DType::F64, Some((0.1 + 1.0) - 1.0)));
}

#[test]
fn bits_and_conversions() {
    let results = constant(|b| {
        let floats = b.constant(Array::vector(&[1.0f32, -0.5]));
        let wide = b.constant(Array::vector(&[-1i64, 1 << 40]));
        let out = b.constant(Array::vector(&[-1.5, 3e9, f64::NAN]));
        vec![
            floats.bitcast(DType::U32),
            floats.bitcast(DType::I32).bitcast(DType::F32),
            wide.convert(DType::U32),
            out.convert(DType::I32),
            out.convert(DType::U32),
            out.convert(DType::Bool),
        ]
    });
    assert_eq!(results[0].as_slice::<u32>().unwrap(), [0x3f80_0000, 0xbf00_0000]);
    assert_eq!(results[1].as_slice::<f32>().unwrap(), [1.0, -0.5]);
    assert_eq!(results[2].as_slice::<u32>().unwrap(), [u32::MAX, 0]);
    assert_eq!(results[3].as_slice::<i32>().unwrap(), [-1, i32::MAX, 0]);
    assert_eq!(results[4].as_slice::<u32>().unwrap(), [0, 3_000_000_000, 0]);
    assert_eq!(results[5].as_slice::<bool>().unwrap(), [true, true, true]);
}

#[test]
fn wrong_arguments_are_named() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [2]));
    let graph = b.finish(&[("y", x.exp())]).unwrap();
    let none = evaluate(&graph, &[]).unwrap_err();
    assert_eq!(none.to_string(), "the graph takes 1 inputs, got 0");
    let wrong = evaluate(&graph, &[Array::vector(&[1.0f32, 2.0])]).unwrap_err();
    assert_eq!(wrong.to_string(), "input \"x\": expected f64[2], got f32[2]");
}
