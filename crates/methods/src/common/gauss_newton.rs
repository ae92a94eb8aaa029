//! Zeros of systems of tens of equations.

use super::vector::dot;
use thalweg_stats::{Damping, Descent, Squares, damped_descent};

/// When [`gauss_newton`] stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussNewtonConfig {
    /// Sum of squares that counts as zero.
    pub tolerance: f64,
    /// Steps at most.
    pub max_steps: usize,
}

impl Default for GaussNewtonConfig {
    fn default() -> GaussNewtonConfig {
        GaussNewtonConfig { tolerance: 1e-22, max_steps: 120 }
    }
}

/// Where [`gauss_newton`] ended.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussNewtonEnd {
    /// The point.
    pub point: Vec<f64>,
    /// The sum of squares there.
    pub value: f64,
    /// Steps taken.
    pub steps: usize,
    /// Whether the sum counts as zero.
    pub converged: bool,
}

/// Steps that are tried from one point: from the least damping to one that leaves no step.
const TRIALS: usize = 24;
const DAMPING: Damping = Damping { first: 1e-2, rise: 5.0, least: 1e-14 };

/// Minimises a sum of squares by steps `-(J^T J + d)^-1 J^T r`, whose damping `d` falls with every step
/// that improves the sum and rises until one does. Where none does, it stops, not converged.
///
/// `jacobian` gives columns: the derivative of all residuals by each coordinate. It is asked for at
/// points that steps were taken to, and not at those that were tried.
///
/// # Source    as [`damped_descent`]
pub fn gauss_newton(
    start: &[f64],
    config: &GaussNewtonConfig,
    residuals: impl Fn(&[f64]) -> Vec<f64>,
    jacobian: impl Fn(&[f64]) -> Vec<Vec<f64>>,
) -> GaussNewtonEnd {
    let at = |point: &[f64]| {
        let residuals = residuals(point);
        let sum = dot(&residuals, &residuals);
        Columns { point: point.to_vec(), residuals, sum, jacobian: &jacobian, equations: None }
    };
    let ends = |descent: &Descent| {
        let zero = descent.sum.is_nan() || descent.sum <= config.tolerance;
        zero || descent.steps == config.max_steps || descent.failed == TRIALS
    };
    let (point, _, descent) = damped_descent(start, at(start), DAMPING, at, ends);
    let Descent { sum: value, steps, .. } = descent;
    GaussNewtonEnd { point, value, steps, converged: value <= config.tolerance }
}

/// Residuals at a point, and what their derivatives are.
struct Columns<'j, J> {
    point: Vec<f64>,
    residuals: Vec<f64>,
    sum: f64,
    jacobian: &'j J,
    /// `J^T J` and `J^T r`, once they were asked for.
    equations: Option<(Vec<Vec<f64>>, Vec<f64>)>,
}

impl<J: Fn(&[f64]) -> Vec<Vec<f64>>> Squares for Columns<'_, J> {
    fn sum(&self) -> f64 {
        self.sum
    }

    fn step(&mut self, damping: f64) -> Option<Vec<f64>> {
        let (gram, slope) = self.equations.get_or_insert_with(|| {
            let columns = (self.jacobian)(&self.point);
            let products = |a: &Vec<f64>| columns.iter().map(|b| dot(a, b)).collect();
            let slope = columns.iter().map(|a| dot(a, &self.residuals)).collect();
            (columns.iter().map(products).collect(), slope)
        });
        solve_damped(gram, slope, damping)
    }
}

/// `(A + d)^-1 b` by Cholesky's factorisation; none where rounding leaves no factor.
fn solve_damped(a: &[Vec<f64>], b: &[f64], damping: f64) -> Option<Vec<f64>> {
    let n = b.len();
    let mut lower = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let sum = a[i][j] - dot(&lower[i][..j], &lower[j][..j]);
            if i == j {
                let diagonal = sum + damping;
                if diagonal.is_nan() || diagonal <= 0.0 {
                    return None;
                }
                lower[i][i] = diagonal.sqrt();
            } else {
                lower[i][j] = sum / lower[j][j];
            }
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        x[i] = (x[i] - dot(&lower[i][..i], &x[..i])) / lower[i][i];
    }
    for i in (0..n).rev() {
        let above: f64 = (i + 1..n).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (x[i] - above) / lower[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_system_is_solved() {
        let a = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -1.0], vec![0.5, -1.0, 5.0]];
        let x = solve_damped(&a, &[1.0, 2.0, 3.0], 0.25).unwrap();
        for (i, expected) in [1.0, 2.0, 3.0].into_iter().enumerate() {
            assert!((dot(&a[i], &x) + 0.25 * x[i] - expected).abs() < 1e-14);
        }
        assert!(solve_damped(&[vec![-1.0]], &[1.0], 0.5).is_none());
    }

    #[test]
    fn circle_and_hyperbola_meet() {
        // x^2 + y^2 = 5, x y = 2: (2, 1) and its three mirror images.
        let residuals = |w: &[f64]| vec![w[0] * w[0] + w[1] * w[1] - 5.0, w[0] * w[1] - 2.0];
        let jacobian = |w: &[f64]| vec![vec![2.0 * w[0], w[1]], vec![2.0 * w[1], w[0]]];
        let config = GaussNewtonConfig::default();
        let found = gauss_newton(&[3.0, 0.2], &config, residuals, jacobian);
        assert!(found.converged && found.steps < 20);
        assert!((found.point[0] - 2.0).abs() < 1e-9 && (found.point[1] - 1.0).abs() < 1e-9);
        // No zero: x^2 + 1.
        let none =
            gauss_newton(&[0.7], &config, |w| vec![w[0] * w[0] + 1.0], |w| vec![vec![2.0 * w[0]]]);
        assert!(!none.converged && (none.value - 1.0).abs() < 1e-6);
    }
}
