//! The diagonal of a curvature matrix, example by example.

use super::score::Traced;
use super::source::{Source, separate};
use super::{CurvatureMatrix, Scope, likelihood};
use crate::common::{
    DiagonalOperator, Objective, even_chunks, fit, frozen_at, gradient, program_within, vector,
};
use crate::{Context, MethodError, Pass};
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::Weights;
use thalweg_transform::{Replacement, gradient as gradient_of, vmap};

/// Columns of the root at the outputs whose gradients are squared and added in one program. Not a
/// matter of memory, so that memory never changes the order of a sum.
const COLUMNS: usize = 8;

/// The diagonal of a matrix of a scope, exactly: the mean over examples of the squares of each
/// example's gradients, of its loss or along each column of the root of the middle matrix.
///
/// `diag (1/n sum of J_i^T S_i S_i^T J_i) = 1/n sum over i and columns s of (J_i^T s)^2`
///
/// Costs a gradient for each example and output (Gauss-Newton, Fisher), each draw, or each example
/// (empirical Fisher, gradient covariance). The Hessian has no such form: see
/// [`xdiag`](crate::curvature::xdiag()).
///
/// # Errors
/// As [`super::Curvature::new`]; the Hessian; batch statistics; data that are not those of examples.
/// # Source    Martens, Grosse, Optimizing neural networks with Kronecker-factored approximate
/// curvature, 2015, arXiv 1503.05671; Dangel, Kunstner, Hennig, BackPACK, 2020, arXiv 1912.10985
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_graph::DType;
/// use thalweg_methods::curvature::{CurvatureMatrix, Scope, diagonal};
/// use thalweg_methods::{Context, Function};
/// let line = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| w[0] * 2.0 + w[1] * 3.0);
/// let executor = Executor::new(1);
/// let (ctx, point) = (Context::new(&executor, 0), line.point(&[0.0, 0.0])?);
/// let empirical = CurvatureMatrix::EmpiricalFisher;
/// let found = diagonal(&ctx, &line, &point, empirical, &Scope::default())?;
/// assert_eq!(found.values(), [4.0, 9.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn diagonal(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    matrix: CurvatureMatrix,
    scope: &Scope,
) -> Result<DiagonalOperator, MethodError> {
    matrix.check(objective)?;
    let places = scope.parameters.places(objective.parameters())?;
    let point = frozen_at(ctx, objective, point)?;
    let source = Source::new(objective, &scope.examples)?;
    let squares = Squares::new(ctx, matrix, &source, &point, &places)?;
    let mut values = squares.mean()?;
    if matrix == CurvatureMatrix::GradientCovariance {
        let mean = gradient(ctx, source.objective(), &point)?.gradient;
        let mut offset = 0;
        let mut rest = values.iter_mut();
        for (place, parameter) in objective.parameters().iter().enumerate() {
            let end = offset + parameter.count();
            if places.contains(&place) {
                let of_parameter = &mean[offset..end];
                rest.by_ref().zip(of_parameter).for_each(|(value, g)| *value -= g * g);
            }
            offset = end;
        }
    }
    DiagonalOperator::new(format!("{}-diagonal", matrix.name()), values)
}

/// The mean squares of the gradients of examples.
pub(super) struct Squares<'a> {
    ctx: &'a Context<'a>,
    matrix: CurvatureMatrix,
    source: &'a Source<'a>,
    point: &'a Weights,
    places: &'a [usize],
    /// The shape of one example's outputs, `[1, ..]`.
    outputs: Vec<usize>,
    draws: Stream,
}

impl<'a> Squares<'a> {
    /// # Errors
    /// Batch statistics; data that are not those of examples; the Hessian.
    pub(super) fn new(
        ctx: &'a Context<'a>,
        matrix: CurvatureMatrix,
        source: &'a Source<'a>,
        point: &'a Weights,
        places: &'a [usize],
    ) -> Result<Squares<'a>, MethodError> {
        let objective = source.objective();
        check(matrix, objective, "a diagonal")?;
        let draws = ctx.stream("curvature/targets");
        let mut squares =
            Squares { ctx, matrix, source, point, places, outputs: Vec::new(), draws };
        let builder = Builder::new(objective.float());
        let shape = squares.traced(&builder)?.1.outputs.shape();
        squares.outputs = shape;
        Ok(squares)
    }

    fn objective(&self) -> &dyn Objective {
        self.source.objective()
    }

    /// Shapes of one example's data, as a batch of one.
    fn example(&self) -> Result<Vec<TensorType>, MethodError> {
        let types = self.objective().data_types(0)?.into_iter();
        let one = |ty: TensorType| TensorType::new(ty.dtype, [&[1], &ty.shape[1..]].concat());
        Ok(types.map(one).collect())
    }

    /// The parameters and what one example gives, with placeholders for its data.
    #[allow(clippy::type_complexity)]
    fn traced<'b>(
        &self,
        builder: &'b Builder,
    ) -> Result<(Vec<Tensor<'b>>, Traced<'b>, Vec<Tensor<'b>>), MethodError> {
        let objective = self.objective();
        let float = objective.float();
        let input = |prefix: &str, name: &str, shape: &[usize]| {
            builder.input(&format!("{prefix}.{name}"), TensorType::new(float, shape))
        };
        let parameters: Vec<_> =
            objective.parameters().iter().map(|p| input("weights", &p.name, &p.shape)).collect();
        let buffers: Vec<_> =
            objective.buffers().iter().map(|b| input("buffer", &b.name, &b.shape)).collect();
        let data: Vec<_> = self.example()?.into_iter().map(|ty| builder.placeholder(ty)).collect();
        let found = objective.trace(builder, &parameters, &buffers, &data, false);
        let outputs = found.outputs.unwrap_or(found.losses);
        let traced = Traced { losses: found.losses, outputs, weights: found.weights };
        Ok((parameters, traced, data))
    }

    /// Weights, buffers, then for each of so many examples its data; columns `[columns, 1, ..]` of
    /// all, or noise `[examples, 1, ..]`. To `[examples, ..]` of each parameter.
    fn graph(&self, examples: usize, columns: usize) -> Result<Graph, MethodError> {
        let objective = self.objective();
        let float = objective.float();
        let builder = Builder::new(float);
        let (parameters, traced, data) = self.traced(&builder)?;
        let rows: Vec<_> = self.places.iter().map(|&place| parameters[place]).collect();
        let stacked = |name: &str, member: Tensor<'_>, size: usize| {
            let ty = member.ty();
            let shape = [&[size], ty.shape.as_slice()].concat();
            builder.input(name, TensorType::new(ty.dtype, shape))
        };
        let mut replacements: Vec<_> = (data.iter().enumerate())
            .map(|(i, &member)| {
                let batched = stacked(&format!("data.{i}"), member, examples);
                Replacement { member, batched, axis: 0 }
            })
            .collect();
        let middle = || builder.placeholder(TensorType::new(float, self.outputs.as_slice()));
        let loss = objective.loss().unwrap_or_default();
        let mut squares = Vec::new();
        if self.matrix.has_columns() {
            let member = middle();
            let batched = stacked("columns", member, columns);
            let score = self.matrix.score(loss, traced, Some(member), None);
            let each = vmap(
                &gradient_of(score, &rows),
                &[Replacement { member, batched, axis: 0 }],
                columns,
            );
            squares.extend(each.into_iter().map(|g| g.square().sum(&[0])));
        } else {
            let noise = self.matrix.draws_targets().then(|| {
                let member = middle();
                let batched = stacked("noise", member, examples);
                replacements.push(Replacement { member, batched, axis: 0 });
                member
            });
            let score = self.matrix.score(loss, traced, None, noise);
            squares.extend(gradient_of(score, &rows).into_iter().map(Tensor::square));
        }
        let squares = vmap(&squares, &replacements, examples);
        let names: Vec<String> = (0..squares.len()).map(|i| format!("squares.{i}")).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(squares).collect();
        Ok(builder.finish(&outputs)?)
    }

    /// What the smallest program does.
    fn what(&self) -> String {
        format!("one example of the {} diagonal", self.matrix.words())
    }

    /// The program of [`Squares::graph`], within the memory budget.
    fn program(&self, examples: usize, columns: usize) -> Result<Arc<Program>, MethodError> {
        program_within(self.ctx, &self.what(), &self.graph(examples, columns)?)
    }

    /// The mean over examples of the squares of their gradients, one parameter after the other.
    pub(super) fn mean(&self) -> Result<Vec<f64>, MethodError> {
        let objective = self.objective();
        let each: usize = self.outputs.iter().product();
        let columns: Vec<usize> = (0..each).collect();
        let groups: Vec<&[usize]> = match self.matrix.has_columns() {
            true => even_chunks(&columns, COLUMNS).collect(),
            false => vec![&[]; self.matrix.passes()],
        };
        let widest = groups.iter().map(|group| group.len()).max().unwrap_or(0);
        let most = objective.batches().iter().copied().max().unwrap_or(1);
        let (most, program) = fit(self.ctx, &self.what(), most, |m| self.graph(m, widest))?;
        let mut programs = HashMap::from([((most, widest), program)]);
        let shared = [self.point.parameters.arrays(), self.point.buffers.arrays()].concat();
        let count = |place: &usize| objective.parameters()[*place].count();
        let mut sum = vec![0.0; self.places.iter().map(count).sum()];
        for (pass, group) in groups.into_iter().enumerate() {
            let mut first = 0;
            for (batch, &size) in objective.batches().iter().enumerate() {
                let data = objective.data(batch)?;
                for start in (0..size).step_by(most) {
                    self.ctx.check()?;
                    let examples = most.min(size - start);
                    self.ctx.spend(Pass::Gradient, examples * group.len().max(1));
                    let mut inputs = shared.clone();
                    for array in &data {
                        let rows = array.rows(start..start + examples)?;
                        let shape = [&[examples, 1], &rows.shape()[1..]].concat();
                        inputs.push(rows.reshape(&shape)?);
                    }
                    inputs.extend(self.middle(pass, group, (first + start, examples))?);
                    let key = (examples, group.len());
                    let program = match programs.get(&key) {
                        Some(known) => known.clone(),
                        None => {
                            let program = self.program(examples, group.len())?;
                            programs.insert(key, program.clone());
                            program
                        }
                    };
                    let mut offset = 0;
                    for array in program.run(inputs)? {
                        let values = array.to_f64_vec();
                        let count = values.len() / examples;
                        for part in values.chunks(count.max(1)) {
                            vector::add_scaled(&mut sum[offset..offset + count], 1.0, part);
                        }
                        offset += count;
                    }
                }
                first += size;
            }
        }
        let draws = if self.matrix.has_columns() { 1 } else { self.matrix.passes() };
        vector::scale(&mut sum, 1.0 / (objective.examples() as f64 * draws as f64));
        Ok(sum)
    }

    /// What goes in at the outputs: columns, or the noise of some examples.
    fn middle(
        &self,
        pass: usize,
        group: &[usize],
        (first, examples): (usize, usize),
    ) -> Result<Option<Array>, MethodError> {
        let float = self.objective().float();
        if self.matrix.has_columns() {
            return Ok(Some(unit_columns(group, &self.outputs)?.convert(float)));
        }
        if !self.matrix.draws_targets() {
            return Ok(None);
        }
        let streams = self.source.streams(&self.draws.at(pass as u64), first, examples);
        let loss = self.objective().loss().unwrap_or_default();
        let shape = [&[examples], self.outputs.as_slice()].concat();
        likelihood::noise_array(loss, &streams, &shape, float).map(Some)
    }
}

/// The unit vectors of these places, `[columns, ..]` of a shape.
pub(super) fn unit_columns(group: &[usize], shape: &[usize]) -> Result<Array, MethodError> {
    let each: usize = shape.iter().product();
    let mut values = vec![0.0; group.len() * each];
    for (column, &place) in group.iter().enumerate() {
        values[column * each + place] = 1.0;
    }
    Ok(Array::from_slice(&[&[group.len()], shape].concat(), &values)?)
}

/// Refuses what is not a mean over examples of outer products of their gradients.
pub(super) fn check(
    matrix: CurvatureMatrix,
    objective: &dyn Objective,
    what: &str,
) -> Result<(), MethodError> {
    if matrix == CurvatureMatrix::Hessian {
        let expected = "a mean of outer products: the Gauss-Newton, a Fisher or the gradient \
                        covariance matrix";
        return Err(MethodError::config(&format!("the matrix of {what}"), expected, "the Hessian"));
    }
    separate(objective, what)?;
    for (size, batch) in objective.sizes() {
        let data = objective.data(batch)?;
        if let Some(other) = data.iter().find(|a| a.shape().first() != Some(&size)) {
            let expected = format!("{size} rows of examples");
            let what = format!("the data of {what}");
            return Err(MethodError::mismatch(what, expected, format!("{:?}", other.shape())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curvature::ExampleGroup;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};

    /// Fifteen outputs go as seven and as eight columns, and the program of each keeps to the budget.
    #[test]
    fn groups_of_every_size_keep_within_the_budget() {
        let (n, classes) = (3, 15);
        let executor = Executor::new(2);
        let ctx = Context::new(&executor, 0);
        let text = "convnet channels=8-8 activation=tanh";
        let model = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], classes).unwrap();
        let pixels: Vec<f32> = (0..n * 64).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let inputs = vec![Array::from_slice(&[n, 8, 8, 1], &pixels).unwrap()];
        let labels = Array::vector(&(0..n as i32).collect::<Vec<i32>>());
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, labels, true, &config).unwrap();
        let point = thalweg_train::initialize(&model, 1, DType::F32).unwrap();
        let source = Source::new(&objective, &ExampleGroup::All).unwrap();
        let places: Vec<usize> = (0..model.parameters().len()).collect();
        let matrix = CurvatureMatrix::GaussNewton;
        let whole = Squares::new(&ctx, matrix, &source, &point, &places).unwrap();
        let graphs = [7, 8].map(|columns| whole.graph(1, columns).unwrap());
        let peak = |budget: usize| {
            let of =
                |graph: &Graph| executor.compile_within(graph, budget).unwrap().memory().peak();
            graphs.each_ref().map(of)
        };
        let (plain, least) = (peak(usize::MAX), peak(0));
        let floor = least[0].max(least[1]);
        assert!(floor < plain[0], "seven columns take {} kept and {floor} done again", plain[0]);
        let budget = floor + (plain[0] - floor) / 4;
        let ctx = ctx.clone().with_memory(budget);
        let tight = Squares::new(&ctx, matrix, &source, &point, &places).unwrap();
        for columns in [7, 8] {
            let program = tight.program(1, columns).unwrap();
            assert!(program.memory().peak() <= budget && program.recomputed_flops() > 0);
        }
        assert!(tight.mean().unwrap() == whole.mean().unwrap());
        let ctx = ctx.with_memory(floor / 2);
        let none = Squares::new(&ctx, matrix, &source, &point, &places).unwrap().mean();
        let message = none.unwrap_err().to_string();
        assert!(message.starts_with("one example of the Gauss-Newton diagonal needs"), "{message}");
    }
}
