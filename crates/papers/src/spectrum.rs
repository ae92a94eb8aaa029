//! Objectives of trained networks and their eigenvalues, as checks ask for them.

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
    objective_of_first(ctx, model, loss, examples, examples.len())
}

/// As [`objective`], over the first `n` examples, or all if there are fewer.
///
/// # Errors
/// As [`objective`].
pub fn objective_of_first(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    examples: &Examples,
    n: usize,
) -> Result<ModelObjective> {
    let n = n.min(examples.len());
    over(ctx, model, loss, examples, n, n)
}

/// As [`objective`], in batches of so many examples.
///
/// # Errors
/// As [`objective`].
pub fn objective_in_batches(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    examples: &Examples,
    batch: usize,
) -> Result<ModelObjective> {
    over(ctx, model, loss, examples, examples.len(), batch)
}

fn over(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    examples: &Examples,
    n: usize,
    batch: usize,
) -> Result<ModelObjective> {
    let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
    let (inputs, targets) = (examples.input_rows(0..n)?, examples.targets().rows(0..n)?);
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
