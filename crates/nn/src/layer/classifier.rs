//! The choice of a last layer by name.

use super::{Dense, last_extent};
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// What the last layer of a network makes of its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Classifier {
    /// [`Dense`].
    #[default]
    Dense,
    /// The cosine between the features and each output's weights, `x^T w_k / (|x| |w_k|)`: no output
    /// is beyond one, and none has a bias. Of features or weights that are all zero it is zero. What
    /// [`crate::ClassAdjustment::margins`] is meant for.
    ///
    /// # Deviations    weights are drawn like those of the dense layer, where the authors' begin at
    /// length one; their length changes no output, but the rate at which they turn
    /// # Source    Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with
    /// label-distribution-aware margin loss, 2019, arXiv 1906.07413
    Cosine,
}

impl Classifier {
    /// Every choice with its name.
    pub const NAMES: [(&'static str, Classifier); 2] =
        [("dense", Classifier::Dense), ("cosine", Classifier::Cosine)];

    /// The layer that has the weights of a dense one.
    ///
    /// # Shapes    x `[n, in]` -> `[n, out]`
    pub fn of<'b>(self, dense: Dense, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        if self == Classifier::Dense {
            return dense.forward(scope, x);
        }
        let inputs = last_extent("cosine classifier", x);
        let shape = [inputs, dense.outputs];
        let axes = [Axis::Input, Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::Weight, &axes, dense.initializer);
        let weight = scope.parameter(weight.torch(dense.layout.of(inputs, dense.outputs)));
        direction(x, x.rank().saturating_sub(1)).matmul(direction(weight, 0))
    }
}

/// Vectors along an axis at length one.
fn direction(x: Tensor<'_>, axis: usize) -> Tensor<'_> {
    let squares = x.square().sum(&[axis]).keep(&[axis]);
    let zero = squares.equal(0.0);
    x * zero.select(1.0, squares).rsqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, ModelPort};
    use crate::scope::Mode;
    use crate::{Architecture, ClassAdjustment};
    use std::sync::Arc;
    use thalweg_array::{Array, DType};
    use thalweg_graph::{Builder, TensorType};
    use thalweg_transform::gradient;

    /// A cosine classifier of two features by itself.
    struct Alone;

    impl Layer for Alone {
        fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
            Classifier::Cosine.of(Dense::new(2), scope, x)
        }
    }

    /// Outputs of three examples, and the gradient of their sum by the weights `[in, out]`.
    fn run(weights: &[f64; 4], x: &[f64; 6]) -> [Vec<f64>; 2] {
        let ports = vec![ModelPort::float("x", &[2])];
        let model = Model::new(Arc::new(Alone), ports, &["y"]).unwrap();
        let b = Builder::new(DType::F64);
        let (parameters, _) = model.declare(&b);
        let input = b.input("x", TensorType::new(DType::F64, [3, 2]));
        let y = model.apply(&b, &parameters, &[], input, &Mode::EVALUATE).output;
        let slope = gradient(y.sum_all(), &parameters)[0];
        let graph = b.finish(&[("y", y), ("slope", slope)]).unwrap();
        let arrays =
            [Array::from_slice(&[2, 2], weights).unwrap(), Array::from_slice(&[3, 2], x).unwrap()];
        let found = thalweg_exec::reference::evaluate(&graph, &arrays).unwrap();
        [0, 1].map(|i| found[i].to_f64_vec())
    }

    #[test]
    fn outputs_are_cosines() {
        // Columns of the weights are (3, 4) and (0, -2).
        let x = [1.0, 0.0, -6.0, -8.0, 0.0, 0.0];
        let [y, slope] = run(&[3.0, 0.0, 4.0, -2.0], &x);
        for (found, expected) in y.iter().zip([0.6, 0.0, -1.0, 0.8, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-15, "{y:?}");
        }
        assert!(slope.iter().all(|x| x.is_finite()), "{slope:?}");
        // Neither features nor weights are seen for their length, so that no slope is along them.
        let [longer, _] = run(&[9.0, 0.0, 12.0, -0.5], &x.map(|x| 7.0 * x));
        assert!(y.iter().zip(&longer).all(|(a, b)| (a - b).abs() < 1e-15), "{longer:?}");
        assert!((3.0 * slope[0] + 4.0 * slope[2]).abs() < 1e-14, "{slope:?}");
        assert!(slope[0].abs() > 0.1, "{slope:?}");
        let [zero, slope] = run(&[0.0; 4], &x);
        assert_eq!(zero, [0.0; 6]);
        assert!(slope.iter().all(|x| x.is_finite()), "{slope:?}");
    }

    #[test]
    fn networks_end_in_it_and_take_margins() {
        for text in ["convnet channels=3 classifier=cosine", "resnet depth=8 classifier=cosine"] {
            let model = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 4).unwrap();
            let last = model.parameters().last().unwrap();
            // There is no bias.
            assert_eq!((last.name.as_str(), last.role), ("fc.weight", Role::Weight), "{text}");
            let b = Builder::new(DType::F32);
            let (parameters, buffers) = model.declare(&b);
            let x = b.input("x", TensorType::new(DType::F32, [2, 8, 8, 1]));
            let y = b.input("y", TensorType::new(DType::I32, [2]));
            let applied = model.apply(&b, &parameters, &buffers, x, &Mode::EVALUATE);
            let margins = ClassAdjustment::margins(&[50, 20, 10, 5], 0.5, 30.0).unwrap();
            let adjusted = margins.apply(applied.output, y);
            assert_eq!(adjusted.shape(), [2, 4]);
            assert!(b.finish(&[("z", adjusted)]).is_ok(), "{text}");
        }
    }
}
