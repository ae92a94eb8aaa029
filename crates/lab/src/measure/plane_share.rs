//! The share of the curvature that a plane holds, as a record has it.

use super::estimate;
use crate::error::Result;
use thalweg_methods::common::LinearOperator;
use thalweg_methods::curvature::Hessian;
use thalweg_methods::surface::{Plane, PlaneCurvature, plane_curvature};
use thalweg_methods::{Context, MethodError, Objective};
use thalweg_nn::Weights;
use thalweg_record::PlaneShare;
use thalweg_stats::Estimate;

/// Random vectors by which the Hessian's squared Frobenius norm is estimated, unless another number is
/// asked for: with the two products of a plane they fill two programs of eight.
pub(crate) const SHARE_PROBES: usize = 14;

/// The share of the curvature at the centre that each plane holds, the norm of the whole by so many
/// random vectors. Of a Hessian that is zero or not finite there is none, and it is said why.
///
/// # Errors
/// Those of the methods.
pub(crate) fn curvature_shares(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    probes: usize,
) -> Result<Vec<PlaneShare>> {
    let hessian = Hessian::new(ctx, objective, centre)?;
    let mut shares = Vec::new();
    for (pair, plane) in planes.iter().enumerate() {
        ctx.check()?;
        let ctx = ctx.within(&format!("plane-share-{pair}"));
        let whole = |seen: &PlaneCurvature| seen.frobenius_squared(&ctx, &hessian, probes);
        let pair = (planes.len() > 1).then_some(pair as u32);
        shares.extend(share(&ctx, &hessian, plane, pair, whole)?);
    }
    Ok(shares)
}

/// [`curvature_shares`] of one plane, where the Hessian's squared Frobenius norm is known.
///
/// # Errors
/// Those of the methods.
pub(crate) fn curvature_share_of(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
    whole: thalweg_record::Estimate,
) -> Result<Option<PlaneShare>> {
    let hessian = Hessian::new(ctx, objective, centre)?;
    let thalweg_record::Estimate { value, standard_error, samples } = whole;
    let whole = Estimate { value, standard_error, samples: samples as usize };
    share(ctx, &hessian, plane, None, |_| Ok(whole))
}

fn share(
    ctx: &Context<'_>,
    hessian: &dyn LinearOperator,
    plane: &Plane,
    pair: Option<u32>,
    whole: impl FnOnce(&PlaneCurvature) -> std::result::Result<Estimate, MethodError>,
) -> Result<Option<PlaneShare>> {
    let found = plane_curvature(hessian, plane).and_then(|seen| match seen {
        Some(seen) => Ok(seen.share(whole(&seen)?)),
        None => Ok(None),
    });
    let left_out = |why: &str| {
        let text = format!("The share of the curvature that the plane holds is not known: {why}.");
        ctx.progress().message(&text);
        Ok(None)
    };
    match found {
        Ok(Some(found)) => {
            let share = estimate(&found).into();
            Ok(Some(PlaneShare { of: "curvature".into(), pair, share }))
        }
        Ok(None) => left_out("the Hessian at the centre or the plane is zero or not finite"),
        Err(error @ (MethodError::NotFinite { .. } | MethodError::Stats(_))) => {
            left_out(&error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}
