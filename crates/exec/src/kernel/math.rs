//! Elementary functions with the same bits on every machine.
//!
//! The platform's `exp` or `sin` differs between systems, so results that depend on it would too.
//! These are written with fused multiply-adds, bit arithmetic and selections only: a loop over
//! them vectorises, and every vector width and instruction set gives the same bits.
//!
//! | precision | largest error |
//! |---|---|
//! | `f32` | 2 units in the last place over all arguments, subnormal ones too |
//! | `f64` | that of the `libm` crate, about 1 unit in the last place |

mod double;
mod single;

use super::simd::{Float, Isa};

/// The elementary functions of an element type.
///
/// Methods are associated functions without `self`, so that they do not hide behind the standard
/// library's methods of the same name: write `T::exp(x)`, and `<f32 as Math>::exp(x)` where the
/// type is known.
pub trait Math: Float {
    /// e to the power `x`.
    fn exp(x: Self) -> Self;
    /// `exp(x) - 1` without cancellation.
    fn expm1(x: Self) -> Self;
    /// Natural logarithm; NaN below zero.
    fn log(x: Self) -> Self;
    /// `log(1 + x)` without cancellation; NaN below -1.
    fn log1p(x: Self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(x: Self) -> Self;
    /// `1 / (1 + exp(-x))`.
    fn logistic(x: Self) -> Self;
    /// Error function.
    fn erf(x: Self) -> Self;
    /// Sine of radians; NaN at infinity.
    fn sin(x: Self) -> Self;
    /// Cosine of radians; NaN at infinity.
    fn cos(x: Self) -> Self;
    /// Square root, correctly rounded; NaN below zero.
    fn sqrt(x: Self) -> Self;
    /// `1 / sqrt(x)`: two correctly rounded operations.
    fn rsqrt(x: Self) -> Self;
    /// `x` to the power `y`, with the special cases of IEEE 754.
    fn pow(x: Self, y: Self) -> Self;
}

/// A function of one argument, for [`map`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unary {
    /// [`Math::exp`]
    Exp,
    /// [`Math::expm1`]
    Expm1,
    /// [`Math::log`]
    Log,
    /// [`Math::log1p`]
    Log1p,
    /// [`Math::tanh`]
    Tanh,
    /// [`Math::logistic`]
    Logistic,
    /// [`Math::erf`]
    Erf,
    /// [`Math::sin`]
    Sin,
    /// [`Math::cos`]
    Cos,
    /// [`Math::sqrt`]
    Sqrt,
    /// [`Math::rsqrt`]
    Rsqrt,
}

impl Unary {
    /// Every function.
    pub const ALL: [Self; 11] = [
        Self::Exp,
        Self::Expm1,
        Self::Log,
        Self::Log1p,
        Self::Tanh,
        Self::Logistic,
        Self::Erf,
        Self::Sin,
        Self::Cos,
        Self::Sqrt,
        Self::Rsqrt,
    ];
}

/// Applies a function to every element with an instruction set (or the best one, if the machine
/// lacks it). Elements beyond the shorter slice are left alone.
pub fn map<T: Math>(isa: Isa, function: Unary, from: &[T], to: &mut [T]) {
    match isa {
        // SAFETY: the machine has the instruction set.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if isa.is_available() => unsafe { loops::unary_avx512(function, from, to) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.is_available() => unsafe { loops::unary_avx2(function, from, to) },
        _ => loops::unary(function, from, to),
    }
}

/// `to[i] = pow(base[i], exponent[i])`, otherwise as [`map`].
pub fn map_pow<T: Math>(isa: Isa, base: &[T], exponent: &[T], to: &mut [T]) {
    match isa {
        // SAFETY: the machine has the instruction set.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if isa.is_available() => unsafe { loops::pow_avx512(base, exponent, to) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.is_available() => unsafe { loops::pow_avx2(base, exponent, to) },
        _ => loops::pow(base, exponent, to),
    }
}

mod loops {
    use super::{Math, Unary};

    #[inline(always)]
    pub(super) fn unary<T: Math>(function: Unary, from: &[T], to: &mut [T]) {
        macro_rules! each {
            ($f:path) => {
                for (to, &x) in to.iter_mut().zip(from) {
                    *to = $f(x);
                }
            };
        }
        match function {
            Unary::Exp => each!(T::exp),
            Unary::Expm1 => each!(T::expm1),
            Unary::Log => each!(T::log),
            Unary::Log1p => each!(T::log1p),
            Unary::Tanh => each!(T::tanh),
            Unary::Logistic => each!(T::logistic),
            Unary::Erf => each!(T::erf),
            Unary::Sin => each!(T::sin),
            Unary::Cos => each!(T::cos),
            Unary::Sqrt => each!(T::sqrt),
            Unary::Rsqrt => each!(T::rsqrt),
        }
    }

    #[inline(always)]
    pub(super) fn pow<T: Math>(base: &[T], exponent: &[T], to: &mut [T]) {
        for ((to, &x), &y) in to.iter_mut().zip(base).zip(exponent) {
            *to = T::pow(x, y);
        }
    }

    macro_rules! entries {
        ($feature:literal, $unary:ident, $pow:ident) => {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = $feature)]
            pub(super) fn $unary<T: Math>(function: Unary, from: &[T], to: &mut [T]) {
                unary(function, from, to);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = $feature)]
            pub(super) fn $pow<T: Math>(base: &[T], exponent: &[T], to: &mut [T]) {
                pow(base, exponent, to);
            }
        };
    }
    entries!("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", unary_avx512, pow_avx512);
    entries!("avx2,fma", unary_avx2, pow_avx2);
}

macro_rules! math {
    ($type:ident, $module:ident) => {
        impl Math for $type {
            #[inline(always)]
            fn exp(x: Self) -> Self {
                $module::exp(x)
            }
            #[inline(always)]
            fn expm1(x: Self) -> Self {
                $module::expm1(x)
            }
            #[inline(always)]
            fn log(x: Self) -> Self {
                $module::log(x)
            }
            #[inline(always)]
            fn log1p(x: Self) -> Self {
                $module::log1p(x)
            }
            #[inline(always)]
            fn tanh(x: Self) -> Self {
                $module::tanh(x)
            }
            #[inline(always)]
            fn logistic(x: Self) -> Self {
                $module::logistic(x)
            }
            #[inline(always)]
            fn erf(x: Self) -> Self {
                $module::erf(x)
            }
            #[inline(always)]
            fn sin(x: Self) -> Self {
                $module::sin(x)
            }
            #[inline(always)]
            fn cos(x: Self) -> Self {
                $module::cos(x)
            }
            #[inline(always)]
            fn sqrt(x: Self) -> Self {
                $type::sqrt(x)
            }
            #[inline(always)]
            fn rsqrt(x: Self) -> Self {
                1.0 / $type::sqrt(x)
            }
            #[inline(always)]
            fn pow(x: Self, y: Self) -> Self {
                $module::pow(x, y)
            }
        }
    };
}
math!(f32, single);
math!(f64, double);

#[cfg(test)]
mod tests;
