//! How much of the curvature at its centre a plane holds.

use super::plane::Plane;
use crate::common::{LinearOperator, vector};
use crate::curvature::{Eigenpair, HutchinsonConfig, hutchinson};
use crate::{Context, MethodError};
use thalweg_stats::Estimate;

/// Directions whose angle has a smaller sine are one: what is left of the second is rounding, of
/// weights in `f32` some 1e-7 of its length.
const PARALLEL: f64 = 1e-6;

/// A symmetric operator `H`, as the Hessian at the centre, seen from a line or plane with the
/// orthonormal basis `U`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaneCurvature {
    /// `|U^T H U|_F^2`: the squared Frobenius norm of the operator on the plane.
    pub shown: f64,
    /// The vectors `u` of the basis, with the Rayleigh quotients `u^T H u` as values and
    /// `|H u - (u^T H u) u|` as residuals.
    pub basis: Vec<Eigenpair>,
}

/// An operator seen from the directions of a plane, which need be neither unit nor at right angles:
/// a product with it for each. None of directions without length.
///
/// # Errors
/// Directions of another length than the operator's; a product that is not finite; those of the
/// operator.
pub fn plane_curvature(
    operator: &dyn LinearOperator,
    plane: &Plane,
) -> Result<Option<PlaneCurvature>, MethodError> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for direction in std::iter::once(&plane.x).chain(&plane.y) {
        let mut u = direction.flatten();
        let whole = vector::norm(&u);
        vector::orthogonalize(&mut u, &basis, &mut vec![0.0; basis.len()]);
        let left = vector::norm(&u);
        if left > PARALLEL * whole {
            vector::scale(&mut u, 1.0 / left);
            basis.push(u);
        }
    }
    if basis.is_empty() {
        return Ok(None);
    }
    let products = operator.apply(&basis)?;
    if let Some(value) = products.iter().flatten().find(|x| !x.is_finite()) {
        let what = format!("an element of a product with the {}", operator.name());
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let entry = |i: usize, j: usize| vector::dot(&basis[i], &products[j]);
    let mut shown = 0.0;
    for i in 0..basis.len() {
        for j in 0..basis.len() {
            // Products are symmetric to rounding only.
            shown += (0.5 * (entry(i, j) + entry(j, i))).powi(2);
        }
    }
    let values: Vec<f64> = (0..basis.len()).map(|i| entry(i, i)).collect();
    let pair = |((vector, mut product), value): ((Vec<f64>, Vec<f64>), f64)| {
        vector::add_scaled(&mut product, -value, &vector);
        Eigenpair { value, residual: vector::norm(&product), vector }
    };
    let basis = basis.into_iter().zip(products).zip(values).map(pair).collect();
    Ok(Some(PlaneCurvature { shown, basis }))
}

impl PlaneCurvature {
    /// The squared Frobenius norm of the whole operator: exact on the plane, by
    /// [`hutchinson()`]'s probes outside of it, `sum of |H u|^2 + E[|H (I - U U^T) z|^2]`.
    ///
    /// # Errors
    /// As [`hutchinson()`].
    pub fn frobenius_squared(
        &self,
        ctx: &Context<'_>,
        operator: &dyn LinearOperator,
        probes: usize,
    ) -> Result<Estimate, MethodError> {
        let config = HutchinsonConfig { probes, tolerance: 0.0 };
        Ok(hutchinson(ctx, operator, &self.basis, &config)?.frobenius_squared)
    }

    /// The share of the curvature that the plane holds, `|U^T H U|_F^2 / |H|_F^2`, from 0 to 1, where
    /// the squared norm of the whole is known or estimated. None where that is zero.
    ///
    /// `U U^T H U U^T` is the orthogonal projection of `H` onto the matrices that live on the plane,
    /// and `U^T H U` the Hessian of what the picture shows, at its centre in lengths of weight space:
    /// so it is to the curvature what the share of squared distances is to a trajectory, and does
    /// not depend on how the directions are scaled. `|H U|_F^2 / |H|_F^2` would be a share too, but it
    /// also counts how the plane's directions are coupled with those outside, `(I - U U^T) H U`, of
    /// which nothing is in the picture. Of a random plane in `n` dimensions it is `2 / n` on average,
    /// the share on the plane about `(6 + 2 (tr H)^2 / |H|_F^2) / n^2`. On eigenvectors both are the sum
    /// of the two squared eigenvalues over that of all.
    ///
    /// The standard error is that of the norm's estimate, by the delta method. The norm is
    /// `|H U|_F^2` at least, and an estimate below that, as one from probes that do not know the
    /// plane may be, is raised to it.
    pub fn share(&self, frobenius_squared: Estimate) -> Option<Estimate> {
        let square = |pair: &Eigenpair| pair.value.powi(2) + pair.residual.powi(2);
        let least: f64 = self.basis.iter().map(square).sum();
        let whole = frobenius_squared.value.max(least);
        let standard_error = self.shown * frobenius_squared.standard_error / (whole * whole);
        // Above one by rounding only.
        let value = (self.shown / whole).min(1.0);
        (whole > 0.0).then_some(Estimate { value, standard_error, ..frobenius_squared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{DenseOperator, symmetric_eigen};
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Parameters;

    const PROBES: usize = 14;

    fn direction(values: &[f64]) -> Parameters {
        Parameters::new(vec![("w".into(), Array::vector(values))]).unwrap()
    }

    fn plane(x: &[f64], y: &[f64]) -> Plane {
        Plane { x: direction(x), y: Some(direction(y)) }
    }

    fn random(name: &str, n: usize) -> Vec<f64> {
        let stream = Stream::new(4, name);
        (0..n as u64).map(|i| stream.normal(i)).collect()
    }

    /// A sum of squares along random directions, `weights` times each.
    fn squares(n: usize, weights: &[f64]) -> DenseOperator {
        let mut rows = vec![vec![0.0; n]; n];
        for (k, weight) in weights.iter().enumerate() {
            let v = random(&format!("square {k}"), n);
            for (row, x) in rows.iter_mut().zip(&v) {
                vector::add_scaled(row, weight * x / n as f64, &v);
            }
        }
        DenseOperator::new(rows).unwrap()
    }

    fn frobenius_squared(matrix: &DenseOperator) -> f64 {
        matrix.rows().iter().map(|row| vector::dot(row, row)).sum()
    }

    fn share(matrix: &DenseOperator, plane: &Plane, seed: u64) -> Estimate {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, seed);
        let seen = plane_curvature(matrix, plane).unwrap().unwrap();
        let whole = seen.frobenius_squared(&ctx, matrix, PROBES).unwrap();
        seen.share(whole).unwrap()
    }

    #[test]
    fn the_eigenvectors_of_a_matrix_of_rank_two_hold_all_of_it() {
        let matrix = squares(30, &[3.0, -1.0]);
        let eigen = symmetric_eigen(matrix.rows());
        // In other lengths, and askew.
        let mut askew = eigen.vectors[0].clone();
        vector::scale(&mut askew, 5.0);
        vector::add_scaled(&mut askew, 2.0, &eigen.vectors[29]);
        let found = share(&matrix, &plane(&eigen.vectors[29], &askew), 0);
        assert!((found.value - 1.0).abs() < 1e-12 && found.standard_error < 1e-12, "{found:?}");
        // One of the two holds its own square.
        let line = Plane { x: direction(&eigen.vectors[29]), y: None };
        let squares = [eigen.values[0].powi(2), eigen.values[29].powi(2)];
        let expected = squares[1] / (squares[0] + squares[1]);
        let found = share(&matrix, &line, 0);
        assert!((found.value - expected).abs() < 4.0 * found.standard_error, "{found:?}");
    }

    #[test]
    fn a_share_is_of_the_plane_and_not_of_what_it_is_coupled_with() {
        // H maps each direction of the plane out of it.
        let mut rows = vec![vec![0.0; 4]; 4];
        for (i, j) in [(0, 2), (1, 3)] {
            (rows[i][j], rows[j][i]) = (1.0, 1.0);
        }
        let matrix = DenseOperator::new(rows).unwrap();
        let units = |i: usize, j: usize| {
            let unit = |k: usize| (0..4).map(|at| f64::from(u8::from(at == k))).collect::<Vec<_>>();
            plane(&unit(i), &unit(j))
        };
        assert_eq!(share(&matrix, &units(0, 1), 0).value, 0.0);
        // Half of the four entries: the two of the pair that it holds.
        let found = share(&matrix, &units(0, 2), 0);
        assert_eq!((found.value, found.standard_error), (0.5, 0.0));
    }

    #[test]
    fn bars_cover_the_share_of_the_explicit_matrix() {
        let n = 40;
        // Few large eigenvalues over a bulk, as networks have them.
        let weights: Vec<f64> = (0..n).map(|k| 10.0 / (1.0 + k as f64).powf(1.5)).collect();
        let matrix = squares(n, &weights);
        let eigen = symmetric_eigen(matrix.rows());
        let mut near = eigen.vectors[n - 1].clone();
        vector::add_scaled(&mut near, 0.1, &random("noise", n));
        let planes = [
            ("random", plane(&random("x", n), &random("y", n))),
            ("one eigenvector", plane(&near, &random("y", n))),
            ("the second and third", plane(&eigen.vectors[n - 2], &eigen.vectors[n - 3])),
        ];
        for (name, plane) in planes {
            let seen = plane_curvature(&matrix, &plane).unwrap().unwrap();
            let exact = seen.shown / frobenius_squared(&matrix);
            let covered = |seed: &u64| {
                let found = share(&matrix, &plane, *seed);
                found.interval(0.95).unwrap().contains(exact)
            };
            let count = (0..200).filter(covered).count();
            assert!((180..=198).contains(&count), "{name}: {count} of 200, {exact}");
        }
    }

    /// `E |U^T H U|_F^2 = a (tr H)^2 + b |H|_F^2` over random planes: a matrix of a single one on its
    /// diagonal gives `a + b`, the identity `n^2 a + n b = 2`.
    #[test]
    fn random_planes_hold_on_average_what_they_must() {
        let n = 12;
        let matrix = squares(n, &[2.0, 1.0, -0.5, 0.25]);
        let trace: f64 = (0..n).map(|i| matrix.rows()[i][i]).sum();
        let size = n as f64;
        let a = 2.0 * (size - 2.0) / (size * (size - 1.0) * (size + 2.0));
        let b = 8.0 / (size * (size + 2.0)) - a;
        let expected = a * trace * trace + b * frobenius_squared(&matrix);
        let shown = |draw: usize| {
            let [x, y] = ["x", "y"].map(|axis| random(&format!("{axis} {draw}"), n));
            plane_curvature(&matrix, &plane(&x, &y)).unwrap().unwrap().shown
        };
        let mean = Estimate::mean(&(0..2000).map(shown).collect::<Vec<_>>()).unwrap();
        assert!((mean.value - expected).abs() < 3.5 * mean.standard_error, "{mean:?} {expected}");
        assert!(mean.standard_error < 0.1 * expected);
    }

    #[test]
    fn directions_that_span_less_or_nothing() {
        let matrix = squares(8, &[1.0, 2.0]);
        let x = random("x", 8);
        // Parallel to the rounding of single precision.
        let along: Vec<f64> = x.iter().map(|v| f64::from((-3.0 * v) as f32)).collect();
        let line = plane_curvature(&matrix, &Plane { x: direction(&x), y: None }).unwrap();
        let both = plane_curvature(&matrix, &plane(&x, &along)).unwrap();
        assert_eq!(line, both);
        let nothing = Plane { x: direction(&[0.0; 8]), y: None };
        assert_eq!(plane_curvature(&matrix, &nothing).unwrap(), None);
        let flat = DenseOperator::new(vec![vec![0.0; 8]; 8]).unwrap();
        let seen = plane_curvature(&flat, &plane(&x, &random("y", 8))).unwrap().unwrap();
        let none = Estimate { value: 0.0, standard_error: 0.0, samples: PROBES };
        assert_eq!(seen.share(none), None);
        let broken = DenseOperator::new(vec![vec![f64::NAN; 8]; 8]).unwrap();
        let found = plane_curvature(&broken, &plane(&x, &along));
        assert!(matches!(found, Err(MethodError::NotFinite { .. })), "{found:?}");
        let short = Plane { x: direction(&[1.0; 5]), y: None };
        assert!(plane_curvature(&matrix, &short).is_err());
    }

    #[test]
    fn an_estimate_below_what_the_plane_has_is_raised_to_it() {
        let matrix = DenseOperator::new(vec![vec![2.0, 0.0], vec![0.0, 0.0]]).unwrap();
        let line = Plane { x: direction(&[1.0, 0.0]), y: None };
        let seen = plane_curvature(&matrix, &line).unwrap().unwrap();
        let low = Estimate { value: 3.0, standard_error: 1.0, samples: 8 };
        let found = seen.share(low).unwrap();
        assert_eq!((found.value, found.standard_error), (1.0, 0.25));
    }
}
