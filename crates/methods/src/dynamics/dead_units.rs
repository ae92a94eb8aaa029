//! Units that have nothing to say.

use crate::common::{Activation, Declared, Dissection, Objective, inside};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_graph::Tensor;
use thalweg_nn::Weights;

/// From when on a unit counts as saturated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadUnitsConfig {
    /// The largest absolute derivative of an activation that counts as none.
    pub flat: f64,
}

impl Default for DeadUnitsConfig {
    fn default() -> DeadUnitsConfig {
        DeadUnitsConfig { flat: 1e-3 }
    }
}

/// The units of one activation, in the order in which a network applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerUnits {
    /// How many there are: channels of a convolution count once.
    pub units: usize,
    /// How many of them are dead.
    pub dead: usize,
}

/// Units whose activation is flat for every example, at every place of an image and every position
/// of a sequence: a ReLU that is zero, a tanh that is saturated. No gradient goes through them.
///
/// On a sample of the examples it is an upper bound: another example may wake one.
///
/// # Errors
/// A largest derivative that is negative or not a number; a network without activations that can be
/// flat; weights of another model; those of the engine.
/// # Source    Lu, Shin, Su, Karniadakis, Dying ReLU and initialization, 2020, arXiv 1903.06733;
/// Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486
/// # Deviations    saturation is a derivative of the activation of at most 0.001, whatever the
/// activation
pub fn dead_units(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &DeadUnitsConfig,
) -> Result<Vec<LayerUnits>, MethodError> {
    if !(config.flat >= 0.0 && config.flat.is_finite()) {
        let expected = "a number that is not negative";
        return Err(MethodError::config(
            "largest derivative of a dead unit",
            expected,
            config.flat,
        ));
    }
    ctx.progress().start("dead units", objective.examples() as u64);
    // Of each activation's units the largest derivative.
    let mut largest: Vec<Vec<f64>> = Vec::new();
    inside(
        ctx,
        objective,
        point,
        |declared| largest_derivatives(objective, declared),
        |size, arrays| {
            largest.resize_with(arrays.len(), Vec::new);
            for (known, array) in largest.iter_mut().zip(arrays) {
                let found = array.to_f64_vec();
                known.resize(found.len(), 0.0);
                // What is not a number is not flat.
                let larger = |(known, found): (&mut f64, f64)| {
                    *known = if found.is_nan() { f64::INFINITY } else { known.max(found) };
                };
                known.iter_mut().zip(found).for_each(larger);
            }
            ctx.progress().advance(size as u64);
            Ok(())
        },
    )?;
    let layer = |units: &Vec<f64>| LayerUnits {
        units: units.len(),
        dead: units.iter().filter(|&&derivative| derivative <= config.flat).count(),
    };
    Ok(largest.iter().map(layer).collect())
}

/// The largest derivative of each unit of each activation over a batch.
fn largest_derivatives<'b>(
    objective: &dyn Objective,
    declared: &Declared<'b>,
) -> Result<Vec<Tensor<'b>>, MethodError> {
    let activations = Dissection::new(objective, declared)?.activations();
    if activations.is_empty() {
        let expected = "a network with activations that can be flat";
        return Err(MethodError::mismatch("dead units", expected, "none"));
    }
    let of_units = |Activation { derivative }: &Activation<'b>| {
        let others: Vec<usize> = (0..derivative.rank() - 1).collect();
        derivative.abs().max(&others)
    };
    Ok(activations.iter().map(of_units).collect())
}

/// [`dead_units`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct DeadUnits;

impl Instrument for DeadUnits {
    const ID: &'static str = "dead_units";
    const SUMMARY: &'static str = "share of units whose activation is flat for every example";
    const SOURCE: &'static str =
        "Lu et al. 2020, arXiv 1903.06733; Lyle et al. 2023, arXiv 2303.01486";
    const INVARIANCES: &'static [Invariance] = &Invariance::ALL;
    type Config = DeadUnitsConfig;
    type Reading = Vec<LayerUnits>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &DeadUnitsConfig,
    ) -> Result<Vec<LayerUnits>, MethodError> {
        dead_units(ctx, objective, point, config)
    }

    fn cost(_: &DeadUnitsConfig, _: &Size) -> Cost {
        Cost::exactly(1, 0, 0)
    }

    fn quantities(reading: &Vec<LayerUnits>) -> Vec<Quantity> {
        let share = |layers: &[LayerUnits]| {
            let units: usize = layers.iter().map(|layer| layer.units).sum();
            let dead: usize = layers.iter().map(|layer| layer.dead).sum();
            dead as f64 / units.max(1) as f64
        };
        let layers = reading.iter().enumerate().map(|(i, layer)| {
            Quantity::exact(format!("share of layer {}", i + 1), share(std::slice::from_ref(layer)))
        });
        std::iter::once(Quantity::exact("dead units", share(reading))).chain(layers).collect()
    }

    fn refused() -> Vec<DeadUnitsConfig> {
        [f64::NAN, -1.0].map(|flat| DeadUnitsConfig { flat }).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    fn found(architecture: &str, change: impl Fn(&str, usize, f64) -> f64) -> Vec<LayerUnits> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = architecture.parse::<Architecture>().unwrap().build(&[2], 2).unwrap();
        // The last batch is the one in which the first unit wakes up.
        let inputs = Array::from_slice(&[3, 2], &[0.5, 0.1, 0.2, 0.3, 0.0, 0.9]).unwrap();
        let labels = Array::vector(&[0, 1, 0]);
        let config = ObjectiveConfig { batch: 2, ..ObjectiveConfig::default() };
        let objective = ModelObjective::from_arrays(
            &ctx,
            &model,
            Loss::default(),
            vec![inputs],
            labels,
            true,
            &config,
        )
        .unwrap();
        let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        let changed = point.parameters.iter().map(|(name, array)| {
            let values = array.to_f64_vec().into_iter().enumerate();
            let values: Vec<f64> = values.map(|(i, value)| change(name, i, value)).collect();
            Array::from_slice(array.shape(), &values).unwrap()
        });
        point.parameters = point.parameters.with_arrays(changed.collect()).unwrap();
        dead_units(&ctx, &objective, &point, &DeadUnitsConfig::default()).unwrap()
    }

    /// Units of the first layer see the second pixel alone, with these biases; those of the second
    /// layer are all awake.
    fn biased(biases: [f64; 3]) -> impl Fn(&str, usize, f64) -> f64 {
        move |name, i, value| match name {
            "fc1.weight" => [0.0, 1.0][i / 3],
            "fc1.bias" => biases[i],
            "fc2.bias" => 100.0,
            "fc2.weight" => value,
            _ => value,
        }
    }

    #[test]
    fn a_relu_is_dead_if_no_example_wakes_it() {
        let layers = found("mlp hidden=3-2", biased([-0.8, -1.0, 0.0]));
        let expected = [LayerUnits { units: 3, dead: 1 }, LayerUnits { units: 2, dead: 0 }];
        assert_eq!(layers, expected);
        let quantities = DeadUnits::quantities(&layers);
        let shown: Vec<(&str, f64)> =
            quantities.iter().map(|q| (q.name.as_str(), q.value.number())).collect();
        assert_eq!(
            shown,
            [("dead units", 0.2), ("share of layer 1", 1.0 / 3.0), ("share of layer 2", 0.0)]
        );
    }

    #[test]
    fn a_tanh_is_dead_if_it_is_saturated_and_a_leaky_relu_never() {
        let saturated = biased([100.0, -100.0, 0.0]);
        assert_eq!(found("mlp hidden=3-2 activation=tanh", &saturated)[0].dead, 2);
        let both = found("mlp hidden=3-2 activation=tanh", saturated);
        assert_eq!(both[1], LayerUnits { units: 2, dead: 2 });
        let leaky = found("mlp hidden=3-2 activation=leaky", biased([-100.0, -100.0, -100.0]));
        assert!(leaky.iter().all(|layer| layer.dead == 0), "{leaky:?}");
    }
}
