//! The decoder-only transformer.

use super::transformer::{Block, check};
use super::{Design, Extents};
use crate::error::NnError;
use crate::initialize::Initializer;
use crate::layer::{
    Activation, Dense, DenseLayout, Dropout, Embedding, LayerNorm, Normalization, SelfAttention,
};
use crate::model::{Layer, Network, PortType};
use crate::options::{Field, Options};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::{DotAxes, Tensor};

/// GPT-2: embeddings of tokens and positions, `depth` blocks of causal attention and a perceptron
/// of `4 width` units, each behind its normalisation, a last normalisation, and the logits of the
/// next token at every position.
///
/// The context is the `input` of the architecture and the vocabulary its `outputs`:
/// `gpt input=128 outputs=65`. Names and layouts are those of Hugging Face's `GPT2LMHeadModel`:
/// `transformer.wte`, `transformer.wpe`, `transformer.h.0.attn.c_attn`, .., `transformer.ln_f`,
/// and `lm_head` unless it is the table of tokens itself.
///
/// # Shapes    `i32 [batch, context]` -> `[batch, context, vocabulary]`
/// # Source    Radford et al., Language models are unsupervised multitask learners, 2019, section
/// 2.3; weights are drawn as there, normal with standard deviation 0.02, those that write into the
/// residual stream smaller by `1 / sqrt(2 depth)`, biases zero
/// # Deviations from the paper    dropout is off by default, as suits models of this size
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt {
    /// Number of blocks.
    pub depth: usize,
    /// Units of the residual stream.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Whether the logits are products with the table of tokens.
    pub tied: bool,
    /// What follows each layer, at each position, beside the normalisation in front of it: queries and
    /// keys of each head before their products, and the others before the activation or before they
    /// are added to the stream. `none`, `layer` or `rms`.
    pub norm: Normalization,
    /// Whether layers have biases.
    pub bias: bool,
    /// Probability of dropping: embeddings, attention weights, what a block adds.
    pub dropout: f64,
}

impl Default for Gpt {
    fn default() -> Gpt {
        Gpt {
            depth: 4,
            width: 128,
            heads: 4,
            tied: true,
            norm: Normalization::None,
            bias: true,
            dropout: 0.0,
        }
    }
}

impl Options for Gpt {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        visit("depth", &mut self.depth);
        visit("width", &mut self.width);
        visit("heads", &mut self.heads);
        visit("tied", &mut self.tied);
        visit("norm", &mut self.norm);
        visit("bias", &mut self.bias);
        visit("dropout", &mut self.dropout);
    }
}

impl Design for Gpt {
    fn input_type(&self) -> PortType {
        PortType::Index
    }

    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError> {
        let [context] = *input else {
            return Err(NnError::Input {
                architecture: "gpt".to_owned(),
                expected: "sequences of tokens".to_owned(),
                got: format!("examples of {}", Extents(input)),
            });
        };
        let sizes = [self.depth, self.width, self.heads];
        check("gpt", sizes, self.norm, self.dropout)?;
        Ok(Arc::new(Traced { options: self.clone(), context, vocabulary: outputs }))
    }
}

struct Traced {
    options: Gpt,
    context: usize,
    vocabulary: usize,
}

const SPREAD: f64 = 0.02;

impl Layer for Traced {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, tokens: Tensor<'b>) -> Tensor<'b> {
        let Gpt { depth, width, tied, dropout, .. } = self.options;
        let initializer = Initializer::Normal { standard_deviation: SPREAD };
        let embedding = |entries| Embedding { initializer, ..Embedding::new(entries, width) };
        let inner = scope.enter("transformer");
        let table = embedding(self.vocabulary).table(&inner.enter("wte"));
        let places = embedding(self.context).table(&inner.enter("wpe"));
        let mut x = Dropout { rate: dropout }.forward(&inner, table.take(tokens) + places);
        for layer in 0..depth {
            x = self.block().forward(&inner.enter("h").enter(&layer.to_string()), x);
        }
        x = LayerNorm::default().forward(&inner.enter("ln_f"), x);
        if tied {
            let last = x.rank().saturating_sub(1);
            let axes =
                DotAxes { lhs_contract: vec![last], rhs_contract: vec![1], ..DotAxes::default() };
            return x.dot(table, axes);
        }
        let head = Dense { bias: false, initializer, ..Dense::new(self.vocabulary) };
        head.forward(&scope.enter("lm_head"), x)
    }
}

impl Traced {
    fn block(&self) -> Block {
        let Gpt { depth, width, heads, norm, bias, dropout, .. } = self.options;
        let dense = |outputs, spread| Dense {
            bias,
            initializer: Initializer::Normal { standard_deviation: spread },
            bias_initializer: Some(Initializer::Constant(0.0)),
            layout: DenseLayout::InputFirst,
            ..Dense::new(outputs)
        };
        let written = SPREAD / (2.0 * depth as f64).sqrt();
        let attention = SelfAttention {
            heads,
            causal: true,
            dropout,
            projections: [
                ("c_attn", dense(width.saturating_mul(3), SPREAD)),
                ("c_proj", dense(width, written)),
            ],
            norm,
        };
        Block {
            norms: ["ln_1", "ln_2"],
            eps: LayerNorm::default().eps,
            attention,
            mlp: [
                ("c_fc", dense(width.saturating_mul(4), SPREAD)),
                ("c_proj", dense(width, written)),
            ],
            activation: Activation::GeluTanh,
            norm,
            dropout,
        }
    }
}
