//! Features that are free to move, under a deep linear classifier.

use crate::MethodError;
use std::sync::Arc;
use thalweg_graph::Tensor;
use thalweg_nn::layer::Dense;
use thalweg_nn::{Initializer, Layer, Model, ModelPort, Scope};

/// The unconstrained-features model: a feature vector of its own for each example, and `depth`
/// matrices without anything between them.
///
/// `z_i = h_i W_1 .. W_depth (+ b)`. The input of example `i` is the `i`-th unit vector, so that
/// `features.weight [examples, width]` holds the features by rows; the matrices are `w1.weight`, ..,
/// and with `bias` the last has a free one. Everything is drawn with standard deviation 0.1, the bias
/// is zero.
///
/// # Errors
/// No examples, width, classes or matrices.
/// # Source    Mixon, Parshall, Pi, Neural collapse with unconstrained features, 2020, arXiv
/// 2011.11619; deep: Dang et al. 2023, arXiv 2301.00437
pub fn free_features(
    examples: usize,
    width: usize,
    depth: usize,
    classes: usize,
    bias: bool,
) -> Result<Model, MethodError> {
    for (what, n) in
        [("examples", examples), ("width", width), ("depth", depth), ("classes", classes)]
    {
        if n == 0 {
            return Err(MethodError::config(what, "at least 1", 0));
        }
    }
    let network = FreeFeatures { width, depth, classes, bias };
    Ok(Model::new(Arc::new(network), vec![ModelPort::float("input", &[examples])], &["output"])?)
}

struct FreeFeatures {
    width: usize,
    depth: usize,
    classes: usize,
    bias: bool,
}

impl Layer for FreeFeatures {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let layer = |outputs: usize, bias: bool| Dense {
            bias,
            initializer: Initializer::Normal { standard_deviation: 0.1 },
            bias_initializer: Some(Initializer::Constant(0.0)),
            ..Dense::new(outputs)
        };
        let mut x = layer(self.width, false).forward(&scope.enter("features"), x);
        for i in 1..=self.depth {
            let last = i == self.depth;
            let outputs = if last { self.classes } else { self.width };
            x = layer(outputs, last && self.bias).forward(&scope.enter(&format!("w{i}")), x);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_has_a_row() {
        let model = free_features(6, 4, 3, 2, true).unwrap();
        let named: Vec<(String, Vec<usize>)> =
            model.parameters().iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        let expected: [(&str, &[usize]); 5] = [
            ("features.weight", &[6, 4]),
            ("w1.weight", &[4, 4]),
            ("w2.weight", &[4, 4]),
            ("w3.weight", &[4, 2]),
            ("w3.bias", &[2]),
        ];
        assert_eq!(named.len(), expected.len());
        for ((name, shape), (expected_name, expected_shape)) in named.iter().zip(expected) {
            assert_eq!((name.as_str(), shape.as_slice()), (expected_name, expected_shape));
        }
        assert!(free_features(6, 4, 0, 2, false).is_err());
    }
}
