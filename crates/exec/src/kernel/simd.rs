//! Element types, instruction sets and the vectors that kernels are written in.

pub(crate) mod transpose;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use super::convolution::Steps;
use super::micro::{Class, Form};
use std::fmt::Debug;
use std::ops::{Add, Mul, Sub};
use std::sync::OnceLock;

/// An instruction set that kernels can run with. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512F and VL, 32 registers of 64 bytes.
    Avx512,
    /// AVX2 and FMA, 16 registers of 32 bytes.
    Avx2,
    /// Arrays of lanes and `mul_add`: any machine.
    Portable,
}

impl Isa {
    /// Every instruction set, best first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// The best instruction set of this machine.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
        })
    }
}

pub(crate) mod sealed {
    /// Keeps [`super::Float`] to the two types that have kernels.
    pub trait Sealed: Sized + 'static {
        /// The register tiles of an instruction set, widest first.
        fn classes(isa: super::Isa, form: super::Form) -> &'static [super::Class<Self>];
        /// The transposition of an instruction set.
        fn transposition(isa: super::Isa) -> super::transpose::Transposition<Self>;
        /// The transforms of minimal filtering of an instruction set.
        fn winograd(isa: super::Isa) -> &'static super::Steps<Self>;
    }
}

/// An element type of the numeric kernels: `f32` or `f64`.
pub trait Float:
    Copy
    + Default
    + Debug
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Send
    + Sync
    + 'static
    + sealed::Sealed
{
    /// Zero.
    const ZERO: Self;
    /// `self * factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Nearest value.
    fn from_f64(value: f64) -> Self;
    /// The value, exactly.
    fn to_f64(self) -> f64;
}

macro_rules! float {
    ($type:ident) => {
        impl Float for $type {
            const ZERO: Self = 0.0;
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                $type::mul_add(self, factor, term)
            }
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
    };
}
float!(f32);
float!(f64);

/// Says that so many elements from here will be needed soon; the address may be any.
#[inline(always)]
pub(crate) fn prefetch<T>(from: *const T, elements: usize) {
    const LINE: usize = 64;
    for start in (0..elements * size_of::<T>()).step_by(LINE) {
        let line = from.wrapping_byte_add(start);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(line.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

/// A register of lanes.
///
/// Methods are inlined into functions that enable the vector's instruction set; calling them is
/// sound only there, or on a machine that has the set.
pub(crate) trait Vector: Copy {
    /// Type of a lane.
    type Element: Float;
    /// Which of the leading lanes a partial access touches.
    type Mask: Copy;
    /// Number of lanes.
    const LANES: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self;
    /// All lanes `value`.
    unsafe fn splat(value: Self::Element) -> Self;
    /// Lanes from memory, unaligned.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// Lanes to memory, unaligned.
    unsafe fn store(self, to: *mut Self::Element);
    /// `self * factor + term` in every lane, rounded once.
    unsafe fn fma(self, factor: Self, term: Self) -> Self;
    /// Sum in every lane.
    unsafe fn add(self, other: Self) -> Self;
    /// Difference in every lane.
    unsafe fn sub(self, other: Self) -> Self;
    /// Product in every lane.
    unsafe fn mul(self, other: Self) -> Self;
    /// The first `lanes` lanes (all of them if there are more).
    unsafe fn mask(lanes: usize) -> Self::Mask;
    /// Masked lanes from memory, zero elsewhere; memory outside the mask is not touched.
    unsafe fn load_masked(from: *const Self::Element, mask: Self::Mask) -> Self;
    /// Masked lanes to memory; memory outside the mask is not touched.
    unsafe fn store_masked(self, to: *mut Self::Element, mask: Self::Mask);
}

/// Lanes as an array, for machines without a vector path of their own.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<T, const N: usize>([T; N]);

impl<T: Float, const N: usize> Vector for Lanes<T, N> {
    type Element = T;
    type Mask = usize;
    const LANES: usize = N;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([T::ZERO; N])
    }
    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Self([value; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller gives `N` readable elements.
        Self(unsafe { from.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller gives `N` writable elements.
        unsafe { to.cast::<[T; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, factor: Self, term: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], term.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn mask(lanes: usize) -> usize {
        lanes.min(N)
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const T, mask: usize) -> Self {
        // SAFETY: the caller gives `mask` readable elements, and no lane beyond is read.
        Self(std::array::from_fn(|i| if i < mask { unsafe { *from.add(i) } } else { T::ZERO }))
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut T, mask: usize) {
        for (i, &value) in self.0.iter().enumerate().take(mask) {
            // SAFETY: the caller gives `mask` writable elements.
            unsafe { *to.add(i) = value }
        }
    }
}
