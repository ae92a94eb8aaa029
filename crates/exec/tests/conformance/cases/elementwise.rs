//! Functions of single elements.

use crate::case::{Case, case, plain};
use thalweg_array::{Array, DType};
use thalweg_graph::{Binary, Comparison, Op, Unary};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for unary in Unary::ALL {
        unary_cases(unary, &mut cases);
    }
    for binary in Binary::ALL {
        binary_cases(binary, &mut cases);
    }
    for comparison in Comparison::ALL {
        comparison_cases(comparison, &mut cases);
    }
    conversion_cases(&mut cases);
    cases.push(case(
        "select",
        |draw| vec![draw.booleans(&[2, 3]), draw.signed(&[2, 3]), draw.signed(&[2, 3])],
        |_, x| vec![x[0].select(x[1] * x[1], x[2].sin())],
    ));
    cases.push(plain(
        "select of integers",
        |draw| {
            let words = |draw: &mut crate::draw::Draw| draw.integers(DType::I64, &[4], -9, 9);
            vec![draw.booleans(&[4]), words(draw), words(draw)]
        },
        |_, x| vec![x[0].select(x[1], x[2])],
    ));
    cases.push(plain(
        "threefry",
        |draw| (0..4).map(|_| draw.words(&[3, 2])).collect(),
        |b, x| vec![b.emit_one(Op::Threefry, x)],
    ));
    cases.push(plain(
        "stop_gradient",
        |draw| vec![draw.signed(&[3])],
        |_, x| vec![x[0].stop_gradient()],
    ));
    cases
}

/// What a function takes besides numbers: the ends of its domain.
const EXTREMES: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1e-30,
    -1e-30,
    80.0,
    -80.0,
    0.5,
];

fn unary_cases(unary: Unary, cases: &mut Vec<Case>) {
    let name = Op::Unary(unary).name();
    match unary {
        Unary::Negate
        | Unary::Abs
        | Unary::Exp
        | Unary::Expm1
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Logistic
        | Unary::Erf => {
            cases.push(case(
                name,
                |draw| vec![draw.signed(&[2, 3])],
                move |_, x| vec![x[0].unary(unary)],
            ));
        }
        Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt => {
            cases.push(case(
                name,
                |draw| vec![draw.positive(&[2, 3])],
                move |_, x| vec![x[0].unary(unary)],
            ));
        }
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => {
            cases.push(plain(
                name,
                |_| vec![Array::vector(&[-1.7, -0.5, 0.2, 0.5, 1.5, 2.3])],
                move |_, x| vec![x[0].unary(unary)],
            ));
        }
        Unary::Not => {
            for dtype in [DType::I32, DType::I64, DType::U32] {
                cases.push(plain(
                    format!("{name} {dtype}"),
                    |draw| vec![draw.integers(DType::I64, &[5], -9, 9).convert(dtype)],
                    move |_, x| vec![x[0].unary(unary)],
                ));
            }
            cases.push(plain(
                format!("{name} bool"),
                |draw| vec![draw.booleans(&[5])],
                move |_, x| vec![x[0].unary(unary)],
            ));
        }
        Unary::IsFinite => {}
    }
    if matches!(unary, Unary::Negate | Unary::Abs | Unary::Sign) {
        cases.push(plain(
            format!("{name} i32"),
            |_| vec![Array::vector(&[i32::MIN, -3, 0, 5, i32::MAX])],
            move |_, x| vec![x[0].unary(unary)],
        ));
        cases.push(plain(
            format!("{name} i64"),
            |_| vec![Array::vector(&[i64::MIN, -3, 0, 5, i64::MAX])],
            move |_, x| vec![x[0].unary(unary)],
        ));
    }
    if unary != Unary::Not {
        cases.push(plain(
            format!("{name} at extremes"),
            |_| vec![Array::vector(&EXTREMES)],
            move |_, x| vec![x[0].unary(unary)],
        ));
    }
}

fn binary_cases(binary: Binary, cases: &mut Vec<Case>) {
    let op = Op::Binary(binary);
    let name = op.name();
    match binary {
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide => {
            cases.push(case(
                name,
                |draw| vec![draw.signed(&[2, 3]), draw.signed(&[2, 3])],
                move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
            ));
        }
        // Quotients 2.4 and so on: away from whole ones, where the remainder jumps.
        Binary::Remainder => cases.push(case(
            name,
            |_| vec![Array::vector(&[1.2, -1.2, 3.8, 0.2]), Array::vector(&[0.5, 0.5, -1.5, 1.0])],
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        )),
        Binary::Power => cases.push(case(
            name,
            |draw| vec![draw.positive(&[2, 3]), draw.signed(&[2, 3])],
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        )),
        Binary::Maximum | Binary::Minimum => cases.push(case(
            name,
            |_| vec![Array::vector(&[1.0, -2.0, 0.5, 3.0]), Array::vector(&[0.4, -1.0, 1.5, -3.0])],
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        )),
        Binary::And | Binary::Or | Binary::Xor => cases.push(plain(
            format!("{name} bool"),
            |_| {
                vec![
                    Array::vector(&[false, false, true, true]),
                    Array::vector(&[false, true, false, true]),
                ]
            },
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        )),
        Binary::ShiftLeft | Binary::ShiftRightLogical => {}
    }
    let on_floats = !matches!(
        binary,
        Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRightLogical
    );
    if on_floats {
        let pairs: Vec<(f64, f64)> =
            EXTREMES.iter().flat_map(|&a| EXTREMES.iter().map(move |&b| (a, b))).collect();
        cases.push(plain(
            format!("{name} at extremes"),
            move |_| {
                let left: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
                let right: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
                vec![Array::vector(&left), Array::vector(&right)]
            },
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        ));
    }
    if binary == Binary::Power {
        return;
    }
    let left = [i64::MIN, i64::from(i32::MIN), -7, -1, 0, 1, 7, 31, i64::from(u32::MAX), i64::MAX];
    let right = [-1, 0, 1, 2, 5, 31, 32, 63, 64, i64::MAX];
    let pairs: Vec<(i64, i64)> =
        left.iter().flat_map(|&a| right.iter().map(move |&b| (a, b))).collect();
    for dtype in [DType::I32, DType::I64, DType::U32] {
        let pairs = pairs.clone();
        cases.push(plain(
            format!("{name} {dtype}"),
            move |_| {
                let left: Vec<i64> = pairs.iter().map(|pair| pair.0).collect();
                let right: Vec<i64> = pairs.iter().map(|pair| pair.1).collect();
                vec![Array::vector(&left).convert(dtype), Array::vector(&right).convert(dtype)]
            },
            move |b, x| vec![b.emit_one(Op::Binary(binary), x)],
        ));
    }
}

fn comparison_cases(comparison: Comparison, cases: &mut Vec<Case>) {
    let op = Op::Compare(comparison);
    let name = op.name();
    let pairs: Vec<(f64, f64)> =
        EXTREMES.iter().flat_map(|&a| EXTREMES.iter().map(move |&b| (a, b))).collect();
    cases.push(plain(
        name,
        move |_| {
            let left: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
            let right: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
            vec![Array::vector(&left), Array::vector(&right)]
        },
        move |b, x| vec![b.emit_one(Op::Compare(comparison), x)],
    ));
    for dtype in [DType::I32, DType::I64, DType::U32, DType::Bool] {
        cases.push(plain(
            format!("{name} {dtype}"),
            move |_| {
                let left = Array::vector(&[-1i64, 0, 0, 1, 1, 5, i64::MAX]);
                let right = Array::vector(&[1i64, 0, 1, 0, 1, -5, 3]);
                vec![left.convert(dtype), right.convert(dtype)]
            },
            move |b, x| vec![b.emit_one(Op::Compare(comparison), x)],
        ));
    }
}

fn conversion_cases(cases: &mut Vec<Case>) {
    for from in DType::ALL {
        for to in DType::ALL {
            // A float of the other width would be read as the graph's own.
            if from == DType::F32 {
                continue;
            }
            cases.push(plain(
                format!("convert {from} to {to}"),
                move |_| {
                    let values = [-3.5, -1.0, 0.0, 0.25, 2.5, 70_000.0, 3.5e9, -3.5e9];
                    vec![Array::vector(&values).convert(from)]
                },
                move |_, x| vec![x[0].convert(to)],
            ));
        }
    }
    // Halves of small integers: both widths hold them exactly, so the executor's rounding to f32
    // and the oracle's lack of it agree.
    cases.push(
        case(
            "convert",
            |_| vec![Array::vector(&[-1.5, 0.5, 2.0])],
            |_, x| {
                let narrow = x[0].convert(DType::F32);
                vec![(narrow * narrow).convert(DType::F64) * 0.5]
            },
        )
        .tolerance(
            1e-6,
            1e-5,
            "the executor rounds to f32 where asked to, the oracle does not",
        ),
    );
    for (from, to) in [
        (DType::F64, DType::I64),
        (DType::I64, DType::F64),
        (DType::I32, DType::U32),
        (DType::U32, DType::I32),
        (DType::Bool, DType::Bool),
    ] {
        cases.push(plain(
            format!("bitcast {from} to {to}"),
            move |_| vec![Array::vector(&[-3.5, -1.0, 0.0, 0.25, 2.5]).convert(from)],
            move |_, x| {
                let from = x[0].dtype();
                // Traced in f32, the wide float's place is taken by the narrow one.
                let narrow = from == DType::F32;
                vec![x[0].bitcast(if narrow { DType::I32 } else { to })]
            },
        ));
    }
    cases.push(plain(
        "bitcast through f32",
        |draw| vec![draw.integers(DType::U32, &[5], 0x3f00_0000, 0x4000_0000)],
        |_, x| vec![x[0].bitcast(DType::F32), x[0].bitcast(DType::F32).bitcast(DType::I32)],
    ));
}
