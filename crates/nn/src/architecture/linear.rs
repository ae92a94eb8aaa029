//! One dense layer: softmax or linear regression.

use super::{Design, Scheme, flatten};
use crate::error::NnError;
use crate::layer::{Activation, Dense};
use crate::model::{Layer, Network};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// `output = flatten(x) w + b`; parameters `fc.weight`, `fc.bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Whether there is a bias.
    pub bias: bool,
    /// How the weight is drawn.
    pub init: Scheme,
}

impl Default for Linear {
    fn default() -> Linear {
        Linear { bias: true, init: Scheme::Torch }
    }
}

impl Options for Linear {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("bias", &mut self.bias);
        visit("init", &mut self.init);
    }
}

impl Design for Linear {
    fn network(&self, _: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: Linear,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let (x, layout) = flatten(x);
        let initializer = self.options.init.initializer(Activation::Identity, true);
        let bias = self.options.bias;
        let layer = Dense { bias, initializer, layout, ..Dense::new(self.outputs) };
        layer.forward(&scope.enter("fc"), x)
    }
}
