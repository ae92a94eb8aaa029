//! Non-linear least squares.

use crate::{Damping, Descent, Squares, StatsError, damped_descent};

/// Where [`least_squares`] ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LeastSquares {
    /// The parameters.
    pub parameters: Vec<f64>,
    /// Their covariance, `s^2 (J^T J)^-1` with `s^2 = residual / (n - p)`, by rows; NaN where there
    /// are no more residuals than parameters, or a direction changes nothing.
    pub covariance: Vec<Vec<f64>>,
    /// The sum of squared residuals.
    pub residual: f64,
    /// Whether no step made it smaller, and not the number of steps ended it.
    pub converged: bool,
}

impl LeastSquares {
    /// The standard error of a parameter.
    pub fn standard_error(&self, parameter: usize) -> f64 {
        self.covariance.get(parameter).map_or(f64::NAN, |row| row[parameter].sqrt())
    }
}

/// Steps that are tried, at most.
const STEPS: usize = 500;
/// Damping beyond which no step changes anything.
const MOST: f64 = 1e12;
const DAMPING: Damping = Damping { first: 1e-3, rise: 4.0, least: 1e-15 };

/// The parameters at which `sum r_i^2` is smallest near a start, by the method of Levenberg and
/// Marquardt: damping is a share of the diagonal of `J^T J`.
///
/// `of` gives the residuals and their derivatives, `jacobian[i][k] = d r_i / d parameter_k`. A
/// residual that is not finite counts as a step that went too far.
///
/// # Errors
/// No parameters or residuals; derivatives of another number; residuals at the start that are not
/// finite.
/// # Source    Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963
///
/// # Example
/// ```
/// // y = exp(a x), a = 0.5, through two exact points.
/// let points = [(1.0f64, 0.5f64.exp()), (2.0, 1f64.exp())];
/// let found = thalweg_stats::least_squares(&[0.1], |p| {
///     let value = |x: f64| (p[0] * x).exp();
///     let residuals = points.iter().map(|(x, y)| value(*x) - y).collect();
///     (residuals, points.iter().map(|(x, _)| vec![x * value(*x)]).collect())
/// })?;
/// assert!((found.parameters[0] - 0.5).abs() < 1e-9);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn least_squares(
    start: &[f64],
    of: impl Fn(&[f64]) -> (Vec<f64>, Vec<Vec<f64>>),
) -> Result<LeastSquares, StatsError> {
    let p = start.len();
    let first = Rows::new(of(start));
    let n = first.residuals.len();
    if p == 0 || n == 0 {
        return Err(StatsError::TooFew { what: "least squares", expected: 1, got: p.min(n) });
    }
    if first.jacobian.len() != n || first.jacobian.iter().any(|row| row.len() != p) {
        return Err(StatsError::Unpaired { first: n * p, second: first.jacobian.concat().len() });
    }
    crate::error::check_finite(&first.residuals)?;
    let flat = |descent: &Descent| descent.gained <= 1e-14 * descent.sum || descent.damping > MOST;
    let at = |point: &[f64]| Rows::new(of(point));
    let ends = |descent: &Descent| descent.tried == STEPS || flat(descent);
    let (parameters, end, descent) = damped_descent(start, first, DAMPING, at, ends);
    let (normal, _) = normal_equations(&end.jacobian, &end.residuals);
    let scale = match n > p {
        true => descent.sum / (n - p) as f64,
        false => f64::NAN,
    };
    let unit = |k: usize| (0..p).map(|i| f64::from(u8::from(i == k))).collect::<Vec<_>>();
    let column = |k: usize| solve(&normal, &unit(k)).unwrap_or_else(|| vec![f64::NAN; p]);
    let covariance = (0..p).map(|k| column(k).iter().map(|x| x * scale).collect()).collect();
    let (residual, converged) = (descent.sum, flat(&descent));
    Ok(LeastSquares { parameters, covariance, residual, converged })
}

/// Residuals and their derivatives at a point.
struct Rows {
    residuals: Vec<f64>,
    jacobian: Vec<Vec<f64>>,
    sum: f64,
    /// `J^T J` and `J^T r`, once they were asked for.
    equations: Option<(Vec<Vec<f64>>, Vec<f64>)>,
}

impl Rows {
    fn new((residuals, jacobian): (Vec<f64>, Vec<Vec<f64>>)) -> Rows {
        let sum = crate::pairwise_sum(&residuals.iter().map(|r| r * r).collect::<Vec<_>>());
        Rows { residuals, jacobian, sum, equations: None }
    }
}

impl Squares for Rows {
    fn sum(&self) -> f64 {
        self.sum
    }

    fn step(&mut self, damping: f64) -> Option<Vec<f64>> {
        let (normal, slope) =
            self.equations.get_or_insert_with(|| normal_equations(&self.jacobian, &self.residuals));
        let mut damped = normal.clone();
        for (k, row) in damped.iter_mut().enumerate() {
            // A direction that changes nothing is not gone along.
            row[k] += damping * row[k].max(f64::MIN_POSITIVE);
        }
        solve(&damped, slope)
    }
}

/// `J^T J` and `J^T r`.
fn normal_equations(jacobian: &[Vec<f64>], residuals: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let p = jacobian.first().map_or(0, Vec::len);
    let (mut normal, mut slope) = (vec![vec![0.0; p]; p], vec![0.0; p]);
    for (row, r) in jacobian.iter().zip(residuals) {
        for i in 0..p {
            slope[i] += row[i] * r;
            for j in 0..p {
                normal[i][j] += row[i] * row[j];
            }
        }
    }
    (normal, slope)
}

/// `A^-1 b` of a symmetric positive definite matrix by Cholesky's factors, its diagonal scaled to
/// one first; none if it is not definite, to rounding, or not square and as large as `b`.
///
/// # Example
/// ```
/// let x = thalweg_stats::solve_definite(&[vec![2.0, 1.0], vec![1.0, 3.0]], &[3.0, 4.0]);
/// assert!(x.is_some_and(|x| x.iter().all(|x| (x - 1.0).abs() < 1e-12)));
/// assert_eq!(thalweg_stats::solve_definite(&[vec![1.0, 2.0], vec![2.0, 1.0]], &[1.0, 1.0]), None);
/// ```
pub fn solve_definite(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let n = right.len();
    (matrix.len() == n && matrix.iter().all(|row| row.len() == n))
        .then(|| solve(matrix, right))
        .flatten()
}

fn solve(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let p = right.len();
    let scale: Vec<f64> = (0..p).map(|k| matrix[k][k].sqrt()).collect();
    if scale.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        return None;
    }
    let mut factor = vec![vec![0.0; p]; p];
    for i in 0..p {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] / (scale[i] * scale[j]) - known;
            factor[i][j] = match i == j {
                true if rest > 1e-15 => rest.sqrt(),
                true => return None,
                false => rest / factor[j][j],
            };
        }
    }
    let mut x: Vec<f64> = right.iter().zip(&scale).map(|(b, s)| b / s).collect();
    for i in 0..p {
        let known: f64 = (0..i).map(|k| factor[i][k] * x[k]).sum();
        x[i] = (x[i] - known) / factor[i][i];
    }
    for i in (0..p).rev() {
        let known: f64 = (i + 1..p).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - known) / factor[i][i];
    }
    Some(x.iter().zip(&scale).map(|(x, s)| x / s).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_has_the_textbooks_errors() {
        // y = 1 + 2 x with residuals 1, -2, 1 that are orthogonal to line and constant.
        let points = [(0.0, 2.0), (1.0, 1.0), (2.0, 6.0)];
        let found = least_squares(&[0.0, 0.0], |p| {
            let residuals = points.iter().map(|(x, y)| p[0] + p[1] * x - y).collect();
            (residuals, points.iter().map(|(x, _)| vec![1.0, *x]).collect())
        })
        .unwrap();
        assert!(found.converged);
        assert!((found.parameters[0] - 1.0).abs() < 1e-8, "{found:?}");
        assert!((found.parameters[1] - 2.0).abs() < 1e-8);
        // s^2 = 6 / 1; the slope's variance is s^2 over the sum of squares 2.
        assert!((found.standard_error(1) - 3f64.sqrt()).abs() < 1e-6);
        assert!((found.standard_error(0) - (6f64 * 5.0 / 6.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_valley_that_bends_is_followed() {
        // Rosenbrock's function as a sum of two squares.
        let found = least_squares(&[-1.2, 1.0], |p| {
            let residuals = vec![10.0 * (p[1] - p[0] * p[0]), 1.0 - p[0]];
            (residuals, vec![vec![-20.0 * p[0], 10.0], vec![-1.0, 0.0]])
        })
        .unwrap();
        assert!(found.residual < 1e-20, "{found:?}");
        assert!(found.standard_error(0).is_nan(), "as many residuals as parameters");
    }

    #[test]
    fn what_is_no_problem_is_refused() {
        assert!(least_squares(&[], |_| (vec![1.0], vec![vec![]])).is_err());
        assert!(least_squares(&[1.0], |_| (vec![1.0], vec![])).is_err());
        assert!(least_squares(&[1.0], |_| (vec![f64::NAN], vec![vec![1.0]])).is_err());
    }
}
