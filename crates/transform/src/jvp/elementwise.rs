//! Tangents of element-wise functions.

use crate::jvp::add;
use thalweg_graph::{Binary, Tensor, Unary};

/// The tangent of `y = unary(x)` along `t`.
///
/// Each is `t` times a factor that does not depend on `t`, written in terms of the result where
/// that is as accurate. At kinks: `abs` takes zero at zero, steps are flat everywhere.
pub(super) fn unary<'b>(
    unary: Unary,
    x: Tensor<'b>,
    t: Tensor<'b>,
    y: Tensor<'b>,
) -> Option<Tensor<'b>> {
    if !y.dtype().is_float() {
        return None;
    }
    Some(match unary {
        Unary::Negate => -t,
        Unary::Abs => t * x.sign(),
        Unary::Exp => t * y,
        // The result plus one would cancel for very negative operands.
        Unary::Expm1 => t * x.exp(),
        Unary::Log => t / x,
        Unary::Log1p => t / (x + 1.0),
        Unary::Sqrt => t * (0.5 / y),
        Unary::Rsqrt => t * (y * y * y * -0.5),
        Unary::Sin => t * x.cos(),
        Unary::Cos => t * -x.sin(),
        Unary::Tanh => t * ((1.0 - y) * (1.0 + y)),
        Unary::Logistic => t * (y * (1.0 - y)),
        Unary::Erf => t * ((-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI),
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => return None,
        Unary::Not | Unary::IsFinite => return None,
    })
}

/// The tangent of `y = binary(a, b)`.
pub(super) fn binary<'b>(
    binary: Binary,
    [a, b]: [Tensor<'b>; 2],
    [ta, tb]: [Option<Tensor<'b>>; 2],
    y: Tensor<'b>,
) -> Option<Tensor<'b>> {
    match binary {
        Binary::Add => add(ta, tb),
        Binary::Subtract => match (ta, tb) {
            (Some(ta), Some(tb)) => Some(ta - tb),
            (ta, None) => ta,
            (None, Some(tb)) => Some(-tb),
        },
        // The tangent stands first in both terms, so that those of a square are one node.
        Binary::Multiply => add(ta.map(|ta| ta * b), tb.map(|tb| tb * a)),
        Binary::Divide => match (ta, tb) {
            (Some(ta), Some(tb)) => Some((ta - tb * y) / b),
            (Some(ta), None) => Some(ta / b),
            (None, tb) => tb.map(|tb| -(tb * y) / b),
        },
        Binary::Remainder => {
            let quotient = || ((a - y) / b).round();
            binary_difference(ta, tb.map(|tb| tb * quotient()))
        }
        Binary::Power => {
            add(ta.map(|ta| ta * power_by_base(a, b)), tb.map(|tb| tb * power_by_exponent(a, y)))
        }
        Binary::Maximum => Some(choice(a.greater(b), a.equal(b), ta, tb)?),
        Binary::Minimum => Some(choice(a.less(b), a.equal(b), ta, tb)?),
        Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRightLogical => {
            None
        }
    }
}

fn binary_difference<'b>(a: Option<Tensor<'b>>, b: Option<Tensor<'b>>) -> Option<Tensor<'b>> {
    add(a, b.map(|b| -b))
}

/// `e x^(e - 1)`, zero where `e` is zero even if `x` is zero too.
fn power_by_base<'b>(x: Tensor<'b>, e: Tensor<'b>) -> Tensor<'b> {
    let constant = e.equal(0.0);
    let safe = constant.select(1.0, e);
    constant.select(0.0, e * x.power(safe - 1.0))
}

/// `log(x) x^e`, zero where `x` is zero.
fn power_by_exponent<'b>(x: Tensor<'b>, y: Tensor<'b>) -> Tensor<'b> {
    x.equal(0.0).select(1.0, x).log() * y
}

/// `ta` where the first operand is chosen, `tb` where the second is, half of each on a tie.
fn choice<'b>(
    first: Tensor<'b>,
    tie: Tensor<'b>,
    ta: Option<Tensor<'b>>,
    tb: Option<Tensor<'b>>,
) -> Option<Tensor<'b>> {
    let zeros = ta.or(tb)?.zeros_like();
    let mean = add(ta, tb)? * 0.5;
    Some(tie.select(mean, first.select(ta.unwrap_or(zeros), tb.unwrap_or(zeros))))
}
