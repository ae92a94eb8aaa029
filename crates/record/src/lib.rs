//! Versioned plain result types: what a run leaves behind, in memory, on disk and on stdout.
//!
//! These are the only serialised types of the system. They hold numbers and words, compute
//! nothing but what a reader of the numbers would ask next (the lowest point, the centre), and
//! know no model, method or engine.
//!
//! - [`Surface`], [`Spectrum`], [`Line`], [`TrainingCurve`] and [`Report`] are the results.
//! - [`reply`] holds the JSON objects that the command line prints, and [`schema`] the JSON Schema
//!   that says them key by key.
//! - [`zarr`] writes and reads Zarr v3, [`Table`] Parquet and CSV.
//!
//! This crate opens no file: codecs take a reader, a writer or a [`zarr::Store`].
//!
//! # Not a number
//! In JSON, NaN and infinity are `null`, and the object that holds one carries a `status`. Binary
//! formats keep them as they are.

mod adaptive;
mod basin;
mod classes;
mod columns;
mod comparison;
mod convexity;
mod curve;
mod data_description;
mod derivatives;
mod estimate;
mod inspection;
pub mod number;
mod parquet;
mod plane_share;
pub mod reply;
mod report;
pub mod schema;
mod spectrum;
mod spectrum_zarr;
mod surface;
mod surface_zarr;
mod table;
mod topology;
mod topology_zarr;
mod trajectory_gradients;
pub mod zarr;

pub use adaptive::{AdaptiveErrors, AdaptiveSummary};
pub use basin::{Basin, BasinSummary};
pub use classes::ClassLosses;
pub use comparison::{
    ComparedInstrument, ComparedQuantity, Comparison, Difference, Sampled, SpentPasses,
};
pub use convexity::{Convexity, ConvexitySummary};
pub use curve::{CurveColumn, Line, Parabola, TrainingCurve};
pub use data_description::{ClassCount, DataDescription, ValueRange};
pub use derivatives::{Derivatives, LineGradients};
pub use estimate::{Estimate, Quantity};
pub use inspection::{Extent, InspectedArray, InspectedOperation, InspectedPort, Inspection};
pub use plane_share::{Place, PlaneShare};
pub use report::{Explanation, ModelReport, Provenance, Report};
pub use spectrum::{Density, Eigenvalue, Outliers, Products, RelativeTo, Spectrum};
pub use surface::{
    COMPUTED, GridPoint, NOT_COMPUTED, NOT_FINITE, Surface, SurfaceAttributes, Trajectory,
};
pub use surface_zarr::ChunkValues;
pub use table::{Column, Table};
pub use topology::{LoopReply, MinimumReply, SurfaceLoop, SurfaceMinimum, Topology};
pub use trajectory_gradients::TrajectoryGradients;

/// The version of the record types, written into every file that holds one.
pub const RECORD_VERSION: u32 = 1;

/// What can go wrong when a record is written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store, reader or writer failed.
    #[error("{name}: {source}")]
    Io {
        /// The key or file concerned.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bytes were read, but do not hold what they should.
    #[error("{name}: expected {expected}, got {got}")]
    Format {
        /// The key or file concerned.
        name: String,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// Something that must exist does not.
    #[error("{name} is not in the store")]
    Missing {
        /// The key looked for.
        name: String,
    },
    /// The parts of a record do not fit each other.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The part concerned.
        what: String,
        /// The length, shape or type that fits.
        expected: String,
        /// The one given.
        got: String,
    },
    /// The record was written by a later version.
    #[error("{name} has record version {got}; this program reads versions up to {expected}")]
    Version {
        /// The file concerned.
        name: String,
        /// The latest version that can be read.
        expected: u32,
        /// The version found.
        got: u32,
    },
}

/// The result of writing or reading a record.
pub type Result<T> = std::result::Result<T, RecordError>;

pub(crate) fn format_error(
    name: impl Into<String>,
    expected: impl Into<String>,
    got: impl ToString,
) -> RecordError {
    RecordError::Format { name: name.into(), expected: expected.into(), got: got.to_string() }
}

pub(crate) fn shape_error(
    what: impl Into<String>,
    expected: impl ToString,
    got: impl ToString,
) -> RecordError {
    RecordError::Shape { what: what.into(), expected: expected.to_string(), got: got.to_string() }
}
