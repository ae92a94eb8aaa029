//! The reply of `thalweg spectrum`.

use crate::{Density, Eigenvalue, Outliers, Products, Quantity, RelativeTo, number};
use serde::Serialize;

/// The keys of `spectrum`; those not asked for are absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpectrumBody {
    /// Which matrix, as `--of` names it.
    pub operator: String,
    /// What of it: `whole`, a layer, a class.
    pub scope: String,
    /// Whose state it is preconditioned by: `adam`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<String>,
    /// What eigenvalues are relative to, if not to the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_to: Option<RelativeTo>,
    /// The loss.
    pub loss: Quantity,
    /// The Euclidean norm of the gradient on the examples that were taken.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// The largest eigenvalues, descending.
    pub top: Vec<Eigenvalue>,
    /// The smallest eigenvalues, ascending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottom: Option<Vec<Eigenvalue>>,
    /// The trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Quantity>,
    /// The squared Frobenius norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frobenius_squared: Option<Quantity>,
    /// The density of eigenvalues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// What stands out of its bulk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Outliers>,
    /// Products with the matrix that each part took.
    pub products: Products,
}
