//! The deep linear network.

use super::{Design, Scheme, flatten, require};
use crate::error::NnError;
use crate::layer::{Activation, Dense};
use crate::model::{Layer, Network};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// `output = flatten(x) w_1 w_2 .. w_depth`; parameters `fc1.weight`, `fc2.weight`, ..
///
/// A linear function with the landscape of a deep network.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepLinear {
    /// Number of matrices.
    pub depth: usize,
    /// Units between them.
    pub width: usize,
    /// Whether there are biases.
    pub bias: bool,
    /// How the weights are drawn.
    pub init: Scheme,
}

impl Default for DeepLinear {
    fn default() -> DeepLinear {
        DeepLinear { depth: 3, width: 64, bias: false, init: Scheme::Lecun }
    }
}

impl Options for DeepLinear {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("depth", &mut self.depth);
        visit("width", &mut self.width);
        visit("bias", &mut self.bias);
        visit("init", &mut self.init);
    }
}

impl Design for DeepLinear {
    fn network(&self, _: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        let fits = (1..=1024).contains(&self.depth);
        require(fits, "deep-linear", "depth", "1 to 1024", self.depth)?;
        require(self.width > 0, "deep-linear", "width", "at least 1", self.width)?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: DeepLinear,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let DeepLinear { depth, width, bias, init } = self.options;
        let (mut x, mut layout) = flatten(x);
        for i in 0..depth {
            let outputs = if i + 1 == depth { self.outputs } else { width };
            let initializer = init.initializer(Activation::Identity, i == 0);
            let layout = std::mem::take(&mut layout);
            let dense = Dense { bias, initializer, layout, ..Dense::new(outputs) };
            x = dense.forward(&scope.enter(&format!("fc{}", i + 1)), x);
        }
        x
    }
}
