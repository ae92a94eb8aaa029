//! The reply of `thalweg data`.

use crate::DataDescription;
use serde::Serialize;

/// The keys of `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataBody {
    /// One entry a built-in data set; none if one was to be described.
    pub data: Vec<DataEntry>,
    /// The data set that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub described: Option<DataDescription>,
}

/// A data set in the reply of `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataEntry {
    /// Its name on the command line.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// The official source.
    pub source: String,
    /// The licence.
    pub license: String,
    /// How to cite it.
    pub citation: String,
    /// Its files; none if it is embedded.
    pub files: Vec<DataFile>,
    /// The folders that were searched.
    pub looked: Vec<String>,
    /// Where it was found; absent if nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// How to get it.
    pub obtain: String,
}

/// A file of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its uncompressed contents.
    pub sha256: String,
}
