//! What can go wrong in a study, and the exit code that says so.

use std::io;
use std::path::{Path, PathBuf};
use thalweg_array::ArrayError;
use thalweg_data::DataError;
use thalweg_exec::ExecError;
use thalweg_formats::FormatError;
use thalweg_graph::GraphError;
use thalweg_methods::MethodError;
use thalweg_nn::{NnError, WeightsFaults};
use thalweg_record::RecordError;
use thalweg_stats::StatsError;
use thalweg_train::TrainError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The command line alone shows the fault.
    #[error("{0}")]
    Usage(String),
    /// Something that was read does not fit what was asked.
    #[error("{0}")]
    Input(String),
    /// The user stopped the run; what is done so far is in its directory.
    #[error("interrupted: give --resume and the same --out to go on from what is done")]
    Interrupted,
    /// The output cannot be written where it was asked for.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory exists and `--resume` was not given.
    #[error("{} exists already: give --resume to go on with it, or name another --out", .path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Another process writes into the directory.
    #[error("{} is being written by another thalweg process ({holder})", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// A run cannot be resumed with other settings.
    #[error("{} was begun with {key} = {begun}, and {asked} is asked for now: give the same, or name another --out", .path.display())]
    Differs {
        /// The run directory.
        path: PathBuf,
        /// The key of `study.toml`.
        key: String,
        /// What the study has.
        begun: String,
        /// What was asked for.
        asked: String,
    },
    /// A file in a foreign format is wrong.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Data are wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Named arrays that should be the weights of a model are others.
    #[error("{what}: {faults}")]
    Weights {
        /// The file, and what its arrays should have been.
        what: String,
        /// Where they differ.
        faults: Box<WeightsFaults>,
    },
    /// A model, its options or its weights are wrong.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Training could not be set up or carried on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A method could not give its result.
    #[error(transparent)]
    Method(MethodError),
    /// A graph does not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A program did not run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// An array is not what it should be.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A sample is not what a statistic needs.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// A record could not be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The result of a piece of a study.
pub type Result<T> = std::result::Result<T, LabError>;

impl LabError {
    /// The exit code: 2 when the command line alone shows the fault, 130 when the user stopped the
    /// run, 1 for anything read or computed.
    pub fn exit_code(&self) -> u8 {
        match self {
            LabError::Usage(_) => 2,
            LabError::Interrupted => 130,
            _ => 1,
        }
    }

    /// Whether going on later may succeed: the user stopped the run, the disk was full, or the
    /// budget too small.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            LabError::Interrupted
            | LabError::File { .. }
            | LabError::Record(RecordError::Io { .. })
            | LabError::Train(TrainError::Memory { .. })
            | LabError::Exec(ExecError::OutOfMemory { .. }) => true,
            LabError::Method(error) => {
                error.is_want_of_memory() || matches!(error, MethodError::Store { .. })
            }
            _ => false,
        }
    }

    /// The message in one line.
    pub fn sentence(&self) -> String {
        self.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The message for a terminal: one line, and a table below it where several things differ.
    pub fn text(&self) -> String {
        match self {
            LabError::Weights { what, faults } if faults.count() > 1 => {
                let places = faults.count();
                format!("{what}, in {places} places:\n{}", faults.table().trim_end())
            }
            other => other.sentence(),
        }
    }
}

impl From<MethodError> for LabError {
    fn from(error: MethodError) -> LabError {
        match error {
            MethodError::Interrupted => LabError::Interrupted,
            other => LabError::Method(other),
        }
    }
}

/// A setting of the command line that does not parse, under the option's name.
pub(crate) fn usage(option: &str) -> impl Fn(&dyn std::fmt::Display) -> LabError + '_ {
    move |error| LabError::Usage(format!("{option}: {error}"))
}

/// Adds a path to what the system says.
pub(crate) fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::File { path: path.as_ref().to_path_buf(), source }
}
