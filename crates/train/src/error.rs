//! What can go wrong when networks are trained.

use thalweg_array::ArrayError;
use thalweg_data::DataError;
use thalweg_exec::ExecError;
use thalweg_graph::GraphError;
use thalweg_nn::NnError;

/// Why a training run could not be set up or carried on. Divergence is a
/// [`Status`](crate::Status), not an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A setting that cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Setting {
        /// The setting.
        what: String,
        /// What would be right.
        expected: String,
        /// What was given.
        got: String,
    },
    /// One member alone needs more memory than the budget.
    #[error(
        "{what} needs {needed} bytes for one member at a time, the memory budget is {budget} bytes"
    )]
    Memory {
        /// The piece of work.
        what: String,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that it may use.
        budget: usize,
    },
    /// A saved state that is not one of this run.
    #[error("saved state, {name}: expected {expected}, got {got}")]
    State {
        /// The array or number.
        name: String,
        /// What this run has.
        expected: String,
        /// What was saved.
        got: String,
    },
    /// A step that cannot be traced.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A program that cannot be compiled or run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A model that does not fit.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Data that do not fit.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An array that is not what it should be.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

impl TrainError {
    pub(crate) fn setting(
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> TrainError {
        TrainError::Setting { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn state(
        name: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> TrainError {
        TrainError::State {
            name: name.into(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}
