//! What a model predicts best without seeing the input.

use crate::common::{LbfgsConfig, gradient, lbfgs};
use crate::{Context, MethodError, ModelObjective, ObjectiveConfig};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::Tensor;
use thalweg_nn::{
    Axis, Initializer, Layer, Loss, Model, ModelPort, Parameter, Role, Scope, Weights,
};

/// A prediction without an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A probability of each class.
    Probabilities(Vec<f64>),
    /// A value of each output.
    Values(Vec<f64>),
}

/// The optimal constant solution `c* = argmin over c of sum over i of l(c, y_i)` in closed form: the
/// frequencies of the classes for cross-entropy, the means of the targets for squared errors.
///
/// `targets` are labels below `outputs`, or values `[n, outputs]`. Labels stand for their one-hot
/// vectors where values are asked for.
///
/// # Errors
/// `Config` for a loss without a closed form, for which there is [`numeric_constant`]; `Mismatch` for no
/// targets, or targets that do not fit.
/// # Source    Kang, Setlur, Tomlin, Levine, Deep neural networks tend to extrapolate predictably, 2024,
/// arXiv 2310.00873, section 3
pub fn optimal_constant(
    loss: Loss,
    targets: &Array,
    outputs: usize,
) -> Result<Constant, MethodError> {
    let n = targets.shape().first().copied().unwrap_or(0);
    let labels = targets.dtype().is_integer() && targets.rank() == 1;
    let fits = n > 0 && outputs > 0 && (labels || targets.shape() == [n, outputs]);
    if !fits {
        let expected = format!("labels [n] or values [n, {outputs}]");
        return Err(MethodError::mismatch("targets", expected, format!("{:?}", targets.shape())));
    }
    let mut means = vec![0.0; outputs];
    if labels {
        thalweg_data::check_classes(targets, outputs)?;
        for label in targets.to_f64_vec() {
            means[label as usize] += 1.0 / n as f64;
        }
    } else {
        for row in targets.to_f64_vec().chunks(outputs) {
            means.iter_mut().zip(row).for_each(|(mean, y)| *mean += y / n as f64);
        }
    }
    match loss {
        Loss::CrossEntropy { smoothing } => {
            let even = smoothing / outputs as f64;
            let smooth = |p: f64| (1.0 - smoothing) * p + even;
            Ok(Constant::Probabilities(means.into_iter().map(smooth).collect()))
        }
        Loss::MeanSquaredError | Loss::HalfSquaredError => Ok(Constant::Values(means)),
        other => {
            let expected = "cross-entropy or a squared error, or numeric_constant";
            Err(MethodError::config("loss with a constant in closed form", expected, other.name()))
        }
    }
}

/// The optimal constant of a Gaussian likelihood, whose outputs are a mean and a variance: those of the
/// targets, divided by their number.
///
/// # Errors
/// `Mismatch` for no values, or one that is not finite.
pub fn gaussian_constant(values: &[f64]) -> Result<[f64; 2], MethodError> {
    if values.is_empty() || values.iter().any(|x| !x.is_finite()) {
        return Err(MethodError::mismatch("targets", "finite values", values.len()));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Ok([mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n])
}

/// A model of nothing but one output vector.
struct Alone(usize);

impl Layer for Alone {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let zero = Initializer::Constant(0.0);
        let bias = Parameter::new("bias", &[self.0], Role::Bias, &[Axis::Output], zero);
        let batch = x.shape().first().copied().unwrap_or(1);
        scope.parameter(bias).broadcast_to(&[batch, self.0])
    }
}

/// The outputs, one vector for all examples, at which any loss of the library is smallest; for
/// cross-entropy they are logits, whose mean is zero.
///
/// By L-BFGS from zero; the loss is to have its minimum at finite outputs.
///
/// # Errors
/// As [`ModelObjective::from_arrays`]; a loss that has no finite minimum, as cross-entropy where a class
/// does not occur, or less often than once in a million; `Interrupted`.
/// # Source    as [`optimal_constant`]
pub fn numeric_constant(
    ctx: &Context<'_>,
    loss: Loss,
    targets: &Array,
    outputs: usize,
) -> Result<Vec<f64>, MethodError> {
    let ctx = ctx.clone().with_precision(DType::F64)?;
    let model =
        Model::new(Arc::new(Alone(outputs)), vec![ModelPort::float("input", &[1])], &["output"])?;
    let n = targets.shape().first().copied().unwrap_or(0);
    let labels = targets.dtype().is_integer();
    let inputs = vec![Array::zeros(DType::F64, &[n, 1])];
    let config = ObjectiveConfig { batch: n.max(1), ..ObjectiveConfig::default() };
    let objective =
        ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets.clone(), labels, &config)?;
    let buffers = model.initial_buffers(DType::F64);
    let minimum = lbfgs(
        &vec![0.0; outputs],
        &LbfgsConfig { tolerance: 1e-9, ..LbfgsConfig::default() },
        |at| {
            let parameters = model.parameter_tree(vec![Array::vector(at)])?;
            let point = Weights { parameters, buffers: buffers.clone() };
            let found = gradient(&ctx, &objective, &point)?;
            Ok((found.at.loss, found.gradient))
        },
    )?;
    let mut at = minimum.point;
    let most = at.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = at.iter().copied().fold(f64::INFINITY, f64::min);
    // Of a class that does not occur the logit falls until its gradient is small enough.
    let endless = matches!(loss, Loss::CrossEntropy { .. }) && most - least > 15.0;
    if minimum.gradient_norm > 1e-5 || endless {
        let expected = "one with its minimum at finite outputs";
        return Err(MethodError::config("loss of a constant", expected, loss.name()));
    }
    if matches!(loss, Loss::CrossEntropy { .. }) {
        let mean = at.iter().sum::<f64>() / outputs as f64;
        at.iter_mut().for_each(|z| *z -= mean);
    }
    Ok(at)
}

/// The mean distance of predictions from a constant: of probabilities `KL(softmax(z) || c) = sum p ln(p /
/// c)`, in nats, at most `-ln min c`; of values `|z - c|^2`, a sum over the outputs.
///
/// # Errors
/// `Mismatch` for no predictions, or those of another number of outputs; `Config` for a probability that
/// is not positive.
/// # Source    as [`optimal_constant`]; the direction of the divergence is that of its code,
/// github.com/katiekang1998/cautious_extrapolation
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{Constant, constant_distance};
/// let even = Constant::Probabilities(vec![0.5, 0.5]);
/// assert!(constant_distance(&[vec![3.0, 3.0]], &even)?.abs() < 1e-15);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn constant_distance(outputs: &[Vec<f64>], constant: &Constant) -> Result<f64, MethodError> {
    let (Constant::Probabilities(c) | Constant::Values(c)) = constant;
    if outputs.is_empty() || outputs.iter().any(|z| z.len() != c.len()) {
        let expected = format!("at least one of {} outputs", c.len());
        return Err(MethodError::mismatch("predictions", expected, outputs.len()));
    }
    let distances: Vec<f64> = match constant {
        Constant::Values(c) => {
            outputs.iter().map(|z| z.iter().zip(c).map(|(z, c)| (z - c).powi(2)).sum()).collect()
        }
        Constant::Probabilities(c) => {
            if let Some(bad) = c.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
                let what = "a probability of a constant";
                return Err(MethodError::config(what, "a number above 0", bad));
            }
            outputs.iter().map(|z| divergence(z, c)).collect()
        }
    };
    Ok(thalweg_stats::pairwise_sum(&distances) / distances.len() as f64)
}

/// `sum p ln(p / c)` with `p = softmax(z)`; what has no probability adds nothing.
fn divergence(z: &[f64], c: &[f64]) -> f64 {
    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let normalizer = z.iter().map(|z| (z - most).exp()).sum::<f64>().ln() + most;
    let term = |(z, c): (&f64, &f64)| {
        let log = z - normalizer;
        let p = log.exp();
        if p > 0.0 { p * (log - c.ln()) } else { 0.0 }
    };
    z.iter().zip(c).map(term).sum()
}

/// The rewards of `classes` answers and of none, for each label: 1 for the right class, `-cost` for a wrong
/// one, 0 for abstaining, which is the last. A model of `classes + 1` outputs that is trained on them by
/// squared errors predicts what each answer is worth, and abstains where that is the most.
///
/// Its optimal constant is `(1 + cost) frequency - cost` for each class, so that without seeing the input
/// it abstains wherever no class is more frequent than `cost / (1 + cost)`.
///
/// # Shapes    labels `[n]` -> `f64 [n, classes + 1]`
/// # Errors
/// Labels that are none of the classes; a cost that is negative or not finite.
/// # Source    as [`optimal_constant`], section 6; its code takes a cost of 4
pub fn abstention_rewards(labels: &Array, classes: usize, cost: f64) -> Result<Array, MethodError> {
    if !(cost.is_finite() && cost >= 0.0) {
        return Err(MethodError::config("cost of a wrong answer", "a number of at least 0", cost));
    }
    thalweg_data::check_classes(labels, classes)?;
    let mut rewards = Vec::with_capacity(labels.len() * (classes + 1));
    for label in labels.to_f64_vec() {
        let of = |class: usize| if class == label as usize { 1.0 } else { -cost };
        rewards.extend((0..classes).map(of).chain([0.0]));
    }
    Ok(Array::from_slice(&[labels.len(), classes + 1], &rewards)?)
}

/// The mean reward of answering with the largest output: 1 if it is the label, 0 if it lies behind the
/// `classes`, else `-cost`.
///
/// # Errors
/// `Mismatch` for no outputs, or different numbers of them and of labels.
pub fn mean_reward(
    outputs: &[Vec<f64>],
    labels: &[i32],
    classes: usize,
    cost: f64,
) -> Result<f64, MethodError> {
    if outputs.is_empty() || outputs.len() != labels.len() {
        let expected = format!("{}, and at least one", labels.len());
        return Err(MethodError::mismatch("outputs", expected, outputs.len()));
    }
    let reward = |(z, &label): (&Vec<f64>, &i32)| {
        let best = (0..z.len()).rev().max_by(|&i, &j| z[i].total_cmp(&z[j])).unwrap_or(0);
        match best {
            best if best >= classes => 0.0,
            best if i32::try_from(best) == Ok(label) => 1.0,
            _ => -cost,
        }
    };
    Ok(outputs.iter().zip(labels).map(reward).sum::<f64>() / outputs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;

    fn labels() -> Array {
        Array::vector(&[0i32, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    }

    #[test]
    fn the_numeric_constant_is_the_closed_one() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        for smoothing in [0.0, 0.2] {
            let loss = Loss::CrossEntropy { smoothing };
            let logits = numeric_constant(&ctx, loss, &labels(), 3).unwrap();
            let sum: f64 = logits.iter().map(|z| z.exp()).sum();
            let Constant::Probabilities(exact) = optimal_constant(loss, &labels(), 3).unwrap()
            else {
                panic!("values")
            };
            for (z, exact) in logits.iter().zip(&exact) {
                assert!((z.exp() / sum - exact).abs() < 1e-6);
            }
            if smoothing == 0.0 {
                assert!(exact.iter().zip([0.5, 0.3, 0.2]).all(|(a, b)| (a - b).abs() < 1e-12));
            }
            let distance = constant_distance(&[logits], &Constant::Probabilities(exact)).unwrap();
            assert!(distance.abs() < 1e-9);
        }
        let loss = Loss::MeanSquaredError;
        let values = Array::from_slice(&[2, 2], &[1.0, 5.0, 2.0, -1.0]).unwrap();
        let found = numeric_constant(&ctx, loss, &values, 2).unwrap();
        assert_eq!(optimal_constant(loss, &values, 2).unwrap(), Constant::Values(vec![1.5, 2.0]));
        assert!((found[0] - 1.5).abs() < 1e-6 && (found[1] - 2.0).abs() < 1e-6);
        // A class that does not occur has no finite logit.
        assert!(numeric_constant(&ctx, Loss::default(), &labels(), 4).is_err());
        assert!(optimal_constant(Loss::MeanAbsoluteError, &values, 2).is_err());
        assert!(optimal_constant(loss, &values, 3).is_err());
    }

    #[test]
    fn distances_by_hand() {
        let skewed = Constant::Probabilities(vec![0.9, 0.1]);
        // Even odds: 0.5 ln(0.5 / 0.9) + 0.5 ln(0.5 / 0.1).
        let expected = 0.5 * (0.25f64 / 0.09).ln();
        let found = constant_distance(&[vec![7.0, 7.0]], &skewed).unwrap();
        assert!((found - expected).abs() < 1e-12);
        // A certain prediction is as far as the constant's logarithm of it.
        let found = constant_distance(&[vec![0.0, 800.0]], &skewed).unwrap();
        assert!((found + 0.1f64.ln()).abs() < 1e-12);
        let values = Constant::Values(vec![1.0, 2.0]);
        assert_eq!(constant_distance(&[vec![1.0, 2.0], vec![3.0, 2.0]], &values).unwrap(), 2.0);
        assert!(constant_distance(&[], &values).is_err());
        let none = Constant::Probabilities(vec![1.0, 0.0]);
        assert!(constant_distance(&[vec![0.0, 0.0]], &none).is_err());
        assert_eq!(gaussian_constant(&[1.0, 3.0]).unwrap(), [2.0, 1.0]);
        assert!(gaussian_constant(&[]).is_err());
    }

    #[test]
    fn at_a_cost_of_four_the_constant_abstains() {
        let labels: Vec<i32> = (0..100).map(|i| i % 10).collect();
        let rewards = abstention_rewards(&Array::vector(&labels), 10, 4.0).unwrap();
        let Constant::Values(c) = optimal_constant(Loss::MeanSquaredError, &rewards, 11).unwrap()
        else {
            panic!("probabilities")
        };
        assert!(c[..10].iter().all(|value| (value - (5.0 * 0.1 - 4.0)).abs() < 1e-12));
        assert_eq!(c[10], 0.0);
        let all = vec![c; 100];
        assert_eq!(mean_reward(&all, &labels, 10, 4.0).unwrap(), 0.0);
        // Without the last one it answers, and is right once in ten times.
        let answers: Vec<Vec<f64>> = all.iter().map(|c| c[..10].to_vec()).collect();
        let found = mean_reward(&answers, &labels, 10, 4.0).unwrap();
        assert!((found - (0.1 - 0.9 * 4.0)).abs() < 1e-12);
        assert!(abstention_rewards(&Array::vector(&[3i32]), 2, 4.0).is_err());
        assert!(abstention_rewards(&Array::vector(&[1i32]), 2, -1.0).is_err());
        assert!(mean_reward(&all, &labels[..3], 10, 4.0).is_err());
    }
}
