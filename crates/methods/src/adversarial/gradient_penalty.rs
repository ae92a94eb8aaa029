//! Training with a penalty on how fast a quantity changes with the input.

use crate::MethodError;
use crate::common::{Likelihood, derived_model, labelled_ports};
use thalweg_nn::{Loss, Model};
use thalweg_transform::gradient;

/// A model whose output `[n, 1]` is another one's loss with a penalty:
/// `l(f(x), y) + factor |grad_x q(x, y)|^2`, the squared length over all elements of the input.
///
/// `q` is the loss itself, or the logarithm of the likelihood of input and class or of the input alone
/// (see [`Likelihood`]), whose landscape over the inputs the penalty makes flat. The derivative by the
/// weights goes through that by the input. Trained with [`crate::common::output_as_loss`]; it reads the
/// example's label as a second input.
///
/// # Errors
/// A factor that is negative or not finite; a model of several inputs, of tokens, or with running
/// statistics.
/// # Source    on the loss: Drucker, Le Cun, Double backpropagation, 1991; on the likelihood: Lin,
/// Kolouri et al., Likelihood landscapes, 2020, arXiv 2008.11300
pub fn gradient_penalty(
    model: &Model,
    loss: Loss,
    of: Likelihood,
    factor: f64,
) -> Result<Model, MethodError> {
    if !(factor >= 0.0 && factor.is_finite()) {
        return Err(MethodError::config("factor of a penalty", "a number of at least 0", factor));
    }
    let ports = labelled_ports(model)?;
    derived_model(model, ports, &["loss"], move |f, inputs| {
        let (x, label) = (inputs[0], inputs[1]);
        let output = f.output(&[x]);
        let losses = loss.per_example(output, label);
        // An example's quantity depends on its own input alone.
        let quantity = of.negative_log(losses, output, label);
        let slope = gradient(quantity.sum_all(), &[x])[0];
        let axes: Vec<usize> = (1..slope.rank()).collect();
        vec![(losses + slope.square().sum(&axes) * factor).expand(1)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ModelObjective, ObjectiveConfig, gradient, output_as_loss};
    use crate::{Context, evaluate};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Weights};
    use thalweg_train::initialize;

    fn objective(ctx: &Context<'_>, model: &Model) -> ModelObjective {
        let draws = Stream::new(2, "inputs");
        let inputs: Vec<f64> = (0..24).map(|i| draws.normal(i)).collect();
        let x = Array::from_slice(&[6, 4], &inputs).unwrap();
        let y = Array::vector(&[0i32, 1, 2, 2, 1, 0]);
        let (loss, targets) = output_as_loss(6, DType::F64);
        let config = ObjectiveConfig::default();
        let inputs = vec![x, y];
        ModelObjective::from_arrays(ctx, model, loss, inputs, targets, false, &config).unwrap()
    }

    #[test]
    fn linear_outputs_have_a_penalty_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let value = |of, factor| {
            let model = gradient_penalty(&model, Loss::default(), of, factor).unwrap();
            evaluate(&ctx, &objective(&ctx, &model), &weights).unwrap().loss
        };
        // grad_x f(x)[y] is column y of the weights, whatever the input.
        let flat = weights.parameters.flatten();
        let square = |k: usize| (0..4).map(|i| flat[3 * i + k].powi(2)).sum::<f64>();
        let expected = 0.7 * (0..3).map(square).sum::<f64>() / 3.0;
        let plain = value(Likelihood::Joint, 0.0);
        assert!((value(Likelihood::Joint, 0.7) - plain - expected).abs() < 1e-12);
        assert!(value(Likelihood::Marginal, 0.7) > plain);
    }

    #[test]
    fn its_gradient_is_that_of_small_steps() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let mlp = "mlp hidden=5 activation=tanh".parse::<Architecture>().unwrap();
        let model = mlp.build(&[4], 3).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let flat = weights.parameters.flatten();
        for of in [Likelihood::Loss, Likelihood::Joint, Likelihood::Marginal] {
            let penalised = gradient_penalty(&model, Loss::default(), of, 0.5).unwrap();
            let objective = objective(&ctx, &penalised);
            let slope = gradient(&ctx, &objective, &weights).unwrap().gradient;
            let draws = Stream::new(5, "direction");
            let along: Vec<f64> = (0..flat.len() as u64).map(|i| draws.normal(i)).collect();
            let at = |h: f64| {
                let moved: Vec<f64> = flat.iter().zip(&along).map(|(w, d)| w + h * d).collect();
                let parameters = weights.parameters.unflatten(&moved).unwrap();
                let point = Weights { parameters, buffers: weights.buffers.clone() };
                evaluate(&ctx, &objective, &point).unwrap().loss
            };
            let expected = (at(1e-4) - at(-1e-4)) / 2e-4;
            let found: f64 = slope.iter().zip(&along).map(|(g, d)| g * d).sum();
            assert!((found / expected - 1.0).abs() < 1e-6, "{of:?}: {found} {expected}");
        }
        assert!(gradient_penalty(&model, Loss::default(), Likelihood::Loss, -1.0).is_err());
    }
}
