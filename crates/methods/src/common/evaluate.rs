//! Values of an objective at many points of weight space at once.

use super::evaluation::{Evaluation, ExampleValues, summarize};
use super::objective::{BatchNorm, Objective, check_point};
use super::points::{Inputs, affine_arrays};
use super::population::{fit, padded};
use crate::{Context, MethodError, Pass};
use std::ops::Range;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Tensor};
use thalweg_nn::{Parameters, Weights};
use thalweg_transform::{distribute_points, jvp, vmap};

/// How many points are evaluated at once where memory allows it.
pub(crate) const MEMBERS: usize = 32;

/// Where the points lie.
enum Placement {
    /// Anywhere: each brings its own weights and statistics.
    Points,
    /// `w + sum over j of c_j d_j`: a centre, and so many directions.
    Affine(usize),
}

/// The programs that evaluate an objective at a population of points; compiled once for any
/// number of points.
///
/// Losses of single examples come back from the engine and are added up on the host in `f64`, in
/// an order that depends on their number only: neither the size of the population nor that of a
/// chunk changes a bit.
pub struct Evaluator<'a> {
    ctx: Context<'a>,
    objective: &'a dyn Objective,
    placement: Placement,
    /// Whether derivatives along the first direction are evaluated with the losses.
    derivatives: bool,
    members: usize,
    shared: Vec<Array>,
    losses: Vec<(usize, Arc<Program>)>,
    statistics: Vec<(usize, Arc<Program>)>,
}

/// Evaluates an objective at one point: one pass over its data.
///
/// # Errors
/// Weights of another model; those of the engine.
pub fn evaluate(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Evaluation, MethodError> {
    let found = Evaluator::points(ctx, objective, 1)?.at_weights(std::slice::from_ref(point))?;
    found.first().copied().ok_or_else(|| MethodError::mismatch("evaluation", "one value", "none"))
}

/// Losses, and their first and second derivatives by a number that they are functions of.
fn twice<'b>(builder: &'b Builder, losses: Tensor<'b>, along: Tensor<'b>) -> [Tensor<'b>; 3] {
    let one = builder.full(&along.ty(), 1.0);
    let once = jvp(&[losses], &[along], &[one]);
    let slope = once.tangents[0].unwrap_or_else(|| losses.zeros_like());
    let twice = jvp(&[once.outputs[0], slope], &[along], &[one]);
    let curvature = twice.tangents[1].unwrap_or_else(|| losses.zeros_like());
    [twice.outputs[0], twice.outputs[1], curvature]
}

/// The statistics of the objective's data at a point, as recalibration uses them.
pub(crate) fn recalibrated(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Parameters, MethodError> {
    let evaluator = Evaluator::points(ctx, objective, 1)?;
    let arrays = point.parameters.arrays().to_vec();
    let stacked: Vec<Array> =
        arrays.iter().map(|a| Array::stack(std::slice::from_ref(a))).collect::<Result<_, _>>()?;
    let found = evaluator.recalibrate(&stacked)?;
    let rows: Vec<Array> = found.iter().map(|array| array.row(0)).collect::<Result<_, _>>()?;
    Ok(point.buffers.with_arrays(rows)?)
}

impl<'a> Evaluator<'a> {
    /// For points anywhere, at most `wanted` at once.
    ///
    /// # Errors
    /// No room for a single point; those of the engine.
    pub fn points(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        wanted: usize,
    ) -> Result<Evaluator<'a>, MethodError> {
        let placement = (Placement::Points, false);
        Evaluator::new(ctx, objective, placement, Vec::new(), wanted.min(MEMBERS))
    }

    /// For points `w + sum over j of c_j d_j` around a centre, whose buffers hold for all of them
    /// (unless they are recalibrated); at most `wanted` at once.
    ///
    /// # Errors
    /// A centre or directions of another model; no room for a single point; those of the engine.
    pub fn affine(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        centre: &Weights,
        directions: &[Parameters],
        wanted: usize,
    ) -> Result<Evaluator<'a>, MethodError> {
        let shared = affine_arrays(objective, centre, directions)?;
        let placement = (Placement::Affine(directions.len()), false);
        Evaluator::new(ctx, objective, placement, shared, wanted.min(MEMBERS))
    }

    /// For points `w + t d`, with the first and second derivative of every loss by `t` from the same
    /// pass: forward mode of forward mode. Recalibrated statistics are held while differentiating.
    ///
    /// # Errors
    /// As [`Evaluator::affine`].
    pub fn with_derivatives(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        centre: &Weights,
        direction: &Parameters,
        wanted: usize,
    ) -> Result<Evaluator<'a>, MethodError> {
        let shared = affine_arrays(objective, centre, std::slice::from_ref(direction))?;
        let placement = (Placement::Affine(1), true);
        Evaluator::new(ctx, objective, placement, shared, wanted.min(MEMBERS))
    }

    /// The same programs around another centre or along other directions.
    ///
    /// # Errors
    /// Another number of directions; a centre or directions of another model.
    pub fn moved(
        mut self,
        centre: &Weights,
        directions: &[Parameters],
    ) -> Result<Evaluator<'a>, MethodError> {
        match self.placement {
            Placement::Affine(n) if n == directions.len() => {
                self.shared = affine_arrays(self.objective, centre, directions)?;
                Ok(self)
            }
            Placement::Affine(n) => {
                let expected = format!("{n} directions");
                Err(MethodError::mismatch("directions", expected, directions.len()))
            }
            Placement::Points => Err(MethodError::mismatch("points", "weights", "directions")),
        }
    }

    fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        (placement, derivatives): (Placement, bool),
        shared: Vec<Array>,
        wanted: usize,
    ) -> Result<Evaluator<'a>, MethodError> {
        let mut evaluator = Evaluator {
            ctx: ctx.clone(),
            objective,
            placement,
            derivatives,
            members: wanted.max(1),
            shared,
            losses: Vec::new(),
            statistics: Vec::new(),
        };
        let recalibrate = evaluator.recalibrates();
        for (size, batch) in objective.sizes() {
            for statistics in [false, true].into_iter().take(1 + usize::from(recalibrate)) {
                let graph = |members| {
                    let graph = evaluator.graph(batch, members, statistics)?;
                    Ok(match evaluator.placement {
                        Placement::Points => graph,
                        Placement::Affine(_) => distribute_points(&graph),
                    })
                };
                let (members, program) = fit(ctx, "one evaluation", evaluator.members, graph)?;
                if members < evaluator.members {
                    // Programs made before are for more members.
                    evaluator.losses.clear();
                    evaluator.statistics.clear();
                    return Evaluator::new(
                        ctx,
                        objective,
                        (evaluator.placement, derivatives),
                        evaluator.shared,
                        members,
                    );
                }
                match statistics {
                    true => evaluator.statistics.push((size, program)),
                    false => evaluator.losses.push((size, program)),
                }
            }
        }
        Ok(evaluator)
    }

    fn recalibrates(&self) -> bool {
        self.objective.batch_norm() == BatchNorm::Recalibrated
            && !self.objective.buffers().is_empty()
    }

    /// Whether each member has buffers of its own.
    fn own_buffers(&self) -> bool {
        matches!(self.placement, Placement::Points) || self.recalibrates()
    }

    /// Floating-point operations for one point on all examples, as the graph is written.
    ///
    /// # Errors
    /// Those of the graph.
    pub fn flops(&self) -> Result<u64, MethodError> {
        let mut sum = 0u64;
        for (size, batch) in self.objective.sizes() {
            let one = thalweg_nn::flops(&self.graph(batch, 1, false)?).total();
            let batches = self.objective.batches().iter().filter(|&&known| known == size).count();
            sum = sum.saturating_add(one.saturating_mul(batches as u64));
        }
        Ok(sum)
    }

    /// Bytes that the largest of its programs needs at its peak.
    pub fn memory(&self) -> usize {
        let programs = self.losses.iter().chain(&self.statistics);
        programs.map(|(_, program)| program.memory().peak()).max().unwrap_or(0)
    }

    /// Number of points evaluated at once.
    pub fn members(&self) -> usize {
        self.members
    }

    /// The graph for one batch: what each member has of its own, what they share, data; to losses
    /// `[member, n]` and, for classification, which are right, or to batch statistics.
    fn graph(&self, batch: usize, members: usize, statistics: bool) -> Result<Graph, MethodError> {
        let objective = self.objective;
        let builder = Builder::new(objective.float());
        let mut inputs = Inputs { builder: &builder, members, own: Vec::new() };
        let mut buffers = Vec::new();
        let mut along = None;
        let parameters = match self.placement {
            Placement::Points => {
                let parameters = inputs.tree(objective, "weights", true);
                buffers = inputs.buffers(objective, true);
                parameters
            }
            Placement::Affine(n) => {
                let coordinates: Vec<_> =
                    (0..n).map(|j| inputs.one("coordinate", &j.to_string(), &[], true)).collect();
                along = coordinates.first().copied().filter(|_| self.derivatives);
                if self.own_buffers() {
                    buffers = inputs.buffers(objective, true);
                }
                let mut moved = inputs.tree(objective, "centre", false);
                for (j, &coordinate) in coordinates.iter().enumerate() {
                    let direction = inputs.tree(objective, &format!("direction{j}"), false);
                    for (weight, along) in moved.iter_mut().zip(direction) {
                        *weight = *weight + along * coordinate;
                    }
                }
                if !self.own_buffers() {
                    buffers = inputs.buffers(objective, false);
                }
                moved
            }
        };
        let mut data = Vec::new();
        for (i, ty) in objective.data_types(batch)?.into_iter().enumerate() {
            data.push(builder.input(&format!("data.{i}"), ty));
        }
        let own_statistics = statistics || objective.batch_norm() == BatchNorm::Batch;
        let traced = objective.trace(&builder, &parameters, &buffers, &data, own_statistics);
        let outputs: Vec<Tensor<'_>> = match statistics {
            true => traced.statistics,
            false => match along {
                None => std::iter::once(traced.losses).chain(traced.correct).collect(),
                Some(along) => {
                    let derivatives = twice(&builder, traced.losses, along);
                    derivatives.into_iter().chain(traced.correct).collect()
                }
            },
        };
        let batched = vmap(&outputs, &inputs.own, members);
        let names: Vec<String> = (0..batched.len()).map(|i| format!("output{i}")).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(batched).collect();
        Ok(builder.finish(&named)?)
    }

    /// Values at points with these coordinates along the directions.
    ///
    /// # Errors
    /// A point with another number of coordinates than there are directions; those of the engine;
    /// `Interrupted` between batches.
    pub fn at(&self, coordinates: &[Vec<f64>]) -> Result<Vec<Evaluation>, MethodError> {
        self.evaluate(&self.coordinates(coordinates)?)
    }

    /// Values at given weights.
    ///
    /// # Errors
    /// As [`Evaluator::at`], for weights of another model.
    pub fn at_weights(&self, points: &[Weights]) -> Result<Vec<Evaluation>, MethodError> {
        self.evaluate(&self.weights(points)?)
    }

    /// What became of each example at given weights.
    ///
    /// # Errors
    /// As [`Evaluator::at_weights`].
    pub(crate) fn examples_at_weights(
        &self,
        points: &[Weights],
    ) -> Result<Vec<ExampleValues>, MethodError> {
        self.run(&self.weights(points)?, 0..self.objective.batches().len())
    }

    fn weights(&self, points: &[Weights]) -> Result<Vec<Vec<Array>>, MethodError> {
        let Placement::Points = self.placement else {
            return Err(MethodError::mismatch("points", "coordinates", "weights"));
        };
        let member = |point: &Weights| {
            let point = check_point(self.objective, "a point", point)?;
            let mut own = point.parameters.into_arrays();
            if !self.recalibrates() {
                own.extend(point.buffers.into_arrays());
            }
            Ok(own)
        };
        points.iter().map(member).collect()
    }

    /// What became of each example of some of the batches, at points with these coordinates along
    /// the directions.
    ///
    /// # Errors
    /// As [`Evaluator::at`]; batches that are none.
    pub fn examples_at(
        &self,
        coordinates: &[Vec<f64>],
        batches: Range<usize>,
    ) -> Result<Vec<ExampleValues>, MethodError> {
        let known = self.objective.batches().len();
        if batches.start > batches.end || batches.end > known {
            let (expected, got) = (format!("some of {known}"), format!("{batches:?}"));
            return Err(MethodError::mismatch("batches", expected, got));
        }
        self.run(&self.coordinates(coordinates)?, batches)
    }

    fn coordinates(&self, coordinates: &[Vec<f64>]) -> Result<Vec<Vec<Array>>, MethodError> {
        let Placement::Affine(n) = self.placement else {
            return Err(MethodError::mismatch("points", "weights", "coordinates"));
        };
        let member = |point: &Vec<f64>| match point.len() == n {
            true => Ok(point
                .iter()
                .map(|&c| Array::scalar(c).convert(self.objective.float()))
                .collect()),
            false => Err(MethodError::mismatch("a point", format!("{n} coordinates"), point.len())),
        };
        coordinates.iter().map(member).collect()
    }

    fn evaluate(&self, members: &[Vec<Array>]) -> Result<Vec<Evaluation>, MethodError> {
        let found = self.run(members, 0..self.objective.batches().len())?;
        let sampling = self.objective.sampling();
        let summary =
            |values: ExampleValues| summarize(&values.losses, values.correct.as_deref(), sampling);
        Ok(found.into_iter().map(summary).collect())
    }

    fn run(
        &self,
        members: &[Vec<Array>],
        batches: Range<usize>,
    ) -> Result<Vec<ExampleValues>, MethodError> {
        let mut found = Vec::with_capacity(members.len());
        for chunk in padded(members, self.members) {
            let mut own = (0..chunk[0].len())
                .map(|i| {
                    Array::stack(&chunk.iter().map(|member| member[i].clone()).collect::<Vec<_>>())
                })
                .collect::<Result<Vec<_>, _>>()?;
            if self.recalibrates() {
                own.extend(self.recalibrate(&own)?);
            }
            let mut values = vec![ExampleValues::default(); chunk.len()];
            // What only fills a chunk up is not counted: it depends on the memory.
            let points = chunk.len().min(members.len() - found.len());
            for batch in batches.clone() {
                self.ctx.check()?;
                let pass = if self.derivatives { Pass::SecondDerivative } else { Pass::Loss };
                self.ctx.spend(pass, points * self.objective.batches()[batch]);
                let results = self.run_batch(&self.losses, &own, batch)?;
                for (which, array) in results.iter().enumerate() {
                    let rows = array.to_f64_vec();
                    let n = rows.len() / chunk.len().max(1);
                    for (member, row) in values.iter_mut().zip(rows.chunks(n.max(1))) {
                        let into = match which {
                            0 => &mut member.losses,
                            1 | 2 if self.derivatives => &mut member.derivatives[which - 1],
                            _ => member.correct.get_or_insert_default(),
                        };
                        into.extend_from_slice(row);
                    }
                }
            }
            values.truncate(members.len() - found.len());
            found.extend(values);
        }
        Ok(found)
    }

    fn run_batch(
        &self,
        programs: &[(usize, Arc<Program>)],
        own: &[Array],
        batch: usize,
    ) -> Result<Vec<Array>, MethodError> {
        let size = self.objective.batches()[batch];
        let program = programs.iter().find(|(known, _)| *known == size).map(|(_, program)| program);
        let Some(program) = program else {
            return Err(MethodError::mismatch("batch sizes", "those at the start", size));
        };
        let data = self.objective.data(batch)?;
        let inputs: Vec<Array> = [own, &self.shared, &data].concat();
        Ok(program.run(inputs)?)
    }

    /// Statistics of each member over all data, each `[member, ..]`: the means over batches,
    /// weighted by examples.
    fn recalibrate(&self, own: &[Array]) -> Result<Vec<Array>, MethodError> {
        let float = self.objective.float();
        let buffers = self.objective.buffers();
        let members = own.first().map_or(self.members, |array| array.shape()[0]);
        let placeholders: Vec<Array> = buffers
            .iter()
            .map(|b| Array::zeros(float, &[&[members], b.shape.as_slice()].concat()))
            .collect();
        let own = [own, &placeholders].concat();
        let mut sums: Vec<Vec<f64>> = placeholders.iter().map(|a| vec![0.0; a.len()]).collect();
        for (batch, &size) in self.objective.batches().iter().enumerate() {
            self.ctx.check()?;
            self.ctx.spend(Pass::Loss, members * size);
            for (sum, array) in
                sums.iter_mut().zip(self.run_batch(&self.statistics, &own, batch)?)
            {
                super::vector::add_scaled(sum, size as f64, &array.to_f64_vec());
            }
        }
        let n = self.objective.examples() as f64;
        let mean = |(sum, like): (Vec<f64>, &Array)| -> Result<Array, MethodError> {
            let mean: Vec<f64> = sum.into_iter().map(|s| s / n).collect();
            Ok(Array::from_slice(like.shape(), &mean)?.convert(float))
        };
        sums.into_iter().zip(&placeholders).map(mean).collect()
    }
}
