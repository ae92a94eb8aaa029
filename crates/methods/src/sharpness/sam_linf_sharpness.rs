//! SAM's sharpness with every weight moved equally far.

use super::ascent::{Ascent, AscentConfig};
use super::ball::{Norm, Scaling};
use super::by_ascent::ByAscent;
use crate::registry::Invariance;

/// How much the loss rises when every weight moves by `rho` the way its gradient points.
///
/// With one step `L(w + rho sign(g)) - L(w)`: SAM's inner maximisation with the dual exponent
/// `p = inf`, `q = 1` of its equation 2. A weight without a gradient stays.
///
/// # Source    Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently
/// improving generalization, 2021, arXiv 2010.01412
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamLinfSharpness;

impl ByAscent for SamLinfSharpness {
    const ID: &'static str = "sam_linf_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho in each weight, along the gradient's signs";
    const SOURCE: &'static str = "Foret et al. 2021, arXiv 2010.01412";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation];
    const ASCENT: AscentConfig = AscentConfig {
        norm: Norm::LInf,
        scaling: Scaling::None,
        rho: 1e-3,
        steps: 1,
        ascent: Ascent::Straight,
    };
}
