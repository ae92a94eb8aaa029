//! The instances of the inner kernel for each element type and instruction set.
//!
//! Costs are measured on Zen 4: a tile needs one broadcast for each row and `k`, so that the
//! narrow ones are hardly faster than those of a full register.

use super::{Class, Entry, Form, Tile, tile};
use crate::kernel::convolution::{Steps, steps};
use crate::kernel::simd::sealed::Sealed;
use crate::kernel::simd::transpose::{self, Transposition};
use crate::kernel::simd::{Isa, Lanes, Vector};

/// One [`Class`]: the vector, vectors in a row, cost, row counts, and the features to enable.
macro_rules! class {
    ($element:ty, $vector:ty, $nv:literal, $lanewise:literal, $cost:literal, [$($rows:literal)*], $feature:literal) => {
        class!(@ $vector, $nv, $cost, [$($rows, {
            #[target_feature(enable = $feature)]
            unsafe fn entry(it: &Tile<$element>) {
                // SAFETY: the entry is reached only through an available instruction set.
                unsafe { tile::<$vector, $rows, $nv, $lanewise>(it) }
            }
            entry as Entry<$element>
        })*])
    };
    ($element:ty, $vector:ty, $nv:literal, $lanewise:literal, $cost:literal, [$($rows:literal)*]) => {
        class!(@ $vector, $nv, $cost, [$($rows, tile::<$vector, $rows, $nv, $lanewise> as Entry<$element>)*])
    };
    (@ $vector:ty, $nv:literal, $cost:literal, [$($rows:literal, $entry:expr)*]) => {
        Class {
            width: $nv * <$vector as Vector>::LANES,
            cost: $cost,
            entries: &[$(($rows, $entry)),*],
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::kernel::simd::x86::{F32x4, F32x8, F32x16, F64x4, F64x8};

    pub(super) static F32_AVX512: [Class<f32>; 4] = [
        class!(f32, F32x16, 2, false, 2.0, [1 2 4 6 8 10 12], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f32, F32x16, 1, false, 1.0, [1 2 4 6 8 10 12 14 16], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f32, F32x8, 1, false, 0.9, [1 2 4 8 12 16], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f32, F32x4, 1, false, 0.9, [1 2 4 8 12 16], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
    ];
    pub(super) static F32_AVX512_LANEWISE: [Class<f32>; 2] = [
        class!(f32, F32x16, 1, true, 1.0, [1 4 8], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f32, F32x4, 1, true, 0.5, [1 4 8], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
    ];
    pub(super) static F32_AVX2_LANEWISE: [Class<f32>; 2] = [
        class!(f32, F32x8, 1, true, 1.0, [1 4 8], "avx2,fma"),
        class!(f32, F32x4, 1, true, 0.5, [1 4 8], "avx2,fma"),
    ];
    pub(super) static F64_AVX512_LANEWISE: [Class<f64>; 2] = [
        class!(f64, F64x8, 1, true, 1.0, [1 4 8], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f64, F64x4, 1, true, 0.55, [1 4 8], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
    ];
    pub(super) static F64_AVX2_LANEWISE: [Class<f64>; 1] =
        [class!(f64, F64x4, 1, true, 1.0, [1 4 8], "avx2,fma")];
    pub(super) static F32_AVX2: [Class<f32>; 3] = [
        class!(f32, F32x8, 2, false, 1.0, [1 2 3 4 5 6], "avx2,fma"),
        class!(f32, F32x8, 1, false, 0.9, [1 2 4 6 8 10], "avx2,fma"),
        class!(f32, F32x4, 1, false, 0.9, [1 2 4 6 8 10], "avx2,fma"),
    ];
    pub(super) static F64_AVX512: [Class<f64>; 3] = [
        class!(f64, F64x8, 2, false, 2.0, [1 2 4 6 8 10 12], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f64, F64x8, 1, false, 1.0, [1 2 4 8 12 16], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
        class!(f64, F64x4, 1, false, 0.9, [1 2 4 8 12 16], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"),
    ];
    pub(super) static F64_AVX2: [Class<f64>; 2] = [
        class!(f64, F64x4, 2, false, 1.0, [1 2 3 4 5 6], "avx2,fma"),
        class!(f64, F64x4, 1, false, 0.9, [1 2 4 6 8 10], "avx2,fma"),
    ];
}

static F32_PORTABLE: [Class<f32>; 2] = [
    class!(f32, Lanes<f32, 16>, 1, false, 1.0, [1 4]),
    class!(f32, Lanes<f32, 4>, 1, false, 0.3, [1 4]),
];
static F64_PORTABLE: [Class<f64>; 2] = [
    class!(f64, Lanes<f64, 16>, 1, false, 1.0, [1 4]),
    class!(f64, Lanes<f64, 4>, 1, false, 0.3, [1 4]),
];

static F32_PORTABLE_LANEWISE: [Class<f32>; 1] = [class!(f32, Lanes<f32, 4>, 1, true, 0.3, [1 4])];
static F64_PORTABLE_LANEWISE: [Class<f64>; 1] = [class!(f64, Lanes<f64, 4>, 1, true, 0.3, [1 4])];

impl Sealed for f32 {
    fn transposition(isa: Isa) -> Transposition<f32> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => transpose::x86::transpose_f32,
            _ => transpose::scalar::<f32>,
        }
    }

    fn winograd(isa: Isa) -> &'static Steps<f32> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => &steps::x86::F32,
            _ => &steps::F32_PORTABLE,
        }
    }

    fn classes(isa: Isa, form: Form) -> &'static [Class<f32>] {
        match (isa, form) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Form::Broadcast) => &x86::F32_AVX512,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Form::Lanewise) => &x86::F32_AVX512_LANEWISE,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Form::Broadcast) => &x86::F32_AVX2,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Form::Lanewise) => &x86::F32_AVX2_LANEWISE,
            (_, Form::Broadcast) => &F32_PORTABLE,
            (_, Form::Lanewise) => &F32_PORTABLE_LANEWISE,
        }
    }
}

impl Sealed for f64 {
    fn transposition(isa: Isa) -> Transposition<f64> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => transpose::x86::transpose_f64,
            _ => transpose::scalar::<f64>,
        }
    }

    fn winograd(isa: Isa) -> &'static Steps<f64> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => &steps::x86::F64,
            _ => &steps::F64_PORTABLE,
        }
    }

    fn classes(isa: Isa, form: Form) -> &'static [Class<f64>] {
        match (isa, form) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Form::Broadcast) => &x86::F64_AVX512,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Form::Lanewise) => &x86::F64_AVX512_LANEWISE,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Form::Broadcast) => &x86::F64_AVX2,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Form::Lanewise) => &x86::F64_AVX2_LANEWISE,
            (_, Form::Broadcast) => &F64_PORTABLE,
            (_, Form::Lanewise) => &F64_PORTABLE_LANEWISE,
        }
    }
}
