//! The two-dimensional convolution layer.

use super::last_extent;
use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role, TorchLayout};
use crate::scope::Scope;
use thalweg_graph::{ConvolutionWindow, Tensor};

/// `y[n, i, j, o] = b[o] + sum over u, v, c of x[n, s i + d u - p, s j + d v - p, c] w[u, v, c, o]`.
///
/// # Shapes    x `[n, height, width, in]`, w `[kernel.., in / groups, out]`, b `[out]`
/// -> y `[n, height', width', out]`
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// Channels produced.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step along height and width.
    pub stride: [usize; 2],
    /// Zeros before and after height and width.
    pub padding: [(usize, usize); 2],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// How the kernel is drawn.
    pub initializer: Initializer,
    /// How the bias is drawn; without one as PyTorch does it.
    pub bias_initializer: Option<Initializer>,
}

impl Convolution {
    /// PyTorch's default layer with a square kernel, stride one and no padding.
    pub fn new(outputs: usize, kernel: usize) -> Convolution {
        Convolution {
            outputs,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [(0, 0); 2],
            dilation: [1; 2],
            groups: 1,
            bias: true,
            initializer: Initializer::TORCH_WEIGHT,
            bias_initializer: None,
        }
    }

    /// The same with a stride along both axes.
    pub fn stride(self, stride: usize) -> Convolution {
        Convolution { stride: [stride; 2], ..self }
    }

    /// The same with zeros on all four sides.
    pub fn padding(self, padding: usize) -> Convolution {
        Convolution { padding: [(padding, padding); 2], ..self }
    }

    /// The same with or without a bias.
    pub fn bias(self, bias: bool) -> Convolution {
        Convolution { bias, ..self }
    }

    /// The same with a kernel drawn otherwise.
    pub fn initializer(self, initializer: Initializer) -> Convolution {
        Convolution { initializer, ..self }
    }
}

impl Layer for Convolution {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = last_extent("convolution", x);
        // A number of groups that does not divide is the shape rule's to refuse.
        let [height, width] = self.kernel;
        let shape = [height, width, inputs / self.groups.max(1), self.outputs];
        let axes = [Axis::Spatial, Axis::Spatial, Axis::Input, Axis::Output];
        let kernel = Parameter::new("weight", &shape, Role::Weight, &axes, self.initializer)
            .torch(TorchLayout::permuted(&shape, &[3, 2, 0, 1]));
        let fan_in = kernel.fan_in();
        let window = ConvolutionWindow {
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
            ..ConvolutionWindow::PLAIN
        };
        let y = x.convolution(scope.parameter(kernel), window);
        if !self.bias {
            return y;
        }
        let initializer = self.bias_initializer.unwrap_or(Initializer::torch_bias(fan_in));
        let axes = [Axis::Output];
        y + scope.parameter(Parameter::new("bias", &shape[3..], Role::Bias, &axes, initializer))
    }
}
