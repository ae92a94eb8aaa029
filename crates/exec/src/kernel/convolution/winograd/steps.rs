//! Transforms and products, compiled for each instruction set.

use super::product::{Kernel, Product, product, product_across};
use super::transform::{Outputs, Pixels, gradient, input, output, taps, weights};
use crate::kernel::simd::{Lanes, Vector};

/// The transforms of an instruction set.
///
/// Pointers cover what the extents say; the machine has the instruction set.
pub struct Steps<T> {
    /// From pixels to values.
    pub(super) input: unsafe fn(&Pixels<T>, *mut T, usize),
    /// From sums to pixels.
    pub(super) output: unsafe fn(*const T, [usize; 2], &Outputs<T>),
    /// From the 9 taps of so many weights, a stride apart, to a value for each point, a stride
    /// apart.
    pub(super) weights: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// From the gradient by outputs to values: pixels, and the strides of tiles and points.
    pub(super) gradient: unsafe fn(&Pixels<T>, *mut T, [usize; 2]),
    /// From a value for each point, a stride apart, to the 9 taps of so many weights, a stride
    /// apart.
    pub(super) taps: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// The products, the widest first.
    pub(super) products: [Kernel<T>; 2],
}

/// The products of a vector, compiled for its instruction set.
macro_rules! kernel {
    ($element:ty, $vector:ty, $rows:literal, $nv:literal $(, $feature:literal)?) => {{
        $(#[target_feature(enable = $feature)])?
        unsafe fn run(it: &Product<$element>) {
            // SAFETY: the kernel is reached only through an available instruction set.
            unsafe { product::<$vector, $rows, $nv>(it) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn run_across(it: &Product<$element>) {
            // SAFETY: as above.
            unsafe { product_across::<$vector, $rows, $nv>(it) }
        }
        Kernel { rows: $rows, columns: $nv * <$vector as Vector>::LANES, run, run_across }
    }};
}

/// The steps with a vector, compiled for its instruction set.
macro_rules! steps {
    ($name:ident, $element:ty, $vector:ty, $products:expr $(, $feature:literal)?) => {
        pub(crate) static $name: Steps<$element> = {
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_input(it: &Pixels<$element>, to: *mut $element, stride: usize) {
                // SAFETY: the steps are reached only through an available instruction set.
                unsafe { input::<$vector>(it, to, stride) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_output(
                from: *const $element,
                strides: [usize; 2],
                it: &Outputs<$element>,
            ) {
                // SAFETY: as above.
                unsafe { output::<$vector>(from, strides, it) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_weights(
                from: *const $element,
                tap: usize,
                count: usize,
                to: *mut $element,
                stride: usize,
            ) {
                // SAFETY: as above.
                unsafe { weights::<$vector>(from, tap, count, to, stride) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_gradient(it: &Pixels<$element>, to: *mut $element, strides: [usize; 2]) {
                // SAFETY: as above.
                unsafe { gradient::<$vector>(it, to, strides) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn run_taps(
                from: *const $element,
                stride: usize,
                count: usize,
                to: *mut $element,
                tap: usize,
            ) {
                // SAFETY: as above.
                unsafe { taps::<$vector>(from, stride, count, to, tap) }
            }
            Steps {
                gradient: run_gradient,
                taps: run_taps,
                input: run_input,
                output: run_output,
                weights: run_weights,
                products: $products,
            }
        };
    };
}

/// Registers of 32 bytes, also where there are larger ones: transforms store more than they add,
/// and Zen 4 stores 64 bytes in twice the time.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use super::*;
    use crate::kernel::simd::x86::{F32x8, F64x4};

    macro_rules! avx2 {
        ($name:ident, $element:ty, $vector:ty) => {
            steps!(
                $name,
                $element,
                $vector,
                [
                    kernel!($element, $vector, 6, 2, "avx2,fma"),
                    kernel!($element, $vector, 8, 1, "avx2,fma"),
                ],
                "avx2,fma"
            );
        };
    }
    avx2!(F32, f32, F32x8);
    avx2!(F64, f64, F64x4);
}

macro_rules! portable {
    ($name:ident, $element:ty) => {
        steps!(
            $name,
            $element,
            Lanes<$element, 4>,
            [
                kernel!($element, Lanes<$element, 4>, 4, 2),
                kernel!($element, Lanes<$element, 4>, 4, 1),
            ]
        );
    };
}
portable!(F32_PORTABLE, f32);
portable!(F64_PORTABLE, f64);
