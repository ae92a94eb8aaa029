//! From what methods find to records.

mod plane_share;
mod spectrum;
mod topology;

pub(crate) use plane_share::{SHARE_PROBES, curvature_share_of, curvature_shares};
pub(crate) use spectrum::NOT_CONVERGED;
pub use spectrum::{
    DensityMethod, Measured, SpectrumConfig, TraceEstimator, most_products, norm_on_all_data,
    spectrum, spectrum_of, spectrum_with_vectors,
};
pub use topology::PROMINENT;

use crate::error::{LabError, Result};
use crate::subject::ObjectiveChoice;
use thalweg_methods::common::Sampling;
use thalweg_methods::gradients::{PathGradient, line_gradients, trajectory_gradients};
use thalweg_methods::sharpness::Rise;
use thalweg_methods::surface::{Osculating, Plane, Surface as Found, osculating};
use thalweg_methods::{Context, Evaluation, MethodError, ModelObjective, Objective, Status};
use thalweg_nn::Weights;
use thalweg_record::{
    COMPUTED, Derivatives, Estimate, Line, LineGradients, NOT_COMPUTED, NOT_FINITE, Parabola,
    Quantity, Surface, SurfaceAttributes, TrajectoryGradients,
};

/// An estimate as a record has it.
pub fn estimate(found: &thalweg_stats::Estimate) -> Estimate {
    Estimate {
        value: found.value,
        standard_error: found.standard_error,
        samples: found.samples as u64,
    }
}

/// A loss: with its standard error where it was taken on a sample.
pub fn loss(found: &Evaluation) -> Quantity {
    match found.standard_error {
        Some(standard_error) => {
            let samples = found.examples as u64;
            Estimate { value: found.loss, standard_error, samples }.into()
        }
        None => found.loss.into(),
    }
}

/// A rise of the loss, with its standard error where the examples are a sample.
pub fn rise(found: &Rise) -> Quantity {
    match found.standard_error {
        Some(standard_error) => {
            let samples = found.examples.len() as u64;
            Estimate { value: found.value, standard_error, samples }.into()
        }
        None => found.value.into(),
    }
}

/// What every surface of an objective says of itself.
pub fn attributes(
    objective: &ModelObjective,
    choice: &ObjectiveChoice,
    seed: u64,
) -> SurfaceAttributes {
    SurfaceAttributes {
        batch_norm: choice.batch_norm.clone(),
        split: choice.split.clone(),
        samples: objective.examples() as u64,
        available: objective.available() as u64,
        batch: objective.batch() as u64,
        loss_name: match choice.loss.as_str() {
            "" => crate::command::loss_name(&objective.loss().to_string()),
            text => crate::command::loss_name(text),
        },
        seed,
        ..SurfaceAttributes::default()
    }
}

/// A surface as a record has it: a leading dimension only for several pairs of directions.
///
/// # Errors
/// None for what a method gives.
pub fn surface(found: &Found, attributes: SurfaceAttributes) -> Result<Surface> {
    let pairs = (found.pairs > 1).then_some(found.pairs);
    let mut record = Surface::new(found.x.clone(), found.y.clone(), pairs, attributes)?;
    record.loss = found.loss.clone();
    record.status = found
        .status
        .iter()
        .map(|status| match status {
            Status::NotComputed => NOT_COMPUTED,
            Status::Computed => COMPUTED,
            Status::NotFinite => NOT_FINITE,
        })
        .collect();
    record.accuracy = found.accuracy.clone();
    record.loss_standard_error = found.loss_standard_error.clone();
    record.topology = topology::topology(&record)?;
    record.check()?;
    Ok(record)
}

/// What nobody asked for is left out where memory does not allow it, and that is said.
///
/// # Errors
/// All others.
pub(crate) fn where_memory_allows<T>(
    ctx: &Context<'_>,
    what: &str,
    found: std::result::Result<T, impl Into<LabError>>,
) -> Result<Option<T>> {
    match found.map_err(Into::into) {
        Err(LabError::Method(error)) if error.is_want_of_memory() => {
            ctx.progress().message(&format!("Not measured: {what}; {error}."));
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// What touches the loss at the centre of a plane along each of its directions.
///
/// # Errors
/// Those of the method.
pub fn parabolas(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
) -> Result<Vec<Parabola>> {
    let mut found = Vec::new();
    for (name, direction) in [("x", Some(&plane.x)), ("y", plane.y.as_ref())] {
        let Some(direction) = direction else { continue };
        let ctx = ctx.within(&format!("centre-{name}"));
        let at = osculating(&ctx, objective, centre, direction, &[0.0])?;
        let part = |estimate: &thalweg_stats::Estimate| sampled(objective, estimate);
        found.extend(at.iter().map(|at| Parabola {
            loss: at.loss.value,
            slope: part(&at.slope),
            curvature: part(&at.curvature),
        }));
    }
    Ok(found)
}

/// Slope and curvature along a line, for each of its points.
///
/// # Errors
/// Those of the method.
pub fn derivatives(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    line: &Plane,
    at: &[f64],
) -> Result<Derivatives> {
    let found = osculating(ctx, objective, centre, &line.x, at)?;
    let column = |of: fn(&Osculating) -> f64| found.iter().map(of).collect::<Vec<_>>();
    let sampled = *objective.sampling() != Sampling::All;
    Ok(Derivatives {
        slope: column(|at| at.slope.value),
        curvature: column(|at| at.curvature.value),
        slope_standard_error: sampled.then(|| column(|at| at.slope.standard_error)),
        curvature_standard_error: sampled.then(|| column(|at| at.curvature.standard_error)),
        gradients: None,
    })
}

/// The gradient along a line, for each of its points.
///
/// # Errors
/// Those of the method.
pub fn gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    line: &Plane,
    at: &[f64],
) -> Result<LineGradients> {
    let found = line_gradients(ctx, objective, centre, &line.x, at)?;
    let column = |of: fn(&PathGradient) -> f64| found.iter().map(of).collect::<Vec<_>>();
    Ok(LineGradients {
        norm: column(|at| at.norm),
        cosine: column(|at| at.cosine),
        turn: column(|at| at.turn),
    })
}

/// The gradient at each checkpoint of a trajectory, which `load` reads.
///
/// # Errors
/// Those of the method and of `load`.
pub(crate) fn checkpoint_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    checkpoints: usize,
    load: &dyn Fn(usize) -> std::result::Result<Weights, MethodError>,
) -> Result<TrajectoryGradients> {
    let found = trajectory_gradients(ctx, objective, checkpoints, load)?;
    let column = |of: fn(&PathGradient) -> f64| found.iter().map(of).collect::<Vec<_>>();
    Ok(TrajectoryGradients {
        way: column(|at| at.at),
        loss: column(|at| at.loss),
        gradients: LineGradients {
            norm: column(|at| at.norm),
            cosine: column(|at| at.cosine),
            turn: column(|at| at.turn),
        },
    })
}

/// A plain number where all examples were taken.
fn sampled(objective: &dyn Objective, found: &thalweg_stats::Estimate) -> Quantity {
    match objective.sampling() {
        Sampling::All => found.value.into(),
        Sampling::Strata(_) => estimate(found).into(),
    }
}

/// A surface of one direction as a line.
pub fn line(name: &str, found: &Found, parabola: Option<Parabola>) -> Line {
    Line {
        parabola,
        name: name.to_owned(),
        at: found.x.clone(),
        loss: found.loss.clone(),
        loss_standard_error: found.loss_standard_error.clone(),
    }
}
