//! Spectra that are known beforehand.

use crate::common::{exact, labelled, model, planted, valued, weights};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_methods::common::{symmetric_eigen, vector};
use thalweg_methods::curvature::{
    DensityConfig, Hessian, KernelPolynomialConfig, LanczosConfig, OutlierRule, count_outliers,
    dense, density, kernel_polynomial, lanczos,
};
use thalweg_methods::{Function, ModelObjective, ObjectiveConfig};
use thalweg_nn::Loss;

type Matrix = Vec<Vec<f64>>;

fn times(a: &[Vec<f64>], b: &[Vec<f64>]) -> Matrix {
    let row = |line: &Vec<f64>| {
        let mut sum = vec![0.0; b.first().map_or(0, Vec::len)];
        for (&factor, row) in line.iter().zip(b) {
            vector::add_scaled(&mut sum, factor, row);
        }
        sum
    };
    a.iter().map(row).collect()
}

fn turned(a: &[Vec<f64>]) -> Matrix {
    (0..a.first().map_or(0, Vec::len)).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

fn identity(n: usize) -> Matrix {
    (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect()
}

fn close(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    let flat = |m: &[Vec<f64>]| m.concat();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in flat(found).into_iter().zip(flat(expected)) {
        assert!((found - expected).abs() < tolerance, "{found} {expected}");
    }
}

/// Marchenko and Pastur's law of `X^T X / m`, `X [m, n]` of variance one and `c = n / m < 1`: the
/// share of eigenvalues below `x`.
fn share_below(x: f64, c: f64) -> f64 {
    let (low, high) = ((1.0 - c.sqrt()).powi(2), (1.0 + c.sqrt()).powi(2));
    let steps = 4000;
    let end = x.clamp(low, high);
    let width = (end - low) / f64::from(steps);
    // The middle of each interval, where the root has no singularity.
    let at = |i: i32| {
        let t = low + (f64::from(i) + 0.5) * width;
        ((high - t) * (t - low)).sqrt() / (std::f64::consts::TAU * c * t)
    };
    (0..steps).map(at).sum::<f64>() * width
}

/// Where an eigenvalue `s` planted on a line of no consequence goes: `G(l) = 1 / s`, with the law's
/// Stieltjes transform.
///
/// Benaych-Georges and Nadakuditi, The eigenvalues and eigenvectors of finite, low rank perturbations
/// of large random matrices, 2011.
fn outlier(s: f64, c: f64) -> f64 {
    let (low, high) = ((1.0 - c.sqrt()).powi(2), (1.0 + c.sqrt()).powi(2));
    let transform = |z: f64| (z - 1.0 + c - ((z - low) * (z - high)).sqrt()) / (2.0 * c * z);
    let (mut below, mut above) = (high, 10.0 * s);
    for _ in 0..100 {
        let middle = 0.5 * (below + above);
        if transform(middle) > 1.0 / s { below = middle } else { above = middle }
    }
    below
}

/// `1/(2 m) |X w|^2 + 1/2 sum of s_k (u_k^T w)^2`, as a traced function.
#[test]
fn a_quadratic_with_a_bulk_and_three_outliers() {
    let (n, m) = (150, 600);
    let c = n as f64 / m as f64;
    let stream = Stream::new(5, "design");
    let row = |i: u64| (0..n as u64).map(move |j| stream.at(i).normal(j));
    let design: Vec<f64> = (0..m as u64).flat_map(row).collect();
    let sizes = [6.0f64, 9.0, 15.0];
    let mut lines: Matrix = Vec::new();
    for k in 0..sizes.len() as u64 {
        let mut u: Vec<f64> = (0..n as u64).map(|j| stream.at(10_000 + k).normal(j)).collect();
        vector::orthogonalize(&mut u, &lines, &mut vec![0.0; lines.len()]);
        let length = vector::norm(&u);
        vector::scale(&mut u, 1.0 / length);
        lines.push(u);
    }
    let scaled: Vec<f64> =
        lines.iter().zip(sizes).flat_map(|(u, s)| u.iter().map(move |u| u * s.sqrt())).collect();
    let design = Array::from_slice(&[m, n], &design).unwrap();
    let scaled = Array::from_slice(&[sizes.len(), n], &scaled).unwrap();
    let quadratic = Function::new(DType::F64, &[("w", &[n])], move |builder, w| {
        let bulk = builder.constant(design.clone()).matmul(w[0]).square().sum_all();
        let planted = builder.constant(scaled.clone()).matmul(w[0]).square().sum_all();
        bulk * (0.5 / m as f64) + planted * 0.5
    });
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let point = quadratic.point(&vec![0.1; n]).unwrap();
    let hessian = Hessian::new(&ctx, &quadratic, &point).unwrap();
    // The outliers lie where the law says, and nothing else beside the bulk.
    let config = LanczosConfig { top: 5, bottom: 1, tolerance: 1e-8, max_products: 400 };
    let pairs = lanczos(&ctx, &hessian, &config).unwrap();
    assert!(pairs.converged);
    for (pair, &s) in pairs.top.iter().zip(sizes.iter().rev()) {
        let expected = outlier(s, c);
        assert!((pair.value / expected - 1.0).abs() < 0.05, "{} {expected}", pair.value);
    }
    let (low, high) = ((1.0 - c.sqrt()).powi(2), (1.0 + c.sqrt()).powi(2));
    assert!(pairs.top[3].value < 1.1 * high && pairs.bottom[0].value > 0.8 * low);
    let all = symmetric_eigen(dense(&ctx, &hessian).unwrap().rows()).values;
    for rule in
        [OutlierRule::LargestGap { most: 20 }, OutlierRule::BulkEdge { factor: 2.0, level: 0.95 }]
    {
        assert_eq!(count_outliers(&all, rule).unwrap(), 3, "{rule:?}");
    }
    // The density's mass up to each place is the law's, but for what so many probes see of it (about
    // 1 / sqrt(probes n)) and what a matrix of this size is off (about 1 / n). Error bars against the
    // exact eigenvalues are tested in `estimators.rs`.
    let config = DensityConfig { probes: 64, steps: 60, points: 300, width: 0.003 };
    let moments = KernelPolynomialConfig { probes: 64, moments: 200, points: 300 };
    let found = density(&ctx, &hessian, &config).unwrap();
    let spacing = found.centres[1] - found.centres[0];
    // Of the pairs and of the density as many stand out as were planted.
    for found in [&found, &kernel_polynomial(&ctx, &hessian, &moments).unwrap()] {
        let outliers = &found.outliers;
        let held = pairs.top.iter().filter(|pair| outliers.holds(pair.value)).count();
        assert_eq!((held, outliers.holds(pairs.bottom[0].value)), (3, false), "{outliers:?}");
        let off = (outliers.count.value - 3.0).abs();
        assert!(off < 3.0 * outliers.count.standard_error && off < 0.5, "{outliers:?}");
    }
    let bulk = (n - sizes.len()) as f64 / n as f64;
    let mut mass = 0.0;
    for (x, value) in found.centres.iter().zip(&found.values) {
        let end = x + 0.5 * spacing;
        if end > 1.2 * high {
            break;
        }
        mass += value * spacing;
        let expected = bulk * share_below(end, c);
        assert!((mass - expected).abs() < 0.03, "up to {end}: {mass} {expected}");
    }
    assert!((mass - bulk).abs() < 0.01, "{mass}");
}

/// `L = 1/(2 n) |X W_1 W_2 W_3 - Y|^2`. With `P_k` and `Q_k` the products before and after layer `k`,
/// `S = X^T X / n` and the residuals `E`, the block of the layers `k <= l` at `W_k[i, j]`,
/// `W_l[a, b]` is
///
/// `(P_k^T S P_l)[i, a] (Q_k Q_l^T)[j, b]`, and for `k < l` beside it
/// `(P_k^T X^T E Q_l^T / n)[i, b] (W_{k+1} .. W_{l-1})[j, a]`.
#[test]
fn a_deep_linear_network_has_its_closed_form() {
    let (n, widths) = (20, [3, 2, 4, 2]);
    let (inputs, x) = planted(n, widths[0]);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=2-4 activation=identity bias=false", &[widths[0]], widths[3]);
    let data = labelled(&inputs, widths[3]);
    let config = ObjectiveConfig { batch: 8, ..ObjectiveConfig::default() };
    let loss = Loss::HalfSquaredError;
    let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let w: Vec<Matrix> = point
        .parameters
        .arrays()
        .iter()
        .map(|a| a.to_f64_vec().chunks(a.shape()[1]).map(<[f64]>::to_vec).collect())
        .collect();
    let product = |from: usize, to: usize| {
        (from..to).fold(identity(widths[from]), |product, k| times(&product, &w[k]))
    };
    let share = 1.0 / n as f64;
    let outputs = times(&x, &product(0, 3));
    let residuals: Matrix = outputs
        .iter()
        .enumerate()
        .map(|(e, z)| {
            // Labels are squares, of two classes here.
            let label = e * e % widths[3];
            z.iter().enumerate().map(|(o, z)| z - f64::from(u8::from(o == label))).collect()
        })
        .collect();
    let second = times(&turned(&x), &x);
    let slope = times(&turned(&x), &residuals);
    let mut places = Vec::new();
    for k in 0..3 {
        for i in 0..widths[k] {
            places.extend((0..widths[k + 1]).map(|j| (k, i, j)));
        }
    }
    let mut expected = vec![vec![0.0; places.len()]; places.len()];
    for k in 0..3 {
        for l in k..3 {
            let (before_k, before_l) = (product(0, k), product(0, l));
            let (after_k, after_l) = (product(k + 1, 3), product(l + 1, 3));
            let left = times(&times(&turned(&before_k), &second), &before_l);
            let right = times(&after_k, &turned(&after_l));
            let outer = times(&times(&turned(&before_k), &slope), &turned(&after_l));
            for (row, &(at_k, i, j)) in places.iter().enumerate() {
                for (column, &(at_l, a, b)) in places.iter().enumerate() {
                    if (at_k, at_l) != (k, l) {
                        continue;
                    }
                    let mut value = left[i][a] * right[j][b] * share;
                    if k < l {
                        value += outer[i][b] * product(k + 1, l)[j][a] * share;
                    }
                    expected[row][column] = value;
                    expected[column][row] = value;
                }
            }
        }
    }
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    close(dense(&ctx, &hessian).unwrap().rows(), &expected, 1e-10);
    let all = symmetric_eigen(&expected).values;
    let config = LanczosConfig { top: 3, bottom: 2, tolerance: 1e-10, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &hessian, &config).unwrap();
    for (i, pair) in found.top.iter().enumerate() {
        assert!((pair.value - all[all.len() - 1 - i]).abs() < 1e-8);
    }
    for (i, pair) in found.bottom.iter().enumerate() {
        assert!((pair.value - all[i]).abs() < 1e-8);
    }
    // Away from a minimum there are directions down, which the products of layers make.
    assert!(all[0] < -1e-3, "{}", all[0]);
}

/// `H = 1/n sum of p_i (1 - p_i) x_i x_i^T`.
#[test]
fn logistic_regression_has_its_closed_form() {
    let (n, d) = (40, 6);
    let (inputs, rows) = planted(n, d);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("linear bias=false", &[d], 1);
    let loss = Loss::BinaryCrossEntropy;
    let config = ObjectiveConfig { batch: 16, ..ObjectiveConfig::default() };
    let data = valued(&inputs);
    let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let w = point.parameters.flatten();
    let mut expected = vec![vec![0.0; d]; d];
    for x in &rows {
        let p = 1.0 / (1.0 + (-vector::dot(x, &w)).exp());
        for (row, x_i) in expected.iter_mut().zip(x) {
            vector::add_scaled(row, p * (1.0 - p) * x_i / n as f64, x);
        }
    }
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    close(dense(&ctx, &hessian).unwrap().rows(), &expected, 1e-12);
    let all = symmetric_eigen(&expected).values;
    let config = LanczosConfig { top: d, tolerance: 1e-10, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &hessian, &config).unwrap();
    for (pair, value) in found.top.iter().zip(all.iter().rev()) {
        assert!((pair.value - value).abs() < 1e-10);
    }
}
