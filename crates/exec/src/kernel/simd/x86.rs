//! The vectors of x86-64.

use super::Vector;
use std::arch::x86_64::*;

/// Implements [`Vector`] for a newtype over a register; `masks` says how masks are made and used.
macro_rules! vector {
    ($name:ident, $register:ty, $element:ty, $lanes:literal, $masks:ident,
     $zero:ident, $set:ident, $load:ident, $store:ident,
     $fma:ident, $add:ident, $sub:ident, $mul:ident, $($mask:tt)*) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name($register);

        // SAFETY (every block): the trait's contract is that the running machine has the
        // instruction set, and that pointers cover the lanes which are touched.
        #[allow(clippy::undocumented_unsafe_blocks)]
        impl Vector for $name {
            type Element = $element;
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
            unsafe fn sub(self, other: Self) -> Self {
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Self(unsafe { $mul(self.0, other.0) })
            }
            $masks!($element, $lanes, $($mask)*);
        }
    };
}

/// Masks of AVX-512, which are bits.
macro_rules! bits {
    ($element:ty, $lanes:literal, $mask:ty, $load:ident, $store:ident) => {
        type Mask = $mask;
        #[inline(always)]
        unsafe fn mask(lanes: usize) -> $mask {
            (u32::MAX >> (32 - lanes.clamp(1, $lanes))) as $mask
        }
        #[inline(always)]
        unsafe fn load_masked(from: *const $element, mask: $mask) -> Self {
            Self(unsafe { $load(mask, from) })
        }
        #[inline(always)]
        unsafe fn store_masked(self, to: *mut $element, mask: $mask) {
            unsafe { $store(to, mask, self.0) }
        }
    };
}

/// Masks that are registers whose lanes are all ones or all zeros.
macro_rules! lanes {
    ($element:ty, $lanes:literal, $mask:ty, $load:ident, $store:ident,
     $integer:ty, $loadmask:ident) => {
        type Mask = $mask;
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
            Self(unsafe { $load(from, mask) })
        }
        #[inline(always)]
        unsafe fn store_masked(self, to: *mut $element, mask: $mask) {
            unsafe { $store(to, mask, self.0) }
        }
    };
}

#[rustfmt::skip]
vector!(
    F32x16, __m512, f32, 16, bits,
    _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
    _mm512_fmadd_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps,
    __mmask16, _mm512_maskz_loadu_ps, _mm512_mask_storeu_ps
);
#[rustfmt::skip]
vector!(
    F64x8, __m512d, f64, 8, bits,
    _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd,
    _mm512_fmadd_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd,
    __mmask8, _mm512_maskz_loadu_pd, _mm512_mask_storeu_pd
);
#[rustfmt::skip]
vector!(
    F32x8, __m256, f32, 8, lanes,
    _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
    _mm256_fmadd_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps,
    __m256i, _mm256_maskload_ps, _mm256_maskstore_ps, i32, _mm256_loadu_si256
);
#[rustfmt::skip]
vector!(
    F32x4, __m128, f32, 4, lanes,
    _mm_setzero_ps, _mm_set1_ps, _mm_loadu_ps, _mm_storeu_ps,
    _mm_fmadd_ps, _mm_add_ps, _mm_sub_ps, _mm_mul_ps,
    __m128i, _mm_maskload_ps, _mm_maskstore_ps, i32, _mm_loadu_si128
);
#[rustfmt::skip]
vector!(
    F64x4, __m256d, f64, 4, lanes,
    _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd,
    _mm256_fmadd_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd,
    __m256i, _mm256_maskload_pd, _mm256_maskstore_pd, i64, _mm256_loadu_si256
);
