//! A bent path between two minima along which the loss stays low.

use crate::common::{
    Evaluator, Gradients, LbfgsConfig, Objective, barrier, lbfgs, linear_path, vector,
};
use crate::{Context, MethodError};
use thalweg_nn::{Parameters, Weights};

/// How a path is found and looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowLossPathConfig {
    /// Places on the path whose mean loss is minimised: the middles of as many equal parts.
    pub places: usize,
    /// Points at which the paths are evaluated, both ends included.
    pub points: usize,
    /// Steps of L-BFGS at most.
    pub max_steps: usize,
}

impl Default for LowLossPathConfig {
    fn default() -> LowLossPathConfig {
        LowLossPathConfig { places: 15, points: 31, max_steps: 200 }
    }
}

/// What [`low_loss_path`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LowLossPath {
    /// The point that the path bends towards.
    pub control: Parameters,
    /// Losses along the bent path.
    pub bent: Vec<f64>,
    /// Losses along the straight line.
    pub straight: Vec<f64>,
}

impl LowLossPath {
    /// How far each rises above the line between its ends' losses: bent, straight.
    pub fn barriers(&self) -> [f64; 2] {
        [barrier(&self.bent), barrier(&self.straight)]
    }
}

/// Bends the path `w(t) = (1 - t)^2 a + 2 t (1 - t) c + t^2 b` by its control point `c`, from the middle
/// of the straight line on, until the mean loss along it is least.
///
/// Buffers are those of the first end: pass an objective that recalibrates them where a model has any.
/// The first control point lies a little off the line, by a thousandth of its length, because a line
/// between mirror images can be stationary.
///
/// # Errors
/// No places, fewer than two points; weights of another model; those of the engine; `Interrupted`.
/// # Source    Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, 2018,
/// arXiv 1802.10026
pub fn low_loss_path(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    from: &Weights,
    to: &Weights,
    config: &LowLossPathConfig,
) -> Result<LowLossPath, MethodError> {
    if config.places == 0 {
        return Err(MethodError::config("places on a path", "at least 1", 0));
    }
    let straight = linear_path(ctx, objective, from, to, config.points)?;
    let ends = [from.parameters.flatten(), to.parameters.flatten()];
    let on_path = |control: &[f64], t: f64| -> Vec<f64> {
        let shares = [(1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t];
        let ends = ends[0].iter().zip(&ends[1]).zip(control);
        ends.map(|((a, b), c)| shares[0] * a + shares[1] * c + shares[2] * b).collect()
    };
    let weights = |flat: &[f64]| -> Result<Weights, MethodError> {
        let parameters = from.parameters.unflatten(flat)?;
        Ok(Weights { parameters, buffers: from.buffers.clone() })
    };
    let gradients = Gradients::new(ctx, objective)?;
    let length =
        vector::norm(&ends[0].iter().zip(&ends[1]).map(|(a, b)| a - b).collect::<Vec<f64>>());
    let draws = ctx.stream("low-loss path");
    let aside: Vec<f64> = (0..ends[0].len() as u64).map(|i| draws.normal(i)).collect();
    let aside_norm = vector::norm(&aside);
    let off = 1e-3 * length / aside_norm.max(f64::MIN_POSITIVE);
    let middle = ends[0].iter().zip(&ends[1]).map(|(a, b)| (a + b) / 2.0);
    let start: Vec<f64> = middle.zip(&aside).map(|(x, aside)| x + off * aside).collect();
    let settings = LbfgsConfig { max_steps: config.max_steps, ..LbfgsConfig::default() };
    let found = lbfgs(&start, &settings, |control| {
        ctx.check()?;
        let (mut value, mut slope) = (0.0, vec![0.0; control.len()]);
        for place in 0..config.places {
            let t = (place as f64 + 0.5) / config.places as f64;
            let there = gradients.at(&weights(&on_path(control, t))?)?;
            value += there.at.loss / config.places as f64;
            let share = 2.0 * t * (1.0 - t) / config.places as f64;
            vector::add_scaled(&mut slope, share, &there.gradient);
        }
        Ok((value, slope))
    })?;
    let last = (config.points - 1) as f64;
    let points = (0..config.points)
        .map(|i| weights(&on_path(&found.point, i as f64 / last)))
        .collect::<Result<Vec<_>, _>>()?;
    let evaluations = Evaluator::points(ctx, objective, config.points)?.at_weights(&points)?;
    Ok(LowLossPath {
        control: from.parameters.unflatten(&found.point)?,
        bent: evaluations.iter().map(|found| found.loss).collect(),
        straight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_array::DType;
    use thalweg_exec::Executor;

    #[test]
    fn a_path_bends_around_the_top() {
        // A ring (|w|^2 - 1)^2 of zeros: the line through the middle rises to 1, a bow hardly.
        let ring = Function::new(DType::F64, &[("w", &[2])], |_, w| {
            (w[0].square().sum_all() - 1.0).square()
        });
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let ends = [ring.point(&[-1.0, 0.0]).unwrap(), ring.point(&[1.0, 0.0]).unwrap()];
        let config = LowLossPathConfig::default();
        let found = low_loss_path(&ctx, &ring, &ends[0], &ends[1], &config).unwrap();
        let [bent, straight] = found.barriers();
        assert!((straight - 1.0).abs() < 1e-12 && bent < 0.1, "{bent} {straight}");
        // The bow is y = 2 t (1 - t) c, and x = 2 t - 1 by symmetry.
        let control = found.control.flatten();
        assert!(control[0].abs() < 1e-3 && control[1].abs() > 1.5, "{control:?}");
        let none = LowLossPathConfig { places: 0, ..config };
        assert!(low_loss_path(&ctx, &ring, &ends[0], &ends[1], &none).is_err());
    }
}
