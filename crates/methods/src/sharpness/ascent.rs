//! Ascent of the loss inside a ball around the weights.

use super::ball::{Ball, Norm, Scaling, check_radius, check_steps};
use super::rise::{Rise, Rises};
use crate::common::{Gradients, Objective, vector};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameters, Weights};

/// How the ascent goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ascent {
    /// So many steps of equal length along the gradient, which reach the ball's surface if the
    /// gradient keeps its direction: what sharpness-aware minimisation does.
    #[default]
    Straight,
    /// Projected gradient ascent: steps may be longer than the ball is wide and end inside of it;
    /// the best point met counts. The step begins with the radius, and is halved whenever a quarter
    /// of the steps brought nothing better, going on from the best point.
    Projected,
}

/// Which ball, and how the loss is raised in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AscentConfig {
    /// How perturbations are measured.
    pub norm: Norm,
    /// In which units.
    pub scaling: Scaling,
    /// The radius.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
    /// The way.
    pub ascent: Ascent,
}

impl AscentConfig {
    pub(super) fn check(&self) -> Result<(), MethodError> {
        check_radius(self.rho)?;
        check_steps(self.steps)
    }
}

/// The rise of the loss to the point that gradient ascent finds in a ball.
///
/// `L(w + c * u) - L(w)` with `|u|_p <= rho`. In coordinates `u` the gradient is `c * grad L`, and
/// the steepest step of length `a` is `a c * grad L / |c * grad L|` for `p = 2` and
/// `a sign(c * grad L)` for `p = inf`. A lower bound of the maximum; zero where the gradient is.
///
/// Each step is a unit of work.
///
/// # Errors
/// A radius that is not positive, no steps; weights of another model; those of the engine.
pub fn ascend(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &AscentConfig,
) -> Result<Rise, MethodError> {
    config.check()?;
    ctx.progress().start("sharpness", config.steps as u64 + 1);
    let ball = Ball::new(objective, point, config.norm, config.scaling, config.rho)?;
    let gradients = Gradients::new(ctx, objective)?;
    let dimension = objective.dimension();
    let mut step = 0;
    let gradient = |u: &[f64]| {
        let key = format!("ascent/{step}");
        step += 1;
        let moved = Weights {
            parameters: moved(&point.parameters, &ball.perturbation(u))?,
            buffers: point.buffers.clone(),
        };
        let arrays = ctx.unit(&key, || {
            let found = gradients.at(&moved)?;
            Ok(vec![
                ("loss".into(), Array::vector(&[found.at.loss])),
                ("gradient".into(), Array::vector(&found.gradient)),
            ])
        })?;
        ctx.progress().advance(1);
        let loss = stored(&key, &arrays, "loss", 1)?[0];
        Ok((loss, stored(&key, &arrays, "gradient", dimension)?.to_vec()))
    };
    let u = match config.ascent {
        Ascent::Straight => straight(&ball, config.steps, gradient)?,
        Ascent::Projected => projected(&ball, config.steps, gradient)?,
    };
    let rise = Rises::new(ctx, objective, point).of(&ball.perturbation(&u))?;
    ctx.progress().advance(1);
    Ok(rise)
}

/// Weights moved by a perturbation, in `f64`.
pub(super) fn moved(weights: &Parameters, by: &[f64]) -> Result<Parameters, MethodError> {
    let mut flat = weights.flatten();
    vector::add_scaled(&mut flat, 1.0, by);
    Ok(weights.convert(DType::F64).unflatten(&flat)?)
}

pub(super) fn straight(
    ball: &Ball,
    steps: usize,
    mut gradient: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), MethodError>,
) -> Result<Vec<f64>, MethodError> {
    let mut u = vec![0.0; ball.scale.len()];
    for _ in 0..steps {
        let (_, along) = gradient(&u)?;
        vector::add_scaled(&mut u, 1.0, &ball.steepest(&along, ball.rho / steps as f64));
    }
    Ok(u)
}

fn projected(
    ball: &Ball,
    steps: usize,
    mut gradient: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), MethodError>,
) -> Result<Vec<f64>, MethodError> {
    let zero = vec![0.0; ball.scale.len()];
    let patience = steps.div_ceil(4);
    let (mut u, mut length, mut since) = (zero.clone(), ball.rho, 0);
    let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
    for _ in 0..steps {
        let (loss, along) = gradient(&u)?;
        // A loss that is not a number is no better than any other.
        let better = best.as_ref().is_none_or(|(known, ..)| loss > *known);
        let mut from = along;
        if better {
            best = Some((loss, u.clone(), from.clone()));
            since = 0;
        } else {
            since += 1;
        }
        if since >= patience {
            length *= 0.5;
            since = 0;
            if let Some((_, at, along)) = &best {
                (u, from) = (at.clone(), along.clone());
            }
        }
        vector::add_scaled(&mut u, 1.0, &ball.steepest(&from, length));
        ball.project(&mut u);
    }
    Ok(match best {
        // The last step was never looked at: it ends where the best gradient leads.
        Some((_, at, _)) if steps > 1 => at,
        _ => u,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_exec::Executor;

    fn config(ascent: Ascent, norm: Norm, steps: usize) -> AscentConfig {
        AscentConfig { norm, scaling: Scaling::None, rho: 0.5, steps, ascent }
    }

    #[test]
    fn projected_ascent_finds_the_largest_value_in_a_ball() {
        // 2 x^2 + y^2 / 2 + x at (0, 1): in the unit ball of radius 0.5 around it the largest value
        // lies on the surface, where the gradient is along the radius.
        let function = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
            w[0].square() * 2.0 + w[1].square() * 0.5 + w[0]
        });
        let point = function.point(&[0.0, 1.0]).unwrap();
        let value = |angle: f64| {
            let (x, y) = (0.5 * angle.cos(), 1.0 + 0.5 * angle.sin());
            2.0 * x * x + 0.5 * y * y + x - 0.5
        };
        let best = (0..1_000_000).map(|i| value(f64::from(i) * 6.3e-6)).fold(0.0, f64::max);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let of = |config| ascend(&ctx, &function, &point, &config).unwrap().value;
        let found = of(config(Ascent::Projected, Norm::L2, 60));
        assert!((found - best).abs() < 1e-6 && found <= best + 1e-9, "{found} {best}");
        let one = of(config(Ascent::Straight, Norm::L2, 1));
        assert!(one < found && one > 0.5 * found, "{one} {found}");
        // The largest value in the square is at the corner (0.5, 1.5).
        let corner = 2.0 * 0.25 + 0.5 * 2.25 + 0.5 - 0.5;
        let found = of(config(Ascent::Projected, Norm::LInf, 8));
        assert!((found - corner).abs() < 1e-12, "{found} {corner}");
    }

    #[test]
    fn more_straight_steps_turn_with_the_gradient() {
        // By hand: x y at (1, 0), gradient (0, 1); a step of 0.25 to (1, 0.25), whose gradient
        // (0.25, 1) has length sqrt(17) / 4.
        let function = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| w[0] * w[1]);
        let point = function.point(&[1.0, 0.0]).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let found = ascend(&ctx, &function, &point, &config(Ascent::Straight, Norm::L2, 2));
        let root = 17.0f64.sqrt();
        let expected = (1.0 + 0.25 / root) * (0.25 + 1.0 / root);
        let found = found.unwrap();
        assert!((found.value - expected).abs() < 1e-14, "{} {expected}", found.value);
        assert_eq!((found.loss, found.standard_error), (0.0, None));
    }
}
