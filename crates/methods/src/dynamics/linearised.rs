//! The model that training would have if its features never moved.

use crate::MethodError;
use crate::common::derived_model;
use thalweg_nn::{Model, Weights};
use thalweg_transform::jvp_of;

/// The twin of a model that is linear in its weights and touches it at some weights.
///
/// `f(x; w_0) + J(x; w_0) (w - w_0)`, by one forward derivative. It keeps the tangent kernel of `w_0`
/// whatever its own weights are, so that trained from `w_0` it shows what lazy training would do.
///
/// It has the model's parameters and its first output, and is trained, evaluated and looked at like any
/// model. The weights `w_0` are part of it.
///
/// # Errors
/// Weights of another model; a model with running statistics.
/// # Source    Lee et al., Wide neural networks of any depth evolve as linear models under gradient
/// descent, 2019, arXiv 1902.06720, equation 6
pub fn linearised(model: &Model, start: &Weights) -> Result<Model, MethodError> {
    let start = model.parameter_tree(start.parameters.arrays().to_vec())?;
    derived_model(model, model.inputs().to_vec(), &["output"], move |f, x| {
        let at = f.constants(&start);
        let along: Vec<_> = f.parameters().iter().zip(&at).map(|(&w, &at)| w - at).collect();
        let found = jvp_of(|w| vec![f.output_at(w, x)], &at, &along);
        let output = found.outputs[0];
        vec![found.tangents[0].map_or(output, |tangent| output + tangent)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Gradient, gradient, vector};
    use crate::dynamics::tangent_features;
    use crate::{Context, ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::initialize;

    fn objective(ctx: &Context<'_>, model: &Model) -> ModelObjective {
        let stream = Stream::new(1, "x");
        let values: Vec<f64> = (0..24).map(|i| stream.normal(i)).collect();
        let inputs = vec![Array::from_slice(&[6, 4], &values).unwrap()];
        let targets = Array::from_slice(&[6, 2], &values[..12]).unwrap();
        let (loss, config) = (Loss::HalfSquaredError, ObjectiveConfig::default());
        ModelObjective::from_arrays(ctx, model, loss, inputs, targets, false, &config).unwrap()
    }

    #[test]
    fn the_twin_is_the_network_at_the_start_and_to_second_order_after_a_step() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "mlp hidden=5 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[4], 2).unwrap();
        let start = initialize(&model, 3, DType::F64).unwrap();
        let twin = linearised(&model, &start).unwrap();
        assert_eq!(twin.parameters(), model.parameters());
        let (own, other) = (objective(&ctx, &model), objective(&ctx, &twin));
        let both = |at: &Weights| -> [Gradient; 2] {
            [gradient(&ctx, &own, at).unwrap(), gradient(&ctx, &other, at).unwrap()]
        };
        let [first, same] = both(&start);
        assert!((first.at.loss - same.at.loss).abs() < 1e-14);
        let apart = first.gradient.iter().zip(&same.gradient).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-13);
        let flat = start.parameters.flatten();
        let after = |rate: f64| {
            let mut moved = flat.clone();
            vector::add_scaled(&mut moved, -rate, &first.gradient);
            let mut at = start.clone();
            at.parameters = at.parameters.unflatten(&moved).unwrap();
            let [network, twin] = both(&at);
            network.at.loss - twin.at.loss
        };
        // Halving the step divides what they differ by by four.
        let ratio = after(0.02) / after(0.01);
        assert!((ratio - 4.0).abs() < 0.3, "{ratio}");
        // Its features do not move, the network's do.
        let mut elsewhere = start.clone();
        let moved: Vec<f64> = flat.iter().map(|w| w + 0.3).collect();
        elsewhere.parameters = elsewhere.parameters.unflatten(&moved).unwrap();
        let of = |objective: &ModelObjective, at: &Weights| {
            tangent_features(&ctx, objective, at).unwrap().rows().concat()
        };
        let kept = of(&other, &elsewhere);
        let known = of(&own, &start);
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-12);
        assert!(!far(&kept, &known) && far(&of(&own, &elsewhere), &known));
    }

    #[test]
    fn weights_of_another_model_are_refused() {
        let of = |text: &str| text.parse::<Architecture>().unwrap().build(&[4], 2).unwrap();
        let other = initialize(&of("mlp hidden=3"), 0, DType::F64).unwrap();
        assert!(linearised(&of("mlp hidden=5"), &other).is_err());
    }
}
