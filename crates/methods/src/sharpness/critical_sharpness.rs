//! Critical sharpness.

use super::rise::Rises;
use crate::common::{Evaluator, Gradients, Objective, SampleTerms, sampled_strata, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::Weights;
use thalweg_stats::pairwise_sum;

/// How the learning rate is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalSharpnessConfig {
    /// How long the first step tried is beside the weights.
    pub start: f64,
    /// The largest ratio of the two rates between which the critical one lies, less one.
    pub tolerance: f64,
    /// Evaluations, at most.
    pub evaluations: usize,
}

impl Default for CriticalSharpnessConfig {
    fn default() -> CriticalSharpnessConfig {
        CriticalSharpnessConfig { start: 1e-3, tolerance: 1e-2, evaluations: 64 }
    }
}

/// What [`critical_sharpness`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalRate {
    /// `2 / eta` with the geometric mean `eta` of the rates below; zero where no rate raises the
    /// loss, up to the largest number that there is. NaN without a gradient, and where the evaluations
    /// ended before one rate raised it and another did not.
    pub sharpness: f64,
    /// The largest rate tried that does not raise the loss.
    pub below: f64,
    /// The smallest rate tried that raises it, or makes it something else than a number; infinite
    /// where there is none.
    pub above: f64,
    /// Whether they are as close as was asked for, or no rate raises the loss.
    pub converged: bool,
    /// What each example contributed to the sharpness, to first order, where the examples are a sample
    /// and a rate was found.
    pub sample: Option<SampleTerms>,
}

/// Two over the critical learning rate: the smallest at which a step of gradient descent raises the
/// loss.
///
/// `lambda_c = 2 / eta_c`, `eta_c = min {eta > 0: L(w - eta g) > L(w)}` with `g = grad L(w)`. On a
/// quadratic it is `g^T H g / g^T g`, at most the largest eigenvalue: a step above `2 / lambda_c`
/// overshoots.
///
/// From a first rate `start |w| / |g|` the rate is doubled until the loss rises, or halved until it
/// does not; then the bracket is halved in the logarithm. That finds a crossing, which is the first
/// one unless the loss rises and falls again between two rates tried. Each evaluation is a unit of
/// work.
///
/// Another sample of the data has another gradient, and its loss rises elsewhere. With the losses `l_i`,
/// gradients `g_i` of the examples at `w`, `l_i'` at `w' = w - eta g`, and `g'` of the loss there, the rise
/// `R = L(w') - L(w)` of a sample with more of example `i` changes by
/// `r_i = (l_i' - l_i - R) - eta <g', g_i - g>`, and `lambda_c` by `lambda_c r_i / (eta R')` with
/// `R' = -<g', g>`: one more gradient, and the derivatives of all losses along `g'`. The bracket's own
/// width is beside it.
///
/// # Errors
/// A start or tolerance that is not positive, no evaluations; weights of another model; those of the
/// engine.
/// # Source    Kalra, Barkeshli, Why warmup the learning rate, 2024, arXiv 2406.09405; Kalra et al.,
/// A scalable measure of loss landscape curvature, 2026, arXiv 2601.16979, section 2
pub fn critical_sharpness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &CriticalSharpnessConfig,
) -> Result<CriticalRate, MethodError> {
    check(config)?;
    ctx.progress().start("critical sharpness", config.evaluations as u64 + 1);
    let mut downhill = {
        let key = "critical/gradient";
        let arrays = ctx.unit(key, || {
            let found = Gradients::new(ctx, objective)?.at(point)?;
            Ok(vec![("gradient".into(), Array::vector(&found.gradient))])
        })?;
        stored(key, &arrays, "gradient", objective.dimension())?.to_vec()
    };
    vector::scale(&mut downhill, -1.0);
    ctx.progress().advance(1);
    let (length, weights) = (vector::norm(&downhill), point.parameters.norm());
    let nothing = |sharpness: f64| CriticalRate {
        sharpness,
        below: 0.0,
        above: f64::INFINITY,
        converged: false,
        sample: None,
    };
    if !(length > 0.0 && length.is_finite()) {
        return Ok(nothing(f64::NAN));
    }
    let mut rises = Rises::new(ctx, objective, point);
    let mut evaluations = 0;
    let mut loss = |rate: f64| -> Result<f64, MethodError> {
        let key = format!("critical/{evaluations}");
        evaluations += 1;
        let arrays = ctx.unit(&key, || {
            let all = 0..objective.batches().len();
            let found = rises.losses(&downhill, &[rate], all)?.concat();
            let mean = pairwise_sum(&found) / found.len().max(1) as f64;
            Ok(vec![("loss".into(), Array::vector(&[mean]))])
        })?;
        ctx.progress().advance(1);
        Ok(stored(&key, &arrays, "loss", 1)?[0])
    };
    let still = loss(0.0)?;
    let first = config.start * if weights > 0.0 { weights } else { 1.0 } / length;
    let (mut below, mut above): (Option<f64>, Option<f64>) = (None, None);
    let mut rate = first;
    // One evaluation is that of the point itself.
    for _ in 1..config.evaluations {
        // What is not a number has risen.
        match loss(rate)? <= still {
            true => below = Some(rate),
            false => above = Some(rate),
        }
        rate = match (below, above) {
            (Some(low), None) => 2.0 * low,
            (None, Some(high)) => 0.5 * high,
            (Some(low), Some(high)) if high / low > 1.0 + config.tolerance => (low * high).sqrt(),
            _ => break,
        };
        // Steps that change no weight, or reach infinity, are none.
        if !rate.is_finite() || rate < f64::MIN_POSITIVE {
            break;
        }
    }
    Ok(match (below, above) {
        (Some(below), Some(above)) => {
            let (rate, converged) =
                ((below * above).sqrt(), above / below <= 1.0 + config.tolerance);
            let sample = match converged {
                true => contributions(ctx, objective, point, &mut rises, &downhill, rate)?,
                false => None,
            };
            CriticalRate { sharpness: 2.0 / rate, below, above, converged, sample }
        }
        // Beyond the last rate there is none.
        (Some(below), None) if rate == f64::INFINITY => {
            CriticalRate { below, converged: true, ..nothing(0.0) }
        }
        (Some(below), None) => CriticalRate { below, ..nothing(f64::NAN) },
        (None, above) => {
            CriticalRate { above: above.unwrap_or(f64::INFINITY), ..nothing(f64::NAN) }
        }
    })
}

/// What each example of a sample contributed to the critical sharpness at a rate. NaN where the loss does
/// not rise there.
fn contributions<'a>(
    ctx: &Context<'a>,
    objective: &'a dyn Objective,
    point: &Weights,
    rises: &mut Rises<'a>,
    downhill: &[f64],
    rate: f64,
) -> Result<Option<SampleTerms>, MethodError> {
    let Some(strata) = sampled_strata(objective) else { return Ok(None) };
    let n = objective.examples();
    let key = "critical/sample";
    let arrays = ctx.unit(key, || {
        let all = 0..objective.batches().len();
        let losses = rises.losses(downhill, &[0.0, rate], all.clone())?;
        let [still, moved] = &losses[..] else {
            return Err(MethodError::mismatch("losses", "those of two points", losses.len()));
        };
        let here = point.parameters.convert(DType::F64);
        let there = here.add_scaled(rate, &here.unflatten(downhill)?)?;
        let there = Weights { parameters: there, buffers: point.buffers.clone() };
        let slope = Gradients::new(ctx, objective)?.at(&there)?.gradient;
        let direction = here.unflatten(&slope)?;
        let along = Evaluator::with_derivatives(ctx, objective, point, &direction, 1)?;
        let along = along.examples_at(&[vec![0.0]], all)?;
        let Some([along, _]) = along.first().map(|at| &at.derivatives) else {
            return Err(MethodError::mismatch("derivatives", "those of one point", "none"));
        };
        let each = still.iter().zip(moved).zip(along);
        let rises: Vec<f64> =
            each.map(|((still, moved), along)| moved - still - rate * along).collect();
        let mean = pairwise_sum(&rises) / n.max(1) as f64;
        let steepness = vector::dot(&slope, downhill);
        let steepness = if steepness > 0.0 { steepness } else { f64::NAN };
        let term = |rise: &f64| 2.0 / rate * (1.0 + (rise - mean) / (rate * steepness));
        Ok(vec![("terms".into(), Array::vector(&rises.iter().map(term).collect::<Vec<_>>()))])
    })?;
    let terms = stored(key, &arrays, "terms", n)?.to_vec();
    Ok(Some(SampleTerms::new(vec![terms], strata)))
}

fn check(config: &CriticalSharpnessConfig) -> Result<(), MethodError> {
    for (what, value) in [("start", config.start), ("tolerance", config.tolerance)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(MethodError::config(what, "a positive number", value));
        }
    }
    match config.evaluations < 2 {
        true => Err(MethodError::config("evaluations", "at least 2", config.evaluations)),
        false => Ok(()),
    }
}

/// [`critical_sharpness`] as an instrument, which reads NaN where it has not converged.
#[derive(Clone, Copy, Debug)]
pub struct CriticalSharpness;

impl Instrument for CriticalSharpness {
    const ID: &'static str = "critical_sharpness";
    const SUMMARY: &'static str =
        "two over the smallest learning rate at which a gradient step raises the loss";
    const SOURCE: &'static str =
        "Kalra and Barkeshli 2024, arXiv 2406.09405; Kalra et al. 2026, arXiv 2601.16979";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = CriticalSharpnessConfig;
    type Reading = CriticalRate;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &CriticalSharpnessConfig,
    ) -> Result<CriticalRate, MethodError> {
        critical_sharpness(ctx, objective, point, config)
    }

    fn cost(config: &CriticalSharpnessConfig, size: &Size) -> Cost {
        let once = usize::from(size.sampled);
        Cost::at_most(config.evaluations + 2 * once, 1 + once, 0).with_second_derivatives(once)
    }

    fn quantities(reading: &CriticalRate) -> Vec<Quantity> {
        let sharpness = if reading.converged { reading.sharpness } else { f64::NAN };
        let critical = Quantity::exact("critical sharpness", sharpness);
        vec![critical.with_sample(reading.sample.as_ref())]
    }

    fn trial() -> CriticalSharpnessConfig {
        CriticalSharpnessConfig { tolerance: 1e-7, ..CriticalSharpnessConfig::default() }
    }

    fn refused() -> Vec<CriticalSharpnessConfig> {
        let usual = CriticalSharpnessConfig::default();
        vec![
            CriticalSharpnessConfig { start: 0.0, ..usual },
            CriticalSharpnessConfig { start: f64::INFINITY, ..usual },
            CriticalSharpnessConfig { tolerance: f64::NAN, ..usual },
            CriticalSharpnessConfig { evaluations: 1, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;

    fn of(function: &Function, at: &[f64], start: f64) -> CriticalRate {
        within(function, at, CriticalSharpnessConfig { start, tolerance: 1e-9, evaluations: 100 })
    }

    fn within(function: &Function, at: &[f64], config: CriticalSharpnessConfig) -> CriticalRate {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        critical_sharpness(&ctx, function, &function.point(at).unwrap(), &config).unwrap()
    }

    #[test]
    fn on_a_quadratic_it_is_the_curvature_along_the_gradient() {
        // x^2 / 2 + 2 y^2 at (3, 1): g = (3, 4), g^T H g / g^T g = (9 + 64) / 25.
        let quadratic = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
            w[0].square() * 0.5 + w[1].square() * 2.0
        });
        for start in [1e-6, 1e-3, 10.0] {
            let found = of(&quadratic, &[3.0, 1.0], start);
            assert!((found.sharpness - 2.92).abs() < 1e-7 && found.converged, "{found:?}");
            assert!(found.below <= 2.0 / 2.92 && found.above >= 2.0 / 2.92);
        }
    }

    #[test]
    fn where_no_step_raises_the_loss_it_is_zero() {
        let slope = Function::new(DType::F64, &[("x", &[])], |_, w| w[0] * 1.0);
        // From 1e-3 on a rate is doubled a thousand times until it is infinite.
        let config = CriticalSharpnessConfig { evaluations: 1100, ..Default::default() };
        let found = within(&slope, &[1.0], config);
        assert_eq!((found.sharpness, found.above), (0.0, f64::INFINITY));
        assert!(found.converged && CriticalSharpness::quantities(&found)[0].value.number() == 0.0);
        // That none of the rates tried raises it says nothing of the next.
        let found = of(&slope, &[1.0], 1e-3);
        assert!(found.sharpness.is_nan() && found.below > 1e20 && !found.converged, "{found:?}");
        let flat = Function::new(DType::F64, &[("x", &[])], |_, w| w[0] * 0.0);
        assert!(of(&flat, &[1.0], 1e-3).sharpness.is_nan());
        // Beyond a wall the loss is not a number: x + sqrt(1 + x) from 0 falls until x = -1.
        let wall = Function::new(DType::F64, &[("x", &[])], |_, w| w[0] + (w[0] + 1.0).sqrt());
        let found = of(&wall, &[0.0], 1e-3);
        assert!((found.sharpness - 3.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_bracket_that_is_too_wide_is_no_reading() {
        let parabola = Function::new(DType::F64, &[("x", &[])], |_, w| w[0].square());
        let read = |evaluations: usize| {
            let config = CriticalSharpnessConfig { start: 0.4, tolerance: 1e-6, evaluations };
            let found = within(&parabola, &[1.0], config);
            let number = CriticalSharpness::quantities(&found)[0].value.number();
            (found, number)
        };
        let (early, number) = read(6);
        assert!((early.sharpness - 2.0).abs() < 0.5 && !early.converged && number.is_nan());
        let (late, number) = read(60);
        assert!(late.converged && (number - 2.0).abs() < 1e-5, "{late:?}");
    }
}
