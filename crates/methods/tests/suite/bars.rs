//! Over 200 seeds, how often the error bars of instruments hold what they are bars of: the number of all
//! the data, where it is read on a sample, or the one of all draws.

use crate::common::{SEEDS, honest, labelled, model, planted, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::curvature::{
    DensityConfig, FrobeniusNorm, Hessian, Hutchinson, HutchinsonConfig, KernelPolynomial,
    KernelPolynomialConfig, SpectralDensity, exact_moments,
};
use thalweg_methods::dynamics::{FeatureRank, FeatureRankConfig};
use thalweg_methods::gradients::{BatchGradientsConfig, gradient_confusion};
use thalweg_methods::registry::{Instrument, Quantity, Value};
use thalweg_methods::sharpness::{
    AverageSharpness, AverageSharpnessConfig, CriticalSharpness, CriticalSharpnessConfig,
    MSharpnessConfig, RelativeFlatness, RelativeFlatnessConfig, m_sharpness,
};
use thalweg_methods::surface::{
    BasinConfig, BasinVolume, MeanLoss, RoughnessConfig, RoughnessIndex,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Loss, Weights};
use thalweg_stats::Estimate;

/// A small network on 600 examples of three classes, or on a sample of them.
fn scene(ctx: &Context<'_>, samples: Option<usize>) -> (ModelObjective, Weights) {
    let (inputs, _) = planted(600, 4);
    let model = model("mlp hidden=4 activation=tanh", &[4], 3);
    let config = ObjectiveConfig { samples, ..ObjectiveConfig::default() };
    let data = labelled(&inputs, 3);
    let objective = ModelObjective::new(ctx, &model, Loss::default(), &data, None, &config);
    (objective.unwrap(), weights(&model, DType::F64))
}

fn at(executor: &Executor, seed: u64) -> Context<'_> {
    Context::new(executor, seed).with_precision(DType::F64).unwrap()
}

/// What an instrument reads, on all the examples or on a sample.
fn read<I: Instrument>(
    ctx: &Context<'_>,
    samples: Option<usize>,
    config: &I::Config,
) -> Vec<Quantity> {
    let (objective, point) = scene(ctx, samples);
    I::quantities(&I::measure(ctx, &objective, &point, config).unwrap())
}

/// Over samples of so many examples, how often 95 % bars hold the numbers of all of them.
fn on_samples<I: Instrument>(truth: &[f64], samples: usize, config: &I::Config) {
    let executor = Executor::new(1);
    let (mut covered, mut bias) = (vec![0; truth.len()], vec![0.0; truth.len()]);
    for seed in 0..SEEDS {
        let found = read::<I>(&at(&executor, seed), Some(samples), config);
        for (which, (quantity, truth)) in found.iter().zip(truth).enumerate() {
            let Value::Estimated(found) = &quantity.value else { panic!("{quantity:?}") };
            covered[which] += usize::from(found.interval(0.95).unwrap().contains(*truth));
            bias[which] += (found.value - truth) / found.standard_error / SEEDS as f64;
        }
    }
    println!("{}: {covered:?} of {SEEDS}, bias {bias:?}", I::ID);
    for (which, count) in covered.into_iter().enumerate() {
        honest(&format!("{}, number {which}", I::ID), count);
    }
}

/// The numbers of all the examples, which are exact.
fn of_all<I: Instrument>(config: &I::Config) -> Vec<f64> {
    let executor = Executor::new(1);
    let found = read::<I>(&at(&executor, 0), None, config);
    let exact = |quantity: &Quantity| {
        assert!(quantity.value.standard_error().is_none(), "{quantity:?}");
        quantity.value.number()
    };
    found.iter().map(exact).collect()
}

#[test]
fn bars_of_loss_and_accuracy_cover() {
    on_samples::<MeanLoss>(&of_all::<MeanLoss>(&()), 100, &());
}

#[test]
fn bars_of_feature_ranks_cover() {
    let config = FeatureRankConfig::default();
    // The third is a whole number, which has no bar.
    let ranks = &of_all::<FeatureRank>(&config)[..2];
    on_samples::<FeatureRank>(ranks, 100, &config);
}

#[test]
fn bars_of_critical_sharpness_cover() {
    let config = CriticalSharpnessConfig { tolerance: 1e-5, ..CriticalSharpnessConfig::default() };
    on_samples::<CriticalSharpness>(&of_all::<CriticalSharpness>(&config), 150, &config);
}

#[test]
fn bars_of_average_sharpness_cover_on_samples() {
    let (rho, executor) = (0.05, Executor::new(1));
    let many = AverageSharpnessConfig { rho, draws: 2000 };
    let truth = read::<AverageSharpness>(&at(&executor, SEEDS), None, &many);
    let config = AverageSharpnessConfig { rho, draws: 24 };
    on_samples::<AverageSharpness>(&[truth[0].value.number()], 100, &config);
}

#[test]
fn bars_of_relative_flatness_cover_on_samples() {
    let executor = Executor::new(1);
    let probes = |probes: usize| RelativeFlatnessConfig { layer: None, probes };
    let truth = read::<RelativeFlatness>(&at(&executor, SEEDS), None, &probes(4000));
    on_samples::<RelativeFlatness>(&[truth[0].value.number()], 100, &probes(24));
}

#[test]
fn bars_along_lines_and_rays_cover_on_samples() {
    let executor = Executor::new(1);
    let numbers = |found: Vec<Quantity>| -> Vec<f64> {
        found.iter().map(|quantity| quantity.value.number()).collect()
    };
    // So far out that most lines turn; where few do, the bars are too short (see `roughness_index`).
    let lines = |directions: usize| RoughnessConfig {
        directions,
        half_width: 0.5,
        ..RoughnessConfig::default()
    };
    let truth = read::<RoughnessIndex>(&at(&executor, SEEDS), None, &lines(2000));
    on_samples::<RoughnessIndex>(&numbers(truth), 150, &lines(50));
    let rays = |rays: usize| BasinConfig { rays, ..BasinConfig::default() };
    let truth = read::<BasinVolume>(&at(&executor, SEEDS), None, &rays(500));
    on_samples::<BasinVolume>(&numbers(truth), 60, &rays(8));
}

/// The square of a sample's mean is too large, and what the probes say of it is not all.
#[test]
fn bars_of_norms_and_moments_cover_on_samples() {
    let executor = Executor::new(1);
    let ctx = at(&executor, 0);
    let (objective, point) = scene(&ctx, None);
    let exact = exact_moments(&ctx, &Hessian::new(&ctx, &objective, &point).unwrap()).unwrap();
    let (trace, square) = (exact.trace, exact.frobenius_squared);
    let n = point.parameters.count() as f64;
    let probes = HutchinsonConfig { probes: 32, tolerance: 0.0 };
    on_samples::<Hutchinson>(&[trace, square], 100, &probes);
    on_samples::<FrobeniusNorm>(&[square.sqrt()], 100, &probes.into());
    let config = DensityConfig { probes: 32, steps: 2, ..DensityConfig::default() };
    on_samples::<SpectralDensity>(&[trace / n, square / n], 100, &config);
    let config = KernelPolynomialConfig { probes: 32, moments: 3, points: 20 };
    on_samples::<KernelPolynomial>(&[trace / n, square / n], 100, &config);
}

/// Of all the data, most of which the batches are, and of a sample of them.
#[test]
fn bars_of_batches_cover() {
    let executor = Executor::new(1);
    let rises = |seed: u64, samples: Option<usize>, batches: Option<usize>| {
        let ctx = at(&executor, seed);
        let (objective, point) = scene(&ctx, samples);
        let config = MSharpnessConfig { m: 12, batches, ..MSharpnessConfig::default() };
        m_sharpness(&ctx, &objective, &point, &config).unwrap().estimate.unwrap()
    };
    let means: Vec<f64> = (0..SEEDS).map(|seed| rises(SEEDS + seed, None, None).value).collect();
    let truth = Estimate::mean(&means).unwrap().value;
    for (samples, batches) in [(None, None), (None, Some(20)), (Some(180), None)] {
        let held = |seed: &u64| {
            let found = rises(*seed, samples, batches);
            found.interval(0.95).unwrap().contains(truth)
        };
        let count = (0..SEEDS).filter(held).count();
        honest(&format!("m-sharpness on {samples:?} by {batches:?} batches"), count);
    }
}

#[test]
fn bars_of_mean_cosines_cover() {
    let executor = Executor::new(1);
    let (objective, point) = scene(&at(&executor, 0), None);
    let cosine = |seed: u64, batches: usize| {
        let config = BatchGradientsConfig { m: 8, batches };
        let found = gradient_confusion(&at(&executor, seed), &objective, &point, &config);
        found.unwrap().mean_cosine
    };
    let means: Vec<f64> = (0..SEEDS).map(|seed| cosine(SEEDS + seed, 75).value).collect();
    let truth = Estimate::mean(&means).unwrap().value;
    let held = |seed: &u64| cosine(*seed, 12).interval(0.95).unwrap().contains(truth);
    honest("mean cosine", (0..SEEDS).filter(held).count());
}
