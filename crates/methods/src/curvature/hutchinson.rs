//! Hutchinson's estimate of the trace.

use super::curvature_terms::{OnSample, sample_probes, with_sample};
use super::known::Known;
use super::norm_of_sample::{norm_of_sample, with_norm};
use super::{CurvatureMatrix, Eigenpair, ParameterBlock};
use crate::common::{LinearOperator, Objective, signs, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// Probes in a unit of work.
const BLOCK: usize = 8;

/// Probes below which a small standard error may be chance: it has to be smaller by the ratio.
const SETTLED: usize = 24;

/// How many probes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HutchinsonConfig {
    /// Number of random vectors, at most; at least two, for a standard error.
    pub probes: usize,
    /// Stop after the block of eight vectors by which the trace's standard error is at most this
    /// share of the trace, after 8 and 16 a third and two thirds of it; 0: take all of them.
    pub tolerance: f64,
}

impl Default for HutchinsonConfig {
    fn default() -> HutchinsonConfig {
        HutchinsonConfig { probes: 32, tolerance: 0.0 }
    }
}

impl HutchinsonConfig {
    /// The products that its probes take.
    pub(super) fn cost(&self) -> Cost {
        match self.tolerance > 0.0 {
            true => Cost::at_most(0, 0, self.probes),
            false => Cost::exactly(0, 0, self.probes),
        }
    }

    pub(super) fn check(&self) -> Result<(), MethodError> {
        if self.probes < 2 {
            return Err(MethodError::config("number of probes", "at least 2", self.probes));
        }
        match self.tolerance >= 0.0 {
            true => Ok(()),
            false => Err(MethodError::config("tolerance", "0 or a positive share", self.tolerance)),
        }
    }
}

/// What [`hutchinson`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEstimate {
    /// The trace.
    pub trace: Estimate,
    /// The squared Frobenius norm: the sum of squared eigenvalues.
    pub frobenius_squared: Estimate,
    /// What each probe gave for the trace outside of what is known.
    pub forms: Vec<f64>,
    /// What each gave for the squared norm.
    pub squares: Vec<f64>,
}

/// Trace and squared Frobenius norm of a symmetric operator from random vectors of signs.
///
/// `tr H = E[z^T H z]`, `|H|_F^2 = E[|H z|^2]` over `z` uniform on `{-1, 1}^n`. The variance of one
/// term of the trace is `2 (|H|_F^2 - sum over i of H_ii^2)`: a diagonal matrix is exact.
///
/// Eigenpairs that are `known` (orthonormal `v_i` with Rayleigh quotients `l_i` and residuals `r_i`,
/// found without these probes) are added exactly and taken out of the probes, and most of the
/// variance with them: `tr H = sum l_i + E[w^T H w]`, `|H|_F^2 = sum (l_i^2 + r_i^2) + E[|H w|^2]`
/// with `w = (I - V V^T) z`. Both hold for any orthonormal vectors, converged or not.
///
/// Standard errors are those over the probes. With a tolerance the number of probes depends on
/// them, which makes the error of a run that stopped early a little larger than it says. Of few
/// probes, whose spread says little, a smaller error is asked for, so that 95 % bars cover at least 90 %.
///
/// # Errors
/// Fewer than two probes; a tolerance that is negative; a known vector of another length; a product
/// that is not finite.
/// # Source    Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990;
/// deflation: Gambhir, Stathopoulos, Orginos, Deflation as a method of variance reduction for
/// estimating the trace of a matrix inverse, 2017, arXiv 1603.05988
pub fn hutchinson(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    known: &[Eigenpair],
    config: &HutchinsonConfig,
) -> Result<TraceEstimate, MethodError> {
    config.check()?;
    let n = operator.dimension();
    let known = Known::new(operator, known)?;
    let stream = ctx.stream("hutchinson");
    ctx.progress().start("trace", config.probes as u64);
    let (mut forms, mut squares) = (Vec::new(), Vec::new());
    for first in (0..config.probes).step_by(BLOCK) {
        let last = (first + BLOCK).min(config.probes);
        let key = format!("hutchinson/{first}-{last}");
        let arrays = ctx.unit(&key, || {
            let outside = |probe: usize| {
                let mut z = signs(&stream.at(probe as u64), n);
                known.outside.project(&mut z);
                z
            };
            let probes: Vec<Vec<f64>> = (first..last).map(outside).collect();
            let products = operator.apply(&probes)?;
            let forms: Vec<f64> =
                probes.iter().zip(&products).map(|(z, hz)| vector::dot(z, hz)).collect();
            let squares: Vec<f64> = products.iter().map(|hz| vector::dot(hz, hz)).collect();
            Ok(vec![
                ("forms".into(), Array::vector(&forms)),
                ("squares".into(), Array::vector(&squares)),
            ])
        })?;
        forms.extend_from_slice(stored(&key, &arrays, "forms", last - first)?);
        squares.extend_from_slice(stored(&key, &arrays, "squares", last - first)?);
        ctx.progress().advance((last - first) as u64);
        if config.tolerance > 0.0 && last < config.probes {
            let so_far = shifted(&forms, known.trace)?;
            let sure = (SETTLED as f64 / last as f64).max(1.0);
            if sure * so_far.standard_error <= config.tolerance * so_far.value.abs() {
                break;
            }
        }
    }
    Ok(TraceEstimate {
        trace: shifted(&forms, known.trace)?,
        frobenius_squared: shifted(&squares, known.frobenius_squared)?,
        forms,
        squares,
    })
}

/// The mean of samples beside a part that is known.
fn shifted(samples: &[f64], known: f64) -> Result<Estimate, MethodError> {
    let mean = Estimate::mean(samples)?;
    Ok(Estimate { value: known + mean.value, ..mean })
}

/// [`hutchinson`] on the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct Hutchinson;

impl Instrument for Hutchinson {
    const ID: &'static str = "hutchinson";
    const SUMMARY: &'static str = "trace and squared Frobenius norm of the Hessian";
    const SOURCE: &'static str = "Hutchinson 1990";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = HutchinsonConfig;
    type Reading = OnSample<TraceEstimate>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &HutchinsonConfig,
    ) -> Result<OnSample<TraceEstimate>, MethodError> {
        config.check()?;
        let mut found = hutchinson(ctx, &super::Hessian::new(ctx, objective, point)?, &[], config)?;
        let probes = sample_probes(config.probes);
        let norm = norm_of_sample(
            ctx,
            objective,
            point,
            CurvatureMatrix::Hessian,
            &ParameterBlock::All,
            probes,
        )?;
        if let Some(norm) = &norm {
            found.frobenius_squared = norm.corrected(found.frobenius_squared);
        }
        let mut reading = OnSample::trace(ctx, objective, point, found, config.probes)?;
        reading.terms.extend(norm.map(|norm| norm.terms));
        Ok(reading)
    }

    fn cost(config: &HutchinsonConfig, size: &Size) -> Cost {
        let probes = sample_probes(config.probes);
        with_norm(with_sample(config.cost(), size, probes), size, probes)
    }

    fn quantities(reading: &OnSample<TraceEstimate>) -> Vec<Quantity> {
        let found = &reading.found;
        vec![
            Quantity::estimated("trace", found.trace)
                .with_terms(Over::Draws, &found.forms)
                .with_sample(reading.terms.first()),
            Quantity::estimated("squared Frobenius norm", found.frobenius_squared)
                .with_terms(Over::Draws, &found.squares)
                .with_sample(reading.terms.get(1)),
        ]
    }

    fn watch() -> HutchinsonConfig {
        HutchinsonConfig { probes: 10, ..HutchinsonConfig::default() }
    }

    fn trial() -> HutchinsonConfig {
        HutchinsonConfig { probes: 128, ..HutchinsonConfig::default() }
    }

    fn refused() -> Vec<HutchinsonConfig> {
        let usual = HutchinsonConfig::default();
        vec![
            HutchinsonConfig { probes: 0, ..usual },
            HutchinsonConfig { probes: 1, ..usual },
            HutchinsonConfig { tolerance: -0.1, ..usual },
            HutchinsonConfig { tolerance: f64::NAN, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{DenseOperator, symmetric_eigen};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    fn probes(probes: usize) -> HutchinsonConfig {
        HutchinsonConfig { probes, ..HutchinsonConfig::default() }
    }

    /// Vectors that are eigenvectors but for some noise, with their quotients and residuals.
    fn nearly_known(matrix: &DenseOperator, count: usize, noise: f64) -> Vec<Eigenpair> {
        let eigen = symmetric_eigen(matrix.rows());
        let n = matrix.dimension();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| eigen.values[j].abs().total_cmp(&eigen.values[i].abs()));
        let stream = Stream::new(9, "noise");
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for (k, &i) in order[..count].iter().enumerate() {
            let mut v = eigen.vectors[i].clone();
            for (j, x) in v.iter_mut().enumerate() {
                *x += noise * stream.at(k as u64).normal(j as u64);
            }
            vector::orthogonalize(&mut v, &basis, &mut vec![0.0; basis.len()]);
            let length = vector::norm(&v);
            vector::scale(&mut v, 1.0 / length);
            basis.push(v);
        }
        let pair = |vector: Vec<f64>| {
            let mut image = matrix.product(&vector).unwrap();
            let value = vector::dot(&image, &vector);
            vector::add_scaled(&mut image, -value, &vector);
            Eigenpair { value, residual: vector::norm(&image), vector }
        };
        basis.into_iter().map(pair).collect()
    }

    fn matrix(n: usize) -> DenseOperator {
        let stream = Stream::new(5, "matrix");
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * n + i.min(j)) as u64);
        DenseOperator::new((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()).unwrap()
    }

    #[test]
    fn intervals_cover_the_trace() {
        let matrix = matrix(30);
        let exact: f64 = (0..30).map(|i| matrix.rows()[i][i]).sum();
        let frobenius: f64 = matrix.rows().iter().flatten().map(|x| x * x).sum();
        let executor = Executor::new(1);
        let known = nearly_known(&matrix, 12, 0.05);
        let mut errors = [0.0; 2];
        for (case, known) in [&[][..], &known].into_iter().enumerate() {
            let (mut trace, mut norm) = (0, 0);
            for seed in 0..200 {
                let ctx = Context::new(&executor, seed);
                let found = hutchinson(&ctx, &matrix, known, &probes(30)).unwrap();
                trace += usize::from(found.trace.interval(0.9).unwrap().contains(exact));
                let interval = found.frobenius_squared.interval(0.9).unwrap();
                norm += usize::from(interval.contains(frobenius));
                errors[case] += found.trace.standard_error / 200.0;
            }
            // 180 expected; four binomial standard deviations are 17. Squares are skewed.
            assert!((163..=197).contains(&trace), "{case}: {trace}");
            assert!((155..=197).contains(&norm), "{case}: {norm}");
        }
        assert!(errors[1] < 0.5 * errors[0], "{errors:?}");
    }

    #[test]
    fn probes_are_taken_until_the_error_is_small() {
        let rows = matrix(30).rows().to_vec();
        // A trace that is large beside its error.
        let raised = |(i, row): (usize, &Vec<f64>)| {
            let lift = |(j, x): (usize, &f64)| if i == j { x + 10.0 } else { *x };
            row.iter().enumerate().map(lift).collect()
        };
        let raised = DenseOperator::new(rows.iter().enumerate().map(raised).collect()).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let found = |tolerance: f64| {
            let config = HutchinsonConfig { probes: 100, tolerance };
            hutchinson(&ctx, &raised, &[], &config).unwrap().trace
        };
        assert_eq!(found(0.0).samples, 100);
        assert_eq!(found(0.2).samples, 8);
        let some = found(0.02);
        assert!(some.samples > 8 && some.samples < 100, "{some:?}");
        assert!(some.standard_error <= 0.02 * some.value);
        assert_eq!(found(1e-6).samples, 100);
    }

    #[test]
    fn what_is_known_whole_has_no_error() {
        let matrix = matrix(6);
        let known = nearly_known(&matrix, 6, 0.0);
        let executor = Executor::new(1);
        let found = hutchinson(&Context::new(&executor, 0), &matrix, &known, &probes(4)).unwrap();
        let exact: f64 = (0..6).map(|i| matrix.rows()[i][i]).sum();
        assert!((found.trace.value - exact).abs() < 1e-12);
        assert!(found.trace.standard_error < 1e-12);
        let short = Eigenpair { value: 1.0, residual: 0.0, vector: vec![1.0; 5] };
        let ctx = Context::new(&executor, 0);
        assert!(hutchinson(&ctx, &matrix, &[short], &probes(4)).is_err());
    }

    #[test]
    fn the_trace_of_a_diagonal_matrix_is_exact() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, -3.0]];
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let operator = DenseOperator::new(rows).unwrap();
        let found = hutchinson(&ctx, &operator, &[], &probes(20)).unwrap();
        assert_eq!((found.trace.value, found.trace.standard_error), (-2.0, 0.0));
        assert_eq!(found.trace.samples, 20);
        assert_eq!(found.frobenius_squared.value, 10.0);
    }
}
