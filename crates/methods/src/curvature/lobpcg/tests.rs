use super::*;
use crate::common::{Damped, DenseOperator, DiagonalOperator, Inverse, symmetric_eigen};
use crate::curvature::{LanczosConfig, lanczos};
use thalweg_exec::Executor;

fn drawn(name: &str, n: usize, columns: usize) -> Vec<Vec<f64>> {
    let stream = Stream::new(1, name);
    (0..columns).map(|j| normals(&stream.at(j as u64), n)).collect()
}

/// `shift I + 1/columns sum of x x^T`.
fn positive_matrix(name: &str, n: usize, shift: f64) -> Vec<Vec<f64>> {
    let columns = drawn(name, n, 2 * n);
    let entry = |i: usize, j: usize| {
        let sum: f64 = columns.iter().map(|x| x[i] * x[j]).sum();
        sum / columns.len() as f64 + if i == j { shift } else { 0.0 }
    };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

/// All eigenvalues of `A v = l B v`, ascending, by Cholesky's factor: `L^-1 A L^-T`.
fn all_values(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<f64> {
    let n = a.len();
    let mut l = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            l[i][j] = match i == j {
                true => (b[i][i] - sum).sqrt(),
                false => (b[i][j] - sum) / l[j][j],
            };
        }
    }
    // Rows of the solution of `L X = M`.
    let solved = |m: Vec<Vec<f64>>| {
        let mut x: Vec<Vec<f64>> = Vec::new();
        for i in 0..n {
            let mut row = m[i].clone();
            for k in 0..i {
                vector::add_scaled(&mut row, -l[i][k], &x[k]);
            }
            vector::scale(&mut row, 1.0 / l[i][i]);
            x.push(row);
        }
        x
    };
    let turned = |m: &[Vec<f64>]| -> Vec<Vec<f64>> {
        (0..n).map(|i| m.iter().map(|row| row[i]).collect()).collect()
    };
    let half = solved(a.to_vec());
    symmetric_eigen(&solved(turned(&half))).values
}

#[test]
fn generalised_pairs_are_those_of_the_dense_problem() {
    let n = 60;
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    // One that has eigenvalues of both signs.
    let mut a = positive_matrix("a", n, -0.8);
    a[3][3] += 4.0;
    let b = positive_matrix("b", n, 0.1);
    let all = all_values(&a, &b);
    let (operator, metric) =
        (DenseOperator::new(a).unwrap(), DenseOperator::new(b.clone()).unwrap());
    let diagonal: Vec<f64> = (0..n).map(|i| b[i][i]).collect();
    let diagonal = DiagonalOperator::new("diagonal", diagonal).unwrap();
    let inverse = Inverse::new(&diagonal, 0.0).unwrap();
    for end in [End::Largest, End::Smallest] {
        for preconditioner in [None, Some(&inverse as &dyn LinearOperator)] {
            let config = LobpcgConfig { pairs: 4, end, tolerance: 1e-9, ..Default::default() };
            let found = lobpcg(&ctx, &operator, Some(&metric), preconditioner, &config).unwrap();
            assert!(found.converged, "{end:?}: {found:?}");
            for (i, pair) in found.pairs.iter().enumerate() {
                let expected = if end == End::Largest { all[n - 1 - i] } else { all[i] };
                assert!((pair.value - expected).abs() < 1e-8, "{end:?}: {} {expected}", pair.value);
                let mut image = operator.product(&pair.vector).unwrap();
                let b = metric.product(&pair.vector).unwrap();
                assert!((vector::dot(&pair.vector, &b) - 1.0).abs() < 1e-12);
                vector::add_scaled(&mut image, -pair.value, &b);
                assert!((vector::norm(&image) - pair.residual).abs() < 1e-12);
                assert!((vector::norm(&b) - found.metric_norms[i]).abs() < 1e-12);
                for other in &found.pairs[..i] {
                    assert!(vector::dot(&other.vector, &b).abs() < 1e-8);
                }
            }
        }
    }
}

#[test]
fn without_a_metric_it_agrees_with_lanczos() {
    let n = 120;
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 2);
    let operator = DenseOperator::new(positive_matrix("c", n, 0.0)).unwrap();
    let config = LobpcgConfig { pairs: 3, tolerance: 1e-8, ..LobpcgConfig::default() };
    let found = lobpcg(&ctx, &operator, None, None, &config).unwrap();
    let config = LanczosConfig { top: 3, tolerance: 1e-10, ..LanczosConfig::default() };
    let known = lanczos(&ctx, &operator, &config).unwrap();
    assert!(found.converged && known.products < found.products);
    for (one, other) in found.pairs.iter().zip(&known.top) {
        assert!((one.value - other.value).abs() < 1e-10, "{} {}", one.value, other.value);
    }
}

/// `A` against itself plus damping has `l / (l + damping)`, and all of them are below one.
#[test]
fn a_preconditioner_that_is_nearly_the_inverse_saves_products() {
    let n = 100;
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let values: Vec<f64> = (0..n).map(|i| f64::from(i + 1).powi(2)).collect();
    let mut rows = vec![vec![0.0; n as usize]; n as usize];
    for (i, row) in rows.iter_mut().enumerate() {
        row[i] = values[i];
        let next = (i + 1) % n as usize;
        row[next] += 0.1;
    }
    let rows: Vec<Vec<f64>> = (0..n as usize)
        .map(|i| (0..n as usize).map(|j| 0.5 * (rows[i][j] + rows[j][i])).collect())
        .collect();
    let operator = DenseOperator::new(rows).unwrap();
    let diagonal = DiagonalOperator::new("diagonal", values).unwrap();
    let inverse = Inverse::new(&diagonal, 0.0).unwrap();
    let run = |preconditioner: Option<&dyn LinearOperator>| {
        let config = LobpcgConfig {
            pairs: 2,
            end: End::Smallest,
            tolerance: 1e-12,
            max_products: 4000,
            ..LobpcgConfig::default()
        };
        lobpcg(&ctx, &operator, None, preconditioner, &config).unwrap()
    };
    let (plain, helped) = (run(None), run(Some(&inverse)));
    assert!(helped.converged, "{helped:?}");
    assert!(3 * helped.products < plain.products, "{} {}", helped.products, plain.products);
    let damped = Damped::new(&operator, 2.0).unwrap();
    let config =
        LobpcgConfig { pairs: 1, end: End::Smallest, tolerance: 1e-8, ..Default::default() };
    let found = lobpcg(&ctx, &operator, Some(&damped), Some(&inverse), &config).unwrap();
    let smallest = helped.pairs[0].value;
    assert!((found.pairs[0].value - smallest / (smallest + 2.0)).abs() < 1e-8);
}

#[test]
fn a_whole_spectrum_with_multiple_eigenvalues_is_found() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let values = vec![5.0, 1.0, 1.0, 0.0, 0.0, 0.0];
    let operator = DiagonalOperator::new("diagonal", values.clone()).unwrap();
    let config = LobpcgConfig { pairs: 6, tolerance: 1e-12, ..LobpcgConfig::default() };
    let found = lobpcg(&ctx, &operator, None, None, &config).unwrap();
    for (pair, value) in found.pairs.iter().zip(values) {
        assert!((pair.value - value).abs() < 1e-12);
    }
    // Zeros are as good as the largest eigenvalue allows.
    let config = LobpcgConfig { pairs: 2, guard: 0, end: End::Smallest, ..config };
    let found = lobpcg(&ctx, &operator, None, None, &config).unwrap();
    assert!(found.converged && found.pairs[1].value.abs() < 1e-10, "{found:?}");
    let config = LobpcgConfig { pairs: 3, tolerance: 1e-10, ..LobpcgConfig::default() };
    let found = lobpcg(&ctx, &operator, None, None, &config).unwrap();
    assert!(found.converged && (found.pairs[2].value - 1.0).abs() < 1e-10, "{found:?}");
}

#[test]
fn what_cannot_be_is_said() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let operator = DiagonalOperator::new("matrix", vec![1.0, 2.0, 3.0]).unwrap();
    let of = |config: LobpcgConfig, metric: &[f64]| {
        let metric = DiagonalOperator::new("metric", metric.to_vec()).unwrap();
        lobpcg(&ctx, &operator, Some(&metric), None, &config).unwrap_err().to_string()
    };
    let usual = LobpcgConfig { pairs: 1, ..LobpcgConfig::default() };
    assert_eq!(
        of(LobpcgConfig { pairs: 4, ..usual }, &[1.0; 3]),
        "number of eigenvalues: expected from 1 to 3, got 4"
    );
    assert!(of(LobpcgConfig { tolerance: 0.0, ..usual }, &[1.0; 3]).starts_with("tolerance"));
    assert_eq!(of(usual, &[1.0; 2]), "the metric: expected an operator on 3 elements, got 2");
    assert!(of(usual, &[-1.0; 3]).starts_with("the metric of eigenpairs: expected a positive"));
    let short = LobpcgConfig { max_products: 2, tolerance: 1e-14, guard: 0, ..usual };
    let large = DiagonalOperator::new("matrix", (0..50).map(f64::from).collect()).unwrap();
    let found = lobpcg(&ctx, &large, None, None, &short).unwrap();
    assert!(!found.converged && found.products == 3, "{found:?}");
}
