//! A residual network whose width and depth are scaled in stated ways.

use crate::MethodError;
use std::sync::Arc;
use thalweg_graph::Tensor;
use thalweg_nn::{Axis, Initializer, Layer, Model, ModelPort, Parameter, Role, Scope};

/// `h^1 = W^0 x / sqrt(D)`, `h^(l+1) = h^l + a W^l phi(h^l) / sqrt(N)` for `l` from 1 to `L`, `f = W phi(h^(L+1))
/// / (gamma sqrt(N))`, with ReLU as `phi`, all weights drawn from a normal distribution of variance one,
/// and `a` one, or `1 / sqrt(L)` where depth is scaled.
///
/// At a constant `gamma` it is in the parametrisation of the neural tangent kernel. With `gamma =
/// gamma_0 sqrt(N / N_base)` it is in that of maximal update, and with depth scaled in its extension
/// to depth; gradient descent's rate is then `rate gamma^2`. So both are one at `N_base`.
///
/// # Shapes    `[n, D] -> [n, outputs]`
/// # Source    Noci, Meterez, Hofmann, Orvieto, Super consistency of neural network landscapes and
/// learning rate transfer, 2024, arXiv 2402.17457; Bordelon, Noci, Li, Hanin, Pehlevan, Depthwise
/// hyperparameter transfer in residual networks, 2023, arXiv 2309.16620
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledResidual {
    /// Units `N` of every layer.
    pub width: usize,
    /// Residual layers `L`.
    pub depth: usize,
    /// Outputs.
    pub outputs: usize,
    /// `gamma`.
    pub gamma: f64,
    /// Whether there are skips; without them no layer is scaled by depth.
    pub skips: bool,
    /// Whether residual layers are scaled by `1 / sqrt(L)`.
    pub scales_depth: bool,
}

impl Layer for ScaledResidual {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = x.shape().last().copied().unwrap_or(1);
        let weight = |name: &str, from: usize, to: usize| {
            let axes = [Axis::Input, Axis::Output];
            let normal = Initializer::Normal { standard_deviation: 1.0 };
            scope.parameter(Parameter::new(name, &[from, to], Role::Weight, &axes, normal))
        };
        let per_unit = 1.0 / (self.width as f64).sqrt();
        let branch = match self.skips && self.scales_depth {
            true => per_unit / (self.depth.max(1) as f64).sqrt(),
            false => per_unit,
        };
        let first = weight("input.weight", inputs, self.width);
        let mut h = x.matmul(first) * (1.0 / (inputs.max(1) as f64).sqrt());
        for layer in 1..=self.depth {
            let w = weight(&format!("layer{layer}.weight"), self.width, self.width);
            let added = h.relu().matmul(w) * branch;
            h = if self.skips { h + added } else { added };
        }
        let last = weight("output.weight", self.width, self.outputs);
        h.relu().matmul(last) * (per_unit / self.gamma)
    }
}

impl ScaledResidual {
    /// The model for inputs of so many elements.
    ///
    /// # Errors
    /// No units, outputs or inputs; a gamma that is not positive.
    pub fn model(&self, inputs: usize) -> Result<Model, MethodError> {
        if self.width == 0 || self.outputs == 0 || inputs == 0 {
            let got = format!("{}, {} and {inputs}", self.width, self.outputs);
            return Err(MethodError::config("units, outputs and inputs", "at least 1 each", got));
        }
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            return Err(MethodError::config("gamma", "a positive number", self.gamma));
        }
        let port = ModelPort::float("input", &[inputs]);
        Ok(Model::new(Arc::new(*self), vec![port], &["output"])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::Mode;
    use thalweg_stats::fit_line;
    use thalweg_train::initialize;

    /// The outputs for some inputs at the initial weights of a seed.
    fn outputs(network: &ScaledResidual, x: &Array, seed: u64) -> Vec<f64> {
        let model = network.model(x.shape()[1]).unwrap();
        let weights = initialize(&model, seed, DType::F64).unwrap();
        let b = thalweg_graph::Builder::new(DType::F64);
        let parameters: Vec<_> =
            weights.parameters.arrays().iter().map(|array| b.constant(array.clone())).collect();
        let input = b.constant(x.clone());
        let applied = model.apply_to_all(&b, &parameters, &[], &[input], &Mode::EVALUATE);
        let graph = b.finish(&[("output", applied.output)]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        program.run(Vec::new()).unwrap()[0].to_f64_vec()
    }

    fn network(width: usize, gamma: f64) -> ScaledResidual {
        ScaledResidual { width, depth: 3, outputs: 10, gamma, skips: true, scales_depth: true }
    }

    #[test]
    fn outputs_shrink_with_the_width_under_maximal_update_alone() {
        let stream = thalweg_data::Stream::new(0, "inputs");
        let x: Vec<f64> = (0..8 * 16).map(|i| stream.normal(i)).collect();
        let x = Array::from_slice(&[8, 16], &x).unwrap();
        let slope = |gamma: &dyn Fn(usize) -> f64| {
            let widths = [32usize, 64, 128, 256];
            let spread = |width: usize| {
                let all: Vec<f64> = (0..8)
                    .flat_map(|seed| outputs(&network(width, gamma(width)), &x, seed))
                    .collect();
                let square = all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64;
                0.5 * square.ln()
            };
            let logs = widths.map(|width| (width as f64).ln());
            fit_line(&logs, &widths.map(spread)).unwrap().slope
        };
        let maximal = slope(&|width| (width as f64 / 32.0).sqrt());
        assert!((maximal + 0.5).abs() < 0.1, "{maximal}");
        let tangent = slope(&|_| 1.0);
        assert!(tangent.abs() < 0.1, "{tangent}");
    }

    #[test]
    fn one_unit_by_hand() {
        // h = 2 * 3 / sqrt(1) = 6, then 6 + 6 / sqrt(2) * 0.5 of two layers, and so on.
        let network = ScaledResidual {
            width: 1,
            depth: 2,
            outputs: 1,
            gamma: 4.0,
            skips: true,
            scales_depth: true,
        };
        let model = network.model(1).unwrap();
        assert_eq!(model.parameter_count(), 4);
        let b = thalweg_graph::Builder::new(DType::F64);
        let scalar = |x: f64| b.constant(Array::from_slice(&[1, 1], &[x]).unwrap());
        let parameters = [scalar(2.0), scalar(0.5), scalar(-1.0), scalar(3.0)];
        let applied = model.apply_to_all(&b, &parameters, &[], &[scalar(3.0)], &Mode::EVALUATE);
        let graph = b.finish(&[("output", applied.output)]).unwrap();
        let found = Executor::new(1).compile(&graph).unwrap().run(Vec::new()).unwrap();
        let root = f64::sqrt(0.5);
        let h = 6.0 + 6.0 * 0.5 * root;
        let expected = (h - h * root) * 3.0 / 4.0;
        assert!((found[0].to_f64_vec()[0] - expected).abs() < 1e-12);
        assert!(ScaledResidual { gamma: 0.0, ..network }.model(1).is_err());
        assert!(ScaledResidual { width: 0, ..network }.model(1).is_err());
    }
}
