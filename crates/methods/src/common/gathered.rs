//! Some of an objective's examples, in another order.

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::MethodError;
use std::collections::HashMap;
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

    /// So many blocks, each drawn without replacement from all the examples that there are, whatever is
    /// in the others: what is computed of each is independent of the others, as it is not of blocks
    /// that share no example. As many examples as all blocks have together are enough.
    ///
    /// Where the objective's examples are a sample of those that there are, which one an example is
    /// that no block had before does not matter: the next of a random order of the sample stands for it.
    pub(crate) fn drawn(
        objective: &'a dyn Objective,
        stream: &Stream,
        block: usize,
        blocks: usize,
    ) -> Gathered<'a> {
        let n = objective.examples();
        let population = objective.sampling().population(n);
        let fresh = stream.child("order").permutation(n);
        let (mut order, mut met) = (Vec::with_capacity(block * blocks), 0);
        for index in 0..blocks {
            let draws = stream.at(index as u64);
            let before = met;
            // A shuffle of all places that ends after the first ones, of those that are moved alone.
            let mut moved: HashMap<usize, usize> = HashMap::new();
            for i in 0..block {
                let at = i + draws.below(i as u64, (population - i) as u64) as usize;
                let drawn = moved.get(&at).copied().unwrap_or(at);
                let displaced = moved.get(&i).copied().unwrap_or(i);
                moved.insert(at, displaced);
                // Places count the examples in the order in which they were met.
                let place = if drawn < before { drawn } else { met };
                met += usize::from(drawn >= before);
                order.push(fresh[place]);
            }
        }
        Gathered::of(objective, order, block, Sampling::All)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, ModelObjective, ObjectiveConfig};
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;

    /// A sample of so many of 20 examples.
    fn sample(samples: usize) -> ModelObjective {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = "linear".parse::<Architecture>().unwrap().build(&[1], 1).unwrap();
        let (inputs, targets) =
            (Array::zeros(DType::F32, &[20, 1]), Array::zeros(DType::F32, &[20, 1]));
        let config = ObjectiveConfig { samples: Some(samples), ..ObjectiveConfig::default() };
        let loss = Loss::HalfSquaredError;
        ModelObjective::from_arrays(&ctx, &model, loss, vec![inputs], targets, false, &config)
            .unwrap()
    }

    /// Whether all or a sample of them is there, two blocks of 3 share an example as often as two
    /// independent ones of 20, and each example is in one as often as another.
    #[test]
    fn drawn_blocks_are_independent_ones_of_all_examples() {
        const TRIALS: u64 = 4000;
        for samples in [20, 12] {
            let objective = sample(samples);
            let (mut shared, mut often) = (0.0, vec![0.0; samples]);
            for trial in 0..TRIALS {
                let drawn = Gathered::drawn(&objective, &Stream::new(trial, "drawn"), 3, 4);
                assert_eq!(drawn.batches(), [3; 4]);
                let blocks: Vec<&[usize]> = drawn.order.chunks(3).collect();
                for (i, block) in blocks.iter().enumerate() {
                    assert!(block[0] != block[1] && block[0] != block[2] && block[1] != block[2]);
                    let in_both = |other: &&[usize]| {
                        block.iter().filter(|place| other.contains(place)).count() as f64
                    };
                    shared += blocks[..i].iter().map(in_both).sum::<f64>();
                    block.iter().for_each(|&place| often[place] += 1.0);
                }
            }
            // Of six pairs of blocks nine pairs of examples each are one and the same with 1 / 20.
            let expected = 6.0 * 9.0 / 20.0 * TRIALS as f64;
            assert!((shared / expected - 1.0).abs() < 0.05, "{samples}: {shared} {expected}");
            let each = 12.0 * TRIALS as f64 / samples as f64;
            assert!(often.iter().all(|n| (n / each - 1.0).abs() < 0.12), "{samples}: {often:?}");
        }
    }
}
