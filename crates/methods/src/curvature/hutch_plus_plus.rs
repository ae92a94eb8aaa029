//! The trace by Hutch++.

use super::Eigenpair;
use super::curvature_terms::OnSample;
use super::known::Known;
use super::sketch::{Sketch, SketchedTrace};
use crate::common::{LinearOperator, Objective, signs, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// Probes in a unit of work.
const BLOCK: usize = 8;

/// How many products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HutchPlusPlusConfig {
    /// Products, about: a third for a subspace, a third for the operator on it, the rest for
    /// probes of what is outside; at least 6.
    pub products: usize,
}

impl Default for HutchPlusPlusConfig {
    fn default() -> HutchPlusPlusConfig {
        HutchPlusPlusConfig { products: 30 }
    }
}

/// The trace of a symmetric operator: exactly on the range of a random sketch, by Hutchinson's
/// estimate outside of it.
///
/// `tr A = tr(Q^T A Q) + E[w^T A w]` with `Q` an orthonormal basis of `A S` for `k = m / 3` vectors
/// `S` of random signs, `w = (I - Q Q^T) g` and signs `g` drawn apart from them. For a positive
/// operator the error falls as `1 / m` in the number `m` of products, Hutchinson's as
/// `1 / sqrt(m)`.
///
/// Eigenpairs that are `known` are added exactly and taken out, as in [`super::hutchinson()`]. The
/// standard error is that over the probes outside, given the subspace; `samples` counts them.
///
/// # Errors
/// Fewer than 6 products; a known vector of another length; more vectors than the memory holds; a
/// product that is not finite.
/// # Source    Meyer, Musco, Musco, Woodruff, Hutch++: optimal stochastic trace estimation, 2021,
/// arXiv 2010.09649, algorithm 1
pub fn hutch_plus_plus(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    known: &[Eigenpair],
    config: &HutchPlusPlusConfig,
) -> Result<SketchedTrace, MethodError> {
    check(config)?;
    let n = operator.dimension();
    let Known { outside, trace: exact, .. } = Known::new(operator, known)?;
    let wanted = (config.products / 3).min(outside.left());
    let probes = config.products - 2 * (config.products / 3);
    ctx.progress().start("trace", config.products as u64);
    let stream = ctx.stream("hutch++");
    let (sketching, probing) = (stream.child("sketch"), stream.child("probes"));
    let sketch =
        Sketch::new(ctx, &outside, "hutch++", wanted, |i| signs(&sketching.at(i as u64), n))?;
    let projected = sketch.projected();
    let inside: Vec<f64> = (0..projected.len()).map(|j| projected[j][j]).collect();
    let mut forms = Vec::with_capacity(probes);
    for first in (0..probes).step_by(BLOCK) {
        let last = (first + BLOCK).min(probes);
        let key = format!("hutch++/probes/{first}-{last}");
        let arrays = ctx.unit(&key, || {
            let probe = |i: usize| {
                let mut w = signs(&probing.at(i as u64), n);
                outside.project(&mut w);
                vector::orthogonalize(&mut w, &sketch.basis, &mut vec![0.0; sketch.basis.len()]);
                w
            };
            let vectors: Vec<Vec<f64>> = (first..last).map(probe).collect();
            let products = outside.apply(&vectors)?;
            let forms: Vec<f64> =
                vectors.iter().zip(&products).map(|(w, aw)| vector::dot(w, aw)).collect();
            Ok(vec![("forms".into(), Array::vector(&forms))])
        })?;
        forms.extend_from_slice(stored(&key, &arrays, "forms", last - first)?);
        ctx.progress().advance((last - first) as u64);
    }
    let rest = Estimate::mean(&forms)?;
    let trace = Estimate { value: exact + pairwise_sum(&inside) + rest.value, ..rest };
    Ok(SketchedTrace { trace, products: sketch.products + probes })
}

fn check(config: &HutchPlusPlusConfig) -> Result<(), MethodError> {
    match config.products >= 6 {
        true => Ok(()),
        false => Err(MethodError::config("products of Hutch++", "at least 6", config.products)),
    }
}

/// [`hutch_plus_plus`] on the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct HutchPlusPlus;

impl Instrument for HutchPlusPlus {
    const ID: &'static str = "hutch_plus_plus";
    const SUMMARY: &'static str = "trace of the Hessian, exact on a sketch of its range";
    const SOURCE: &'static str = "Meyer et al. 2021, arXiv 2010.09649";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = HutchPlusPlusConfig;
    type Reading = OnSample<SketchedTrace>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &HutchPlusPlusConfig,
    ) -> Result<OnSample<SketchedTrace>, MethodError> {
        check(config)?;
        let found =
            hutch_plus_plus(ctx, &super::Hessian::new(ctx, objective, point)?, &[], config)?;
        OnSample::trace(ctx, objective, point, found, config.products)
    }

    fn cost(config: &HutchPlusPlusConfig, size: &Size) -> Cost {
        OnSample::cost_of(config.products, size)
    }

    fn quantities(reading: &OnSample<SketchedTrace>) -> Vec<Quantity> {
        reading.quantities()
    }

    fn trial() -> HutchPlusPlusConfig {
        HutchPlusPlusConfig { products: 96 }
    }

    fn refused() -> Vec<HutchPlusPlusConfig> {
        [0, 5].map(|products| HutchPlusPlusConfig { products }).to_vec()
    }
}
