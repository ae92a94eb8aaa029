//! What can be wrong with data.

use crate::Rows;
use std::ops::Range;
use thalweg_array::{ArrayError, DType};

/// What can be wrong with data or with a request about them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// The inputs have a rank that is neither that of images nor that of features.
    #[error("inputs of shape {got:?}: expected [n, height, width, channels] or [n, features]")]
    InputShape {
        /// The shape that was given.
        got: Vec<usize>,
    },
    /// The targets have a shape that is not one entry an example.
    #[error("targets of shape {got:?}: expected {expected}")]
    TargetShape {
        /// The shapes that would do.
        expected: &'static str,
        /// The shape that was given.
        got: Vec<usize>,
    },
    /// Inputs and targets differ in number.
    #[error("{inputs} inputs but {targets} targets: expected one target for each input")]
    Count {
        /// Rows of the inputs.
        inputs: usize,
        /// Rows of the targets.
        targets: usize,
    },
    /// There are no examples, or examples without values.
    #[error("no data: {what} has shape {shape:?}")]
    Empty {
        /// Which array.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A value is NaN or infinite.
    #[error("{what}: row {row} holds {value} at element {element}, expected finite numbers{}", .rows.also())]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// The first such row, counted from 0.
        row: usize,
        /// All such rows.
        rows: Rows,
        /// Element within the row, counted from 0.
        element: usize,
        /// The value as text.
        value: String,
    },
    /// A label is outside the classes.
    #[error("labels: row {row} is {label}, expected a whole number from 0 to {}{}", .n_classes.saturating_sub(1), .rows.also())]
    Label {
        /// The first such row, counted from 0.
        row: usize,
        /// All such rows.
        rows: Rows,
        /// The label.
        label: i64,
        /// Number of classes.
        n_classes: usize,
    },
    /// A label is below zero and the number of classes is not known yet.
    #[error("labels: row {row} is {label}, expected whole numbers counted from 0{}", .rows.also())]
    NegativeLabel {
        /// The first such row, counted from 0.
        row: usize,
        /// All such rows.
        rows: Rows,
        /// The label.
        label: i64,
    },
    /// An input that should be a token is none.
    #[error(
        "inputs: row {row} holds {value}, expected whole numbers from 0 on, for the model looks tokens up"
    )]
    Token {
        /// The first such row, counted from 0.
        row: usize,
        /// The value as text.
        value: String,
    },
    /// An input of which the model has no entry.
    #[error("inputs: row {row} holds {value}, expected whole numbers from {} to {}, for the model looks them up{}", .range.start, .range.end - 1, .rows.also())]
    Index {
        /// The first such row, counted from 0.
        row: usize,
        /// All such rows.
        rows: Rows,
        /// The input.
        value: i64,
        /// What the model has entries for.
        range: Range<i64>,
    },
    /// Labels are not whole numbers.
    #[error("labels are {got}, expected an integer type")]
    LabelType {
        /// The type that was given.
        got: DType,
    },
    /// The labels skip a class.
    #[error(
        "labels run to {largest} but no example has label {missing}: expected every class from 0"
    )]
    MissingClass {
        /// The first class without an example.
        missing: usize,
        /// The largest label.
        largest: usize,
    },
    /// A number in a request is out of its range.
    #[error("{what} is {got}, expected {expected}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A class has fewer examples than were asked for.
    #[error("class {class} has {have} examples, expected at least {asked}")]
    TooFew {
        /// The class.
        class: usize,
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        have: usize,
    },
    /// The operation needs a class label for each example.
    #[error("{what} needs one class label an example, which `{dataset}` does not have")]
    NeedsClasses {
        /// The operation.
        what: &'static str,
        /// Name of the data set.
        dataset: String,
    },
    /// Two arrays that belong together differ in shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Mismatch {
        /// Which array.
        what: &'static str,
        /// What would do.
        expected: String,
        /// The shape that was given.
        got: Vec<usize>,
    },
    /// Stored inputs could not be read.
    #[error("stored inputs: {what}")]
    Unread {
        /// What is wrong.
        what: String,
    },
    /// An array could not be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
}
