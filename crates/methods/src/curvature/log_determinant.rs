//! The logarithm of a determinant.

use super::OfMatrix;
use super::spectral_sum::{SpectralSum, SpectralSumConfig, spectral_sum};
use crate::common::{LinearOperator, Objective};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The logarithm of the determinant of `I + A / lambda`.
///
/// `log det(I + A / lambda) = sum over eigenvalues l of log(1 + l / lambda)`
///
/// The Laplace approximation's Occam factor: the evidence of a model with a Gaussian prior of
/// precision `lambda` loses half of it.
///
/// By stochastic Lanczos quadrature: see [`SpectralSum`] for its errors.
///
/// # Errors
/// A `lambda` that is not positive, or not beyond every negative eigenvalue; fewer than two probes,
/// no steps; a basis of so many vectors that the memory does not hold; a product that is not finite.
/// # Source    Ubaru, Chen, Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM J.
/// Matrix Anal. Appl. 38, 2017
pub fn log_determinant(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &SpectralSumConfig,
) -> Result<SpectralSum, MethodError> {
    let lambda = config.lambda;
    spectral_sum(ctx, operator, ["log-determinant", "log_determinant"], config, |l| {
        (l / lambda).ln_1p()
    })
}

/// [`log_determinant()`] of a curvature matrix of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct LogDeterminant;

impl Instrument for LogDeterminant {
    const ID: &'static str = "log_determinant";
    const SUMMARY: &'static str =
        "log-determinant of I + H / lambda for the Hessian H (or another matrix)";
    const SOURCE: &'static str = "Ubaru, Chen, Saad 2017";
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
        log_determinant(ctx, &config.at(ctx, objective, point)?, config)
    }

    fn cost(config: &OfMatrix<SpectralSumConfig>, size: &Size) -> Cost {
        config.cost(size)
    }

    fn quantities(reading: &SpectralSum) -> Vec<Quantity> {
        vec![reading.quantity("log-determinant")]
    }

    fn trial() -> OfMatrix<SpectralSumConfig> {
        SpectralSumConfig { lambda: 40.0, probes: 32, steps: 5 }.into()
    }

    fn refused() -> Vec<OfMatrix<SpectralSumConfig>> {
        OfMatrix::refused(SpectralSumConfig::refused())
    }
}
