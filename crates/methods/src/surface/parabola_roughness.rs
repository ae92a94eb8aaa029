//! The roughness index that gradient and curvature alone would give.

use super::roughness_index::{
    Roughness, RoughnessConfig, check, line, offsets, summarize, variation,
};
use crate::common::{Evaluator, Objective};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::Weights;
use thalweg_stats::pairwise_sum;

/// The roughness index along the same lines as [`super::roughness_index`], with the loss on each
/// replaced by the parabola that touches it at the point.
///
/// Where the two agree the loss does not oscillate within the window, and the index says only how the
/// slopes of the lines compare with their curvatures: how near the point is to being stationary.
///
/// # Errors
/// As [`super::roughness_index`].
pub fn parabola_roughness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &RoughnessConfig,
) -> Result<Roughness, MethodError> {
    check(config)?;
    ctx.progress().start("roughness of parabolas", config.directions as u64);
    let mut lines = Vec::with_capacity(config.directions);
    let mut evaluator: Option<Evaluator<'_>> = None;
    for j in 0..config.directions {
        let key = format!("parabola/{j}");
        let arrays = ctx.unit(&key, || {
            let direction = line(ctx, objective, point, config, j)?;
            let along = match evaluator.take() {
                None => Evaluator::with_derivatives(ctx, objective, point, &direction, 1)?,
                Some(known) => known.moved(point, &[direction])?,
            };
            let batches = 0..objective.batches().len();
            let found = along.examples_at(&[vec![0.0]], batches)?;
            let mean = |values: &[f64]| pairwise_sum(values) / values.len().max(1) as f64;
            let touching = found
                .first()
                .map(|at| [mean(&at.losses), mean(&at.derivatives[0]), mean(&at.derivatives[1])]);
            evaluator = Some(along);
            Ok(vec![("parabola".into(), Array::vector(&touching.unwrap_or([f64::NAN; 3])))])
        })?;
        let touching = stored(&key, &arrays, "parabola", 3)?;
        let at = |t: f64| touching[0] + t * (touching[1] + 0.5 * t * touching[2]);
        let values: Vec<f64> = offsets(config).into_iter().map(at).collect();
        // The parabola is exact whatever the loss was computed in.
        lines.push(variation(&values, DType::F64));
        ctx.progress().advance(1);
    }
    summarize(ctx, config, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use crate::surface::{Normalize, roughness_index};
    use thalweg_exec::Executor;

    #[test]
    fn a_quadratic_is_its_own_parabola_and_a_wave_is_not() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = RoughnessConfig {
            normalize: Normalize::None,
            half_width: 0.5,
            ..RoughnessConfig::default()
        };
        let both = |function: &Function| {
            let point = function.point(&[0.3, -0.2, 0.1, 0.4]).unwrap();
            [
                roughness_index(&ctx, function, &point, &config).unwrap(),
                parabola_roughness(&ctx, function, &point, &config).unwrap(),
            ]
        };
        let bowl = Function::new(DType::F64, &[("w", &[2, 2])], |_, w| w[0].square().sum_all());
        let [index, parabola] = both(&bowl);
        assert!(index.index.value > 0.1 && index.turning > 0.1);
        assert!((index.index.value - parabola.index.value).abs() < 1e-9);
        let wave =
            Function::new(DType::F64, &[("w", &[2, 2])], |_, w| (w[0] * 20.0).sin().sum_all());
        let [index, parabola] = both(&wave);
        assert!(index.mean.value > 1.5 * parabola.mean.value);
    }
}
