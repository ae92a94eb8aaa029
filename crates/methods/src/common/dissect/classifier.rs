//! The last product of a network, and what it is a product of.

use super::super::gradient::Declared;
use super::super::objective::Objective;
use super::{Dissection, inside, is_loop};
use crate::{Context, MethodError};
use std::collections::BTreeSet;
use thalweg_array::Array;
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Tensor};
use thalweg_nn::Weights;

/// The last product with a weight through which all comes that the outputs know of the examples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classifier<'b> {
    /// What the weight is multiplied with: the penultimate features, `[examples x positions, width]`.
    pub(crate) features: Tensor<'b>,
    /// The weight, `[units, width]`.
    pub(crate) weight: Tensor<'b>,
    /// The network's outputs.
    pub(crate) outputs: Tensor<'b>,
}

/// Penultimate features of every example, and the classifier that reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features {
    /// A vector for each example and position, in the objective's order.
    pub(crate) rows: Vec<Vec<f64>>,
    /// Vectors an example.
    pub(crate) positions: usize,
    /// The classifier's weight, a row for each unit.
    pub(crate) weight: Vec<Vec<f64>>,
    /// The network's outputs, for each vector of features a row if there are as many.
    pub(crate) outputs: Vec<Vec<f64>>,
}

/// The penultimate features at a point: one forward pass over the data.
///
/// # Errors
/// A network without them; weights of another model; more of them than the memory holds; a number
/// that is not finite; those of the engine.
pub(crate) fn features(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Features, MethodError> {
    let mut found = Features::default();
    ctx.progress().start("penultimate features", objective.examples() as u64);
    inside(
        ctx,
        objective,
        point,
        |declared| classified(objective, declared),
        |size, arrays| {
            let [features, weight, outputs] = arrays else {
                return Err(MethodError::mismatch(
                    "values inside a network",
                    "three",
                    arrays.len(),
                ));
            };
            let needed = (features.len() + outputs.len()) / size.max(1) * objective.examples();
            let needed = needed.saturating_mul(size_of::<f64>());
            if needed > ctx.memory() {
                let what = format!("the penultimate features of {} examples", objective.examples());
                return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
            }
            found.positions = features.shape().first().map_or(0, |rows| rows / size.max(1));
            found.rows.extend(rows(features)?);
            found.outputs.extend(rows(outputs)?);
            found.weight = rows(weight)?;
            ctx.progress().advance(size as u64);
            Ok(())
        },
    )?;
    Ok(found)
}

/// Features, weight and outputs of a batch.
fn classified<'b>(
    objective: &dyn Objective,
    declared: &Declared<'b>,
) -> Result<Vec<Tensor<'b>>, MethodError> {
    let Classifier { features, weight, outputs } =
        Dissection::new(objective, declared)?.classifier()?;
    Ok(vec![features, weight, outputs])
}

/// The rows along the last axis.
fn rows(array: &Array) -> Result<Vec<Vec<f64>>, MethodError> {
    let width = array.shape().last().copied().unwrap_or(1).max(1);
    let values = array.to_f64_vec();
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        let what = "a penultimate feature, weight or output".to_owned();
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    Ok(values.chunks(width).map(<[f64]>::to_vec).collect())
}

impl<'b> Dissection<'b> {
    /// The last product with a weight through which all comes that the outputs know of the examples:
    /// whatever is added, normalised or pooled behind it.
    ///
    /// # Errors
    /// No such product; one in a loop, of batches of matrices, or a convolution over more than a
    /// place.
    pub(crate) fn classifier(&self) -> Result<Classifier<'b>, MethodError> {
        // Nodes through which something still has to come, the last one first. Where only one is
        // left, everything comes through it.
        let mut open = BTreeSet::from([self.outputs.value().node]);
        while let Some(at) = open.pop_last() {
            let node = &self.nodes[at as usize];
            if open.is_empty() && self.is_weighted(node) {
                return self.operands(at as usize);
            }
            if is_loop(&node.op) {
                return Err(refused(
                    "a last product with a weight outside of a loop",
                    node.op.name(),
                ));
            }
            open.extend(self.data_operands(node).iter().map(|value| value.node));
        }
        Err(refused("one product with a weight through which all outputs come", "no such product"))
    }

    fn operands(&self, at: usize) -> Result<Classifier<'b>, MethodError> {
        let (node, outputs) = (&self.nodes[at], self.outputs);
        let [left, right] = node.inputs[..] else {
            return Err(refused("a product of two", node.op.name()));
        };
        let left_is_data = self.on_data[left.node as usize];
        let (x, w) = if left_is_data { (left, right) } else { (right, left) };
        let (x, w) = (self.builder.tensor(x), self.builder.tensor(w));
        let (x_shape, w_shape) = (x.shape(), w.shape());
        match &node.op {
            Op::Dot(axes) if axes.lhs_batch.is_empty() => {
                let DotAxes { lhs_contract, rhs_contract, .. } = axes;
                let (summed, other) = match left_is_data {
                    true => (lhs_contract, rhs_contract),
                    false => (rhs_contract, lhs_contract),
                };
                let matrix = |tensor: Tensor<'b>, shape: &[usize], summed: &[usize]| {
                    let free = DotAxes::free(shape.len(), &[], summed);
                    let extent = |axes: &[usize]| axes.iter().map(|&a| shape[a]).product::<usize>();
                    let flat = [extent(&free), extent(summed)];
                    (tensor.transpose(&[free.as_slice(), summed].concat()).reshape(&flat), free)
                };
                let (features, free) = matrix(x, &x_shape, summed);
                let (weight, _) = matrix(w, &w_shape, other);
                match free.first() {
                    Some(0) => Ok(Classifier { features, weight, outputs }),
                    _ => Err(refused("features whose first axis is that of examples", x.ty())),
                }
            }
            Op::Convolution(window) if left_is_data => {
                let plain = ConvolutionWindow { folded: window.folded, ..ConvolutionWindow::PLAIN };
                let ([n, h, wide, c], [1, 1, _, units]) = (&x_shape[..], &w_shape[..]) else {
                    return Err(refused("a last product at one place", x.ty()));
                };
                if *window != plain {
                    return Err(refused("a last convolution with stride 1 and one group", x.ty()));
                }
                let features = x.reshape(&[n * h * wide, *c]);
                let weight = w.reshape(&[*c, *units]).transpose(&[1, 0]);
                Ok(Classifier { features, weight, outputs })
            }
            op => Err(refused("a last product of two matrices", op.name())),
        }
    }
}

fn refused(expected: &str, got: impl ToString) -> MethodError {
    MethodError::mismatch("the penultimate features", expected, got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::declare;
    use crate::{ModelObjective, ObjectiveConfig};
    use std::sync::Arc;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, DType};
    use thalweg_nn::layer::Dense;
    use thalweg_nn::{Architecture, Layer, Loss, Model, ModelPort, Scope};

    fn of(executor: &Executor, model: &Model) -> Result<Features, MethodError> {
        let ctx = Context::new(executor, 0).with_precision(DType::F64).unwrap();
        let shape = [&[6], model.inputs()[0].shape.as_slice()].concat();
        let n: usize = shape.iter().product();
        let values: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
        let inputs = vec![Array::from_slice(&shape, &values).unwrap()];
        let labels = Array::vector(&[0, 1, 2, 0, 1, 2]);
        let (loss, config) = (Loss::default(), ObjectiveConfig { batch: 4, ..Default::default() });
        let objective =
            ModelObjective::from_arrays(&ctx, model, loss, inputs, labels, true, &config).unwrap();
        let weights = thalweg_train::initialize(model, 3, DType::F64).unwrap();
        features(&ctx, &objective, &weights)
    }

    /// Two dense layers, and something behind them.
    struct Ending(for<'b> fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>);

    impl Layer for Ending {
        fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
            let hidden = Dense::new(4).forward(&scope.enter("hidden"), x).tanh();
            let out = Dense::new(3).forward(&scope.enter("out"), hidden);
            (self.0)(hidden, out)
        }
    }

    fn ending(behind: for<'b> fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>) -> Model {
        let network = Ending(behind);
        Model::new(Arc::new(network), vec![ModelPort::float("x", &[5])], &["y"]).unwrap()
    }

    #[test]
    fn features_times_the_weight_are_the_outputs() {
        let executor = Executor::new(1);
        for text in
            ["mlp hidden=5-4", "mlp hidden=4 norm=batch", "linear", "resnet depth=8 width=2"]
        {
            let input: &[usize] = if text.starts_with("resnet") { &[8, 8, 1] } else { &[3] };
            let model = text.parse::<Architecture>().unwrap().build(input, 3).unwrap();
            let found = of(&executor, &model).unwrap();
            assert_eq!(
                (found.rows.len(), found.positions, found.weight.len()),
                (6, 1, 3),
                "{text}"
            );
            // But for a bias, which is the same for all examples.
            let product = |i: usize, k: usize| {
                crate::common::vector::dot(&found.rows[i], &found.weight[k]) - found.outputs[i][k]
            };
            for (i, k) in (0..6).flat_map(|i| (0..3).map(move |k| (i, k))) {
                assert!((product(i, k) - product(0, k)).abs() < 1e-12, "{text}");
            }
        }
    }

    #[test]
    fn what_follows_the_last_product_does_not_matter() {
        let executor = Executor::new(1);
        let plain = of(&executor, &ending(|_, out| out)).unwrap().rows;
        for behind in [
            (|_, out| out.log_softmax(1)) as for<'b> fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>,
            |_, out| out * 0.5 - 3.0,
            |_, out| out.tanh() * out,
            |_, out| out.reshape(&[out.shape()[0], 1, 3]).sum(&[1]),
        ] {
            assert_eq!(of(&executor, &ending(behind)).unwrap().rows, plain);
        }
    }

    #[test]
    fn where_not_all_comes_through_one_product_it_is_the_one_before() {
        let executor = Executor::new(1);
        // The hidden units go round the last product, so that the first one is the last that all
        // comes through.
        let around = of(&executor, &ending(|hidden, out| out + hidden.slice(1, 0, 3))).unwrap();
        assert_eq!((around.rows[0].len(), around.weight.len()), (5, 4));
        let plain = ending(|_, out| out.zeros_like() + out.stop_gradient() * 0.0);
        assert!(of(&executor, &plain).is_ok());
        let none = ending(|_, out| out.zeros_like());
        let error = of(&executor, &none).unwrap_err().to_string();
        assert_eq!(
            error,
            "the penultimate features: expected one product with a weight through which all \
             outputs come, got no such product"
        );
    }

    #[test]
    fn every_token_has_features() {
        let executor = Executor::new(1);
        let model = "gpt width=4 heads=1 depth=1".parse::<Architecture>();
        let Ok(model) = model.and_then(|a| a.build(&[5], 3)) else { panic!("gpt") };
        let builder = Builder::new(DType::F64);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let tokens: Vec<i32> = (0..15).map(|i| i % 3).collect();
        let tokens = Array::from_slice(&[3, 5], &tokens).unwrap();
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let objective = ModelObjective::from_arrays(
            &ctx,
            &model,
            loss,
            vec![tokens.clone()],
            tokens,
            true,
            &config,
        )
        .unwrap();
        let declared = declare(&builder, &objective, 0).unwrap();
        let found = Dissection::new(&objective, &declared).unwrap().classifier().unwrap();
        assert_eq!((found.features.shape(), found.weight.shape()), (vec![15, 4], vec![3, 4]));
    }
}
