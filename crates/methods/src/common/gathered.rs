//! Some of an objective's examples, in another order.

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Buffer, Loss, Parameter};

/// An objective over some of another's examples, in a given order and in blocks of a given size. A
/// block's data are gathered when they are asked for, so that it holds none of them; it takes the
/// running statistics of the point as they are.
///
/// Only where the loss of an example does not depend on the batch that it is in.
pub(crate) struct Gathered<'a> {
    objective: &'a dyn Objective,
    order: Vec<usize>,
    batches: Vec<usize>,
    block: usize,
    sampling: Sampling,
}

impl<'a> Gathered<'a> {
    /// All examples in a drawn order, so that the first blocks are a random sample without
    /// replacement.
    pub(crate) fn shuffled(
        objective: &'a dyn Objective,
        stream: &Stream,
        block: usize,
    ) -> Gathered<'a> {
        let order = stream.permutation(objective.examples());
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(now, &before)| places[before] = now);
        let moved = |(of, size): &(Vec<usize>, usize)| {
            (of.iter().filter_map(|&before| places.get(before).copied()).collect(), *size)
        };
        let sampling = match objective.sampling() {
            Sampling::All => Sampling::All,
            Sampling::Strata(strata) => Sampling::Strata(strata.iter().map(moved).collect()),
        };
        Gathered::of(objective, order, block, sampling)
    }

    /// The examples at some places of the objective's order.
    ///
    /// # Errors
    /// A place that is none.
    pub(crate) fn selected(
        objective: &'a dyn Objective,
        order: Vec<usize>,
        block: usize,
    ) -> Result<Gathered<'a>, MethodError> {
        let n = objective.examples();
        match order.iter().find(|&&place| place >= n) {
            Some(place) => Err(MethodError::mismatch("an example", format!("one of {n}"), place)),
            None => Ok(Gathered::of(objective, order, block, Sampling::All)),
        }
    }

    fn of(
        objective: &'a dyn Objective,
        order: Vec<usize>,
        block: usize,
        sampling: Sampling,
    ) -> Gathered<'a> {
        let block = block.max(1);
        let batches = order.chunks(block).map(<[usize]>::len).collect();
        Gathered { objective, order, batches, block, sampling }
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
        let Some(places) = self.order.chunks(self.block).nth(batch) else {
            let expected = format!("one of {}", self.batches.len());
            return Err(MethodError::mismatch("batch", expected, batch));
        };
        self.objective.data_at(places)
    }

    fn data_at(&self, places: &[usize]) -> Result<Vec<Array>, MethodError> {
        let n = self.order.len();
        let own = |&place: &usize| {
            let known = self.order.get(place).copied();
            known.ok_or_else(|| MethodError::mismatch("an example", format!("one of {n}"), place))
        };
        self.objective.data_at(&places.iter().map(own).collect::<Result<Vec<_>, _>>()?)
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn loss(&self) -> Option<Loss> {
        self.objective.loss()
    }

    fn is_likelihood(&self) -> bool {
        self.objective.is_likelihood()
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
