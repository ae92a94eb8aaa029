//! The reply of `thalweg papers`.

use serde::{Deserialize, Serialize};

/// The keys of `papers`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PapersBody {
    /// One entry a paper.
    pub papers: Vec<PaperEntry>,
}

/// Whether a paper's check can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaperStatus {
    /// It can.
    Done,
    /// Not yet.
    Planned,
}

/// A paper in the reply of `papers`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperEntry {
    /// Its number.
    pub n: u32,
    /// Its name on the command line.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Its family.
    pub family: String,
    /// What kind of thing it gives.
    pub kind: String,
    /// Whether its check can be run.
    pub status: PaperStatus,
    /// How much work its check is: `S`, `M` or `L`.
    pub size: String,
    /// Where it appeared, or where its authors' code is.
    pub source: String,
    /// What it claims, in one sentence.
    pub claim: String,
}
