//! The residual network for small images.

use super::{Design, require, require_image};
use crate::error::NnError;
use crate::initialize::{Fan, Initializer};
use crate::layer::{Activation, Classifier, Convolution, Dense, GlobalAveragePool, Normalization};
use crate::model::{Layer, Network};
use crate::options::{Field, Options, named_field};
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// A 3x3 convolution, three stages of `(depth - 2) / 6` blocks of two 3x3 convolutions with
/// `width`, `2 width` and `4 width` channels, each later stage halving the image; a global mean
/// and a dense layer.
///
/// A block is `activation(norm(conv(activation(norm(conv(x))))) + shortcut(x))`; with `skip=false`
/// the sum is left out ("noshort" of Li et al.). Names are those of torchvision: `conv1`, `bn1`,
/// `layer1.0.conv1`, .., `layer2.0.downsample.0`, `fc`; the normalisations are called `bn` whatever
/// they are. A convolution has a bias only without normalisation, and not with Fixup.
///
/// Kernels are Kaiming normal by fan out, as torchvision's. Without normalisation and with skips
/// the second convolution of each of the `n` blocks is drawn smaller by `1 / sqrt(n)`, because the
/// variance would double in each block.
///
/// # Source    He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2015, arXiv
/// 1512.03385, section 4.2; Li et al., Visualizing the loss landscape of neural nets,
/// 2018, arXiv 1712.09913. Option B is the default, as in the code of Li et al.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNet {
    /// Number of layers with weights on the longest path: 8, 14, 20, ..
    pub depth: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// Whether the blocks have shortcuts.
    pub skip: bool,
    /// How a shortcut changes extents.
    pub shortcut: Shortcut,
    /// After each convolution.
    pub norm: Normalization,
    /// After each normalisation.
    pub activation: Activation,
    /// Whether there are biases (of convolutions only without normalisation).
    pub bias: bool,
    /// What the blocks begin as.
    pub init: ResidualInit,
    /// What the last layer makes of the features.
    pub classifier: Classifier,
}

/// What the blocks of a residual network begin as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ResidualInit {
    /// Every layer is drawn.
    #[default]
    Plain,
    /// The last normalisation of each block has factors of zero, without normalisation the last
    /// convolution weights of zero: each block is its shortcut until it has learned, where the
    /// activation leaves that as it is.
    ///
    /// # Source    Goyal et al., Accurate, large minibatch SGD, 2017, arXiv 1706.02677, section 5.1
    Zero,
    /// Training without normalisation: the last convolution of each of the `L` blocks and the last
    /// layer begin at zero, and the first convolution of each block is drawn smaller by
    /// `L^(-1/(2m - 2))` with its `m = 2` layers. Convolutions have no bias; each block has scalars
    /// instead: `bias1a` and `bias1b` before its first convolution and the activation behind it,
    /// `bias2a` before its second, `scale` (one at first) and `bias2b` behind that; `bias1` stands
    /// before the first activation of the network, `bias2` before its last layer.
    ///
    /// # Source    Zhang, Dauphin, Ma, Fixup initialization: residual learning without
    /// normalization, 2019, arXiv 1901.09321, section 3
    Fixup,
}

impl ResidualInit {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, ResidualInit); 3] = [
        ("plain", ResidualInit::Plain),
        ("zero", ResidualInit::Zero),
        ("fixup", ResidualInit::Fixup),
    ];
}

named_field!(ResidualInit);

/// How a shortcut changes the number of channels and halves the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Shortcut {
    /// Every second pixel, channels of zeros added on both sides: no parameters.
    A,
    /// A strided 1x1 convolution with normalisation.
    #[default]
    B,
}

impl Shortcut {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Shortcut); 2] = [("a", Shortcut::A), ("b", Shortcut::B)];
}

named_field!(Shortcut);

impl Default for ResNet {
    fn default() -> ResNet {
        ResNet {
            depth: 20,
            width: 16,
            skip: true,
            shortcut: Shortcut::B,
            norm: Normalization::Batch,
            activation: Activation::Relu,
            bias: true,
            init: ResidualInit::Plain,
            classifier: Classifier::Dense,
        }
    }
}

impl Options for ResNet {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("depth", &mut self.depth);
        visit("width", &mut self.width);
        visit("skip", &mut self.skip);
        visit("shortcut", &mut self.shortcut);
        visit("norm", &mut self.norm);
        visit("activation", &mut self.activation);
        visit("bias", &mut self.bias);
        visit("init", &mut self.init);
        visit("classifier", &mut self.classifier);
    }
}

impl Design for ResNet {
    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        require_image("resnet", input)?;
        let fits = (8..=1202).contains(&self.depth) && self.depth % 6 == 2;
        require(fits, "resnet", "depth", "6n + 2 from 8 to 1202, as 8, 14, 20", self.depth)?;
        require(self.width > 0, "resnet", "width", "at least 1", self.width)?;
        let shown = || self.init.show();
        let skips = self.init == ResidualInit::Plain || self.skip;
        require(skips, "resnet", "init", "plain without skips", shown())?;
        let plain = self.init != ResidualInit::Fixup || self.norm == Normalization::None;
        require(plain, "resnet", "init", "fixup with norm=none", shown())?;
        Ok(Arc::new(Traced { options: self.clone(), outputs }))
    }
}

struct Traced {
    options: ResNet,
    outputs: usize,
}

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let ResNet { depth, width, activation, .. } = self.options;
        let mut x = self.convolution(scope, ["conv1", "bn1"], x, [width, 3, 1], 1.0);
        x = activation.of(self.shifted(scope, "bias1", x));
        for stage in 0..3 {
            let scope = scope.enter(&format!("layer{}", stage + 1));
            for block in 0..(depth - 2) / 6 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(
                    &scope.enter(&block.to_string()),
                    x,
                    width.saturating_mul(1 << stage),
                    stride,
                );
            }
        }
        let x = self.shifted(scope, "bias2", GlobalAveragePool.forward(scope, x));
        let fc = Dense { bias: self.options.bias, ..Dense::new(self.outputs) };
        let zeroed = self.options.init == ResidualInit::Fixup;
        self.options.classifier.of(fc, &scope.enter("fc").zeroed(zeroed), x)
    }
}

impl Traced {
    fn block<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        x: Tensor<'b>,
        channels: usize,
        stride: usize,
    ) -> Tensor<'b> {
        let ResNet { depth, skip, shortcut, norm, activation, init, .. } = self.options;
        let n_blocks = (depth - 2) / 2;
        let damping = match norm {
            Normalization::None if skip => 1.0 / (n_blocks as f64).sqrt(),
            _ => 1.0,
        };
        // L^(-1/2), of that layer of the block which is drawn.
        let [first, second] = match init {
            ResidualInit::Fixup => [damping, 1.0],
            ResidualInit::Plain | ResidualInit::Zero => [1.0, damping],
        };
        let shifted = self.shifted(scope, "bias1a", x);
        let wide = [channels, 3, stride];
        let y = self.convolution(scope, ["conv1", "bn1"], shifted, wide, first);
        let y = activation.of(self.shifted(scope, "bias1b", y));
        let y = self.shifted(scope, "bias2a", y);
        let y = match init {
            ResidualInit::Plain => {
                self.convolution(scope, ["conv2", "bn2"], y, [channels, 3, 1], second)
            }
            ResidualInit::Zero | ResidualInit::Fixup => self.last_convolution(scope, y, channels),
        };
        let y = self.shifted(scope, "bias2b", y);
        if !skip {
            return activation.of(y);
        }
        let x = match shortcut {
            _ if stride == 1 && x.shape().last() == Some(&channels) => x,
            Shortcut::A => pad_channels(shifted, channels, stride),
            Shortcut::B => {
                let scope = scope.enter("downsample");
                self.convolution(&scope, ["0", "1"], shifted, [channels, 1, stride], 1.0)
            }
        };
        activation.of(y + x)
    }

    /// The second convolution and normalisation of a block that begins as its shortcut.
    fn last_convolution<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        x: Tensor<'b>,
        channels: usize,
    ) -> Tensor<'b> {
        let norm = self.options.norm;
        let inner = scope.enter("conv2").zeroed(norm == Normalization::None);
        let y = self.kernel([channels, 3, 1], 1.0).forward(&inner, x);
        let y = match self.options.init {
            ResidualInit::Fixup => y * scalar(scope, "scale", Role::NormScale, 1.0),
            ResidualInit::Plain | ResidualInit::Zero => y,
        };
        norm.forward(&scope.enter("bn2").zeroed(true), y)
    }

    /// What Fixup adds in place of biases; with other beginnings the same.
    fn shifted<'b>(&self, scope: &Scope<'_, 'b>, name: &str, x: Tensor<'b>) -> Tensor<'b> {
        match self.options.init {
            ResidualInit::Fixup => x + scalar(scope, name, Role::Bias, 0.0),
            ResidualInit::Plain | ResidualInit::Zero => x,
        }
    }

    /// A convolution and its normalisation under their two names; `[channels, kernel, stride]`.
    fn convolution<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        names: [&str; 2],
        x: Tensor<'b>,
        extents: [usize; 3],
        damping: f64,
    ) -> Tensor<'b> {
        let y = self.kernel(extents, damping).forward(&scope.enter(names[0]), x);
        self.options.norm.forward(&scope.enter(names[1]), y)
    }

    fn kernel(&self, [channels, kernel, stride]: [usize; 3], damping: f64) -> Convolution {
        let ResNet { norm, init, bias, .. } = self.options;
        let gain = damping * std::f64::consts::SQRT_2;
        Convolution::new(channels, kernel)
            .stride(stride)
            .padding(kernel / 2)
            .bias(bias && norm == Normalization::None && init != ResidualInit::Fixup)
            .initializer(Initializer::KaimingNormal { fan: Fan::Out, gain })
    }
}

/// One number for all that a layer gives.
fn scalar<'b>(scope: &Scope<'_, 'b>, name: &str, role: Role, initial: f64) -> Tensor<'b> {
    let initializer = Initializer::Constant(initial);
    scope.parameter(Parameter::new(name, &[1], role, &[Axis::Other], initializer))
}

/// Every `stride`-th pixel, and zeros before and after the channels.
fn pad_channels(x: Tensor<'_>, channels: usize, stride: usize) -> Tensor<'_> {
    let shape = x.shape();
    // After a mistake that the builder keeps, there may be no image any more.
    if shape.len() != 4 || channels < shape[3] {
        return x;
    }
    let strided = x.slice_all(&[0; 4], &shape, &[1, stride, stride, 1]);
    let added = channels - shape[3];
    let low = added / 2;
    strided.pad(0.0, &[0, 0, 0, low], &[0, 0, 0, added - low], &[0; 4])
}
