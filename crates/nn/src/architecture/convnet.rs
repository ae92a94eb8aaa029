//! The plain convolutional network.

use super::{Design, Scheme, flatten, require, require_image};
use crate::error::NnError;
use crate::layer::{
    Activation, AveragePool, Classifier, Convolution, Dense, DenseLayout, Dropout,
    GlobalAveragePool, MaxPool, Normalization,
};
use crate::model::{Layer, Network};
use crate::options::{Field, Options, named_field};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// 3x3 convolutions `conv1`, `conv2`, .., each followed by the normalisation `norm1`, .., the
/// activation and a 2x2 pooling; then the dense layer `fc`.
///
/// A convolution before a normalisation has no bias. Pooling is left out where height or width is
/// one already.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvNet {
    /// Channels of each convolution.
    pub channels: Vec<usize>,
    /// After each convolution.
    pub activation: Activation,
    /// Between convolution and activation.
    pub norm: Normalization,
    /// After each activation.
    pub pool: Pooling,
    /// Between the last pooling and the dense layer.
    pub head: Head,
    /// Whether there are biases.
    pub bias: bool,
    /// Probability of dropping a unit before the dense layer.
    pub dropout: f64,
    /// How the weights are drawn.
    pub init: Scheme,
    /// What the last layer makes of the features.
    pub classifier: Classifier,
}

/// What halves an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Pooling {
    /// The largest of 2x2.
    #[default]
    Max,
    /// The mean of 2x2.
    Average,
    /// Nothing.
    None,
}

impl Pooling {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Pooling); 3] =
        [("max", Pooling::Max), ("average", Pooling::Average), ("none", Pooling::None)];
}

/// How an image becomes features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Head {
    /// The mean over height and width.
    #[default]
    Average,
    /// Every pixel's channels side by side.
    Flatten,
}

impl Head {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Head); 2] =
        [("average", Head::Average), ("flatten", Head::Flatten)];
}

named_field!(Pooling);
named_field!(Head);

impl Default for ConvNet {
    fn default() -> ConvNet {
        ConvNet {
            channels: vec![16, 32, 64],
            activation: Activation::Relu,
            norm: Normalization::None,
            pool: Pooling::Max,
            head: Head::Average,
            bias: true,
            dropout: 0.0,
            init: Scheme::Torch,
            classifier: Classifier::Dense,
        }
    }
}

impl Options for ConvNet {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("channels", &mut self.channels);
        visit("activation", &mut self.activation);
        visit("norm", &mut self.norm);
        visit("pool", &mut self.pool);
        visit("head", &mut self.head);
        visit("bias", &mut self.bias);
        visit("dropout", &mut self.dropout);
        visit("init", &mut self.init);
        visit("classifier", &mut self.classifier);
    }
}

impl Design for ConvNet {
    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        require_image("convnet", input)?;
        let usable = !self.channels.is_empty() && !self.channels.contains(&0);
        let expected = "at least one layer of at least one channel";
        require(usable, "convnet", "channels", expected, self.channels.show())?;
        let rate = (0.0..1.0).contains(&self.dropout);
        require(rate, "convnet", "dropout", "a rate in [0, 1)", self.dropout)?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: ConvNet,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, mut x: Tensor<'b>) -> Tensor<'b> {
        let ConvNet { channels, activation, norm, pool, head, bias, dropout, init, classifier } =
            &self.options;
        for (i, &outputs) in channels.iter().enumerate() {
            let convolution = Convolution::new(outputs, 3)
                .padding(1)
                .bias(*bias && *norm == Normalization::None)
                .initializer(init.initializer(*activation, i == 0));
            x = convolution.forward(&scope.enter(&format!("conv{}", i + 1)), x);
            x = norm.forward(&scope.enter(&format!("norm{}", i + 1)), x);
            x = activation.of(x);
            // After a mistake that the builder keeps, there may be no image any more.
            let image = x.shape();
            if image.len() == 4 && image[1..3].iter().all(|&extent| extent > 1) {
                let (size, stride, padding) = (2, 2, 0);
                x = match pool {
                    Pooling::Max => MaxPool { size, stride, padding }.forward(scope, x),
                    Pooling::Average => AveragePool { size, stride, padding }.forward(scope, x),
                    Pooling::None => x,
                };
            }
        }
        let (x, layout) = match head {
            Head::Average => (GlobalAveragePool.forward(scope, x), DenseLayout::Linear),
            Head::Flatten => flatten(x),
        };
        let x = Dropout { rate: *dropout }.forward(scope, x);
        let initializer = init.initializer(Activation::Identity, false);
        let dense = Dense { bias: *bias, initializer, layout, ..Dense::new(self.outputs) };
        classifier.of(dense, &scope.enter("fc"), x)
    }
}
