//! Full-batch gradient descent on a small tanh network, with the curvature that it meets.
//!
//! # Source    Cohen, Kaur, Li, Kolter, Talwalkar, Gradient descent on neural networks typically
//! occurs at the edge of stability, 2021, arXiv 2103.00065

use thalweg_data::{Normalization, Split, SplitConfig, digits};
use thalweg_exec::Executor;
use thalweg_methods::common::gradient;
use thalweg_methods::curvature::{Hessian, LanczosConfig, lanczos};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Architecture, Loss};

/// Rates, from which step on each runs at its edge, and how many steps it takes. Two rates, so
/// that the level is that of the rate and not where the network ends anyway.
pub const RUNS: [(f64, usize, usize); 2] = [(0.1, 1600, 3000), (0.2, 1000, 2400)];

/// Steps between two looks.
pub const EVERY: usize = 50;

/// What is seen of a descent.
pub struct Look {
    /// Steps taken.
    pub step: usize,
    /// The loss of all examples.
    pub loss: f64,
    /// The largest eigenvalue of its Hessian.
    pub sharpness: f64,
}

/// Descends on half the squared error of 200 digits at a fixed rate.
///
/// # Errors
/// Those of the engine.
pub fn descend(
    executor: &Executor,
    lr: f64,
    steps: usize,
) -> Result<Vec<Look>, Box<dyn std::error::Error>> {
    let ctx = Context::new(executor, 0);
    let split = Split::new(digits(), &SplitConfig::default())?;
    let normalization = Normalization::fit(&split.train)?;
    let architecture: Architecture = "mlp hidden=24-24-24 activation=tanh".parse()?;
    let model = architecture.build(&[8, 8, 1], 10)?;
    let config = ObjectiveConfig { samples: Some(200), batch: 200, ..ObjectiveConfig::default() };
    let loss = Loss::HalfSquaredError;
    let data = Some(&normalization);
    let objective = ModelObjective::new(&ctx, &model, loss, &split.train, data, &config)?;
    let mut point = thalweg_train::initialize(&model, 0, ctx.precision())?;
    let mut looks = Vec::new();
    for step in 0..steps {
        let found = gradient(&ctx, &objective, &point)?;
        if step % EVERY == 0 {
            let hessian = Hessian::new(&ctx, &objective, &point)?;
            let config = LanczosConfig { top: 1, ..LanczosConfig::default() };
            let sharpness = lanczos(&ctx, &hessian, &config)?.top[0].value;
            looks.push(Look { step, loss: found.at.loss, sharpness });
        }
        let direction = point.parameters.unflatten(&found.gradient)?;
        point.parameters = point.parameters.add_scaled(-lr, &direction)?;
    }
    Ok(looks)
}
