//! Adaptive average-case sharpness.

use super::average_sharpness::{AverageRise, AverageSharpnessConfig, average_sharpness};
use super::ball::Scaling;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// [`average_sharpness`] with each weight in units of itself, as an instrument.
///
/// `E[L(w + rho |w| * z) - L(w)]` over normal `z`.
///
/// # Source    Andriushchenko, Croce, Mueller, Hein, Flammarion, A modern look at the relationship
/// between sharpness and generalization, 2023, arXiv 2302.07011
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAverageSharpness;

impl Instrument for AdaptiveAverageSharpness {
    const ID: &'static str = "adaptive_average_sharpness";
    const SUMMARY: &'static str =
        "expected rise of the loss under Gaussian noise, each weight in units of itself";
    const SOURCE: &'static str = "Andriushchenko et al. 2023, arXiv 2302.07011";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
    ];
    type Config = AverageSharpnessConfig;
    type Reading = AverageRise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &AverageSharpnessConfig,
    ) -> Result<AverageRise, MethodError> {
        average_sharpness(ctx, objective, point, Scaling::Elementwise, config)
    }

    fn cost(config: &AverageSharpnessConfig, _: &Size) -> Cost {
        config.cost()
    }

    fn quantities(reading: &AverageRise) -> Vec<Quantity> {
        reading.quantities()
    }

    fn trial() -> AverageSharpnessConfig {
        AverageSharpnessConfig { rho: 0.1, draws: 128 }
    }

    fn refused() -> Vec<AverageSharpnessConfig> {
        AverageSharpnessConfig::refused()
    }
}
