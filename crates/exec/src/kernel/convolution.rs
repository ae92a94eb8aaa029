//! The three convolutions: forward, gradient by the input, gradient by the weights.
//!
//! Layouts are NHWC for images and HWIO (`[kh, kw, cin / groups, cout]`) for weights; either
//! operand may carry a leading population axis or be shared by all members.
//!
//! Sums follow [`super::order`] over these extents:
//!
//! | kernel | the sum runs over, slowest first |
//! |---|---|
//! | forward | `kh`, `kw`, input channels of the group |
//! | gradient by the input | the taps that reach the input pixel, in decreasing `kh`, `kw`; output channels of the group |
//! | gradient by the weights | images, output rows, output columns |
//!
//! Kernels of three by three at stride one with more than eight channels go through `winograd`
//! instead, where the sums run over channels, or over tiles of 2x2 outputs, between transforms.
//!
//! Padding takes part as zeros. So a weight that is not finite gives NaN at pixels whose patch
//! overlaps the padding, as the definition by a padded image says; and the gradient by the input
//! multiplies such weights by zero where a tap of the same stride phase falls outside the output.

mod correlation;
mod geometry;
mod weight_gradient;
mod winograd;

use super::bounds::{self, Operand};
use super::pool::Pool;
use super::simd::Float;
use correlation::Correlation;
use weight_gradient::WeightGradient;
pub(crate) use winograd::steps::{self, Steps};
use winograd::{WeightTiles, Winograd};

/// The extents and options of a convolution; all three kernels are described by the same value.
///
/// # Shapes
/// `x` \[P?, n, h, w, cin\], `weights` \[P?, kh, kw, cin / groups, cout\] ->
/// `y` \[P, n, oh, ow, cout\], where P? is absent if the operand is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// Members; 1 when there is no population.
    pub population: usize,
    /// Images of a member.
    pub n: usize,
    /// Rows of an image.
    pub h: usize,
    /// Columns of an image.
    pub w: usize,
    /// Input channels; a multiple of `groups`.
    pub cin: usize,
    /// Rows of the kernel.
    pub kh: usize,
    /// Columns of the kernel.
    pub kw: usize,
    /// Output channels; a multiple of `groups`.
    pub cout: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Step between patches, by row and column; at least 1.
    pub stride: [usize; 2],
    /// Zeros before and after, by row and column.
    pub padding: [(usize, usize); 2],
    /// Step between the kernel's taps, by row and column; at least 1.
    pub dilation: [usize; 2],
    /// Members of an outer population among the input, and among the output channels: their
    /// number does not change the order of a sum.
    pub folded: [usize; 2],
}

impl Convolution {
    /// Rows and columns of the output; zero where the kernel does not fit the padded image.
    pub fn output_extent(&self) -> [usize; 2] {
        [self.axis(0).output(), self.axis(1).output()]
    }

    /// Multiplications of one kernel, padding included.
    pub fn multiplications(&self) -> usize {
        let [oh, ow] = self.output_extent();
        let patch = self.kh * self.kw * (self.cin / self.groups);
        self.population * self.n * oh * ow * patch * self.cout
    }

    /// Bytes of scratch that [`Convolution::forward`] needs on this pool.
    pub fn forward_scratch_bytes<T: Float>(&self, pool: &Pool, x_shared: bool) -> usize {
        if let Some(it) = Winograd::forward(self, x_shared, false) {
            return it.scratch_bytes::<T>(pool);
        }
        Correlation::forward(self, x_shared, false).map_or(0, |it| it.scratch_bytes::<T>(pool))
    }

    /// `y` \[P, n, oh, ow, cout\] from `x` and `weights`.
    ///
    /// # Safety
    /// Every operand has the elements of its shape, nothing overlaps the output or the scratch,
    /// and `scratch` has [`Convolution::forward_scratch_bytes`] bytes.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn forward<T: Float>(
        &self,
        pool: &Pool,
        x: *const T,
        x_shared: bool,
        weights: *const T,
        weights_shared: bool,
        y: *mut T,
        scratch: *mut u8,
    ) {
        let kernel = || {
            if let Some(it) = Winograd::forward(self, x_shared, weights_shared) {
                // SAFETY: passed on from the caller.
                unsafe { it.run(pool, x, weights, y, scratch) }
            } else if let Some(it) = Correlation::forward(self, x_shared, weights_shared) {
                // SAFETY: as above.
                unsafe { it.run(pool, x, weights, y, scratch) }
            }
        };
        let operands = || {
            vec![
                Operand::dense(x, self.elements(Part::Input, x_shared), false),
                Operand::dense(weights, self.elements(Part::Weights, weights_shared), false),
                Operand::dense(y, self.elements(Part::Output, false), true),
                Operand::dense(scratch, self.forward_scratch_bytes::<T>(pool, x_shared), true),
            ]
        };
        bounds::within(operands, kernel);
    }

    /// Bytes of scratch that [`Convolution::input_gradient`] needs on this pool.
    pub fn input_gradient_scratch_bytes<T: Float>(&self, pool: &Pool, dy_shared: bool) -> usize {
        if let Some(it) = Winograd::input_gradient(self, dy_shared, false) {
            return it.scratch_bytes::<T>(pool);
        }
        Correlation::input_gradient(self, dy_shared, false)
            .map_or(0, |it| it.scratch_bytes::<T>(pool))
    }

    /// `dx` \[P, n, h, w, cin\] from `dy` and `weights`.
    ///
    /// # Safety
    /// As for [`Convolution::forward`], with
    /// [`Convolution::input_gradient_scratch_bytes`].
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn input_gradient<T: Float>(
        &self,
        pool: &Pool,
        dy: *const T,
        dy_shared: bool,
        weights: *const T,
        weights_shared: bool,
        dx: *mut T,
        scratch: *mut u8,
    ) {
        let kernel = || {
            if let Some(it) = Winograd::input_gradient(self, dy_shared, weights_shared) {
                // SAFETY: passed on from the caller.
                unsafe { it.run(pool, dy, weights, dx, scratch) }
            } else if let Some(it) = Correlation::input_gradient(self, dy_shared, weights_shared) {
                // SAFETY: as above.
                unsafe { it.run(pool, dy, weights, dx, scratch) }
            }
        };
        let operands = || {
            vec![
                Operand::dense(dy, self.elements(Part::Output, dy_shared), false),
                Operand::dense(weights, self.elements(Part::Weights, weights_shared), false),
                Operand::dense(dx, self.elements(Part::Input, false), true),
                Operand::dense(
                    scratch,
                    self.input_gradient_scratch_bytes::<T>(pool, dy_shared),
                    true,
                ),
            ]
        };
        bounds::within(operands, kernel);
    }

    /// Bytes of scratch that [`Convolution::weight_gradient`] needs on this pool.
    pub fn weight_gradient_scratch_bytes<T: Float>(&self, pool: &Pool, x_shared: bool) -> usize {
        if let Some(it) = WeightTiles::new(self, x_shared, false) {
            return it.scratch_bytes::<T>(pool);
        }
        WeightGradient::new(self, x_shared, false).map_or(0, |it| it.scratch_bytes::<T>(pool))
    }

    /// `dw` \[P, kh, kw, cin / groups, cout\] from `x` and `dy`.
    ///
    /// # Safety
    /// As for [`Convolution::forward`], with
    /// [`Convolution::weight_gradient_scratch_bytes`].
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn weight_gradient<T: Float>(
        &self,
        pool: &Pool,
        x: *const T,
        x_shared: bool,
        dy: *const T,
        dy_shared: bool,
        dw: *mut T,
        scratch: *mut u8,
    ) {
        let kernel = || {
            if let Some(it) = WeightTiles::new(self, x_shared, dy_shared) {
                // SAFETY: passed on from the caller.
                unsafe { it.run(pool, x, dy, dw, scratch) }
            } else if let Some(it) = WeightGradient::new(self, x_shared, dy_shared) {
                // SAFETY: as above.
                unsafe { it.run(pool, x, dy, dw, scratch) }
            }
        };
        let operands = || {
            vec![
                Operand::dense(x, self.elements(Part::Input, x_shared), false),
                Operand::dense(dy, self.elements(Part::Output, dy_shared), false),
                Operand::dense(dw, self.elements(Part::Weights, false), true),
                Operand::dense(
                    scratch,
                    self.weight_gradient_scratch_bytes::<T>(pool, x_shared),
                    true,
                ),
            ]
        };
        bounds::within(operands, kernel);
    }

    /// Elements of an operand, of one member if it is shared by all.
    fn elements(&self, part: Part, shared: bool) -> usize {
        let [oh, ow] = self.output_extent();
        let one = match part {
            Part::Input => self.n * self.h * self.w * self.cin,
            Part::Weights => self.kh * self.kw * (self.cin / self.groups) * self.cout,
            Part::Output => self.n * oh * ow * self.cout,
        };
        if shared { one } else { self.population * one }
    }

    /// One spatial axis.
    fn axis(&self, axis: usize) -> geometry::Axis {
        geometry::Axis {
            input: [self.h, self.w][axis],
            kernel: [self.kh, self.kw][axis],
            stride: self.stride[axis],
            low: self.padding[axis].0,
            high: self.padding[axis].1,
            dilation: self.dilation[axis],
        }
    }

    /// Input and output channels of one member.
    fn own_channels(&self) -> [usize; 2] {
        [self.cin / self.folded[0].max(1), self.cout / self.folded[1].max(1)]
    }

    /// Every channel is its own group, with one output each.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.cin && self.groups == self.cout
    }
}

/// An operand of a convolution.
#[derive(Clone, Copy)]
enum Part {
    Input,
    Weights,
    Output,
}

#[cfg(test)]
mod tests;
