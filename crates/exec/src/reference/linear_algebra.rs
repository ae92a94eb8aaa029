//! Products and factorisations of matrices.

use super::dense::{Dense, Scalar, for_each_index};
use thalweg_graph::{DotAxes, TensorType};

pub(super) fn dot(lhs: &Dense, rhs: &Dense, ty: &TensorType, axes: &DotAxes) -> Dense {
    let lhs_free = DotAxes::free(lhs.shape.len(), &axes.lhs_batch, &axes.lhs_contract);
    let rhs_free = DotAxes::free(rhs.shape.len(), &axes.rhs_batch, &axes.rhs_contract);
    let summed: Vec<usize> = axes.lhs_contract.iter().map(|&axis| lhs.shape[axis]).collect();
    let (mut left, mut right) = (vec![0; lhs.shape.len()], vec![0; rhs.shape.len()]);
    Dense::build(ty, |index| {
        let (batch, free) = index.split_at(axes.lhs_batch.len());
        let (free_left, free_right) = free.split_at(lhs_free.len());
        set(&mut left, &axes.lhs_batch, batch);
        set(&mut left, &lhs_free, free_left);
        set(&mut right, &axes.rhs_batch, batch);
        set(&mut right, &rhs_free, free_right);
        let mut sum = 0.0;
        for_each_index(&summed, |k| {
            set(&mut left, &axes.lhs_contract, k);
            set(&mut right, &axes.rhs_contract, k);
            sum += lhs.at(&left).float() * rhs.at(&right).float();
        });
        Scalar::Float(sum)
    })
}

fn set(index: &mut [usize], axes: &[usize], values: &[usize]) {
    for (&axis, &value) in axes.iter().zip(values) {
        index[axis] = value;
    }
}

/// A matrix as rows.
type Matrix = Vec<Vec<f64>>;

/// The matrices in the last two axes, in row-major order of the others.
fn matrices(x: &Dense) -> Vec<Matrix> {
    let rank = x.shape.len();
    let (rows, columns) = (x.shape[rank - 2], x.shape[rank - 1]);
    let floats = x.floats();
    let n_matrices: usize = x.shape[..rank - 2].iter().product();
    (0..n_matrices)
        .map(|m| {
            let element = |row: usize, column: usize| floats[(m * rows + row) * columns + column];
            (0..rows).map(|i| (0..columns).map(|j| element(i, j)).collect()).collect()
        })
        .collect()
}

fn from_matrices(like: &Dense, matrices: &[Matrix]) -> Dense {
    let floats: Vec<f64> = matrices.iter().flatten().flatten().copied().collect();
    Dense::from_floats(like.dtype, &like.shape, &floats)
}

/// Lower factors; where there is none, NaN from the first pivot that is not positive.
pub(super) fn cholesky(x: &Dense) -> Dense {
    let factors: Vec<Matrix> = matrices(x).iter().map(cholesky_of).collect();
    from_matrices(x, &factors)
}

fn cholesky_of(a: &Matrix) -> Matrix {
    let n = a.len();
    let mut l = vec![vec![0.0; n]; n];
    for j in 0..n {
        let squares: f64 = (0..j).map(|k| l[j][k] * l[j][k]).sum();
        let pivot = a[j][j] - squares;
        l[j][j] = if pivot > 0.0 { pivot.sqrt() } else { f64::NAN };
        for i in j + 1..n {
            let products: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            l[i][j] = (a[i][j] - products) / l[j][j];
        }
    }
    l
}

pub(super) fn triangular_solve(a: &Dense, b: &Dense, lower: bool, transpose: bool) -> Dense {
    let solutions: Vec<Matrix> = matrices(a)
        .iter()
        .zip(matrices(b))
        .map(|(a, b)| {
            let n = a.len();
            // The transpose of a lower triangle is an upper one.
            let element = |i: usize, j: usize| if transpose { a[j][i] } else { a[i][j] };
            let from_the_top = lower != transpose;
            let mut x = b;
            for step in 0..n {
                let i = if from_the_top { step } else { n - 1 - step };
                let known = if from_the_top { 0..i } else { i + 1..n };
                for column in 0..x[i].len() {
                    let products: f64 = known.clone().map(|j| element(i, j) * x[j][column]).sum();
                    x[i][column] = (x[i][column] - products) / element(i, i);
                }
            }
            x
        })
        .collect();
    from_matrices(b, &solutions)
}

/// Eigenvalues and eigenvectors by Jacobi's rotations.
pub(super) fn symmetric_eigen(x: &Dense, types: &[TensorType]) -> Vec<Dense> {
    let pairs: Vec<(Vec<f64>, Matrix)> = matrices(x).iter().map(jacobi).collect();
    let values: Vec<f64> = pairs.iter().flat_map(|(values, _)| values.clone()).collect();
    let vectors: Vec<Matrix> = pairs.into_iter().map(|(_, vectors)| vectors).collect();
    vec![Dense::from_floats(x.dtype, &types[0].shape, &values), from_matrices(x, &vectors)]
}

/// Sweeps of rotations, each of which makes one off-diagonal element zero, until none is left
/// that could change a diagonal element. Reads the lower triangle.
fn jacobi(matrix: &Matrix) -> (Vec<f64>, Matrix) {
    const SWEEPS: usize = 60;
    let n = matrix.len();
    if matrix.iter().enumerate().any(|(i, row)| row[..=i].iter().any(|x| !x.is_finite())) {
        return (vec![f64::NAN; n], vec![vec![f64::NAN; n]; n]);
    }
    let symmetric = |i: usize, j: usize| if i >= j { matrix[i][j] } else { matrix[j][i] };
    let mut a: Matrix = (0..n).map(|i| (0..n).map(|j| symmetric(i, j)).collect()).collect();
    let mut v: Matrix =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let scale = a[p][p].abs() + a[q][q].abs();
                if a[p][q] == 0.0 || scale + a[p][q].abs() == scale {
                    continue;
                }
                rotated = true;
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let sign = if theta < 0.0 { -1.0 } else { 1.0 };
                let tangent = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for k in 0..n {
                    let (kp, kq) = (a[k][p], a[k][q]);
                    a[k][p] = cosine * kp - sine * kq;
                    a[k][q] = sine * kp + cosine * kq;
                }
                for k in 0..n {
                    let (pk, qk) = (a[p][k], a[q][k]);
                    a[p][k] = cosine * pk - sine * qk;
                    a[q][k] = sine * pk + cosine * qk;
                }
                for row in &mut v {
                    let (kp, kq) = (row[p], row[q]);
                    row[p] = cosine * kp - sine * kq;
                    row[q] = sine * kp + cosine * kq;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut ranked: Vec<usize> = (0..n).collect();
    ranked.sort_by(|&i, &j| a[i][i].total_cmp(&a[j][j]));
    let values = ranked.iter().map(|&i| a[i][i]).collect();
    let mut vectors: Matrix =
        v.iter().map(|row| ranked.iter().map(|&i| row[i]).collect()).collect();
    for column in 0..n {
        let largest = vectors.iter().map(|row| row[column].abs()).fold(0.0, f64::max);
        let leading = vectors.iter().map(|row| row[column]).find(|x| x.abs() >= 0.5 * largest);
        if leading.is_some_and(|x| x < 0.0) {
            for row in &mut vectors {
                row[column] = -row[column];
            }
        }
    }
    (values, vectors)
}

/// `x` with `a x = b`, by elimination with partial pivoting.
pub(super) fn solve(mut a: Matrix, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for step in 0..n {
        let pivot = (step..n)
            .max_by(|&i, &j| a[i][step].abs().total_cmp(&a[j][step].abs()))
            .expect("at least one row is left");
        a.swap(step, pivot);
        b.swap(step, pivot);
        for i in step + 1..n {
            let factor = a[i][step] / a[step][step];
            for j in step..n {
                a[i][j] -= factor * a[step][j];
            }
            b[i] -= factor * b[step];
        }
    }
    for i in (0..n).rev() {
        let products: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - products) / a[i][i];
    }
    b
}
