//! Why a method could not give its result.

use thalweg_array::{Array, ArrayError};
use thalweg_data::DataError;
use thalweg_exec::ExecError;
use thalweg_graph::GraphError;
use thalweg_nn::NnError;
use thalweg_stats::StatsError;
use thalweg_train::TrainError;

/// Errors of this crate. That a loss is not finite, or that an iteration ran out of steps, is a
/// status in the result and not an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MethodError {
    /// The run was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A setting that cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Config {
        /// The setting.
        what: String,
        /// What would do.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Weights, directions or checkpoints that do not fit the model.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What does not fit.
        what: String,
        /// What would fit.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Even the smallest piece of the work needs more memory than it may have.
    #[error("{what} needs {needed} bytes of memory at least, and the budget is {budget}")]
    Memory {
        /// The work.
        what: String,
        /// Bytes for one member of the population.
        needed: usize,
        /// Bytes that were allowed.
        budget: usize,
    },
    /// A number that everything else rests on is not finite.
    #[error("{what} is {value}, expected a finite number")]
    NotFinite {
        /// Which number.
        what: String,
        /// Its value.
        value: String,
    },
    /// Stored work that is not what was asked for: the store belongs to another run.
    #[error("stored unit {key:?}: expected {expected}, got {got}")]
    Unit {
        /// The key of the work.
        key: String,
        /// What the method stores.
        expected: String,
        /// What was found.
        got: String,
    },
    /// The store of finished work failed.
    #[error("cannot keep {key:?}: {reason}")]
    Store {
        /// The key of the work.
        key: String,
        /// What the store says.
        reason: String,
    },
    /// The engine.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A graph that does not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A model or its weights.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A statistic.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// Training steps.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An array.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

impl MethodError {
    /// Whether a larger budget of memory may be all that is wanted.
    pub fn is_want_of_memory(&self) -> bool {
        matches!(
            self,
            MethodError::Memory { .. } | MethodError::Exec(ExecError::OutOfMemory { .. })
        )
    }

    /// A setting that cannot be used.
    pub(crate) fn config(
        what: &str,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> MethodError {
        let (what, expected) = (what.to_owned(), expected.into());
        MethodError::Config { what, expected, got: got.to_string() }
    }

    /// Something that does not fit the model.
    pub(crate) fn mismatch(
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> MethodError {
        let (what, expected) = (what.into(), expected.into());
        MethodError::Mismatch { what, expected, got: got.to_string() }
    }
}

/// The `f64` vector `name` of a stored unit, whose length is known.
pub(crate) fn stored<'a>(
    key: &str,
    arrays: &'a [(String, Array)],
    name: &str,
    length: usize,
) -> Result<&'a [f64], MethodError> {
    let found = arrays.iter().find(|(known, _)| known == name).map(|(_, array)| array);
    let values = found.and_then(|array| array.as_slice::<f64>().ok());
    values.filter(|values| values.len() == length).ok_or_else(|| MethodError::Unit {
        key: key.to_owned(),
        expected: format!("{name} f64[{length}]"),
        got: match found {
            Some(array) => format!("{}{:?}", array.dtype(), array.shape()),
            None => "nothing of that name".to_owned(),
        },
    })
}
