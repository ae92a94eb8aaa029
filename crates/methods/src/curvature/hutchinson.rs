//! Hutchinson's estimate of the trace.

use crate::common::{LinearOperator, Objective, vector};
use crate::error::stored;
use crate::registry::Instrument;
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// Probes in a unit of work.
const BLOCK: usize = 8;

/// How many probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HutchinsonConfig {
    /// Number of random vectors; at least two, for a standard error.
    pub probes: usize,
}

impl Default for HutchinsonConfig {
    fn default() -> HutchinsonConfig {
        HutchinsonConfig { probes: 32 }
    }
}

/// What [`hutchinson`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEstimate {
    /// The trace.
    pub trace: Estimate,
    /// The squared Frobenius norm: the sum of squared eigenvalues.
    pub frobenius_squared: Estimate,
}

/// Trace and squared Frobenius norm of a symmetric operator from random vectors of signs.
///
/// `tr H = E[z^T H z]`, `|H|_F^2 = E[|H z|^2]` over `z` uniform on `{-1, 1}^n`. The variance of one
/// term of the trace is `2 (|H|_F^2 - sum over i of H_ii^2)`: a diagonal matrix is exact.
///
/// # Errors
/// Fewer than two probes; a product that is not finite.
/// # Source    Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990
pub fn hutchinson(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &HutchinsonConfig,
) -> Result<TraceEstimate, MethodError> {
    check(config)?;
    let n = operator.dimension();
    let stream = ctx.stream("hutchinson");
    ctx.progress().start("trace", config.probes as u64);
    let (mut forms, mut squares) = (Vec::new(), Vec::new());
    for first in (0..config.probes).step_by(BLOCK) {
        let last = (first + BLOCK).min(config.probes);
        let key = format!("hutchinson/{first}-{last}");
        let arrays = ctx.unit(&key, || {
            let probes: Vec<Vec<f64>> =
                (first..last).map(|probe| signs(&stream.at(probe as u64), n)).collect();
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
    }
    Ok(TraceEstimate {
        trace: Estimate::mean(&forms)?,
        frobenius_squared: Estimate::mean(&squares)?,
    })
}

fn check(config: &HutchinsonConfig) -> Result<(), MethodError> {
    match config.probes {
        0 | 1 => Err(MethodError::config("number of probes", "at least 2", config.probes)),
        _ => Ok(()),
    }
}

/// A vector of random signs, one bit each.
pub(crate) fn signs(stream: &Stream, n: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(n);
    for block in 0..n.div_ceil(64) {
        let bits = stream.u64(block as u64);
        let take = (n - 64 * block).min(64);
        out.extend((0..take).map(|bit| if bits >> bit & 1 == 1 { 1.0 } else { -1.0 }));
    }
    out
}

/// [`hutchinson`] on the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct Hutchinson;

impl Instrument for Hutchinson {
    const ID: &'static str = "hutchinson";
    const SUMMARY: &'static str = "trace and squared Frobenius norm of the Hessian";
    const SOURCE: &'static str = "Hutchinson 1990";
    type Config = HutchinsonConfig;
    type Reading = TraceEstimate;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &HutchinsonConfig,
    ) -> Result<TraceEstimate, MethodError> {
        check(config)?;
        hutchinson(ctx, &super::Hessian::new(ctx, objective, point)?, config)
    }

    fn refused() -> Vec<HutchinsonConfig> {
        vec![HutchinsonConfig { probes: 0 }, HutchinsonConfig { probes: 1 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::DenseOperator;
    use thalweg_exec::Executor;

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
        let (mut trace, mut norm) = (0, 0);
        for seed in 0..200 {
            let ctx = Context::new(&executor, seed);
            let found = hutchinson(&ctx, &matrix, &HutchinsonConfig { probes: 30 }).unwrap();
            trace += usize::from(found.trace.interval(0.9).unwrap().contains(exact));
            let interval = found.frobenius_squared.interval(0.9).unwrap();
            norm += usize::from(interval.contains(frobenius));
        }
        // 180 expected; four binomial standard deviations are 17. Squares are skewed.
        assert!((163..=197).contains(&trace), "{trace}");
        assert!((155..=197).contains(&norm), "{norm}");
    }

    #[test]
    fn the_trace_of_a_diagonal_matrix_is_exact() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, -3.0]];
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let operator = DenseOperator::new(rows).unwrap();
        let found = hutchinson(&ctx, &operator, &HutchinsonConfig { probes: 20 }).unwrap();
        assert_eq!((found.trace.value, found.trace.standard_error), (-2.0, 0.0));
        assert_eq!(found.trace.samples, 20);
        assert_eq!(found.frobenius_squared.value, 10.0);
    }

    #[test]
    fn signs_are_balanced() {
        let z = signs(&Stream::new(0, "signs"), 10_001);
        assert_eq!(z.len(), 10_001);
        assert!(z.iter().all(|x| x.abs() == 1.0));
        assert!(z.iter().sum::<f64>().abs() < 400.0);
    }
}
