//! What `thalweg data PATH` tells of a data set.

use crate::number;
use serde::Serialize;

/// A data set as the program sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataDescription {
    /// Its name.
    pub name: String,
    /// What it is read as: `an .npz file`, `a CSV file`, `a folder of images` and so on.
    pub kind: String,
    /// Where it was read from.
    pub source: String,
    /// SHA-256 of contents, classes and fixed parts.
    pub fingerprint: String,
    /// Examples in all, and in the fixed parts; the training part is all others.
    pub examples: u64,
    /// Examples of its own validation part.
    pub validation: u64,
    /// Examples of its own test part; 0: it is split when it is used.
    pub test: u64,
    /// Extents of the inputs of an example.
    pub shape: Vec<u64>,
    /// `f32`, or `i32` for tokens.
    pub element: String,
    /// What the values are.
    pub scale: String,
    /// The inputs, over all examples: one entry a channel or feature; none of tokens.
    pub channels: Vec<ValueRange>,
    /// `classification`, `sequences` or `regression`.
    pub task: String,
    /// One entry a class; none for values and for tokens.
    pub classes: Vec<ClassCount>,
    /// How many classes or tokens there are; absent for values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_classes: Option<u64>,
    /// Values to be predicted, one entry each.
    pub targets: Vec<ValueRange>,
    /// What was noticed, a sentence each.
    pub notes: Vec<String>,
}

/// Where values lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueRange {
    /// The smallest.
    #[serde(with = "number")]
    pub minimum: f64,
    /// The largest.
    #[serde(with = "number")]
    pub maximum: f64,
    /// Their mean.
    #[serde(with = "number")]
    pub mean: f64,
    /// Their standard deviation, divided by n.
    #[serde(with = "number")]
    pub standard_deviation: f64,
}

/// How often a class occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCount {
    /// Its name, or its label.
    pub name: String,
    /// In the training part, or everywhere if there are no fixed parts.
    pub train: u64,
    /// In the fixed validation part.
    pub validation: u64,
    /// In the fixed test part.
    pub test: u64,
}
