//! The surface of ResNet-20 on Fashion-MNIST, for the worker and a peer that goes point by point.

use crate::workload::Failure;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Split, SplitConfig};
use thalweg_exec::Executor;
use thalweg_formats::dataset;
use thalweg_methods::surface::{
    DirectionConfig, GridRange, Ignore, Normalize, Plane, random_planes,
};
use thalweg_methods::{Context, Evaluator, ModelObjective, Objective, ObjectiveConfig};
use thalweg_nn::{Architecture, Loss, Model, Parameters, Weights, to_torch};

/// What is evaluated: a width, so many images, and a square of points of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurfaceWork {
    width: usize,
    images: usize,
    side: usize,
}

/// Every surface by name.
pub const SURFACES: [(&str, SurfaceWork); 3] = [
    ("surface-exact", SurfaceWork { width: 16, images: 2000, side: 8 }),
    ("surface-exact-8", SurfaceWork { width: 8, images: 2000, side: 8 }),
    ("surface-exact-short", SurfaceWork { width: 8, images: 256, side: 4 }),
];

const SEED: u64 = 7;

/// A network at its initialisation with a plane through it.
struct Made {
    model: Model,
    objective: ModelObjective,
    centre: Weights,
    plane: Plane,
}

impl SurfaceWork {
    /// The surface of a name, if it is one.
    pub fn named(name: &str) -> Option<SurfaceWork> {
        SURFACES.iter().find(|(known, _)| *known == name).map(|(_, work)| *work)
    }

    /// The coordinates of its points.
    fn points(&self) -> Result<Vec<Vec<f64>>, Failure> {
        let at = GridRange::new(-0.5, 0.5, self.side)?.values();
        Ok(at.iter().flat_map(|&y| at.iter().map(move |&x| vec![x, y])).collect())
    }

    fn make(&self, ctx: &Context<'_>) -> Result<Made, Failure> {
        let data = dataset::load("fashion-mnist", &[], &dataset::DataConfig::default())?;
        let train = Split::new(data, &SplitConfig::default())?.train;
        let normalization = Normalization::fit(&train)?;
        let text = format!("resnet depth=20 width={}", self.width);
        let model = text.parse::<Architecture>()?.build(&[28, 28, 1], 10)?;
        let config = ObjectiveConfig { samples: Some(self.images), ..ObjectiveConfig::default() };
        let (loss, scaled) = (Loss::default(), Some(&normalization));
        let objective = ModelObjective::new(ctx, &model, loss, &train, scaled, &config)?;
        // Numbers of f32 in either float type.
        let centre = thalweg_train::initialize(&model, SEED, DType::F32)?.convert(ctx.precision());
        let along = DirectionConfig { normalize: Normalize::Filter, ignore: Ignore::default() };
        let plane = random_planes(ctx, &objective, &centre, &along, 1, true)?.remove(0);
        let narrow = |p: &Parameters| p.convert(DType::F32).convert(ctx.precision());
        let plane = Plane { x: narrow(&plane.x), y: plane.y.as_ref().map(narrow) };
        Ok(Made { model, objective, centre, plane })
    }

    /// Its inputs for a peer: images, labels, coordinates, and the centre and both directions under
    /// PyTorch's names.
    ///
    /// # Errors
    /// Data that are not there.
    pub fn named_inputs(&self) -> Result<Vec<(String, Array)>, Failure> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, SEED);
        let made = self.make(&ctx)?;
        let points = self.points()?;
        let flat: Vec<f64> = points.iter().flatten().copied().collect();
        let mut named = vec![("at".to_owned(), Array::from_slice(&[points.len(), 2], &flat)?)];
        for (part, name) in ["x", "y"].into_iter().enumerate() {
            let mut rows = Vec::new();
            for (batch, &size) in made.objective.batches().iter().enumerate() {
                let array = &made.objective.data(batch)?[part];
                for row in 0..size {
                    rows.push(array.row(row)?);
                }
            }
            named.push((name.to_owned(), Array::stack(&rows)?));
        }
        let second = made.plane.y.as_ref().ok_or("a plane has two directions")?;
        for (prefix, parameters) in
            [("centre", &made.centre.parameters), ("along-x", &made.plane.x), ("along-y", second)]
        {
            let buffers = made.centre.buffers.clone();
            let weights = Weights { parameters: parameters.clone(), buffers };
            let entries = to_torch(&made.model, &weights)?;
            let prefixed = |(name, array)| (format!("{prefix}/{name}"), array);
            named.extend(entries.into_iter().map(prefixed));
        }
        Ok(named)
    }

    /// Gives the evaluation of all its points, compiled, to `use_it`.
    ///
    /// # Errors
    /// Data that are not there, those of the engine, and those of `use_it`.
    pub fn with_losses<T>(
        &self,
        threads: usize,
        float: DType,
        use_it: impl FnOnce(&dyn Fn() -> Result<Array, Failure>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let executor = Executor::new(threads);
        let ctx = Context::new(&executor, SEED).with_precision(float)?;
        let made = self.make(&ctx)?;
        let directions: Vec<Parameters> =
            std::iter::once(made.plane.x).chain(made.plane.y).collect();
        let points = self.points()?;
        let evaluator =
            Evaluator::affine(&ctx, &made.objective, &made.centre, &directions, points.len())?;
        use_it(&|| {
            let found = evaluator.at(&points)?;
            Ok(Array::vector(&found.iter().map(|e| e.loss).collect::<Vec<_>>()))
        })
    }

    /// The operations of a run.
    ///
    /// # Errors
    /// Data that are not there.
    pub fn flops(&self) -> Result<u64, Failure> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, SEED);
        let made = self.make(&ctx)?;
        let directions: Vec<Parameters> =
            std::iter::once(&made.plane.x).chain(&made.plane.y).cloned().collect();
        let evaluator = Evaluator::affine(&ctx, &made.objective, &made.centre, &directions, 1)?;
        Ok(evaluator.flops()? * (self.side * self.side) as u64)
    }
}
