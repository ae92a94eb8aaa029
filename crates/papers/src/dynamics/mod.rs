//! Papers on dynamics.

use crate::check::Check;

mod deep_linear_collapse;
mod lazy_to_rich_grokking;
mod plasticity_probe;
mod super_consistency;
mod weight_conditioning;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[
    &deep_linear_collapse::DeepLinearCollapse,
    &lazy_to_rich_grokking::LazyToRichGrokking,
    &plasticity_probe::PlasticityProbe,
    &super_consistency::SuperConsistency,
    &weight_conditioning::WeightConditioning,
];
