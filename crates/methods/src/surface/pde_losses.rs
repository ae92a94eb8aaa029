//! Losses whose minimum is the solution of Poisson's equation.

use crate::MethodError;
use crate::common::derived_model;
use std::fmt;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_graph::Tensor;
use thalweg_nn::{Model, ModelPort};
use thalweg_transform::jvp;

/// The right side of an equation as a traced function of points: `[n, dimensions] -> [n]`.
pub type Source = dyn for<'b> Fn(Tensor<'b>) -> Tensor<'b> + Send + Sync;

/// `-laplacian u = g` on the unit cube, `u = 0` on its boundary, for a network in place of `u`.
#[derive(Clone)]
pub struct Poisson {
    /// Dimensions of the cube.
    pub dimensions: usize,
    /// `g`.
    pub source: Arc<Source>,
    /// How the network is held to the boundary.
    pub boundary: Boundary,
}

/// How a network is held to zero on the boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Boundary {
    /// Exactly: the candidate is the network times `prod x_i (1 - x_i)`.
    #[default]
    Factor,
    /// By this factor times its square at a point of the boundary, the model's second input beside
    /// each point within.
    Penalty(f64),
}

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PdeLoss {
    /// The energy: `|grad u|^2 / 2 - g u`.
    DeepRitz,
    /// The squared residual: `(laplacian u + g)^2`.
    DeepGalerkin,
}

impl PdeLoss {
    /// Both.
    pub const ALL: [PdeLoss; 2] = [PdeLoss::DeepRitz, PdeLoss::DeepGalerkin];

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            PdeLoss::DeepRitz => "deep Ritz",
            PdeLoss::DeepGalerkin => "deep Galerkin",
        }
    }
}

impl fmt::Display for PdeLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Poisson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Poisson");
        shown.field("dimensions", &self.dimensions).field("boundary", &self.boundary);
        shown.finish_non_exhaustive()
    }
}

impl Poisson {
    /// With a given right side, the boundary held exactly.
    pub fn new(
        dimensions: usize,
        source: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b> + Send + Sync + 'static,
    ) -> Poisson {
        Poisson { dimensions, source: Arc::new(source), boundary: Boundary::default() }
    }

    /// With the solution `u = prod sin(pi x_i)`.
    pub fn sines(dimensions: usize) -> Poisson {
        Poisson::new(dimensions, move |x| {
            let pi = std::f64::consts::PI;
            product((x * pi).sin()) * (pi * pi * dimensions as f64)
        })
    }

    /// The candidate solution that a network stands for, `[n, 1]`.
    ///
    /// # Errors
    /// A network that is no scalar function of points, or has running statistics.
    pub fn candidate(&self, network: &Model) -> Result<Model, MethodError> {
        self.check(network)?;
        let boundary = self.boundary;
        derived_model(network, vec![self.port("x")], &["u"], move |f, x| {
            vec![held(boundary, f.output(x), x[0]).expand(1)]
        })
    }

    /// The loss at each point, `[n, 1]`, with the network's own weights: a model whose output is to
    /// be minimised (see [`crate::common::output_as_loss`]).
    ///
    /// Its mean over points is a Monte-Carlo estimate of the integral if they are drawn, a quadrature
    /// if they lie on a grid. Derivatives by `x` are forward derivatives along each axis, so a loss
    /// costs about as many passes as there are dimensions.
    ///
    /// # Errors
    /// As [`Poisson::candidate`].
    /// # Source    E, Yu, The deep Ritz method, 2018; Sirignano, Spiliopoulos, DGM, 2018; both under
    /// one roof in Wu et al. 2021, arXiv 2103.11069
    pub fn loss(&self, network: &Model, loss: PdeLoss) -> Result<Model, MethodError> {
        self.check(network)?;
        let Poisson { dimensions, source, boundary } = self.clone();
        let mut ports = vec![self.port("x")];
        if matches!(boundary, Boundary::Penalty(_)) {
            ports.push(self.port("boundary"));
        }
        derived_model(network, ports, &["loss"], move |f, points| {
            let x = points[0];
            let u = held(boundary, f.output(&points[..1]), x);
            let zero = u.zeros_like();
            let (mut slopes, mut laplacian) = (zero, zero);
            for axis in 0..dimensions {
                let mut unit = vec![0.0; dimensions];
                unit[axis] = 1.0;
                let unit = f.builder().constant(Array::vector(&unit).convert(x.dtype()));
                let unit = unit.broadcast_in(&x.shape(), &[1]);
                let slope = along(u, x, unit);
                match loss {
                    PdeLoss::DeepRitz => slopes = slopes + slope.square(),
                    PdeLoss::DeepGalerkin => laplacian = laplacian + along(slope, x, unit),
                }
            }
            let g = source(x);
            let within = match loss {
                PdeLoss::DeepRitz => slopes * 0.5 - g * u,
                PdeLoss::DeepGalerkin => (laplacian + g).square(),
            };
            let total = match boundary {
                Boundary::Factor => within,
                Boundary::Penalty(factor) => {
                    let outside = f.output(&points[1..]);
                    within + outside.square().sum(&[1]) * factor
                }
            };
            vec![total.expand(1)]
        })
    }

    fn port(&self, name: &str) -> ModelPort {
        ModelPort::float(name, &[self.dimensions])
    }

    fn check(&self, network: &Model) -> Result<(), MethodError> {
        let shapes = |ports: &[ModelPort]| -> Vec<Vec<usize>> {
            ports.iter().map(|port| port.shape.clone()).collect()
        };
        let (inputs, outputs) = (shapes(network.inputs()), shapes(network.outputs()));
        if self.dimensions == 0 {
            return Err(MethodError::config("dimensions of the cube", "at least 1", 0));
        }
        if inputs != [vec![self.dimensions]] || outputs.first() != Some(&vec![1]) {
            let expected = format!("[{}] to [1]", self.dimensions);
            let got = format!("{inputs:?} to {outputs:?}");
            return Err(MethodError::mismatch("network of a solution", expected, got));
        }
        Ok(())
    }
}

/// The derivative of `y` by `x` along a direction.
fn along<'b>(y: Tensor<'b>, x: Tensor<'b>, direction: Tensor<'b>) -> Tensor<'b> {
    jvp(&[y], &[x], &[direction]).tangents[0].unwrap_or_else(|| y.zeros_like())
}

/// The candidate `[n]` of outputs `[n, 1]` at points `[n, dimensions]`.
fn held<'b>(boundary: Boundary, output: Tensor<'b>, x: Tensor<'b>) -> Tensor<'b> {
    let output = output.sum(&[1]);
    match boundary {
        Boundary::Factor => output * product(x * (1.0 - x)),
        Boundary::Penalty(_) => output,
    }
}

/// `[n, k] -> [n]`.
fn product(x: Tensor<'_>) -> Tensor<'_> {
    let columns = x.shape().last().copied().unwrap_or(0);
    let first = x.index(1, 0);
    (1..columns).fold(first, |product, column| product * x.index(1, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::output_as_loss;
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use std::slice::from_ref;
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Weights};
    use thalweg_train::initialize;

    /// The mean of a model's output over points, with given numbers as weights.
    fn mean(model: &Model, weights: &[f64], points: &[Vec<f64>]) -> f64 {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let drawn = initialize(model, 0, DType::F64).unwrap();
        let parameters = drawn.parameters.unflatten(weights).unwrap();
        let point = Weights { parameters, buffers: drawn.buffers };
        let dimensions = model.inputs()[0].shape[0];
        let n = points[0].len() / dimensions;
        let arrays: Vec<Array> =
            points.iter().map(|p| Array::from_slice(&[n, dimensions], p).unwrap()).collect();
        let (loss, targets) = output_as_loss(n, DType::F64);
        let config = ObjectiveConfig::default();
        let objective =
            ModelObjective::from_arrays(&ctx, model, loss, arrays, targets, false, &config);
        evaluate(&ctx, &objective.unwrap(), &point).unwrap().loss
    }

    fn linear(dimensions: usize) -> Model {
        "linear".parse::<Architecture>().unwrap().build(&[dimensions], 1).unwrap()
    }

    /// `-laplacian u = g` for `u = x (1 - x)` times that of the other coordinates.
    fn bubble(dimensions: usize) -> Poisson {
        Poisson::new(dimensions, move |x| {
            let bubbles = x * (1.0 - x);
            let other = |i: usize| {
                let rest = (0..dimensions).filter(|&j| j != i).map(|j| bubbles.index(1, j));
                rest.fold(bubbles.index(1, i) * 0.0 + 2.0, |a, b| a * b)
            };
            (1..dimensions).fold(other(0), |sum, i| sum + other(i))
        })
    }

    #[test]
    fn the_residual_of_a_solution_is_zero_and_its_energy_known() {
        let n = 200;
        let middles: Vec<f64> = (0..n).map(|i| (f64::from(i) + 0.5) / f64::from(n)).collect();
        let problem = bubble(1);
        let [ritz, galerkin] = PdeLoss::ALL.map(|loss| problem.loss(&linear(1), loss).unwrap());
        // The network is the constant 1: u = x (1 - x).
        assert!(mean(&galerkin, &[0.0, 1.0], from_ref(&middles)) < 1e-24);
        // Energy: integral of (1 - 2x)^2 / 2 - 2 x (1 - x) = 1/6 - 1/3.
        let energy = mean(&ritz, &[0.0, 1.0], from_ref(&middles));
        assert!((energy + 1.0 / 6.0).abs() < 1e-4, "{energy}");
        // With u = a x^2 (1 - x): laplacian a (2 - 6x), residual a (2 - 6x) + 2.
        let x = 0.3f64;
        let a = 0.7;
        let off = mean(&galerkin, &[a, 0.0], &[vec![x]]);
        assert!((off - (a * (2.0 - 6.0 * x) + 2.0).powi(2)).abs() < 1e-12, "{off}");
        let grid: Vec<f64> =
            (0..400).flat_map(|i| [middles[i % 20 * 10 + 5], middles[i / 20 * 10 + 5]]).collect();
        let two = bubble(2).loss(&linear(2), PdeLoss::DeepGalerkin).unwrap();
        assert!(mean(&two, &[0.0, 0.0, 1.0], from_ref(&grid)) < 1e-24);
        assert!(mean(&two, &[0.0, 0.0, 2.0], &[grid]) > 1e-2);
    }

    #[test]
    fn sines_solve_their_own_equation() {
        // At the middle of the cube g = dimensions pi^2, which the residual of u = 0 shows.
        let problem = Poisson::sines(3);
        let galerkin = problem.loss(&linear(3), PdeLoss::DeepGalerkin).unwrap();
        let found = mean(&galerkin, &[0.0; 4], &[vec![0.5; 3]]);
        let expected = (3.0 * std::f64::consts::PI.powi(2)).powi(2);
        assert!((found - expected).abs() < 1e-9 * expected);
    }

    #[test]
    fn a_penalty_counts_what_is_left_on_the_boundary() {
        let problem = Poisson { boundary: Boundary::Penalty(10.0), ..bubble(1) };
        let ritz = problem.loss(&linear(1), PdeLoss::DeepRitz).unwrap();
        // u = a x + b: energy a^2 / 2 - 2 u within, 10 u^2 outside.
        let (a, b) = (0.5, 0.2);
        let found = mean(&ritz, &[a, b], &[vec![0.25], vec![1.0]]);
        let expected = a * a / 2.0 - 2.0 * (a * 0.25 + b) + 10.0 * (a + b) * (a + b);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        let candidate = problem.candidate(&linear(1)).unwrap();
        assert!((mean(&candidate, &[a, b], &[vec![0.25]]) - 0.325).abs() < 1e-12);
    }

    #[test]
    fn a_network_of_other_points_is_refused() {
        let error = Poisson::sines(2).loss(&linear(3), PdeLoss::DeepRitz).unwrap_err();
        assert!(error.to_string().contains("expected [2] to [1]"), "{error}");
    }
}
