//! The set of perturbations that a sharpness looks at.

use crate::MethodError;
use crate::common::{Filters, Objective, vector};
use thalweg_nn::{Parameters, Weights};

/// How the length of a perturbation is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Norm {
    /// The Euclidean norm.
    #[default]
    L2,
    /// The largest absolute element.
    LInf,
}

/// In which units each weight is perturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// All in the same.
    #[default]
    None,
    /// Each by its own absolute value: one that is zero does not move.
    Elementwise,
    /// Each by the norm of its filter: an output unit with its whole fan-in; biases and the factors
    /// and summands of normalisation by their own absolute values.
    Filter,
}

/// `|u|_p <= rho` in the units of each weight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ball {
    pub(super) norm: Norm,
    pub(super) rho: f64,
    /// The unit of each weight.
    pub(super) scale: Vec<f64>,
}

impl Ball {
    /// # Errors
    /// Weights that are not those of the objective.
    pub(super) fn new(
        objective: &dyn Objective,
        point: &Weights,
        norm: Norm,
        scaling: Scaling,
        rho: f64,
    ) -> Result<Ball, MethodError> {
        Ok(Ball { norm, rho, scale: scale(objective, &point.parameters, scaling)? })
    }

    /// The step `u` of length `length` that raises a function with this gradient by the weights the
    /// most, to first order; zero where the gradient is.
    pub(super) fn steepest(&self, gradient: &[f64], length: f64) -> Vec<f64> {
        let mut along: Vec<f64> = gradient.iter().zip(&self.scale).map(|(g, c)| g * c).collect();
        match self.norm {
            Norm::L2 => {
                let norm = vector::norm(&along);
                if norm > 0.0 {
                    vector::scale(&mut along, length / norm);
                }
            }
            Norm::LInf => along.iter_mut().for_each(|x| {
                *x = if *x == 0.0 { 0.0 } else { length * x.signum() };
            }),
        }
        along
    }

    /// The nearest `u` of the ball.
    pub(super) fn project(&self, u: &mut [f64]) {
        match self.norm {
            Norm::L2 => {
                let norm = vector::norm(u);
                if norm > self.rho {
                    vector::scale(u, self.rho / norm);
                }
            }
            Norm::LInf => u.iter_mut().for_each(|x| *x = x.clamp(-self.rho, self.rho)),
        }
    }

    /// The perturbation of the weights that `u` stands for.
    pub(super) fn perturbation(&self, u: &[f64]) -> Vec<f64> {
        u.iter().zip(&self.scale).map(|(u, c)| u * c).collect()
    }
}

/// The unit of each weight.
pub(super) fn scale(
    objective: &dyn Objective,
    weights: &Parameters,
    scaling: Scaling,
) -> Result<Vec<f64>, MethodError> {
    let dimension = objective.dimension();
    if weights.count() != dimension {
        let expected = format!("{dimension} weights");
        return Err(MethodError::mismatch("the point", expected, weights.count()));
    }
    let mut scale = Vec::with_capacity(dimension);
    for (parameter, array) in objective.parameters().iter().zip(weights.arrays()) {
        let values = array.to_f64_vec();
        match scaling {
            Scaling::None => scale.extend(values.iter().map(|_| 1.0)),
            Scaling::Elementwise => scale.extend(values.iter().map(|w| w.abs())),
            Scaling::Filter => {
                let filters = Filters::of(parameter);
                let norms: Vec<f64> = filters.squares(&values).into_iter().map(f64::sqrt).collect();
                scale.extend((0..values.len()).map(|i| norms[filters.group(i)]));
            }
        }
    }
    Ok(scale)
}

/// Refuses a radius that is none.
pub(super) fn check_radius(rho: f64) -> Result<(), MethodError> {
    match rho > 0.0 && rho.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("rho", "a positive number", rho)),
    }
}

/// Radii that must be refused.
pub(super) const REFUSED_RADII: [f64; 4] = [0.0, -1.0, f64::NAN, f64::INFINITY];

/// Refuses no steps.
pub(super) fn check_steps(steps: usize) -> Result<(), MethodError> {
    match steps {
        0 => Err(MethodError::config("number of ascent steps", "at least 1", 0)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_graph::DType;

    #[test]
    fn steps_and_projections_are_those_of_the_norm() {
        let ball = Ball { norm: Norm::L2, rho: 0.5, scale: vec![1.0, 2.0] };
        // The gradient by u is (3, 4).
        let step = ball.steepest(&[3.0, 2.0], 0.5);
        assert!((step[0] - 0.3).abs() < 1e-15 && (step[1] - 0.4).abs() < 1e-15);
        assert_eq!(ball.perturbation(&[0.3, 0.4]), [0.3, 0.8]);
        let mut u = vec![3.0, -4.0];
        ball.project(&mut u);
        assert!((u[0] - 0.3).abs() < 1e-15 && (u[1] + 0.4).abs() < 1e-15);
        assert_eq!(ball.steepest(&[0.0, 0.0], 0.5), [0.0, 0.0]);
        let box_ = Ball { norm: Norm::LInf, ..ball };
        assert_eq!(box_.steepest(&[-3.0, 0.0], 0.5), [-0.5, 0.0]);
        let mut u = vec![3.0, -0.2];
        box_.project(&mut u);
        assert_eq!(u, [0.5, -0.2]);
    }

    #[test]
    fn units_are_weights_or_norms_of_filters() {
        // The last axis is that of output units: two filters of two weights.
        let parameters: [(&str, &[usize]); 2] = [("w", &[2, 2]), ("b", &[2])];
        let function = Function::new(DType::F64, &parameters, |_, w| w[0].sum_all());
        let point = function.point(&[3.0, 0.0, -4.0, 2.0, -0.5, 0.0]).unwrap();
        let of = |scaling| scale(&function, &point.parameters, scaling).unwrap();
        assert_eq!(of(Scaling::None), [1.0; 6]);
        assert_eq!(of(Scaling::Elementwise), [3.0, 0.0, 4.0, 2.0, 0.5, 0.0]);
        assert_eq!(of(Scaling::Filter), [5.0, 2.0, 5.0, 2.0, 0.5, 0.0]);
    }
}
