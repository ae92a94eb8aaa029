//! The Fisher-Rao norm.

use crate::common::{
    Declared, LinearOperator, Objective, Sampling, declare, fit, frozen_at, standard_error, vector,
};
use crate::curvature::{Curvature, CurvatureMatrix, Scope};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError, Pass};
use std::collections::HashMap;
use thalweg_array::Array;
use thalweg_graph::{Builder, Graph};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};
use thalweg_transform::linearize;

/// Which Fisher information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FisherRaoConfig {
    /// That of the targets that there are, as in the definition.
    #[default]
    Data,
    /// That of targets drawn from the model's own distribution, in closed form.
    Model,
}

/// What [`fisher_rao_norm`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct FisherRao {
    /// The norm.
    pub norm: f64,
    /// Its standard error, where the examples are a sample.
    pub standard_error: Option<f64>,
    /// Influence of each example on the norm, to first order, added to the norm: their mean is the
    /// norm. Empty for the model's distribution.
    pub examples: Vec<f64>,
}

/// The length of the weights in the metric of the Fisher information.
///
/// `|w|_fr = sqrt(<w, I(w) w>)`, `I(w) = E[grad l grad l^T]`, so that `|w|_fr^2` is the mean over
/// examples of `<w, grad l_i>^2`: definition 2. For a network of `d` homogeneous layers without
/// biases `<w, grad l_i> = d <dl_i/df, f>`, which sees the function only. Any linear change of
/// coordinates leaves it as it is.
///
/// One derivative along the weights, forward, of all the data.
///
/// # Errors
/// Weights of another model; of the model's distribution: an objective without a loss; a value that
/// is not finite; those of the engine.
/// # Source    Liang, Poggio, Rakhlin, Stokes, Fisher-Rao metric, geometry, and complexity of neural
/// networks, 2019, arXiv 1711.01530
pub fn fisher_rao_norm(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &FisherRaoConfig,
) -> Result<FisherRao, MethodError> {
    ctx.progress().start("Fisher-Rao norm", 1);
    let found = match config {
        FisherRaoConfig::Data => of_data(ctx, objective, point)?,
        FisherRaoConfig::Model => of_model(ctx, objective, point)?,
    };
    ctx.progress().advance(1);
    match found.norm.is_finite() {
        true => Ok(found),
        false => {
            let what = "the Fisher-Rao norm".to_owned();
            Err(MethodError::NotFinite { what, value: found.norm.to_string() })
        }
    }
}

fn of_data(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<FisherRao, MethodError> {
    let key = "fisher-rao/data";
    let arrays = ctx.unit(key, || {
        let along = along_weights(ctx, objective, point)?;
        Ok(vec![("along".into(), Array::vector(&along))])
    })?;
    let along = stored(key, &arrays, "along", objective.examples())?;
    let squares: Vec<f64> = along.iter().map(|x| x * x).collect();
    let norm = (pairwise_sum(&squares) / squares.len().max(1) as f64).sqrt();
    // Of the root of a mean to first order: each term's distance from the mean, by twice the root.
    let influence = |square: &f64| match norm > 0.0 {
        true => norm + 0.5 * (square - norm * norm) / norm,
        false => 0.0,
    };
    let examples: Vec<f64> = squares.iter().map(influence).collect();
    let standard_error = match objective.sampling() {
        Sampling::All => None,
        Sampling::Strata(strata) => Some(standard_error(&examples, strata)),
    };
    Ok(FisherRao { norm, standard_error, examples })
}

fn of_model(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<FisherRao, MethodError> {
    let fisher = Curvature::new(ctx, objective, point, CurvatureMatrix::Fisher, &Scope::default())?;
    let weights = point.parameters.flatten();
    let key = "fisher-rao/model";
    let arrays =
        ctx.unit(key, || Ok(vec![("product".into(), Array::vector(&fisher.product(&weights)?))]))?;
    let product = stored(key, &arrays, "product", weights.len())?;
    let norm = vector::dot(&weights, product).max(0.0).sqrt();
    Ok(FisherRao { norm, standard_error: None, examples: Vec::new() })
}

/// `<w, grad l_i>` of each example.
fn along_weights(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<f64>, MethodError> {
    let point = frozen_at(ctx, objective, point)?;
    let shared = [point.parameters.arrays(), point.buffers.arrays()].concat();
    let mut programs = HashMap::new();
    for (size, batch) in objective.sizes() {
        let (_, program) = fit(ctx, "one gradient", 1, |_| graph(objective, batch))?;
        programs.insert(size, program);
    }
    let mut along = Vec::with_capacity(objective.examples());
    for (batch, size) in objective.batches().iter().enumerate() {
        ctx.check()?;
        // A derivative along a direction takes the passes of a gradient.
        ctx.spend(Pass::Gradient, *size);
        let inputs: Vec<Array> = [shared.as_slice(), &objective.data(batch)?].concat();
        for array in programs[size].run(inputs)? {
            along.extend(array.to_f64_vec());
        }
    }
    Ok(along)
}

fn graph(objective: &dyn Objective, batch: usize) -> Result<Graph, MethodError> {
    let builder = Builder::new(objective.float());
    let Declared { parameters, losses, .. } = declare(&builder, objective, batch)?;
    let along = linearize(&[losses], &parameters).apply(&parameters);
    Ok(builder.finish(&[("along", along[0])])?)
}

/// [`fisher_rao_norm`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct FisherRaoNorm;

impl Instrument for FisherRaoNorm {
    const ID: &'static str = "fisher_rao_norm";
    const SUMMARY: &'static str = "length of the weights in the metric of the Fisher information";
    const SOURCE: &'static str = "Liang et al. 2019, arXiv 1711.01530";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
        Invariance::Rotation,
        Invariance::LinearCoordinates,
    ];
    type Config = FisherRaoConfig;
    type Reading = FisherRao;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &FisherRaoConfig,
    ) -> Result<FisherRao, MethodError> {
        fisher_rao_norm(ctx, objective, point, config)
    }

    fn cost(config: &FisherRaoConfig, _: &Size) -> Cost {
        match config {
            FisherRaoConfig::Data => Cost::exactly(0, 1, 0),
            FisherRaoConfig::Model => Cost::exactly(0, 0, 1),
        }
    }

    fn quantities(reading: &FisherRao) -> Vec<Quantity> {
        let name = "Fisher-Rao norm";
        let quantity = match reading.standard_error {
            None => Quantity::exact(name, reading.norm),
            Some(standard_error) => {
                let (value, samples) = (reading.norm, reading.examples.len());
                Quantity::estimated(name, Estimate { value, standard_error, samples })
            }
        };
        vec![match reading.examples.is_empty() {
            true => quantity,
            false => quantity.with_terms(Over::Examples, &reading.examples),
        }]
    }

    fn refused() -> Vec<FisherRaoConfig> {
        Vec::new()
    }
}
