//! Any model made lazier.

use crate::MethodError;
use crate::common::derived_model;
use thalweg_nn::{Model, Weights};

/// A model whose first output is `alpha f(x)`, or `alpha (f(x) - f_0(x))` with the output `f_0` at the
/// weights of the start.
///
/// The larger `alpha` is, the less weights have to move for the same change of the output: training is
/// lazier. The tangent kernel has a factor of `alpha^2`, so that at the rate `lr / alpha^2` it descends
/// equally fast at every `alpha`.
///
/// It has the model's parameters and is trained, evaluated and looked at like any model. With a start, its
/// weights are part of it.
///
/// # Errors
/// An `alpha` that is not a positive number; weights of another model; a model with running statistics.
/// # Source    Chizat, Oyallon, Bach, On lazy training in differentiable programming, 2018, arXiv
/// 1812.07956, section 1.1
pub fn output_scale(
    model: &Model,
    alpha: f64,
    start: Option<&Weights>,
) -> Result<Model, MethodError> {
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(MethodError::config("scale of the output", "a positive number", alpha));
    }
    let start = match start {
        Some(weights) => Some(model.parameter_tree(weights.parameters.arrays().to_vec())?),
        None => None,
    };
    derived_model(model, model.inputs().to_vec(), &["output"], move |f, x| {
        let output = f.output(x);
        let moved = match &start {
            Some(start) => output - f.output_at(&f.constants(start), x),
            None => output,
        };
        vec![moved * alpha]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::vector;
    use crate::dynamics::tangent_features;
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::initialize;

    /// The mean square of the outputs, and one entry of the tangent kernel.
    fn seen(model: &Model, at: &Weights) -> [f64; 2] {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let inputs = vec![Array::from_slice(&[2, 3], &[0.3, -1.0, 0.5, 0.2, 0.8, -0.4]).unwrap()];
        let targets = Array::zeros(DType::F64, &[2, 1]);
        let (loss, config) = (Loss::MeanSquaredError, ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, model, loss, inputs, targets, false, &config);
        let objective = objective.unwrap();
        let features = tangent_features(&ctx, &objective, at).unwrap();
        let entry = vector::dot(&features.rows()[0], &features.rows()[1]);
        [evaluate(&ctx, &objective, at).unwrap().loss, entry]
    }

    #[test]
    fn outputs_are_scaled_and_kernels_by_the_square() {
        let model = "mlp hidden=4 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[3], 1).unwrap();
        let start = initialize(&model, 0, DType::F64).unwrap();
        let [square, entry] = seen(&model, &start);
        let [scaled, kernel] = seen(&output_scale(&model, 3.0, None).unwrap(), &start);
        assert!((scaled / square - 9.0).abs() < 1e-12 && (kernel / entry - 9.0).abs() < 1e-12);
        let centred = output_scale(&model, 3.0, Some(&start)).unwrap();
        assert_eq!(centred.parameters(), model.parameters());
        let [none, kernel] = seen(&centred, &start);
        assert!(none < 1e-28 && (kernel / entry - 9.0).abs() < 1e-12, "{none}");
        let other = initialize(&model, 1, DType::F64).unwrap();
        assert!(seen(&centred, &other)[0] > 0.0);
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        let of = |text: &str| text.parse::<Architecture>().unwrap().build(&[3], 1).unwrap();
        let (model, other) = (of("linear"), of("mlp hidden=2"));
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(output_scale(&model, alpha, None).is_err(), "{alpha}");
        }
        let weights = initialize(&other, 0, DType::F64).unwrap();
        assert!(output_scale(&model, 1.0, Some(&weights)).is_err());
    }
}
