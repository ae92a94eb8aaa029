//! Minima of smooth functions of some thousands of variables.

use super::vector::{add_scaled, dot, norm, scale};
use crate::MethodError;
use std::collections::VecDeque;

/// When [`lbfgs`] stops, and how much it remembers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsConfig {
    /// Steps that are remembered.
    pub memory: usize,
    /// Norm of the gradient that is small enough.
    pub tolerance: f64,
    /// Steps at most.
    pub max_steps: usize,
}

impl Default for LbfgsConfig {
    fn default() -> LbfgsConfig {
        LbfgsConfig { memory: 20, tolerance: 1e-5, max_steps: 3000 }
    }
}

/// Where [`lbfgs`] ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// The point.
    pub point: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// The gradient's norm there.
    pub gradient_norm: f64,
    /// Steps taken.
    pub steps: usize,
    /// Whether the gradient is small enough.
    pub converged: bool,
}

/// Descends from a point by limited-memory BFGS, each step's length by backtracking and doubling
/// until the weak conditions of Wolfe hold (decrease `1e-4`, curvature `0.9`).
///
/// Where no length improves the value, as rounding has it near a minimum, it stops, not converged.
///
/// # Errors
/// No memory, a tolerance that is not positive; a function that is not finite at the start; those of
/// the function.
/// # Source    Liu, Nocedal, On the limited memory BFGS method for large scale optimization, 1989;
/// the search for a length: Lewis, Overton, Nonsmooth optimization via quasi-Newton methods, 2013
pub fn lbfgs(
    start: &[f64],
    config: &LbfgsConfig,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), MethodError>,
) -> Result<Minimum, MethodError> {
    if config.memory == 0 {
        return Err(MethodError::config("memory of L-BFGS", "at least 1 step", 0));
    }
    if config.tolerance.is_nan() || config.tolerance <= 0.0 {
        return Err(MethodError::config("tolerance", "a positive number", config.tolerance));
    }
    let mut point = start.to_vec();
    let (mut value, mut gradient) = function(&point)?;
    if !value.is_finite() {
        let what = "the function at the start".to_owned();
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let mut memory = Memory { pairs: VecDeque::new(), most: config.memory };
    let mut steps = 0;
    while steps < config.max_steps && norm(&gradient) > config.tolerance {
        let mut direction = memory.direction(&gradient);
        if dot(&direction, &gradient) >= 0.0 {
            // Rounding has spoilt what is remembered.
            memory.pairs.clear();
            direction = memory.direction(&gradient);
        }
        let first = match memory.pairs.is_empty() {
            true => (1.0 / norm(&gradient)).min(1.0),
            false => 1.0,
        };
        let from = At { point: &point, value, gradient: &gradient };
        let Some(step) = search(&from, &direction, first, &mut function)? else { break };
        memory.remember(&point, &gradient, &step);
        (point, value, gradient) = (step.point, step.value, step.gradient);
        steps += 1;
    }
    let gradient_norm = norm(&gradient);
    let converged = gradient_norm <= config.tolerance;
    Ok(Minimum { point, value, gradient_norm, steps, converged })
}

struct At<'a> {
    point: &'a [f64],
    value: f64,
    gradient: &'a [f64],
}

struct Step {
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// The point along a direction that Wolfe's weak conditions allow, by bisection and doubling.
fn search(
    from: &At<'_>,
    direction: &[f64],
    first: f64,
    function: &mut impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), MethodError>,
) -> Result<Option<Step>, MethodError> {
    const TRIALS: usize = 50;
    let slope = dot(from.gradient, direction);
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
    let mut best: Option<Step> = None;
    for _ in 0..TRIALS {
        let mut point = from.point.to_vec();
        add_scaled(&mut point, length, direction);
        let (value, gradient) = function(&point)?;
        // Near a minimum rounding may hide the decrease that is asked for.
        let decreases = value < from.value && value <= from.value + 1e-4 * length * slope;
        if !(value.is_finite() && decreases) {
            high = length;
        } else if dot(&gradient, direction) < 0.9 * slope {
            low = length;
            best = Some(Step { point, value, gradient });
        } else {
            return Ok(Some(Step { point, value, gradient }));
        }
        length = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    // Decrease without curvature is still a step.
    Ok(best)
}

/// The last steps, and the products of their differences.
struct Memory {
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    most: usize,
}

impl Memory {
    fn remember(&mut self, point: &[f64], gradient: &[f64], step: &Step) {
        let difference = |to: &[f64], from: &[f64]| -> Vec<f64> {
            to.iter().zip(from).map(|(to, from)| to - from).collect()
        };
        let (s, y) = (difference(&step.point, point), difference(&step.gradient, gradient));
        let product = dot(&s, &y);
        if product > 0.0 {
            if self.pairs.len() == self.most {
                self.pairs.pop_front();
            }
            self.pairs.push_back((s, y, 1.0 / product));
        }
    }

    /// Minus the inverse Hessian that the pairs stand for, times the gradient.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut along = Vec::with_capacity(self.pairs.len());
        for (s, y, inverse) in self.pairs.iter().rev() {
            let a = inverse * dot(s, &q);
            add_scaled(&mut q, -a, y);
            along.push(a);
        }
        if let Some((_, y, inverse)) = self.pairs.back() {
            scale(&mut q, 1.0 / (inverse * dot(y, y)));
        }
        for ((s, y, inverse), a) in self.pairs.iter().zip(along.into_iter().rev()) {
            let b = inverse * dot(y, &q);
            add_scaled(&mut q, a - b, s);
        }
        scale(&mut q, -1.0);
        q
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_minimum_of_rosenbrocks_valley() {
        let config = LbfgsConfig { tolerance: 1e-9, ..LbfgsConfig::default() };
        let found = lbfgs(&[-1.2, 1.0], &config, |x| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        });
        let found = found.unwrap();
        assert!(found.converged && found.steps < 60, "{found:?}");
        assert!((found.point[0] - 1.0).abs() < 1e-8 && (found.point[1] - 1.0).abs() < 1e-8);
    }

    #[test]
    fn an_ill_conditioned_quadratic_takes_as_long_as_elsewhere() {
        let n = 50;
        let weight = |i: usize| 10f64.powf(4.0 * i as f64 / 49.0);
        let mut evaluations = 0;
        let found = lbfgs(&vec![1.0; n], &LbfgsConfig::default(), |x| {
            evaluations += 1;
            let gradient: Vec<f64> = x.iter().enumerate().map(|(i, x)| weight(i) * x).collect();
            Ok((0.5 * dot(x, &gradient), gradient))
        })
        .unwrap();
        // SciPy's L-BFGS-B takes 734 evaluations with the same memory.
        assert!(found.converged && evaluations < 800, "{evaluations}");
        assert!(found.value < 1e-9);
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        let flat = |x: &[f64]| Ok((0.0, vec![0.0; x.len()]));
        assert!(lbfgs(&[1.0], &LbfgsConfig { memory: 0, ..Default::default() }, flat).is_err());
        let config = LbfgsConfig { tolerance: 0.0, ..Default::default() };
        assert!(lbfgs(&[1.0], &config, flat).is_err());
        let config = LbfgsConfig::default();
        assert!(lbfgs(&[1.0], &config, |_| Ok((f64::NAN, vec![1.0]))).is_err());
        // A gradient that lies: no length decreases the value.
        let stuck = lbfgs(&[1.0], &config, |_| Ok((1.0, vec![1.0]))).unwrap();
        assert!(!stuck.converged && stuck.steps == 0);
    }
}
