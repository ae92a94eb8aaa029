//! Sums of a function over all eigenvalues, by stochastic Lanczos quadrature.

use super::quadrature::{Asked, Quadrature, Quadratures, quadratures};
use crate::common::LinearOperator;
use crate::registry::{Cost, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_stats::{Estimate, pairwise_sum};

/// How a sum over `1 / lambda`-scaled eigenvalues is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectralSumConfig {
    /// What eigenvalues are held against; beyond the absolute value of every negative one.
    pub lambda: f64,
    /// Number of random vectors; at least two, for a standard error.
    pub probes: usize,
    /// Lanczos steps for each.
    pub steps: usize,
}

impl Default for SpectralSumConfig {
    fn default() -> SpectralSumConfig {
        SpectralSumConfig { lambda: 1.0, probes: 16, steps: 32 }
    }
}

impl SpectralSumConfig {
    pub(super) fn check(&self) -> Result<(), MethodError> {
        if self.probes < 2 {
            return Err(MethodError::config("number of probes", "at least 2", self.probes));
        }
        if self.steps == 0 {
            return Err(MethodError::config("number of steps", "at least 1", 0));
        }
        match self.lambda > 0.0 && self.lambda.is_finite() {
            true => Ok(()),
            false => Err(MethodError::config("lambda", "a positive number", self.lambda)),
        }
    }

    pub(super) fn cost(&self, size: &Size) -> Cost {
        Cost::at_most(0, 0, self.probes * self.steps.min(size.parameters))
    }

    /// Configurations that must be refused.
    pub(super) fn refused() -> Vec<SpectralSumConfig> {
        let usual = SpectralSumConfig::default();
        vec![
            SpectralSumConfig { lambda: 0.0, ..usual },
            SpectralSumConfig { lambda: f64::NAN, ..usual },
            SpectralSumConfig { probes: 1, ..usual },
            SpectralSumConfig { steps: 0, ..usual },
        ]
    }
}

/// A sum over all eigenvalues with its errors.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralSum {
    /// The sum; its standard error is that over the probes.
    pub sum: Estimate,
    /// By how much the last half of the steps changed it: what is left of the quadrature's own error is
    /// of this order where it falls like one over the steps, and smaller where it falls faster.
    pub last_change: f64,
    /// Products that it took.
    pub products: usize,
    /// The sum as each probe gives it.
    pub terms: Vec<f64>,
}

impl SpectralSum {
    /// The sum, whose error has what the last steps changed beside that over the probes, and so has that
    /// of a difference of two.
    pub(super) fn quantity(&self, name: &str) -> Quantity {
        let standard_error = self.sum.standard_error.hypot(self.last_change);
        let sum = Estimate { standard_error, ..self.sum };
        Quantity::estimated(name, sum)
            .with_terms(Over::Draws, &self.terms)
            .with_error_beside(self.last_change)
    }
}

/// `sum over eigenvalues of f`: `n` times the mean over probes of the quadrature of each.
///
/// # Errors
/// As [`SpectralSumConfig::check`]; an eigenvalue seen at or below `-lambda`; a basis of `steps`
/// vectors that the memory does not hold; a product that is not finite.
/// # Source    Ubaru, Chen, Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature,
/// SIAM J. Matrix Anal. Appl. 38, 2017, algorithm 1
pub(super) fn spectral_sum(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    [what, key]: [&str; 2],
    config: &SpectralSumConfig,
    f: impl Fn(f64) -> f64,
) -> Result<SpectralSum, MethodError> {
    config.check()?;
    let n = operator.dimension() as f64;
    let steps = config.steps.min(operator.dimension()).max(1);
    let shorter = Some(steps.div_ceil(2));
    let (probes, steps) = (config.probes, config.steps);
    let asked = Asked { what, key, probes, steps, shorter };
    let Quadratures { whole, shorter, products } = quadratures(ctx, operator, &asked)?;
    // Nodes lie between the smallest and the largest eigenvalue.
    let lowest = whole.iter().flat_map(|q| &q.nodes).copied().fold(f64::INFINITY, f64::min);
    if lowest <= -config.lambda {
        let expected = format!("more than {}, since an eigenvalue lies below {lowest}", -lowest);
        return Err(MethodError::config("lambda", expected, config.lambda));
    }
    let of = |quadrature: &Quadrature| n * quadrature.mean(&f);
    let mean = |all: &[Quadrature]| -> f64 {
        pairwise_sum(&all.iter().map(of).collect::<Vec<_>>()) / all.len().max(1) as f64
    };
    let last_change = (mean(&whole) - mean(&shorter)).abs();
    let terms: Vec<f64> = whole.iter().map(of).collect();
    Ok(SpectralSum { sum: Estimate::mean(&terms)?, last_change, products, terms })
}
