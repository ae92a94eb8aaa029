//! An objective's examples in a drawn order.

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Buffer, Parameter};

/// The same objective with its examples in a drawn order and in blocks of another size, so that
/// the first blocks are a random sample without replacement. Holds a copy of the data.
///
/// Only where the loss of an example does not depend on the batch that it is in.
pub(crate) struct Shuffled<'a> {
    objective: &'a dyn Objective,
    order: Vec<usize>,
    batches: Vec<usize>,
    blocks: Vec<Vec<Array>>,
}

impl<'a> Shuffled<'a> {
    /// Draws the order and gathers the data.
    ///
    /// # Errors
    /// Those of the objective's data.
    pub(crate) fn new(
        objective: &'a dyn Objective,
        stream: &Stream,
        block: usize,
    ) -> Result<Shuffled<'a>, MethodError> {
        let n = objective.examples();
        let order = stream.permutation(n);
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
        Ok(Shuffled { objective, order, batches, blocks })
    }

    /// Where each example stands in the objective's own order.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }
}

impl Objective for Shuffled<'_> {
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
        self.objective.batch_norm()
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
        self.objective.sampling()
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
