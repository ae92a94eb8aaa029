//! Papers on dynamics.

use crate::check::Check;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[];
