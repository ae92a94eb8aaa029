//! The density of eigenvalues by the kernel polynomial method.

use super::Outliers;
use super::curvature_terms::OnSample;
use super::density::Density;
use super::lanczos::{LanczosConfig, lanczos};
use crate::common::{LinearOperator, Objective, even_chunks, signs, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use std::f64::consts::PI;
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// How [`kernel_polynomial`] looks at a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelPolynomialConfig {
    /// Number of random vectors; at least two, for standard errors.
    pub probes: usize,
    /// Chebyshev moments, at least three; each probe takes half as many products.
    pub moments: usize,
    /// Number of places at which the density is given.
    pub points: usize,
}

impl Default for KernelPolynomialConfig {
    fn default() -> KernelPolynomialConfig {
        KernelPolynomialConfig { probes: 8, moments: 96, points: 201 }
    }
}

/// How the ends of the spectrum are found, and how far beyond them it is taken to reach, as a share
/// of what lies between.
const ENDS: LanczosConfig = LanczosConfig { top: 1, bottom: 1, tolerance: 1e-2, max_products: 100 };
const MARGIN: f64 = 0.01;
/// How often moments are taken, each time between ends that are four times as far out, before it is
/// given up.
const ATTEMPTS: usize = 4;

/// The density of eigenvalues of a symmetric operator as a damped Chebyshev series.
///
/// With `x = (lambda - b) / a` in -1 to 1, for each probe `z` of random signs
/// `mu_k = z^T T_k(x) z / n`, and
/// `phi(x) = (g_0 mu_0 + 2 sum over 0 < k < K of g_k mu_k T_k(x)) / (pi sqrt(1 - x^2))`, over `a`, with
/// Jackson's factors `g_k`, which leave no negative densities and make of an eigenvalue a bell of
/// standard deviation `pi a / K` in the middle of the range. `mu_2k` and `mu_2k+1` come from the
/// products that gave `T_k z` and `T_k+1 z`.
///
/// Beside Lanczos quadrature it holds three vectors instead of a basis, and resolves all of the range
/// alike. The ends `b - a` and `b + a` are those that Lanczos iteration finds, with their residuals and
/// a hundredth of the range; a moment above one tells that an eigenvalue lies beyond them, and then
/// they are moved out.
///
/// # Errors
/// Fewer than two probes, three moments or one point; a product that is not finite; a spectrum whose ends
/// are not found.
/// # Source    Weisse, Wellein, Alvermann, Fehske, The kernel polynomial method, Reviews of Modern
/// Physics 78, 2006, equations 10, 34, 35 and 71
pub fn kernel_polynomial(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &KernelPolynomialConfig,
) -> Result<Density, MethodError> {
    check(config)?;
    let ctx = &ctx.within("kernel-polynomial");
    let n = operator.dimension();
    let (mut low, mut high, mut products) = match n {
        1 => {
            let value = operator.product(&[1.0])?[0];
            (value, value, 1)
        }
        _ => {
            let ends = lanczos(ctx, operator, &ENDS)?;
            let (bottom, top) = (&ends.bottom[0], &ends.top[0]);
            (bottom.value - bottom.residual, top.value + top.residual, ends.products)
        }
    };
    // A spectrum of one value still has a width.
    let range = if high > low { high - low } else { high.abs().max(1.0) };
    let mut margin = MARGIN * range;
    for attempt in 0..ATTEMPTS {
        (low, high) = (low - margin, high + margin);
        let scale = Scale { centre: (low + high) / 2.0, half: (high - low) / 2.0 };
        let found = moments(ctx, operator, config, &scale, attempt)?;
        products += config.probes * taken(config);
        if found.iter().flatten().all(|mu| mu.abs() <= 1.0 + 1e-9) {
            return Ok(Density { products, ..series(&found, &scale, n, config)? });
        }
        margin *= 4.0;
    }
    let what = "the largest eigenvalue of a density".to_owned();
    Err(MethodError::NotFinite { what, value: format!("beyond {high}") })
}

fn check(config: &KernelPolynomialConfig) -> Result<(), MethodError> {
    for (what, least, got) in [
        ("number of probes", 2, config.probes),
        ("number of moments", 3, config.moments),
        ("number of points", 1, config.points),
    ] {
        if got < least {
            return Err(MethodError::config(what, format!("at least {least}"), got));
        }
    }
    Ok(())
}

/// Products that a probe takes.
fn taken(config: &KernelPolynomialConfig) -> usize {
    config.moments.div_ceil(2)
}

/// `lambda = centre + half x`.
struct Scale {
    centre: f64,
    half: f64,
}

/// The moments of each probe.
fn moments(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &KernelPolynomialConfig,
    scale: &Scale,
    attempt: usize,
) -> Result<Vec<Vec<f64>>, MethodError> {
    let n = operator.dimension();
    let stream = ctx.stream("kernel polynomial");
    let probes: Vec<usize> = (0..config.probes).collect();
    ctx.progress().start("spectral density", (config.probes * taken(config)) as u64);
    let three = n.saturating_mul(3 * size_of::<f64>());
    let together = (ctx.memory() / 2 / three.max(1)).max(1);
    let mut all = Vec::new();
    for block in even_chunks(&probes, together) {
        let key = format!("moments-{attempt}/{}-{}", block[0], block[0] + block.len());
        let arrays = ctx.unit(&key, || {
            let z = block.iter().map(|&p| signs(&stream.at(p as u64), n)).collect();
            let found = chebyshev(ctx, operator, z, config.moments, scale)?;
            Ok(vec![("moments".to_owned(), Array::vector(&found.concat()))])
        })?;
        let found = stored(&key, &arrays, "moments", block.len() * config.moments)?;
        all.extend(found.chunks(config.moments).map(<[f64]>::to_vec));
        ctx.progress().advance((block.len() * taken(config)) as u64);
    }
    Ok(all)
}

/// `z^T T_k z / n` for `k` below a number, of each vector.
fn chebyshev(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    z: Vec<Vec<f64>>,
    count: usize,
    scale: &Scale,
) -> Result<Vec<Vec<f64>>, MethodError> {
    let n = operator.dimension() as f64;
    let scaled = |vectors: &[Vec<f64>]| -> Result<Vec<Vec<f64>>, MethodError> {
        let mut products = operator.apply(vectors)?;
        for (product, vector) in products.iter_mut().zip(vectors) {
            vector::add_scaled(product, -scale.centre, vector);
            vector::scale(product, 1.0 / scale.half);
        }
        Ok(products)
    };
    let mut found: Vec<Vec<f64>> = vec![Vec::with_capacity(count + 1); z.len()];
    let mut last = z;
    let mut now = scaled(&last)?;
    for ((found, last), now) in found.iter_mut().zip(&last).zip(&now) {
        let zero = vector::dot(last, last) / n;
        found.extend([zero, vector::dot(last, now) / n]);
    }
    for _ in 1..count.div_ceil(2) {
        ctx.check()?;
        // T_2k = 2 T_k T_k - T_0 and T_2k+1 = 2 T_k+1 T_k - T_1.
        let mut next = scaled(&now)?;
        for (i, next) in next.iter_mut().enumerate() {
            vector::scale(next, 2.0);
            vector::add_scaled(next, -1.0, &last[i]);
            let even = 2.0 * vector::dot(&now[i], &now[i]) / n - found[i][0];
            let odd = 2.0 * vector::dot(next, &now[i]) / n - found[i][1];
            found[i].extend([even, odd]);
        }
        (last, now) = (now, next);
    }
    for found in &mut found {
        found.truncate(count);
        if let Some(mu) = found.iter().find(|mu| !mu.is_finite()) {
            let what = "a Chebyshev moment".to_owned();
            return Err(MethodError::NotFinite { what, value: mu.to_string() });
        }
    }
    Ok(found)
}

/// Jackson's factor of the `k`-th of so many moments.
fn jackson(k: usize, count: usize) -> f64 {
    let angle = PI / (count + 1) as f64;
    let (k, rest) = (k as f64, (count + 1 - k) as f64);
    (rest * (k * angle).cos() + (k * angle).sin() / angle.tan()) / (count + 1) as f64
}

fn series(
    moments: &[Vec<f64>],
    scale: &Scale,
    dimension: usize,
    config: &KernelPolynomialConfig,
) -> Result<Density, MethodError> {
    let count = config.moments;
    let factors: Vec<f64> = (0..count).map(|k| jackson(k, count)).collect();
    let (mut centres, mut values, mut standard_errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Vec::with_capacity(config.points);
    for i in 0..config.points {
        // The middles of equal parts: at the ends themselves the weight is infinite.
        let x = (2 * i + 1) as f64 / config.points as f64 - 1.0;
        let (angle, weight) = (x.acos(), 1.0 / (PI * scale.half * (1.0 - x * x).sqrt()));
        let at = |mu: &Vec<f64>| {
            let term = |k: usize| factors[k] * mu[k] * (k as f64 * angle).cos();
            weight * (term(0) + 2.0 * (1..count).map(term).sum::<f64>())
        };
        let each: Vec<f64> = moments.iter().map(at).collect();
        let estimate = Estimate::mean(&each)?;
        all.push(each);
        centres.push(scale.centre + scale.half * x);
        values.push(estimate.value);
        standard_errors.push(estimate.standard_error);
    }
    let Scale { centre: b, half: a } = scale;
    let mean =
        |of: &dyn Fn(&Vec<f64>) -> f64| Estimate::mean(&moments.iter().map(of).collect::<Vec<_>>());
    let first = |mu: &Vec<f64>| b + a * mu[1];
    // x^2 = (T_2 + 1) / 2
    let square = |mu: &Vec<f64>| b * b + 2.0 * a * b * mu[1] + a * a * (mu[2] + 1.0) / 2.0;
    let width = PI * a / count as f64;
    let outliers = Outliers::new([&centres, &values], width, dimension, |beyond| {
        let spacing = 2.0 * a / config.points as f64;
        let outside = |probe: usize| {
            let those = centres.iter().zip(&all).filter(|(at, _)| beyond(**at));
            those.map(|(_, each)| spacing * each[probe]).sum()
        };
        (0..moments.len()).map(outside).collect()
    })?;
    Ok(Density {
        centres,
        values,
        standard_errors,
        mean: mean(&first)?,
        mean_square: mean(&square)?,
        width,
        outliers,
        products: 0,
    })
}

/// [`kernel_polynomial`] of the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct KernelPolynomial;

impl Instrument for KernelPolynomial {
    const ID: &'static str = "kernel_polynomial";
    const SUMMARY: &'static str = "density of the Hessian's eigenvalues as a damped series";
    const SOURCE: &'static str = "Weisse, Wellein, Alvermann, Fehske 2006";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = KernelPolynomialConfig;
    type Reading = OnSample<Density>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &KernelPolynomialConfig,
    ) -> Result<OnSample<Density>, MethodError> {
        check(config)?;
        let found = kernel_polynomial(ctx, &super::Hessian::new(ctx, objective, point)?, config)?;
        OnSample::density(ctx, objective, point, found, config.probes)
    }

    fn cost(config: &KernelPolynomialConfig, size: &Size) -> Cost {
        let ends = ENDS.max_products.min(size.parameters);
        let products = ends + ATTEMPTS * config.probes * taken(config);
        OnSample::cost(Cost::at_most(0, 0, products), size, config.probes)
    }

    fn quantities(reading: &OnSample<Density>) -> Vec<Quantity> {
        reading.moments()
    }

    fn trial() -> KernelPolynomialConfig {
        KernelPolynomialConfig { probes: 64, moments: 4, ..KernelPolynomialConfig::default() }
    }

    fn refused() -> Vec<KernelPolynomialConfig> {
        let usual = KernelPolynomialConfig::default();
        vec![
            KernelPolynomialConfig { probes: 1, ..usual },
            KernelPolynomialConfig { moments: 2, ..usual },
            KernelPolynomialConfig { points: 0, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{DenseOperator, symmetric_eigen};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    fn diagonal(values: &[f64]) -> DenseOperator {
        let n = values.len();
        let row = |i: usize| (0..n).map(|j| if i == j { values[i] } else { 0.0 }).collect();
        DenseOperator::new((0..n).map(row).collect()).unwrap()
    }

    #[test]
    fn a_diagonal_spectrum_is_the_damped_series_of_its_values() {
        // Signs see each entry of a diagonal alike, so that there is no sampling error.
        let values = [-1.0, 0.0, 0.1, 0.1, 2.0, 3.0];
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = KernelPolynomialConfig { probes: 3, moments: 33, points: 400 };
        let found = kernel_polynomial(&ctx, &diagonal(&values), &config).unwrap();
        assert!(found.standard_errors.iter().all(|e| *e < 1e-9));
        let spacing = found.centres[1] - found.centres[0];
        let half = spacing * 200.0;
        let middle = (found.centres[199] + found.centres[200]) / 2.0;
        // The kernel of one value from its definition, the sum over moments written out.
        let kernel = |x: f64, y: f64| {
            let (x, y) = ((x - middle) / half, (y - middle) / half);
            let term = |k: usize| {
                let order = k as f64;
                jackson(k, 33) * (order * x.acos()).cos() * (order * y.acos()).cos()
            };
            let sum = term(0) + 2.0 * (1..33).map(term).sum::<f64>();
            sum / (PI * half * (1.0 - x * x).sqrt())
        };
        for (at, value) in found.centres.iter().zip(&found.values) {
            let expected = values.iter().map(|&y| kernel(*at, y)).sum::<f64>() / 6.0;
            assert!((value - expected).abs() < 1e-9 * expected.abs().max(1.0), "{at}");
            assert!(*value > -1e-12, "no density is negative");
        }
        let mass: f64 = found.values.iter().map(|value| value * spacing).sum();
        assert!((mass - 1.0).abs() < 1e-2, "{mass}");
        assert!((found.mean.value - 4.2 / 6.0).abs() < 1e-12);
        assert!((found.mean_square.value - 14.02 / 6.0).abs() < 1e-12);
        // One bell has the width that is said, which shrinks towards the ends: the share within one
        // of it of the value 2.
        let local = found.width * (1.0 - ((2.0 - middle) / half).powi(2)).sqrt();
        let near = |n: f64| -> f64 {
            let inside = |(x, _): &(&f64, &f64)| (**x - 2.0).abs() < n * local;
            found.centres.iter().zip(&found.values).filter(inside).map(|(_, v)| v * spacing).sum()
        };
        assert!((6.0 * near(1.0) - 0.683).abs() < 0.05, "{}", 6.0 * near(1.0));
        assert!((6.0 * near(3.0) - 0.997).abs() < 0.03, "{}", 6.0 * near(3.0));
    }

    #[test]
    fn error_bars_cover_the_moments_and_memory_changes_no_bit() {
        let n = 30;
        let stream = Stream::new(7, "matrix");
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * n + i.min(j)) as u64);
        let rows: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let mean = (0..n).map(|i| rows[i][i]).sum::<f64>() / n as f64;
        let square = rows.iter().flatten().map(|x| x * x).sum::<f64>() / n as f64;
        let top = symmetric_eigen(&rows).values.last().copied().unwrap();
        let operator = DenseOperator::new(rows).unwrap();
        let executor = Executor::new(1);
        let config = KernelPolynomialConfig { probes: 12, moments: 8, points: 3 };
        let mut covered = [0; 2];
        const SEEDS: u64 = 200;
        // The 97.5 % point of Student's distribution with 11 degrees of freedom.
        const BAR: f64 = 2.201;
        for seed in 0..SEEDS {
            let ctx = Context::new(&executor, seed);
            let found = kernel_polynomial(&ctx, &operator, &config).unwrap();
            for (i, (estimate, truth)) in
                [(found.mean, mean), (found.mean_square, square)].into_iter().enumerate()
            {
                let inside = (estimate.value - truth).abs() <= BAR * estimate.standard_error;
                covered[i] += u64::from(inside);
            }
            if seed == 0 {
                assert!(found.centres[2] < top && found.products >= 12 * 4);
                // Room for the basis of the ends, and for five of the probes at once.
                let little = ctx.with_memory(8000);
                assert_eq!(kernel_polynomial(&little, &operator, &config).unwrap(), found);
            }
        }
        for count in covered {
            let share = count as f64 / SEEDS as f64;
            assert!((0.90..=0.99).contains(&share), "{covered:?}");
        }
    }

    #[test]
    fn ends_that_were_missed_are_moved_out() {
        // What lies beyond them shows in the moments.
        let operator = diagonal(&[-1.0, 0.0, 5.0]);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = KernelPolynomialConfig { probes: 2, moments: 20, points: 5 };
        let narrow = Scale { centre: 0.0, half: 2.0 };
        let found = moments(&ctx, &operator, &config, &narrow, 0).unwrap();
        assert!(found[0].iter().any(|mu| mu.abs() > 1.0));
        let wide = Scale { centre: 2.0, half: 3.1 };
        let found = moments(&ctx, &operator, &config, &wide, 1).unwrap();
        assert!(found[0].iter().all(|mu| mu.abs() <= 1.0 + 1e-9));
    }
}
