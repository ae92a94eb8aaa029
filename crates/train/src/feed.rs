//! What a segment of steps reads: orders, images, draws. Each is a pure function of the member's
//! seed and the step.

use crate::examples::take;
use crate::{Examples, Member, TrainError};
use std::collections::HashMap;
use thalweg_array::{Array, DType};
use thalweg_data::{Augmentation, Batches, Stream};

/// Makes the sequences of a population.
pub(crate) struct Feed<'a> {
    pub(crate) examples: &'a Examples,
    pub(crate) batches: &'a Batches,
    pub(crate) augmentation: &'a Augmentation,
    /// Orders of the epoch that a seed was last in.
    orders: HashMap<u64, (u64, Array)>,
    /// The first input in the type in which it is augmented, if it is and is in memory.
    images: Option<Array>,
}

/// The sequences of one chunk: `[S, member, ..]` unless stated.
pub(crate) struct Fed {
    pub(crate) indices: Array,
    /// `[S]`, the same for all members.
    pub(crate) factors: Array,
    /// `[S]`, the same for all members.
    pub(crate) counts: Array,
    pub(crate) dropout_keys: Array,
    /// Each step's own first input, unless it picks that among all.
    pub(crate) inputs: Option<Array>,
}

/// Whether a step is given its first input, because it is changed or stays in its file.
pub(crate) fn brings_input(examples: &Examples, augmentation: &Augmentation) -> bool {
    !augmentation.is_identity() || examples.inputs().is_none()
}

impl<'a> Feed<'a> {
    pub(crate) fn new(
        examples: &'a Examples,
        batches: &'a Batches,
        augmentation: &'a Augmentation,
    ) -> Feed<'a> {
        let augments = !augmentation.is_identity();
        let images = examples.inputs().filter(|_| augments);
        let images = images.map(|all| all[0].convert(DType::F32));
        Feed { examples, batches, augmentation, orders: HashMap::new(), images }
    }

    /// Steps `first..end` of some members; the schedule's factors are given.
    pub(crate) fn steps(
        &mut self,
        members: &[&Member],
        first: u64,
        end: u64,
        factors: Vec<f64>,
    ) -> Result<Fed, TrainError> {
        let epoch_steps = self.batches.steps() as u64;
        let n_rows = (end - first) as usize * members.len();
        let own_input = brings_input(self.examples, self.augmentation);
        let (mut indices, mut inputs) = (Vec::with_capacity(n_rows), Vec::new());
        let mut keys: Vec<u32> = Vec::with_capacity(2 * n_rows);
        for step in first..end {
            let (epoch, position) = (step / epoch_steps, (step % epoch_steps) as usize);
            for member in members {
                let row = self.order(member.seed, epoch)?.row(position)?;
                if own_input {
                    inputs.push(self.first_input(member, row.as_slice()?, epoch)?);
                }
                indices.push(row);
                keys.extend(Stream::new(member.seed, "train/dropout").at(step).key());
            }
        }
        let lead = [(end - first) as usize, members.len()];
        let shaped = |rows: &[Array]| -> Result<Array, TrainError> {
            let stacked = Array::stack(rows)?;
            Ok(stacked.reshape(&[&lead, &stacked.shape()[1..]].concat())?)
        };
        let float = self.examples.float();
        let counts: Vec<f64> = (first..end).map(|step| (step + 1) as f64).collect();
        Ok(Fed {
            factors: Array::vector(&factors).convert(float),
            counts: Array::vector(&counts).convert(float),
            indices: shaped(&indices)?,
            dropout_keys: Array::from_slice(&[lead[0], lead[1], 2], &keys)?,
            inputs: own_input.then(|| shaped(&inputs)).transpose()?,
        })
    }

    /// The first input of one member's step, changed as it is to be.
    fn first_input(&self, member: &Member, rows: &[i32], epoch: u64) -> Result<Array, TrainError> {
        if self.augmentation.is_identity() {
            return self.examples.take_first_input(rows);
        }
        let batch = match &self.images {
            Some(images) => take(images, rows)?,
            None => self.examples.take_first_input(rows)?.convert(DType::F32),
        };
        let stream = Stream::new(member.seed, "train/augment");
        let changed = self.augmentation.apply(&batch, rows, &stream, epoch)?;
        Ok(changed.convert(self.examples.float()))
    }

    fn order(&mut self, seed: u64, epoch: u64) -> Result<&Array, TrainError> {
        let known = self.orders.get(&seed).is_some_and(|(known, _)| *known == epoch);
        if !known {
            let order = self.batches.epoch(&Stream::new(seed, "train/order"), epoch)?;
            self.orders.insert(seed, (epoch, order));
        }
        Ok(&self.orders[&seed].1)
    }
}
