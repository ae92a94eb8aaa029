//! Adaptive sharpness, filter by filter.

use super::adaptive_sharpness::AdaptiveSharpnessConfig;
use super::ascent::{Ascent, AscentConfig, ascend};
use super::ball::{Norm, REFUSED_RADII, Scaling};
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How much the loss rises over a step of length `rho`, each weight in units of its filter's norm.
///
/// As [`super::AdaptiveSharpness`] with `T` the norm of the filter that a weight is of. Rescaling
/// whole layers moves it with the weights; rescaling one unit changes only a part of each filter
/// behind it, and is seen.
///
/// # Deviations    an output unit of a dense layer with its fan-in is a filter too, where the paper
/// takes only convolutions' and single weights elsewhere
/// # Source    Kwon, Kim, Park, Choi, ASAM, 2021, arXiv 2102.11600, section 3.2
#[derive(Clone, Copy, Debug)]
pub struct FilterAdaptiveSharpness;

impl Instrument for FilterAdaptiveSharpness {
    const ID: &'static str = "filter_adaptive_sharpness";
    const SUMMARY: &'static str =
        "rise of the loss over a step of rho along the gradient, each filter in units of its norm";
    const SOURCE: &'static str = "Kwon et al. 2021, arXiv 2102.11600";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::LayerRescaling, Invariance::NormalizedFilters];
    type Config = AdaptiveSharpnessConfig;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &AdaptiveSharpnessConfig,
    ) -> Result<Rise, MethodError> {
        let config = AscentConfig {
            norm: Norm::L2,
            scaling: Scaling::Filter,
            rho: config.rho,
            steps: config.steps,
            ascent: Ascent::Straight,
        };
        ascend(ctx, objective, point, &config)
    }

    fn cost(config: &AdaptiveSharpnessConfig, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<AdaptiveSharpnessConfig> {
        let usual = AdaptiveSharpnessConfig::default();
        let radii = REFUSED_RADII.map(|rho| AdaptiveSharpnessConfig { rho, ..usual });
        [radii.to_vec(), vec![AdaptiveSharpnessConfig { steps: 0, ..usual }]].concat()
    }
}
