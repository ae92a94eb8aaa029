//! Worst-case sharpness.

use super::ascent::{Ascent, AscentConfig};
use super::ball::{Norm, Scaling};
use super::by_ascent::ByAscent;
use crate::registry::Invariance;

/// The largest rise of the loss within a distance of `rho`, as projected gradient ascent finds it.
///
/// `max over |d|_2 <= rho of L(w + d) - L(w)`: equation 1 with `c = 1`, over the whole objective. A
/// lower bound, as all ascents give.
///
/// # Deviations    the authors' ascent is Auto-PGD with momentum; see [`super::Ascent::Projected`]
/// for this one
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorstSharpness;

impl ByAscent for WorstSharpness {
    const ID: &'static str = "worst_sharpness";
    const SUMMARY: &'static str =
        "largest rise of the loss in a ball of radius rho, by projected ascent";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::L2,
        scaling: Scaling::None,
        rho: 0.05,
        steps: 20,
        ascent: Ascent::Projected,
    };
}
