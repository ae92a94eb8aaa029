//! Arithmetic on small constants.
//!
//! Only what IEEE 754 rounds correctly, and integers: `exp` and its like are the executor's.
//! A sum, product, quotient or root of `f32` is that of `f64` rounded once more, which is the same.

use super::Rewriter;
use thalweg_graph::{Array, Binary, Comparison, DType, Op, Tensor, Unary};

/// Constants of more elements stay operations.
const LARGEST: usize = 64;

/// An element of any type.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Float(f64),
    Integer(i128),
    Bool(bool),
}

use Number::{Bool, Float, Integer};

pub(super) fn fold<'b>(rewriter: &Rewriter<'b>, op: &Op, x: &[Tensor<'b>]) -> Option<Tensor<'b>> {
    let nodes: Vec<_> = x.iter().map(|&operand| rewriter.source(operand)).collect();
    let mut constants = Vec::with_capacity(x.len());
    for node in &nodes {
        match &node.op {
            Op::Constant(array) if array.len() <= LARGEST => constants.push(array.as_ref()),
            _ => return None,
        }
    }
    let first = *constants.first()?;
    let (dtype, shape) = match op {
        Op::Convert(dtype) => {
            // The oracle does not round to f32 inside a graph, so what would be rounded stays.
            let converted = first.convert(*dtype);
            let exact = *dtype != DType::F32 || converted.convert(first.dtype()) == *first;
            return exact.then(|| rewriter.builder.constant(converted));
        }
        Op::Compare(_) | Op::Unary(Unary::IsFinite) => (DType::Bool, first.shape()),
        Op::Select => (constants[1].dtype(), first.shape()),
        _ => (first.dtype(), first.shape()),
    };
    let columns: Vec<Vec<Number>> = constants.iter().map(|array| elements(array)).collect();
    let mut results = Vec::with_capacity(first.len());
    for i in 0..first.len() {
        let at = |operand: usize| columns[operand][i];
        results.push(match op {
            Op::Unary(unary) => apply_unary(*unary, at(0))?,
            Op::Binary(binary) => apply_binary(*binary, at(0), at(1), dtype)?,
            Op::Compare(comparison) => Bool(compare(*comparison, at(0), at(1))?),
            Op::Select if at(0) == Bool(true) => at(1),
            Op::Select => at(2),
            _ => return None,
        });
    }
    Some(rewriter.builder.constant(array(dtype, shape, &results)?))
}

fn integers<T: Copy + Into<i128>, E>(elements: Result<&[T], E>) -> Vec<Number> {
    elements.unwrap_or_default().iter().map(|&x| Integer(x.into())).collect()
}

fn elements(array: &Array) -> Vec<Number> {
    match array.dtype() {
        DType::F32 | DType::F64 => array.to_f64_vec().into_iter().map(Float).collect(),
        DType::I32 => integers(array.as_slice::<i32>()),
        DType::I64 => integers(array.as_slice::<i64>()),
        DType::U32 => integers(array.as_slice::<u32>()),
        DType::Bool => array.as_slice().unwrap_or_default().iter().map(|&x| Bool(x)).collect(),
    }
}

/// Back to an array; integers wrap around.
fn array(dtype: DType, shape: &[usize], numbers: &[Number]) -> Option<Array> {
    let integer = |number: &Number| match number {
        Integer(x) => *x,
        Float(_) | Bool(_) => 0,
    };
    let integers = numbers.iter().map(integer);
    match dtype {
        DType::F32 | DType::F64 => {
            let floats: Vec<f64> = numbers
                .iter()
                .map(|number| match number {
                    Float(x) => *x,
                    Integer(_) | Bool(_) => 0.0,
                })
                .collect();
            Array::from_slice(shape, &floats).ok().map(|array| array.convert(dtype))
        }
        DType::I32 => {
            Array::from_slice(shape, &integers.map(|x| x as i32).collect::<Vec<_>>()).ok()
        }
        DType::I64 => {
            Array::from_slice(shape, &integers.map(|x| x as i64).collect::<Vec<_>>()).ok()
        }
        DType::U32 => {
            Array::from_slice(shape, &integers.map(|x| x as u32).collect::<Vec<_>>()).ok()
        }
        DType::Bool => {
            let bools: Vec<bool> = numbers.iter().map(|number| *number == Bool(true)).collect();
            Array::from_slice(shape, &bools).ok()
        }
    }
}

fn apply_unary(unary: Unary, x: Number) -> Option<Number> {
    Some(match (unary, x) {
        (Unary::Negate, Float(x)) => Float(-x),
        (Unary::Negate, Integer(x)) => Integer(-x),
        (Unary::Abs, Float(x)) => Float(x.abs()),
        (Unary::Abs, Integer(x)) => Integer(x.abs()),
        (Unary::Sqrt, Float(x)) => Float(x.sqrt()),
        (Unary::Floor, Float(x)) => Float(x.floor()),
        (Unary::Ceil, Float(x)) => Float(x.ceil()),
        (Unary::Round, Float(x)) => Float(x.round_ties_even()),
        (Unary::Not, Bool(x)) => Bool(!x),
        (Unary::IsFinite, Float(x)) => Bool(x.is_finite()),
        _ => return None,
    })
}

fn apply_binary(binary: Binary, a: Number, b: Number, dtype: DType) -> Option<Number> {
    Some(match (binary, a, b) {
        (Binary::Add, Float(a), Float(b)) => Float(a + b),
        (Binary::Subtract, Float(a), Float(b)) => Float(a - b),
        (Binary::Multiply, Float(a), Float(b)) => Float(a * b),
        (Binary::Divide, Float(a), Float(b)) => Float(a / b),
        // Which of two zeros, or of two NaNs, is the larger one is left to the executor.
        (Binary::Maximum, Float(a), Float(b)) if a > b || b > a => Float(a.max(b)),
        (Binary::Minimum, Float(a), Float(b)) if a > b || b > a => Float(a.min(b)),
        (Binary::Add, Integer(a), Integer(b)) => Integer(a + b),
        (Binary::Subtract, Integer(a), Integer(b)) => Integer(a - b),
        (Binary::Multiply, Integer(a), Integer(b)) if dtype != DType::I64 => Integer(a * b),
        (Binary::Multiply, Integer(a), Integer(b)) => {
            Integer((a as i64).wrapping_mul(b as i64).into())
        }
        (Binary::Maximum, Integer(a), Integer(b)) => Integer(a.max(b)),
        (Binary::Minimum, Integer(a), Integer(b)) => Integer(a.min(b)),
        (Binary::And, Bool(a), Bool(b)) => Bool(a && b),
        (Binary::Or, Bool(a), Bool(b)) => Bool(a || b),
        (Binary::Xor, Bool(a), Bool(b)) => Bool(a != b),
        _ => return None,
    })
}

fn compare(comparison: Comparison, a: Number, b: Number) -> Option<bool> {
    let order = match (a, b) {
        (Float(a), Float(b)) => a.partial_cmp(&b),
        (Integer(a), Integer(b)) => Some(a.cmp(&b)),
        (Bool(a), Bool(b)) => Some(a.cmp(&b)),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => order.is_some_and(|order| order.is_eq()),
        Comparison::NotEqual => order.is_none_or(|order| order.is_ne()),
        Comparison::Less => order.is_some_and(|order| order.is_lt()),
        Comparison::LessEqual => order.is_some_and(|order| order.is_le()),
        Comparison::Greater => order.is_some_and(|order| order.is_gt()),
        Comparison::GreaterEqual => order.is_some_and(|order| order.is_ge()),
    })
}
