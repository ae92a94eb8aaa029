//! Numbers as distributions over bins.

use crate::MethodError;
use thalweg_array::Array;
use thalweg_graph::Tensor;

/// A number as a distribution over bins: its mass on the two neighbours, so that the mean is the
/// number. Beyond the ends all of it lies at the end.
///
/// What a network says of a number is then a logit for each bin, trained by cross-entropy and read
/// as the mean of the bins under their softmax.
///
/// # Source    Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486,
/// section 5.1; Imani, White, Improving regression performance with distributional losses, 2018,
/// arXiv 1806.04613
///
/// # Example
/// ```
/// use thalweg_methods::common::TwoHot;
/// let two_hot = TwoHot::new(vec![-1.0, 0.0, 2.0])?;
/// assert_eq!(two_hot.encode(0.5)?, [0.0, 0.75, 0.25]);
/// assert_eq!(two_hot.decode(&[0.0, 0.75, 0.25]), 0.5);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHot {
    bins: Vec<f64>,
}

impl TwoHot {
    /// Over bins at these numbers.
    ///
    /// # Errors
    /// Fewer than two bins, or bins that do not rise or are not finite.
    pub fn new(bins: Vec<f64>) -> Result<TwoHot, MethodError> {
        let rising = bins.len() > 1 && bins.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || bins.iter().any(|bin| !bin.is_finite()) {
            let got = match bins.len() {
                0 | 1 => format!("{} of them", bins.len()),
                _ => format!("{bins:?}"),
            };
            return Err(MethodError::config("bins", "at least 2 finite numbers that rise", got));
        }
        Ok(TwoHot { bins })
    }

    /// Over `n` bins from one number to another, evenly spaced.
    ///
    /// # Errors
    /// As [`TwoHot::new`].
    pub fn even(from: f64, to: f64, n: usize) -> Result<TwoHot, MethodError> {
        let last = n.saturating_sub(1).max(1);
        let bin = |i: usize| (from * (last - i) as f64 + to * i as f64) / last as f64;
        TwoHot::new((0..n).map(bin).collect())
    }

    /// The bins.
    pub fn bins(&self) -> &[f64] {
        &self.bins
    }

    /// The mass on each bin.
    ///
    /// # Errors
    /// `NotFinite` for NaN.
    pub fn encode(&self, value: f64) -> Result<Vec<f64>, MethodError> {
        if value.is_nan() {
            let what = "a number to encode".to_owned();
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
        let bins = &self.bins;
        let value = value.clamp(bins[0], bins[bins.len() - 1]);
        let right = bins.partition_point(|bin| *bin < value).clamp(1, bins.len() - 1);
        let share = (value - bins[right - 1]) / (bins[right] - bins[right - 1]);
        let mut mass = vec![0.0; bins.len()];
        (mass[right - 1], mass[right]) = (1.0 - share, share);
        Ok(mass)
    }

    /// The mean of a distribution.
    pub fn decode(&self, mass: &[f64]) -> f64 {
        mass.iter().zip(&self.bins).map(|(mass, bin)| mass * bin).sum()
    }

    /// Targets for a network with a logit for each bin: `[n, bins]` of `n` numbers, to be learned by
    /// cross-entropy.
    ///
    /// # Errors
    /// `NotFinite` for NaN.
    pub fn targets(&self, values: &[f64]) -> Result<Array, MethodError> {
        let mass: Vec<Vec<f64>> =
            values.iter().map(|&value| self.encode(value)).collect::<Result<_, _>>()?;
        Ok(Array::from_slice(&[values.len(), self.bins.len()], &mass.concat())?)
    }

    /// The numbers that logits `[n, bins]` stand for.
    ///
    /// # Errors
    /// Logits of another shape.
    pub fn means(&self, logits: &Array) -> Result<Vec<f64>, MethodError> {
        let k = self.bins.len();
        if logits.rank() != 2 || logits.shape()[1] != k {
            let expected = format!("[n, {k}]");
            let got = format!("{:?}", logits.shape());
            return Err(MethodError::mismatch("logits of bins", expected, got));
        }
        let mean = |row: &[f64]| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mass: Vec<f64> = row.iter().map(|logit| (logit - most).exp()).collect();
            self.decode(&mass) / mass.iter().sum::<f64>()
        };
        Ok(logits.to_f64_vec().chunks(k).map(mean).collect())
    }

    /// [`TwoHot::encode`], traced.
    ///
    /// # Shapes    values `[..]` -> `[.., bins]`
    /// # Gradient  any order between bins; at a bin one half of the slopes on both sides, as of `min`
    #[track_caller]
    pub fn traced<'b>(&self, values: Tensor<'b>) -> Tensor<'b> {
        let (bins, axis) = (&self.bins, values.rank());
        let last = bins.len() - 1;
        let inside = values.maximum(bins[0]).minimum(bins[last]);
        let mut mass = Vec::with_capacity(bins.len());
        for k in 0..=last {
            // A bin's mass falls off in lines to its neighbours, and not at all beyond an end.
            let left = (k > 0).then(|| (inside - bins[k - 1]) * (1.0 / (bins[k] - bins[k - 1])));
            let right =
                (k < last).then(|| (-inside + bins[k + 1]) * (1.0 / (bins[k + 1] - bins[k])));
            let hat = match (left, right) {
                (Some(left), Some(right)) => left.minimum(right),
                (Some(side), None) | (None, Some(side)) => side,
                (None, None) => values.zeros_like(),
            };
            mass.push(hat.maximum(0.0).minimum(1.0).expand(axis));
        }
        values.builder().concatenate(&mass, axis)
    }

    /// [`TwoHot::means`], traced.
    ///
    /// # Shapes    logits `[.., bins]` -> `[..]`
    #[track_caller]
    pub fn traced_means<'b>(&self, logits: Tensor<'b>) -> Tensor<'b> {
        let axis = logits.rank().saturating_sub(1);
        let bins = Array::vector(&self.bins).convert(logits.dtype());
        let bins = logits.builder().constant(bins);
        (logits.softmax(axis) * bins).sum(&[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::common::{MemberTargets, Streamed, TargetKind};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, TensorType};
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::{Optimizer, initialize};

    const BINS: [f64; 5] = [-2.0, -1.0, 0.0, 0.5, 4.0];

    #[test]
    fn the_mean_is_the_number() {
        let two_hot = TwoHot::new(BINS.to_vec()).unwrap();
        for (value, place) in [(-2.0, 0), (-1.0, 1), (0.5, 3), (4.0, 4)] {
            let mass = two_hot.encode(value).unwrap();
            assert_eq!((mass[place], two_hot.decode(&mass)), (1.0, value), "{value}");
        }
        let between = two_hot.encode(0.25).unwrap();
        assert_eq!((between[2], between[3], two_hot.decode(&between)), (0.5, 0.5, 0.25));
        for value in [-1.7, 0.1, 1.9] {
            let mass = two_hot.encode(value).unwrap();
            assert!(mass.iter().all(|m| (0.0..=1.0).contains(m)));
            assert_eq!(mass.iter().filter(|m| **m > 0.0).count(), 2);
            assert!((mass.iter().sum::<f64>() - 1.0).abs() < 1e-15);
            assert!((two_hot.decode(&mass) - value).abs() < 1e-14);
        }
        assert_eq!(two_hot.decode(&two_hot.encode(9.0).unwrap()), 4.0);
        assert!(two_hot.encode(f64::NAN).is_err());
        for bad in [vec![1.0], vec![1.0, 1.0], vec![0.0, f64::INFINITY], vec![]] {
            assert!(TwoHot::new(bad).is_err());
        }
        assert_eq!(TwoHot::even(-1.0, 3.0, 5).unwrap().bins(), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        assert!(TwoHot::even(0.0, 1.0, 1).is_err());
    }

    #[test]
    fn a_graph_says_the_same() {
        let two_hot = TwoHot::new(BINS.to_vec()).unwrap();
        let values = [-3.0, -2.0, -1.7, -1.0, 0.1, 0.5, 1.9, 4.0, 9.0];
        let builder = Builder::new(DType::F64);
        let x = builder.input("x", TensorType::new(DType::F64, [values.len()]));
        let logits = builder.input("logits", TensorType::new(DType::F64, [2, 5]));
        let mass = two_hot.traced(x);
        let means = two_hot.traced_means(logits);
        let graph = builder.finish(&[("mass", mass), ("means", means)]).unwrap();
        let seen: Vec<f64> = (0..10).map(|i| (f64::from(i) * 1.7).sin() * 30.0).collect();
        let logits = Array::from_slice(&[2, 5], &seen).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        let found = program.run(vec![Array::vector(&values), logits.clone()]).unwrap();
        let expected = two_hot.targets(&values).unwrap().to_f64_vec();
        for (found, expected) in found[0].to_f64_vec().iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        let means = two_hot.means(&logits).unwrap();
        for (found, expected) in found[1].to_f64_vec().iter().zip(&means) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert!(two_hot.means(&Array::vector(&values)).is_err());
    }

    #[test]
    fn a_network_with_such_outputs_learns_numbers() {
        let two_hot = TwoHot::even(-1.0, 1.0, 6).unwrap();
        let model = "mlp hidden=16".parse::<Architecture>().unwrap().build(&[3], 6).unwrap();
        let inputs: Vec<f64> = (0..24).map(|i| (f64::from(i) * 1.3).sin()).collect();
        let inputs = Array::from_slice(&[8, 3], &inputs).unwrap();
        let values: Vec<f64> = (0..8).map(|i| (f64::from(i) * 2.1).cos() * 0.9).collect();
        let (executor, kind) = (Arc::new(Executor::new(1)), TargetKind::Values(6));
        let (adam, loss) = (Optimizer::adam(), Loss::default());
        let streamed =
            Streamed::new(executor.clone(), &model, &adam, loss, &inputs, kind, 8).unwrap();
        let ctx = Context::new(&executor, 0);
        let mut nets = streamed.start(&[initialize(&model, 2, DType::F64).unwrap()]).unwrap();
        let hyper = [BTreeMap::from([("lr", 0.02)])];
        let (targets, orders) = ([two_hot.targets(&values).unwrap()], [Stream::new(0, "order")]);
        let targets = MemberTargets::Values(&targets);
        streamed.steps(&ctx, &mut nets, &hyper, targets, &orders, 600).unwrap();
        let found = two_hot.means(&streamed.outputs(&ctx, &nets).unwrap()[0]).unwrap();
        for (found, value) in found.iter().zip(&values) {
            assert!((found - value).abs() < 0.02, "{found} {value}");
        }
    }
}
