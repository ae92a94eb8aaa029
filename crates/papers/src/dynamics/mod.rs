//! Papers on dynamics.

use crate::check::Check;

mod deep_linear_collapse;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[&deep_linear_collapse::DeepLinearCollapse];
