//! Eigenvalues of small symmetric matrices.
//!
//! Written out here, because its bits then depend neither on threads nor on the instruction set;
//! the matrices are projections of at most a few hundred rows.

use super::vector;

/// Eigenvalues of a symmetric matrix, ascending, with orthonormal eigenvectors.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricEigen {
    /// The eigenvalues, ascending.
    pub values: Vec<f64>,
    /// `vectors[i]` belongs to `values[i]`.
    pub vectors: Vec<Vec<f64>>,
}

/// All eigenpairs of a symmetric matrix given by rows, by cyclic Jacobi rotations.
///
/// An entry that is not finite gives eigenvalues that are NaN.
///
/// # Shapes    n rows of n; the lower triangle is read
/// # Source    Golub and Van Loan, Matrix computations, section 8.5
///
/// # Example
/// ```
/// use thalweg_methods::common::symmetric_eigen;
/// let eigen = symmetric_eigen(&[vec![2.0, 1.0], vec![1.0, 2.0]]);
/// assert!((eigen.values[0] - 1.0).abs() < 1e-15 && (eigen.values[1] - 3.0).abs() < 1e-15);
/// ```
pub fn symmetric_eigen(matrix: &[Vec<f64>]) -> SymmetricEigen {
    let n = matrix.len();
    let mut a: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| matrix[i.max(j)][i.min(j)]).collect()).collect();
    // Rows of `v` are the eigenvectors.
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    if a.iter().flatten().any(|entry| !entry.is_finite()) {
        return SymmetricEigen { values: vec![f64::NAN; n], vectors: v };
    }
    // Convergence is quadratic; ten sweeps are usual.
    for _ in 0..60 {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                // An entry that rounding hides beside its diagonal has no effect any more.
                let small = f64::EPSILON * 0.25 * (a[p][p].abs() * a[q][q].abs()).sqrt();
                if a[p][q] == 0.0 || a[p][q].abs() <= small {
                    continue;
                }
                rotated = true;
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                let rotate = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
                for k in 0..n {
                    (a[k][p], a[k][q]) = rotate(a[k][p], a[k][q]);
                }
                let (head, tail) = a.split_at_mut(q);
                for (x, y) in head[p].iter_mut().zip(tail[0].iter_mut()) {
                    (*x, *y) = rotate(*x, *y);
                }
                (a[p][q], a[q][p]) = (0.0, 0.0);
                let (head, tail) = v.split_at_mut(q);
                for (x, y) in head[p].iter_mut().zip(tail[0].iter_mut()) {
                    (*x, *y) = rotate(*x, *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i][i].total_cmp(&a[j][j]));
    let values = order.iter().map(|&i| a[i][i]).collect();
    let vectors = order
        .iter()
        .map(|&i| {
            let mut vector = std::mem::take(&mut v[i]);
            let length = vector::norm(&vector);
            vector::scale(&mut vector, 1.0 / length);
            vector
        })
        .collect();
    SymmetricEigen { values, vectors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    #[test]
    fn pairs_satisfy_the_equation() {
        let stream = Stream::new(0, "matrix");
        let n = 40;
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * n + i.min(j)) as u64);
        let matrix: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let eigen = symmetric_eigen(&matrix);
        assert!(eigen.values.is_sorted());
        for (i, (value, x)) in eigen.values.iter().zip(&eigen.vectors).enumerate() {
            for (row, x_i) in matrix.iter().zip(x) {
                assert!((vector::dot(row, x) - value * x_i).abs() < 1e-12);
            }
            for (j, y) in eigen.vectors.iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((vector::dot(x, y) - expected).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn known_spectra() {
        // Second differences: 2 - 2 cos(k pi / (n + 1)).
        let n = 12;
        let matrix: Vec<Vec<f64>> = (0..n)
            .map(|i: usize| (0..n).map(|j| [2.0, -1.0, 0.0][i.abs_diff(j).min(2)]).collect())
            .collect();
        for (k, value) in symmetric_eigen(&matrix).values.iter().enumerate() {
            let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
        assert_eq!(symmetric_eigen(&vec![vec![0.0; 3]; 3]).values, [0.0; 3]);
        assert!(symmetric_eigen(&[vec![f64::NAN]]).values[0].is_nan());
        assert!(symmetric_eigen(&[]).values.is_empty());
    }
}
