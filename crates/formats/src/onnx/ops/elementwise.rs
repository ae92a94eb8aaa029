//! Element-wise arithmetic, comparison and logic.

use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::{Laid, Value, together};
use std::f64::consts::FRAC_PI_2;
use thalweg_array::DType;
use thalweg_graph::Tensor;

/// A function of one operand, in whatever order its axes lie.
fn map<'b>(call: &Call<'_, '_, 'b>, of: impl FnOnce(Tensor<'b>) -> Tensor<'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    one(x.like(of(x.tensor)))
}

/// Operands of one type: integers are widened, anything else must agree.
pub(super) fn alike<'b>(operands: &mut [Laid<'b>]) -> Result<(), String> {
    let Some(first) = operands.first().map(|x| x.tensor.dtype()) else { return Ok(()) };
    if operands.iter().all(|x| x.tensor.dtype() == first) {
        return Ok(());
    }
    if operands.iter().all(|x| x.tensor.dtype().is_integer()) {
        for operand in operands {
            *operand = operand.like(operand.tensor.convert(DType::I64));
        }
        return Ok(());
    }
    let types: Vec<String> = operands.iter().map(|x| x.tensor.dtype().to_string()).collect();
    Err(format!("its operands are of different types: {}", types.join(", ")))
}

/// Operands under one type and one order, with a batch that a constant repeats brought to the
/// size at hand.
pub(super) fn operands<'b>(
    call: &Call<'_, '_, 'b>,
    indices: &[usize],
) -> Result<(Vec<Tensor<'b>>, bool), String> {
    let mut laid = Vec::with_capacity(indices.len());
    for &i in indices {
        laid.push(call.laid(i)?);
    }
    call.tracer.batch.stretch(&mut laid)?;
    alike(&mut laid)?;
    check_shapes(&laid)?;
    Ok(together(&laid))
}

fn check_shapes(operands: &[Laid<'_>]) -> Result<(), String> {
    let mut common: Vec<usize> = Vec::new();
    for operand in operands {
        common = crate::onnx::host::stretched(&common, &operand.shape())?;
    }
    Ok(())
}

fn zip<'b>(
    call: &Call<'_, '_, 'b>,
    of: impl FnOnce(Tensor<'b>, Tensor<'b>) -> Tensor<'b>,
) -> Outcome<'b> {
    let (tensors, last) = operands(call, &[0, 1])?;
    match tensors[..] {
        [a, b] => one(Laid { tensor: of(a, b), last }),
        _ => Err("it takes two inputs".into()),
    }
}

/// A function folded over any number of operands.
fn fold<'b>(
    call: &Call<'_, '_, 'b>,
    of: impl Fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>,
) -> Result<Laid<'b>, String> {
    let indices: Vec<usize> = (0..call.inputs.len()).collect();
    let (tensors, last) = operands(call, &indices)?;
    let tensor = tensors.into_iter().reduce(of).ok_or("it takes at least one input")?;
    Ok(Laid { tensor, last })
}

macro_rules! unary {
    ($($name:ident => $of:expr),* $(,)?) => {$(
        pub fn $name<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
            map(call, $of)
        }
    )*};
}

unary! {
    exp => Tensor::exp,
    log => Tensor::log,
    sqrt => Tensor::sqrt,
    sin => Tensor::sin,
    cos => Tensor::cos,
    tanh => Tensor::tanh,
    erf => Tensor::erf,
    floor => Tensor::floor,
    ceil => Tensor::ceil,
    round => Tensor::round,
    not => Tensor::logical_not,
    identity => |x| x,
    reciprocal => |x| 1.0 / x,
    tan => |x| x.sin() / x.cos(),
    sinh => |x| (x.expm1() - (-x).expm1()) * 0.5,
    cosh => |x| (x.exp() + (-x).exp()) * 0.5,
    asin => arc_sine,
    acos => |x| FRAC_PI_2 - arc_sine(x),
    atan => arc_tangent,
    asinh => |x| {
        // log(a + sqrt(a^2 + 1)) of the magnitude, without cancellation near zero.
        let a = x.abs();
        let square = a * a;
        x.sign() * (a + square / ((square + 1.0).sqrt() + 1.0)).log1p()
    },
    acosh => |x| {
        let above = x - 1.0;
        (above + (above * (above + 2.0)).sqrt()).log1p()
    },
    atanh => |x| (x.log1p() - (-x).log1p()) * 0.5,
    is_nan => |x| x.not_equal(x),
}

pub fn abs<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    // Unsigned numbers are their own.
    map(call, |x| if x.dtype() == DType::U32 { x } else { x.abs() })
}

pub fn sign<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    map(call, |x| match x.dtype() {
        DType::U32 => x.greater(0.0).convert(DType::U32),
        _ => x.sign(),
    })
}

pub fn neg<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    map(call, |x| -x)
}

/// `2 atan(x / (1 + sqrt(1 - x^2)))`, which holds at both ends.
fn arc_sine(x: Tensor<'_>) -> Tensor<'_> {
    arc_tangent(x / ((1.0 - x * x).sqrt() + 1.0)) * 2.0
}

/// The arc tangent, whose argument is halved until a short series is exact.
///
/// `atan x = 2 atan(x / (1 + sqrt(1 + x^2)))`; large arguments go by `pi / 2 - atan(1 / x)`.
fn arc_tangent(x: Tensor<'_>) -> Tensor<'_> {
    let large = x.abs().greater(1.0);
    // The branch not taken must stay finite for its derivative.
    let safe = large.select(x, x.sign() + 2.0);
    let mut reduced = large.select(1.0 / safe, x);
    const HALVINGS: i32 = 3;
    for _ in 0..HALVINGS {
        reduced = reduced / ((reduced * reduced + 1.0).sqrt() + 1.0);
    }
    let square = reduced * reduced;
    // Arguments are below tan(pi / 32) < 0.0985: the tenth term is below 1e-20.
    let mut series = x.zeros_like();
    for term in (0..10).rev() {
        let sign = if term % 2 == 0 { 1.0 } else { -1.0 };
        series = series * square + sign / f64::from(2 * term + 1);
    }
    let angle = series * reduced * f64::from(1 << HALVINGS);
    large.select(x.sign() * FRAC_PI_2 - angle, angle)
}

macro_rules! binary {
    ($($name:ident => $of:expr),* $(,)?) => {$(
        pub fn $name<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
            zip(call, $of)
        }
    )*};
}

binary! {
    add => |a, b| a + b,
    sub => |a, b| a - b,
    mul => |a, b| a * b,
    div => |a, b| a / b,
    and => Tensor::and,
    or => Tensor::or,
    xor => Tensor::xor,
    less => Tensor::less,
    less_equal => Tensor::less_equal,
    greater => Tensor::greater,
    greater_equal => Tensor::greater_equal,
    equal => Tensor::equal,
}

pub fn sum<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    one(fold(call, |a, b| a + b)?)
}

pub fn mean<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let n = call.inputs.len().max(1) as f64;
    let total = fold(call, |a, b| a + b)?;
    one(total.like(total.tensor * (1.0 / n)))
}

pub fn max<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    one(fold(call, |a, b| a.maximum(b))?)
}

pub fn min<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    one(fold(call, |a, b| a.minimum(b))?)
}

/// The remainder: with the sign of the divisor, or with `fmod` that of the dividend.
pub fn modulo<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let truncated = call.flag("fmod")?;
    zip(call, |a, b| {
        let rest = a.remainder(b);
        if truncated || a.dtype() == DType::U32 {
            return rest;
        }
        let turned = rest.not_equal(0.0).and(rest.less(0.0).xor(b.less(0.0)));
        turned.select(rest + b, rest)
    })
}

pub fn bit_shift<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let left = match call.text("direction")? {
        Some("LEFT") => true,
        Some("RIGHT") => false,
        _ => return Err("attribute `direction` should be LEFT or RIGHT".into()),
    };
    zip(call, |a, b| match (left, a.dtype()) {
        (true, _) => a.shift_left(b),
        (false, DType::U32) => a.shift_right_logical(b),
        // Ones come in where the sign is set.
        (false, _) => {
            let inverted = a.logical_not().shift_right_logical(b).logical_not();
            a.less(0.0).select(inverted, a.shift_right_logical(b))
        }
    })
}

/// `a` to the power `b`, by products where `b` is a small whole constant: any base has a
/// derivative then.
pub fn pow<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    if let Value::Host(array) = call.value(1)?
        && let Some(exponent) = array.item()
        && array.rank() <= call.shape(0)?.len()
    {
        let x = call.laid(0)?;
        let base = x.tensor;
        let float = base.dtype().is_float();
        let result = match exponent {
            1.0 => Some(base),
            2.0 => Some(base * base),
            3.0 => Some(base * base * base),
            4.0 => Some((base * base).square()),
            0.5 if float => Some(base.sqrt()),
            -0.5 if float => Some(base.rsqrt()),
            -1.0 if float => Some(1.0 / base),
            _ => None,
        };
        if let Some(result) = result {
            return one(x.like(result));
        }
    }
    let mut laid = vec![call.laid(0)?, call.laid(1)?];
    let float = call.builder().float();
    let dtype = laid[0].tensor.dtype();
    for operand in &mut laid {
        *operand = operand.like(operand.tensor.convert(float));
    }
    check_shapes(&laid)?;
    let (tensors, last) = together(&laid);
    match tensors[..] {
        [a, b] => {
            let power = a.power(b);
            // Whole powers of whole numbers come out beside the whole number.
            let power = if dtype.is_float() { power } else { power.round().convert(dtype) };
            one(Laid { tensor: power, last })
        }
        _ => Err("it takes two inputs".into()),
    }
}

pub fn select<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut laid = vec![call.laid(0)?, call.laid(1)?, call.laid(2)?];
    call.tracer.batch.stretch(&mut laid)?;
    alike(&mut laid[1..])?;
    check_shapes(&laid)?;
    let (tensors, last) = together(&laid);
    match tensors[..] {
        [condition, a, b] => {
            // `select` takes the scalar's place from its last operand.
            one(Laid { tensor: condition.select(a, b), last })
        }
        _ => Err("it takes three inputs".into()),
    }
}

/// Between two bounds, each of which may be missing; the derivative at a bound is that inside.
pub fn clip<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let mut y = x.tensor;
    let bound =
        |call: &Call<'_, '_, 'b>, i: usize, name: &str| -> Result<Option<Tensor<'b>>, String> {
            if let Some(bound) = call.optional(i)? {
                let bound = if bound.rank() > 0 { bound.reshape(&[]) } else { bound };
                return Ok(Some(bound.convert(y.dtype())));
            }
            Ok(call.float(name)?.map(|value| call.builder().scalar_of(y.dtype(), value)))
        };
    let low = bound(call, 1, "min")?;
    let high = bound(call, 2, "max")?;
    if let Some(low) = low {
        y = y.less(low).select(low.broadcast_in(&y.shape(), &[]), y);
    }
    if let Some(high) = high {
        y = y.greater(high).select(high.broadcast_in(&y.shape(), &[]), y);
    }
    one(x.like(y))
}

pub fn is_inf<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let negative = call.integer_or("detect_negative", 1)? != 0;
    let positive = call.integer_or("detect_positive", 1)? != 0;
    map(call, |x| match (negative, positive) {
        (true, true) => x.abs().equal(f64::INFINITY),
        (true, false) => x.equal(f64::NEG_INFINITY),
        (false, true) => x.equal(f64::INFINITY),
        (false, false) => x.not_equal(x).and(x.equal(x)),
    })
}

/// Dropout is off: its input, and a mask that keeps everything.
pub fn dropout<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let kept = call.builder().full(&thalweg_graph::TensorType::new(DType::Bool, x.shape()), 1.0);
    Ok(vec![x.into(), kept.into()])
}

/// The product over axes, pair by pair: the engine has no such reduction.
pub(super) fn product(x: Tensor<'_>, axis: usize) -> Tensor<'_> {
    let mut x = x;
    loop {
        let extent = x.shape()[axis];
        match extent {
            0 => {
                let mut shape = x.shape();
                shape.remove(axis);
                let ty = thalweg_graph::TensorType::new(x.dtype(), shape);
                return x.builder().full(&ty, 1.0);
            }
            1 => return x.index(axis, 0),
            _ => {}
        }
        let half = extent / 2;
        let pairs = x.slice(axis, 0, half) * x.slice(axis, half, 2 * half);
        x = if extent % 2 == 1 {
            x.builder().concatenate(&[pairs, x.slice(axis, extent - 1, extent)], axis)
        } else {
            pairs
        };
    }
}
