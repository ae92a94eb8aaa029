//! One instruction over one tile.
//!
//! The bodies are plain loops over separate slices; inlined into functions compiled for an
//! instruction set they become vector code. No operation here is contracted or reordered, so the
//! bits are the same whatever the width.

use super::fold::{maximum, minimum};
use super::{Instruction, TileOp};
use crate::kernel::math::Math;
use crate::scalar;
use thalweg_graph::{Binary, Comparison, DType, Unary};

/// Runs an instruction other than a load on `n` elements.
///
/// # Safety
/// `registers` gives each source `n` elements of its type to read and the target `n` to write;
/// the target overlaps no source.
#[inline(always)]
pub(super) unsafe fn run(instruction: &Instruction, registers: &[*mut u8], n: usize) {
    let target = registers[instruction.target as usize];
    let [a, b, c, d] = instruction.sources.map(|source| registers[source as usize].cast_const());
    // SAFETY: the caller's promise, passed on to each body.
    unsafe {
        match instruction.op {
            TileOp::Load(_) => {}
            TileOp::Unary(unary, dtype) => match dtype {
                DType::F32 => unary_f32(unary, a, target, n),
                DType::F64 => unary_f64(unary, a, target, n),
                DType::I32 => unary_i32(unary, a, target, n),
                DType::I64 => unary_i64(unary, a, target, n),
                DType::U32 => unary_u32(unary, a, target, n),
                DType::Bool => map(a, target, n, |x: u8| x ^ 1),
            },
            TileOp::Binary(binary, dtype) => match dtype {
                DType::F32 => binary_f32(binary, a, b, target, n),
                DType::F64 => binary_f64(binary, a, b, target, n),
                DType::I32 => binary_i32(binary, a, b, target, n),
                DType::I64 => binary_i64(binary, a, b, target, n),
                DType::U32 => binary_u32(binary, a, b, target, n),
                DType::Bool => match binary {
                    Binary::And => map2(a, b, target, n, |x: u8, y: u8| x & y),
                    Binary::Or => map2(a, b, target, n, |x: u8, y: u8| x | y),
                    Binary::Xor => map2(a, b, target, n, |x: u8, y: u8| x ^ y),
                    // Refused by the shape rule.
                    _ => {}
                },
            },
            TileOp::Compare(comparison, dtype) => match dtype {
                DType::F32 => compare::<f32>(comparison, a, b, target, n),
                DType::F64 => compare::<f64>(comparison, a, b, target, n),
                DType::I32 => compare::<i32>(comparison, a, b, target, n),
                DType::I64 => compare::<i64>(comparison, a, b, target, n),
                DType::U32 => compare::<u32>(comparison, a, b, target, n),
                DType::Bool => compare::<u8>(comparison, a, b, target, n),
            },
            TileOp::Select(size) => match size {
                1 => select::<u8>(a, b, c, target, n),
                4 => select::<u32>(a, b, c, target, n),
                _ => select::<u64>(a, b, c, target, n),
            },
            TileOp::Convert(from, to) => convert(from, to, a, target, n),
            TileOp::Copy(size) => {
                std::ptr::copy_nonoverlapping(a, target, n * usize::from(size));
            }
            TileOp::Threefry => {
                let words = |p: *const u8| std::slice::from_raw_parts(p.cast::<u32>(), n);
                let (k0, k1, c0, c1) = (words(a), words(b), words(c), words(d));
                let out = std::slice::from_raw_parts_mut(target.cast::<u32>(), n);
                for (j, word) in out.iter_mut().enumerate() {
                    *word = scalar::threefry([k0[j], k1[j]], [c0[j], c1[j]])[0];
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn map<A: Copy, R>(a: *const u8, target: *mut u8, n: usize, f: impl Fn(A) -> R) {
    // SAFETY: the caller gives `n` elements on each side that do not overlap.
    let (a, target) = unsafe {
        (
            std::slice::from_raw_parts(a.cast::<A>(), n),
            std::slice::from_raw_parts_mut(target.cast::<R>(), n),
        )
    };
    for (to, &x) in target.iter_mut().zip(a) {
        *to = f(x);
    }
}

#[inline(always)]
unsafe fn map2<A: Copy, R>(
    a: *const u8,
    b: *const u8,
    target: *mut u8,
    n: usize,
    f: impl Fn(A, A) -> R,
) {
    // SAFETY: the caller gives `n` elements on each side; the target overlaps neither source.
    let (a, b, target) = unsafe {
        (
            std::slice::from_raw_parts(a.cast::<A>(), n),
            std::slice::from_raw_parts(b.cast::<A>(), n),
            std::slice::from_raw_parts_mut(target.cast::<R>(), n),
        )
    };
    for (to, (&x, &y)) in target.iter_mut().zip(a.iter().zip(b)) {
        *to = f(x, y);
    }
}

macro_rules! unary_float {
    ($name:ident, $t:ident) => {
        #[inline(always)]
        unsafe fn $name(unary: Unary, a: *const u8, target: *mut u8, n: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match unary {
                    Unary::Negate => map(a, target, n, |x: $t| -x),
                    Unary::Abs => map(a, target, n, |x: $t| x.abs()),
                    Unary::Sign => map(a, target, n, |x: $t| {
                        if x > 0.0 {
                            1.0
                        } else if x < 0.0 {
                            -1.0
                        } else {
                            x
                        }
                    }),
                    Unary::Exp => map(a, target, n, <$t as Math>::exp),
                    Unary::Expm1 => map(a, target, n, <$t as Math>::expm1),
                    Unary::Log => map(a, target, n, <$t as Math>::log),
                    Unary::Log1p => map(a, target, n, <$t as Math>::log1p),
                    Unary::Sqrt => map(a, target, n, |x: $t| x.sqrt()),
                    Unary::Rsqrt => map(a, target, n, |x: $t| 1.0 / x.sqrt()),
                    Unary::Sin => map(a, target, n, <$t as Math>::sin),
                    Unary::Cos => map(a, target, n, <$t as Math>::cos),
                    Unary::Tanh => map(a, target, n, <$t as Math>::tanh),
                    Unary::Logistic => map(a, target, n, <$t as Math>::logistic),
                    Unary::Erf => map(a, target, n, <$t as Math>::erf),
                    Unary::Floor => map(a, target, n, |x: $t| x.floor()),
                    Unary::Ceil => map(a, target, n, |x: $t| x.ceil()),
                    Unary::Round => map(a, target, n, |x: $t| x.round_ties_even()),
                    Unary::IsFinite => map(a, target, n, |x: $t| u8::from(x.is_finite())),
                    // Refused by the shape rule.
                    Unary::Not => {}
                }
            }
        }
    };
}

unary_float!(unary_f32, f32);
unary_float!(unary_f64, f64);

macro_rules! unary_signed {
    ($name:ident, $t:ty) => {
        #[inline(always)]
        unsafe fn $name(unary: Unary, a: *const u8, target: *mut u8, n: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match unary {
                    Unary::Negate => map(a, target, n, |x: $t| x.wrapping_neg()),
                    Unary::Abs => map(a, target, n, |x: $t| x.wrapping_abs()),
                    Unary::Sign => map(a, target, n, |x: $t| x.signum()),
                    Unary::Not => map(a, target, n, |x: $t| !x),
                    // Refused by the shape rule.
                    _ => {}
                }
            }
        }
    };
}

unary_signed!(unary_i32, i32);
unary_signed!(unary_i64, i64);

#[inline(always)]
unsafe fn unary_u32(unary: Unary, a: *const u8, target: *mut u8, n: usize) {
    if unary == Unary::Not {
        // SAFETY: the caller's promise.
        unsafe { map(a, target, n, |x: u32| !x) }
    }
}

macro_rules! binary_float {
    ($name:ident, $t:ident) => {
        #[inline(always)]
        unsafe fn $name(binary: Binary, a: *const u8, b: *const u8, target: *mut u8, n: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match binary {
                    Binary::Add => map2(a, b, target, n, |x: $t, y: $t| x + y),
                    Binary::Subtract => map2(a, b, target, n, |x: $t, y: $t| x - y),
                    Binary::Multiply => map2(a, b, target, n, |x: $t, y: $t| x * y),
                    Binary::Divide => map2(a, b, target, n, |x: $t, y: $t| x / y),
                    Binary::Remainder => map2(a, b, target, n, |x: $t, y: $t| x % y),
                    Binary::Power => map2(a, b, target, n, <$t as Math>::pow),
                    Binary::Maximum => map2(a, b, target, n, maximum::<$t>),
                    Binary::Minimum => map2(a, b, target, n, minimum::<$t>),
                    // Refused by the shape rule.
                    Binary::And
                    | Binary::Or
                    | Binary::Xor
                    | Binary::ShiftLeft
                    | Binary::ShiftRightLogical => {}
                }
            }
        }
    };
}

binary_float!(binary_f32, f32);
binary_float!(binary_f64, f64);

macro_rules! binary_integer {
    ($name:ident, $t:ty, $unsigned:ty) => {
        #[inline(always)]
        unsafe fn $name(binary: Binary, a: *const u8, b: *const u8, target: *mut u8, n: usize) {
            const BITS: $unsigned = <$unsigned>::BITS as $unsigned;
            // SAFETY: the caller's promise.
            unsafe {
                match binary {
                    Binary::Add => map2(a, b, target, n, |x: $t, y: $t| x.wrapping_add(y)),
                    Binary::Subtract => map2(a, b, target, n, |x: $t, y: $t| x.wrapping_sub(y)),
                    Binary::Multiply => map2(a, b, target, n, |x: $t, y: $t| x.wrapping_mul(y)),
                    Binary::Divide => {
                        map2(
                            a,
                            b,
                            target,
                            n,
                            |x: $t, y: $t| {
                                if y == 0 { 0 } else { x.wrapping_div(y) }
                            },
                        )
                    }
                    Binary::Remainder => {
                        map2(
                            a,
                            b,
                            target,
                            n,
                            |x: $t, y: $t| {
                                if y == 0 { 0 } else { x.wrapping_rem(y) }
                            },
                        )
                    }
                    Binary::Maximum => map2(a, b, target, n, |x: $t, y: $t| x.max(y)),
                    Binary::Minimum => map2(a, b, target, n, |x: $t, y: $t| x.min(y)),
                    Binary::And => map2(a, b, target, n, |x: $t, y: $t| x & y),
                    Binary::Or => map2(a, b, target, n, |x: $t, y: $t| x | y),
                    Binary::Xor => map2(a, b, target, n, |x: $t, y: $t| x ^ y),
                    Binary::ShiftLeft => {
                        map2(
                            a,
                            b,
                            target,
                            n,
                            |x: $t, y: $t| {
                                if (y as $unsigned) < BITS { x << y } else { 0 }
                            },
                        )
                    }
                    Binary::ShiftRightLogical => map2(a, b, target, n, |x: $t, y: $t| {
                        if (y as $unsigned) < BITS { ((x as $unsigned) >> y) as $t } else { 0 }
                    }),
                    // Refused by the shape rule.
                    Binary::Power => {}
                }
            }
        }
    };
}

binary_integer!(binary_i32, i32, u32);
binary_integer!(binary_i64, i64, u64);
binary_integer!(binary_u32, u32, u32);

#[inline(always)]
unsafe fn compare<T: Copy + PartialOrd>(
    comparison: Comparison,
    a: *const u8,
    b: *const u8,
    target: *mut u8,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match comparison {
            Comparison::Equal => map2(a, b, target, n, |x: T, y: T| u8::from(x == y)),
            Comparison::NotEqual => map2(a, b, target, n, |x: T, y: T| u8::from(x != y)),
            Comparison::Less => map2(a, b, target, n, |x: T, y: T| u8::from(x < y)),
            Comparison::LessEqual => map2(a, b, target, n, |x: T, y: T| u8::from(x <= y)),
            Comparison::Greater => map2(a, b, target, n, |x: T, y: T| u8::from(x > y)),
            Comparison::GreaterEqual => map2(a, b, target, n, |x: T, y: T| u8::from(x >= y)),
        }
    }
}

/// Bit patterns of one size. (A branch would be compiled to a gather from chosen addresses.)
trait Bits: Copy {
    /// `self` where `c` is 1, `other` where it is 0.
    fn choose(self, other: Self, c: u8) -> Self;
}

macro_rules! bits {
    ($($t:ident),*) => {$(
        impl Bits for $t {
            #[inline(always)]
            fn choose(self, other: $t, c: u8) -> $t {
                let mask = $t::from(c).wrapping_neg();
                (self & mask) | (other & !mask)
            }
        }
    )*};
}
bits!(u8, u32, u64);

#[inline(always)]
unsafe fn select<T: Bits>(
    condition: *const u8,
    a: *const u8,
    b: *const u8,
    target: *mut u8,
    n: usize,
) {
    // SAFETY: the caller gives `n` elements of each; the target overlaps no source.
    let (condition, a, b, target) = unsafe {
        (
            std::slice::from_raw_parts(condition, n),
            std::slice::from_raw_parts(a.cast::<T>(), n),
            std::slice::from_raw_parts(b.cast::<T>(), n),
            std::slice::from_raw_parts_mut(target.cast::<T>(), n),
        )
    };
    for (to, (&c, (&x, &y))) in target.iter_mut().zip(condition.iter().zip(a.iter().zip(b))) {
        *to = x.choose(y, c);
    }
}

#[inline(always)]
unsafe fn convert(from: DType, to: DType, a: *const u8, target: *mut u8, n: usize) {
    macro_rules! to_each {
        ($source:ty) => {
            match to {
                DType::F32 => map(a, target, n, |x: $source| x as f32),
                DType::F64 => map(a, target, n, |x: $source| x as f64),
                DType::I32 => map(a, target, n, |x: $source| x as i32),
                DType::I64 => map(a, target, n, |x: $source| x as i64),
                DType::U32 => map(a, target, n, |x: $source| x as u32),
                DType::Bool => map(a, target, n, |x: $source| u8::from(x != (0 as $source))),
            }
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match from {
            DType::F32 => to_each!(f32),
            DType::F64 => to_each!(f64),
            DType::I32 => to_each!(i32),
            DType::I64 => to_each!(i64),
            DType::U32 => to_each!(u32),
            DType::Bool => to_each!(u8),
        }
    }
}
