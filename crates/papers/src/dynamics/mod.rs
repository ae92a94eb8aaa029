//! Papers on dynamics.

use crate::check::Check;

mod deep_linear_collapse;
mod lazy_to_rich_grokking;
mod moe_pathway_grokking;
mod nap;
mod ocs_reversion;
mod plasticity_probe;
mod super_consistency;
mod vit_low_pass_alternet;
mod weight_conditioning;
mod zero_sum_learning;

/// The checks of this family.
pub(crate) const CHECKS: &[&dyn Check] = &[
    &deep_linear_collapse::DeepLinearCollapse,
    &lazy_to_rich_grokking::LazyToRichGrokking,
    &moe_pathway_grokking::MoePathwayGrokking,
    &nap::Nap,
    &ocs_reversion::OcsReversion,
    &plasticity_probe::PlasticityProbe,
    &super_consistency::SuperConsistency,
    &vit_low_pass_alternet::VitLowPassAlternet,
    &weight_conditioning::WeightConditioning,
    &zero_sum_learning::ZeroSumLearning,
];
