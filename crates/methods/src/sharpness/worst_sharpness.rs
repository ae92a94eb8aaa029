//! Worst-case sharpness.

use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How far the ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorstSharpnessConfig {
    /// The radius, in the units of each weight.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
}

impl Default for WorstSharpnessConfig {
    fn default() -> WorstSharpnessConfig {
        WorstSharpnessConfig { rho: 0.05, steps: 20 }
    }
}

/// The largest rise of the loss within a distance of `rho`, as projected gradient ascent finds it.
///
/// `max over |d|_2 <= rho of L(w + d) - L(w)`: equation 1 with `c = 1`, over the whole objective. A
/// lower bound, as all ascents give.
///
/// # Deviations    the authors' ascent is Auto-PGD with momentum; see [`super::Ascent::Projected`]
/// for this one
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
#[derive(Clone, Copy, Debug)]
pub struct WorstSharpness;

impl Instrument for WorstSharpness {
    const ID: &'static str = "worst_sharpness";
    const SUMMARY: &'static str =
        "largest rise of the loss in a ball of radius rho, by projected ascent";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = WorstSharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &WorstSharpnessConfig,
    ) -> Result<Rise, MethodError> {
        let config = AscentConfig {
            norm: Norm::L2,
            scaling: Scaling::None,
            rho: config.rho,
            steps: config.steps,
            ascent: Ascent::Projected,
        };
        ascend(ctx, objective, point, &config)
    }

    fn cost(config: &WorstSharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<WorstSharpnessConfig> {
        let usual = WorstSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| WorstSharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![WorstSharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
