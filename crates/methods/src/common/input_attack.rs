//! Inputs moved to where the loss is high.

use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Loss, Mode, Model, Weights};
use thalweg_transform::gradient;

/// How far and how inputs are moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputAttackConfig {
    /// The largest change of an element, in the inputs' unit.
    pub radius: f64,
    /// The change of a step.
    pub step: f64,
    /// Steps.
    pub steps: usize,
    /// Where elements are to stay, if anywhere.
    pub range: Option<[f64; 2]>,
}

/// Each input moved within a cube around it to where its own loss is high, by projected steps along the
/// sign of the gradient, from the input itself.
///
/// # Shapes    inputs `[n, ..]` -> the same, in the context's precision
/// # Errors
/// `Config` for a radius or step that is not positive, no steps, or a range that is none; a model of
/// several inputs; arrays that do not fit.
/// # Source    Madry et al., Towards deep learning models resistant to adversarial attacks, 2018, arXiv
/// 1706.06083, section 2.1, without the random start
pub fn attack_inputs(
    ctx: &Context<'_>,
    model: &Model,
    weights: &Weights,
    loss: Loss,
    inputs: &Array,
    targets: &Array,
    config: &InputAttackConfig,
) -> Result<Array, MethodError> {
    let InputAttackConfig { radius, step, steps, range } = *config;
    for (what, value) in [("radius of an attack", radius), ("step of an attack", step)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(MethodError::config(what, "a number above 0", value));
        }
    }
    let [low, high] = range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
    if steps == 0 || low.is_nan() || high.is_nan() || low > high {
        let got = format!("{steps} steps from {low} to {high}");
        return Err(MethodError::config("an attack", "at least a step within a range", got));
    }
    let float = ctx.precision();
    let builder = Builder::new(float);
    let (parameters, buffers) = model.declare(&builder);
    let x = builder.input("inputs", TensorType::new(float, inputs.shape()));
    let y = builder.input("targets", TensorType::new(targets.dtype(), targets.shape()));
    let output = model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE).output;
    // A sum, so that an example's gradient is its own whatever the batch.
    let total = loss.per_example(output, y).sum_all();
    let slope = gradient(total, &[x]);
    let program = ctx.executor().compile(&builder.finish(&[("slope", slope[0])])?)?;
    let weights = weights.convert(float);
    let arrays = weights.parameters.arrays().iter().chain(weights.buffers.arrays());
    let shared: Vec<Array> = arrays.cloned().collect();
    let centre = inputs.to_f64_vec();
    let mut at = centre.clone();
    for _ in 0..steps {
        ctx.check()?;
        let here = Array::from_slice(inputs.shape(), &at)?.convert(float);
        let found = program.run([shared.as_slice(), &[here, targets.clone()]].concat())?;
        let slope = found.first().map(Array::to_f64_vec).unwrap_or_default();
        for ((x, centre), slope) in at.iter_mut().zip(&centre).zip(slope) {
            let sign = if slope == 0.0 { 0.0 } else { slope.signum() };
            let moved = (*x + step * sign).clamp(centre - radius, centre + radius);
            *x = moved.clamp(low, high);
        }
    }
    Ok(Array::from_slice(inputs.shape(), &at)?.convert(float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;

    #[test]
    fn a_linear_classifier_is_attacked_along_its_weights() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        // The second class over the first: -2, 3, 0.
        let w = Array::from_slice(&[3, 2], &[1.0, -1.0, 0.0, 3.0, 0.0, 0.0]).unwrap();
        let parameters = model.parameter_tree(vec![w, Array::vector(&[0.0, 0.0])]).unwrap();
        let weights = Weights { parameters, buffers: model.initial_buffers(DType::F64) };
        let inputs = Array::from_slice(&[2, 3], &[0.0, 0.0, 0.5, 0.9, 0.0, 0.5]).unwrap();
        let labels = Array::vector(&[0i32, 1]);
        let config =
            InputAttackConfig { radius: 0.25, step: 0.1, steps: 4, range: Some([-1.0, 1.0]) };
        let loss = Loss::default();
        let moved = attack_inputs(&ctx, &model, &weights, loss, &inputs, &labels, &config).unwrap();
        let expected = [-0.25, 0.25, 0.5, 1.0, -0.25, 0.5];
        for (found, expected) in moved.to_f64_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{moved:?}");
        }
        let none = InputAttackConfig { steps: 0, ..config };
        assert!(attack_inputs(&ctx, &model, &weights, loss, &inputs, &labels, &none).is_err());
    }
}
