//! How initial weights, factors and learning rates change with the width and the depth of a network.

use crate::branch_scale::branch_factor;
use crate::error::NnError;
use crate::model::Model;
use crate::parameter::{Axis, Multipliers, Parameter};

/// What stays as it is when a network gets wider, beside a base network in which it was tuned.
///
/// `r_in` is by how much the extents of a parameter's input axes, together, are larger than the base's,
/// `r_out` the same of its outputs. At the base's own width every parametrisation is the plain network.
///
/// [`Parametrization::apply`] is for any model, of dense, convolutional or attention layers: widths are
/// found by comparing parameters of one name, and [`crate::scale_branches`] adds what depth asks for.
/// [`Parametrization::of_layer`] is the same rules for weights of variance one.
///
/// Attention has the factor `1 / sqrt(e)` of its `e` units a head whatever the parametrisation. Widened by
/// more heads of the same size it keeps it, as the rules ask; of larger heads they ask for `1 / e`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parametrization {
    /// Initial weights of variance `1 / fan-in`, one rate.
    #[default]
    Standard,
    /// Functions change at the same rate and features less and less: rates times `1 / r_in`, for
    /// Adam `1 / sqrt(r_in)`.
    ///
    /// # Source    Jacot, Gabriel, Hongler, Neural tangent kernel, 2018, arXiv 1806.07572
    NeuralTangent,
    /// Features of every width change alike: rates times `r_out / r_in`, for Adam `1 / r_in`; initial
    /// weights of layers that get narrower times `sqrt(r_out / r_in)`.
    ///
    /// # Source    Yang et al., Tensor Programs V, 2022, arXiv 2203.03466, table 3
    MaximalUpdate,
}

/// What updates are in proportion to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpdateSize {
    /// The gradient, as those of gradient descent with or without momentum.
    #[default]
    Gradient,
    /// Nothing: as large whatever the gradient, as those of Adam.
    Normalized,
}

/// The size of a residual network beside that of the base, and how far its features are to move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkSize {
    /// Units `N` of every hidden layer.
    pub width: usize,
    /// Those of the base.
    pub base_width: usize,
    /// Residual layers `L`.
    pub depth: usize,
    /// Those of the base, if branches are scaled by `1 / sqrt(L)` times its root: Depth-muP, where the
    /// widths follow [`Parametrization::MaximalUpdate`]. None: branches are added as they are.
    pub base_depth: Option<usize>,
    /// `gamma_0`, by which the base's output is divided: the larger, the more features move.
    pub gamma: f64,
}

impl NetworkSize {
    /// How much wider it is than the base; not a number where the base has no width.
    fn wider(&self) -> f64 {
        self.width as f64 / self.base_width as f64
    }

    /// The factor of a branch, beside that of the base.
    fn branch(&self) -> f64 {
        self.base_depth.map_or(1.0, |base| branch_factor(self.depth as f64 / base as f64))
    }
}

/// Where a weight of a residual network stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerPlace {
    /// Reads the network's input, whose extent does not change.
    Input,
    /// From one hidden layer to the next.
    Hidden,
    /// As [`LayerPlace::Hidden`], in a branch that is added to its own input.
    Branch,
    /// Makes the network's outputs, whose number does not change.
    Output,
}

impl Parametrization {
    /// A model with its multipliers, those of its parameters that had some kept as factors.
    ///
    /// # Errors
    /// A base of other parameters, or with other numbers of axes.
    ///
    /// # Example
    /// ```
    /// use thalweg_nn::{Architecture, Parametrization, UpdateSize};
    /// let of = |text: &str| text.parse::<Architecture>()?.build(&[64], 10);
    /// let (wide, base) = (of("mlp hidden=128-128")?, of("mlp hidden=32-32")?);
    /// let model = Parametrization::MaximalUpdate.apply(wide, &base, UpdateSize::Gradient)?;
    /// let rates: Vec<f64> = model.parameters().iter().map(|p| p.multipliers.learning_rate).collect();
    /// assert_eq!(rates, [4.0, 4.0, 1.0, 4.0, 0.25, 1.0]);
    /// # Ok::<(), thalweg_nn::NnError>(())
    /// ```
    pub fn apply(self, model: Model, base: &Model, updates: UpdateSize) -> Result<Model, NnError> {
        let (own, known) = (model.parameters(), base.parameters());
        let mut all = Vec::with_capacity(own.len());
        for (i, parameter) in own.iter().enumerate() {
            let fits = |known: &&Parameter| {
                known.name == parameter.name
                    && known.axes == parameter.axes
                    && own.len() == known_len(base)
            };
            let Some(base) = known.get(i).filter(fits) else {
                return Err(NnError::BadOption {
                    owner: "parametrization".into(),
                    option: "base".into(),
                    expected: format!("a model with the parameter {} and its axes", parameter.name),
                    got: known.get(i).map_or("none", |known| known.name.as_str()).into(),
                });
            };
            let ratio = |is: fn(&Axis) -> bool| -> f64 {
                let extents = parameter.shape.iter().zip(&base.shape).zip(&parameter.axes);
                extents
                    .filter(|(_, axis)| is(axis))
                    .map(|((a, b), _)| *a as f64 / *b as f64)
                    .product()
            };
            let inputs = ratio(|axis| matches!(axis, Axis::Input));
            let outputs = ratio(|axis| matches!(axis, Axis::Output));
            let (init, learning_rate) = self.factors(inputs, outputs, updates);
            let before = parameter.multipliers;
            all.push((
                parameter.name.clone(),
                Multipliers {
                    init: before.init * init,
                    learning_rate: before.learning_rate * learning_rate,
                    ..before
                },
            ));
        }
        Ok(model.with_multipliers(|parameter| {
            let found = all.iter().find(|(name, _)| *name == parameter.name);
            found.map_or(parameter.multipliers, |(_, multipliers)| *multipliers)
        }))
    }

    /// `gamma`, by which a network's output is divided beside the `1 / sqrt(N)` of its last layer: `gamma_0`,
    /// and under maximal update `gamma_0 sqrt(N / N_base)`.
    ///
    /// The Hessian of the weights times `gamma^2` does not depend on `gamma` but by what is learnt.
    pub fn gamma(self, size: &NetworkSize) -> f64 {
        match self {
            Parametrization::Standard | Parametrization::NeuralTangent => size.gamma,
            Parametrization::MaximalUpdate => size.gamma * size.wider().sqrt(),
        }
    }

    /// The forward factor and the rate of a layer whose weights are drawn with variance one: the rules of
    /// [`Parametrization::apply`], with what they do to initial values done in the forward pass.
    ///
    /// The forward factor is `1 / sqrt(fan-in)`, of a branch times `sqrt(L_base / L)`, of the output over
    /// [`Parametrization::gamma`]. Gradient descent's rate is `gamma^2` but for the standard one; that of normalised
    /// updates, under maximal update, `sqrt(N_base / N)` in hidden layers, in branches times `sqrt(L_base /
    /// L)`, and one in the first and the last.
    ///
    /// # Source    as [`Parametrization::MaximalUpdate`] and [`crate::scale_branches`]; Noci et al., Super consistency
    /// of neural network landscapes, 2024, arXiv 2402.17457
    ///
    /// # Example
    /// ```
    /// use thalweg_nn::{LayerPlace, NetworkSize, Parametrization, UpdateSize};
    /// let size = NetworkSize { width: 256, base_width: 64, depth: 9, base_depth: Some(1), gamma: 1.0 };
    /// let of = |place, fan_in, updates| {
    ///     let found = Parametrization::MaximalUpdate.of_layer(place, fan_in, &size, updates);
    ///     (found.forward, found.learning_rate)
    /// };
    /// assert_eq!(of(LayerPlace::Input, 16, UpdateSize::Gradient), (1.0 / 4.0, 4.0));
    /// assert_eq!(of(LayerPlace::Branch, 256, UpdateSize::Gradient), (1.0 / 16.0 / 3.0, 4.0));
    /// assert_eq!(of(LayerPlace::Output, 256, UpdateSize::Gradient), (1.0 / 16.0 / 2.0, 4.0));
    /// assert_eq!(of(LayerPlace::Branch, 256, UpdateSize::Normalized).1, 1.0 / 2.0 / 3.0);
    /// ```
    pub fn of_layer(
        self,
        place: LayerPlace,
        fan_in: usize,
        size: &NetworkSize,
        updates: UpdateSize,
    ) -> Multipliers {
        let wider = size.wider();
        let (inputs, outputs) = match place {
            LayerPlace::Input => (1.0, wider),
            LayerPlace::Hidden | LayerPlace::Branch => (wider, wider),
            LayerPlace::Output => (wider, 1.0),
        };
        let (init, rate) = self.factors(inputs, outputs, updates);
        // A weight that is drawn larger by a factor and divided by it in the forward pass is the same
        // function, and takes the same step at a rate larger by its square, or by itself of normalised
        // updates.
        let narrower = init / inputs.sqrt();
        let (rate, moved) = match updates {
            UpdateSize::Gradient => (rate / (narrower * narrower), size.gamma * size.gamma),
            UpdateSize::Normalized => (rate / narrower, 1.0),
        };
        let branch = if place == LayerPlace::Branch { size.branch() } else { 1.0 };
        let last = if place == LayerPlace::Output { size.gamma } else { 1.0 };
        let slower = if updates == UpdateSize::Normalized { branch } else { 1.0 };
        Multipliers {
            forward: init * branch / last / (fan_in as f64).sqrt(),
            learning_rate: rate * moved * slower,
            ..Multipliers::default()
        }
    }

    /// Of initial values and of the rate.
    fn factors(self, inputs: f64, outputs: f64, updates: UpdateSize) -> (f64, f64) {
        match (self, updates) {
            (Parametrization::Standard, _) => (1.0, 1.0),
            (Parametrization::NeuralTangent, UpdateSize::Gradient) => (1.0, 1.0 / inputs),
            (Parametrization::NeuralTangent, UpdateSize::Normalized) => (1.0, 1.0 / inputs.sqrt()),
            (Parametrization::MaximalUpdate, updates) => {
                let init = (outputs / inputs).sqrt().min(1.0);
                match updates {
                    UpdateSize::Gradient => (init, outputs / inputs),
                    UpdateSize::Normalized => (init, 1.0 / inputs),
                }
            }
        }
    }
}

fn known_len(model: &Model) -> usize {
    model.parameters().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;

    fn model(text: &str) -> Model {
        text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap()
    }

    #[test]
    fn at_the_base_width_nothing_changes() {
        let base = model("convnet channels=8-8");
        for updates in [UpdateSize::Gradient, UpdateSize::Normalized] {
            for parametrization in [
                Parametrization::Standard,
                Parametrization::NeuralTangent,
                Parametrization::MaximalUpdate,
            ] {
                let found = parametrization.apply(base.clone(), &base, updates).unwrap();
                assert_eq!(found.parameters(), base.parameters());
            }
        }
    }

    #[test]
    fn factors_are_those_of_the_table() {
        let (wide, base) = (model("convnet channels=32-32"), model("convnet channels=8-8"));
        let of = |updates| {
            let found = Parametrization::MaximalUpdate.apply(wide.clone(), &base, updates).unwrap();
            let weights = found.parameters().iter().filter(|p| p.name.ends_with("weight"));
            weights.map(|p| (p.multipliers.init, p.multipliers.learning_rate)).collect::<Vec<_>>()
        };
        // First layer, hidden layer, output layer.
        assert_eq!(of(UpdateSize::Gradient), [(1.0, 4.0), (1.0, 1.0), (0.5, 0.25)]);
        assert_eq!(of(UpdateSize::Normalized), [(1.0, 1.0), (1.0, 0.25), (0.5, 0.25)]);
        assert!(
            Parametrization::MaximalUpdate
                .apply(wide, &model("linear"), UpdateSize::Gradient)
                .is_err()
        );
    }

    #[test]
    fn layers_of_variance_one_follow_the_published_formulas() {
        let size =
            NetworkSize { width: 128, base_width: 32, depth: 8, base_depth: Some(2), gamma: 3.0 };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-14 * b;
        let of =
            |p: Parametrization, place, fan_in, updates| p.of_layer(place, fan_in, &size, updates);
        for (p, gamma) in
            [(Parametrization::NeuralTangent, 3.0), (Parametrization::MaximalUpdate, 3.0 * 2.0)]
        {
            assert!(close(p.gamma(&size), gamma));
            for (place, fan_in, forward) in [
                (LayerPlace::Input, 49, 1.0 / 7.0),
                (LayerPlace::Hidden, 128, 1.0 / 128f64.sqrt()),
                (LayerPlace::Branch, 128, 0.5 / 128f64.sqrt()),
                (LayerPlace::Output, 128, 1.0 / (gamma * 128f64.sqrt())),
            ] {
                let found = of(p, place, fan_in, UpdateSize::Gradient);
                assert!(close(found.forward, forward), "{p:?} {place:?} {found:?}");
                assert!(close(found.learning_rate, gamma * gamma), "{p:?} {place:?} {found:?}");
                assert_eq!((found.init, found.decay), (1.0, 1.0));
                // The forward pass does not depend on what takes the steps.
                assert_eq!(of(p, place, fan_in, UpdateSize::Normalized).forward, found.forward);
            }
        }
        for (place, rate) in [
            (LayerPlace::Input, 1.0),
            (LayerPlace::Hidden, 0.5),
            (LayerPlace::Branch, 0.25),
            (LayerPlace::Output, 1.0),
        ] {
            let found = of(Parametrization::MaximalUpdate, place, 128, UpdateSize::Normalized);
            assert!(close(found.learning_rate, rate), "{place:?} {found:?}");
        }
        let flat = NetworkSize { base_depth: None, ..size };
        let branch = |size| {
            let (place, updates) = (LayerPlace::Branch, UpdateSize::Normalized);
            Parametrization::MaximalUpdate.of_layer(place, 128, size, updates)
        };
        let hidden =
            of(Parametrization::MaximalUpdate, LayerPlace::Hidden, 128, UpdateSize::Normalized);
        assert_eq!(branch(&flat), hidden);
    }

    #[test]
    fn layers_of_variance_one_are_those_of_the_table() {
        // A layer of both conventions takes the same steps: its rate times the square of what its weights
        // are multiplied with, or times that of normalised updates.
        let (base, wide) = (model("mlp hidden=8-8"), model("mlp hidden=32-32"));
        let size = NetworkSize { width: 32, base_width: 8, depth: 1, base_depth: None, gamma: 1.0 };
        let places = [(LayerPlace::Input, 64), (LayerPlace::Hidden, 32), (LayerPlace::Output, 32)];
        for p in [
            Parametrization::Standard,
            Parametrization::NeuralTangent,
            Parametrization::MaximalUpdate,
        ] {
            for updates in [UpdateSize::Gradient, UpdateSize::Normalized] {
                let applied = p.apply(wide.clone(), &base, updates).unwrap();
                let weights = applied.parameters().iter().filter(|p| p.name.ends_with("weight"));
                for ((place, fan_in), weight) in places.iter().zip(weights) {
                    let found = p.of_layer(*place, *fan_in, &size, updates);
                    let first = if *place == LayerPlace::Input { 64.0 } else { 8.0 };
                    let forward = found.forward * f64::sqrt(first);
                    let power = if updates == UpdateSize::Gradient { 2 } else { 1 };
                    let rate = found.learning_rate * forward.powi(power);
                    let expected = weight.multipliers.learning_rate;
                    assert!((rate - expected).abs() < 1e-14, "{p:?} {updates:?} {place:?}");
                }
            }
        }
    }
}
