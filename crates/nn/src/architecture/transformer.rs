//! The block that transformers share.

use super::require;
use crate::error::NnError;
use crate::layer::{Activation, Dense, Dropout, LayerNorm, Normalization, SelfAttention};
use crate::model::Layer;
use crate::options::Field;
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`: normalisation comes first. Another may follow
/// each layer, before the activation and before anything is added to the stream.
///
/// # Shapes    `[batch, positions, units]` -> the same
pub(super) struct Block {
    /// Names of the two normalisations.
    pub(super) norms: [&'static str; 2],
    /// Added to the variance in both.
    pub(super) eps: f64,
    /// Under the name `attn`.
    pub(super) attention: SelfAttention,
    /// The two layers of `mlp`, under their names.
    pub(super) mlp: [(&'static str, Dense); 2],
    /// Between them.
    pub(super) activation: Activation,
    /// What follows each of the two; that of the attention is its own.
    pub(super) norm: Normalization,
    /// Probability of dropping a unit of what is added.
    pub(super) dropout: f64,
}

impl Layer for Block {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let drop = Dropout { rate: self.dropout };
        let norm =
            |i: usize, x| LayerNorm { eps: self.eps }.forward(&scope.enter(self.norms[i]), x);
        let mixed = self.attention.forward(&scope.enter("attn"), norm(0, x));
        let x = x + drop.forward(scope, mixed);
        let mlp = scope.enter("mlp");
        let layer = |(name, dense): &(&str, Dense), x: Tensor<'b>| {
            self.norm.of_positions(&mlp, name, dense.forward(&mlp.enter(name), x))
        };
        let hidden = self.activation.of(layer(&self.mlp[0], norm(1, x)));
        x + drop.forward(scope, layer(&self.mlp[1], hidden))
    }
}

/// Refuses sizes that no transformer has, and a normalisation that is not of each position alone.
pub(super) fn check(
    owner: &str,
    [depth, width, heads]: [usize; 3],
    norm: Normalization,
    dropout: f64,
) -> Result<(), NnError> {
    require((1..=1024).contains(&depth), owner, "depth", "1 to 1024", depth)?;
    require(width > 0, owner, "width", "at least 1", width)?;
    let divides = heads > 0 && width.is_multiple_of(heads);
    require(divides, owner, "heads", &format!("a divisor of the width {width}"), heads)?;
    let alone = !matches!(norm, Normalization::Batch | Normalization::Group);
    require(alone, owner, "norm", "none, layer or rms", norm.show())?;
    require((0.0..1.0).contains(&dropout), owner, "dropout", "a rate in [0, 1)", dropout)
}
