//! Where descent on free features under a deep linear classifier ends.

use crate::MethodError;

/// The problem: `min 1/(2N) |H W_1 .. W_M - Y|^2 + decay_weights/2 sum |W_j|^2 + decay_features/2
/// |H|^2` over features and matrices, with one-hot rows in `Y` and no bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollapseConfig {
    /// Number of matrices `M`.
    pub depth: usize,
    /// Factor of half the squared matrices.
    pub decay_weights: f64,
    /// Factor of half the squared features.
    pub decay_features: f64,
}

/// What becomes of one class at the global minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassCollapse {
    /// The singular value `s` of every matrix along the class; 0 where the class vanishes.
    pub strength: f64,
    /// That of the product of all matrices, `s^M`.
    pub product: f64,
    /// The length of every feature of the class, `s^M / (s^2M + N decay_features)`.
    pub feature: f64,
}

impl ClassCollapse {
    /// Entry of the class on the diagonal of `W W^T`, with `W` the product of the matrices.
    pub fn classifier_gram(&self) -> f64 {
        self.product * self.product
    }

    /// Entry of the class on the diagonal of the Gram matrix of class means.
    pub fn feature_gram(&self) -> f64 {
        self.feature * self.feature
    }

    /// Entry of the class on the diagonal of the outputs of class means.
    pub fn output(&self) -> f64 {
        self.product * self.feature
    }
}

/// The global minimum in closed form: class vectors are orthogonal, and each class is on its own.
///
/// With `x = s^2 / (N decay_features)^(1/M)` and `c = M N / n_k decay_weights (N
/// decay_features)^(1/M)`, class `k` minimises `1 / (x^M + 1) + c x`: `x` is the largest root of
/// `M x^(M-1) / (x^M + 1)^2 = c`, or 0 where there is none or zero is better.
///
/// # Errors
/// No matrix, a factor that is not positive, a class without examples.
/// # Source    Dang et al., Neural collapse in deep linear networks: from balanced to imbalanced
/// data, 2023, arXiv 2301.00437, theorem on imbalanced data without bias
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{CollapseConfig, deep_linear_collapse};
/// let config = CollapseConfig { depth: 1, decay_weights: 5e-4, decay_features: 5e-4 };
/// let classes = deep_linear_collapse(&[200, 100, 50, 50], &config)?;
/// assert!((classes[0].strength - 3.7339).abs() < 1e-4);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn deep_linear_collapse(
    counts: &[usize],
    config: &CollapseConfig,
) -> Result<Vec<ClassCollapse>, MethodError> {
    check(config)?;
    if counts.is_empty() || counts.contains(&0) {
        let got = format!("{counts:?}");
        return Err(MethodError::config("examples of classes", "at least 1 each", got));
    }
    let depth = config.depth as f64;
    let n: usize = counts.iter().sum();
    let floor = n as f64 * config.decay_features;
    let unit = floor.powf(1.0 / depth);
    let class = |&count: &usize| {
        let c = depth * n as f64 / count as f64 * config.decay_weights * unit;
        let strength = (minimum(config.depth, c) * unit).sqrt();
        let product = strength.powi(config.depth as i32);
        ClassCollapse { strength, product, feature: product / (product * product + floor) }
    };
    Ok(counts.iter().map(class).collect())
}

/// The `c` above which a class vanishes: 1 for one matrix, `(M - 1)^((M - 1) / M) / M` for more.
///
/// # Errors
/// No matrix.
pub fn collapse_threshold(depth: usize) -> Result<f64, MethodError> {
    match depth {
        0 => Err(MethodError::config("number of matrices", "at least 1", 0)),
        1 => Ok(1.0),
        _ => {
            let m = depth as f64;
            Ok((m - 1.0).powf((m - 1.0) / m) / m)
        }
    }
}

fn check(config: &CollapseConfig) -> Result<(), MethodError> {
    if config.depth == 0 || config.depth > 1024 {
        return Err(MethodError::config("number of matrices", "1 to 1024", config.depth));
    }
    for (what, factor) in [
        ("decay of the matrices", config.decay_weights),
        ("decay of the features", config.decay_features),
    ] {
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(MethodError::config(what, "a positive number", factor));
        }
    }
    Ok(())
}

/// Where `1 / (x^M + 1) + c x` is least for `x >= 0`.
fn minimum(depth: usize, c: f64) -> f64 {
    let m = depth as f64;
    if depth == 1 {
        return (c.powf(-0.5) - 1.0).max(0.0);
    }
    let slope = |x: f64| m * x.powf(m - 1.0) / (x.powf(m) + 1.0).powi(2);
    // The slope rises until here and falls from here on.
    let fold = ((m - 1.0) / (m + 1.0)).powf(1.0 / m);
    if slope(fold) <= c {
        return 0.0;
    }
    let (mut low, mut high) = (fold, 2.0 * fold);
    while slope(high) > c {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if slope(middle) > c { low = middle } else { high = middle }
    }
    let x = 0.5 * (low + high);
    if 1.0 / (x.powf(m) + 1.0) + c * x < 1.0 { x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strengths(counts: &[usize], depth: usize, decay: f64) -> Vec<f64> {
        let config = CollapseConfig { depth, decay_weights: decay, decay_features: decay };
        deep_linear_collapse(counts, &config).unwrap().iter().map(|class| class.product).collect()
    }

    #[test]
    fn products_are_those_that_descent_was_seen_to_reach() {
        // Momentum descent in NumPy on these problems, to three decimals.
        for (counts, depth, expected) in [
            ([40, 20, 10, 10], 1, [2.507, 2.105, 1.767, 1.767]),
            ([40, 20, 10, 10], 3, [3.981, 3.066, 2.359, 2.359]),
            ([200, 100, 50, 50], 3, [7.2720, 5.5966, 4.3014, 4.3014]),
        ] {
            let found = strengths(&counts, depth, 5e-4);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 6e-4, "{counts:?} {depth}: {found}");
            }
        }
    }

    #[test]
    fn a_class_vanishes_at_the_threshold() {
        for depth in [1usize, 2, 3, 5] {
            let threshold = collapse_threshold(depth).unwrap();
            assert!(minimum(depth, 0.999 * threshold) > 0.0, "{depth}");
            assert_eq!(minimum(depth, 1.001 * threshold), 0.0, "{depth}");
        }
        // By the objective itself, for three matrices.
        let g = |x: f64, c: f64| 1.0 / (x.powi(3) + 1.0) + c * x;
        let threshold = collapse_threshold(3).unwrap();
        let least = |c: f64| (1..4000).map(|i| g(f64::from(i) / 1000.0, c)).fold(1.0, f64::min);
        assert!(least(0.95 * threshold) < 1.0 && least(1.05 * threshold) >= 1.0);
    }

    #[test]
    fn a_rare_class_is_weaker() {
        let found = strengths(&[100, 10, 1], 3, 5e-3);
        assert!(found[0] > found[1] && found[1] > 0.0 && found[2] == 0.0, "{found:?}");
        let config = CollapseConfig { depth: 0, decay_weights: 1.0, decay_features: 1.0 };
        assert!(deep_linear_collapse(&[1], &config).is_err());
        let config = CollapseConfig { depth: 1, decay_weights: 0.0, decay_features: 1.0 };
        assert!(deep_linear_collapse(&[1], &config).is_err());
        let config = CollapseConfig { decay_weights: 1.0, ..config };
        assert!(deep_linear_collapse(&[1, 0], &config).is_err());
    }
}
