//! Loss and accuracy of many weights over a set of examples.

use crate::examples::check_fit;
use crate::population::{Argument, Population, Resources};
use crate::{Examples, TrainError};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Executor;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Loss, Mode, Model, Weights};
use thalweg_stats::pairwise_sum;

/// What an evaluation over all examples gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Share classified rightly, where targets are labels; of sequences the share of positions.
    pub accuracy: Option<f64>,
    /// Loss of each example, in order.
    pub losses: Vec<f64>,
}

/// Evaluates weights with frozen statistics and without dropout.
///
/// Losses are computed one an example and added up in f64 in an order that depends on their number
/// alone, so neither the batch nor the chunk nor the budget changes a bit.
pub struct Evaluator {
    population: Population,
    model: Model,
    examples: Examples,
    batch: usize,
}

impl Evaluator {
    /// An evaluator in passes of `batch` examples.
    ///
    /// # Errors
    /// Examples that do not fit the model.
    pub fn new(
        executor: Arc<Executor>,
        model: Model,
        loss: Loss,
        examples: Examples,
        batch: usize,
    ) -> Result<Evaluator, TrainError> {
        let float = examples.float();
        check_fit(&model, &examples, float)?;
        if examples.own_targets().is_some() {
            let expected = "one set of targets";
            return Err(TrainError::setting("examples to evaluate on", expected, "one a member"));
        }
        let batch = batch.clamp(1, examples.len());
        let builder = Builder::new(float);
        let (parameters, buffers) = model.declare(&builder);
        let rows = |name: &str, ty: &TensorType| {
            let shape = [&[batch], &ty.shape[1..]].concat();
            builder.input(name, TensorType::new(ty.dtype, shape))
        };
        let inputs = examples.input_types().into_iter().enumerate();
        let inputs: Vec<_> = inputs.map(|(i, ty)| rows(&format!("data.inputs.{i}"), &ty)).collect();
        let targets = examples.targets();
        let targets = rows("data.targets", &TensorType::new(targets.dtype(), targets.shape()));
        let applied = model.apply_to_all(&builder, &parameters, &buffers, &inputs, &Mode::EVALUATE);
        let mut outputs = vec![("losses", loss.per_example(applied.output, targets))];
        if examples.classes() {
            outputs.push(("correct", Loss::correct(applied.output, targets)));
        }
        let graph = builder.finish(&outputs)?;
        let mut axes = vec![Some(0); parameters.len() + buffers.len()];
        axes.resize(axes.len() + inputs.len() + 1, None);
        let population = Population::new(executor, graph, axes);
        Ok(Evaluator { population, model, examples, batch })
    }

    /// The examples.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// Evaluates weights, as many at once as fit.
    ///
    /// # Errors
    /// Weights of another model or float type, or too little memory for one.
    pub fn evaluate(
        &self,
        weights: &[Weights],
        resources: &Resources,
    ) -> Result<Vec<Evaluation>, TrainError> {
        let n = self.examples.len();
        let resident = self.examples.size_in_bytes();
        let chunking =
            self.population.chunking("evaluation", weights.len(), resident, resources)?;
        let members = member_arrays(&self.model, weights)?;
        let mut evaluations = Vec::with_capacity(weights.len());
        for (own, filled) in chunking.chunks(weights.len()) {
            let packed = pack(&members, &filled)?;
            let mut losses = vec![Vec::with_capacity(n); own.len()];
            let mut correct = vec![Vec::with_capacity(n); own.len()];
            for start in (0..n).step_by(self.batch) {
                // The last pass overlaps the one before, so that one program serves.
                let from = start.min(n - self.batch);
                let mut arguments = packed.clone();
                let pass = from..from + self.batch;
                let inputs = self.examples.input_rows(pass.clone())?;
                arguments.extend(inputs.into_iter().map(Argument::Shared));
                arguments.push(Argument::Shared(self.examples.targets().rows(pass)?));
                let outputs = self.population.run(chunking.size, arguments)?;
                for member in 0..own.len() {
                    let values = |array: &Array| -> Result<Vec<f64>, TrainError> {
                        Ok(array.row(member)?.rows(start - from..self.batch)?.to_f64_vec())
                    };
                    losses[member].extend(values(&outputs[0])?);
                    if let Some(right) = outputs.get(1) {
                        correct[member].extend(values(right)?);
                    }
                }
            }
            for (mut losses, correct) in losses.into_iter().zip(correct) {
                if let Some(weights) = self.examples.weights() {
                    let weights = weights.to_f64_vec();
                    losses.iter_mut().zip(weights).for_each(|(loss, weight)| *loss *= weight);
                }
                evaluations.push(Evaluation {
                    loss: pairwise_sum(&losses) / n as f64,
                    accuracy: (self.examples.classes()).then(|| pairwise_sum(&correct) / n as f64),
                    losses,
                });
            }
        }
        Ok(evaluations)
    }
}

/// Parameters and buffers of each member, known to be those of the model.
pub(crate) fn member_arrays(
    model: &Model,
    weights: &[Weights],
) -> Result<Vec<Vec<Array>>, TrainError> {
    let arrays = |weights: &Weights| {
        let parameters = model.parameter_tree(weights.parameters.arrays().to_vec())?;
        let buffers = model.buffer_tree(weights.buffers.arrays().to_vec())?;
        Ok([parameters.into_arrays(), buffers.into_arrays()].concat())
    };
    weights.iter().map(arrays).collect()
}

/// The arrays of the members of a chunk, ready for any number of runs.
pub(crate) fn pack(members: &[Vec<Array>], filled: &[usize]) -> Result<Vec<Argument>, TrainError> {
    let n_arrays = members.first().map_or(0, Vec::len);
    let one = |i: usize| {
        let each: Vec<Array> = filled.iter().map(|&member| members[member][i].clone()).collect();
        Ok(Argument::Packed(Array::stack(&each)?))
    };
    (0..n_arrays).map(one).collect()
}
