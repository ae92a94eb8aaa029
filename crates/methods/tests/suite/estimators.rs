//! Estimates over planted spectra: how often their error bars hold the truth, and what is recovered.

use crate::common::{Dying, SEEDS, honest};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_methods::common::{DenseOperator, LinearOperator, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Density, DensityConfig, Eigenpair, HutchPlusPlusConfig, HutchinsonConfig,
    KernelPolynomialConfig, LanczosConfig, SpectralSum, SpectralSumConfig, XDiagConfig,
    XTraceConfig, density, effective_dimension, exact_moments, frobenius_norm, hutch_plus_plus,
    hutchinson, kernel_polynomial, lanczos, log_determinant, xdiag, xtrace,
};
use thalweg_methods::{Context, MethodError};
use thalweg_stats::Estimate;

/// A matrix of these eigenvalues in a random orthonormal basis.
fn planted(values: &[f64]) -> DenseOperator {
    let n = values.len();
    let stream = Stream::new(11, "basis");
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for i in 0..n {
        let mut v: Vec<f64> = (0..n as u64).map(|j| stream.at(i as u64).normal(j)).collect();
        vector::orthogonalize(&mut v, &basis, &mut vec![0.0; basis.len()]);
        let length = vector::norm(&v);
        vector::scale(&mut v, 1.0 / length);
        basis.push(v);
    }
    let mut rows = vec![vec![0.0; n]; n];
    for (value, v) in values.iter().zip(&basis) {
        for (row, x) in rows.iter_mut().zip(v) {
            vector::add_scaled(row, value * x, v);
        }
    }
    DenseOperator::new(rows).unwrap()
}

/// A bulk with outliers, a slow decay, and a spectrum of both signs.
fn spectra() -> [(&'static str, Vec<f64>); 3] {
    let bulk = (0..50).map(|i| if i < 3 { 20.0 + i as f64 } else { 0.5 + 0.02 * i as f64 });
    let decay = (0..50).map(|i| 1.0 / (1.0 + i as f64));
    let both = (0..50).map(|i| ((i as f64) * 1.7).sin() + if i == 0 { 8.0 } else { 0.2 });
    [("bulk", bulk.collect()), ("decay", decay.collect()), ("both", both.collect())]
}

/// Out of how many seeds a 95 % interval holds the truth.
fn covered(truth: f64, estimate: impl Fn(&Context<'_>) -> Estimate) -> usize {
    let executor = Executor::new(1);
    let holds = |seed: u64| {
        let found = estimate(&Context::new(&executor, seed));
        usize::from(found.interval(0.95).unwrap().contains(truth))
    };
    (0..SEEDS).map(holds).sum()
}

#[test]
fn bars_of_traces_cover() {
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let trace: f64 = values.iter().sum();
        let probes = HutchinsonConfig { probes: 20, tolerance: 0.0 };
        let count = covered(trace, |ctx| hutchinson(ctx, &matrix, &[], &probes).unwrap().trace);
        honest(&format!("Hutchinson, {name}"), count);
        let config = HutchPlusPlusConfig { products: 30 };
        let count =
            covered(trace, |ctx| hutch_plus_plus(ctx, &matrix, &[], &config).unwrap().trace);
        honest(&format!("Hutch++, {name}"), count);
        let config = XTraceConfig { products: 30 };
        let count = covered(trace, |ctx| xtrace(ctx, &matrix, &[], &config).unwrap().trace);
        honest(&format!("XTrace, {name}"), count);
    }
}

/// Probes that end where their error is small enough end earlier where it seems smaller than it is.
#[test]
fn bars_of_traces_cover_where_a_tolerance_ends_them() {
    let executor = Executor::new(1);
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let trace: f64 = values.iter().sum();
        let row = |(i, row): (usize, &Vec<f64>)| vector::dot(row, row) - row[i] * row[i];
        let variance = 2.0 * matrix.rows().iter().enumerate().map(row).sum::<f64>();
        // A tolerance that so many probes have on average.
        for enough in [12.0, 24.0, 60.0] {
            let tolerance = (variance / enough).sqrt() / trace.abs();
            let config = HutchinsonConfig { probes: 400, tolerance };
            let holds = |seed: u64| {
                let ctx = Context::new(&executor, seed);
                let found = hutchinson(&ctx, &matrix, &[], &config).unwrap().trace;
                usize::from(found.interval(0.95).unwrap().contains(trace))
            };
            // So many that 88 %, of what ends at the first error that is small enough, is told from 91 %.
            const MANY: u64 = 2000;
            let share = (0..MANY).map(holds).sum::<usize>() as f64 / MANY as f64;
            assert!((0.9..=0.99).contains(&share), "{name}, {enough}: {share}");
        }
    }
}

#[test]
fn bars_of_norms_and_sums_cover() {
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let probes = HutchinsonConfig { probes: 30, tolerance: 0.0 };
        let square: f64 = values.iter().map(|v| v * v).sum();
        let count = covered(square, |ctx| {
            hutchinson(ctx, &matrix, &[], &probes).unwrap().frobenius_squared
        });
        honest(&format!("squared norm, {name}"), count);
        let count =
            covered(square.sqrt(), |ctx| frobenius_norm(ctx, &matrix, &[], &probes).unwrap());
        honest(&format!("norm, {name}"), count);
        let config = SpectralSumConfig { lambda: 1.5, probes: 12, steps: 30 };
        let dimension: f64 = values.iter().map(|v| v / (v + 1.5)).sum();
        let settled = |found: SpectralSum| {
            assert!(found.last_change < 0.05 * found.sum.standard_error, "{found:?}");
            assert_eq!(found.products, 12 * 30);
            found.sum
        };
        let count =
            covered(dimension, |ctx| settled(effective_dimension(ctx, &matrix, &config).unwrap()));
        honest(&format!("effective dimension, {name}"), count);
        let determinant: f64 = values.iter().map(|v| (v / 1.5).ln_1p()).sum();
        let count =
            covered(determinant, |ctx| settled(log_determinant(ctx, &matrix, &config).unwrap()));
        honest(&format!("log-determinant, {name}"), count);
    }
}

/// What fewer steps than there are eigenvalues miss of a sum is of the order of what the last of them
/// changed, and an error with it covers.
#[test]
fn bars_of_sums_cover_where_the_quadrature_ends_early() {
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let sum = |ctx: &Context<'_>, steps: usize| {
            let config = SpectralSumConfig { lambda: 1.5, probes: 12, steps };
            log_determinant(ctx, &matrix, &config).unwrap()
        };
        let executor = Executor::new(1);
        for steps in [4, 8, 16] {
            let (mut missed, mut changed) = (0.0f64, 0.0f64);
            for seed in 0..20 {
                let ctx = Context::new(&executor, seed);
                let (early, whole) = (sum(&ctx, steps), sum(&ctx, 50));
                missed = missed.max((early.sum.value - whole.sum.value).abs());
                changed += early.last_change / 20.0;
            }
            assert!(missed < 2.0 * changed + 1e-9, "{name}, {steps}: {missed} {changed}");
        }
        let determinant: f64 = values.iter().map(|v| (v / 1.5).ln_1p()).sum();
        let count = covered(determinant, |ctx| {
            let found = sum(ctx, 3);
            let standard_error = found.sum.standard_error.hypot(found.last_change);
            Estimate { standard_error, ..found.sum }
        });
        // What the last steps changed is more than what is left, so that a bar may be too long.
        assert!(count >= 180, "{name}: {count} of {SEEDS}");
    }
}

/// The first two moments of a density are exact for each probe, however few its steps.
#[test]
fn moments_of_densities_are_those_of_the_matrix() {
    for (name, values) in spectra() {
        let (matrix, executor) = (planted(&values), Executor::new(1));
        let exact = exact_moments(&Context::new(&executor, 0), &matrix).unwrap();
        let n = values.len() as f64;
        let found = |ctx: &Context<'_>| {
            let config = DensityConfig { probes: 30, steps: 2, ..DensityConfig::default() };
            density(ctx, &matrix, &config).unwrap()
        };
        honest(&format!("mean, {name}"), covered(exact.trace / n, |ctx| found(ctx).mean));
        let square = exact.frobenius_squared / n;
        honest(&format!("square, {name}"), covered(square, |ctx| found(ctx).mean_square));
    }
}

#[test]
fn bars_of_diagonals_cover() {
    let executor = Executor::new(1);
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let mut count = 0;
        for seed in 0..SEEDS {
            let ctx = Context::new(&executor, seed);
            let found = xdiag(&ctx, &matrix, &XDiagConfig { products: 30 }).unwrap();
            for (i, (&value, &standard_error)) in
                found.values.iter().zip(&found.standard_errors).enumerate()
            {
                let estimate = Estimate { value, standard_error, samples: found.samples };
                let interval = estimate.interval(0.95).unwrap();
                count += usize::from(interval.contains(matrix.rows()[i][i]));
            }
        }
        // Of all elements together.
        let share = count as f64 / (SEEDS as f64 * values.len() as f64);
        assert!((0.9..=0.99).contains(&share), "{name}: {share}");
    }
}

/// What a 95 % bar does not tell from one a tenth off: that estimates are unbiased, and that the mean of
/// their squared standard errors is their variance.
#[test]
fn exchanged_probes_are_unbiased_and_so_are_their_variances() {
    const MANY: u64 = 600;
    let executor = Executor::new(1);
    for (name, values) in spectra() {
        let matrix = planted(&values);
        let trace: f64 = values.iter().sum();
        let (mut found, mut squares) = (Vec::new(), 0.0);
        for seed in 0..MANY {
            let config = XTraceConfig { products: 30 };
            let one = xtrace(&Context::new(&executor, seed), &matrix, &[], &config).unwrap().trace;
            found.push(one.value);
            squares += one.standard_error.powi(2) / MANY as f64;
        }
        let mean = Estimate::mean(&found).unwrap();
        let off = (mean.value - trace) / mean.standard_error;
        assert!(off.abs() < 4.0, "XTrace, {name}: {off}");
        let ratio = squares / (mean.standard_error.powi(2) * MANY as f64);
        assert!((0.85..1.18).contains(&ratio), "XTrace, {name}: {ratio}");
        // Of a diagonal the sums over all elements.
        let n = values.len();
        let (mut all, mut squares) = (vec![Vec::new(); n], 0.0);
        for seed in 0..200 {
            let config = XDiagConfig { products: 30 };
            let one = xdiag(&Context::new(&executor, seed), &matrix, &config).unwrap();
            all.iter_mut().zip(&one.values).for_each(|(of, value)| of.push(*value));
            squares += one.standard_errors.iter().map(|e| e * e).sum::<f64>() / 200.0;
        }
        let spread = |of: &Vec<f64>| Estimate::mean(of).unwrap().standard_error.powi(2) * 200.0;
        let ratio = squares / all.iter().map(spread).sum::<f64>();
        assert!((0.93..1.07).contains(&ratio), "XDiag, {name}: {ratio}");
    }
}

/// A diagonal that is everywhere the same, whose largest element by its estimate alone is one of the
/// noise: the bar of a value that was chosen for its size is no bar.
#[test]
fn the_extremes_of_a_flat_diagonal_are_not_those_of_the_noise() {
    let n = 200;
    let stream = Stream::new(21, "flat");
    let entry = |i: usize, j: usize| match i == j {
        true => 1.0,
        false => 0.05 * stream.normal((i.max(j) * n + i.min(j)) as u64),
    };
    let rows = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
    let matrix = DenseOperator::new(rows).unwrap();
    let executor = Executor::new(1);
    let (mut covered, mut naive) = (0, 0);
    for seed in 0..SEEDS {
        let ctx = Context::new(&executor, seed);
        let found = xdiag(&ctx, &matrix, &XDiagConfig { products: 32 }).unwrap();
        for extreme in found.extremes {
            covered += usize::from(extreme.interval(0.95).unwrap().contains(1.0));
        }
        let places = 0..n;
        let largest = places.max_by(|&a, &b| found.values[a].total_cmp(&found.values[b])).unwrap();
        let off = (found.values[largest] - 1.0).abs();
        naive += usize::from(off < 2.13 * found.standard_errors[largest]);
    }
    assert!((360..=396).contains(&covered), "{covered} of {}", 2 * SEEDS);
    assert!(naive < SEEDS as usize / 2, "{naive}: the noise is too small to tell");
}

/// Jackson's factor of moment `k` of so many, by his kernel's autocorrelation: the sum of the products
/// of `sin((j + 1) pi / (count + 1))` and what stands `k` places further, over that of `k = 0`.
fn jackson(k: usize, count: usize) -> f64 {
    let a = |j: usize| (std::f64::consts::PI * (j + 1) as f64 / (count + 1) as f64).sin();
    let sum = |k: usize| (0..count - k).map(|j| a(j) * a(j + k)).sum::<f64>();
    sum(k) / sum(0)
}

#[test]
fn bars_of_densities_cover() {
    const POINTS: usize = 15;
    const MOMENTS: usize = 20;
    let executor = Executor::new(1);
    for (name, values) in [spectra()[0].clone(), spectra()[2].clone()] {
        let matrix = planted(&values);
        let n = values.len() as f64;
        let (mut held, mut looked) = ([0; 3], [0; 3]);
        let mut look = |which: usize, found: &Density, exact: &dyn Fn(f64) -> f64| {
            let truth: Vec<f64> = found.centres.iter().map(|&x| exact(x)).collect();
            let largest = truth.iter().copied().fold(0.0, f64::max);
            for (i, truth) in truth.into_iter().enumerate().filter(|(_, t)| *t > 1e-3 * largest) {
                let (value, standard_error) = (found.values[i], found.standard_errors[i]);
                let estimate = Estimate { value, standard_error, samples: 10 };
                held[which] += usize::from(estimate.interval(0.95).unwrap().contains(truth));
                looked[which] += 1;
            }
        };
        for seed in 0..SEEDS {
            let ctx = Context::new(&executor, seed);
            // As many steps as eigenvalues, and fewer, whose nodes stand for several under a bell.
            for (which, steps) in [(0, 50), (2, 20)] {
                let config = DensityConfig { probes: 10, steps, points: POINTS, width: 0.05 };
                let found = density(&ctx, &matrix, &config).unwrap();
                let scale = found.width * std::f64::consts::TAU.sqrt();
                look(which, &found, &|x| {
                    let bell = |v: &f64| (-0.5 * ((x - v) / found.width).powi(2)).exp();
                    values.iter().map(bell).sum::<f64>() / (n * scale)
                });
            }
            let config = KernelPolynomialConfig { probes: 10, moments: MOMENTS, points: POINTS };
            let found = kernel_polynomial(&ctx, &matrix, &config).unwrap();
            let (middle, spacing) = (found.centres[7], found.centres[1] - found.centres[0]);
            let half = spacing * POINTS as f64 / 2.0;
            assert!((found.width * MOMENTS as f64 / half - std::f64::consts::PI).abs() < 1e-9);
            look(1, &found, &|x| {
                let angle = ((x - middle) / half).acos();
                let bell = |v: &f64| {
                    let of = ((v - middle) / half).acos();
                    let term = |k: usize| {
                        let cosines = (k as f64 * angle).cos() * (k as f64 * of).cos();
                        if k == 0 { 1.0 } else { 2.0 * jackson(k, MOMENTS) * cosines }
                    };
                    (0..MOMENTS).map(term).sum::<f64>()
                        / (std::f64::consts::PI * half * angle.sin())
                };
                values.iter().map(bell).sum::<f64>() / n
            });
        }
        for (held, looked) in held.into_iter().zip(looked) {
            let share = held as f64 / looked as f64;
            // So many points that a bar of twice the length is told from one.
            assert!((0.9..=0.965).contains(&share), "{name}: {share} of {looked}");
        }
    }
}

#[test]
fn sketches_need_fewer_products_and_are_exact_on_low_ranks() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 2);
    let steep: Vec<f64> = (0..60).map(|i| 0.7f64.powi(i)).collect();
    let (matrix, trace) = (planted(&steep), steep.iter().sum::<f64>());
    let probes = HutchinsonConfig { probes: 36, tolerance: 0.0 };
    let plain = hutchinson(&ctx, &matrix, &[], &probes).unwrap().trace;
    let config = HutchPlusPlusConfig { products: 36 };
    let sketched = hutch_plus_plus(&ctx, &matrix, &[], &config).unwrap();
    let exchanged = xtrace(&ctx, &matrix, &[], &XTraceConfig { products: 36 }).unwrap();
    assert_eq!((sketched.products, exchanged.products), (36, 36));
    assert!(sketched.trace.standard_error < 0.1 * plain.standard_error, "{sketched:?} {plain:?}");
    assert!(exchanged.trace.standard_error < 0.5 * sketched.trace.standard_error, "{exchanged:?}");
    assert!((exchanged.trace.value - trace).abs() < 5.0 * exchanged.trace.standard_error);
    // Five eigenvalues, seen by more probes.
    let low: Vec<f64> = (0..40).map(|i| if i < 5 { 3.0 - i as f64 } else { 0.0 }).collect();
    let matrix = planted(&low);
    let found = xtrace(&ctx, &matrix, &[], &XTraceConfig { products: 20 }).unwrap();
    assert!((found.trace.value - 5.0).abs() < 1e-12 && found.trace.standard_error == 0.0);
    let config = HutchPlusPlusConfig { products: 30 };
    let found = hutch_plus_plus(&ctx, &matrix, &[], &config).unwrap();
    assert!((found.trace.value - 5.0).abs() < 1e-12 && found.trace.standard_error < 1e-12);
    let found = xdiag(&ctx, &matrix, &XDiagConfig { products: 20 }).unwrap();
    let worst = |(i, d): (usize, &f64)| (d - matrix.rows()[i][i]).abs();
    assert!(found.values.iter().enumerate().map(worst).fold(0.0, f64::max) < 1e-12);
}

#[test]
fn known_pairs_leave_the_rest_to_a_sketch() {
    let executor = Executor::new(1);
    let values = spectra()[0].1.clone();
    let matrix = planted(&values);
    let trace: f64 = values.iter().sum();
    let ctx = Context::new(&executor, 0);
    let config = LanczosConfig { top: 3, tolerance: 1e-8, ..LanczosConfig::default() };
    let known: Vec<Eigenpair> = lanczos(&ctx, &matrix, &config).unwrap().top;
    for products in [6, 30] {
        let sketched = HutchPlusPlusConfig { products };
        let found = hutch_plus_plus(&ctx, &matrix, &known, &sketched).unwrap().trace;
        assert!((found.value - trace).abs() < 5.0 * found.standard_error, "{found:?}");
        assert!(found.standard_error < 0.1 * trace);
        let exchanged = xtrace(&ctx, &matrix, &known, &XTraceConfig { products }).unwrap().trace;
        assert!((exchanged.value - trace).abs() < 5.0 * exchanged.standard_error, "{exchanged:?}");
    }
}

#[test]
fn a_bulk_and_its_outliers_are_recovered() {
    // A quadratic whose Hessian is X^T X / m beside three planted directions: Marchenko and
    // Pastur's law has its upper edge at (1 + sqrt(n / m))^2.
    let (n, m) = (120, 480);
    let stream = Stream::new(5, "design");
    let design: Vec<Vec<f64>> =
        (0..m as u64).map(|i| (0..n as u64).map(|j| stream.at(i).normal(j)).collect()).collect();
    let mut rows = vec![vec![0.0; n]; n];
    for x in &design {
        for (row, x_i) in rows.iter_mut().zip(x) {
            vector::add_scaled(row, x_i / m as f64, x);
        }
    }
    for (k, size) in [8.0, 12.0, 20.0].into_iter().enumerate() {
        let spread: Vec<f64> = (0..n as u64)
            .map(|j| stream.at(1000 + k as u64).normal(j) / (n as f64).sqrt())
            .collect();
        for (row, u) in rows.iter_mut().zip(&spread) {
            vector::add_scaled(row, size * u, &spread);
        }
    }
    let matrix = DenseOperator::new(rows).unwrap();
    let exact = symmetric_eigen(matrix.rows()).values;
    let edge = (1.0 + (n as f64 / m as f64).sqrt()).powi(2);
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let config = LanczosConfig { top: 5, bottom: 2, tolerance: 1e-9, max_products: 400 };
    let found = lanczos(&ctx, &matrix, &config).unwrap();
    assert!(found.converged);
    for (i, pair) in found.top.iter().enumerate() {
        assert!((pair.value - exact[n - 1 - i]).abs() < 1e-8);
    }
    for (i, pair) in found.bottom.iter().enumerate() {
        assert!((pair.value - exact[i]).abs() < 1e-8);
    }
    let outliers = found.top.iter().filter(|pair| pair.value > 1.3 * edge).count();
    assert_eq!(outliers, 3, "{:?}", found.top.iter().map(|p| p.value).collect::<Vec<_>>());
    // The density is that of the exact eigenvalues, smoothed alike, within its bars.
    let config = DensityConfig { probes: 24, steps: 60, points: 120, width: 0.02 };
    let found = density(&ctx, &matrix, &config).unwrap();
    let smooth = |x: f64| -> f64 {
        let kernel = |v: &f64| (-0.5 * ((x - v) / found.width).powi(2)).exp();
        let scale = n as f64 * found.width * std::f64::consts::TAU.sqrt();
        exact.iter().map(kernel).sum::<f64>() / scale
    };
    let within = |i: &usize| {
        let distance = (found.values[*i] - smooth(found.centres[*i])).abs();
        distance <= 2.5 * found.standard_errors[*i] + 1e-6
    };
    let count = (0..120).filter(within).count();
    assert!(count >= 110, "{count} of 120");
    let spacing = found.centres[1] - found.centres[0];
    let beyond = found.centres.iter().zip(&found.values).filter(|(x, _)| **x > 1.3 * edge);
    let mass: f64 = beyond.map(|(_, v)| v * spacing).sum();
    assert!((mass * n as f64 - 3.0).abs() < 1.0, "{}", mass * n as f64);
}

#[test]
fn a_killed_estimate_goes_on_with_the_same_bits() {
    let executor = Executor::new(1);
    let matrix = planted(&spectra()[0].1);
    let run = |ctx: &Context<'_>| {
        let sketched = hutch_plus_plus(ctx, &matrix, &[], &HutchPlusPlusConfig { products: 60 })?;
        let exchanged = xtrace(ctx, &matrix, &[], &XTraceConfig { products: 40 })?;
        let diagonal = xdiag(ctx, &matrix, &XDiagConfig { products: 24 })?;
        let config = SpectralSumConfig { probes: 5, ..SpectralSumConfig::default() };
        let sum = effective_dimension(ctx, &matrix, &config)?;
        Ok::<_, MethodError>((sketched, exchanged, diagonal, sum))
    };
    let undisturbed = run(&Context::new(&executor, 5)).unwrap();
    for units in [0, 1, 4, 7, 10, 13, 17] {
        let store = Dying::after(units);
        let killed = run(&Context::new(&executor, 5).with_units(&store));
        assert!(matches!(killed, Err(MethodError::Interrupted)), "{units}: {killed:?}");
        assert_eq!(store.kept.lock().unwrap().len(), units);
        let store = store.revived();
        let resumed = run(&Context::new(&executor, 5).with_units(&store)).unwrap();
        assert_eq!(resumed, undisturbed, "killed after {units} units");
    }
}

#[test]
fn a_lambda_below_a_negative_eigenvalue_is_refused() {
    let executor = Executor::new(1);
    let matrix = planted(&[-2.0, 1.0, 3.0, 4.0]);
    let config = SpectralSumConfig { lambda: 1.5, ..SpectralSumConfig::default() };
    let found = log_determinant(&Context::new(&executor, 0), &matrix, &config);
    let message = found.unwrap_err().to_string();
    assert!(message.starts_with("lambda: expected more than 2"), "{message}");
    let enough = SpectralSumConfig { lambda: 2.5, ..config };
    let found = log_determinant(&Context::new(&executor, 0), &matrix, &enough).unwrap();
    let expected: f64 = [-2.0, 1.0, 3.0, 4.0].iter().map(|v: &f64| (v / 2.5).ln_1p()).sum();
    assert!((found.sum.value - expected).abs() < 4.0 * found.sum.standard_error + 1e-9);
    assert_eq!(matrix.dimension(), 4);
}
