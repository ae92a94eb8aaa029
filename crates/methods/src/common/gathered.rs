//! Some of an objective's examples, in another order.

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Buffer, Loss, Parameter};

/// An objective over some of another's examples, in a given order and in blocks of a given size.
/// Holds a copy of their data, and takes the running statistics of the point as they are.
///
/// Only where the loss of an example does not depend on the batch that it is in.
pub(crate) struct Gathered<'a> {
    objective: &'a dyn Objective,
    order: Vec<usize>,
    batches: Vec<usize>,
    blocks: Vec<Vec<Array>>,
    sampling: Sampling,
}

impl<'a> Gathered<'a> {
    /// All examples in a drawn order, so that the first blocks are a random sample without
    /// replacement.
    ///
    /// # Errors
    /// Those of the objective's data.
    pub(crate) fn shuffled(
        objective: &'a dyn Objective,
        stream: &Stream,
        block: usize,
    ) -> Result<Gathered<'a>, MethodError> {
        let order = stream.permutation(objective.examples());
        let gathered = Gathered::selected(objective, order, block)?;
        Ok(Gathered { sampling: objective.sampling().clone(), ..gathered })
    }

    /// The examples at some places of the objective's order.
    ///
    /// # Errors
    /// A place that is none; those of the objective's data.
    pub(crate) fn selected(
        objective: &'a dyn Objective,
        order: Vec<usize>,
        block: usize,
    ) -> Result<Gathered<'a>, MethodError> {
        let n = objective.examples();
        if let Some(place) = order.iter().find(|&&place| place >= n) {
            return Err(MethodError::mismatch("an example", format!("one of {n}"), place));
        }
        // For each of the data's arrays its rows.
        let mut rows: Vec<Vec<Array>> = Vec::new();
        for (batch, &size) in objective.batches().iter().enumerate() {
            let data = objective.data(batch)?;
            rows.resize_with(data.len(), Vec::new);
            for (rows, array) in rows.iter_mut().zip(&data) {
                for row in 0..size {
                    rows.push(array.row(row)?);
                }
            }
        }
        let gather = |places: &[usize], rows: &Vec<Array>| {
            Array::stack(&places.iter().map(|&place| rows[place].clone()).collect::<Vec<_>>())
        };
        let blocks = order
            .chunks(block.max(1))
            .map(|places| rows.iter().map(|rows| gather(places, rows)).collect())
            .collect::<Result<Vec<_>, _>>()?;
        let batches = order.chunks(block.max(1)).map(<[usize]>::len).collect();
        Ok(Gathered { objective, order, batches, blocks, sampling: Sampling::All })
    }

    /// Where each example stands in the objective's own order.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }
}

impl Objective for Gathered<'_> {
    fn parameters(&self) -> &[Parameter] {
        self.objective.parameters()
    }

    fn buffers(&self) -> &[Buffer] {
        self.objective.buffers()
    }

    fn float(&self) -> DType {
        self.objective.float()
    }

    fn batch_norm(&self) -> BatchNorm {
        match self.objective.batch_norm() {
            BatchNorm::Recalibrated => BatchNorm::Frozen,
            mode => mode,
        }
    }

    fn batches(&self) -> &[usize] {
        &self.batches
    }

    fn data(&self, batch: usize) -> Result<Vec<Array>, MethodError> {
        let block = self.blocks.get(batch).cloned();
        block.ok_or_else(|| {
            let expected = format!("one of {}", self.blocks.len());
            MethodError::mismatch("batch", expected, batch)
        })
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn loss(&self) -> Option<Loss> {
        self.objective.loss()
    }

    fn labels(&self) -> Option<Vec<i32>> {
        let all = self.objective.labels()?;
        self.order.iter().map(|&place| all.get(place).copied()).collect()
    }

    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        data: &[Tensor<'b>],
        batch_statistics: bool,
    ) -> Examples<'b> {
        self.objective.trace(builder, parameters, buffers, data, batch_statistics)
    }
}
