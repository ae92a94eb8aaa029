//! Factorisations of small matrices, one task a matrix.
//!
//! Plain loops in f64 whatever the type: sums run in increasing index, so the bits are the same on
//! every machine.

use super::Slot;
use crate::kernel::Pool;
use crate::plan::view::row_major;
use thalweg_graph::DType;

/// Reads matrix `index` of a batch as f64.
unsafe fn load(slot: &Slot<'_>, index: usize, rows: usize, columns: usize) -> Vec<f64> {
    let n = rows * columns;
    // SAFETY: the batch has a matrix of this number.
    unsafe {
        match slot.ty.dtype {
            DType::F64 => std::slice::from_raw_parts(slot.source::<f64>(index * n, n), n).to_vec(),
            _ => std::slice::from_raw_parts(slot.source::<f32>(index * n, n), n)
                .iter()
                .map(|&x| f64::from(x))
                .collect(),
        }
    }
}

unsafe fn save(slot: &Slot<'_>, index: usize, values: &[f64]) {
    let start = index * values.len();
    // SAFETY: the batch has a matrix of this number, written by this task alone.
    unsafe {
        for (k, &x) in values.iter().enumerate() {
            match slot.ty.dtype {
                DType::F64 => *slot.target::<f64>(start + k, 1) = x,
                _ => *slot.target::<f32>(start + k, 1) = x as f32,
            }
        }
    }
}

/// Rows, columns and number of matrices.
fn extents(slot: &Slot<'_>) -> (usize, usize, usize) {
    let shape = &slot.ty.shape;
    let rank = shape.len();
    debug_assert_eq!(row_major(shape).len(), rank);
    (shape[rank - 2], shape[rank - 1], shape[..rank - 2].iter().product())
}

/// The lower factor; NaN from the first pivot on that is not positive.
pub(super) unsafe fn cholesky(a: &Slot<'_>, out: &Slot<'_>, pool: &Pool) {
    let (n, _, count) = extents(a);
    pool.for_each(count, |index| {
        // SAFETY: matrix `index` of each batch.
        unsafe {
            let a = load(a, index, n, n);
            let mut l = vec![0.0; n * n];
            for j in 0..n {
                for i in j..n {
                    let mut sum = a[i * n + j];
                    for k in 0..j {
                        sum -= l[i * n + k] * l[j * n + k];
                    }
                    l[i * n + j] = match i == j {
                        true if sum > 0.0 => sum.sqrt(),
                        true => f64::NAN,
                        false => sum / l[j * n + j],
                    };
                }
            }
            save(out, index, &l);
        }
    });
}

pub(super) unsafe fn triangular_solve(
    lower: bool,
    transpose: bool,
    a: &Slot<'_>,
    b: &Slot<'_>,
    out: &Slot<'_>,
    pool: &Pool,
) {
    let (n, _, count) = extents(a);
    let columns = extents(b).1;
    pool.for_each(count, |index| {
        // SAFETY: matrix `index` of each batch.
        unsafe {
            let a = load(a, index, n, n);
            let mut x = load(b, index, n, columns);
            let entry = |i: usize, j: usize| if transpose { a[j * n + i] } else { a[i * n + j] };
            let forward = lower != transpose;
            for step in 0..n {
                let i = if forward { step } else { n - 1 - step };
                for column in 0..columns {
                    let mut sum = x[i * columns + column];
                    for earlier in 0..step {
                        let j = if forward { earlier } else { n - 1 - earlier };
                        sum -= entry(i, j) * x[j * columns + column];
                    }
                    x[i * columns + column] = sum / entry(i, i);
                }
            }
            save(out, index, &x);
        }
    });
}

/// Cyclic Jacobi rotations on the matrix that the lower triangle gives. Eigenvalues increase; of
/// each eigenvector the first component at least half as large as its largest is positive. A
/// matrix that is not finite gives NaN.
pub(super) unsafe fn symmetric_eigen(
    a: &Slot<'_>,
    values: &Slot<'_>,
    vectors: &Slot<'_>,
    pool: &Pool,
) {
    let (n, _, count) = extents(a);
    pool.for_each(count, |index| {
        // SAFETY: matrix `index` of each batch.
        unsafe {
            let mut a = load(a, index, n, n);
            for i in 0..n {
                for j in i + 1..n {
                    a[i * n + j] = a[j * n + i];
                }
            }
            let (eigenvalues, eigenvectors) = jacobi(a, n);
            save(values, index, &eigenvalues);
            save(vectors, index, &eigenvectors);
        }
    });
}

fn jacobi(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    const MOST_SWEEPS: usize = 60;
    if a.iter().any(|x| !x.is_finite()) {
        return (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    }
    let mut v = vec![0.0; n * n];
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    for _ in 0..MOST_SWEEPS {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| a[i * n + j].powi(2))
            .sum();
        let all: f64 = a.iter().map(|x| x * x).sum();
        if off <= all * f64::EPSILON * f64::EPSILON * 1e-4 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    v[k * n + p] = c * x - s * y;
                    v[k * n + q] = s * x + c * y;
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i * n + i].total_cmp(&a[j * n + j]));
    let values = order.iter().map(|&i| a[i * n + i]).collect();
    let mut vectors = vec![0.0; n * n];
    for (to, &from) in order.iter().enumerate() {
        let column = (0..n).map(|k| v[k * n + from]);
        let largest = column.clone().map(f64::abs).fold(0.0, f64::max);
        let leading = column.into_iter().find(|x| x.abs() >= 0.5 * largest);
        let sign = if leading.is_some_and(|x| x < 0.0) { -1.0 } else { 1.0 };
        for k in 0..n {
            vectors[k * n + to] = sign * v[k * n + from];
        }
    }
    (values, vectors)
}
