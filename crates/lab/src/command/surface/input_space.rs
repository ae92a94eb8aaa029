//! Directions through the space of inputs.

use super::plan::Plan;
use crate::directions::Kind;
use crate::error::{LabError, Result};
use crate::weights_reader::read_weights;
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_methods::common::{gradient, vector};
use thalweg_methods::surface::{Plane, given};
use thalweg_methods::{Context, InputObjective, Objective};
use thalweg_nn::Parameters;

/// The planes that a surface in input space is of.
///
/// Random directions are Gaussian, made unit vectors, the second at right angles to the first. With
/// the gradient the first is its unit vector, with signs the signs of its elements, and the second then
/// random signs. Files hold `x.input` and `y.input`, used as they are.
///
/// # Errors
/// A gradient that is zero or not finite; files that cannot be read or hold something else.
pub(super) fn planes(
    ctx: &Context<'_>,
    objective: &InputObjective<'_>,
    plan: &Plan,
    pairs: usize,
) -> Result<Vec<Plane>> {
    let centre = objective.centre()?;
    let tree = |values: &[f64]| -> Result<Parameters> { Ok(centre.parameters.unflatten(values)?) };
    let dimension = centre.parameters.flatten().len();
    let along = match plan.kind {
        Kind::Gradient | Kind::Signs => {
            let found = gradient(ctx, objective, &centre)?;
            if !(found.norm() > 0.0 && found.norm().is_finite()) {
                return Err(LabError::Input(format!(
                    "--directions {}: the gradient by the input has the norm {}, expected one that \
                     is above zero",
                    plan.kind,
                    found.norm()
                )));
            }
            Some(found.gradient)
        }
        _ => None,
    };
    let draw = |pair: usize, axis: &str| -> Vec<f64> {
        let stream: Stream = ctx.stream("input directions").at(pair as u64).child(axis);
        (0..dimension as u64).map(|i| stream.normal(i)).collect()
    };
    let sign = |v: &f64| if *v == 0.0 { 0.0 } else { v.signum() };
    let mut planes = Vec::new();
    for pair in 0..pairs {
        let (x, y): (Parameters, Option<Parameters>) = match &plan.kind {
            Kind::Files(paths) => {
                let read = paths.iter().map(|path| read_weights(path));
                let mut entries: Vec<(String, Array)> = Vec::new();
                for (axis, file) in ["x", "y"].into_iter().zip(read) {
                    let named = file?.tensors.into_iter().map(|(name, array)| match &*name {
                        // A file of its own for each direction.
                        "input" => (format!("{axis}.input"), array),
                        _ => (name, array),
                    });
                    entries.extend(named);
                }
                let parameters = objective.parameters();
                let y = plan.two.then(|| given(parameters, "y", &entries)).transpose()?;
                (given(parameters, "x", &entries)?, y)
            }
            Kind::Signs => {
                let signs: Vec<f64> = along.iter().flatten().map(sign).collect();
                let random: Vec<f64> = draw(pair, "y").iter().map(sign).collect();
                (tree(&signs)?, plan.two.then(|| tree(&random)).transpose()?)
            }
            _ => {
                let mut x = along.clone().unwrap_or_else(|| draw(pair, "x"));
                let length = vector::norm(&x);
                vector::scale(&mut x, 1.0 / length);
                let mut y = draw(pair, "y");
                let basis = [x];
                // In one dimension there is no second.
                if dimension > 1 {
                    vector::orthogonalize(&mut y, &basis, &mut [0.0]);
                }
                let length = vector::norm(&y);
                vector::scale(&mut y, 1.0 / length);
                (tree(&basis[0])?, plan.two.then(|| tree(&y)).transpose()?)
            }
        };
        planes.push(Plane { x, y });
    }
    Ok(planes)
}
