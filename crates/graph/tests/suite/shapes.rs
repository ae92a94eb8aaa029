//! The shape rule of every operation: what it accepts and gives, what it refuses and says.

use std::sync::Arc;
use thalweg_graph::{
    Array, Binary, Builder, Comparison, ConvolutionWindow, DType, DotAxes, FixedPoint, GatherAxes,
    Graph, LinearSolve, Op, Reduction, Scan, Solver, TensorType, Unary, While, Window, infer,
};

/// `"f64[2, 3] i32[]"` as types.
fn types(text: &str) -> Vec<TensorType> {
    let parse = |part: &str| {
        let (name, extents) = part.trim().split_once('[').expect("a type has brackets");
        let dtype = DType::ALL.into_iter().find(|d| d.to_string() == name).expect("a known type");
        let extents = extents.split(',').map(str::trim).filter(|e| !e.is_empty());
        let shape: Vec<usize> = extents.map(|e| e.parse().expect("an extent")).collect();
        TensorType::new(dtype, shape)
    };
    text.split(']').filter(|part| !part.trim().is_empty()).map(parse).collect()
}

fn run(op: &Op, inputs: &str) -> Result<String, String> {
    let inputs = types(inputs);
    match infer(op, &inputs.iter().collect::<Vec<_>>()) {
        Ok(types) => Ok(types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        Err(mismatch) => Err(format!("expected {}, got {}", mismatch.expected, mismatch.got)),
    }
}

/// Operation, operands, result (`Ok`) or complaint (`Err`).
type Case = (Op, &'static str, Result<&'static str, &'static str>);

fn graph(build: impl for<'b> FnOnce(&'b Builder) -> Graph) -> Arc<Graph> {
    Arc::new(build(&Builder::new(DType::F64)))
}

fn scan(length: usize, checkpoint_branching: usize) -> Op {
    let body = graph(|b| {
        let carry = b.input("c", TensorType::new(DType::F64, [2]));
        let x = b.input("x", TensorType::new(DType::F64, []));
        b.finish(&[("c", carry * x), ("y", carry.sum(&[0]))]).unwrap()
    });
    Op::Scan(Arc::new(Scan {
        body,
        length,
        n_carry: 1,
        n_xs: 1,
        reverse: false,
        checkpoint_branching,
    }))
}

fn repeat() -> Op {
    let ty = TensorType::new(DType::F64, [2]);
    let condition =
        graph(|b| b.finish(&[("go", b.input("c", ty.clone()).sum(&[0]).less(1.0))]).unwrap());
    let body = graph(|b| b.finish(&[("c", b.input("c", ty.clone()) * 2.0)]).unwrap());
    Op::While(Arc::new(While { condition, body, n_carry: 1 }))
}

fn solve() -> Op {
    let ty = TensorType::new(DType::F64, [3, 2]);
    let matvec = graph(|b| {
        let (scale, x) = (b.input("s", TensorType::new(DType::F64, [])), b.input("x", ty));
        b.finish(&[("y", x * scale)]).unwrap()
    });
    Op::LinearSolve(Arc::new(LinearSolve {
        matvec,
        solver: Solver::ConjugateGradient,
        max_iterations: 9,
        tolerance_bits: 1e-9f64.to_bits(),
        n_batch: 1,
    }))
}

fn fixed() -> Op {
    let ty = TensorType::new(DType::F64, [3, 2]);
    let body = graph(|b| b.finish(&[("y", b.input("x", ty) * 0.5)]).unwrap());
    Op::FixedPoint(Arc::new(FixedPoint {
        body,
        max_iterations: 9,
        tolerance_bits: 1e-9f64.to_bits(),
        n_batch: 3,
    }))
}

fn window(size: usize, padding: (usize, usize), dilation: usize) -> Window {
    Window { size: vec![size], stride: vec![2], padding: vec![padding], dilation: vec![dilation] }
}

fn dot(lhs_contract: usize, rhs_contract: usize) -> Op {
    Op::Dot(DotAxes {
        lhs_batch: vec![0],
        rhs_batch: vec![1],
        lhs_contract: vec![lhs_contract],
        rhs_contract: vec![rhs_contract],
    })
}

fn cases() -> Vec<Case> {
    let plain = ConvolutionWindow::PLAIN;
    let strided = ConvolutionWindow {
        stride: [2, 1],
        padding: [(1, 0), (0, 2)],
        dilation: [1, 2],
        groups: 2,
        rhs_population: true,
        ..plain
    };
    let pad = || Op::Pad { low: vec![1, 0], high: vec![0, 2], interior: vec![0, 1] };
    let gather = |batch, trailing| Op::Gather(GatherAxes { batch, trailing });
    let scatter = |batch, trailing| Op::ScatterAdd(GatherAxes { batch, trailing });
    vec![
        (
            Op::Input { index: 0 },
            "",
            Err("expected an input made by the builder, got a bare input"),
        ),
        (Op::Constant(Arc::new(Array::vector(&[1i32, 2]))), "", Ok("i32[2]")),
        (Op::Constant(Arc::new(Array::scalar(1i32))), "i32[]", Err("expected 0 operands, got 1")),
        (Op::Iota { dtype: DType::I64, shape: vec![2, 3], axis: 1 }, "", Ok("i64[2, 3]")),
        (
            Op::Iota { dtype: DType::I64, shape: vec![2], axis: 1 },
            "",
            Err("expected an axis below 1, got 1"),
        ),
        (
            Op::Iota { dtype: DType::Bool, shape: vec![2], axis: 0 },
            "",
            Err("expected a number type, got bool"),
        ),
        (
            Op::Iota { dtype: DType::F64, shape: vec![usize::MAX, 2], axis: 0 },
            "",
            Err("expected a result that fits the address space, got f64[18446744073709551615, 2]"),
        ),
        (Op::Unary(Unary::Exp), "f32[4]", Ok("f32[4]")),
        (Op::Unary(Unary::Exp), "i32[4]", Err("expected floats, got i32[4]")),
        (Op::Unary(Unary::Negate), "u32[4]", Err("expected signed numbers, got u32[4]")),
        (Op::Unary(Unary::Not), "f64[]", Err("expected integers or booleans, got f64[]")),
        (Op::Unary(Unary::IsFinite), "f64[2]", Ok("bool[2]")),
        (Op::Binary(Binary::Add), "f32[2] f32[2]", Ok("f32[2]")),
        (
            Op::Binary(Binary::Add),
            "f32[2] f32[3]",
            Err("expected a second operand of type f32[2], got f32[3]"),
        ),
        (
            Op::Binary(Binary::Add),
            "f32[2] f64[2]",
            Err("expected a second operand of type f32[2], got f64[2]"),
        ),
        (Op::Binary(Binary::Power), "i32[] i32[]", Err("expected floats, got i32[]")),
        (Op::Binary(Binary::Add), "bool[] bool[]", Err("expected numbers, got bool[]")),
        (Op::Binary(Binary::And), "f64[] f64[]", Err("expected integers or booleans, got f64[]")),
        (Op::Binary(Binary::ShiftLeft), "bool[] bool[]", Err("expected integers, got bool[]")),
        (Op::Compare(Comparison::Less), "i64[3] i64[3]", Ok("bool[3]")),
        (Op::Compare(Comparison::Less), "i64[3]", Err("expected 2 operands, got 1")),
        (Op::Select, "bool[3] f64[3] f64[3]", Ok("f64[3]")),
        (Op::Select, "i32[3] f64[3] f64[3]", Err("expected a boolean condition, got i32[3]")),
        (Op::Select, "bool[] f64[3] f64[3]", Err("expected shape [], got f64[3]")),
        (Op::Convert(DType::Bool), "f64[3]", Ok("bool[3]")),
        (Op::Convert(DType::F32), "", Err("expected 1 operands, got 0")),
        (Op::Bitcast(DType::U32), "f32[3]", Ok("u32[3]")),
        (Op::Bitcast(DType::U32), "f64[3]", Err("expected an operand as wide as u32, got f64[3]")),
        (Op::Threefry, "u32[3] u32[3] u32[3] u32[3]", Ok("u32[3]")),
        (Op::Threefry, "u32[3] u32[3] u32[3] i32[3]", Err("expected u32 words, got i32[3]")),
        (Op::Threefry, "u32[3] u32[] u32[3] u32[3]", Err("expected shape [3], got u32[]")),
        (Op::StopGradient, "i32[3]", Ok("i32[3]")),
        (Op::StopGradient, "i32[] i32[]", Err("expected 1 operands, got 2")),
        (Op::Broadcast { shape: vec![2, 4, 3], axes: vec![0, 2] }, "f64[2, 1]", Ok("f64[2, 4, 3]")),
        (
            Op::Broadcast { shape: vec![2, 3], axes: vec![1, 0] },
            "f64[3, 2]",
            Err("expected increasing result axes, got [1, 0]"),
        ),
        (
            Op::Broadcast { shape: vec![2, 3], axes: vec![1] },
            "f64[2]",
            Err("expected an operand that stretches to [2, 3], got f64[2] on axes [1]"),
        ),
        (
            Op::Broadcast { shape: vec![2, 3], axes: vec![] },
            "f64[2]",
            Err("expected one result axis for each of 1 operand axes, got []"),
        ),
        (Op::Reshape { shape: vec![3, 2] }, "f64[6]", Ok("f64[3, 2]")),
        (Op::Reshape { shape: vec![4] }, "f64[6]", Err("expected 6 elements, got shape [4]")),
        (Op::Transpose { permutation: vec![2, 0, 1] }, "f64[2, 3, 4]", Ok("f64[4, 2, 3]")),
        (
            Op::Transpose { permutation: vec![0, 0] },
            "f64[2, 3]",
            Err("expected a permutation of the 2 axes, got [0, 0]"),
        ),
        (Op::Slice { start: vec![1], limit: vec![6], stride: vec![2] }, "f64[6]", Ok("f64[3]")),
        (
            Op::Slice { start: vec![1], limit: vec![7], stride: vec![2] },
            "f64[6]",
            Err("expected a range within axis 0 of f64[6], got 1..7 step 2"),
        ),
        (
            Op::Slice { start: vec![1], limit: vec![6], stride: vec![] },
            "f64[6]",
            Err("expected start, limit and stride for 1 axes, got 1, 1 and 0"),
        ),
        (pad(), "f64[2, 3] f64[]", Ok("f64[3, 7]")),
        (pad(), "f64[2, 3] f32[]", Err("expected a fill of type f64[], got f32[]")),
        (pad(), "f64[2] f64[]", Err("expected padding for 1 axes, got 2, 2 and 2")),
        (Op::Concatenate { axis: 1 }, "f64[2, 3] f64[2, 1]", Ok("f64[2, 4]")),
        (
            Op::Concatenate { axis: 1 },
            "f64[2, 3] f64[1, 1]",
            Err("expected f64[2, 3] but for axis 1, got f64[1, 1]"),
        ),
        (Op::Concatenate { axis: 0 }, "", Err("expected at least one operand, got none")),
        (Op::Reverse { axes: vec![1, 0] }, "f64[2, 3]", Ok("f64[2, 3]")),
        (Op::Reverse { axes: vec![2] }, "f64[2, 3]", Err("expected an axis below 2, got 2")),
        (
            Op::Reverse { axes: vec![1, 1] },
            "f64[2, 3]",
            Err("expected each axis named once, got [1, 1]"),
        ),
        (Op::DynamicSlice { sizes: vec![1, 3] }, "f64[2, 3] i32[] i64[]", Ok("f64[1, 3]")),
        (
            Op::DynamicSlice { sizes: vec![1, 4] },
            "f64[2, 3] i32[] i32[]",
            Err("expected sizes within f64[2, 3], got [1, 4]"),
        ),
        (Op::DynamicSlice { sizes: vec![1] }, "f64[2] f64[]", Err("expected integers, got f64[]")),
        (Op::DynamicSlice { sizes: vec![1] }, "f64[2]", Err("expected 1 start indices, got 0")),
        (Op::DynamicUpdateSlice, "f64[2, 3] f64[1, 2] i32[] i32[]", Ok("f64[2, 3]")),
        (
            Op::DynamicUpdateSlice,
            "f64[2, 3] f64[3, 2] i32[] i32[]",
            Err("expected an update within f64[2, 3], got f64[3, 2]"),
        ),
        (
            Op::DynamicUpdateSlice,
            "f64[2] f64[1] i32[1]",
            Err("expected scalar start indices, got i32[1]"),
        ),
        (gather(1, 1), "f64[2, 5, 6, 3] i32[2, 4, 3]", Ok("f64[2, 4, 6, 3]")),
        (gather(0, 0), "f64[5, 6] i32[]", Ok("f64[6]")),
        (
            gather(1, 0),
            "f64[2, 5] i32[3, 4]",
            Err("expected equal 1 leading and 0 last extents, got f64[2, 5] by i32[3, 4]"),
        ),
        (
            gather(1, 1),
            "f64[2, 5] i32[2, 5]",
            Err("expected 1 batch, one indexed and 1 trailing axes, got f64[2, 5] by i32[2, 5]"),
        ),
        (scatter(0, 0), "f64[5, 6] i32[4] f64[4, 6]", Ok("f64[5, 6]")),
        (
            scatter(0, 0),
            "f64[5, 6] i32[4] f64[4, 5]",
            Err("expected updates of type f64[4, 6], got f64[4, 5]"),
        ),
        (Op::Reduce { kind: Reduction::Sum, axes: vec![0, 2] }, "i32[2, 3, 4]", Ok("i32[3]")),
        (
            Op::Reduce { kind: Reduction::Sum, axes: vec![2, 0] },
            "i32[2, 3, 4]",
            Err("expected increasing axes of i32[2, 3, 4], got [2, 0]"),
        ),
        (
            Op::Reduce { kind: Reduction::Sum, axes: vec![0] },
            "bool[2]",
            Err("expected numbers, got bool[2]"),
        ),
        (
            Op::Reduce { kind: Reduction::Any, axes: vec![0] },
            "f64[2]",
            Err("expected booleans, got f64[2]"),
        ),
        (Op::WindowSum(window(3, (1, 1), 1)), "f64[6]", Ok("f64[3]")),
        (
            Op::WindowSum(window(3, (0, 0), 3)),
            "f64[6]",
            Err(
                "expected a window that fits axis 0 of f64[6], got size 3 stride 2 padding (0, 0) \
                 dilation 3",
            ),
        ),
        (
            Op::WindowSum(window(3, (0, 0), 1)),
            "f64[6, 2]",
            Err("expected a window over 2 axes, got [1, 1, 1, 1] sizes, strides, paddings and \
                 dilations"),
        ),
        (Op::WindowArgMax(window(3, (1, 1), 1)), "f64[6]", Ok("i32[3]")),
        (
            Op::WindowArgMax(window(3, (3, 0), 1)),
            "f64[6]",
            Err("expected padding so small that every window holds an element, got [(3, 0)] for \
                 [3] over f64[6]"),
        ),
        // Dilated by two, this window has its elements at -1 and 1: both are padding.
        (
            Op::WindowArgMax(window(2, (1, 1), 2)),
            "f64[1]",
            Err("expected padding so small that every window holds an element, got [(1, 1)] for \
                 [2] over f64[1]"),
        ),
        (Op::ArgMax { axis: 0 }, "f32[3, 4]", Ok("i32[4]")),
        (
            Op::ArgMax { axis: 0 },
            "f32[0, 4]",
            Err("expected an axis of 1 to 2^31-1 elements, got f32[0, 4]"),
        ),
        (Op::Sort { axis: 0, descending: false }, "f64[3] i32[3]", Ok("f64[3] i32[3]")),
        (
            Op::Sort { axis: 0, descending: false },
            "f64[3] i32[4]",
            Err("expected shape [3], got i32[4]"),
        ),
        (
            Op::Sort { axis: 0, descending: false },
            "",
            Err("expected at least one operand, got none"),
        ),
        (Op::CumulativeSum { axis: 1, reverse: true }, "f64[2, 3]", Ok("f64[2, 3]")),
        (
            Op::CumulativeSum { axis: 1, reverse: true },
            "bool[2, 3]",
            Err("expected numbers, got bool[2, 3]"),
        ),
        (dot(2, 0), "f64[2, 3, 4] f64[4, 2, 5]", Ok("f64[2, 3, 5]")),
        (
            dot(2, 2),
            "f64[2, 3, 4] f64[4, 2, 5]",
            Err("expected equal extents of left axis 2 and right axis 2, got f64[2, 3, 4] and \
                 f64[4, 2, 5]"),
        ),
        (dot(2, 0), "i32[2, 3, 4] i32[4, 2, 5]", Err("expected floats, got i32[2, 3, 4]")),
        (
            dot(0, 1),
            "f64[2, 3] f64[3, 2]",
            Err("expected each axis named once, got DotAxes { lhs_batch: [0], rhs_batch: [1], \
                 lhs_contract: [0], rhs_contract: [1] }"),
        ),
        (Op::Convolution(plain), "f64[1, 5, 6, 2] f64[3, 3, 2, 4]", Ok("f64[1, 3, 4, 4]")),
        (Op::Convolution(strided), "f64[1, 5, 6, 4] f64[7, 3, 2, 2, 8]", Ok("f64[7, 1, 2, 6, 8]")),
        (
            Op::Convolution(plain),
            "f64[1, 5, 6, 2] f64[3, 3, 1, 4]",
            Err("expected a kernel [height, width, in / groups, out] for 1 groups of [1, 5, 6, \
                 2], got [3, 3, 1, 4]"),
        ),
        (
            Op::Convolution(strided),
            "f64[1, 5, 6, 4] f64[3, 2, 2, 8]",
            Err("expected an operand of rank 5, got f64[3, 2, 2, 8]"),
        ),
        (
            Op::ConvolutionInputGradient { window: strided, input: [5, 6] },
            "f64[1, 2, 6, 8] f64[7, 3, 2, 2, 8]",
            Ok("f64[7, 1, 5, 6, 4]"),
        ),
        (
            Op::ConvolutionInputGradient { window: plain, input: [5, 5] },
            "f64[1, 2, 6, 8] f64[3, 3, 4, 8]",
            Err("expected an output gradient of shape [1, 3, 3, 8], got f64[1, 2, 6, 8]"),
        ),
        (
            Op::ConvolutionWeightGradient { window: strided, kernel: [3, 2] },
            "f64[1, 5, 6, 4] f64[7, 1, 2, 6, 8]",
            Ok("f64[7, 3, 2, 2, 8]"),
        ),
        (
            Op::ConvolutionWeightGradient { window: plain, kernel: [3, 2] },
            "f64[1, 5, 6, 4] f64[1, 2, 6, 8]",
            Err("expected an output gradient of shape [1, 3, 5, 8], got f64[1, 2, 6, 8]"),
        ),
        (Op::Cholesky, "f64[2, 3, 3]", Ok("f64[2, 3, 3]")),
        (
            Op::Cholesky,
            "f64[3, 2]",
            Err("expected square matrices in the last two axes, got f64[3, 2]"),
        ),
        (
            Op::TriangularSolve { lower: true, transpose: false },
            "f64[4, 3, 3] f64[4, 3, 2]",
            Ok("f64[4, 3, 2]"),
        ),
        (
            Op::TriangularSolve { lower: true, transpose: false },
            "f64[3, 3] f64[2, 3]",
            Err("expected a right side with rows of f64[3, 3], got f64[2, 3]"),
        ),
        (Op::SymmetricEigen, "f32[2, 3, 3]", Ok("f32[2, 3] f32[2, 3, 3]")),
        (
            Op::SymmetricEigen,
            "f32[3]",
            Err("expected square matrices in the last two axes, got f32[3]"),
        ),
        (solve(), "f64[] f64[3, 2]", Ok("f64[3, 2]")),
        (
            solve(),
            "f64[] f64[3]",
            Err("expected a matvec that takes [f64[], f64[3]], got [f64[], f64[3, 2]]"),
        ),
        (fixed(), "f64[3, 2]", Err("expected floats with 3 batch axes, got f64[3, 2]")),
        (scan(5, 2), "f64[2] f64[5]", Ok("f64[2] f64[5]")),
        (scan(4, 2), "f64[2] f64[5]", Err("expected a sequence of 4 rows, got f64[5]")),
        (
            scan(5, 1),
            "f64[2] f64[5]",
            Err("expected a branching of checkpoints of 0 (keep all) or at least 2, got 1"),
        ),
        (
            scan(5, 0),
            "f64[3] f64[5]",
            Err("expected a body that takes [f64[3], f64[]], got [f64[2], f64[]]"),
        ),
        (scan(5, 0), "f64[2]", Err("expected 1 carries and 1 sequences, got 1 operands")),
        (repeat(), "f64[2]", Ok("f64[2]")),
        (repeat(), "f64[3]", Err("expected a condition that takes [f64[3]], got [f64[2]]")),
    ]
}

#[test]
fn every_rule_accepts_and_refuses() {
    for (op, inputs, expected) in cases() {
        let got = run(&op, inputs);
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(got, expected, "{} of {inputs}", op.name());
    }
}

/// A number for each variant: a new one does not compile until it is given the next number, and
/// then the test below asks for its cases.
fn variant(op: &Op) -> usize {
    match op {
        Op::Input { .. } => 0,
        Op::Constant(_) => 1,
        Op::Iota { .. } => 2,
        Op::Unary(_) => 3,
        Op::Binary(_) => 4,
        Op::Compare(_) => 5,
        Op::Select => 6,
        Op::Convert(_) => 7,
        Op::Bitcast(_) => 8,
        Op::Threefry => 9,
        Op::StopGradient => 10,
        Op::Broadcast { .. } => 11,
        Op::Reshape { .. } => 12,
        Op::Transpose { .. } => 13,
        Op::Slice { .. } => 14,
        Op::Pad { .. } => 15,
        Op::Concatenate { .. } => 16,
        Op::Reverse { .. } => 17,
        Op::DynamicSlice { .. } => 18,
        Op::DynamicUpdateSlice => 19,
        Op::Gather(_) => 20,
        Op::ScatterAdd(_) => 21,
        Op::Reduce { .. } => 22,
        Op::WindowSum(_) => 23,
        Op::WindowArgMax(_) => 24,
        Op::ArgMax { .. } => 25,
        Op::Sort { .. } => 26,
        Op::CumulativeSum { .. } => 27,
        Op::Dot(_) => 28,
        Op::Convolution(_) => 29,
        Op::ConvolutionInputGradient { .. } => 30,
        Op::ConvolutionWeightGradient { .. } => 31,
        Op::Cholesky => 32,
        Op::TriangularSolve { .. } => 33,
        Op::SymmetricEigen => 34,
        Op::LinearSolve(_) => 35,
        Op::FixedPoint(_) => 36,
        Op::Scan(_) => 37,
        Op::While(_) => N_VARIANTS - 1,
    }
}

const N_VARIANTS: usize = 39;

#[test]
fn no_rule_is_left_out() {
    let mut refused = [false; N_VARIANTS];
    for (op, _, result) in cases() {
        refused[variant(&op)] |= result.is_err();
    }
    let missing: Vec<usize> = (0..N_VARIANTS).filter(|&v| !refused[v]).collect();
    assert!(missing.is_empty(), "no refused case of variants {missing:?}");
}
