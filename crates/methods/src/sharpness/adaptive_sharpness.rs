//! Adaptive sharpness, weight by weight.

use super::ascent::{Ascent, AscentConfig};
use super::ball::{Norm, Scaling};
use super::by_ascent::ByAscent;
use crate::registry::Invariance;

/// How much the loss rises over a step of length `rho`, each weight in units of its absolute value.
///
/// `max over |T^-1 e|_2 <= rho of L(w + e) - L(w)` with `T = diag(|w|)`, to first order at
/// `e = rho T^2 g / |T g|`: definition 2 and equation 6 with the whole objective as batch. A
/// rescaling of weights that leaves the function as it is moves `T` with it.
///
/// # Deviations    no `eta` is added to `T`, which would make it see rescalings; biases have units
/// as well, where the authors' code moves them like SAM
/// # Source    Kwon, Kim, Park, Choi, ASAM: adaptive sharpness-aware minimization for
/// scale-invariant learning of deep neural networks, 2021, arXiv 2102.11600
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveSharpness;

impl ByAscent for AdaptiveSharpness {
    const ID: &'static str = "adaptive_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho along the gradient, each weight in units of itself";
    const SOURCE: &'static str = "Kwon et al. 2021, arXiv 2102.11600";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
    ];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::L2,
        scaling: Scaling::Elementwise,
        rho: 0.5,
        steps: 1,
        ascent: Ascent::Straight,
    };
}
