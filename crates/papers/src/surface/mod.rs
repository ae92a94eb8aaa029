//! Papers on surfaces.

use crate::check::Check;

mod black_hole_landscape;
mod filter_normalization;
mod gradient_sensitivity;
mod landscape_sample_convergence;
mod likelihood_landscape;
mod roughness_index;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[
    &landscape_sample_convergence::LandscapeSampleConvergence,
    &filter_normalization::FilterNormalization,
    &roughness_index::RoughnessIndex,
    &gradient_sensitivity::GradientSensitivity,
    &black_hole_landscape::BlackHoleLandscape,
    &likelihood_landscape::LikelihoodLandscape,
];
