//! What can be wrong with a file.

use std::path::PathBuf;
use thalweg_array::ArrayError;
use thalweg_data::DataError;

/// What can be wrong with a foreign file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes are no such file.
    #[error("not a valid {format} file: {reason}")]
    Invalid {
        /// The format.
        format: &'static str,
        /// What was expected and what was got.
        reason: String,
    },
    /// The file may be valid, but this part of the format is not read or written.
    #[error("{format}: {what}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The part.
        what: String,
    },
    /// An array that was asked for is not in the file.
    #[error("no array `{name}` among {}", list(.known))]
    Missing {
        /// The name asked for.
        name: String,
        /// The names that are there.
        known: Vec<String>,
    },
    /// A data set was found neither by name nor as a file.
    #[error("no data `{name}`: expected {}, or the path of an .npz, CSV, Parquet, text or IDX file, a folder of images or IDX files, or a TOML file that names one", list(.known))]
    UnknownData {
        /// What was asked for.
        name: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// The files of a known data set are not on this machine.
    #[error("the files of `{name}` are in none of {}: {obtain}", list(.looked))]
    NotInstalled {
        /// The data set.
        name: String,
        /// Folders that were searched.
        looked: Vec<String>,
        /// How to get it.
        obtain: &'static str,
    },
    /// Something is wrong with this file.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<FormatError>,
    },
    /// The contents were read but are no usable data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An array could not be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// The reader or writer failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl FormatError {
    /// The same fault of a part of a file of another format.
    pub(crate) fn within(self, format: &'static str, part: &str) -> FormatError {
        match self {
            FormatError::Invalid { reason, .. } => {
                FormatError::Invalid { format, reason: format!("{part}: {reason}") }
            }
            FormatError::Unsupported { what, .. } => {
                FormatError::Unsupported { format, what: format!("{part}: {what}") }
            }
            other => other,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Adds the path to an error.
pub(crate) fn at(path: &std::path::Path) -> impl Fn(FormatError) -> FormatError + '_ {
    |source| FormatError::File { path: path.to_path_buf(), source: Box::new(source) }
}
