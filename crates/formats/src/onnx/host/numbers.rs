//! Arithmetic on constants.

use super::{few, stretched, stretched_places};
use crate::onnx::call::{Call, axis_of, integers};
use crate::onnx::ops::cast;
use thalweg_array::{Array, DType};

/// Elements in a form to compute with.
#[derive(Clone, Debug)]
enum Numbers {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

use Numbers::{Floats, Integers};

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn numbers(array: &Array) -> Result<Numbers, String> {
    match array.dtype().is_float() {
        true => Ok(Floats(array.to_f64_vec())),
        false => integers(array).map(Integers),
    }
}

fn array(shape: &[usize], dtype: DType, numbers: Numbers) -> Result<Array, String> {
    let made = match numbers {
        Integers(values) => Array::from_slice(shape, &values),
        Floats(values) => Array::from_slice(shape, &values),
    };
    Ok(made.map_err(text)?.convert(dtype))
}

/// The result of an arithmetic operation, `None` if it is none of these.
pub(super) fn fold(
    call: &Call<'_, '_, '_>,
    arrays: &[Option<&Array>],
) -> Result<Option<Array>, String> {
    let op = call.node.op.as_str();
    let input = |i: usize| -> Result<&Array, String> {
        arrays.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
    };
    match op {
        "Neg" | "Abs" | "Sign" | "Floor" | "Ceil" | "Round" | "Sqrt" | "Reciprocal" | "Exp"
        | "Log" | "Sin" | "Cos" => unary(op, input(0)?),
        "Not" => {
            let Integers(values) = numbers(input(0)?)? else { return Ok(None) };
            let values = values.into_iter().map(|value| i64::from(value == 0)).collect();
            array(input(0)?.shape(), DType::Bool, Integers(values)).map(Some)
        }
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" => {
            let fmod = call.flag("fmod")?;
            binary(op, fmod, input(0)?, input(1)?)
        }
        "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" | "Xor" => {
            compare(op, input(0)?, input(1)?)
        }
        "Min" | "Max" | "Sum" => {
            let mut given = arrays.iter().copied().flatten();
            let Some(first) = given.next() else { return Ok(None) };
            let op = if op == "Sum" { "Add" } else { op };
            let mut all = first.clone();
            for other in given {
                match binary(op, false, &all, other)? {
                    Some(next) => all = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(all))
        }
        "Where" => select(input(0)?, input(1)?, input(2)?),
        "Cast" => {
            let to = call.integer("to")?.ok_or("attribute `to` is missing")?;
            cast::array(input(0)?, to).map(Some)
        }
        "CastLike" => Ok(Some(input(0)?.convert(input(1)?.dtype()))),
        "Range" => range(input(0)?, input(1)?, input(2)?),
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" | "ReduceMean" => {
            let axes = match arrays.get(1).copied().flatten() {
                Some(axes) => Some(integers(axes)?),
                None => call.integers_of("axes")?,
            };
            if axes.as_ref().is_none_or(Vec::is_empty) && call.flag("noop_with_empty_axes")? {
                return Ok(Some(input(0)?.clone()));
            }
            reduce(op, input(0)?, axes, call.integer_or("keepdims", 1)? != 0)
        }
        "CumSum" => {
            let axis = integers(input(1)?)?.first().copied().ok_or("no axis")?;
            if call.flag("exclusive")? || call.flag("reverse")? {
                return Ok(None);
            }
            running(input(0)?, axis)
        }
        _ => Ok(None),
    }
}

fn unary(op: &str, x: &Array) -> Result<Option<Array>, String> {
    let result = match numbers(x)? {
        Integers(values) => {
            let of: fn(i64) -> i64 = match op {
                "Neg" => i64::wrapping_neg,
                "Abs" => i64::wrapping_abs,
                "Sign" => i64::signum,
                _ => return Ok(None),
            };
            Integers(values.into_iter().map(of).collect())
        }
        Floats(values) => {
            let of: fn(f64) -> f64 = match op {
                "Neg" => |x| -x,
                "Abs" => f64::abs,
                "Sign" => |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x
                    }
                },
                "Floor" => f64::floor,
                "Ceil" => f64::ceil,
                "Round" => f64::round_ties_even,
                "Sqrt" => f64::sqrt,
                "Reciprocal" => |x| 1.0 / x,
                "Exp" => f64::exp,
                "Log" => f64::ln,
                "Sin" => f64::sin,
                "Cos" => f64::cos,
                _ => return Ok(None),
            };
            Floats(values.into_iter().map(of).collect())
        }
    };
    array(x.shape(), x.dtype(), result).map(Some)
}

/// The elements of an array stretched to a shape.
fn spread(x: &Array, shape: &[usize]) -> Result<Numbers, String> {
    let places = stretched_places(x.shape(), shape);
    Ok(match numbers(x)? {
        Integers(values) => Integers(places.iter().map(|&at| values[at]).collect()),
        Floats(values) => Floats(places.iter().map(|&at| values[at]).collect()),
    })
}

/// Two operands under one shape, `None` if that is too large.
fn pair(a: &Array, b: &Array) -> Result<Option<(Vec<usize>, Numbers, Numbers)>, String> {
    let shape = stretched(a.shape(), b.shape())?;
    if few(&shape).is_none() {
        return Ok(None);
    }
    let (left, right) = (spread(a, &shape)?, spread(b, &shape)?);
    Ok(Some((shape, left, right)))
}

fn binary(op: &str, fmod: bool, a: &Array, b: &Array) -> Result<Option<Array>, String> {
    let Some((shape, left, right)) = pair(a, b)? else { return Ok(None) };
    let result = match (left, right) {
        (Integers(left), Integers(right)) => {
            let of: fn(i64, i64) -> i64 = match op {
                "Add" => i64::wrapping_add,
                "Sub" => i64::wrapping_sub,
                "Mul" => i64::wrapping_mul,
                "Div" => |a, b| a.checked_div(b).unwrap_or(0),
                "Mod" if fmod => |a, b| a.checked_rem(b).unwrap_or(0),
                "Mod" => |a, b| match a.checked_rem(b) {
                    Some(rest) if rest != 0 && (rest < 0) != (b < 0) => rest + b,
                    rest => rest.unwrap_or(0),
                },
                "Pow" => |a, b| u32::try_from(b).map_or(0, |b| a.wrapping_pow(b)),
                "Min" => i64::min,
                "Max" => i64::max,
                _ => return Ok(None),
            };
            Integers(left.into_iter().zip(right).map(|(a, b)| of(a, b)).collect())
        }
        (Floats(left), right) => {
            let of: fn(f64, f64) -> f64 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Mod" => |a, b| a % b,
                "Pow" => f64::powf,
                "Min" => |a, b| if a.is_nan() || a < b { a } else { b },
                "Max" => |a, b| if a.is_nan() || a > b { a } else { b },
                _ => return Ok(None),
            };
            let right = match right {
                Floats(values) => values,
                Integers(values) if op == "Pow" => values.iter().map(|&v| v as f64).collect(),
                Integers(_) => return Err("one operand is of floats, the other of integers".into()),
            };
            Floats(left.into_iter().zip(right).map(|(a, b)| of(a, b)).collect())
        }
        (Integers(left), Floats(right)) if op == "Pow" => {
            Integers(left.into_iter().zip(right).map(|(a, b)| (a as f64).powf(b) as i64).collect())
        }
        (Integers(_), Floats(_)) => {
            return Err("one operand is of integers, the other of floats".into());
        }
    };
    array(&shape, a.dtype(), result).map(Some)
}

fn compare(op: &str, a: &Array, b: &Array) -> Result<Option<Array>, String> {
    let Some((shape, left, right)) = pair(a, b)? else { return Ok(None) };
    fn of<T: PartialOrd>(op: &str, a: T, b: T) -> Option<bool> {
        Some(match op {
            "Equal" => a == b,
            "Less" => a < b,
            "Greater" => a > b,
            "LessOrEqual" => a <= b,
            "GreaterOrEqual" => a >= b,
            _ => return None,
        })
    }
    let results: Option<Vec<bool>> = match (left, right) {
        (Integers(left), Integers(right)) => left
            .into_iter()
            .zip(right)
            .map(|(a, b)| match op {
                "And" => Some(a != 0 && b != 0),
                "Or" => Some(a != 0 || b != 0),
                "Xor" => Some((a != 0) != (b != 0)),
                _ => of(op, a, b),
            })
            .collect(),
        (Floats(left), Floats(right)) => {
            left.into_iter().zip(right).map(|(a, b)| of(op, a, b)).collect()
        }
        _ => return Err("the operands are of different types".into()),
    };
    results.map(|results| Array::from_slice(&shape, &results).map_err(text)).transpose()
}

fn select(condition: &Array, a: &Array, b: &Array) -> Result<Option<Array>, String> {
    let shape = stretched(condition.shape(), &stretched(a.shape(), b.shape())?)?;
    if few(&shape).is_none() {
        return Ok(None);
    }
    let Integers(chosen) = spread(condition, &shape)? else {
        return Err("the condition is of floats".into());
    };
    fn choose<T>(chosen: Vec<i64>, a: Vec<T>, b: Vec<T>) -> Vec<T> {
        let pairs = chosen.into_iter().zip(a.into_iter().zip(b));
        pairs.map(|(condition, (a, b))| if condition != 0 { a } else { b }).collect()
    }
    let result = match (spread(a, &shape)?, spread(b, &shape)?) {
        (Integers(a), Integers(b)) => Integers(choose(chosen, a, b)),
        (Floats(a), Floats(b)) => Floats(choose(chosen, a, b)),
        _ => return Err("the operands are of different types".into()),
    };
    array(&shape, a.dtype(), result).map(Some)
}

fn range(start: &Array, limit: &Array, step: &Array) -> Result<Option<Array>, String> {
    let single = |array: &Array| numbers(array);
    match (single(start)?, single(limit)?, single(step)?) {
        (Integers(start_at), Integers(limit), Integers(step)) => {
            let [start_at, limit, step] = [start_at, limit, step].map(|v| v.first().copied());
            let (Some(from), Some(to), Some(by)) = (start_at, limit, step) else {
                return Err("start, limit and step should be single numbers".into());
            };
            if by == 0 {
                return Err("the step is zero".into());
            }
            let span = i128::from(to) - i128::from(from);
            let by = i128::from(by);
            let count =
                if (span > 0) == (by > 0) { (span.abs() + by.abs() - 1) / by.abs() } else { 0 };
            if count > super::MOST_ELEMENTS as i128 {
                return Ok(None);
            }
            let values = (0..count).map(|i| (i128::from(from) + i * by) as i64).collect::<Vec<_>>();
            array(&[values.len()], start.dtype(), Integers(values)).map(Some)
        }
        (Floats(start_at), Floats(limit), Floats(step)) => {
            let [start_at, limit, step] = [start_at, limit, step].map(|v| v.first().copied());
            let (Some(from), Some(to), Some(by)) = (start_at, limit, step) else {
                return Err("start, limit and step should be single numbers".into());
            };
            let count = ((to - from) / by).ceil().max(0.0);
            if !count.is_finite() {
                return Err(format!("a range from {from} to {to} by {by}"));
            }
            if count > super::MOST_ELEMENTS as f64 {
                return Ok(None);
            }
            let values: Vec<f64> = (0..count as usize).map(|i| from + i as f64 * by).collect();
            array(&[values.len()], start.dtype(), Floats(values)).map(Some)
        }
        _ => Err("start, limit and step are of different types".into()),
    }
}

fn reduce(
    op: &str,
    x: &Array,
    axes: Option<Vec<i64>>,
    keep: bool,
) -> Result<Option<Array>, String> {
    let rank = x.rank();
    let mut reduced = vec![false; rank];
    match axes.filter(|axes| !axes.is_empty()) {
        Some(axes) => {
            for axis in axes {
                reduced[axis_of(axis, rank)?] = true;
            }
        }
        None => reduced.fill(true),
    }
    let shape = x.shape();
    let inner: Vec<usize> =
        (0..rank).map(|axis| if reduced[axis] { 1 } else { shape[axis] }).collect();
    let Some(count) = few(&inner) else { return Ok(None) };
    let targets = stretched_places(&inner, shape);
    let boolean = x.dtype() == DType::Bool;
    let result = match numbers(x)? {
        Integers(values) => {
            let (start, of): (i64, fn(i64, i64) -> i64) = match op {
                "ReduceMax" if boolean => (0, i64::max),
                "ReduceMin" if boolean => (1, i64::min),
                "ReduceSum" => (0, i64::wrapping_add),
                "ReduceProd" => (1, i64::wrapping_mul),
                "ReduceMax" => (i64::MIN, i64::max),
                "ReduceMin" => (i64::MAX, i64::min),
                _ => return Ok(None),
            };
            let mut out = vec![start; count];
            for (&at, value) in targets.iter().zip(values) {
                out[at] = of(out[at], value);
            }
            Integers(out)
        }
        Floats(values) => {
            let (start, of): (f64, fn(f64, f64) -> f64) = match op {
                "ReduceSum" | "ReduceMean" => (0.0, |a, b| a + b),
                "ReduceProd" => (1.0, |a, b| a * b),
                "ReduceMax" => (f64::NEG_INFINITY, f64::max),
                "ReduceMin" => (f64::INFINITY, f64::min),
                _ => return Ok(None),
            };
            let mut out = vec![start; count];
            for (&at, value) in targets.iter().zip(values) {
                out[at] = of(out[at], value);
            }
            if op == "ReduceMean" {
                let n = (x.len() / count.max(1)) as f64;
                out.iter_mut().for_each(|value| *value /= n);
            }
            Floats(out)
        }
    };
    let kept: Vec<usize> = if keep {
        inner
    } else {
        (0..rank).filter(|&axis| !reduced[axis]).map(|axis| shape[axis]).collect()
    };
    array(&kept, x.dtype(), result).map(Some)
}

fn running(x: &Array, axis: i64) -> Result<Option<Array>, String> {
    let axis = axis_of(axis, x.rank())?;
    let step = super::strides(x.shape())[axis];
    let extent = x.shape()[axis];
    let result = match numbers(x)? {
        Integers(mut values) => {
            for at in 0..values.len() {
                if !(at / step).is_multiple_of(extent) {
                    values[at] = values[at].wrapping_add(values[at - step]);
                }
            }
            Integers(values)
        }
        Floats(mut values) => {
            for at in 0..values.len() {
                if !(at / step).is_multiple_of(extent) {
                    values[at] += values[at - step];
                }
            }
            Floats(values)
        }
    };
    array(x.shape(), x.dtype(), result).map(Some)
}
