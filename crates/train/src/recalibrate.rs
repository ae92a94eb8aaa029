//! Batch-normalisation statistics at given weights.

use crate::evaluate::{member_arrays, pack};
use crate::examples::check_fit;
use crate::population::{Argument, Population, Resources};
use crate::{Examples, TrainError};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Executor;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Mode, Model, Weights};

/// Computes the buffers that a pass over the training data gives at given weights.
///
/// Each statistic is the mean over the batches of that of the batch, in f64, as PyTorch's batch
/// normalisation with `momentum=None`. Batches are whole ones in the examples' order; the rest
/// that does not fill one is left out.
pub struct Recalibrator {
    population: Population,
    model: Model,
    examples: Examples,
    batch: usize,
}

impl Recalibrator {
    /// Statistics over batches of `batch` examples. The batch is part of what is computed.
    ///
    /// # Errors
    /// Examples that do not fit the model, or a batch that is empty or larger than the data.
    pub fn new(
        executor: Arc<Executor>,
        model: Model,
        examples: Examples,
        batch: usize,
    ) -> Result<Recalibrator, TrainError> {
        let float = examples.float();
        check_fit(&model, &examples, float)?;
        if batch == 0 || batch > examples.len() {
            let expected = format!("1 to the {} examples there are", examples.len());
            return Err(TrainError::setting("batch of the recalibration", expected, batch));
        }
        let builder = Builder::new(float);
        let (parameters, buffers) = model.declare(&builder);
        let inputs = examples.input_types().into_iter().enumerate().map(|(i, ty)| {
            let shape = [&[batch], &ty.shape[1..]].concat();
            builder.input(&format!("data.inputs.{i}"), TensorType::new(ty.dtype, shape))
        });
        let inputs: Vec<_> = inputs.collect();
        let applied = model.apply_to_all(&builder, &parameters, &buffers, &inputs, &Mode::BATCH);
        let names = model.buffers().iter().map(|buffer| buffer.name.as_str());
        let graph = builder.finish(&names.zip(applied.statistics).collect::<Vec<_>>())?;
        let mut axes = vec![Some(0); parameters.len() + buffers.len()];
        axes.resize(axes.len() + inputs.len(), None);
        let population = Population::new(executor, graph, axes);
        Ok(Recalibrator { population, model, examples, batch })
    }

    /// The same parameters with recalibrated buffers.
    ///
    /// # Errors
    /// Weights of another model or float type, or too little memory for one.
    pub fn recalibrate(
        &self,
        weights: &[Weights],
        resources: &Resources,
    ) -> Result<Vec<Weights>, TrainError> {
        if self.model.buffers().is_empty() {
            return Ok(weights.to_vec());
        }
        let resident = self.examples.size_in_bytes();
        let chunking =
            self.population.chunking("recalibration", weights.len(), resident, resources)?;
        let members = member_arrays(&self.model, weights)?;
        let n_batches = self.examples.len() / self.batch;
        let mut recalibrated = Vec::with_capacity(weights.len());
        for (own, filled) in chunking.chunks(weights.len()) {
            let packed = pack(&members, &filled)?;
            let mut sums: Vec<Vec<f64>> = Vec::new();
            let mut types: Vec<TensorType> = Vec::new();
            for batch in 0..n_batches {
                let rows = batch * self.batch..(batch + 1) * self.batch;
                let mut arguments = packed.clone();
                let inputs = self.examples.input_rows(rows)?;
                arguments.extend(inputs.into_iter().map(Argument::Shared));
                let statistics = self.population.run(chunking.size, arguments)?;
                if sums.is_empty() {
                    sums = statistics.iter().map(|array| vec![0.0; array.len()]).collect();
                    types = (statistics.iter())
                        .map(|array| TensorType::new(array.dtype(), array.shape()))
                        .collect();
                }
                for (sum, statistic) in sums.iter_mut().zip(&statistics) {
                    let values = statistic.to_f64_vec();
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
            let mut means = Vec::with_capacity(sums.len());
            for (sum, ty) in sums.iter().zip(&types) {
                let mean: Vec<f64> = sum.iter().map(|sum| sum / n_batches as f64).collect();
                means.push(Array::from_slice(&ty.shape, &mean)?.convert(ty.dtype));
            }
            for (row, member) in own.enumerate() {
                let buffers = means.iter().map(|mean| mean.row(row));
                let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
                let parameters = weights[member].parameters.clone();
                recalibrated
                    .push(Weights { parameters, buffers: self.model.buffer_tree(buffers)? });
            }
        }
        Ok(recalibrated)
    }
}
