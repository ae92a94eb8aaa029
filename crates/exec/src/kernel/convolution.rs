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

    /// Bytes of scratch that [`Convolution::run`] needs on this pool; `shared` says of the left and
    /// the right operand whether all members share it.
    pub fn scratch_bytes<T: Float>(&self, pass: Pass, pool: &Pool, shared: [bool; 2]) -> usize {
        self.way(pass, shared).map_or(0, |way| way.scratch_bytes::<T>(pool))
    }

    /// The result of a pass from its left and its right operand.
    ///
    /// # Safety
    /// Every operand has the elements of its shape, nothing overlaps the output or the scratch,
    /// and `scratch` has [`Convolution::scratch_bytes`] bytes.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run<T: Float>(
        &self,
        pass: Pass,
        pool: &Pool,
        [left, right]: [*const T; 2],
        shared: [bool; 2],
        output: *mut T,
        scratch: *mut u8,
    ) {
        let Some(way) = self.way(pass, shared) else { return };
        let [of_left, of_right, of_output] = pass.parts();
        let operands = || {
            vec![
                Operand::dense(left, self.elements(of_left, shared[0]), false),
                Operand::dense(right, self.elements(of_right, shared[1]), false),
                Operand::dense(output, self.elements(of_output, false), true),
                Operand::dense(scratch, way.scratch_bytes::<T>(pool), true),
            ]
        };
        // SAFETY: passed on from the caller.
        bounds::within(operands, || unsafe { way.run(pool, left, right, output, scratch) });
    }

    /// How a pass is done; nothing if there is nothing to do. Of this value and the pass alone
    /// depends in which order is summed.
    fn way(&self, pass: Pass, [left, right]: [bool; 2]) -> Option<Way<'_>> {
        match pass {
            Pass::Forward => match Winograd::forward(self, left, right) {
                Some(it) => Some(Way::Tiles(it)),
                None => Correlation::forward(self, left, right).map(Way::Correlation),
            },
            Pass::InputGradient => match Winograd::input_gradient(self, left, right) {
                Some(it) => Some(Way::Tiles(it)),
                None => Correlation::input_gradient(self, left, right).map(Way::Correlation),
            },
            Pass::WeightGradient => match WeightTiles::new(self, left, right) {
                Some(it) => Some(Way::WeightTiles(it)),
                None => WeightGradient::new(self, left, right).map(Way::WeightGradient),
            },
        }
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

/// One of the three convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `x` and `weights` -> `y`.
    Forward,
    /// `dy` and `weights` -> `dx`.
    InputGradient,
    /// `x` and `dy` -> `dw`.
    WeightGradient,
}

impl Pass {
    /// All of them.
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::InputGradient, Pass::WeightGradient];

    /// What the left operand, the right one and the result are.
    fn parts(self) -> [Part; 3] {
        match self {
            Pass::Forward => [Part::Input, Part::Weights, Part::Output],
            Pass::InputGradient => [Part::Output, Part::Weights, Part::Input],
            Pass::WeightGradient => [Part::Input, Part::Output, Part::Weights],
        }
    }
}

/// What has the shape of an operand of the forward convolution, or of its result.
#[derive(Clone, Copy)]
enum Part {
    Input,
    Weights,
    Output,
}

/// How a pass is done.
enum Way<'a> {
    Tiles(Winograd),
    Correlation(Correlation),
    WeightTiles(WeightTiles),
    WeightGradient(WeightGradient<'a>),
}

impl Way<'_> {
    fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        match self {
            Way::Tiles(it) => it.scratch_bytes::<T>(pool),
            Way::Correlation(it) => it.scratch_bytes::<T>(pool),
            Way::WeightTiles(it) => it.scratch_bytes::<T>(pool),
            Way::WeightGradient(it) => it.scratch_bytes::<T>(pool),
        }
    }

    /// # Safety
    /// As for [`Convolution::run`].
    unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        left: *const T,
        right: *const T,
        output: *mut T,
        scratch: *mut u8,
    ) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self {
                Way::Tiles(it) => it.run(pool, left, right, output, scratch),
                Way::Correlation(it) => it.run(pool, left, right, output, scratch),
                Way::WeightTiles(it) => it.run(pool, left, right, output, scratch),
                Way::WeightGradient(it) => it.run(pool, left, right, output, scratch),
            }
        }
    }
}

#[cfg(test)]
mod tests;
