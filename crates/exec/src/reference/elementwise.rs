//! Functions of single elements.

use super::dense::{Scalar, wrap};
use std::cmp::Ordering;
use thalweg_array::DType;
use thalweg_graph::{Binary, Comparison, Unary};

/// `unary(x)`, `x` of type `dtype`.
pub(super) fn unary(unary: Unary, x: Scalar, dtype: DType) -> Scalar {
    let float = |f: fn(f64) -> f64| Scalar::Float(f(x.float()));
    match unary {
        Unary::Negate => match x {
            Scalar::Float(x) => Scalar::Float(-x),
            Scalar::Integer(x) => Scalar::Integer(wrap(-i128::from(x), dtype)),
            Scalar::Bool(_) => unreachable!("the verifier asked for numbers"),
        },
        Unary::Abs => match x {
            Scalar::Float(x) => Scalar::Float(x.abs()),
            Scalar::Integer(x) => Scalar::Integer(wrap(i128::from(x).abs(), dtype)),
            Scalar::Bool(_) => unreachable!("the verifier asked for numbers"),
        },
        Unary::Sign => match x {
            Scalar::Float(x) if x > 0.0 => Scalar::Float(1.0),
            Scalar::Float(x) if x < 0.0 => Scalar::Float(-1.0),
            // Zero of either sign, and NaN, are their own sign.
            Scalar::Float(x) => Scalar::Float(x),
            Scalar::Integer(x) => Scalar::Integer(x.signum()),
            Scalar::Bool(_) => unreachable!("the verifier asked for numbers"),
        },
        Unary::Exp => float(libm::exp),
        Unary::Expm1 => float(libm::expm1),
        Unary::Log => float(libm::log),
        Unary::Log1p => float(libm::log1p),
        Unary::Sqrt => float(f64::sqrt),
        Unary::Rsqrt => float(|x| 1.0 / x.sqrt()),
        Unary::Sin => float(libm::sin),
        Unary::Cos => float(libm::cos),
        Unary::Tanh => float(libm::tanh),
        Unary::Logistic => float(|x| 1.0 / (1.0 + libm::exp(-x))),
        Unary::Erf => float(libm::erf),
        Unary::Floor => float(f64::floor),
        Unary::Ceil => float(f64::ceil),
        Unary::Round => float(f64::round_ties_even),
        Unary::Not => match x {
            Scalar::Bool(x) => Scalar::Bool(!x),
            Scalar::Integer(x) => Scalar::Integer(wrap(i128::from(!x), dtype)),
            Scalar::Float(_) => unreachable!("the verifier asked for integers or booleans"),
        },
        Unary::IsFinite => Scalar::Bool(x.float().is_finite()),
    }
}

/// `binary(a, b)`, both of type `dtype`.
pub(super) fn binary(binary: Binary, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(binary_float(binary, a, b)),
        (Scalar::Integer(a), Scalar::Integer(b)) => {
            Scalar::Integer(binary_integer(binary, a, b, dtype))
        }
        (Scalar::Bool(a), Scalar::Bool(b)) => Scalar::Bool(binary_bool(binary, a, b)),
        _ => unreachable!("the verifier asked for operands of one type"),
    }
}

fn binary_float(binary: Binary, a: f64, b: f64) -> f64 {
    let nan = a.is_nan() || b.is_nan();
    match binary {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Remainder => libm::fmod(a, b),
        Binary::Power => libm::pow(a, b),
        Binary::Maximum if nan => f64::NAN,
        Binary::Maximum => a.max(b),
        Binary::Minimum if nan => f64::NAN,
        Binary::Minimum => a.min(b),
        Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRightLogical => {
            unreachable!("the verifier asked for integers")
        }
    }
}

fn binary_integer(binary: Binary, a: i64, b: i64, dtype: DType) -> i64 {
    let (wide_a, wide_b) = (i128::from(a), i128::from(b));
    let width = 8 * dtype.size() as i64;
    // A negative shift is a large one, read as an unsigned number.
    let shifts_all_out = b < 0 || b >= width;
    let bits = if dtype == DType::I64 { i128::from(a as u64) } else { i128::from(a as u32) };
    let result = match binary {
        Binary::Add => wide_a + wide_b,
        Binary::Subtract => wide_a - wide_b,
        Binary::Multiply => wide_a * wide_b,
        Binary::Divide if b == 0 => 0,
        Binary::Divide => wide_a / wide_b,
        Binary::Remainder if b == 0 => 0,
        Binary::Remainder => wide_a % wide_b,
        Binary::Maximum => wide_a.max(wide_b),
        Binary::Minimum => wide_a.min(wide_b),
        Binary::And => wide_a & wide_b,
        Binary::Or => wide_a | wide_b,
        Binary::Xor => wide_a ^ wide_b,
        Binary::ShiftLeft | Binary::ShiftRightLogical if shifts_all_out => 0,
        Binary::ShiftLeft => bits << b,
        Binary::ShiftRightLogical => bits >> b,
        Binary::Power => unreachable!("the verifier asked for floats"),
    };
    wrap(result, dtype)
}

fn binary_bool(binary: Binary, a: bool, b: bool) -> bool {
    match binary {
        Binary::And => a && b,
        Binary::Or => a || b,
        Binary::Xor => a != b,
        Binary::Add
        | Binary::Subtract
        | Binary::Multiply
        | Binary::Divide
        | Binary::Remainder
        | Binary::Power
        | Binary::Maximum
        | Binary::Minimum
        | Binary::ShiftLeft
        | Binary::ShiftRightLogical => unreachable!("the verifier asked for numbers"),
    }
}

/// The order of two elements of one type; `None` where one is NaN.
pub(super) fn order(a: Scalar, b: Scalar) -> Option<Ordering> {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => a.partial_cmp(&b),
        (Scalar::Integer(a), Scalar::Integer(b)) => Some(a.cmp(&b)),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(&b)),
        _ => unreachable!("the verifier asked for operands of one type"),
    }
}

pub(super) fn compare(comparison: Comparison, a: Scalar, b: Scalar) -> bool {
    let order = order(a, b);
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

pub(super) fn is_nan(x: Scalar) -> bool {
    matches!(x, Scalar::Float(x) if x.is_nan())
}

/// As Rust's `as`; to `bool`: is it non-zero.
pub(super) fn convert(x: Scalar, dtype: DType) -> Scalar {
    match dtype {
        DType::F32 | DType::F64 => Scalar::Float(match x {
            Scalar::Float(x) => x,
            Scalar::Integer(x) => x as f64,
            Scalar::Bool(x) => f64::from(u8::from(x)),
        }),
        DType::I32 | DType::I64 | DType::U32 => Scalar::Integer(match x {
            Scalar::Float(x) => match dtype {
                DType::I32 => i64::from(x as i32),
                DType::U32 => i64::from(x as u32),
                _ => x as i64,
            },
            Scalar::Integer(x) => wrap(i128::from(x), dtype),
            Scalar::Bool(x) => i64::from(x),
        }),
        DType::Bool => Scalar::Bool(match x {
            Scalar::Float(x) => x != 0.0,
            Scalar::Integer(x) => x != 0,
            Scalar::Bool(x) => x,
        }),
    }
}

/// The same bits as another type of the same size. An `f32` is rounded first: its bits are asked
/// for.
pub(super) fn bitcast(x: Scalar, from: DType, to: DType) -> Scalar {
    let bits: u64 = match (x, from) {
        (Scalar::Float(x), DType::F32) => u64::from((x as f32).to_bits()),
        (Scalar::Float(x), _) => x.to_bits(),
        (Scalar::Integer(x), _) => x as u64,
        (Scalar::Bool(_), _) => return x,
    };
    match to {
        DType::F32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
        DType::F64 => Scalar::Float(f64::from_bits(bits)),
        DType::I32 | DType::I64 | DType::U32 => Scalar::Integer(wrap(i128::from(bits), to)),
        DType::Bool => unreachable!("the verifier asked for types of one size"),
    }
}
