//! The density of eigenvalues by stochastic Lanczos quadrature.

use super::curvature_terms::{OnSample, sample_probes, with_sample};
use super::norm_of_sample::{norm_of_sample, with_norm};
use super::quadrature::{Asked, Quadrature, Quadratures, quadratures};
use super::{CurvatureMatrix, Outliers, ParameterBlock};
use crate::common::{LinearOperator, Objective};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// How [`density`] looks at a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityConfig {
    /// Number of random vectors; at least two, for standard errors.
    pub probes: usize,
    /// Lanczos steps for each: nodes of the quadrature. At least two, without which it does not know
    /// the mean square.
    pub steps: usize,
    /// Number of places at which the density is given.
    pub points: usize,
    /// Standard deviation of the Gaussian that stands for each node, as a share of the range of
    /// all nodes.
    pub width: f64,
}

impl Default for DensityConfig {
    fn default() -> DensityConfig {
        DensityConfig { probes: 8, steps: 48, points: 201, width: 0.01 }
    }
}

/// A density of eigenvalues; its integral is one but for the Gaussians' tails beyond the ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Where it is given, equally spaced.
    pub centres: Vec<f64>,
    /// The density there.
    pub values: Vec<f64>,
    /// Standard error of each over the probes.
    pub standard_errors: Vec<f64>,
    /// The mean of the eigenvalues, which the smoothing leaves as it is.
    pub mean: Estimate,
    /// The mean of their squares, before the smoothing.
    pub mean_square: Estimate,
    /// Standard deviation of the Gaussians.
    pub width: f64,
    /// What stands out of the bulk.
    pub outliers: Outliers,
    /// Products that it took.
    pub products: usize,
}

/// The density of eigenvalues of a symmetric operator, smoothed by a Gaussian.
///
/// For each probe `z` of random signs, `steps` Lanczos steps (fully reorthogonalised) from
/// `z / sqrt(n)` give nodes `t_i` and weights `u_i1^2` of the Gauss quadrature of `z`'s spectral
/// measure; `phi(x) = mean over probes of sum over i of u_i1^2 N(x; t_i, width^2)`.
///
/// Probes go in lockstep, so that their products are taken together: as many as half the context's
/// memory holds bases of, and these are a unit of work. [`super::kernel_polynomial()`] needs no basis.
///
/// # Errors
/// Fewer than two probes or steps, no points, a width that is not positive; a basis of `steps`
/// vectors that the memory does not hold; a product that is not finite.
/// # Source    Ghorbani, Krishnan, Xiao, An investigation into neural net optimization via Hessian
/// eigenvalue density, 2019, arXiv 1901.10159, algorithms 1 and 2
pub fn density(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &DensityConfig,
) -> Result<Density, MethodError> {
    check(config)?;
    let asked = Asked {
        what: "spectral density",
        key: "density",
        probes: config.probes,
        steps: config.steps,
        shorter: None,
    };
    let Quadratures { whole, products, .. } = quadratures(ctx, operator, &asked)?;
    Ok(Density { products, ..smooth(&whole, operator.dimension(), config)? })
}

fn check(config: &DensityConfig) -> Result<(), MethodError> {
    if config.probes < 2 {
        return Err(MethodError::config("number of probes", "at least 2", config.probes));
    }
    for (what, least, count) in
        [("number of steps", 2, config.steps), ("number of points", 1, config.points)]
    {
        if count < least {
            return Err(MethodError::config(what, format!("at least {least}"), count));
        }
    }
    match config.width > 0.0 && config.width.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("width", "a positive share of the range", config.width)),
    }
}

fn smooth(
    quadratures: &[Quadrature],
    dimension: usize,
    config: &DensityConfig,
) -> Result<Density, MethodError> {
    let all = || quadratures.iter().flat_map(|quadrature| &quadrature.nodes);
    let low = all().copied().fold(f64::INFINITY, f64::min);
    let high = all().copied().fold(f64::NEG_INFINITY, f64::max);
    // A spectrum of one value still has a width.
    let range = if high > low { high - low } else { high.abs().max(1.0) };
    let width = config.width * range;
    let (from, to) = (low - 5.0 * width, high + 5.0 * width);
    let last = (config.points - 1).max(1) as f64;
    let centres: Vec<f64> =
        (0..config.points).map(|i| (from * (last - i as f64) + to * i as f64) / last).collect();
    let factor = 1.0 / (width * std::f64::consts::TAU.sqrt());
    let (mut values, mut standard_errors) = (Vec::new(), Vec::new());
    for &centre in &centres {
        let kernel = |node: f64| {
            let distance = (centre - node) / width;
            factor * (-0.5 * distance * distance).exp()
        };
        let of_probe = |quadrature: &Quadrature| quadrature.mean(kernel);
        let estimate = Estimate::mean(&quadratures.iter().map(of_probe).collect::<Vec<_>>())?;
        values.push(estimate.value);
        standard_errors.push(estimate.standard_error);
    }
    let moment = |f: fn(f64) -> f64| {
        Estimate::mean(&quadratures.iter().map(|q| q.mean(f)).collect::<Vec<_>>())
    };
    let (mean, mean_square) = (moment(|x| x)?, moment(|x| x * x)?);
    let outliers = Outliers::new([&centres, &values], width, dimension, |beyond| {
        let mass = |q: &Quadrature| q.mean(|node| f64::from(u8::from(beyond(node))));
        quadratures.iter().map(mass).collect()
    })?;
    let products = 0;
    Ok(Density { centres, values, standard_errors, mean, mean_square, width, outliers, products })
}

impl OnSample<Density> {
    /// A density of the whole Hessian that took so many probes, whose moments are for all the data: the
    /// trace and the squared Frobenius norm over the number of parameters. The density itself, its outliers
    /// and their errors are those of the examples taken.
    pub(super) fn density(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        found: Density,
        probes: usize,
    ) -> Result<OnSample<Density>, MethodError> {
        let share = 1.0 / objective.dimension().max(1) as f64;
        let hessian = CurvatureMatrix::Hessian;
        let norm = norm_of_sample(
            ctx,
            objective,
            point,
            hessian,
            &ParameterBlock::All,
            sample_probes(probes),
        )?;
        let OnSample { mut found, terms } = OnSample::trace(ctx, objective, point, found, probes)?;
        let mut terms: Vec<_> = terms.into_iter().map(|terms| terms.scaled(share)).collect();
        if let Some(norm) = norm.map(|norm| norm.scaled(share)) {
            found.mean_square = norm.corrected(found.mean_square);
            terms.push(norm.terms);
        }
        Ok(OnSample { found, terms })
    }

    pub(super) fn cost(cost: Cost, size: &Size, probes: usize) -> Cost {
        let probes = sample_probes(probes);
        with_norm(with_sample(cost, size, probes), size, probes)
    }

    pub(super) fn moments(&self) -> Vec<Quantity> {
        let Density { mean, mean_square, .. } = self.found;
        vec![
            Quantity::estimated("mean eigenvalue", mean).with_sample(self.terms.first()),
            Quantity::estimated("mean squared eigenvalue", mean_square)
                .with_sample(self.terms.get(1)),
        ]
    }
}

/// [`density`] of the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct SpectralDensity;

impl Instrument for SpectralDensity {
    const ID: &'static str = "spectral_density";
    const SUMMARY: &'static str = "density of the Hessian's eigenvalues";
    const SOURCE: &'static str = "Ghorbani, Krishnan, Xiao 2019, arXiv 1901.10159";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = DensityConfig;
    type Reading = OnSample<Density>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &DensityConfig,
    ) -> Result<OnSample<Density>, MethodError> {
        check(config)?;
        let found = density(ctx, &super::Hessian::new(ctx, objective, point)?, config)?;
        OnSample::density(ctx, objective, point, found, config.probes)
    }

    fn cost(config: &DensityConfig, size: &Size) -> Cost {
        let products = config.probes * config.steps.min(size.parameters);
        OnSample::cost(Cost::at_most(0, 0, products), size, config.probes)
    }

    fn quantities(reading: &OnSample<Density>) -> Vec<Quantity> {
        reading.moments()
    }

    fn trial() -> DensityConfig {
        DensityConfig { probes: 64, steps: 3, ..DensityConfig::default() }
    }

    fn refused() -> Vec<DensityConfig> {
        let usual = DensityConfig::default();
        vec![
            DensityConfig { probes: 1, ..usual },
            DensityConfig { steps: 1, ..usual },
            DensityConfig { points: 0, ..usual },
            DensityConfig { width: 0.0, ..usual },
            DensityConfig { width: f64::INFINITY, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::DenseOperator;
    use thalweg_exec::Executor;

    #[test]
    fn a_diagonal_spectrum_comes_back() {
        // Signs see each entry of a diagonal alike, so that there is no sampling error.
        let values = [-1.0, 0.0, 0.0, 0.0, 2.0, 3.0];
        let rows = (0..6)
            .map(|i| (0..6).map(|j| if i == j { values[i] } else { 0.0 }).collect())
            .collect();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = DensityConfig { probes: 3, steps: 10, points: 2001, width: 0.02 };
        let found = density(&ctx, &DenseOperator::new(rows).unwrap(), &config).unwrap();
        let spacing = found.centres[1] - found.centres[0];
        let mass = |from: f64, to: f64| -> f64 {
            let inside = |(x, _): &(&f64, &f64)| (from..to).contains(*x);
            found.centres.iter().zip(&found.values).filter(inside).map(|(_, v)| v * spacing).sum()
        };
        assert!((mass(-2.0, 4.0) - 1.0).abs() < 1e-3);
        assert!((mass(-0.5, 0.5) - 0.5).abs() < 1e-3);
        assert!((mass(2.5, 4.0) - 1.0 / 6.0).abs() < 1e-3);
        assert!(found.standard_errors.iter().all(|e| *e < 1e-9));
        // There are four different eigenvalues, after which a probe's subspace is invariant.
        assert_eq!(found.products, 3 * 4);
    }

    #[test]
    fn memory_changes_which_probes_go_together_and_no_bit() {
        let stream = thalweg_data::Stream::new(2, "matrix");
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * 40 + i.min(j)) as u64);
        let rows = (0..40).map(|i| (0..40).map(|j| entry(i, j)).collect()).collect();
        let operator = DenseOperator::new(rows).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = DensityConfig { probes: 5, steps: 12, points: 50, width: 0.02 };
        let found = |memory: usize| density(&ctx.clone().with_memory(memory), &operator, &config);
        let all = found(1 << 30).unwrap();
        assert_eq!(all.products, 60);
        // A basis is of 40 x 12 x 8 bytes.
        assert_eq!(found(4 * 40 * 12 * 8).unwrap(), all);
        assert_eq!(found(40 * 12 * 8).unwrap(), all);
        let message = found(40 * 12 * 8 - 1).unwrap_err().to_string();
        assert!(message.starts_with("a basis of 12 vectors of 40 elements needs"), "{message}");
    }
}
