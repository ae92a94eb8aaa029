//! What a model predicts best without seeing the input.

use crate::common::{LbfgsConfig, gradient, lbfgs};
use crate::{Context, MethodError, ModelObjective, ObjectiveConfig};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
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
    /// A normal distribution of each target, of which a model gives the means and then the logarithms
    /// of the variances.
    Gaussian {
        /// The means.
        means: Vec<f64>,
        /// The variances.
        variances: Vec<f64>,
    },
}

impl Constant {
    /// The same numbers in another order, drawn from a stream: as likely beforehand, and not where the
    /// model would go. A mean keeps its variance.
    pub fn permuted(&self, stream: &Stream) -> Constant {
        let order = stream.permutation(self.len());
        self.each(|c| order.iter().filter_map(|&k| c.get(k).copied()).collect())
    }

    /// The mean of its numbers everywhere: of probabilities the uniform distribution.
    pub fn even(&self) -> Constant {
        self.each(|c| vec![c.iter().sum::<f64>() / c.len().max(1) as f64; c.len()])
    }

    fn len(&self) -> usize {
        match self {
            Constant::Probabilities(c) | Constant::Values(c) => c.len(),
            Constant::Gaussian { means, .. } => means.len(),
        }
    }

    fn each(&self, of: impl Fn(&[f64]) -> Vec<f64>) -> Constant {
        match self {
            Constant::Probabilities(c) => Constant::Probabilities(of(c)),
            Constant::Values(c) => Constant::Values(of(c)),
            Constant::Gaussian { means, variances } => {
                Constant::Gaussian { means: of(means), variances: of(variances) }
            }
        }
    }
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

/// The optimal constant of a Gaussian likelihood ([`gaussian_nll`](fn@super::gaussian_nll)): mean and
/// variance of each target, the variance divided by their number.
///
/// # Shapes    targets `[n]` or `[n, k]`
/// # Errors
/// `Mismatch` for no values or ones of other shapes; `NotFinite`; `Config` for a target that does not
/// vary, whose best variance would be zero.
/// # Source    as [`optimal_constant`]
pub fn gaussian_constant(targets: &Array) -> Result<Constant, MethodError> {
    let (n, k) = match *targets.shape() {
        [n] => (n, 1),
        [n, k] => (n, k),
        _ => (0, 0),
    };
    if n == 0 || k == 0 {
        let got = format!("{:?}", targets.shape());
        return Err(MethodError::mismatch("targets", "values [n] or [n, k]", got));
    }
    let values = targets.to_f64_vec();
    let (mut means, mut variances) = (Vec::with_capacity(k), Vec::with_capacity(k));
    for j in 0..k {
        let column: Vec<f64> = values.iter().skip(j).step_by(k).copied().collect();
        let mean = column.iter().sum::<f64>() / n as f64;
        let variance = column.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n as f64;
        if !variance.is_finite() {
            let what = format!("the variance of target {j}");
            return Err(MethodError::NotFinite { what, value: variance.to_string() });
        }
        if variance == 0.0 {
            let what = format!("target {j} of a Gaussian likelihood");
            return Err(MethodError::config(&what, "values that differ", mean));
        }
        means.push(mean);
        variances.push(variance);
    }
    Ok(Constant::Gaussian { means, variances })
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
/// c)`, in nats, at most `-ln min c`; of values `|z - c|^2`, a sum over the outputs; of normal
/// distributions `KL(N(m, e^s) || N(c, v)) = 1/2 sum (ln v - s + (e^s + (m - c)^2) / v - 1)`, in nats, for
/// predictions `(m, s)`, means and then logarithms of variances.
///
/// # Errors
/// `Mismatch` for no predictions, or those of another number of outputs; `Config` for a probability or
/// a variance that is not positive.
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
    let expected = match constant {
        Constant::Gaussian { means, .. } => 2 * means.len(),
        other => other.len(),
    };
    if outputs.is_empty() || outputs.iter().any(|z| z.len() != expected) {
        let expected = format!("at least one of {expected} outputs");
        return Err(MethodError::mismatch("predictions", expected, outputs.len()));
    }
    let positive = |what: &str, numbers: &[f64]| {
        let bad = numbers.iter().find(|c| !(c.is_finite() && **c > 0.0));
        bad.map_or(Ok(()), |bad| Err(MethodError::config(what, "a number above 0", bad)))
    };
    let distances: Vec<f64> = match constant {
        Constant::Values(c) => {
            outputs.iter().map(|z| z.iter().zip(c).map(|(z, c)| (z - c).powi(2)).sum()).collect()
        }
        Constant::Probabilities(c) => {
            positive("a probability of a constant", c)?;
            outputs.iter().map(|z| divergence(z, c)).collect()
        }
        Constant::Gaussian { means, variances } => {
            if means.len() != variances.len() {
                let expected = format!("{}, one for each mean", means.len());
                let what = "variances of a constant";
                return Err(MethodError::mismatch(what, expected, variances.len()));
            }
            positive("a variance of a constant", variances)?;
            outputs.iter().map(|z| gaussian_divergence(z, means, variances)).collect()
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

/// The same of normal distributions, for means and then logarithms of variances.
fn gaussian_divergence(z: &[f64], means: &[f64], variances: &[f64]) -> f64 {
    let (m, s) = z.split_at(means.len().min(z.len()));
    let pairs = m.iter().zip(s).zip(means.iter().zip(variances));
    let term = |((m, s), (c, v)): ((&f64, &f64), (&f64, &f64))| {
        0.5 * (v.ln() - s + (s.exp() + (m - c).powi(2)) / v - 1.0)
    };
    pairs.map(term).sum()
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
    }

    #[test]
    fn gaussian_constants_by_hand() {
        let targets = Array::from_slice(&[2, 2], &[1.0, 0.0, 3.0, 8.0]).unwrap();
        let constant = gaussian_constant(&targets).unwrap();
        let expected = Constant::Gaussian { means: vec![2.0, 4.0], variances: vec![1.0, 16.0] };
        assert_eq!(constant, expected);
        let own = vec![2.0, 4.0, 0.0, 16f64.ln()];
        assert!(constant_distance(&[own], &constant).unwrap().abs() < 1e-15);
        // N(3, 4) from N(2, 1): (0 - ln 4 + (4 + 1) / 1 - 1) / 2, and nothing from the other one.
        let found = constant_distance(&[vec![3.0, 4.0, 4f64.ln(), 16f64.ln()]], &constant).unwrap();
        assert!((found - (4.0 - 4f64.ln()) / 2.0).abs() < 1e-12, "{found}");
        assert!(constant_distance(&[vec![3.0, 4.0]], &constant).is_err());
        for variances in [vec![0.0], vec![], vec![1.0, 1.0]] {
            let none = Constant::Gaussian { means: vec![0.0], variances };
            assert!(constant_distance(&[vec![0.0, 0.0]], &none).is_err());
        }
        assert_eq!(
            gaussian_constant(&Array::vector(&[1.0, 3.0])).unwrap(),
            Constant::Gaussian { means: vec![2.0], variances: vec![1.0] }
        );
        for bad in [&[][..], &[1.0, 1.0], &[1.0, f64::NAN]] {
            assert!(gaussian_constant(&Array::vector(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn control_constants_are_made_of_the_constant() {
        let constant = Constant::Probabilities(vec![0.6, 0.3, 0.1]);
        let even = Constant::Probabilities(vec![1.0 / 3.0; 3]);
        let Constant::Probabilities(found) = constant.even() else { panic!("values") };
        assert!(found.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-15));
        // KL(softmax(0, 0, 0) || even) = 0, and a permutation changes nothing of it.
        assert!(constant_distance(&[vec![0.0; 3]], &even).unwrap().abs() < 1e-15);
        let stream = Stream::new(0, "controls");
        let mut orders = Vec::new();
        for i in 0..40 {
            let Constant::Probabilities(mut c) = constant.permuted(&stream.at(i)) else {
                panic!("values")
            };
            orders.push(format!("{c:?}"));
            c.sort_by(f64::total_cmp);
            assert_eq!(c, [0.1, 0.3, 0.6]);
        }
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 6, "every order is drawn");
        let pairs = Constant::Gaussian { means: vec![1.0, 2.0], variances: vec![10.0, 20.0] };
        for i in 0..10 {
            let Constant::Gaussian { means, variances } = pairs.permuted(&stream.at(i)) else {
                panic!("no distribution")
            };
            assert!(means.iter().zip(&variances).all(|(m, v)| m * 10.0 == *v));
        }
    }
}
