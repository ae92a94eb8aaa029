//! The dense layer.

use super::last_extent;
use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role, TorchLayout};
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `y = x w + b`.
///
/// # Shapes    x `[.., in]`, w `[in, out]`, b `[out]` -> y `[.., out]`
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Units produced.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// How the weight is drawn.
    pub initializer: Initializer,
    /// How the bias is drawn; without one as PyTorch does it.
    pub bias_initializer: Option<Initializer>,
    /// How PyTorch lays the weight out.
    pub layout: DenseLayout,
}

/// How a dense layer's weight lies in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DenseLayout {
    /// `[out, in]`, as in `torch.nn.Linear`.
    #[default]
    Linear,
    /// The same behind a flattened image of this height, width and number of channels.
    Flattened([usize; 3]),
    /// `[in, out]`, as in the `Conv1D` of Hugging Face's GPT-2.
    InputFirst,
}

impl DenseLayout {
    pub(super) fn of(self, inputs: usize, outputs: usize) -> TorchLayout {
        let shape = [inputs, outputs];
        match self {
            DenseLayout::InputFirst => TorchLayout::same(&shape),
            DenseLayout::Flattened([h, w, c]) if h * w * c == inputs => TorchLayout {
                split: vec![h, w, c, outputs],
                permutation: vec![3, 2, 0, 1],
                shape: vec![outputs, inputs],
            },
            DenseLayout::Flattened(_) | DenseLayout::Linear => {
                TorchLayout::permuted(&shape, &[1, 0])
            }
        }
    }
}

impl Dense {
    /// PyTorch's default layer.
    pub fn new(outputs: usize) -> Dense {
        Dense {
            outputs,
            bias: true,
            initializer: Initializer::TORCH_WEIGHT,
            bias_initializer: None,
            layout: DenseLayout::Linear,
        }
    }
}

impl Layer for Dense {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = last_extent("dense", x);
        let shape = [inputs, self.outputs];
        let axes = [Axis::Input, Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::Weight, &axes, self.initializer);
        let weight = weight.torch(self.layout.of(inputs, self.outputs));
        let y = x.matmul(scope.parameter(weight));
        if !self.bias {
            return y;
        }
        let initializer = self.bias_initializer.unwrap_or(Initializer::torch_bias(inputs));
        let axes = [Axis::Output];
        y + scope.parameter(Parameter::new("bias", &shape[1..], Role::Bias, &axes, initializer))
    }
}
