//! Papers on curvature.

use crate::check::Check;

mod hessian_bulk_outliers;
mod inductive_bias_complexity;
mod saddle_longtail_sam;
mod warmup_curvature;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[
    &hessian_bulk_outliers::HessianBulkOutliers,
    &inductive_bias_complexity::InductiveBiasComplexity,
    &saddle_longtail_sam::SaddleLongtailSam,
    &warmup_curvature::WarmupCurvature,
];
