//! What is measured of a plane beside the loss.

use super::plan::Plan;
use crate::error::Result;
use crate::measure::{self, where_memory_allows};
use crate::range::Axis;
use thalweg_methods::surface::{BasinConfig, ConvexityConfig, Plane, basin, convexity_map};
use thalweg_methods::{Context, Objective};
use thalweg_nn::Weights;
use thalweg_record::{Basin, BasinSummary, Convexity, Derivatives, Surface};
use thalweg_stats::quantile;

/// Adds to a record the parabolas at the centre and the derivatives along a line, as far as memory
/// allows, and what was asked for: gradients along a line, extreme eigenvalues, the basin.
///
/// # Errors
/// Those of the methods.
pub(super) fn measure_beside(
    ctx: &Context<'_>,
    (objective, centre): (&dyn Objective, &Weights),
    plane: &Plane,
    [x, y]: [Axis; 2],
    plan: &Plan,
    record: &mut Surface,
) -> Result<()> {
    let parabolas = measure::parabolas(ctx, objective, centre, plane);
    record.parabolas = where_memory_allows(ctx, "slope and curvature at the centre", parabolas)?
        .unwrap_or_default();
    if !plan.two && record.pairs.is_none() && record.adaptive.is_none() {
        let at = x.coordinates();
        let found = measure::derivatives(ctx, objective, centre, plane, &at);
        record.derivatives = if plan.settings.measures.gradients {
            let gradients = Some(measure::gradients(ctx, objective, centre, plane, &at)?);
            Some(Derivatives { gradients, ..found? })
        } else {
            where_memory_allows(ctx, "slope and curvature along the line", found)?
        };
    }
    let measures = &plan.settings.measures;
    if measures.convexity > 0 {
        let coarse = |axis: Axis| match axis.points {
            1 => axis.coordinates(),
            _ => Axis { points: measures.convexity, ..axis }.coordinates(),
        };
        let (x, y) = (coarse(x), coarse(y));
        let config = ConvexityConfig::default();
        let found = convexity_map(ctx, objective, centre, plane, (&x, &y), &config)?;
        let missed = found.converged.iter().filter(|converged| !**converged).count();
        if missed > 0 {
            ctx.progress().message(&format!(
                "At {missed} of {} points the eigenvalues have not converged to the tolerance; their \
                 residuals say how far.",
                found.converged.len()
            ));
        }
        record.convexity = Some(Convexity {
            x,
            y,
            ratio: found.ratio(),
            ratio_error: found.ratio_error(),
            largest: found.largest,
            largest_residual: found.largest_residual,
            smallest: found.smallest,
            smallest_residual: found.smallest_residual,
            products: found.products as u64,
        });
    }
    if measures.basin > 0 {
        let config = BasinConfig {
            rays: measures.basin,
            rise: measures.rise,
            directions: plan.config,
            ..BasinConfig::default()
        };
        record.basin = Some(recorded(basin(ctx, objective, centre, &config)?, &config));
    }
    Ok(())
}

fn recorded(found: thalweg_methods::surface::Basin, config: &BasinConfig) -> Basin {
    let mut sorted = found.radius.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let quartile = |share| quantile(&sorted, share);
    Basin {
        summary: BasinSummary {
            rise: config.rise,
            rays: found.radius.len() as u64,
            dimension: found.dimension as u64,
            unit: config.directions.normalize.to_string(),
            mean_radius: measure::estimate(&found.mean_radius),
            quartiles: [0.25, 0.5, 0.75].map(quartile),
            not_left: found.not_left as u64,
            not_finite: found.not_finite as u64,
            log_volume: measure::estimate(&found.log_volume),
            effective_rays: found.effective_rays,
            log_volume_bound: measure::estimate(&found.log_volume_bound),
        },
        radius: found.radius,
    }
}
