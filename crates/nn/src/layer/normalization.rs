//! The choice of a normalisation by name.

use super::{BatchNorm, GroupNorm, LayerNorm, RmsNorm, last_extent};
use crate::model::Layer;
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// Which normalisation follows a dense or convolution layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Normalization {
    /// None: the input itself.
    #[default]
    None,
    /// [`BatchNorm`].
    Batch,
    /// [`GroupNorm`] with the greatest common divisor of 8 and the channels as its groups.
    Group,
    /// [`LayerNorm`] of features; of images a [`GroupNorm`] with one group.
    Layer,
    /// [`RmsNorm`] over the channels.
    Rms,
}

impl Normalization {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Normalization); 5] = [
        ("none", Normalization::None),
        ("batch", Normalization::Batch),
        ("group", Normalization::Group),
        ("layer", Normalization::Layer),
        ("rms", Normalization::Rms),
    ];
}

impl Normalization {
    /// The normalisation that follows a layer of a sequence, each position by itself, under the layer's
    /// name with `_norm` behind it.
    pub(crate) fn of_positions<'b>(
        self,
        scope: &Scope<'_, 'b>,
        layer: &str,
        x: Tensor<'b>,
    ) -> Tensor<'b> {
        let scope = scope.enter(&format!("{layer}_norm"));
        match self {
            Normalization::Layer => LayerNorm::default().forward(&scope, x),
            other => other.forward(&scope, x),
        }
    }
}

impl Layer for Normalization {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        match self {
            Normalization::None => x,
            Normalization::Batch => BatchNorm::default().forward(scope, x),
            Normalization::Group => {
                let channels = last_extent("group_norm", x);
                // The lowest set bit is the largest power of two that divides.
                let groups = (channels & channels.wrapping_neg()).clamp(1, 8);
                GroupNorm::new(groups).forward(scope, x)
            }
            Normalization::Layer if x.rank() > 2 => GroupNorm::new(1).forward(scope, x),
            Normalization::Layer => LayerNorm::default().forward(scope, x),
            Normalization::Rms => RmsNorm::default().forward(scope, x),
        }
    }
}
