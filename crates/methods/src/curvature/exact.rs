//! What an operator's every column says: for small models.

use crate::common::{DenseOperator, LinearOperator, vector};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_stats::pairwise_sum;

/// Columns in a unit of work.
const BLOCK: usize = 64;

/// Sums over a whole spectrum, from every column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExactSpectrum {
    /// The sum of the eigenvalues.
    pub trace: f64,
    /// The sum of their squares.
    pub frobenius_squared: f64,
}

/// Trace and squared Frobenius norm without sampling: one product for each dimension.
///
/// `tr H = sum over i of e_i^T H e_i`, `|H|_F^2 = sum over i of |H e_i|^2`
///
/// # Errors
/// Those of the operator and of the store.
pub fn exact_moments(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
) -> Result<ExactSpectrum, MethodError> {
    let n = operator.dimension();
    ctx.progress().start("exact trace", n as u64);
    let (mut diagonal, mut squares) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for first in (0..n).step_by(BLOCK) {
        let last = (first + BLOCK).min(n);
        let key = format!("exact/{first}-{last}");
        let arrays = ctx.unit(&key, || {
            let columns = operator.apply(&units(first, last, n))?;
            let diagonal: Vec<f64> =
                columns.iter().enumerate().map(|(i, column)| column[first + i]).collect();
            let squares: Vec<f64> = columns.iter().map(|c| vector::dot(c, c)).collect();
            Ok(vec![
                ("diagonal".into(), Array::vector(&diagonal)),
                ("squares".into(), Array::vector(&squares)),
            ])
        })?;
        diagonal.extend_from_slice(stored(&key, &arrays, "diagonal", last - first)?);
        squares.extend_from_slice(stored(&key, &arrays, "squares", last - first)?);
        ctx.progress().advance((last - first) as u64);
    }
    Ok(ExactSpectrum { trace: pairwise_sum(&diagonal), frobenius_squared: pairwise_sum(&squares) })
}

/// The whole matrix, made symmetric by averaging it with its transpose.
///
/// # Errors
/// Those of the operator; more entries than the context's memory holds.
pub fn dense(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
) -> Result<DenseOperator, MethodError> {
    let n = operator.dimension();
    let needed = n.saturating_mul(n).saturating_mul(16);
    if needed > ctx.memory() {
        let what = format!("a dense {} of {n} rows", operator.name());
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let mut columns = Vec::with_capacity(n);
    for first in (0..n).step_by(BLOCK) {
        columns.extend(operator.apply(&units(first, (first + BLOCK).min(n), n))?);
    }
    let entry = |i: usize, j: usize| 0.5 * (columns[i][j] + columns[j][i]);
    DenseOperator::new((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect())
}

fn units(first: usize, last: usize, n: usize) -> Vec<Vec<f64>> {
    (first..last)
        .map(|i| {
            let mut unit = vec![0.0; n];
            unit[i] = 1.0;
            unit
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;

    #[test]
    fn moments_are_those_of_the_matrix() {
        let rows = vec![vec![1.0, 2.0, 0.0], vec![2.0, -1.5, 4.0], vec![0.0, 4.0, 3.0]];
        let operator = DenseOperator::new(rows.clone()).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let found = exact_moments(&ctx, &operator).unwrap();
        assert_eq!((found.trace, found.frobenius_squared), (2.5, 52.25));
        assert_eq!(dense(&ctx, &operator).unwrap().rows(), rows);
        assert!(dense(&ctx.with_memory(8), &operator).is_err());
    }
}
