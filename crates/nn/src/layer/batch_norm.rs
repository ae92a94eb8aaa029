//! Batch normalisation.

use super::{last_extent, scale_and_shift};
use crate::model::Layer;
use crate::parameter::{Buffer, Statistic};
use crate::scope::{BatchNormMode, Scope};
use thalweg_graph::Tensor;

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, for each channel.
///
/// Under [`BatchNormMode::Batch`] mean and (biased) variance are those over every axis but the
/// last, and the running ones become `(1 - momentum) running + momentum batch`, where the variance
/// is the unbiased one, as in PyTorch. Under [`BatchNormMode::Frozen`] they are the running ones.
///
/// # Shapes    x `[batch, .., channels]` -> the same; parameters and buffers `[channels]`
/// # Errors    batch statistics of one value per channel are refused
/// # Source    Ioffe, Szegedy, Batch normalization, 2015, arXiv 1502.03167
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f64,
    /// Share of the new statistics.
    pub momentum: f64,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm { eps: 1e-5, momentum: 0.1 }
    }
}

impl Layer for BatchNorm {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let channels = last_extent("batch_norm", x);
        let [weight, bias] = scale_and_shift(scope, channels);
        let buffer = |name: &str, statistic| Buffer {
            name: name.to_owned(),
            shape: vec![channels],
            statistic,
        };
        let mean = buffer("running_mean", Statistic::Mean);
        let variance = buffer("running_var", Statistic::Variance);
        match scope.mode().batch_norm {
            BatchNormMode::Frozen => {
                let mean = scope.buffer(mean, |running| (running, running));
                let variance = scope.buffer(variance, |running| (running, running));
                let factor = (variance + self.eps).rsqrt() * weight;
                x * factor + (bias - mean * factor)
            }
            BatchNormMode::Batch => {
                let shape = x.shape();
                let axes: Vec<usize> = (0..shape.len().saturating_sub(1)).collect();
                let n: usize = axes.iter().map(|&axis| shape[axis]).product();
                if n < 2 {
                    let got = format!("{n} in {}", x.ty());
                    scope.builder().reject("batch_norm", "several values per channel", got);
                }
                let unbiased = n as f64 / (n.max(2) - 1) as f64;
                let moved = |running: Tensor<'b>, batch: Tensor<'b>| {
                    (batch, running * (1.0 - self.momentum) + batch * self.momentum)
                };
                let batch_mean = x.mean(&axes);
                // Centred first: the difference of squares would cancel.
                let centred = x - batch_mean;
                let batch_variance = centred.square().mean(&axes);
                scope.buffer(mean, |running| moved(running, batch_mean));
                scope.buffer(variance, |running| moved(running, batch_variance * unbiased));
                centred * ((batch_variance + self.eps).rsqrt() * weight) + bias
            }
        }
    }
}
