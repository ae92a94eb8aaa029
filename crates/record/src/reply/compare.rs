//! The reply of `thalweg compare`.

use crate::{Comparison, number};
use serde::Serialize;

/// The keys of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompareBody {
    /// The models.
    pub models: Vec<ComparedModel>,
    /// Examples that they are measured on.
    pub samples: u64,
    /// What instruments say of them.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// A model in the reply of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedModel {
    /// Its name.
    pub name: String,
    /// The number of parameters.
    pub parameters: u64,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
}
