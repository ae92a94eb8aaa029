//! The Frobenius norm.

use super::{Eigenpair, HutchinsonConfig, OfMatrix, hutchinson};
use crate::common::{LinearOperator, Objective};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// The root of the sum of squared eigenvalues of a symmetric operator.
///
/// `|A|_F = sqrt(E[|A z|^2])` over random signs `z`, with [`hutchinson()`]'s products and what it
/// does with `known` eigenpairs. The standard error is that of the square by the delta method:
/// `se(|A|_F^2) / (2 |A|_F)`.
///
/// # Errors
/// As [`hutchinson()`].
pub fn frobenius_norm(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    known: &[Eigenpair],
    config: &HutchinsonConfig,
) -> Result<Estimate, MethodError> {
    let square = hutchinson(ctx, operator, known, config)?.frobenius_squared;
    let value = square.value.max(0.0).sqrt();
    let standard_error = if value > 0.0 { 0.5 * square.standard_error / value } else { 0.0 };
    Ok(Estimate { value, standard_error, ..square })
}

/// [`frobenius_norm`] of a curvature matrix of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct FrobeniusNorm;

impl Instrument for FrobeniusNorm {
    const ID: &'static str = "frobenius_norm";
    const SUMMARY: &'static str = "Frobenius norm of the Hessian (or another matrix)";
    const SOURCE: &'static str = "Hutchinson 1990";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = OfMatrix<HutchinsonConfig>;
    type Reading = Estimate;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &OfMatrix<HutchinsonConfig>,
    ) -> Result<Estimate, MethodError> {
        config.check()?;
        frobenius_norm(ctx, &config.at(ctx, objective, point)?, &[], config)
    }

    fn cost(config: &OfMatrix<HutchinsonConfig>, size: &Size) -> Cost {
        super::Hutchinson::cost(config, size)
    }

    fn quantities(reading: &Estimate) -> Vec<Quantity> {
        vec![Quantity::estimated("Frobenius norm", *reading)]
    }

    fn trial() -> OfMatrix<HutchinsonConfig> {
        super::Hutchinson::trial().into()
    }

    fn refused() -> Vec<OfMatrix<HutchinsonConfig>> {
        OfMatrix::refused(super::Hutchinson::refused())
    }
}
