//! What is known of the eigenvalues of a curvature operator.

use crate::{Estimate, Quantity, number};
use serde::{Deserialize, Serialize};

/// An eigenvalue and how well its eigenvector satisfies the equation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// The eigenvalue.
    #[serde(with = "number")]
    pub value: f64,
    /// `|H v - value v|` for the unit eigenvector `v` that was found; relative to another matrix
    /// `|A v - value B v| / |B v|`.
    #[serde(with = "number")]
    pub residual: f64,
    /// Where the examples are a sample, the standard deviation over its choice to first order: of
    /// `v^T H v`, the vector held. On a sample the largest eigenvalue also tends to be too large and the
    /// smallest too small, which this does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub sampling_error: Option<f64>,
}

impl Eigenvalue {
    /// It as a number, from so many examples: an estimate where they are a sample.
    pub fn quantity(&self, examples: u64) -> Quantity {
        let value = self.value;
        match self.sampling_error {
            Some(standard_error) => Estimate { value, standard_error, samples: examples }.into(),
            None => value.into(),
        }
    }
}

/// The density of eigenvalues, estimated by stochastic Lanczos quadrature.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Density {
    /// The eigenvalue at the centre of each bin or kernel.
    #[serde(with = "number::vec")]
    pub centres: Vec<f64>,
    /// The density there; it integrates to one.
    #[serde(with = "number::vec")]
    pub values: Vec<f64>,
    /// The standard error of each value over probes.
    #[serde(with = "number::vec")]
    pub standard_errors: Vec<f64>,
}

/// What stands out of the bulk of a spectrum, whose ends follow from the density.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outliers {
    /// Smaller eigenvalues stand out.
    #[serde(with = "number")]
    pub below: f64,
    /// Larger ones stand out.
    #[serde(with = "number")]
    pub above: f64,
    /// How many of all stand out by the density.
    pub count: Estimate,
    /// How many of the eigenvalues that were found: all of them at an end where one was found that does
    /// not stand out.
    pub found: u64,
}

/// How many products with a vector each part of a spectrum took; 0: it was not asked for.
///
/// A product costs between two and three gradients over the same data, whoever takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Products {
    /// The eigenvalues of both ends.
    pub eigenvalues: u64,
    /// Trace and Frobenius norm.
    pub trace: u64,
    /// The density.
    pub density: u64,
    /// Those with the matrix that eigenvalues are relative to, on the host where it is an
    /// approximation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub relative_to: u64,
    /// Beside products: vectors along which the losses of all examples were differentiated twice, in one
    /// forward pass each, for the errors of the sample.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sampling_error: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The matrix that eigenvalues are relative to: `l` of `A v = l (B + damping I) v`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RelativeTo {
    /// Which matrix `B` is, as [`Spectrum::operator`].
    pub operator: String,
    /// What is added to its diagonal.
    #[serde(with = "number")]
    pub damping: f64,
    /// Of what the damped inverse preconditioned the iteration; absent if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<String>,
}

/// The spectrum of a curvature matrix, as far as it was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Spectrum {
    /// Which operator: `hessian`, `gauss-newton`, `fisher`, `monte-carlo-fisher`,
    /// `empirical-fisher` or `gradient-covariance`; with `-diagonal` or `-kfac` an approximation.
    pub operator: String,
    /// What it is restricted to: `whole`, `layer NAME`, `between layer NAME and layer NAME`, `class K`,
    /// `example N`, or a part and examples, as `layer NAME, class K`.
    pub scope: String,
    /// Whose state it is preconditioned by: `adam`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<String>,
    /// What its eigenvalues are relative to, if not to the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_to: Option<RelativeTo>,
    /// The order of the matrix: the parameters it ranges over.
    pub dimension: u64,
    /// The largest eigenvalues, descending.
    pub top: Vec<Eigenvalue>,
    /// The smallest eigenvalues, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bottom: Vec<Eigenvalue>,
    /// The trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Quantity>,
    /// The squared Frobenius norm: the sum of all squared eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frobenius_squared: Option<Quantity>,
    /// The density of eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// What stands out of the bulk of the density.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Outliers>,
    /// What each part cost.
    #[serde(default)]
    pub products: Products,
}
