//! The effective number of dimensions.

use super::OfMatrix;
use super::spectral_sum::{SpectralSum, SpectralSumConfig, spectral_sum};
use crate::common::{LinearOperator, Objective};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How many directions of weight space the operator determines, held against `lambda`.
///
/// `tr(A (A + lambda I)^-1) = sum over eigenvalues l of l / (l + lambda)`
///
/// An eigenvalue far above `lambda` counts one, one far below nothing. Meant for operators without
/// negative eigenvalues, whose share would be negative.
///
/// By stochastic Lanczos quadrature: see [`SpectralSum`] for its errors.
///
/// # Errors
/// A `lambda` that is not positive, or not beyond every negative eigenvalue; fewer than two probes,
/// no steps; a basis of so many vectors that the memory does not hold; a product that is not finite.
/// # Source    MacKay, Bayesian interpolation, 1992, equation 2.23; Maddox, Benton, Wilson, Rethinking
/// parameter counting in deep models: effective dimensionality revisited, 2020, arXiv 2003.02139
pub fn effective_dimension(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &SpectralSumConfig,
) -> Result<SpectralSum, MethodError> {
    let lambda = config.lambda;
    spectral_sum(ctx, operator, ["effective dimension", "effective_dimension"], config, |l| {
        l / (l + lambda)
    })
}

/// [`effective_dimension()`] of a curvature matrix of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct EffectiveDimension;

impl Instrument for EffectiveDimension {
    const ID: &'static str = "effective_dimension";
    const SUMMARY: &'static str =
        "effective number of dimensions of the Hessian (or another matrix), held against lambda";
    const SOURCE: &'static str = "MacKay 1992; Maddox, Benton, Wilson 2020, arXiv 2003.02139";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = OfMatrix<SpectralSumConfig>;
    type Reading = SpectralSum;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &OfMatrix<SpectralSumConfig>,
    ) -> Result<SpectralSum, MethodError> {
        config.check()?;
        effective_dimension(ctx, &config.at(ctx, objective, point)?, config)
    }

    fn cost(config: &OfMatrix<SpectralSumConfig>, size: &Size) -> Cost {
        config.cost(size)
    }

    fn quantities(reading: &SpectralSum) -> Vec<Quantity> {
        vec![reading.quantity("effective dimension")]
    }

    fn trial() -> OfMatrix<SpectralSumConfig> {
        SpectralSumConfig { lambda: 40.0, probes: 32, steps: 5 }.into()
    }

    fn refused() -> Vec<OfMatrix<SpectralSumConfig>> {
        OfMatrix::refused(SpectralSumConfig::refused())
    }
}
