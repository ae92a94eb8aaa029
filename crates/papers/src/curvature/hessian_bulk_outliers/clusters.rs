//! Networks of one output on Gaussian clusters, and their spectra.

use super::{EDGE, GAP, RISE, Sizes};
use crate::bench::Bench;
use crate::check::Findings;
use crate::statistic::{column, mean};
use thalweg_array::{Array, DType};
use thalweg_data::{GaussianClusters, Stream};
use thalweg_lab::Result;
use thalweg_methods::common::{Gradients, LbfgsConfig, lbfgs, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, Scope, count_outliers, dense, gauss_newton_split,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::architecture::Mlp;
use thalweg_nn::layer::Activation;
use thalweg_nn::{Architecture, Loss, Model, Weights};
use thalweg_stats::fit_line;
use thalweg_train::initialize;

pub(super) const DIMENSIONS: usize = 20;
/// Factor of half the squared weights while descending.
const DECAY: f64 = 1e-3;

/// What the network is to say of a cluster.
#[derive(Clone, Copy)]
pub(super) enum Targets {
    /// Evenly spaced values in -1 to 1, one a cluster.
    Spaced,
    /// -1 and 1 in turn, whatever the number of clusters.
    Signs,
    /// The spaced ones, in a drawn order of the examples: no cluster has one.
    Shuffled,
}

/// Data and network of a spectrum.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) spread: f64,
    pub(super) targets: Targets,
    pub(super) layers: usize,
}

/// What decides.
pub(super) const DECIDING: Setting =
    Setting { name: "as decides", spread: 0.3, targets: Targets::Spaced, layers: 1 };

/// What is read beside it, each with one change.
pub(super) const BESIDE: [Setting; 5] = [
    Setting { name: "shuffled targets", targets: Targets::Shuffled, ..DECIDING },
    Setting { name: "spread 0.1", spread: 0.1, ..DECIDING },
    Setting { name: "spread 0.6", spread: 0.6, ..DECIDING },
    Setting { name: "targets -1 and 1", targets: Targets::Signs, ..DECIDING },
    Setting { name: "two hidden layers", layers: 2, ..DECIDING },
];

pub(super) fn network(width: usize, layers: usize) -> Result<Model> {
    let hidden = vec![width; layers];
    let mlp = Mlp { hidden, activation: Activation::Tanh, ..Mlp::default() };
    Ok(Architecture::from(mlp).build(&[DIMENSIONS], 1)?)
}

/// Clusters and their targets: inputs `[n, 20]`, targets `[n, 1]`.
pub(super) fn data(setting: &Setting, k: usize, n: usize, stream: &Stream) -> Result<[Array; 2]> {
    let separation = (DIMENSIONS as f64).sqrt();
    let (dimension, spread) = (DIMENSIONS, setting.spread);
    let clusters = GaussianClusters { clusters: k, dimension, separation, spread };
    let (inputs, labels) = clusters.draw(n, stream)?;
    let target = |c: f64| match setting.targets {
        Targets::Signs => 2.0 * (c % 2.0) - 1.0,
        Targets::Spaced | Targets::Shuffled => 2.0 * c / (k - 1) as f64 - 1.0,
    };
    let mut targets: Vec<f64> = labels.to_f64_vec().into_iter().map(target).collect();
    if let Targets::Shuffled = setting.targets {
        let order = stream.child("shuffle").permutation(n);
        targets = order.into_iter().map(|i| targets[i]).collect();
    }
    Ok([inputs, Array::from_slice(&[n, 1], &targets)?])
}

/// Half the squared error of a network on examples, in one batch.
pub(super) fn half_squared_error(
    ctx: &Context<'_>,
    model: &Model,
    [inputs, targets]: [Array; 2],
) -> Result<ModelObjective> {
    let batch = targets.shape()[0];
    let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
    let loss = Loss::HalfSquaredError;
    Ok(ModelObjective::from_arrays(ctx, model, loss, vec![inputs], targets, false, &config)?)
}

/// Descends from a point on an objective with half the squared weights; where it ends, and the norm of
/// the gradient there.
pub(super) fn descend(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    mut point: Weights,
) -> Result<(Weights, f64)> {
    let gradients = Gradients::new(ctx, objective)?;
    let start = point.parameters.flatten();
    let found = lbfgs(&start, &LbfgsConfig::default(), |x| {
        ctx.check()?;
        let parameters = point.parameters.unflatten(x)?;
        let at = gradients.at(&Weights { parameters, buffers: point.buffers.clone() })?;
        let mut gradient = at.gradient;
        vector::add_scaled(&mut gradient, DECAY, x);
        Ok((at.at.loss + 0.5 * DECAY * vector::dot(x, x), gradient))
    })?;
    point.parameters = point.parameters.unflatten(&found.point)?;
    Ok((point, found.gradient_norm))
}

/// A network at the end of its descent on clusters.
fn trained(
    bench: &Bench<'_>,
    ctx: &Context<'_>,
    setting: &Setting,
    [k, width]: [usize; 2],
    seed: u64,
) -> Result<(ModelObjective, Weights, f64)> {
    let n = super::sizes(bench.scale()).examples;
    let model = network(width, setting.layers)?;
    let examples = data(setting, k, n, &Stream::new(seed, "papers/clusters"))?;
    let objective = half_squared_error(ctx, &model, examples)?;
    let (point, norm) = descend(ctx, &objective, initialize(&model, seed, DType::F64)?)?;
    Ok((objective, point, norm))
}

/// All eigenvalues of a matrix of the objective at a point.
pub(super) fn eigenvalues(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    point: &Weights,
    matrix: CurvatureMatrix,
) -> Result<Vec<f64>> {
    let operator = Curvature::new(ctx, objective, point, matrix, &Scope::default())?;
    Ok(symmetric_eigen(dense(ctx, &operator)?.rows()).values)
}

/// The largest absolute value.
fn size(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// Places in a row that is read off a spectrum.
pub(super) const OUTLIERS: usize = 0;
pub(super) const BY_EDGE: usize = 1;
pub(super) const ABOVE: usize = 2;
pub(super) const NEGATIVE: usize = 3;
pub(super) const STEEPNESS: usize = 4;
pub(super) const LARGEST: usize = 5;

/// Descends, and reads the spectrum: outliers by the gap and by the edge, eigenvalues above a thousandth
/// of the largest, the size of the most negative one as a share of it, the gradient's norm, the largest.
pub(super) fn spectrum(
    bench: &Bench<'_>,
    setting: &Setting,
    [k, width]: [usize; 2],
    seed: u64,
) -> Result<[f64; 6]> {
    let ctx = bench.exact()?;
    let (objective, point, norm) = trained(bench, &ctx, setting, [k, width], seed)?;
    let values = eigenvalues(&ctx, &objective, &point, CurvatureMatrix::Hessian)?;
    let largest = size(&values);
    Ok([
        count_outliers(&values, GAP)? as f64,
        count_outliers(&values, EDGE)? as f64,
        count_outliers(&values, RISE)? as f64,
        -values.first().copied().unwrap_or(0.0).min(0.0) / largest,
        norm,
        largest,
    ])
}

/// What is read off both parts of a Hessian.
const PARTS: [&str; 4] = [
    "overlap of the top eigenspaces of Hessian and Gauss-Newton matrix",
    "outliers of the Gauss-Newton matrix",
    "outliers of the outputs' gradient covariance",
    "largest eigenvalue of the residual, of the Hessian's",
];

/// Descends, and reads `PARTS`; the eigenspaces are those of the `k` largest eigenvalues.
fn parts(bench: &Bench<'_>, k: usize, width: usize, seed: u64) -> Result<[f64; 4]> {
    let ctx = bench.exact()?;
    let (objective, point, _) = trained(bench, &ctx, &DECIDING, [k, width], seed)?;
    let split = gauss_newton_split(&ctx, &objective, &point, k)?;
    Ok([
        split.overlap,
        count_outliers(&split.gauss_newton, GAP)? as f64,
        count_outliers(&split.outputs, GAP)? as f64,
        size(&split.residual) / size(&split.hessian),
    ])
}

/// Other spreads, targets and depths, at one width.
pub(super) fn read_settings(
    bench: &Bench<'_>,
    sizes: &Sizes,
    seeds: &[u64],
    findings: &mut Findings,
) -> Result<()> {
    let mut steepest = 0.0f64;
    for setting in BESIDE {
        let name = setting.name;
        let mut counts = Vec::new();
        for &k in sizes.clusters {
            let rows = bench.each(&format!("{name}, {k} clusters"), seeds, |&seed| {
                bench.row(&format!("{name}/{k}-{seed}"), || {
                    spectrum(bench, &setting, [k, sizes.beside], seed)
                })
            })?;
            let found = column(&rows, OUTLIERS);
            findings.read_with(format!("outliers, {k} clusters, {name}"), &mean(&found)?);
            steepest = column(&rows, STEEPNESS).into_iter().fold(steepest, f64::max);
            counts.push(found);
        }
        let ks: Vec<f64> = sizes.clusters.iter().map(|&k| k as f64).collect();
        let mut slopes = Vec::new();
        for place in 0..seeds.len() {
            let of_seed: Vec<f64> = counts.iter().map(|found| found[place]).collect();
            slopes.push(fit_line(&ks, &of_seed)?.slope);
        }
        findings.read_with(format!("outliers a cluster, {name}"), &mean(&slopes)?);
    }
    findings.read("largest norm of the gradient at the ends of these", steepest);
    Ok(())
}

/// Both parts of the Hessian, at one width.
pub(super) fn read_parts(
    bench: &Bench<'_>,
    sizes: &Sizes,
    seeds: &[u64],
    findings: &mut Findings,
) -> Result<()> {
    for &k in sizes.clusters {
        let rows = bench.each(&format!("parts, {k} clusters"), seeds, |&seed| {
            bench.row(&format!("parts/{k}-{seed}"), || parts(bench, k, sizes.beside, seed))
        })?;
        findings.read_columns(&PARTS, &rows, |what| format!("{what}, {k} clusters"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_clusters_but_for_shuffled_ones() {
        let n = 12;
        let of = |targets: Targets, k: usize| -> Vec<f64> {
            let setting = Setting { targets, ..DECIDING };
            let [inputs, targets] = data(&setting, k, n, &Stream::new(1, "data")).unwrap();
            assert_eq!((inputs.shape(), targets.shape()), (&[n, 20][..], &[n, 1][..]));
            targets.to_f64_vec()
        };
        let spaced = of(Targets::Spaced, 3);
        assert_eq!(spaced, [-1.0, 0.0, 1.0].repeat(4));
        assert_eq!(of(Targets::Signs, 4), [-1.0, 1.0].repeat(6));
        let mut shuffled = of(Targets::Shuffled, 3);
        assert_ne!(shuffled, spaced);
        let mut sorted = spaced;
        sorted.sort_by(f64::total_cmp);
        shuffled.sort_by(f64::total_cmp);
        assert_eq!(shuffled, sorted);
    }
}
