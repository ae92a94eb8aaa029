//! Adaptive sharpness, filter by filter.

use super::ascent::{Ascent, AscentConfig};
use super::ball::{Norm, Scaling};
use super::by_ascent::ByAscent;
use crate::registry::Invariance;

/// How much the loss rises over a step of length `rho`, each weight in units of its filter's norm.
///
/// As [`super::AdaptiveSharpness`] with `T` the norm of the filter that a weight is of. Rescaling
/// whole layers moves it with the weights; rescaling one unit changes only a part of each filter
/// behind it, and is seen.
///
/// # Deviations    an output unit of a dense layer with its fan-in is a filter too, where the paper
/// takes only convolutions' and single weights elsewhere
/// # Source    Kwon, Kim, Park, Choi, ASAM, 2021, arXiv 2102.11600, section 3.2
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterAdaptiveSharpness;

impl ByAscent for FilterAdaptiveSharpness {
    const ID: &'static str = "filter_adaptive_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho along the gradient, each filter in units of its norm";
    const SOURCE: &'static str = "Kwon et al. 2021, arXiv 2102.11600";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::LayerRescaling, Invariance::NormalizedFilters];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::L2,
        scaling: Scaling::Filter,
        rho: 0.5,
        steps: 1,
        ascent: Ascent::Straight,
    };
}
