//! The multi-layer perceptron.

use super::{Design, Scheme, flatten, require};
use crate::error::NnError;
use crate::layer::{Activation, Dense, Dropout, Normalization};
use crate::model::{Layer, Network};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// Dense layers `fc1`, `fc2`, ..; after each but the last the normalisation `norm1`, .., the
/// activation, and dropout.
///
/// A layer before a batch, layer, group or RMS normalisation keeps its bias, as PyTorch's does.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// After each hidden layer.
    pub activation: Activation,
    /// Between layer and activation.
    pub norm: Normalization,
    /// Whether there are biases.
    pub bias: bool,
    /// Probability of dropping a hidden unit.
    pub dropout: f64,
    /// How the weights are drawn.
    pub init: Scheme,
}

impl Default for Mlp {
    fn default() -> Mlp {
        Mlp {
            hidden: vec![256],
            activation: Activation::Relu,
            norm: Normalization::None,
            bias: true,
            dropout: 0.0,
            init: Scheme::Torch,
        }
    }
}

impl Options for Mlp {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("hidden", &mut self.hidden);
        visit("activation", &mut self.activation);
        visit("norm", &mut self.norm);
        visit("bias", &mut self.bias);
        visit("dropout", &mut self.dropout);
        visit("init", &mut self.init);
    }
}

impl Design for Mlp {
    fn network(&self, _: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        let positive = !self.hidden.contains(&0);
        require(positive, "mlp", "hidden", "layers of at least one unit", self.hidden.show())?;
        let rate = (0.0..1.0).contains(&self.dropout);
        require(rate, "mlp", "dropout", "a rate in [0, 1)", self.dropout)?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: Mlp,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let Mlp { hidden, activation, norm, bias, dropout, init } = &self.options;
        let (mut x, mut layout) = flatten(x);
        for (i, &outputs) in hidden.iter().enumerate() {
            let initializer = init.initializer(*activation, i == 0);
            let layout = std::mem::take(&mut layout);
            let dense = Dense { bias: *bias, initializer, layout, ..Dense::new(outputs) };
            x = dense.forward(&scope.enter(&format!("fc{}", i + 1)), x);
            x = norm.forward(&scope.enter(&format!("norm{}", i + 1)), x);
            x = Dropout { rate: *dropout }.forward(scope, activation.of(x));
        }
        // The last layer of a sinusoidal network is drawn like the ones before it.
        let last = match (init, activation) {
            (Scheme::Siren, Activation::Sine(_)) => *activation,
            _ => Activation::Identity,
        };
        let initializer = init.initializer(last, hidden.is_empty());
        let dense = Dense { bias: *bias, initializer, layout, ..Dense::new(self.outputs) };
        dense.forward(&scope.enter(&format!("fc{}", hidden.len() + 1)), x)
    }
}
