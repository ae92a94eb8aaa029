//! What is asked of a training run.

use crate::{Optimizer, Schedule, TrainError};
use std::collections::BTreeMap;
use thalweg_array::DType;
use thalweg_data::{Augmentation, LastBatch};
use thalweg_nn::{ClassAdjustment, Loss};

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Passes over the training data.
    Epochs(u64),
    /// Steps.
    Steps(u64),
}

/// One member of a population: what differs between its members.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Seed of its initial weights, its data order, its augmentation and its dropout.
    pub seed: u64,
    /// Learning rate before the schedule.
    pub lr: f64,
    /// Other hyper-parameters that are not those of the optimizer's text, by name.
    pub hyper: BTreeMap<String, f64>,
}

impl Member {
    /// A member with the optimizer's own hyper-parameters.
    pub fn new(seed: u64, lr: f64) -> Member {
        Member { seed, lr, hyper: BTreeMap::new() }
    }

    /// The product of seeds and rates: for each rate, every seed.
    pub fn product(seeds: &[u64], rates: &[f64]) -> Vec<Member> {
        let of_rate = |&lr| seeds.iter().map(move |&seed| Member::new(seed, lr));
        rates.iter().flat_map(of_rate).collect()
    }
}

/// What all members of a run share.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// The loss, with its label smoothing.
    pub loss: Loss,
    /// What is done to outputs before the loss, for classes of unequal frequency.
    pub adjustment: Option<ClassAdjustment>,
    /// Examples in a batch.
    pub batch: usize,
    /// What becomes of the examples that do not fill a last batch.
    pub last_batch: LastBatch,
    /// How long to train.
    pub length: Length,
    /// Random changes of images; shifted-in pixels are `fill`, or zeros of the normalised images.
    pub augmentation: Augmentation,
    /// Float type of weights and arithmetic.
    pub precision: DType,
    /// Steps between two looks from outside (observers, checkpoints); never changes a bit.
    pub segment: u64,
}

impl Default for TrainConfig {
    fn default() -> TrainConfig {
        TrainConfig {
            optimizer: Optimizer::nesterov(0.9).with_weight_decay(5e-4),
            schedule: Schedule::one_cycle(),
            loss: Loss::default(),
            adjustment: None,
            batch: 64,
            last_batch: LastBatch::Drop,
            length: Length::Epochs(20),
            augmentation: Augmentation::default(),
            precision: DType::F32,
            segment: 32,
        }
    }
}

impl TrainConfig {
    /// Refuses settings that no data could make sense of.
    ///
    /// # Errors
    /// `Setting` names the first one.
    pub fn check(&self) -> Result<(), TrainError> {
        if !self.precision.is_float() {
            return Err(TrainError::setting("precision", "f32 or f64", self.precision));
        }
        if self.segment == 0 {
            return Err(TrainError::setting("segment", "at least 1 step", 0));
        }
        let (Length::Epochs(length) | Length::Steps(length)) = self.length;
        const LONGEST: u64 = 1 << 40;
        if length > LONGEST {
            return Err(TrainError::setting("length of training", "at most 2^40", length));
        }
        Ok(())
    }
}
