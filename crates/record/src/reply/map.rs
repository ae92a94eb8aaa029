//! The reply of `thalweg map`.

use crate::{AdaptiveSummary, PlaneShare, Quantity, number};
use serde::Serialize;

/// The keys of `map`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapBody {
    /// One entry a model.
    pub models: Vec<MapModel>,
    /// The path of the report.
    pub report: String,
}

/// A model in the reply of `map`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapModel {
    /// Its name.
    pub name: String,
    /// The number of parameters.
    pub parameters: u64,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
    /// The loss at the centre of the surface.
    pub loss: Quantity,
    /// The largest eigenvalue of the Hessian.
    pub top_eigenvalue: Quantity,
    /// The trace of the Hessian.
    pub trace: Quantity,
    /// SAM's sharpness.
    pub sharpness: Quantity,
    /// The roughness index.
    pub roughness: Quantity,
    /// How much of the curvature the plane of its surface holds.
    pub plane_shares: Vec<PlaneShare>,
    /// How its surface came about, if it is to a tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSummary>,
}
