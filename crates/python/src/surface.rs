//! Surfaces: directions, and the loss along them.

use crate::arrays::{Named, from_numpy, named, to_numpy};
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::objective::{Objective, evaluation};
use crate::run::Run;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use thalweg_array::DType;
use thalweg_lab::{Effort, measure};
use thalweg_methods::curvature::{Hessian, LanczosConfig, lanczos};
use thalweg_methods::surface::{
    self as methods, DirectionConfig, GridRange, Ignore, Normalize, Plane, normalize,
    random_planes, trajectory_plane,
};
use thalweg_nn::Parameters;
use thalweg_record::Trajectory;

/// Equally spaced coordinates, both ends included, that hit zero exactly where they are symmetric
/// and odd in number.
#[pyfunction]
pub fn axis<'py>(
    py: Python<'py>,
    start: f64,
    end: f64,
    points: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let range = GridRange::new(start, end, points).map_err(Failure::from)?;
    to_numpy(py, range.values(), &[points])
}

/// What directions are asked for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Wanted {
    /// `random`, `given`, `eigenvectors` or `trajectory`.
    kind: String,
    /// Two directions, or one.
    two: bool,
    /// Pairs of random directions.
    pairs: usize,
    /// `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `sphere` or `none`.
    normalize: String,
    /// Roles that stay at the centre.
    ignore: Vec<String>,
}

impl Wanted {
    fn config(&self) -> Result<DirectionConfig> {
        let normalize: Normalize = self.normalize.parse()?;
        let ignore: Ignore = self.ignore.join(",").parse()?;
        Ok(DirectionConfig { normalize, ignore })
    }
}

/// Directions as flat vectors: a list of planes, each of one or two, and where checkpoints lie in
/// the first.
#[pyfunction]
pub fn planes<'py>(
    py: Python<'py>,
    objective: &Bound<'py, Objective>,
    wanted: Wanted,
    given: Vec<Bound<'py, PyUntypedArray>>,
    run: Option<Bound<'py, Run>>,
    reporter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let asked = objective.get();
    let config = wanted.config()?;
    let mut vectors = Vec::with_capacity(given.len());
    for array in &given {
        vectors.push(from_numpy(array)?.to_f64_vec());
    }
    let made = asked.work(py, run.as_ref(), reporter.as_ref(), move |work| {
        let (ctx, model, centre) = (work.ctx(), work.setup().model(), work.weights());
        let like = &centre.parameters;
        let mut trajectory = None;
        let scaled = |direction: &Parameters| {
            normalize(model.model().parameters(), like, direction, &config)
        };
        let planes: Vec<Plane> = match wanted.kind.as_str() {
            "random" => {
                let objective = work.objective()?;
                random_planes(ctx, &objective, &centre, &config, wanted.pairs, wanted.two)?
            }
            "given" => {
                let given = vectors.into_iter().map(|v| model.layout().parameters(like, v));
                let mut given = given.collect::<Result<Vec<_>>>()?.into_iter();
                let x = given.next().ok_or_else(|| {
                    Failure::config("directions", "one for a line, two for a plane", 0)
                })?;
                let y = given.next().map(|y| scaled(&y)).transpose()?;
                vec![Plane { x: scaled(&x)?, y }]
            }
            "eigenvectors" => {
                let objective = work.objective()?;
                let top = if wanted.two { 2 } else { 1 };
                let config = LanczosConfig { top, ..LanczosConfig::default() };
                let hessian = Hessian::new(ctx, &objective, &centre)?;
                let found = lanczos(ctx, &hessian, &config)?;
                let wide = like.convert(DType::F64);
                let mut vectors = found.top.iter().map(|pair| {
                    let direction = wide.unflatten(&pair.vector)?;
                    Ok::<_, Failure>(scaled(&direction)?)
                });
                let x = vectors.next().unwrap_or_else(|| Ok(wide.clone()))?;
                vec![Plane { x, y: vectors.next().transpose()? }]
            }
            "trajectory" => {
                let checkpoints = vectors.into_iter().map(|v| model.layout().parameters(like, v));
                let checkpoints = checkpoints.collect::<Result<Vec<_>>>()?;
                let n = checkpoints.len();
                if n < 3 {
                    return Err(Failure::config("checkpoints of a trajectory", "at least 3", n));
                }
                let found = trajectory_plane(ctx, n, n - 1, |i| Ok(checkpoints[i].clone()))?;
                trajectory = Some((found.x, found.y, found.residual, found.explained_variance));
                vec![found.plane]
            }
            other => {
                let expected = "random, given, eigenvectors or trajectory";
                return Err(Failure::config("directions", expected, other));
            }
        };
        let flat = planes.into_iter().map(|plane| {
            let all = std::iter::once(plane.x).chain(plane.y);
            all.map(|direction| model.layout().outward(direction.flatten())).collect()
        });
        Ok((flat.collect::<Vec<Vec<Vec<f64>>>>(), trajectory))
    })?;
    let (planes, trajectory) = made;
    let found = PyDict::new(py);
    let list = PyList::empty(py);
    for plane in planes {
        let n = asked.setup().model().layout().len();
        let arrays = plane.into_iter().map(|vector| to_numpy(py, vector, &[n]));
        list.append(arrays.collect::<PyResult<Vec<_>>>()?)?;
    }
    found.set_item("planes", list)?;
    if let Some((x, y, residual, explained)) = trajectory {
        let n = x.len();
        found.set_item("x", to_numpy(py, x, &[n])?)?;
        found.set_item("y", to_numpy(py, y, &[n])?)?;
        found.set_item("residual", to_numpy(py, residual, &[n])?)?;
        found.set_item("explained_variance", explained.to_vec())?;
    }
    Ok(found)
}

/// Which points of a surface, and how.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Grid {
    x: Vec<f64>,
    y: Vec<f64>,
    tolerance: Option<f64>,
    exact: bool,
    /// For records.
    directions: String,
    normalize: String,
    ignore: Vec<String>,
    explained_variance: Vec<f64>,
    /// Positions and residuals of checkpoints.
    trajectory: Option<(Vec<f64>, Vec<f64>, Vec<f64>)>,
}

/// The loss along planes of flat vectors.
#[pyfunction]
pub fn surface<'py>(
    py: Python<'py>,
    objective: &Bound<'py, Objective>,
    planes: Vec<Vec<Bound<'py, PyUntypedArray>>>,
    grid: Grid,
    run: Option<Bound<'py, Run>>,
    reporter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let asked = objective.get();
    let planes = given_planes(asked.setup().model(), &planes)?;
    let effort = Effort::new(grid.tolerance, grid.exact).map_err(Failure::from)?;
    let (record, centre) = asked.work(py, run.as_ref(), reporter.as_ref(), move |work| {
        let (setup, objective) = (work.setup(), work.objective()?);
        let found =
            effort.take(work.ctx(), &objective, &work.weights(), &planes, &grid.x, &grid.y)?;
        let mut attributes = measure::attributes(&objective, &setup.choice(), setup.seed());
        attributes.normalize = grid.normalize;
        attributes.ignore = grid.ignore;
        attributes.directions = grid.directions;
        attributes.explained_variance = grid.explained_variance;
        let mut record = found.record(attributes)?;
        record.trajectory = (grid.trajectory).map(|(x, y, residual)| Trajectory {
            x,
            y,
            residual,
            gradients: None,
        });
        if let Some(results) = work.results() {
            record.write_zarr(&results)?;
        }
        Ok((record, found.surface.centre))
    })?;
    let shape: Vec<usize> =
        record.pairs.into_iter().chain([record.y.len(), record.x.len()]).collect();
    let values = PyDict::new(py);
    values.set_item("centre", evaluation(py, &centre)?)?;
    values.set_item("x", to_numpy(py, record.x, &[shape[shape.len() - 1]])?)?;
    values.set_item("y", to_numpy(py, record.y, &[shape[shape.len() - 2]])?)?;
    values.set_item("loss", to_numpy(py, record.loss, &shape)?)?;
    values.set_item("status", to_numpy(py, record.status, &shape)?)?;
    for (name, part) in
        [("accuracy", record.accuracy), ("loss_standard_error", record.loss_standard_error)]
    {
        values.set_item(name, part.map(|part| to_numpy(py, part, &shape)).transpose()?)?;
    }
    if let Some(errors) = record.adaptive {
        values.set_item("sampling_error", to_numpy(py, errors.sampling, &shape)?)?;
        values.set_item("interpolation_error", to_numpy(py, errors.interpolation, &shape)?)?;
        values.set_item("samples", to_numpy(py, errors.samples, &shape)?)?;
    }
    values.set_item("tolerance", record.attributes.tolerance)?;
    values.set_item("loss_name", record.attributes.loss_name)?;
    Ok(values)
}

/// The keys of the units of work that a surface is cut into.
#[pyfunction]
pub fn surface_units(
    model: &Bound<'_, Model>,
    planes: Vec<Vec<Bound<'_, PyUntypedArray>>>,
    grid: Grid,
) -> PyResult<Vec<String>> {
    let planes = given_planes(model.get(), &planes)?;
    Ok(methods::surface_units(&planes, &grid.x, &grid.y).map_err(Failure::from)?)
}

/// One unit of the work of a surface, with the key that it is kept under.
#[pyfunction]
pub fn surface_unit<'py>(
    py: Python<'py>,
    objective: &Bound<'py, Objective>,
    planes: Vec<Vec<Bound<'py, PyUntypedArray>>>,
    grid: Grid,
    unit: usize,
) -> PyResult<(String, Named<'py>)> {
    let asked = objective.get();
    let planes = given_planes(asked.setup().model(), &planes)?;
    let (key, arrays) = asked.work(py, None, None, move |work| {
        let grid = (grid.x.as_slice(), grid.y.as_slice());
        let objective = work.objective()?;
        Ok(methods::surface_unit(work.ctx(), &objective, &work.weights(), &planes, grid, unit)?)
    })?;
    Ok((key, named(py, &arrays)?))
}

fn given_planes(model: &Model, planes: &[Vec<Bound<'_, PyUntypedArray>>]) -> Result<Vec<Plane>> {
    let like = &model.weights().parameters;
    let direction = |array: &Bound<'_, PyUntypedArray>| {
        model.layout().parameters(like, from_numpy(array)?.to_f64_vec())
    };
    let plane = |vectors: &Vec<Bound<'_, PyUntypedArray>>| match vectors.as_slice() {
        [x] => Ok(Plane { x: direction(x)?, y: None }),
        [x, y] => Ok(Plane { x: direction(x)?, y: Some(direction(y)?) }),
        other => Err(Failure::config("directions", "one for a line, two for a plane", other.len())),
    };
    planes.iter().map(plane).collect()
}
