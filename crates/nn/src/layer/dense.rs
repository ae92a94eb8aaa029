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
    /// How the weight is drawn; the bias is PyTorch's.
    pub initializer: Initializer,
    /// Height, width and channels, if the input is a flattened image.
    pub image: Option<[usize; 3]>,
}

impl Dense {
    /// PyTorch's default layer.
    pub fn new(outputs: usize) -> Dense {
        Dense { outputs, bias: true, initializer: Initializer::TORCH_WEIGHT, image: None }
    }
}

impl Layer for Dense {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = last_extent("dense", x);
        let shape = [inputs, self.outputs];
        let torch = match self.image {
            Some([h, w, c]) if h * w * c == inputs => TorchLayout {
                split: vec![h, w, c, self.outputs],
                permutation: vec![3, 2, 0, 1],
                shape: vec![self.outputs, inputs],
            },
            _ => TorchLayout::permuted(&shape, &[1, 0]),
        };
        let axes = [Axis::Input, Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::Weight, &axes, self.initializer);
        let y = x.matmul(scope.parameter(weight.torch(torch)));
        if !self.bias {
            return y;
        }
        let initializer = Initializer::torch_bias(inputs);
        let axes = [Axis::Output];
        y + scope.parameter(Parameter::new("bias", &shape[1..], Role::Bias, &axes, initializer))
    }
}
