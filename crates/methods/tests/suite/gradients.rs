//! Gradients of batches against the matrix of their covariance.

use crate::common::{exact, labelled, model, planted, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::gradient;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, Scope, exact_moments};
use thalweg_methods::gradients::{BatchGradientsConfig, gradient_noise_scale};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::Loss;
use thalweg_stats::Estimate;

#[test]
fn noise_is_that_of_the_covariance_matrix() {
    let (inputs, _) = planted(40, 4);
    let model = model("mlp hidden=5", &[4], 3);
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let data = labelled(&inputs, 3);
    let config = ObjectiveConfig { batch: 16, ..ObjectiveConfig::default() };
    let objective =
        ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let covariance = CurvatureMatrix::GradientCovariance;
    let matrix = Curvature::new(&ctx, &objective, &point, covariance, &Scope::default()).unwrap();
    // The matrix is that of these examples, the estimate that of what they are drawn from.
    let trace = exact_moments(&ctx, &matrix).unwrap().trace * 40.0 / 39.0;
    let length = gradient(&ctx, &objective, &point).unwrap().norm();
    let square = length * length - trace / 40.0;
    let one = BatchGradientsConfig { m: 1, batches: 40 };
    let found = gradient_noise_scale(&ctx, &objective, &point, &one).unwrap();
    assert!((found.covariance.value / trace - 1.0).abs() < 1e-10, "{found:?} {trace}");
    assert!((found.square.value - square).abs() < 1e-10, "{found:?} {square}");
    // Batches of four tell the same on average over orders. Their bars are for batches from more
    // than these examples, and are tested where there are more.
    let four = BatchGradientsConfig { m: 4, batches: 10 };
    let covariance = |seed| {
        let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
        gradient_noise_scale(&ctx, &objective, &point, &four).unwrap().covariance.value
    };
    let mean = Estimate::mean(&(0..100).map(covariance).collect::<Vec<_>>()).unwrap();
    assert!((mean.value - trace).abs() < 4.0 * mean.standard_error, "{mean:?} {trace}");
    assert!(mean.standard_error < 0.1 * trace, "{mean:?} {trace}");
}
