//! The reply of `thalweg train`.

use crate::number;
use serde::{Deserialize, Serialize};

/// The keys of `train`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainBody {
    /// One entry a member of the population.
    pub members: Vec<Member>,
}

/// How a member's training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// All steps were taken.
    Finished,
    /// The loss or the weights stopped being finite.
    Diverged,
}

/// A member in the reply of `train`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// Its seed.
    pub seed: u64,
    /// Its learning rate.
    pub lr: f64,
    /// How it ended.
    pub status: MemberStatus,
    /// The steps taken.
    pub steps: u64,
    /// The loss on the training split.
    #[serde(with = "number")]
    pub train_loss: f64,
    /// The loss on the test split; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_loss: Option<f64>,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
    /// The path of its weights.
    pub weights: String,
}
