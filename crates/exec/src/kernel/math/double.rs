//! `f64`: the pure Rust `libm` crate, whose results do not depend on the platform.

pub(super) use libm::{cos, erf, exp, expm1, log, log1p, pow, sin, tanh};

/// `1 / (1 + exp(-x))`, by the exponential that does not overflow.
#[inline(always)]
pub(super) fn logistic(x: f64) -> f64 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}
