//! Papers on optimizers.

use crate::check::Check;

mod sam;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[&sam::Sam];
