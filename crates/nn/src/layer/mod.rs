//! Layers: traced functions, one file each.
//!
//! Images are `[batch, height, width, channel]`, features `[batch, unit]`, sequences
//! `[batch, position, unit]`.

mod activation;
mod attention;
mod batch_norm;
mod classifier;
mod convolution;
mod dense;
mod dropout;
mod embedding;
mod group_norm;
mod layer_norm;
mod mixture;
mod normalization;
mod pool;
mod rms_norm;
mod window_attention;

pub use activation::Activation;
pub use attention::{SelfAttention, dot_product_attention, scaled_dot_product_attention};
pub use batch_norm::BatchNorm;
pub use classifier::Classifier;
pub use convolution::Convolution;
pub use dense::{Dense, DenseLayout};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use mixture::{Mixed, MixtureOfExperts, Routed};
pub use normalization::Normalization;
pub use pool::{AveragePool, GlobalAveragePool, MaxPool};
pub use rms_norm::RmsNorm;
pub use window_attention::WindowAttention;

use crate::initialize::Initializer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// Factor (`weight`) and summand (`bias`) of each channel, as every normalisation ends.
fn scale_and_shift<'b>(scope: &Scope<'_, 'b>, channels: usize) -> [Tensor<'b>; 2] {
    let parameter = |name: &str, role, value| {
        let initializer = Initializer::Constant(value);
        scope.parameter(Parameter::new(name, &[channels], role, &[Axis::Output], initializer))
    };
    [parameter("weight", Role::NormScale, 1.0), parameter("bias", Role::NormShift, 0.0)]
}

/// The last extent, or one (with the builder told) for a scalar.
#[track_caller]
fn last_extent(what: &str, x: Tensor<'_>) -> usize {
    x.shape().last().copied().unwrap_or_else(|| {
        x.builder().reject(what, "an axis of channels", x.ty().to_string());
        1
    })
}
