//! The sinusoidal representation network.

use super::{Design, flatten, require};
use crate::error::NnError;
use crate::initialize::Initializer;
use crate::layer::{Activation, Dense};
use crate::model::{Layer, Network};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// `x_(i+1) = sin(omega (x_i w_i + b_i))` over the hidden layers, then a dense layer.
///
/// It stands for one signal, as a picture, by a function from places to values; places are best in
/// [-1, 1]. Parameters are `net.0.linear.weight`, `net.1.linear.weight`, .. and `net.N.weight` of
/// the last layer, as in the authors' code. Weights are uniform in `1 / inputs` in the first layer
/// and `sqrt(6 / inputs) / omega` in the others, the last one included; biases as PyTorch draws
/// them.
///
/// # Source    Sitzmann, Martel, Bergman, Lindell, Wetzstein, Implicit neural representations with
/// periodic activation functions, 2020, arXiv 2006.09661, section 3
#[derive(Clone, Debug, PartialEq)]
pub struct Siren {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Factor inside the sines.
    pub omega: f64,
}

impl Default for Siren {
    fn default() -> Siren {
        Siren { hidden: vec![64; 3], omega: 30.0 }
    }
}

impl Options for Siren {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("hidden", &mut self.hidden);
        visit("omega", &mut self.omega);
    }
}

impl Design for Siren {
    fn network(&self, _: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        let positive = !self.hidden.is_empty() && !self.hidden.contains(&0);
        let expected = "at least one layer, each of at least one unit";
        require(positive, "siren", "hidden", expected, self.hidden.show())?;
        let factor = self.omega.is_finite() && self.omega > 0.0;
        require(factor, "siren", "omega", "a positive number", self.omega)?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: Siren,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let Siren { hidden, omega } = &self.options;
        let net = scope.enter("net");
        let (mut x, mut layout) = flatten(x);
        for (i, &outputs) in hidden.iter().enumerate() {
            let initializer = Initializer::Siren { first: i == 0, omega: *omega };
            let layout = std::mem::take(&mut layout);
            let dense = Dense { initializer, layout, ..Dense::new(outputs) };
            let scope = net.enter(&i.to_string());
            x = Activation::Sine(*omega).of(dense.forward(&scope.enter("linear"), x));
        }
        let initializer = Initializer::Siren { first: false, omega: *omega };
        let dense = Dense { initializer, layout, ..Dense::new(self.outputs) };
        dense.forward(&net.enter(&hidden.len().to_string()), x)
    }
}
