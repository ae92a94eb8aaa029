//! The edge of stability, on the embedded digits.

mod common;

use common::model;
use thalweg_data::{Normalization, Split, SplitConfig, digits};
use thalweg_exec::Executor;
use thalweg_methods::common::gradient;
use thalweg_methods::curvature::{Hessian, LanczosConfig, lanczos};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::Loss;

/// Full-batch gradient descent at a fixed rate: the largest eigenvalue of the Hessian rises until
/// `2 / lr`, beyond which a quadratic would diverge, and then hovers there while the loss goes on
/// falling.
///
/// # Source    Cohen, Kaur, Li, Kolter, Talwalkar, Gradient descent on neural networks typically
/// occurs at the edge of stability, 2021, arXiv 2103.00065
#[test]
fn sharpness_rises_to_the_edge_of_stability_and_hovers_there() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0);
    let split = Split::new(digits(), &SplitConfig::default()).unwrap();
    let normalization = Normalization::fit(&split.train).unwrap();
    let model = model("mlp hidden=24-24-24 activation=tanh", &[8, 8, 1], 10);
    let config = ObjectiveConfig { samples: Some(200), batch: 200, ..ObjectiveConfig::default() };
    let data = Some(&normalization);
    let loss = Loss::HalfSquaredError;
    let objective = ModelObjective::new(&ctx, &model, loss, &split.train, data, &config).unwrap();
    // Two rates, so that the level is that of the rate and not where the network ends anyway.
    for (lr, edge_at, steps) in [(0.1, 1600, 3000), (0.2, 1000, 2400)] {
        let mut point = thalweg_train::initialize(&model, 0, ctx.precision()).unwrap();
        let mut trace: Vec<(usize, f64, f64)> = Vec::new();
        for step in 0..steps {
            let found = gradient(&ctx, &objective, &point).unwrap();
            if step % 50 == 0 {
                let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
                let config = LanczosConfig { top: 1, ..LanczosConfig::default() };
                let top = lanczos(&ctx, &hessian, &config).unwrap().top[0].value;
                trace.push((step, found.at.loss, top * lr / 2.0));
            }
            let direction = point.parameters.unflatten(&found.gradient).unwrap();
            point.parameters = point.parameters.add_scaled(-lr, &direction).unwrap();
        }
        let edge: Vec<_> = trace.iter().filter(|(step, ..)| *step >= edge_at).collect();
        assert!(trace[0].2 < 0.65, "{lr}: starts at {} of the edge", trace[0].2);
        let ratios: Vec<f64> = edge.iter().map(|(_, _, ratio)| *ratio).collect();
        assert!(ratios.iter().all(|r| (0.85..1.2).contains(r)), "{lr}: {ratios:?}");
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!((0.95..1.05).contains(&mean), "{lr}: {mean}");
        let (first, last) = (edge[0].1, edge[edge.len() - 1].1);
        assert!(last < 0.7 * first, "{lr}: the loss goes from {first} to {last} at the edge");
    }
}
