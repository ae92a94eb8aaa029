//! Papers on curvature.

use crate::check::Check;

mod hessian_bulk_outliers;
mod warmup_curvature;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] =
    &[&hessian_bulk_outliers::HessianBulkOutliers, &warmup_curvature::WarmupCurvature];
