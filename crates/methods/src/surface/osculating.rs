//! Value, slope and curvature along a direction.

use crate::common::{Evaluator, ExampleValues, Objective, Sampling, Status, standard_error};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::{Parameters, Weights};
use thalweg_stats::{Estimate, pairwise_sum};

/// Points in a unit of work: fixed, as those of a surface.
const UNIT: usize = 8;

/// The parabola that touches the loss along a direction at a point to second order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Osculating {
    /// Where the point lies along the direction.
    pub at: f64,
    /// The loss there.
    pub loss: Estimate,
    /// Its derivative along the direction.
    pub slope: Estimate,
    /// Its second derivative.
    pub curvature: Estimate,
    /// Whether all three are finite.
    pub status: Status,
}

impl Osculating {
    /// The parabola at a coordinate.
    pub fn parabola(&self, at: f64) -> f64 {
        let step = at - self.at;
        self.loss.value + step * (self.slope.value + 0.5 * step * self.curvature.value)
    }
}

/// Value, slope and curvature of the loss at points `w + t d`, all from one pass of forward mode over
/// forward mode.
///
/// `L(t), L'(t) = g^T d, L''(t) = d^T H d` with gradient and Hessian at the point
///
/// Standard errors are over the sample of examples, 0 where all were taken. At kinks, as of a
/// rectifier, the second derivative is that beside the kink: what bends the loss there has none.
/// Recalibrated statistics are held, as everywhere that derivatives are taken.
///
/// # Errors
/// A direction of another model; no room for a single point; those of the engine; `Interrupted`.
pub fn osculating(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    direction: &Parameters,
    at: &[f64],
) -> Result<Vec<Osculating>, MethodError> {
    if let Some(bad) = at.iter().find(|t| !t.is_finite()) {
        return Err(MethodError::config("coordinate of a line", "a finite number", bad));
    }
    ctx.progress().start("slope and curvature", at.len() as u64);
    let evaluator = Evaluator::with_derivatives(ctx, objective, centre, direction, UNIT)?;
    let mut found = Vec::with_capacity(at.len());
    for (block, points) in at.chunks(UNIT).enumerate() {
        let key = format!("osculating/{block}");
        let arrays = ctx.unit(&key, || {
            let coordinates: Vec<Vec<f64>> = points.iter().map(|&t| vec![t]).collect();
            let batches = 0..objective.batches().len();
            let values = evaluator.examples_at(&coordinates, batches)?;
            let [means, errors] = [false, true].map(|error| {
                let of = |v| summary(v, objective.sampling(), error);
                values.iter().flat_map(of).collect::<Vec<f64>>()
            });
            Ok(vec![
                ("values".to_owned(), Array::vector(&means)),
                ("standard_errors".to_owned(), Array::vector(&errors)),
            ])
        })?;
        let values = stored(&key, &arrays, "values", 3 * points.len())?.chunks(3);
        let errors = stored(&key, &arrays, "standard_errors", 3 * points.len())?.chunks(3);
        let samples = objective.examples();
        found.extend(points.iter().zip(values).zip(errors).map(|((&at, values), errors)| {
            let part = |i: usize| {
                let (value, standard_error) = (values[i], errors[i]);
                Estimate { value, standard_error, samples }
            };
            let status = match values.iter().all(|value| value.is_finite()) {
                true => Status::Computed,
                false => Status::NotFinite,
            };
            Osculating { at, loss: part(0), slope: part(1), curvature: part(2), status }
        }));
        ctx.progress().advance(points.len() as u64);
    }
    Ok(found)
}

/// Means over the examples of loss, slope and curvature, or their standard errors.
fn summary(values: &ExampleValues, sampling: &Sampling, error: bool) -> [f64; 3] {
    let [slopes, curvatures] = &values.derivatives;
    [&values.losses, slopes, curvatures].map(|values| match (error, sampling) {
        (false, _) => pairwise_sum(values) / values.len() as f64,
        (true, Sampling::All) => 0.0,
        (true, Sampling::Strata(strata)) => standard_error(values, strata),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;

    #[test]
    fn a_polynomial_has_its_derivatives() {
        // Along (1, 2) from (1, -1): t^4 + 3 t^3 + ... by hand: f = x^3 y at (1 + t, -1 + 2t).
        let function =
            Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| w[0] * w[0] * w[0] * w[1]);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let centre = function.point(&[1.0, -1.0]).unwrap();
        let direction = function.point(&[1.0, 2.0]).unwrap().parameters;
        let at: Vec<f64> = (0..11).map(|i| f64::from(i) / 5.0 - 1.0).collect();
        let found = osculating(&ctx, &function, &centre, &direction, &at).unwrap();
        for (t, one) in at.iter().zip(&found) {
            let (x, y) = (1.0 + t, 2.0 * t - 1.0);
            let expected =
                [x * x * x * y, 3.0 * x * x * y + 2.0 * x * x * x, 6.0 * x * y + 12.0 * x * x];
            let got = [one.loss, one.slope, one.curvature].map(|part| part.value);
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-12, "{t}: {got} {expected}");
            }
            assert_eq!(one.curvature.standard_error, 0.0);
        }
        let centre = found[5];
        assert!(
            (centre.parabola(1.0) - (centre.loss.value + 1.0 * -1.0 + 0.5 * 6.0)).abs() < 1e-12
        );
        assert!(
            osculating(
                &ctx,
                &function,
                &function.point(&[1.0, 1.0]).unwrap(),
                &direction,
                &[f64::NAN]
            )
            .is_err()
        );
    }
}
