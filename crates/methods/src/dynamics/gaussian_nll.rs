//! The likelihood of a normal distribution whose mean and variance a model predicts.

use crate::MethodError;
use crate::common::derived_model;
use thalweg_graph::Tensor;
use thalweg_nn::{Model, ModelPort};

/// The Gaussian negative log-likelihood of each example, without its constant:
///
/// `l = 1/k sum over j of 1/2 (s_j + (y_j - m_j)^2 e^-s_j)` for outputs `(m, s)`, means and then logarithms
/// of variances. As `torch.nn.GaussianNLLLoss` at `var = e^s`, which is never held away from zero.
///
/// # Shapes    output `[n, 2 k]`, target `[n, k]` -> `[n]`
/// # Units     nats, mean over the targets
/// # Errors    other shapes are the builder's error
/// # Gradient  any order
/// # Source    Nix, Weigend, Estimating the mean and variance of the target probability distribution,
/// 1994, equation 3
#[track_caller]
pub fn gaussian_nll<'b>(output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
    let (outputs, targets) = (output.shape(), target.shape());
    let k = match (&outputs[..], &targets[..]) {
        ([n, both], [m, k]) if n == m && *both == 2 * k && *k > 0 => *k,
        _ => {
            let expected = "output [n, 2 k], target [n, k]";
            let got = format!("{outputs:?} and {targets:?}");
            output.builder().reject("gaussian likelihood", expected, got);
            return output;
        }
    };
    let (mean, log_variance) = (output.slice(1, 0, k), output.slice(1, k, 2 * k));
    let square = (target - mean).square() * (-log_variance).exp();
    (log_variance + square).mean(&[1]) * 0.5
}

/// A model whose output is the [`gaussian_nll`] of each example; its targets, `k` values for `2 k` outputs
/// of the original one, are its second input. With
/// [`output_as_loss`](crate::common::output_as_loss) it is trained, evaluated and looked at like any
/// other; weights go from one to the other as they are.
///
/// # Errors
/// A model of several inputs, with running statistics, or with anything but an even number of outputs.
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::with_gaussian_nll;
/// use thalweg_nn::Architecture;
/// let model = "mlp hidden=8".parse::<Architecture>()?.build(&[3], 2)?;
/// let likelihood = with_gaussian_nll(&model)?;
/// assert_eq!(likelihood.inputs()[1].shape, [1]);
/// assert_eq!(likelihood.parameter_count(), model.parameter_count());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_gaussian_nll(model: &Model) -> Result<Model, MethodError> {
    let shape = model.outputs().first().map(|port| port.shape.clone()).unwrap_or_default();
    let units = match shape[..] {
        [units] if units > 0 && units.is_multiple_of(2) => units,
        _ => {
            let expected = "means, and as many logarithms of variances";
            let got = format!("{shape:?}");
            return Err(MethodError::config("outputs of a Gaussian", expected, got));
        }
    };
    let [port] = model.inputs() else {
        let got = model.inputs().len();
        return Err(MethodError::config("inputs of the model", "one", got));
    };
    let ports = vec![port.clone(), ModelPort::float("target", &[units / 2])];
    derived_model(model, ports, &["loss"], |f, inputs| match inputs {
        [x, target] => vec![gaussian_nll(f.output(&[*x]), *target).expand(1)],
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{gradient, output_as_loss};
    use crate::dynamics::{Constant, gaussian_constant};
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, TensorType};
    use thalweg_nn::{Architecture, Weights};

    /// Losses and the gradient of their sum by the outputs.
    fn at(output: &Array, target: &Array) -> [Vec<f64>; 2] {
        let builder = Builder::new(DType::F64);
        let input =
            |name: &str, of: &Array| builder.input(name, TensorType::new(DType::F64, of.shape()));
        let (z, y) = (input("z", output), input("y", target));
        let loss = gaussian_nll(z, y);
        let slope = thalweg_transform::gradient(loss.sum_all(), &[z])[0];
        let graph = builder.finish(&[("loss", loss), ("slope", slope)]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        let found = program.run(vec![output.clone(), target.clone()]).unwrap();
        [found[0].to_f64_vec(), found[1].to_f64_vec()]
    }

    #[test]
    fn likelihoods_and_their_slopes_by_hand() {
        // Means 3 and 0, variances 4 and e; targets 1 and -2.
        let output = Array::from_slice(&[1, 4], &[3.0, 0.0, 4f64.ln(), 1.0]).unwrap();
        let target = Array::from_slice(&[1, 2], &[1.0, -2.0]).unwrap();
        let e = 1f64.exp();
        let [loss, slope] = at(&output, &target);
        let expected = (0.5 * (4f64.ln() + 4.0 / 4.0) + 0.5 * (1.0 + 4.0 / e)) / 2.0;
        assert!((loss[0] - expected).abs() < 1e-15, "{loss:?}");
        // (m - y) / v for means and (1 - (m - y)^2 / v) / 2 for logarithms, each over two targets.
        let expected = [2.0 / 4.0, 2.0 / e, (1.0 - 4.0 / 4.0) / 2.0, (1.0 - 4.0 / e) / 2.0];
        let pairs = slope.iter().zip(expected.map(|slope| slope / 2.0));
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-15), "{slope:?}");
    }

    #[test]
    fn the_constant_is_where_the_loss_of_no_input_is_flat() {
        let model = "linear".parse::<Architecture>().unwrap().build(&[1], 4).unwrap();
        let likelihood = with_gaussian_nll(&model).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let values = [0.5, -2.0, 1.5, 7.0, -1.0, 3.0];
        let targets = Array::from_slice(&[3, 2], &values).unwrap();
        let inputs = vec![Array::zeros(DType::F64, &[3, 1]), targets.clone()];
        let (loss, none) = output_as_loss(3, DType::F64);
        let config = ObjectiveConfig::default();
        let objective =
            ModelObjective::from_arrays(&ctx, &likelihood, loss, inputs, none, false, &config);
        let objective = objective.unwrap();
        let Constant::Gaussian { means, variances } = gaussian_constant(&targets).unwrap() else {
            panic!("no distribution")
        };
        let logs: Vec<f64> = variances.iter().map(|v| v.ln()).collect();
        let at = |factor: f64| {
            let bias: Vec<f64> = means.iter().chain(&logs).map(|b| b * factor).collect();
            let arrays = vec![Array::zeros(DType::F64, &[1, 4]), Array::vector(&bias)];
            let parameters = model.parameter_tree(arrays).unwrap();
            Weights { parameters, buffers: model.initial_buffers(DType::F64) }
        };
        let best = gradient(&ctx, &objective, &at(1.0)).unwrap();
        assert!(best.gradient.iter().all(|slope| slope.abs() < 1e-14), "{:?}", best.gradient);
        // There a squared error is as large as its variance.
        let expected = (logs.iter().sum::<f64>() / 2.0 + 1.0) / 2.0;
        assert!((best.at.loss - expected).abs() < 1e-14);
        for factor in [0.9, 1.1] {
            assert!(evaluate(&ctx, &objective, &at(factor)).unwrap().loss > expected + 1e-3);
        }
    }

    #[test]
    fn what_is_no_gaussian_is_told() {
        let odd = "linear".parse::<Architecture>().unwrap().build(&[1], 3).unwrap();
        let error = with_gaussian_nll(&odd).unwrap_err().to_string();
        assert!(error.contains("as many logarithms of variances"), "{error}");
        let builder = Builder::new(DType::F64);
        let z = builder.input("z", TensorType::new(DType::F64, [2, 4]));
        let y = builder.input("y", TensorType::new(DType::F64, [2, 3]));
        let error = builder.finish(&[("loss", gaussian_nll(z, y))]).unwrap_err();
        assert_eq!(error.got, "[2, 4] and [2, 3]");
    }
}
