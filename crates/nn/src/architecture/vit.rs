//! The vision transformer.

use super::transformer::{Block, check};
use super::{Design, require, require_image};
use crate::error::NnError;
use crate::initialize::{Fan, Initializer};
use crate::layer::{
    Activation, Convolution, Dense, Dropout, LayerNorm, Normalization, SelfAttention,
};
use crate::model::{Layer, Network};
use crate::options::{Field, Options, named_field};
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// An image cut into squares of `patch` pixels, each projected to `width` units; positions added;
/// `depth` blocks of attention and a perceptron of `4 width` units, each behind its
/// normalisation; a normalisation and a dense layer.
///
/// The patch divides height and width of the image: 2 makes 16 tokens of an image of 8x8, 4 makes
/// 49 of one of 28x28 and 64 of one of 32x32. Names are those of timm's `VisionTransformer`:
/// `cls_token`, `pos_embed`, `patch_embed.proj`, `blocks.0.attn.qkv`, .., `norm` (`fc_norm` with
/// `pool=mean`, where it follows the mean), `head`.
///
/// # Shapes    `[batch, height, width, channels]` -> `[batch, outputs]`
/// # Source    Dosovitskiy et al., An image is worth 16x16 words, 2020, arXiv 2010.11929, section
/// 3.1. Weights are drawn as in its code: Xavier uniform, queries, keys and values each by
/// themselves; the biases of the perceptron normal with standard deviation 1e-6 and all others
/// zero; the patches' projection normal with variance `1 / fan_in`; positions normal with standard
/// deviation 0.02; class token and last layer zero
/// # Deviations from the paper    dropout is off by default
#[derive(Clone, Debug, PartialEq)]
pub struct Vit {
    /// Height and width of a patch, pixels.
    pub patch: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Units of the residual stream.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// What the last layer reads.
    pub pool: TokenPool,
    /// What follows each layer, at each position, beside the normalisation in front of it: queries and
    /// keys of each head before their products, and the others before the activation or before they
    /// are added to the stream. `none`, `layer` or `rms`.
    pub norm: Normalization,
    /// Whether layers have biases.
    pub bias: bool,
    /// Probability of dropping: embeddings, attention weights, what a block adds.
    pub dropout: f64,
}

/// What the last layer of a vision transformer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TokenPool {
    /// A token of its own before the patches, normalised.
    #[default]
    Class,
    /// The mean over the patches, normalised.
    Mean,
}

impl TokenPool {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, TokenPool); 2] =
        [("class", TokenPool::Class), ("mean", TokenPool::Mean)];
}

named_field!(TokenPool);

impl Default for Vit {
    fn default() -> Vit {
        Vit {
            patch: 4,
            depth: 6,
            width: 64,
            heads: 4,
            pool: TokenPool::Class,
            norm: Normalization::None,
            bias: true,
            dropout: 0.0,
        }
    }
}

impl Options for Vit {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("patch", &mut self.patch);
        visit("depth", &mut self.depth);
        visit("width", &mut self.width);
        visit("heads", &mut self.heads);
        visit("pool", &mut self.pool);
        visit("norm", &mut self.norm);
        visit("bias", &mut self.bias);
        visit("dropout", &mut self.dropout);
    }
}

impl Design for Vit {
    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        require_image("vit", input)?;
        let [height, width] = [input[0], input[1]];
        let divides =
            self.patch > 0 && height.is_multiple_of(self.patch) && width.is_multiple_of(self.patch);
        let expected = format!("a divisor of the image's extents {height} and {width}");
        require(divides, "vit", "patch", &expected, self.patch)?;
        let sizes = [self.depth, self.width, self.heads];
        check("vit", sizes, self.norm, self.dropout)?;
        let patches = (height / self.patch).saturating_mul(width / self.patch);
        Ok(Arc::new(Traced { options: self.clone(), patches, outputs }))
    }
}

struct Traced {
    options: Vit,
    patches: usize,
    outputs: usize,
}

/// Added to the variance; JAX's default and not PyTorch's.
const EPS: f64 = 1e-6;
const ZERO: Option<Initializer> = Some(Initializer::Constant(0.0));

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let Vit { depth, width, pool, bias, dropout, .. } = self.options;
        let batch = x.shape().first().copied().unwrap_or(1);
        let learned = |name: &str, positions, initializer| {
            let axes = [Axis::Other, Axis::Other, Axis::Output];
            let shape = [1, positions, width];
            scope.parameter(Parameter::new(name, &shape, Role::Embedding, &axes, initializer))
        };
        let class =
            (pool == TokenPool::Class).then(|| learned("cls_token", 1, Initializer::Constant(0.0)));
        let positions = self.patches.saturating_add(usize::from(class.is_some()));
        let spread = Initializer::Normal { standard_deviation: 0.02 };
        let places = learned("pos_embed", positions, spread);

        let mut x =
            self.embed(&scope.enter("patch_embed"), x).reshape(&[batch, self.patches, width]);
        if let Some(class) = class {
            let class = class.broadcast_to(&[batch, 1, width]);
            x = scope.builder().concatenate(&[class, x], 1);
        }
        x = Dropout { rate: dropout }.forward(scope, x + places);
        for layer in 0..depth {
            x = self.block().forward(&scope.enter("blocks").enter(&layer.to_string()), x);
        }
        let norm = LayerNorm { eps: EPS };
        // One norm is over positions each by itself, so only the class token's is needed.
        let (read, name) = match pool {
            TokenPool::Class => (x.index(1, 0), "norm"),
            TokenPool::Mean => (x.mean(&[1]), "fc_norm"),
        };
        let read = norm.forward(&scope.enter(name), read);
        let head = Dense {
            bias,
            initializer: Initializer::Constant(0.0),
            bias_initializer: ZERO,
            ..Dense::new(self.outputs)
        };
        head.forward(&scope.enter("head"), read)
    }
}

impl Traced {
    /// Patches as a convolution that steps by its own kernel.
    fn embed<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let Vit { patch, width, norm, bias, .. } = self.options;
        let initializer = Initializer::KaimingNormal { fan: Fan::In, gain: 1.0 };
        let projection = Convolution { bias_initializer: ZERO, ..Convolution::new(width, patch) };
        let projection = projection.stride(patch).bias(bias).initializer(initializer);
        norm.of_positions(scope, "proj", projection.forward(&scope.enter("proj"), x))
    }

    fn block(&self) -> Block {
        let Vit { width, heads, norm, bias, dropout, .. } = self.options;
        let dense = |outputs, gain, bias_initializer| Dense {
            bias,
            initializer: Initializer::XavierUniform { gain },
            bias_initializer: Some(bias_initializer),
            ..Dense::new(outputs)
        };
        let zero = Initializer::Constant(0.0);
        let small = Initializer::Normal { standard_deviation: 1e-6 };
        // The fans of all three together are 4 widths, those of each of them 2.
        let all_gain = std::f64::consts::SQRT_2;
        let attention = SelfAttention {
            heads,
            causal: false,
            dropout,
            projections: [
                ("qkv", dense(width.saturating_mul(3), all_gain, zero)),
                ("proj", dense(width, 1.0, zero)),
            ],
            norm,
        };
        let mlp = [
            ("fc1", dense(width.saturating_mul(4), 1.0, small)),
            ("fc2", dense(width, 1.0, small)),
        ];
        Block {
            norms: ["norm1", "norm2"],
            eps: EPS,
            attention,
            mlp,
            activation: Activation::Gelu,
            norm,
            dropout,
        }
    }
}
