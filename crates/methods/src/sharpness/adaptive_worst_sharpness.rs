//! Adaptive worst-case sharpness.

use super::ascent::{Ascent, AscentConfig};
use super::ball::{Norm, Scaling};
use super::by_ascent::ByAscent;
use crate::registry::Invariance;

/// The largest rise of the loss with every weight moved by at most a share `rho` of itself, as
/// projected gradient ascent finds it.
///
/// `max over |d / |w||_inf <= rho of L(w + d) - L(w)`: equation 1 with `c = |w|` and `p = inf`. A
/// lower bound, as all ascents give.
///
/// # Deviations    as [`super::WorstSharpness`]
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveWorstSharpness;

impl ByAscent for AdaptiveWorstSharpness {
    const ID: &'static str = "adaptive_worst_sharpness";
    const SUMMARY: &'static str = "largest rise of the loss with every weight moved by at most rho of itself, by projected ascent";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
    ];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::LInf,
        scaling: Scaling::Elementwise,
        rho: 1e-3,
        steps: 20,
        ascent: Ascent::Projected,
    };
}
