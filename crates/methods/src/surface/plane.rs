//! The loss on a grid in a line or plane.

use super::classes::{ClassLosses, Classes};
use crate::common::vector::{norm, orthogonalize, scale};
use crate::common::{Evaluation, Evaluator, Objective, Status, summarize};
use crate::error::stored;
use crate::{Context, MethodError, NamedArrays};
use thalweg_array::Array;
use thalweg_nn::{Parameters, Weights};

/// Points in a unit of work. Fixed, so that what was stored under one memory budget serves
/// another.
const UNIT: usize = 32;

/// One direction, or two that span a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// The direction of the first coordinate.
    pub x: Parameters,
    /// The direction of the second, for a plane.
    pub y: Option<Parameters>,
}

/// An objective on a grid: values `[pair, y, x]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Coordinates along the first direction.
    pub x: Vec<f64>,
    /// Coordinates along the second; a single zero on a line.
    pub y: Vec<f64>,
    /// Number of planes.
    pub pairs: usize,
    /// The loss.
    pub loss: Vec<f64>,
    /// The share of examples classified rightly, for classification.
    pub accuracy: Option<Vec<f64>>,
    /// The standard error of the loss, where the examples are a sample.
    pub loss_standard_error: Option<Vec<f64>>,
    /// Whether each loss is finite.
    pub status: Vec<Status>,
    /// The value at the centre: one evaluation pass, of which a grid point at the origin has the
    /// bits.
    pub centre: Evaluation,
}

impl Surface {
    /// The values of one plane, `[y, x]`.
    pub fn pair(&self, pair: usize) -> &[f64] {
        let size = self.x.len() * self.y.len();
        self.loss.get(pair * size..(pair + 1) * size).unwrap_or(&[])
    }
}

/// Evaluates an objective at `w + x_i d + y_j e` for every grid point and every plane.
///
/// Many points are one program: weights are made from the coordinates inside of it. Blocks of
/// points are units of work; neither they nor the memory budget change a bit.
///
/// # Errors
/// No plane, a line with `y` coordinates other than a single zero, planes of another model, directions
/// that are zero or parallel; no room for a single point; those of the engine; `Interrupted` between batches.
pub fn surface(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    x: &[f64],
    y: &[f64],
) -> Result<Surface, MethodError> {
    Ok(take(ctx, objective, centre, planes, (x, y), None)?.0)
}

/// [`surface`], and from the same passes the loss of the examples of each class.
///
/// # Errors
/// As [`surface`]; examples without a class.
pub fn surface_by_class(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    x: &[f64],
    y: &[f64],
) -> Result<(Surface, ClassLosses), MethodError> {
    let classes = Classes::new(objective)?;
    let (surface, [loss, errors]) = take(ctx, objective, centre, planes, (x, y), Some(&classes))?;
    Ok((surface, classes.losses(&loss, &errors)))
}

fn take(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    (x, y): (&[f64], &[f64]),
    classes: Option<&Classes>,
) -> Result<(Surface, [Vec<f64>; 2]), MethodError> {
    let points = check(planes, x, y)?;
    let mut of_classes = [Vec::new(), Vec::new()];
    ctx.progress().start("surface", points as u64);
    let at_centre = crate::evaluate(ctx, objective, centre)?;
    let mut surface = Surface {
        x: x.to_vec(),
        y: y.to_vec(),
        pairs: planes.len(),
        loss: Vec::with_capacity(points),
        accuracy: at_centre.accuracy.map(|_| Vec::with_capacity(points)),
        loss_standard_error: at_centre.standard_error.map(|_| Vec::with_capacity(points)),
        status: Vec::with_capacity(points),
        centre: at_centre,
    };
    let blocks = blocks(planes, x, y);
    for (pair, plane) in planes.iter().enumerate() {
        let evaluator = evaluator(ctx, objective, centre, plane)?;
        for block in blocks.iter().filter(|block| block.pair == pair) {
            let arrays = ctx.unit(&block.key, || block.work(&evaluator, objective, classes))?;
            surface.take(block, &arrays)?;
            if let Some(classes) = classes {
                let n = classes.len() * block.points.len();
                for (all, name) in of_classes.iter_mut().zip(CLASS_COLUMNS) {
                    all.extend_from_slice(stored(&block.key, &arrays, name, n)?);
                }
            }
            ctx.progress().advance(block.points.len() as u64);
        }
    }
    Ok((surface, of_classes))
}

/// Means and standard errors of classes, point by point.
const CLASS_COLUMNS: [&str; 2] = ["class_loss", "class_standard_error"];

/// The keys of the units of work that [`surface`] is cut into.
///
/// # Errors
/// As [`surface`], for planes and coordinates that make none.
pub fn surface_units(planes: &[Plane], x: &[f64], y: &[f64]) -> Result<Vec<String>, MethodError> {
    check(planes, x, y)?;
    Ok(blocks(planes, x, y).into_iter().map(|block| block.key).collect())
}

/// Does one of the units of [`surface`], and gives it with the key under which a store hands it to
/// that function: so that several processes share the work, and whoever calls [`surface`] last finds
/// all of it done.
///
/// # Errors
/// As [`surface`]; a unit that is none.
pub fn surface_unit(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    (x, y): (&[f64], &[f64]),
    unit: usize,
) -> Result<(String, NamedArrays), MethodError> {
    check(planes, x, y)?;
    let blocks = blocks(planes, x, y);
    let block = blocks.get(unit).ok_or_else(|| {
        MethodError::config("unit of a surface", format!("below {}", blocks.len()), unit)
    })?;
    let evaluator = evaluator(ctx, objective, centre, &planes[block.pair])?;
    let arrays = ctx.unit(&block.key, || block.work(&evaluator, objective, None))?;
    Ok((block.key.clone(), arrays))
}

fn evaluator<'a>(
    ctx: &Context<'a>,
    objective: &'a dyn Objective,
    centre: &Weights,
    plane: &Plane,
) -> Result<Evaluator<'a>, MethodError> {
    let directions: Vec<Parameters> = std::iter::once(&plane.x).chain(&plane.y).cloned().collect();
    Evaluator::affine(ctx, objective, centre, &directions, UNIT)
}

/// A unit of work: some points of a plane.
struct Block {
    key: String,
    pair: usize,
    points: Vec<Vec<f64>>,
}

fn blocks(planes: &[Plane], x: &[f64], y: &[f64]) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (pair, plane) in planes.iter().enumerate() {
        let directions = 1 + usize::from(plane.y.is_some());
        let grid: Vec<Vec<f64>> = y
            .iter()
            .flat_map(|&y| x.iter().map(move |&x| [x, y]))
            .map(|point| point[..directions].to_vec())
            .collect();
        for (block, points) in grid.chunks(UNIT).enumerate() {
            let key = format!("surface/{pair}/{block}");
            blocks.push(Block { key, pair, points: points.to_vec() });
        }
    }
    blocks
}

impl Block {
    fn work(
        &self,
        evaluator: &Evaluator<'_>,
        objective: &dyn Objective,
        classes: Option<&Classes>,
    ) -> Result<NamedArrays, MethodError> {
        let Some(classes) = classes else {
            return Ok(Block::columns(&evaluator.at(&self.points)?));
        };
        let values = evaluator.examples_at(&self.points, 0..objective.batches().len())?;
        let found: Vec<Evaluation> = values
            .iter()
            .map(|v| summarize(&v.losses, v.correct.as_deref(), objective.sampling()))
            .collect();
        let parts: Vec<[f64; 2]> = values.iter().flat_map(|v| classes.summarize(v)).collect();
        let mut columns = Block::columns(&found);
        for (which, name) in CLASS_COLUMNS.into_iter().enumerate() {
            let values: Vec<f64> = parts.iter().map(|part| part[which]).collect();
            columns.push((name.to_owned(), Array::vector(&values)));
        }
        Ok(columns)
    }

    fn columns(found: &[Evaluation]) -> NamedArrays {
        let column = |name: &str, of: &dyn Fn(&Evaluation) -> f64| {
            let values: Vec<f64> = found.iter().map(of).collect();
            (name.to_owned(), Array::vector(&values))
        };
        vec![
            column("loss", &|e| e.loss),
            column("accuracy", &|e| e.accuracy.unwrap_or(f64::NAN)),
            column("standard_error", &|e| e.standard_error.unwrap_or(f64::NAN)),
        ]
    }
}

/// What an exact surface takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurfaceCost {
    /// Floating-point operations for one point on all examples.
    pub flops: u64,
    /// Points that are evaluated at once.
    pub together: usize,
    /// Bytes that the largest program needs at its peak.
    pub memory: usize,
}

/// What [`surface`] on so many points of a plane takes, from its plans: known before it runs.
///
/// # Errors
/// A plane of another model; no room for a single point; those of the engine.
pub fn surface_cost(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
    points: usize,
) -> Result<SurfaceCost, MethodError> {
    let directions: Vec<Parameters> = std::iter::once(&plane.x).chain(&plane.y).cloned().collect();
    let evaluator = Evaluator::affine(ctx, objective, centre, &directions, UNIT.min(points))?;
    let (flops, together, memory) = (evaluator.flops()?, evaluator.members(), evaluator.memory());
    Ok(SurfaceCost { flops, together, memory })
}

/// How many points planes have on these coordinates.
///
/// # Errors
/// None, or too many; coordinates that are not finite; a line with second coordinates.
pub(super) fn check(planes: &[Plane], x: &[f64], y: &[f64]) -> Result<usize, MethodError> {
    let points = planes.len().checked_mul(x.len()).and_then(|n| n.checked_mul(y.len()));
    let points = points.filter(|&n| n > 0 && n < isize::MAX as usize / 64).ok_or_else(|| {
        let got = format!("{} planes of {} x {} points", planes.len(), y.len(), x.len());
        MethodError::config("surface", "at least one point, and as many as memory holds", got)
    })?;
    if let Some(bad) = x.iter().chain(y).find(|c| !c.is_finite()) {
        return Err(MethodError::config("coordinate of a surface", "a finite number", bad));
    }
    if planes.iter().any(|plane| plane.y.is_none()) && y != [0.0] {
        return Err(MethodError::config("second coordinates of a line", "a single 0", y.len()));
    }
    planes.iter().try_for_each(Plane::check_span)?;
    Ok(points)
}

impl Plane {
    /// Refuses a plane that is a line to a millionth, and a line that is a point.
    fn check_span(&self) -> Result<(), MethodError> {
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for (axis, direction) in [("x", Some(&self.x)), ("y", self.y.as_ref())] {
            let Some(direction) = direction else { continue };
            let mut own = direction.flatten();
            let length = norm(&own);
            if length == 0.0 {
                let what = format!("direction {axis} of a surface");
                let got = "zero, as between equal networks or where every parameter is held";
                return Err(MethodError::mismatch(what, "one that moves a weight", got));
            }
            orthogonalize(&mut own, &basis, &mut [0.0]);
            let apart = norm(&own);
            if apart <= 1e-6 * length {
                let expected = "two that span a plane";
                return Err(MethodError::mismatch("directions", expected, "parallel ones"));
            }
            scale(&mut own, 1.0 / apart);
            basis.push(own);
        }
        Ok(())
    }
}

impl Surface {
    fn take(&mut self, block: &Block, arrays: &[(String, Array)]) -> Result<(), MethodError> {
        let column = |name| stored(&block.key, arrays, name, block.points.len());
        let loss = column("loss")?;
        self.loss.extend_from_slice(loss);
        self.status.extend(loss.iter().map(|loss| match loss.is_finite() {
            true => Status::Computed,
            false => Status::NotFinite,
        }));
        if let Some(accuracy) = &mut self.accuracy {
            accuracy.extend_from_slice(column("accuracy")?);
        }
        if let Some(errors) = &mut self.loss_standard_error {
            errors.extend_from_slice(column("standard_error")?);
        }
        Ok(())
    }
}
