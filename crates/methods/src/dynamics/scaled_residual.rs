//! A residual network whose width and depth are scaled in stated ways.

use crate::MethodError;
use std::sync::Arc;
use thalweg_graph::Tensor;
use thalweg_nn::{
    Axis, Initializer, Layer, LayerPlace, Model, ModelPort, NetworkSize, Parameter,
    Parametrization, Role, Scope, UpdateSize,
};

/// `h^1 = W^0 x / sqrt(D)`, `h^(l+1) = h^l + a W^l phi(h^l) / sqrt(N)` for `l` from 1 to `L`, `f = W phi(h^(L+1))
/// / (gamma sqrt(N))`, with ReLU as `phi` and all weights drawn from a normal distribution of variance one.
///
/// The factors and the rates are those of [`Parametrization::of_layer`]: `a` is one, or `sqrt(L_base / L)`
/// where depth is scaled, `gamma` is constant in the parametrisation of the neural tangent kernel and
/// `gamma_0 sqrt(N / N_base)` in that of maximal update. Rates are multipliers of the model's parameters, so
/// that it is trained at the base's own rate, and all parametrisations are one at the base's size.
///
/// # Shapes    `[n, D] -> [n, outputs]`
/// # Source    Noci, Meterez, Hofmann, Orvieto, Super consistency of neural network landscapes and
/// learning rate transfer, 2024, arXiv 2402.17457; Bordelon, Noci, Li, Hanin, Pehlevan, Depthwise
/// hyperparameter transfer in residual networks, 2023, arXiv 2309.16620
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledResidual {
    /// Width and depth, beside those of the base.
    pub size: NetworkSize,
    /// Outputs.
    pub outputs: usize,
    /// Whether there are skips; without them no layer is scaled by depth.
    pub skips: bool,
    /// How it is scaled.
    pub parametrization: Parametrization,
    /// What its updates are in proportion to.
    pub updates: UpdateSize,
}

impl Layer for ScaledResidual {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let inputs = x.shape().last().copied().unwrap_or(1);
        let width = self.size.width;
        let layer = |x: Tensor<'b>, name: &str, place: LayerPlace, [from, to]: [usize; 2]| {
            let scale = self.parametrization.of_layer(place, from.max(1), &self.size, self.updates);
            let axes = [Axis::Input, Axis::Output];
            let normal = Initializer::Normal { standard_deviation: 1.0 };
            let mut weight = Parameter::new(name, &[from, to], Role::Weight, &axes, normal);
            weight.multipliers.learning_rate = scale.learning_rate;
            // On the product, which is smaller than the weight where layers are wide.
            x.matmul(scope.parameter(weight)) * scale.forward
        };
        let mut h = layer(x, "input.weight", LayerPlace::Input, [inputs, width]);
        let place = if self.skips { LayerPlace::Branch } else { LayerPlace::Hidden };
        for i in 1..=self.size.depth {
            let added = layer(h.relu(), &format!("layer{i}.weight"), place, [width, width]);
            h = if self.skips { h + added } else { added };
        }
        layer(h.relu(), "output.weight", LayerPlace::Output, [width, self.outputs])
    }
}

impl ScaledResidual {
    /// `gamma`: see [`Parametrization::gamma`].
    pub fn gamma(&self) -> f64 {
        self.parametrization.gamma(&self.size)
    }

    /// The model for inputs of so many elements.
    ///
    /// # Errors
    /// No units, outputs or inputs, here or in the base; a `gamma_0` that is not positive.
    pub fn model(&self, inputs: usize) -> Result<Model, MethodError> {
        let NetworkSize { width, base_width, base_depth, gamma, .. } = self.size;
        if width == 0 || self.outputs == 0 || inputs == 0 {
            let got = format!("{width}, {} and {inputs}", self.outputs);
            return Err(MethodError::config("units, outputs and inputs", "at least 1 each", got));
        }
        if base_width == 0 || base_depth == Some(0) {
            let expected = "at least 1 unit and layer";
            return Err(MethodError::config("size of the base", expected, 0));
        }
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(MethodError::config("gamma", "a positive number", gamma));
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

    fn network(width: usize, depth: usize, parametrization: Parametrization) -> ScaledResidual {
        let size = NetworkSize { width, base_width: 32, depth, base_depth: Some(1), gamma: 1.0 };
        let updates = UpdateSize::Gradient;
        ScaledResidual { size, outputs: 10, skips: true, parametrization, updates }
    }

    fn inputs() -> Array {
        let stream = thalweg_data::Stream::new(0, "inputs");
        let x: Vec<f64> = (0..8 * 16).map(|i| stream.normal(i)).collect();
        Array::from_slice(&[8, 16], &x).unwrap()
    }

    /// The logarithm of the outputs' deviation at the start, over eight seeds.
    fn spread(network: &ScaledResidual, x: &Array) -> f64 {
        let all: Vec<f64> = (0..8).flat_map(|seed| outputs(network, x, seed)).collect();
        0.5 * (all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64).ln()
    }

    #[test]
    fn outputs_shrink_with_the_width_under_maximal_update_alone() {
        let x = inputs();
        let slope = |parametrization: Parametrization| {
            let widths = [32usize, 64, 128, 256];
            let logs = widths.map(|width| (width as f64).ln());
            let spreads = widths.map(|width| spread(&network(width, 3, parametrization), &x));
            fit_line(&logs, &spreads).unwrap().slope
        };
        let maximal = slope(Parametrization::MaximalUpdate);
        assert!((maximal + 0.5).abs() < 0.1, "{maximal}");
        let tangent = slope(Parametrization::NeuralTangent);
        assert!(tangent.abs() < 0.1, "{tangent}");
    }

    #[test]
    fn outputs_do_not_grow_with_the_depth_that_is_scaled() {
        let x = inputs();
        let slope = |base_depth: Option<usize>| {
            let depths = [2usize, 8, 32];
            let of = |depth: usize| {
                let mut network = network(64, depth, Parametrization::MaximalUpdate);
                network.size.base_depth = base_depth;
                spread(&network, &x)
            };
            fit_line(&depths.map(|depth| (depth as f64).ln()), &depths.map(of)).unwrap().slope
        };
        // Without the factor each layer adds half of the variance that comes in.
        assert!(
            slope(Some(1)).abs() < 0.1 && slope(None) > 1.0,
            "{} {}",
            slope(Some(1)),
            slope(None)
        );
    }

    #[test]
    fn at_the_base_all_parametrisations_are_one() {
        for updates in [UpdateSize::Gradient, UpdateSize::Normalized] {
            let of = |parametrization| {
                let network = ScaledResidual { updates, ..network(32, 1, parametrization) };
                let model = network.model(16).unwrap();
                (model.parameters().to_vec(), outputs(&network, &inputs(), 0))
            };
            let standard = of(Parametrization::Standard);
            assert_eq!(of(Parametrization::NeuralTangent), standard);
            assert_eq!(of(Parametrization::MaximalUpdate), standard);
        }
    }

    #[test]
    fn rates_are_those_of_the_parametrisation() {
        let rates = |network: ScaledResidual| -> Vec<f64> {
            let model = network.model(16).unwrap();
            model.parameters().iter().map(|p| p.multipliers.learning_rate).collect()
        };
        let maximal = network(128, 4, Parametrization::MaximalUpdate);
        assert_eq!(rates(maximal), [4.0; 6]);
        assert_eq!(maximal.gamma(), 2.0);
        let adam = ScaledResidual { updates: UpdateSize::Normalized, ..maximal };
        // In hidden layers 1 / sqrt(N), and 1 / sqrt(L) of as many.
        assert_eq!(rates(adam), [1.0, 0.25, 0.25, 0.25, 0.25, 1.0]);
        assert_eq!(rates(network(128, 2, Parametrization::NeuralTangent)), [1.0; 4]);
    }

    #[test]
    fn one_unit_by_hand() {
        // h = 2 * 3 / sqrt(1) = 6, then 6 + 6 / sqrt(2) * 0.5 of two layers, and so on.
        let mut network = network(1, 2, Parametrization::NeuralTangent);
        (network.outputs, network.size.gamma) = (1, 4.0);
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
        let refused = |change: fn(&mut ScaledResidual)| {
            let mut network = network;
            change(&mut network);
            network.model(1).is_err()
        };
        assert!(refused(|network| network.size.gamma = 0.0));
        assert!(refused(|network| network.size.width = 0));
        assert!(refused(|network| network.size.base_width = 0));
        assert!(refused(|network| network.size.base_depth = Some(0)));
    }
}
