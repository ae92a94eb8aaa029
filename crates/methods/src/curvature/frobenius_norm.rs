//! The Frobenius norm.

use super::curvature_terms::{OnSample, sample_probes};
use super::norm_of_sample::{norm_of_sample, with_norm};
use super::{Eigenpair, HutchinsonConfig, OfMatrix, ParameterBlock, hutchinson};
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
    Ok(root(hutchinson(ctx, operator, known, config)?.frobenius_squared))
}

/// The root with its error; an error of NaN where the square, as what is left of one on a sample, is
/// below zero.
fn root(square: Estimate) -> Estimate {
    let value = square.value.max(0.0).sqrt();
    let standard_error = match square.standard_error {
        0.0 => 0.0,
        _ if value > 0.0 => 0.5 * square.standard_error / value,
        _ => f64::NAN,
    };
    Estimate { value, standard_error, ..square }
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
    type Reading = OnSample<Estimate>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &OfMatrix<HutchinsonConfig>,
    ) -> Result<OnSample<Estimate>, MethodError> {
        config.check()?;
        let matrix = config.at(ctx, objective, point)?;
        let square = hutchinson(ctx, &matrix, &[], config)?.frobenius_squared;
        let probes = sample_probes(config.probes);
        let Some(norm) =
            norm_of_sample(ctx, objective, point, config.of, &ParameterBlock::All, probes)?
        else {
            return Ok(OnSample { found: root(square), terms: Vec::new() });
        };
        let found = root(norm.corrected(square));
        let terms = vec![norm.terms.scaled(0.5 / found.value)];
        Ok(OnSample { found, terms })
    }

    fn cost(config: &OfMatrix<HutchinsonConfig>, size: &Size) -> Cost {
        with_norm(config.cost(), size, sample_probes(config.probes))
    }

    fn quantities(reading: &OnSample<Estimate>) -> Vec<Quantity> {
        let norm = Quantity::estimated("Frobenius norm", reading.found);
        vec![norm.with_sample(reading.terms.first())]
    }

    fn trial() -> OfMatrix<HutchinsonConfig> {
        super::Hutchinson::trial().into()
    }

    fn refused() -> Vec<OfMatrix<HutchinsonConfig>> {
        OfMatrix::refused(super::Hutchinson::refused())
    }
}
