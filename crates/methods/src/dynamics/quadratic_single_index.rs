//! A network that can be lazy or rich, on a task whose population loss is known.

use crate::MethodError;
use crate::common::{symmetric_eigen, vector};
use std::sync::Arc;
use thalweg_data::Stream;
use thalweg_graph::Tensor;
use thalweg_nn::{Axis, Initializer, Layer, Model, ModelPort, Parameter, Role, Scope};

/// Gaussian inputs with a quadratic of one direction as target: `x ~ N(0, I / D)`,
/// `y = (beta . x)^2 / 2` with `beta ~ N(0, I)`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuadraticSingleIndex {
    /// The direction.
    pub beta: Vec<f64>,
    /// The inputs.
    pub inputs: Vec<Vec<f64>>,
    /// The targets.
    pub targets: Vec<f64>,
}

impl QuadraticSingleIndex {
    /// `examples` draws in `dimensions`; the first ones are the same whatever their number.
    pub fn new(dimensions: usize, examples: usize, stream: &Stream) -> QuadraticSingleIndex {
        let normals = |stream: Stream| -> Vec<f64> {
            (0..dimensions as u64).map(|i| stream.normal(i)).collect()
        };
        let beta = normals(stream.child("beta"));
        let draws = stream.child("inputs");
        let shrink = 1.0 / (dimensions as f64).sqrt();
        let input = |i: usize| -> Vec<f64> {
            normals(draws.at(i as u64)).into_iter().map(|x| x * shrink).collect()
        };
        let inputs: Vec<Vec<f64>> = (0..examples).map(input).collect();
        let targets = inputs.iter().map(|x| 0.5 * vector::dot(&beta, x).powi(2)).collect();
        QuadraticSingleIndex { beta, inputs, targets }
    }

    /// The variance of the target over the population, `(|beta|^2 / D)^2 / 2`.
    pub fn variance(&self) -> f64 {
        0.5 * (vector::dot(&self.beta, &self.beta) / self.beta.len() as f64).powi(2)
    }
}

/// `f(x) = alpha / N sum over i of h_i + epsilon h_i^2 / 2` with `h_i = w_i . x`: read-outs are fixed,
/// weights begin standard normal.
///
/// Large `alpha` makes training lazy: the output moves far while weights hardly do. Small `epsilon`
/// leaves little of the first tangent kernel to quadratic functions.
///
/// # Source    Kumar, Bordelon, Gershman, Pehlevan, Grokking as the transition from lazy to rich
/// training dynamics, 2023, arXiv 2310.06110
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LazyNetwork {
    /// Units `N`.
    pub units: usize,
    /// Share of the quadratic.
    pub epsilon: f64,
    /// Scale of the output.
    pub alpha: f64,
}

impl Layer for LazyNetwork {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = x.shape().last().copied().unwrap_or(1);
        let (shape, axes) = ([inputs, self.units], [Axis::Input, Axis::Output]);
        let normal = Initializer::Normal { standard_deviation: 1.0 };
        let h = x.matmul(scope.parameter(Parameter::new("w", &shape, Role::Weight, &axes, normal)));
        let y = (h + h.square() * (0.5 * self.epsilon)).mean(&[1]) * self.alpha;
        y.expand(1)
    }
}

impl LazyNetwork {
    /// The model for inputs of so many dimensions.
    ///
    /// # Errors
    /// No units or no dimensions.
    pub fn model(&self, dimensions: usize) -> Result<Model, MethodError> {
        if self.units == 0 || dimensions == 0 {
            return Err(MethodError::config("units and dimensions", "at least 1 each", 0));
        }
        let port = ModelPort::float("input", &[dimensions]);
        Ok(Model::new(Arc::new(*self), vec![port], &["output"])?)
    }

    /// The mean squared error over the whole population, in closed form: the sum of its
    /// [`PopulationTerms`].
    pub fn population_loss(&self, weights: &[f64], beta: &[f64]) -> f64 {
        let PopulationTerms { mean, trace, alignment } = self.population_terms(weights, beta);
        mean + trace + alignment
    }

    /// What the mean squared error over the whole population is made of: all that it depends on are the
    /// mean of the weights and that of their outer products.
    ///
    /// With `m` the mean of the weights, `M = 1/N sum of w_i w_i^T` and `A = alpha epsilon M - beta
    /// beta^T`: `|alpha m|^2 / D + (|A|_F^2 / 2 + (tr A)^2 / 4) / D^2`, from the moments of Gaussian
    /// inputs. Not finite for a network without units.
    ///
    /// # Shapes    weights `[D, N]`, row by row
    pub fn population_terms(&self, weights: &[f64], beta: &[f64]) -> PopulationTerms {
        let (d, n) = (beta.len(), self.units);
        let rows: Vec<&[f64]> = weights.chunks_exact(n.max(1)).collect();
        let of_rows = |i: usize, j: usize| vector::dot(rows[i], rows[j]) / n as f64;
        let mut linear = 0.0;
        let (mut squares, mut trace) = (0.0, 0.0);
        for i in 0..d.min(rows.len()) {
            linear += (self.alpha * rows[i].iter().sum::<f64>() / n as f64).powi(2);
            for j in 0..=i {
                let a = self.alpha * self.epsilon * of_rows(i, j) - beta[i] * beta[j];
                squares += if i == j { a * a } else { 2.0 * a * a };
                trace += if i == j { a } else { 0.0 };
            }
        }
        let d = d as f64;
        PopulationTerms {
            mean: linear / d,
            trace: 0.25 * trace * trace / (d * d),
            alignment: 0.5 * squares / (d * d),
        }
    }

    /// The output at an input; not a number for a network without units.
    pub fn output(&self, weights: &[f64], input: &[f64]) -> f64 {
        let hidden = self.hidden(weights, input);
        let sum: f64 = hidden.iter().map(|h| h + 0.5 * self.epsilon * h * h).sum();
        self.alpha * sum / self.units as f64
    }

    /// The tangent kernel between two sets of inputs, by rows of the first:
    /// `alpha^2 / N^2 sum over i of (1 + epsilon h_i)(1 + epsilon h'_i) x . x'`.
    pub fn tangent_kernel(
        &self,
        weights: &[f64],
        left: &[Vec<f64>],
        right: &[Vec<f64>],
    ) -> Vec<Vec<f64>> {
        let slopes = |inputs: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let slope = |h: f64| 1.0 + self.epsilon * h;
            let of = |x: &Vec<f64>| self.hidden(weights, x).into_iter().map(slope).collect();
            inputs.iter().map(of).collect()
        };
        let (ours, theirs) = (slopes(left), slopes(right));
        let factor = (self.alpha / self.units as f64).powi(2);
        let entry = |i: usize, j: usize| {
            factor * vector::dot(&ours[i], &theirs[j]) * vector::dot(&left[i], &right[j])
        };
        (0..left.len()).map(|i| (0..right.len()).map(|j| entry(i, j)).collect()).collect()
    }

    fn hidden(&self, weights: &[f64], input: &[f64]) -> Vec<f64> {
        let mut hidden = vec![0.0; self.units];
        for (row, x) in weights.chunks_exact(self.units.max(1)).zip(input) {
            vector::add_scaled(&mut hidden, *x, row);
        }
        hidden
    }
}

/// The parts of [`LazyNetwork::population_loss`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PopulationTerms {
    /// `|alpha m|^2 / D`: what the mean of the weights leaves of linear functions.
    pub mean: f64,
    /// `(tr A)^2 / (4 D^2)`: a wrong size of the quadratic.
    pub trace: f64,
    /// `|A|_F^2 / (2 D^2)`: weights that do not lie along the task's direction.
    pub alignment: f64,
}

/// Where gradient descent on the mean squared error takes a model that is linear in its weights:
/// coefficients `c` with which the model has moved by `K(x, X) c` at any `x`.
///
/// In the eigenvectors of the kernel the residual shrinks by `1 - 2 rate lambda / n` in each step.
///
/// # Errors
/// A kernel that is not square, or residuals of another number.
pub fn kernel_descent(
    kernel: &[Vec<f64>],
    residual: &[f64],
    rate: f64,
    steps: u64,
) -> Result<Vec<f64>, MethodError> {
    let n = residual.len();
    if kernel.len() != n || kernel.iter().any(|row| row.len() != n) {
        let expected = format!("{n} rows of {n}");
        return Err(MethodError::mismatch("a kernel", expected, kernel.len()));
    }
    let eigen = symmetric_eigen(kernel);
    let mut coefficients = vec![0.0; n];
    for (value, direction) in eigen.values.iter().zip(&eigen.vectors) {
        let step = 2.0 * rate / n as f64;
        // (1 - (1 - step value)^steps) / value, which tends to step times steps.
        let share = match value.abs() > 1e-12 * eigen.values[n - 1].abs() {
            true => (1.0 - (1.0 - step * value).powf(steps as f64)) / value,
            false => step * steps as f64,
        };
        let along = vector::dot(direction, residual);
        vector::add_scaled(&mut coefficients, share * along, direction);
    }
    Ok(coefficients)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: LazyNetwork = LazyNetwork { units: 12, epsilon: 0.25, alpha: 2.0 };

    fn weights(d: usize) -> Vec<f64> {
        let stream = Stream::new(4, "weights");
        (0..(d * NETWORK.units) as u64).map(|i| stream.normal(i)).collect()
    }

    #[test]
    fn the_population_loss_is_that_of_many_examples() {
        let data = QuadraticSingleIndex::new(5, 1_000_000, &Stream::new(1, "task"));
        let w = weights(5);
        let errors: Vec<f64> = data
            .inputs
            .iter()
            .zip(&data.targets)
            .map(|(x, y)| (NETWORK.output(&w, x) - y).powi(2))
            .collect();
        let seen = thalweg_stats::Estimate::mean(&errors).unwrap();
        let known = NETWORK.population_loss(&w, &data.beta);
        assert!((seen.value - known).abs() < 3.0 * seen.standard_error, "{seen:?} {known}");
        let spread: thalweg_stats::Moments = data.targets.iter().copied().collect();
        assert!((spread.variance().unwrap() / data.variance() - 1.0).abs() < 0.05);
    }

    #[test]
    fn the_tangent_kernel_is_that_of_derivatives() {
        let data = QuadraticSingleIndex::new(3, 4, &Stream::new(2, "task"));
        let w = weights(3);
        let gradient = |x: &[f64]| -> Vec<f64> {
            (0..w.len())
                .map(|i| {
                    let moved = |step: f64| {
                        let mut w = w.clone();
                        w[i] += step;
                        NETWORK.output(&w, x)
                    };
                    (moved(1e-5) - moved(-1e-5)) / 2e-5
                })
                .collect()
        };
        let kernel = NETWORK.tangent_kernel(&w, &data.inputs, &data.inputs);
        for (i, x) in data.inputs.iter().enumerate() {
            for (j, y) in data.inputs.iter().enumerate() {
                let expected = vector::dot(&gradient(x), &gradient(y));
                assert!((kernel[i][j] - expected).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn kernel_descent_is_descent() {
        let kernel = vec![vec![2.0, 0.5], vec![0.5, 1.0]];
        let residual = [1.0, -2.0];
        let (rate, mut moved) = (0.1, [0.0; 2]);
        let mut coefficients = [0.0; 2];
        for _ in 0..7 {
            let left = [residual[0] - moved[0], residual[1] - moved[1]];
            for i in 0..2 {
                // 2 rate / n of the residual that is left.
                coefficients[i] += rate * left[i];
            }
            for i in 0..2 {
                moved[i] = vector::dot(&kernel[i], &coefficients);
            }
        }
        let found = kernel_descent(&kernel, &residual, rate, 7).unwrap();
        for (found, expected) in found.iter().zip(coefficients) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(kernel_descent(&kernel, &[1.0], rate, 1).is_err());
    }

    #[test]
    fn the_terms_of_no_weights_are_those_of_the_targets() {
        let beta = [1.0, -2.0, 2.0];
        let found = NETWORK.population_terms(&[0.0; 36], &beta);
        // |beta|^4 = 81 over D^2 = 9.
        assert_eq!((found.mean, found.trace, found.alignment), (0.0, 2.25, 4.5));
        // All weights one: m is (1, 1, 1), and M has ones everywhere.
        let found = NETWORK.population_terms(&[1.0; 36], &[0.0; 3]);
        assert_eq!((found.mean, found.trace, found.alignment), (4.0, 0.0625, 0.125));
        let none = LazyNetwork { units: 0, ..NETWORK };
        assert!(!none.population_loss(&[1.0; 3], &beta).is_finite());
        assert!(none.output(&[1.0; 3], &beta).is_nan());
        assert_eq!(none.tangent_kernel(&[1.0; 3], &[], &[]), Vec::<Vec<f64>>::new());
        assert!(none.tangent_kernel(&[1.0; 3], &[beta.to_vec()], &[beta.to_vec()])[0][0].is_nan());
    }
}
