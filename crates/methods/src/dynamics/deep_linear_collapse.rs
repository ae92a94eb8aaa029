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
    /// A class of `examples` in all whose matrices have the singular value `s` with `x = s^2 / (N
    /// decay_features)^(1/M)`, and whose features are the best for them.
    fn at(x: f64, examples: usize, config: &CollapseConfig) -> ClassCollapse {
        let floor = examples as f64 * config.decay_features;
        let strength = (x * floor.powf(1.0 / config.depth as f64)).sqrt();
        let product = strength.powi(config.depth as i32);
        ClassCollapse { strength, product, feature: product / (product * product + floor) }
    }

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
    let n: usize = counts.iter().sum();
    let class = |&count: &usize| {
        let c = cost(count, n, config);
        ClassCollapse::at(minimum(config.depth, c), n, config)
    };
    Ok(counts.iter().map(class).collect())
}

/// What a class can be beside what [`deep_linear_collapse`] finds it to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollapseBranches {
    /// The factor `c` of `x`, in proportion to `decay_weights`.
    pub cost: f64,
    /// The class at its local minimum away from zero, whether or not zero is better; none above
    /// [`collapse_fold`].
    pub away: Option<ClassCollapse>,
    /// The class where that minimum ends, for two matrices or more.
    pub fold: Option<ClassCollapse>,
}

/// The minima of a class of `count` of all `examples` that [`deep_linear_collapse`] chooses among: for two
/// matrices or more zero is always one.
///
/// # Errors
/// As [`deep_linear_collapse`].
pub fn collapse_branches(
    count: usize,
    examples: usize,
    config: &CollapseConfig,
) -> Result<CollapseBranches, MethodError> {
    check(config)?;
    if count == 0 || count > examples {
        let expected = format!("1 to {examples}");
        return Err(MethodError::config("examples of a class", expected, count));
    }
    let at = |x: f64| ClassCollapse::at(x, examples, config);
    let cost = cost(count, examples, config);
    let fold = (config.depth > 1).then(|| at(fold(config.depth)));
    Ok(CollapseBranches { cost, away: root(config.depth, cost).map(at), fold })
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

/// The `c` above which zero is the only minimum of a class, `M x^(M-1) / (x^M + 1)^2` at `x^M = (M - 1) / (M
/// + 1)`. From [`collapse_threshold`] up to here there is another, which is worse.
///
/// # Errors
/// Fewer than two matrices, of which a class vanishes without a jump, or more than 1,024.
pub fn collapse_fold(depth: usize) -> Result<f64, MethodError> {
    match depth {
        2..=1024 => Ok(slope(depth, fold(depth))),
        _ => Err(MethodError::config("number of matrices", "2 to 1024", depth)),
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

fn cost(count: usize, examples: usize, config: &CollapseConfig) -> f64 {
    let (depth, n) = (config.depth as f64, examples as f64);
    let unit = (n * config.decay_features).powf(1.0 / depth);
    depth * n / count as f64 * config.decay_weights * unit
}

/// `M x^(M-1) / (x^M + 1)^2`: a minimum away from zero is where it falls to `c`.
fn slope(depth: usize, x: f64) -> f64 {
    let m = depth as f64;
    m * x.powf(m - 1.0) / (x.powf(m) + 1.0).powi(2)
}

/// Up to here the slope rises, and from here on it falls.
fn fold(depth: usize) -> f64 {
    let m = depth as f64;
    ((m - 1.0) / (m + 1.0)).powf(1.0 / m)
}

/// The local minimum of `1 / (x^M + 1) + c x` at a positive `x`, if there is one.
fn root(depth: usize, c: f64) -> Option<f64> {
    if depth == 1 {
        return Some(c.powf(-0.5) - 1.0).filter(|x| *x > 0.0);
    }
    let fold = fold(depth);
    if slope(depth, fold) <= c {
        return None;
    }
    let (mut low, mut high) = (fold, 2.0 * fold);
    while slope(depth, high) > c {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if slope(depth, middle) > c { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// Where `1 / (x^M + 1) + c x` is least for `x >= 0`.
fn minimum(depth: usize, c: f64) -> f64 {
    let better = |x: &f64| 1.0 / (x.powf(depth as f64) + 1.0) + c * x < 1.0;
    root(depth, c).filter(better).unwrap_or(0.0)
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
    fn a_class_has_two_minima_between_the_threshold_and_the_fold() {
        let (threshold, fold) = (collapse_threshold(3).unwrap(), collapse_fold(3).unwrap());
        assert!((fold / threshold - 1.5874).abs() < 1e-4, "{}", fold / threshold);
        let (count, n) = (10, 80);
        let at = |ratio: f64| {
            let mut config = CollapseConfig { depth: 3, decay_weights: 1.0, decay_features: 5e-4 };
            let one = collapse_branches(count, n, &config).unwrap().cost;
            config.decay_weights = ratio * threshold / one;
            let found = collapse_branches(count, n, &config).unwrap();
            assert!((found.cost - ratio * threshold).abs() < 1e-12);
            // What the class adds to the objective, less what it adds where it is zero.
            let gain = found.away.map(|class| {
                let error = (1.0 - class.output()).powi(2) * count as f64 / n as f64 / 2.0;
                let matrices = 1.5 * config.decay_weights * class.strength.powi(2);
                let features = count as f64 * config.decay_features * class.feature_gram() / 2.0;
                error + matrices + features - count as f64 / n as f64 / 2.0
            });
            (gain, found.away.map_or(0.0, |class| class.strength), found.fold.unwrap().strength)
        };
        for ratio in [0.8, 0.95, 1.05, 1.2, 1.55] {
            let (gain, away, fold) = at(ratio);
            assert_eq!(gain.unwrap() < 0.0, ratio < 1.0, "{ratio}");
            assert!(away > fold && fold > 0.0, "{ratio}");
        }
        assert_eq!(at(1.65).0, None);
        let one = CollapseConfig { depth: 1, decay_weights: 1.0, decay_features: 1.0 };
        let found = collapse_branches(1, 2, &one).unwrap();
        assert_eq!((found.away, found.fold), (None, None));
        assert!(collapse_fold(1).is_err() && collapse_branches(0, 2, &one).is_err());
        assert!(collapse_branches(3, 2, &one).is_err());
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
