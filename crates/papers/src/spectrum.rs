//! Eigenvalues of trained networks, as checks ask for them.

use thalweg_lab::Result;
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, Eigenpairs, LanczosConfig, Scope, lanczos,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig, Silent};
use thalweg_nn::{Loss, Model, Weights};
use thalweg_train::Examples;

/// The mean loss over all examples as an objective, in one batch.
///
/// # Errors
/// Examples that do not fit the model.
pub fn objective(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    examples: &Examples,
) -> Result<ModelObjective> {
    let n = examples.len();
    let config = ObjectiveConfig { batch: n, ..ObjectiveConfig::default() };
    let (inputs, targets) = (examples.input_rows(0..n)?, examples.targets().clone());
    let classes = examples.classes();
    Ok(ModelObjective::from_arrays(ctx, model, loss, inputs, targets, classes, &config)?)
}

/// Extreme eigenpairs of a curvature matrix of the mean loss over all examples, kept nowhere.
///
/// # Errors
/// Examples that do not fit the model; a product that is not finite.
pub fn extremes(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    weights: &Weights,
    (matrix, scope): (CurvatureMatrix, &Scope),
    config: &LanczosConfig,
) -> Result<Eigenpairs> {
    let ctx = ctx.clone().with_units(&Silent);
    let operator = Curvature::new(&ctx, objective, weights, matrix, scope)?;
    Ok(lanczos(&ctx, &operator, config)?)
}
