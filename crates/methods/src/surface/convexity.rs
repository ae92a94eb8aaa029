//! Where a plane's points are convex: the extreme eigenvalues of the Hessian at each.

use super::plane::{Plane, check};
use crate::common::{Objective, Status, check_point, vector};
use crate::curvature::{Eigenpair, Hessian, LanczosConfig, lanczos_from};
use crate::error::stored;
use crate::{Context, MethodError, NamedArrays, Silent};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameters, Weights};

/// How far the eigenvalues of each point are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvexityConfig {
    /// Largest residual, as a share of the largest absolute eigenvalue.
    pub tolerance: f64,
    /// Products with the Hessian at each point, at most.
    pub max_products: usize,
}

impl Default for ConvexityConfig {
    fn default() -> ConvexityConfig {
        ConvexityConfig { tolerance: 0.01, max_products: 100 }
    }
}

/// Extreme eigenvalues on a grid: all parts `[y, x]`, NaN where the loss has no finite Hessian.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConvexityMap {
    /// The largest eigenvalue.
    pub largest: Vec<f64>,
    /// How far from an eigenvalue it may be.
    pub largest_residual: Vec<f64>,
    /// The smallest eigenvalue.
    pub smallest: Vec<f64>,
    /// How far from an eigenvalue it may be.
    pub smallest_residual: Vec<f64>,
    /// Whether both are within the tolerance.
    pub converged: Vec<bool>,
    /// Whether there is a Hessian.
    pub status: Vec<Status>,
    /// Products taken in all.
    pub products: usize,
}

impl ConvexityMap {
    /// `|lambda_min / lambda_max|` at each point: near zero where the loss is convex or nearly so. As
    /// in its source it knows no sign; a smallest eigenvalue above zero is convexity.
    pub fn ratio(&self) -> Vec<f64> {
        self.smallest.iter().zip(&self.largest).map(|(low, high)| (low / high).abs()).collect()
    }

    /// A bound of the error of the ratio, from the residuals.
    pub fn ratio_error(&self) -> Vec<f64> {
        let parts = self.smallest.iter().zip(&self.smallest_residual);
        let below = self.largest.iter().zip(&self.largest_residual);
        let error = |((low, low_error), (high, high_error)): ((&f64, &f64), (&f64, &f64))| {
            let least = high.abs() - high_error;
            match least > 0.0 {
                true => (low_error + (low / high).abs() * high_error) / least,
                false => f64::INFINITY,
            }
        };
        parts.zip(below).map(error).collect()
    }
}

/// The largest and the smallest eigenvalue of the Hessian at every point of a plane.
///
/// By Lanczos iteration, begun at each point with the sum of the centre's two extreme eigenvectors and
/// of a random vector of the same length: near the centre the former are nearly right, and what they
/// have nothing of the latter has. An eigenvalue lies within the residual of each value; that it is the
/// extreme one is likely, not certain, as always of Krylov methods. Each point is a unit of work, and
/// depends on no other but the centre.
///
/// # Errors
/// A tolerance that is not positive, fewer than two products, a model of one parameter; planes of
/// another model; those of the engine.
/// # Source    Li et al. 2018, arXiv 1712.09913, section 6 (the map of `|lambda_min / lambda_max|`)
pub fn convexity_map(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
    (x, y): (&[f64], &[f64]),
    config: &ConvexityConfig,
) -> Result<ConvexityMap, MethodError> {
    let points = check(std::slice::from_ref(plane), x, y)?;
    let wanted = LanczosConfig {
        top: 1,
        bottom: 1,
        tolerance: config.tolerance,
        max_products: config.max_products,
    };
    ctx.progress().start("convexity", points as u64 + 1);
    let work = |at: Option<[f64; 2]>, start: Option<&[f64]>| -> Result<NamedArrays, MethodError> {
        let point = moved(objective, centre, plane, at.unwrap_or([0.0; 2]))?;
        // Single products are neither kept nor told: there are too many.
        let silent = ctx.clone().with_units(&Silent).with_progress(&Silent);
        let hessian = Hessian::new(&silent, objective, &point)?;
        let (values, vectors) = match lanczos_from(&silent, &hessian, &wanted, start) {
            Ok(found) => {
                let [top, bottom] = [&found.top, &found.bottom].map(|pairs| pairs.first());
                let part = |pair: Option<&Eigenpair>| {
                    pair.map_or([f64::NAN; 2], |pair| [pair.value, pair.residual])
                };
                let converged = f64::from(u8::from(found.converged));
                let numbers = [converged, found.products as f64];
                let values = [part(top), part(bottom), numbers].concat();
                let both = top.into_iter().chain(bottom).map(|pair| &pair.vector);
                (values, both.cloned().collect::<Vec<_>>())
            }
            Err(MethodError::NotFinite { .. }) => {
                (vec![f64::NAN, f64::NAN, f64::NAN, f64::NAN, 0.0, 1.0], Vec::new())
            }
            Err(other) => return Err(other),
        };
        let mut arrays = vec![("values".to_owned(), Array::vector(&values))];
        if at.is_none() {
            let mut sum = vec![0.0; objective.dimension()];
            vectors.iter().for_each(|vector| vector::add_scaled(&mut sum, 1.0, vector));
            arrays.push(("start".to_owned(), Array::vector(&sum)));
        }
        Ok(arrays)
    };
    let mut map = ConvexityMap::default();
    let key = "convexity/centre";
    let arrays = ctx.unit(key, || work(None, None))?;
    let start = stored(key, &arrays, "start", objective.dimension())?;
    map.products += stored(key, &arrays, "values", 6)?[5] as usize;
    ctx.progress().advance(1);
    let grid = y.iter().flat_map(|&y| x.iter().map(move |&x| [x, y]));
    for (index, at) in grid.enumerate() {
        let key = format!("convexity/{index}");
        let arrays = ctx.unit(&key, || work(Some(at), Some(start)))?;
        map.take(stored(&key, &arrays, "values", 6)?);
        ctx.progress().advance(1);
    }
    Ok(map)
}

impl ConvexityMap {
    fn take(&mut self, values: &[f64]) {
        self.largest.push(values[0]);
        self.largest_residual.push(values[1]);
        self.smallest.push(values[2]);
        self.smallest_residual.push(values[3]);
        self.converged.push(values[4] == 1.0);
        self.products += values[5] as usize;
        self.status.push(match values[..4].iter().all(|value| value.is_finite()) {
            true => Status::Computed,
            false => Status::NotFinite,
        });
    }
}

/// The point of a plane at these coordinates.
fn moved(
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
    at: [f64; 2],
) -> Result<Weights, MethodError> {
    let mut parameters = centre.parameters.convert(DType::F64);
    let directions: Vec<&Parameters> = std::iter::once(&plane.x).chain(&plane.y).collect();
    for (direction, step) in directions.into_iter().zip(at) {
        parameters = parameters.add_scaled(step, &direction.convert(DType::F64))?;
    }
    let point = Weights { parameters, buffers: centre.buffers.clone() };
    check_point(objective, "a point of the plane", &point)
}
