//! The gradient of an objective over all its data.

use super::evaluation::{Evaluation, summarize};
use super::objective::{BatchNorm, Examples, Objective, Sampling, frozen_at};
use super::population::fit;
use super::vector;
use crate::{Context, MethodError, Pass};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::Weights;
use thalweg_transform::values_and_grad;

/// An objective's value and gradient at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The value.
    pub at: Evaluation,
    /// The gradient, in the order of [`thalweg_nn::Parameters::flatten`].
    pub gradient: Vec<f64>,
}

impl Gradient {
    /// The gradient's Euclidean norm.
    pub fn norm(&self) -> f64 {
        vector::norm(&self.gradient)
    }
}

/// Inputs of a graph that differentiates an objective's batch by its parameters.
pub(crate) struct Declared<'b> {
    pub(crate) parameters: Vec<Tensor<'b>>,
    pub(crate) losses: Tensor<'b>,
    pub(crate) correct: Option<Tensor<'b>>,
    pub(crate) outputs: Option<Tensor<'b>>,
    pub(crate) weights: Option<Tensor<'b>>,
}

/// Declares parameters, buffers and data of a batch, in this order, and traces its losses.
pub(crate) fn declare<'b>(
    builder: &'b Builder,
    objective: &dyn Objective,
    batch: usize,
) -> Result<Declared<'b>, MethodError> {
    let float = objective.float();
    let input = |prefix: &str, name: &str, shape: &[usize]| {
        builder.input(&format!("{prefix}.{name}"), TensorType::new(float, shape))
    };
    let parameters: Vec<_> =
        objective.parameters().iter().map(|p| input("weights", &p.name, &p.shape)).collect();
    let buffers: Vec<_> =
        objective.buffers().iter().map(|b| input("buffer", &b.name, &b.shape)).collect();
    let data: Vec<_> = objective
        .data_types(batch)?
        .into_iter()
        .enumerate()
        .map(|(i, ty)| builder.input(&format!("data.{i}"), ty))
        .collect();
    let own = objective.batch_norm() == BatchNorm::Batch;
    let traced = objective.trace(builder, &parameters, &buffers, &data, own);
    let Examples { losses, correct, outputs, weights, .. } = traced;
    Ok(Declared { parameters, losses, correct, outputs, weights })
}

/// The mean gradient over all examples, batches streamed and added up in `f64`. Recalibrated
/// statistics are computed at the point and held.
///
/// # Errors
/// Weights of another model; those of the engine; `Interrupted` between batches.
pub fn gradient(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Gradient, MethodError> {
    let point = frozen_at(ctx, objective, point)?;
    Gradients::new(ctx, objective)?.over(&point, 0..objective.batches().len())
}

/// The programs of an objective's gradient, for many points one after the other.
pub struct Gradients<'a> {
    ctx: Context<'a>,
    objective: &'a dyn Objective,
    programs: HashMap<usize, Arc<Program>>,
}

impl<'a> Gradients<'a> {
    /// The programs, one for each size of a batch.
    ///
    /// # Errors
    /// `Memory` where a batch does not fit the budget; those of the engine.
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
    ) -> Result<Gradients<'a>, MethodError> {
        let mut programs = HashMap::new();
        for (size, batch) in objective.sizes() {
            let (_, program) = fit(ctx, "one gradient", 1, |_| graph(objective, batch))?;
            programs.insert(size, program);
        }
        Ok(Gradients { ctx: ctx.clone(), objective, programs })
    }

    /// Value and gradient at a point, anywhere, of all the data.
    ///
    /// # Errors
    /// As [`gradient`].
    pub fn at(&self, point: &Weights) -> Result<Gradient, MethodError> {
        let point = frozen_at(&self.ctx, self.objective, point)?;
        self.over(&point, 0..self.objective.batches().len())
    }

    /// Value and gradient of the mean over some batches at a point of the objective's float type
    /// whose statistics hold. The value has no standard error but that of all batches.
    ///
    /// # Errors
    /// Batches that are none; those of the engine; `Interrupted` between batches.
    pub(crate) fn over(
        &self,
        point: &Weights,
        batches: Range<usize>,
    ) -> Result<Gradient, MethodError> {
        let (objective, ctx) = (self.objective, &self.ctx);
        let shared = [point.parameters.arrays(), point.buffers.arrays()].concat();
        let n_parameters = objective.parameters().len();
        let mut sum = vec![0.0; objective.dimension()];
        let (mut losses, mut correct) = (Vec::new(), Vec::new());
        let sampling = match batches == (0..objective.batches().len()) {
            true => objective.sampling(),
            false => &Sampling::All,
        };
        for batch in batches {
            ctx.check()?;
            let size = objective.batches().get(batch).copied().unwrap_or(0);
            let Some(program) = self.programs.get(&size) else {
                return Err(MethodError::mismatch("batch sizes", "those at the start", size));
            };
            ctx.spend(Pass::Gradient, size);
            let inputs: Vec<Array> = [shared.as_slice(), &objective.data(batch)?].concat();
            let results = program.run(inputs)?;
            let mut rest = sum.as_mut_slice();
            for array in &results[..n_parameters] {
                let (head, tail) = rest.split_at_mut(array.len());
                vector::add_scaled(head, 1.0, &array.to_f64_vec());
                rest = tail;
            }
            losses.extend(results[n_parameters].to_f64_vec());
            if let Some(array) = results.get(n_parameters + 1) {
                correct.extend(array.to_f64_vec());
            }
        }
        vector::scale(&mut sum, 1.0 / losses.len().max(1) as f64);
        let correct = (!correct.is_empty()).then_some(correct.as_slice());
        Ok(Gradient { at: summarize(&losses, correct, sampling), gradient: sum })
    }
}

fn graph(objective: &dyn Objective, batch: usize) -> Result<Graph, MethodError> {
    let builder = Builder::new(objective.float());
    let declared = declare(&builder, objective, batch)?;
    let reported: Vec<_> =
        [declared.losses.sum_all(), declared.losses].into_iter().chain(declared.correct).collect();
    let (values, gradient) = values_and_grad(&reported, &declared.parameters);
    let names: Vec<String> = objective
        .parameters()
        .iter()
        .map(|p| format!("gradient.{}", p.name))
        .chain(["losses".to_owned(), "correct".to_owned()])
        .collect();
    let outputs: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(gradient.into_iter().chain(values[1..].to_vec()))
        .collect();
    Ok(builder.finish(&outputs)?)
}
