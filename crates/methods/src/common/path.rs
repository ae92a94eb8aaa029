//! The loss on the straight line between two points of weight space.

use super::{Evaluator, Objective};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The losses at equally spaced points from one end to the other, both included.
///
/// Points in between have the buffers of the first end: pass an objective that recalibrates them
/// where a model has any.
///
/// # Errors
/// Fewer than two points; weights of another model; those of the engine.
pub fn linear_path(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    from: &Weights,
    to: &Weights,
    points: usize,
) -> Result<Vec<f64>, MethodError> {
    if points < 2 {
        return Err(MethodError::config("points of a path", "at least 2", points));
    }
    let direction = to.parameters.add_scaled(-1.0, &from.parameters)?;
    let evaluator = Evaluator::affine(ctx, objective, from, &[direction], points)?;
    let last = (points - 1) as f64;
    let coordinates: Vec<Vec<f64>> = (0..points).map(|i| vec![i as f64 / last]).collect();
    Ok(evaluator.at(&coordinates)?.iter().map(|found| found.loss).collect())
}

/// How far a path rises above the straight line between its ends' losses: the largest surplus, at
/// least 0; NaN if any loss is, or without two points.
///
/// # Source    Frankle, Dziugaite, Roy, Carbin, Linear mode connectivity and the lottery ticket
/// hypothesis, 2020, arXiv 1912.05671
pub fn barrier(losses: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else { return f64::NAN };
    if losses.len() < 2 || losses.iter().any(|loss| loss.is_nan()) {
        return f64::NAN;
    }
    let share = |i: usize| i as f64 / (losses.len() - 1) as f64;
    let surplus = losses
        .iter()
        .enumerate()
        .map(|(i, loss)| loss - ((1.0 - share(i)) * first + share(i) * last));
    surplus.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_array::DType;
    use thalweg_exec::Executor;

    #[test]
    fn the_barrier_between_two_wells_is_the_pass() {
        // (x^2 - 1)^2: wells at -1 and 1, height 1 between them.
        let wells = Function::new(DType::F64, &[("x", &[])], |_, w| (w[0].square() - 1.0).square());
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let ends = [wells.point(&[-1.0]).unwrap(), wells.point(&[1.0]).unwrap()];
        let losses = linear_path(&ctx, &wells, &ends[0], &ends[1], 21).unwrap();
        assert_eq!((losses[0], losses[20]), (0.0, 0.0));
        assert!((barrier(&losses) - 1.0).abs() < 1e-15);
        assert!(linear_path(&ctx, &wells, &ends[0], &ends[1], 1).is_err());
    }

    #[test]
    fn a_slope_is_no_barrier() {
        assert_eq!(barrier(&[3.0, 2.0, 1.0]), 0.0);
        assert_eq!(barrier(&[3.0, 1.0, 1.0]), 0.0);
        assert_eq!(barrier(&[3.0, 2.5, 1.0]), 0.5);
        assert!(barrier(&[1.0]).is_nan() && barrier(&[1.0, f64::NAN]).is_nan());
    }
}
