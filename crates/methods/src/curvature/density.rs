//! The density of eigenvalues by stochastic Lanczos quadrature.

use super::hutchinson::signs;
use crate::common::{LinearOperator, Objective, even_chunks, symmetric_eigen, vector};
use crate::error::stored;
use crate::registry::Instrument;
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// How [`density`] looks at a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityConfig {
    /// Number of random vectors; at least two, for standard errors.
    pub probes: usize,
    /// Lanczos steps for each: nodes of the quadrature.
    pub steps: usize,
    /// Number of places at which the density is given.
    pub points: usize,
    /// Standard deviation of the Gaussian that stands for each node, as a share of the range of
    /// all nodes.
    pub width: f64,
}

impl Default for DensityConfig {
    fn default() -> DensityConfig {
        DensityConfig { probes: 8, steps: 48, points: 201, width: 0.01 }
    }
}

/// A density of eigenvalues; its integral is one but for the Gaussians' tails beyond the ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Where it is given, equally spaced.
    pub centres: Vec<f64>,
    /// The density there.
    pub values: Vec<f64>,
    /// Standard error of each over the probes.
    pub standard_errors: Vec<f64>,
    /// Standard deviation of the Gaussians.
    pub width: f64,
    /// Products that it took.
    pub products: usize,
}

/// The density of eigenvalues of a symmetric operator, smoothed by a Gaussian.
///
/// For each probe `z` of random signs, `steps` Lanczos steps (fully reorthogonalised) from
/// `z / sqrt(n)` give nodes `t_i` and weights `u_i1^2` of the Gauss quadrature of `z`'s spectral
/// measure; `phi(x) = mean over probes of sum over i of u_i1^2 N(x; t_i, width^2)`.
///
/// Probes go in lockstep, so that their products are taken together: as many as half the context's
/// memory holds bases of, and these are a unit of work.
///
/// # Errors
/// Fewer than two probes, no steps or points, a width that is not positive; a product that is not
/// finite.
/// # Source    Ghorbani, Krishnan, Xiao, An investigation into neural net optimization via Hessian
/// eigenvalue density, 2019, arXiv 1901.10159, algorithms 1 and 2
pub fn density(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &DensityConfig,
) -> Result<Density, MethodError> {
    check(config)?;
    let n = operator.dimension();
    let steps = config.steps.min(n).max(1);
    let stream = ctx.stream("spectral density");
    ctx.progress().start("spectral density", (config.probes * steps) as u64);
    let mut quadratures: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    let probes: Vec<usize> = (0..config.probes).collect();
    let (mut products, together) = (0, lockstep(ctx, n, steps));
    for block in even_chunks(&probes, together) {
        let key = format!("density/{}-{}", block[0], block[0] + block.len());
        let arrays = ctx.unit(&key, || {
            let probes = block.iter().map(|&p| signs(&stream.at(p as u64), n)).collect();
            let (found, products) = quadrature(ctx, operator, probes, steps)?;
            let (nodes, weights): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            Ok(vec![
                ("nodes".into(), Array::vector(&nodes.concat())),
                ("weights".into(), Array::vector(&weights.concat())),
                ("products".into(), Array::vector(&[products as f64])),
            ])
        })?;
        let nodes = stored(&key, &arrays, "nodes", block.len() * steps)?;
        let weights = stored(&key, &arrays, "weights", block.len() * steps)?;
        quadratures.extend(
            nodes.chunks(steps).zip(weights.chunks(steps)).map(|(n, w)| (n.to_vec(), w.to_vec())),
        );
        products += stored(&key, &arrays, "products", 1)?[0] as usize;
        ctx.progress().advance((block.len() * steps) as u64);
    }
    Ok(Density { products, ..smooth(&quadratures, config)? })
}

/// Probes whose bases of `steps` vectors fit into half the memory.
fn lockstep(ctx: &Context<'_>, n: usize, steps: usize) -> usize {
    let basis = n.saturating_mul(steps).saturating_mul(size_of::<f64>());
    (ctx.memory() / 2 / basis.max(1)).max(1)
}

fn check(config: &DensityConfig) -> Result<(), MethodError> {
    if config.probes < 2 {
        return Err(MethodError::config("number of probes", "at least 2", config.probes));
    }
    for (what, count) in [("number of steps", config.steps), ("number of points", config.points)] {
        if count == 0 {
            return Err(MethodError::config(what, "at least 1", count));
        }
    }
    match config.width > 0.0 && config.width.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("width", "a positive share of the range", config.width)),
    }
}

/// Nodes and weights of a quadrature.
type Quadrature = (Vec<f64>, Vec<f64>);

/// Nodes and weights for each probe, `steps` of them, and the products taken; probes whose subspace
/// is invariant early are filled up with weights of zero.
fn quadrature(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    probes: Vec<Vec<f64>>,
    steps: usize,
) -> Result<(Vec<Quadrature>, usize), MethodError> {
    struct Run {
        basis: Vec<Vec<f64>>,
        rows: Vec<Vec<f64>>,
        done: bool,
    }
    let mut runs: Vec<Run> = probes
        .into_iter()
        .map(|mut z| {
            let length = vector::norm(&z);
            vector::scale(&mut z, 1.0 / length);
            Run { basis: vec![z], rows: Vec::new(), done: false }
        })
        .collect();
    let mut products = 0;
    for _ in 0..steps {
        ctx.check()?;
        let open: Vec<usize> = (0..runs.len()).filter(|&i| !runs[i].done).collect();
        let vectors: Vec<Vec<f64>> =
            open.iter().map(|&i| runs[i].basis[runs[i].basis.len() - 1].clone()).collect();
        products += open.len();
        for (&i, mut product) in open.iter().zip(operator.apply(&vectors)?) {
            let run = &mut runs[i];
            if let Some(value) = product.iter().find(|x| !x.is_finite()) {
                let what = format!("an element of the product with the {}", operator.name());
                return Err(MethodError::NotFinite { what, value: value.to_string() });
            }
            let mut components = vec![0.0; run.basis.len()];
            vector::orthogonalize(&mut product, &run.basis, &mut components);
            run.rows.push(components);
            let scale = run.rows.iter().flatten().fold(0.0f64, |m, c| m.max(c.abs()));
            let length = vector::norm(&product);
            run.done = run.rows.len() == steps || length <= 64.0 * f64::EPSILON * scale;
            if !run.done {
                vector::scale(&mut product, 1.0 / length);
                run.basis.push(product);
            }
        }
    }
    let nodes = |run: Run| {
        let size = run.rows.len();
        let square: Vec<Vec<f64>> = run
            .rows
            .into_iter()
            .map(|mut row| {
                row.resize(size, 0.0);
                row
            })
            .collect();
        let eigen = symmetric_eigen(&square);
        let mut nodes = eigen.values;
        let mut weights: Vec<f64> = eigen.vectors.iter().map(|y| y[0] * y[0]).collect();
        let last = nodes.last().copied().unwrap_or(0.0);
        nodes.resize(steps, last);
        weights.resize(steps, 0.0);
        (nodes, weights)
    };
    Ok((runs.into_iter().map(nodes).collect(), products))
}

fn smooth(
    quadratures: &[(Vec<f64>, Vec<f64>)],
    config: &DensityConfig,
) -> Result<Density, MethodError> {
    let all = || quadratures.iter().flat_map(|(nodes, _)| nodes);
    let low = all().copied().fold(f64::INFINITY, f64::min);
    let high = all().copied().fold(f64::NEG_INFINITY, f64::max);
    // A spectrum of one value still has a width.
    let range = if high > low { high - low } else { high.abs().max(1.0) };
    let width = config.width * range;
    let (from, to) = (low - 5.0 * width, high + 5.0 * width);
    let last = (config.points - 1).max(1) as f64;
    let centres: Vec<f64> =
        (0..config.points).map(|i| (from * (last - i as f64) + to * i as f64) / last).collect();
    let factor = 1.0 / (width * std::f64::consts::TAU.sqrt());
    let (mut values, mut standard_errors) = (Vec::new(), Vec::new());
    for &centre in &centres {
        let of_probe = |(nodes, weights): &(Vec<f64>, Vec<f64>)| -> f64 {
            let terms = nodes.iter().zip(weights).map(|(node, weight)| {
                let distance = (centre - node) / width;
                weight * factor * (-0.5 * distance * distance).exp()
            });
            terms.sum()
        };
        let estimate = Estimate::mean(&quadratures.iter().map(of_probe).collect::<Vec<_>>())?;
        values.push(estimate.value);
        standard_errors.push(estimate.standard_error);
    }
    Ok(Density { centres, values, standard_errors, width, products: 0 })
}

/// [`density`] of the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct SpectralDensity;

impl Instrument for SpectralDensity {
    const ID: &'static str = "spectral_density";
    const SUMMARY: &'static str = "density of the Hessian's eigenvalues";
    const SOURCE: &'static str = "Ghorbani, Krishnan, Xiao 2019, arXiv 1901.10159";
    type Config = DensityConfig;
    type Reading = Density;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &DensityConfig,
    ) -> Result<Density, MethodError> {
        check(config)?;
        density(ctx, &super::Hessian::new(ctx, objective, point)?, config)
    }

    fn refused() -> Vec<DensityConfig> {
        let usual = DensityConfig::default();
        vec![
            DensityConfig { probes: 1, ..usual },
            DensityConfig { steps: 0, ..usual },
            DensityConfig { points: 0, ..usual },
            DensityConfig { width: 0.0, ..usual },
            DensityConfig { width: f64::INFINITY, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::DenseOperator;
    use thalweg_exec::Executor;

    #[test]
    fn a_diagonal_spectrum_comes_back() {
        // Signs see each entry of a diagonal alike, so that there is no sampling error.
        let values = [-1.0, 0.0, 0.0, 0.0, 2.0, 3.0];
        let rows = (0..6)
            .map(|i| (0..6).map(|j| if i == j { values[i] } else { 0.0 }).collect())
            .collect();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = DensityConfig { probes: 3, steps: 10, points: 2001, width: 0.02 };
        let found = density(&ctx, &DenseOperator::new(rows).unwrap(), &config).unwrap();
        let spacing = found.centres[1] - found.centres[0];
        let mass = |from: f64, to: f64| -> f64 {
            let inside = |(x, _): &(&f64, &f64)| (from..to).contains(*x);
            found.centres.iter().zip(&found.values).filter(inside).map(|(_, v)| v * spacing).sum()
        };
        assert!((mass(-2.0, 4.0) - 1.0).abs() < 1e-3);
        assert!((mass(-0.5, 0.5) - 0.5).abs() < 1e-3);
        assert!((mass(2.5, 4.0) - 1.0 / 6.0).abs() < 1e-3);
        assert!(found.standard_errors.iter().all(|e| *e < 1e-9));
        // There are four different eigenvalues, after which a probe's subspace is invariant.
        assert_eq!(found.products, 3 * 4);
    }

    #[test]
    fn memory_changes_which_probes_go_together_and_no_bit() {
        let stream = thalweg_data::Stream::new(2, "matrix");
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * 40 + i.min(j)) as u64);
        let rows = (0..40).map(|i| (0..40).map(|j| entry(i, j)).collect()).collect();
        let operator = DenseOperator::new(rows).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = DensityConfig { probes: 5, steps: 12, points: 50, width: 0.02 };
        let found = |memory: usize| density(&ctx.clone().with_memory(memory), &operator, &config);
        let all = found(1 << 30).unwrap();
        assert_eq!(all.products, 60);
        // A basis is of 40 x 12 x 8 bytes.
        let ctx = ctx.clone().with_memory(4 * 40 * 12 * 8);
        assert_eq!(lockstep(&ctx, 40, 12), 2);
        assert_eq!(found(4 * 40 * 12 * 8).unwrap(), all);
        assert_eq!(found(1).unwrap(), all);
    }
}
