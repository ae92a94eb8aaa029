//! Element types, instruction sets and the vectors that kernels are written in.

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

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    //! The vectors of x86-64.

    use super::Vector;
    use std::arch::x86_64::*;

    /// Implements [`Vector`] for a newtype over a register; the masks of AVX-512 are bits.
    macro_rules! wide {
        ($name:ident, $register:ty, $element:ty, $lanes:literal, $mask:ty, $zero:ident, $set:ident,
         $load:ident, $store:ident, $fma:ident, $add:ident, $maskload:ident, $maskstore:ident) => {
            #[derive(Clone, Copy)]
            pub(crate) struct $name($register);

            // SAFETY (every block): the trait's contract is that the running machine has the
            // instruction set, and that pointers cover the lanes which are touched.
            #[allow(clippy::undocumented_unsafe_blocks)]
            impl Vector for $name {
                type Element = $element;
                type Mask = $mask;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    Self(unsafe { $zero() })
                }
                #[inline(always)]
                unsafe fn splat(value: $element) -> Self {
                    Self(unsafe { $set(value) })
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    Self(unsafe { $load(from) })
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    unsafe { $store(to, self.0) }
                }
                #[inline(always)]
                unsafe fn fma(self, factor: Self, term: Self) -> Self {
                    Self(unsafe { $fma(self.0, factor.0, term.0) })
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    Self(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn mask(lanes: usize) -> $mask {
                    (u32::MAX >> (32 - lanes.clamp(1, $lanes))) as $mask
                }
                #[inline(always)]
                unsafe fn load_masked(from: *const $element, mask: $mask) -> Self {
                    Self(unsafe { $maskload(mask, from) })
                }
                #[inline(always)]
                unsafe fn store_masked(self, to: *mut $element, mask: $mask) {
                    unsafe { $maskstore(to, mask, self.0) }
                }
            }
        };
    }

    wide!(
        F32x16,
        __m512,
        f32,
        16,
        __mmask16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_maskz_loadu_ps,
        _mm512_mask_storeu_ps
    );
    wide!(
        F64x8,
        __m512d,
        f64,
        8,
        __mmask8,
        _mm512_setzero_pd,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd,
        _mm512_maskz_loadu_pd,
        _mm512_mask_storeu_pd
    );

    /// Implements [`Vector`] where a mask is a register whose lanes are all ones or all zeros.
    macro_rules! narrow {
        ($name:ident, $register:ty, $element:ty, $lanes:literal, $integer:ty, $mask:ty, $zero:ident,
         $set:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $maskload:ident,
         $maskstore:ident, $loadmask:ident) => {
            #[derive(Clone, Copy)]
            pub(crate) struct $name($register);

            // SAFETY (every block): as above.
            #[allow(clippy::undocumented_unsafe_blocks)]
            impl Vector for $name {
                type Element = $element;
                type Mask = $mask;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    Self(unsafe { $zero() })
                }
                #[inline(always)]
                unsafe fn splat(value: $element) -> Self {
                    Self(unsafe { $set(value) })
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    Self(unsafe { $load(from) })
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    unsafe { $store(to, self.0) }
                }
                #[inline(always)]
                unsafe fn fma(self, factor: Self, term: Self) -> Self {
                    Self(unsafe { $fma(self.0, factor.0, term.0) })
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    Self(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn mask(lanes: usize) -> $mask {
                    // A window that slides over ones followed by zeros.
                    const WINDOW: [$integer; 2 * $lanes] = {
                        let mut window = [0; 2 * $lanes];
                        let mut i = 0;
                        while i < $lanes {
                            window[i] = -1;
                            i += 1;
                        }
                        window
                    };
                    let start = $lanes - lanes.min($lanes);
                    unsafe { $loadmask(WINDOW.as_ptr().add(start).cast()) }
                }
                #[inline(always)]
                unsafe fn load_masked(from: *const $element, mask: $mask) -> Self {
                    Self(unsafe { $maskload(from, mask) })
                }
                #[inline(always)]
                unsafe fn store_masked(self, to: *mut $element, mask: $mask) {
                    unsafe { $maskstore(to, mask, self.0) }
                }
            }
        };
    }

    narrow!(
        F32x8,
        __m256,
        f32,
        8,
        i32,
        __m256i,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_maskload_ps,
        _mm256_maskstore_ps,
        _mm256_loadu_si256
    );
    narrow!(
        F32x4,
        __m128,
        f32,
        4,
        i32,
        __m128i,
        _mm_setzero_ps,
        _mm_set1_ps,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_fmadd_ps,
        _mm_add_ps,
        _mm_maskload_ps,
        _mm_maskstore_ps,
        _mm_loadu_si128
    );
    narrow!(
        F64x4,
        __m256d,
        f64,
        4,
        i64,
        __m256i,
        _mm256_setzero_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd,
        _mm256_maskload_pd,
        _mm256_maskstore_pd,
        _mm256_loadu_si256
    );
}
