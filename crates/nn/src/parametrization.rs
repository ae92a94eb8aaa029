//! How initial weights and learning rates change with the width of a network.

use crate::error::NnError;
use crate::model::Model;
use crate::parameter::{Axis, Multipliers, Parameter};

/// What stays as it is when a network gets wider, beside a base network in which it was tuned.
///
/// Widths are found by comparing parameters of one name: `r_in` is by how much the extents of its
/// input axes, together, are larger than the base's, `r_out` the same of its outputs. At the base's
/// own width every parametrisation is the plain network.
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
}
