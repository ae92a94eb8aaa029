//! Eigenvalues of symmetric matrices that are known entry by entry.
//!
//! Written out here, because its bits then depend neither on threads nor on the instruction set;
//! the matrices are projections of at most a few hundred rows, or products of checkpoints.

use super::vector;

/// Eigenvalues of a symmetric matrix, ascending, with orthonormal eigenvectors.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricEigen {
    /// The eigenvalues, ascending.
    pub values: Vec<f64>,
    /// `vectors[i]` belongs to `values[i]`.
    pub vectors: Vec<Vec<f64>>,
}

/// All eigenpairs of a symmetric matrix given by rows: Householder's reduction to three diagonals,
/// then the implicit QL iteration.
///
/// Errors are of the order of rounding times the largest absolute eigenvalue. An entry that is not
/// finite gives eigenvalues that are NaN.
///
/// # Shapes    n rows of n; the lower triangle is read
/// # Source    Golub and Van Loan, Matrix computations, sections 8.3.1 and 8.3.5
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
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let largest = a.iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
    if a.iter().flatten().any(|x| !x.is_finite()) {
        return SymmetricEigen { values: vec![f64::NAN; n], vectors };
    }
    if largest < f64::MIN_POSITIVE {
        return SymmetricEigen { values: vec![0.0; n], vectors };
    }
    // A power of two near the largest entry, so that no square leaves the range of numbers.
    let scale = f64::from_bits(largest.to_bits() & !((1 << 52) - 1));
    a.iter_mut().for_each(|row| row.iter_mut().for_each(|x| *x /= scale));
    let (mut diagonal, mut beside, reflections) = tridiagonal(a);
    if !diagonalize(&mut diagonal, &mut beside, &mut vectors) {
        return SymmetricEigen { values: vec![f64::NAN; n], vectors };
    }
    for vector in &mut vectors {
        for (k, reflection) in reflections.iter().enumerate().rev() {
            reflection.apply(&mut vector[k + 1..]);
        }
        let length = vector::norm(vector);
        vector::scale(vector, 1.0 / length);
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[i].total_cmp(&diagonal[j]));
    let values = order.iter().map(|&i| diagonal[i] * scale).collect();
    let vectors = order.iter().map(|&i| std::mem::take(&mut vectors[i])).collect();
    SymmetricEigen { values, vectors }
}

/// `x -> x - factor v (v^T x)`.
struct Reflection {
    v: Vec<f64>,
    factor: f64,
}

impl Reflection {
    fn apply(&self, x: &mut [f64]) {
        if self.factor != 0.0 {
            vector::add_scaled(x, -self.factor * vector::dot(&self.v, x), &self.v);
        }
    }
}

/// The diagonal, the entries beside it, and the reflections that lead there: reflection `k` acts
/// on what comes after element `k`.
fn tridiagonal(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<f64>, Vec<Reflection>) {
    let n = a.len();
    let (mut beside, mut reflections) = (vec![0.0; n], Vec::with_capacity(n));
    for k in 0..n.saturating_sub(1) {
        // The matrix is symmetric: row `k` is column `k`.
        let mut v = a[k][k + 1..].to_vec();
        let length = vector::norm(&v);
        // The largest entry is near one. What is so small beside it is nothing, and has no square that
        // a reflection could be made of.
        if vector::norm(&v[1..]) < 1e-100 {
            beside[k] = v[0];
            reflections.push(Reflection { v, factor: 0.0 });
            continue;
        }
        beside[k] = if v[0] > 0.0 { -length } else { length };
        v[0] -= beside[k];
        let factor = 2.0 / vector::dot(&v, &v);
        let mut w: Vec<f64> =
            a[k + 1..].iter().map(|row| factor * vector::dot(&row[k + 1..], &v)).collect();
        let along = 0.5 * factor * vector::dot(&w, &v);
        vector::add_scaled(&mut w, -along, &v);
        for (i, row) in a[k + 1..].iter_mut().enumerate() {
            let row = &mut row[k + 1..];
            for ((x, &v_j), &w_j) in row.iter_mut().zip(&v).zip(&w) {
                *x -= v[i] * w_j + w[i] * v_j;
            }
        }
        reflections.push(Reflection { v, factor });
    }
    ((0..n).map(|i| a[i][i]).collect(), beside, reflections)
}

/// Turns three diagonals into one; rows of `vectors` are turned alike. Whether it got there.
fn diagonalize(d: &mut [f64], e: &mut [f64], vectors: &mut [Vec<f64>]) -> bool {
    /// Convergence is cubic; two iterations are usual.
    const MOST: usize = 60;
    let n = d.len();
    let largest = d.iter().zip(e.iter()).fold(0.0f64, |m, (d, e)| m.max(d.abs() + e.abs()));
    for l in 0..n {
        let mut left = MOST;
        loop {
            // The first entry from here on that rounding hides beside the largest: where many
            // eigenvalues are zero, none hides beside its own diagonal.
            let hidden = |m: &usize| e[*m].abs() <= f64::EPSILON * largest;
            let m = (l..n - 1).find(hidden).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if left == 0 {
                return false;
            }
            left -= 1;
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let root = (g * g + 1.0).sqrt();
            g = d[m] - d[l] + e[l] / (g + if g < 0.0 { -root } else { root });
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = (f * f + g * g).sqrt();
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    split = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let t = (d[i] - g) * s + 2.0 * c * b;
                p = s * t;
                d[i + 1] = g + p;
                g = c * t - b;
                let (head, tail) = vectors.split_at_mut(i + 1);
                for (x, y) in head[i].iter_mut().zip(tail[0].iter_mut()) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
            if !split {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    true
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
    fn a_large_matrix_of_low_rank_has_its_few_eigenvalues() {
        let (stream, n, rank) = (Stream::new(0, "factors"), 300, 5);
        let factor = |r: usize| -> Vec<f64> {
            (0..n).map(|i| stream.at(r as u64).normal(i as u64)).collect()
        };
        let factors: Vec<Vec<f64>> = (0..rank).map(factor).collect();
        let entry = |i: usize, j: usize| factors.iter().map(|f| f[i] * f[j]).sum::<f64>();
        let matrix: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let eigen = symmetric_eigen(&matrix);
        // The others are those of the small matrix of products of the factors.
        let small: Vec<Vec<f64>> =
            factors.iter().map(|f| factors.iter().map(|g| vector::dot(f, g)).collect()).collect();
        let few = symmetric_eigen(&small);
        let zeros = eigen.values[..n - rank].iter();
        assert!(zeros.fold(0.0f64, |m, v| m.max(v.abs())) < 1e-11);
        for (value, expected) in eigen.values[n - rank..].iter().zip(&few.values) {
            assert!((value - expected).abs() < 1e-11, "{value} {expected}");
        }
        for (i, x) in eigen.vectors.iter().enumerate() {
            for (j, y) in eigen.vectors.iter().enumerate().skip(n - 10) {
                let expected = f64::from(u8::from(i == j));
                assert!((vector::dot(x, y) - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn scale_does_not_matter() {
        let matrix = |scale: f64| vec![vec![2.0 * scale, scale], vec![scale, 2.0 * scale]];
        for scale in [1e-300, 1e-160, 1e160, 1e300] {
            let values = symmetric_eigen(&matrix(scale)).values;
            assert!((values[0] / scale - 1.0).abs() < 1e-14, "{scale}: {values:?}");
            assert!((values[1] / scale - 3.0).abs() < 1e-14, "{scale}: {values:?}");
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
        assert_eq!(symmetric_eigen(&[vec![-7.0]]).values, [-7.0]);
        // Multiple eigenvalues: the identity and a matrix of ones.
        let ones: Vec<Vec<f64>> = (0..6)
            .map(|i: usize| (0..6).map(|j| if i == j { 3.0 } else { 1.0 }).collect())
            .collect();
        let values = symmetric_eigen(&ones).values;
        assert!(
            values[..5].iter().all(|v| (v - 2.0).abs() < 1e-14) && (values[5] - 8.0).abs() < 1e-14
        );
        assert!(symmetric_eigen(&[vec![f64::NAN]]).values[0].is_nan());
        assert!(symmetric_eigen(&[]).values.is_empty());
    }

    #[test]
    fn a_matrix_of_two_alternating_rows_has_two_eigenvalues() {
        // Rounding leaves ever smaller columns, down to those whose squares are no numbers.
        for n in [4, 30, 64] {
            let entry = |i: usize, j: usize| f64::from(u8::from(i % 2 == j % 2));
            let matrix: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
            let values = symmetric_eigen(&matrix).values;
            let half = n as f64 / 2.0;
            assert!(values[n - 2..].iter().all(|x| (x - half).abs() < 1e-12 * half), "{values:?}");
            assert!(values[..n - 2].iter().all(|x| x.abs() < 1e-12 * half), "{values:?}");
        }
    }
}
