//! The cases of single layers.

use thalweg_graph::Tensor;
use thalweg_nn::layer::{
    Activation, AveragePool, BatchNorm, Convolution, Dense, Embedding, GroupNorm, LayerNorm,
    MaxPool, Normalization, RmsNorm, SelfAttention, WindowAttention,
};
use thalweg_nn::{Layer, Scope};

/// A layer, and then every axis but the batch in one.
pub struct Flattened(Box<dyn Layer>);

impl Layer for Flattened {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let y = self.0.forward(scope, x);
        let shape = y.shape();
        y.reshape(&[shape[0], shape[1..].iter().product()])
    }
}

/// The layer of a case.
pub fn network(name: &str) -> Flattened {
    let [size, stride, padding] = [3, 2, 1];
    Flattened(match name {
        "convolution" => Box::new(Convolution {
            kernel: [3, 2],
            stride: [2, 1],
            padding: [(1, 1), (2, 2)],
            dilation: [1, 2],
            groups: 2,
            ..Convolution::new(6, 1)
        }),
        "depthwise" => Box::new(Convolution { groups: 3, ..Convolution::new(6, 3).bias(false) }),
        "max-pool" => Box::new(MaxPool { size, stride, padding }),
        "average-pool" => Box::new(AveragePool { size, stride, padding }),
        "batch-norm" | "batch-norm-frozen" => Box::new(BatchNorm::default()),
        "group-norm" => Box::new(GroupNorm::new(2)),
        "layer-norm" => Box::new(LayerNorm::default()),
        "rms-norm" => Box::new(RmsNorm::default()),
        "embedding" => Box::new(Embedding::new(5, 3)),
        "attention" => Box::new(attention(2, false)),
        "causal-attention" => Box::new(attention(3, true)),
        "window-attention" => Box::new(WindowAttention {
            window: [2, 3],
            heads: 2,
            projections: [
                ("qkv", Dense { bias: false, ..Dense::new(12) }),
                ("proj", Dense::new(5)),
            ],
        }),
        "leaky(0.1)" => Box::new(Activation::LeakyRelu(0.1)),
        "sine(2)" => Box::new(Activation::Sine(2.0)),
        identity if identity.starts_with("identity") => Box::new(Activation::Identity),
        activation => {
            let found = Activation::ALL.into_iter().find(|a| a.to_string() == activation);
            Box::new(found.unwrap_or_else(|| panic!("layer {activation}")))
        }
    })
}

/// Of six units.
fn attention(heads: usize, causal: bool) -> SelfAttention {
    let projections = [("qkv", Dense::new(18)), ("proj", Dense::new(6))];
    SelfAttention { heads, causal, dropout: 0.0, projections, norm: Normalization::None }
}
