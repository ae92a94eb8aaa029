//! Logistic regression.

use super::vector;
use crate::MethodError;
use thalweg_stats::solve_definite;

/// A fitted logistic regression: `log p(1 | x) / p(0 | x) = w . x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// `w`.
    pub weights: Vec<f64>,
    /// `b`.
    pub intercept: f64,
}

/// Newton's steps at most; from zero a handful is enough.
const STEPS: usize = 50;

/// The minimum of `sum of -log p(y_i | x_i) + l2 / 2 |w|^2`; the intercept is free. `labels` say which
/// examples are of class 1.
///
/// By Newton's method, whose steps are halved until the objective falls.
///
/// # Errors
/// `Mismatch` for no examples, different numbers of them or of features; `Config` for an `l2` that is
/// not positive, without which classes that a plane parts have no minimum; features that are not finite.
pub fn logistic(features: &[Vec<f64>], labels: &[bool], l2: f64) -> Result<Logistic, MethodError> {
    let d = features.first().map_or(0, Vec::len);
    if features.is_empty() || features.len() != labels.len() {
        let expected = format!("{} labels, and at least one", features.len());
        return Err(MethodError::mismatch("labels", expected, labels.len()));
    }
    if let Some(other) = features.iter().find(|x| x.len() != d) {
        return Err(MethodError::mismatch("features", d.to_string(), other.len()));
    }
    if features.iter().flatten().any(|x| !x.is_finite()) {
        return Err(MethodError::mismatch("features", "finite numbers", "another"));
    }
    if !(l2 > 0.0 && l2.is_finite()) {
        return Err(MethodError::config("penalty of a regression", "a number above 0", l2));
    }
    let mut at = vec![0.0; d + 1];
    let mut value = objective(features, labels, l2, &at);
    for _ in 0..STEPS {
        let (slope, curvature) = derivatives(features, labels, l2, &at);
        let Some(step) = solve_definite(&curvature, &slope) else { break };
        let decrease = vector::dot(&slope, &step);
        let mut length = 1.0;
        let moved = loop {
            let tried: Vec<f64> = at.iter().zip(&step).map(|(x, s)| x - length * s).collect();
            let new = objective(features, labels, l2, &tried);
            if new <= value - 1e-4 * length * decrease {
                break Some((tried, new));
            }
            length *= 0.5;
            if length < 1e-10 {
                break None;
            }
        };
        let Some((tried, new)) = moved else { break };
        (at, value) = (tried, new);
        if decrease <= 1e-12 * value.max(1e-12) {
            break;
        }
    }
    let intercept = at.pop().unwrap_or(0.0);
    Ok(Logistic { weights: at, intercept })
}

impl Logistic {
    /// `log p(1 | x)`, in nats.
    ///
    /// # Shapes    x as long as the weights
    pub fn log_probability(&self, x: &[f64]) -> f64 {
        -softplus(-(vector::dot(&self.weights, x) + self.intercept))
    }
}

fn score(x: &[f64], at: &[f64]) -> f64 {
    vector::dot(x, &at[..x.len()]) + at[x.len()]
}

fn objective(features: &[Vec<f64>], labels: &[bool], l2: f64, at: &[f64]) -> f64 {
    let losses = features.iter().zip(labels).map(|(x, &y)| {
        let z = score(x, at);
        softplus(if y { -z } else { z })
    });
    let weights = &at[..at.len() - 1];
    losses.sum::<f64>() + 0.5 * l2 * vector::dot(weights, weights)
}

fn derivatives(
    features: &[Vec<f64>],
    labels: &[bool],
    l2: f64,
    at: &[f64],
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = at.len();
    let mut slope: Vec<f64> = at.iter().map(|w| l2 * w).collect();
    slope[n - 1] = 0.0;
    let mut curvature = vec![vec![0.0; n]; n];
    for (i, row) in curvature.iter_mut().enumerate().take(n - 1) {
        row[i] = l2;
    }
    for (x, &y) in features.iter().zip(labels) {
        let p = 1.0 / (1.0 + (-score(x, at)).exp());
        let (residual, weight) = (p - f64::from(u8::from(y)), p * (1.0 - p));
        vector::add_scaled(&mut slope[..n - 1], residual, x);
        slope[n - 1] += residual;
        for (i, &xi) in x.iter().enumerate() {
            vector::add_scaled(&mut curvature[i][..=i], weight * xi, &x[..=i]);
        }
        vector::add_scaled(&mut curvature[n - 1][..n - 1], weight, x);
        // Held off zero, where a plane parts the classes so well that rounding leaves nothing.
        curvature[n - 1][n - 1] += weight.max(1e-12);
    }
    for i in 0..n {
        for j in 0..i {
            curvature[j][i] = curvature[i][j];
        }
    }
    (slope, curvature)
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    #[test]
    fn without_features_the_odds_are_those_of_the_labels() {
        let found =
            logistic(&vec![vec![]; 8], &[true, false, false, false, true, true, true, true], 1.0)
                .unwrap();
        assert!((found.intercept - (5.0f64 / 3.0).ln()).abs() < 1e-9, "{found:?}");
        assert!((found.log_probability(&[]) - (5.0f64 / 8.0).ln()).abs() < 1e-9);
    }

    #[test]
    fn a_planted_plane_is_found_and_a_penalty_shrinks_it() {
        let stream = Stream::new(1, "logistic");
        let n = 20_000u64;
        let features: Vec<Vec<f64>> =
            (0..n).map(|i| (0..3).map(|k| stream.at(i).normal(k)).collect()).collect();
        let planted = [1.0, -2.0, 0.5];
        let labels: Vec<bool> = features
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let z = vector::dot(x, &planted) - 0.3;
                stream.child("labels").uniform(i as u64) < 1.0 / (1.0 + (-z).exp())
            })
            .collect();
        let found = logistic(&features, &labels, 1e-6).unwrap();
        for (w, planted) in found.weights.iter().zip(planted) {
            assert!((w - planted).abs() < 0.1, "{found:?}");
        }
        assert!((found.intercept + 0.3).abs() < 0.1);
        let shrunk = logistic(&features, &labels, 1e4).unwrap();
        assert!(vector::norm(&shrunk.weights) < 0.7 * vector::norm(&found.weights));
        // At the minimum the slope is zero.
        let at: Vec<f64> = shrunk.weights.iter().copied().chain([shrunk.intercept]).collect();
        let (slope, _) = derivatives(&features, &labels, 1e4, &at);
        assert!(vector::norm(&slope) < 1e-4, "{slope:?}");
    }

    #[test]
    fn classes_that_a_plane_parts_have_a_minimum() {
        let features: Vec<Vec<f64>> = [-3.0, -2.0, 2.0, 3.0].map(|x| vec![x]).to_vec();
        let labels = [false, false, true, true];
        let found = logistic(&features, &labels, 0.1).unwrap();
        assert!(found.weights[0] > 0.5 && found.intercept.abs() < 1e-6, "{found:?}");
        assert!(logistic(&features, &labels, 0.0).is_err());
        assert!(logistic(&features, &labels[..3], 1.0).is_err());
        assert!(logistic(&[], &[], 1.0).is_err());
    }
}
