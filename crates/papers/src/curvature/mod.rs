//! Papers on curvature.

use crate::check::Check;

mod hessian_bulk_outliers;
mod inductive_bias_complexity;
mod warmup_curvature;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[
    &hessian_bulk_outliers::HessianBulkOutliers,
    &inductive_bias_complexity::InductiveBiasComplexity,
    &warmup_curvature::WarmupCurvature,
];
