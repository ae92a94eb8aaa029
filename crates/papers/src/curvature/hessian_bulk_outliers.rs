//! The Hessian of a trained network is a bulk near zero and a few outliers: as many as there are
//! clusters in the data, however wide the network.
//!
//! # Protocol
//! `k` Gaussian clusters in 20 dimensions (600 examples, centres of norm `sqrt 20`, spread 0.3), the
//! target of cluster `c` the `c`-th of `k` evenly spaced values in -1 to 1. A network of one hidden
//! tanh layer and one output descends on half the squared error plus `1e-3 / 2` times the squared
//! weights, by L-BFGS to a gradient norm below 1e-5; then all eigenvalues of the error's own Hessian
//! in double precision. `k` is 2, 3, 5, 8 and the width 6, 12, 24, 36; ten seeds draw clusters and
//! weights.
//!
//! Outliers `o` are the absolute eigenvalues before the largest ratio of one to the next, looked for
//! among the first 30 whatever `k` is; `b` counts those above a thousandth of the largest. Deciding,
//! each a mean over seeds: the slope of `o` on `k`, the mean of `|o - k|`, the slope of `o` on
//! `log2 width`, the slope of `ln b` on the logarithm of the number of parameters (if the bulk takes
//! the new parameters, `b` stands still), and the barrier between where large batches end on digits
//! and where small ones lead on from there, as a share of the loss at the start (ten seeds).
//!
//! # Departures
//! The counted outliers are a clean notion with one output and squared error only; with more outputs
//! there are tiers of them, with cross-entropy near zero loss the gap closes. The paper's networks of
//! several outputs are therefore not part of what decides. Small batches go on for half as many
//! epochs as large ones took.
//!
//! # Source    Sagun, Evci, Guney, Dauphin, Bottou, Empirical analysis of the Hessian of
//! over-parametrized neural networks, 2017, arXiv 1706.04454

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::data::all_digits;
use crate::spectrum::objective;
use crate::statistic::mean;
use crate::work;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::common::{
    Gradients, LbfgsConfig, barrier, lbfgs, linear_path, symmetric_eigen, vector,
};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, OutlierRule, Scope, count_outliers, dense,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig, evaluate};
use thalweg_nn::architecture::Mlp;
use thalweg_nn::layer::Activation;
use thalweg_nn::{Architecture, Loss, Model, Weights};
use thalweg_stats::{Bound, fit_line};
use thalweg_train::{Length, Member, Optimizer, Schedule, TrainConfig, initialize};

/// The check.
pub(crate) struct HessianBulkOutliers;

const DIMENSIONS: usize = 20;
const SPREAD: f64 = 0.3;
/// Factor of half the squared weights while descending.
const DECAY: f64 = 1e-3;
const GAP: OutlierRule = OutlierRule::LargestGap { most: 30 };
const EDGE: OutlierRule = OutlierRule::BulkEdge { factor: 10.0, level: 0.95 };
/// Points of the path between two ends.
const PATH: usize = 21;
/// Products with the Hessian that the descent is counted as, for the plan.
const STEPS: usize = 800;

/// Sizes of the experiment.
struct Sizes {
    clusters: &'static [usize],
    widths: &'static [usize],
    examples: usize,
    seeds: u64,
    /// Epochs of large and of small batches, and examples in a batch of each.
    epochs: [u64; 2],
    batch: [usize; 2],
    hidden: usize,
}

fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            clusters: &[2, 3, 5, 8],
            widths: &[6, 12, 24, 36],
            examples: 600,
            seeds: 10,
            epochs: [40, 20],
            batch: [512, 16],
            hidden: 32,
        },
        Scale::Sample => Sizes {
            clusters: &[2, 3],
            widths: &[3, 6],
            examples: 60,
            seeds: 2,
            epochs: [4, 1],
            batch: [512, 64],
            hidden: 8,
        },
    }
}

fn network(width: usize) -> Result<Model> {
    let mlp = Mlp { hidden: vec![width], activation: Activation::Tanh, ..Mlp::default() };
    Ok(Architecture::from(mlp).build(&[DIMENSIONS], 1)?)
}

fn digit_network(hidden: usize) -> Result<Model> {
    Ok(Architecture::from(Mlp { hidden: vec![hidden], ..Mlp::default() }).build(&[64], 10)?)
}

/// Clusters and their targets: inputs `[n, 20]`, targets `[n, 1]`.
fn clusters(k: usize, n: usize, stream: &Stream) -> Result<[Array; 2]> {
    let (places, noise) = (stream.child("centres"), stream.child("noise"));
    let centre = |c: usize| -> Vec<f64> {
        let draws = places.at(c as u64);
        let centre: Vec<f64> = (0..DIMENSIONS as u64).map(|i| draws.normal(i)).collect();
        let length = vector::norm(&centre) / (DIMENSIONS as f64).sqrt();
        centre.into_iter().map(|x| x / length).collect()
    };
    let centres: Vec<Vec<f64>> = (0..k).map(centre).collect();
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for i in 0..n {
        let c = i % k;
        let draws = noise.at(i as u64);
        inputs.extend((0..DIMENSIONS).map(|d| centres[c][d] + SPREAD * draws.normal(d as u64)));
        targets.push(2.0 * c as f64 / (k - 1) as f64 - 1.0);
    }
    Ok([Array::from_slice(&[n, DIMENSIONS], &inputs)?, Array::from_slice(&[n, 1], &targets)?])
}

/// All eigenvalues of a matrix of the objective at a point.
fn eigenvalues(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    point: &Weights,
    matrix: CurvatureMatrix,
) -> Result<Vec<f64>> {
    let operator = Curvature::new(ctx, objective, point, matrix, &Scope::default())?;
    Ok(symmetric_eigen(dense(ctx, &operator)?.rows()).values)
}

/// What is read off one network on clusters.
struct Spectrum {
    outliers: f64,
    by_edge: f64,
    above: f64,
    negative: f64,
    gradient_norm: f64,
}

impl Spectrum {
    fn from_numbers(numbers: &[f64]) -> Option<Spectrum> {
        let [outliers, by_edge, above, negative, gradient_norm] = *numbers else { return None };
        Some(Spectrum { outliers, by_edge, above, negative, gradient_norm })
    }
}

/// Descends, and reads the spectrum.
fn spectrum(bench: &Bench<'_>, k: usize, width: usize, seed: u64) -> Result<Vec<f64>> {
    let ctx = bench.exact()?;
    let n = sizes(bench.scale()).examples;
    let [inputs, targets] = clusters(k, n, &Stream::new(seed, "papers/clusters"))?;
    let model = network(width)?;
    let config = ObjectiveConfig { batch: n, ..ObjectiveConfig::default() };
    let loss = Loss::HalfSquaredError;
    let objective =
        ModelObjective::from_arrays(&ctx, &model, loss, vec![inputs], targets, false, &config)?;
    let mut point = initialize(&model, seed, DType::F64)?;
    let gradients = Gradients::new(&ctx, &objective)?;
    let start = point.parameters.flatten();
    let found = lbfgs(&start, &LbfgsConfig::default(), |x| {
        let parameters = point.parameters.unflatten(x)?;
        let at = gradients.at(&Weights { parameters, buffers: point.buffers.clone() })?;
        let mut gradient = at.gradient;
        vector::add_scaled(&mut gradient, DECAY, x);
        Ok((at.at.loss + 0.5 * DECAY * vector::dot(x, x), gradient))
    })?;
    point.parameters = point.parameters.unflatten(&found.point)?;
    let values = eigenvalues(&ctx, &objective, &point, CurvatureMatrix::Hessian)?;
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let above = values.iter().filter(|value| value.abs() >= 1e-3 * largest).count();
    Ok(vec![
        count_outliers(&values, GAP)? as f64,
        count_outliers(&values, EDGE)? as f64,
        above as f64,
        -values.first().copied().unwrap_or(0.0).min(0.0) / largest,
        found.gradient_norm,
    ])
}

/// The barrier between the ends of large batches and of small ones that go on from there, and the
/// loss at the start.
fn basins(bench: &Bench<'_>, sizes: &Sizes, seeds: &[u64]) -> Result<Vec<f64>> {
    let model = digit_network(sizes.hidden)?;
    let examples = all_digits(DType::F32)?;
    let trainer = |which: usize| {
        let config = TrainConfig {
            optimizer: Optimizer::sgd(),
            schedule: Schedule::default(),
            batch: sizes.batch[which],
            length: Length::Epochs(sizes.epochs[which]),
            ..TrainConfig::default()
        };
        bench.trainer(&model, &examples, config)
    };
    let members = Member::product(seeds, &[0.1]);
    let large = bench.train("basins/large", &trainer(0)?, &members)?;
    let ends: Vec<Weights> = large.into_iter().map(|network| network.weights).collect();
    let small = bench.train_from("basins/small", &trainer(1)?, &members, &ends)?;
    let ctx = bench.context();
    let objective = objective(ctx, &model, Loss::default(), &examples)?;
    let mut shares = Vec::new();
    for (i, seed) in seeds.iter().enumerate() {
        let start = evaluate(ctx, &objective, &initialize(&model, *seed, DType::F32)?)?.loss;
        let path = linear_path(ctx, &objective, &ends[i], &small[i].weights, PATH)?;
        shares.push(barrier(&path) / start);
    }
    Ok(shares)
}

impl Check for HessianBulkOutliers {
    fn slug(&self) -> &'static str {
        "hessian_bulk_outliers"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let mut flops = 0;
        for &width in sizes.widths {
            let model = network(width)?;
            let cells = sizes.clusters.len() * sizes.seeds as usize;
            let products = model.parameter_count() + STEPS / 2;
            flops += work::products(&model, sizes.examples, products * cells)?;
        }
        let digits = digit_network(sizes.hidden)?;
        for (batch, epochs) in sizes.batch.into_iter().zip(sizes.epochs) {
            let steps = epochs * (1797 / batch) as u64;
            flops += work::training(&digits, batch, steps, sizes.seeds as usize)?;
        }
        flops += work::forward(&digits, 1797 * PATH * sizes.seeds as usize)?;
        let part = |name, statistic, bound| Part { name, statistic, bound };
        Ok(Protocol {
            data: "Gaussian clusters in 20 dimensions, drawn by the seed; for basins the digits"
                .into(),
            arms: vec![
                "2 to 8 clusters, at each width".into(),
                "widths 6 to 36, at each number of clusters".into(),
                "batches of 512 to the end, and batches of 16 from there".into(),
            ],
            settings: 1,
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part(
                    "outliers a cluster",
                    "slope of the number of outliers on the number of clusters",
                    Bound::Within { low: 0.7, high: 1.3, margin: 0.2 },
                ),
                part(
                    "miscount",
                    "mean distance of the number of outliers from that of clusters",
                    Bound::Below { claim: 1.0, opposite: 2.0 },
                ),
                part(
                    "outliers a doubling of the width",
                    "slope of the number of outliers on the binary logarithm of the width",
                    Bound::Within { low: -0.5, high: 0.5, margin: 0.5 },
                ),
                part(
                    "growth above the bulk",
                    "slope of the log number of eigenvalues above a thousandth of the largest on the \
                     log number of parameters",
                    Bound::Below { claim: 0.5, opposite: 1.0 },
                ),
                part(
                    "barrier between batch sizes",
                    "largest rise on the line from the large batches' end to the small ones', as a \
                     share of the loss at the start",
                    Bound::Below { claim: 0.02, opposite: 0.2 },
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        // Without a hidden layer the model has no curvature of its own: H = G.
        let ctx = bench.exact()?;
        let [inputs, targets] = clusters(3, 60, &Stream::new(bench.root(), "papers/gate"))?;
        let model = "linear".parse::<Architecture>()?.build(&[DIMENSIONS], 1)?;
        let config = ObjectiveConfig::default();
        let objective = ModelObjective::from_arrays(
            &ctx,
            &model,
            Loss::HalfSquaredError,
            vec![inputs],
            targets,
            false,
            &config,
        )?;
        let point = initialize(&model, bench.root(), DType::F64)?;
        let of = |matrix| eigenvalues(&ctx, &objective, &point, matrix);
        let (hessian, newton) = (of(CurvatureMatrix::Hessian)?, of(CurvatureMatrix::GaussNewton)?);
        let apart = hessian.iter().zip(&newton).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let scale = hessian.last().copied().unwrap_or(0.0);
        let equal = Gate::new(
            "a linear model's Hessian is its Gauss-Newton matrix",
            apart <= 1e-10 * scale,
            format!("apart by {apart:.1e} of {scale:.2}"),
        );
        // Three planted outliers over a bulk of 200.
        let stream = Stream::new(bench.root(), "papers/planted spectrum");
        let mut planted: Vec<f64> = (0..200).map(|i| 0.01 * stream.normal(i)).collect();
        planted.extend([1.0, 1.5, -2.0]);
        let counts = [count_outliers(&planted, GAP)?, count_outliers(&planted, EDGE)?];
        let found = format!("{} and {} of 3", counts[0], counts[1]);
        Ok(vec![equal, Gate::new("planted outliers are counted", counts == [3, 3], found)])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "As many outliers as clusters in every one of the 160 networks, by the largest gap; the \
             edge of the bulk, the other rule, is off by 1.7 on average. That there is no barrier says \
             little: batches of 512 take 120 steps here, which may be no end at all.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let (mut on_k, mut miscount, mut on_width, mut growth) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut edges, mut negative, mut steepest) = (Vec::new(), Vec::new(), 0.0f64);
        let cells = sizes.clusters.len() * sizes.widths.len() * seeds.len();
        bench.context().progress().start("spectra", cells as u64);
        for &seed in &seeds {
            let (mut ks, mut widths, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            let (mut parameters, mut above) = (Vec::new(), Vec::new());
            for &k in sizes.clusters {
                for &width in sizes.widths {
                    let key = format!("spectrum/{k}-{width}-{seed}");
                    let numbers = bench.numbers(&key, || spectrum(bench, k, width, seed))?;
                    bench.context().progress().advance(1);
                    let Some(found) = Spectrum::from_numbers(&numbers) else { continue };
                    ks.push(k as f64);
                    widths.push((width as f64).log2());
                    counts.push(found.outliers);
                    parameters.push((network(width)?.parameter_count() as f64).ln());
                    above.push(found.above.max(1.0).ln());
                    edges.push((found.by_edge - k as f64).abs());
                    negative.push(found.negative);
                    steepest = steepest.max(found.gradient_norm);
                }
            }
            on_k.push(fit_line(&ks, &counts)?.slope);
            on_width.push(fit_line(&widths, &counts)?.slope);
            growth.push(fit_line(&parameters, &above)?.slope);
            let off: Vec<f64> = counts.iter().zip(&ks).map(|(o, k)| (o - k).abs()).collect();
            miscount.push(off.iter().sum::<f64>() / off.len() as f64);
        }
        let barriers = bench.numbers("basins/barriers", || basins(bench, &sizes, &seeds))?;
        let mut findings = Findings::default();
        for samples in [&on_k, &miscount, &on_width, &growth, &barriers] {
            findings.parts.push(mean(samples)?);
        }
        findings.gates.push(Gate::new(
            "every descent ends where the gradient is small",
            steepest < 1e-5 * 1.001,
            format!("largest norm {steepest:.1e}"),
        ));
        let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        findings.read("mean miscount by the edge of the bulk", average(&edges));
        findings
            .read("mean size of the most negative eigenvalue, of the largest", average(&negative));
        Ok(findings)
    }
}
