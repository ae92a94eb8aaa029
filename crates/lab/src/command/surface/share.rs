//! Whether the share of the curvature that the plane holds is measured.

use super::plan::Plan;
use crate::directions::Kind;
use crate::effort::Taken;
use crate::error::Result;
use crate::measure::{SHARE_PROBES, curvature_shares, where_memory_allows};
use thalweg_methods::surface::Plane;
use thalweg_methods::{Context, Objective, Pass};
use thalweg_nn::Weights;
use thalweg_record::PlaneShare;

/// Unless it is asked for, a share may take so much of the work of the surface itself.
const CHEAP: f64 = 0.1;

/// The share of the curvature that each plane of a surface holds: with the number of random vectors that
/// was asked for; else with the usual number where that is little work beside the surface, or beside
/// the eigenvectors that it is along. Where it is left out of a plane, it is said how to have it.
///
/// # Errors
/// Those of the methods; for want of memory only where it was asked for.
pub(super) fn plane_shares(
    ctx: &Context<'_>,
    (objective, centre): (&dyn Objective, &Weights),
    planes: &[Plane],
    plan: &Plan,
    taken: &Taken,
) -> Result<Vec<PlaneShare>> {
    let take = |probes| curvature_shares(ctx, objective, centre, planes, probes);
    match plan.settings.measures.plane_share {
        Some(0) => return Ok(Vec::new()),
        Some(probes) => return take(probes),
        None => {}
    }
    let each = SHARE_PROBES + if plan.two { 2 } else { 1 };
    let work = (planes.len() * each) as f64 * Pass::Product.in_gradients();
    let surface = taken.losses(objective.examples()) * Pass::Loss.in_gradients();
    if plan.kind != Kind::Eigenvectors && work > CHEAP * surface {
        if plan.two {
            ctx.progress().message(&format!(
                "Not measured: the share of the curvature that the plane holds. It takes {} products \
                 with the Hessian, {:.0} % of the work of the surface; --plane-share measures it.",
                planes.len() * each,
                100.0 * work / surface
            ));
        }
        return Ok(Vec::new());
    }
    let found = where_memory_allows(
        ctx,
        "the share of the curvature that the plane holds",
        take(SHARE_PROBES),
    )?;
    Ok(found.unwrap_or_default())
}
