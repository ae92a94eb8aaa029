//! Which axes an operation works along, and how windows move.

/// Which axes of gather and scatter are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GatherAxes {
    /// Leading axes that both operands share.
    pub batch: usize,
    /// Last axes that both operands share.
    pub trailing: usize,
}

/// A sliding window over every axis of an operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window along each axis.
    pub size: Vec<usize>,
    /// Step along each axis.
    pub stride: Vec<usize>,
    /// Elements of padding before and after each axis.
    pub padding: Vec<(usize, usize)>,
    /// Distance between the window's elements along each axis.
    pub dilation: Vec<usize>,
}

/// Axes of the two operands of [`Op::Dot`](super::Op::Dot).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct DotAxes {
    /// Batch axes of the left operand.
    pub lhs_batch: Vec<usize>,
    /// Batch axes of the right operand, in the same order.
    pub rhs_batch: Vec<usize>,
    /// Summed axes of the left operand.
    pub lhs_contract: Vec<usize>,
    /// Summed axes of the right operand, in the same order.
    pub rhs_contract: Vec<usize>,
}

impl DotAxes {
    /// Axes of an operand that are neither batch nor summed, in order.
    pub fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
        (0..rank).filter(|axis| !batch.contains(axis) && !contract.contains(axis)).collect()
    }
}

/// A two-dimensional convolution.
///
/// `x [P?, batch, height, width, in]`, `w [P?, height, width, in / groups, out]`,
/// `y [P?, batch, height, width, out]`. Each operand may carry a leading population axis `P`;
/// an operand without one is shared by all members; the result carries one if either does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvolutionWindow {
    /// Step along height and width.
    pub stride: [usize; 2],
    /// Zeros before and after height and width.
    pub padding: [(usize, usize); 2],
    /// Distance between the kernel's elements along height and width.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether the first operand has a population axis.
    pub lhs_population: bool,
    /// Whether the second operand has a population axis.
    pub rhs_population: bool,
    /// Members that batching has folded into the input and the output channels of a group. The
    /// order of a sum does not depend on them.
    pub folded: [usize; 2],
}

impl ConvolutionWindow {
    /// Stride and dilation one, no padding, one group, no population.
    pub const PLAIN: ConvolutionWindow = ConvolutionWindow {
        stride: [1, 1],
        padding: [(0, 0), (0, 0)],
        dilation: [1, 1],
        groups: 1,
        lhs_population: false,
        rhs_population: false,
        folded: [1, 1],
    };

    /// Whether the result has a population axis.
    pub fn has_population(&self) -> bool {
        self.lhs_population || self.rhs_population
    }

    /// Extent of the result along axis `i` (0 height, 1 width), or `None` if the kernel does not
    /// fit.
    pub fn output_extent(&self, i: usize, input: usize, kernel: usize) -> Option<usize> {
        window_extent(input, kernel, self.stride[i], self.padding[i], self.dilation[i])
    }
}

/// Number of window positions along one axis, or `None` if the window does not fit or an
/// attribute is out of range.
pub fn window_extent(
    input: usize,
    size: usize,
    stride: usize,
    padding: (usize, usize),
    dilation: usize,
) -> Option<usize> {
    if size == 0 || stride == 0 || dilation == 0 {
        return None;
    }
    let reach = dilation.checked_mul(size - 1)?.checked_add(1)?;
    let padded = input.checked_add(padding.0)?.checked_add(padding.1)?;
    Some(padded.checked_sub(reach)? / stride + 1)
}
