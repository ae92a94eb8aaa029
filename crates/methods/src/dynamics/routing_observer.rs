//! What a mixture of experts does with examples: what it gets right, and by which ways.

use crate::{Context, MethodError};
use std::collections::BTreeMap;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::Program;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Mode, Model, Weights};

/// Looks at the same examples for many weights, one after the other, as at the checkpoints of a run.
pub struct RoutingObserver {
    float: DType,
    pieces: Vec<Piece>,
}

/// Examples that go at once.
struct Piece {
    program: Arc<Program>,
    data: [Array; 2],
}

/// What was seen, example by example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutingObservation {
    /// The loss at each position that is read, in nats.
    pub losses: Vec<Vec<f64>>,
    /// The share of those positions whose label is the most probable class.
    pub accuracies: Vec<f64>,
    /// The routers' probabilities, averaged over positions: `routing[example][layer][expert]`, of which
    /// [`pathways`](super::pathways) are made.
    pub routing: Vec<Vec<Vec<f64>>>,
    /// What the logits are made of.
    pub features: Vec<Vec<f64>>,
}

impl RoutingObservation {
    /// The mean loss of each example.
    pub fn example_losses(&self) -> Vec<f64> {
        self.losses.iter().map(|of| mean(of)).collect()
    }

    /// The mean loss.
    pub fn loss(&self) -> f64 {
        mean(&self.example_losses())
    }

    /// The mean accuracy.
    pub fn accuracy(&self) -> f64 {
        mean(&self.accuracies)
    }
}

impl RoutingObserver {
    /// For a model with outputs called `routing` `[batch, layers, experts]` and `features` `[batch, units]`,
    /// such as [`MoeTransformer`](super::MoeTransformer)'s: tokens `i32 [n, positions]`, and labels of the
    /// logits' shape without its last axis. `at_once` examples go through it at a time.
    ///
    /// # Errors
    /// `Mismatch` for another model, or examples that do not fit it.
    pub fn new(
        ctx: &Context<'_>,
        model: &Model,
        tokens: &Array,
        labels: &Array,
        at_once: usize,
    ) -> Result<RoutingObserver, MethodError> {
        thalweg_data::check_classes(labels, model.n_classes())?;
        let n = tokens.shape().first().copied().unwrap_or(0);
        if n == 0 || at_once == 0 || labels.shape().first() != Some(&n) {
            let expected = format!("labels of {n} examples, and at least one at a time");
            let got = format!("{:?}, and {at_once}", labels.shape());
            return Err(MethodError::mismatch("examples", expected, got));
        }
        let mut programs: BTreeMap<usize, Arc<Program>> = BTreeMap::new();
        let mut pieces = Vec::new();
        for first in (0..n).step_by(at_once) {
            let rows = first..n.min(first.saturating_add(at_once));
            let data = [tokens.rows(rows.clone())?, labels.rows(rows.clone())?];
            let program = match programs.get(&rows.len()) {
                Some(known) => known.clone(),
                None => compile(ctx, model, &data)?,
            };
            programs.insert(rows.len(), program.clone());
            pieces.push(Piece { program, data });
        }
        Ok(RoutingObserver { float: ctx.precision(), pieces })
    }

    /// What is seen at a point.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn at(&self, weights: &Weights) -> Result<RoutingObservation, MethodError> {
        let weights = weights.convert(self.float);
        let mut seen = RoutingObservation::default();
        for piece in &self.pieces {
            let arrays = weights.parameters.arrays().iter().chain(weights.buffers.arrays());
            let inputs = arrays.cloned().chain(piece.data.iter().cloned()).collect();
            let found = piece.program.run(inputs)?;
            let [losses, right, routing, features] = &found[..] else {
                return Err(MethodError::mismatch("a program", "four outputs", found.len()));
            };
            let experts = routing.shape().last().copied().unwrap_or(1).max(1);
            seen.losses.extend(by_example(losses));
            seen.accuracies.extend(by_example(right).iter().map(|of| mean(of)));
            let by_layer =
                |of: Vec<f64>| of.chunks(experts).map(<[f64]>::to_vec).collect::<Vec<_>>();
            seen.routing.extend(by_example(routing).into_iter().map(by_layer));
            seen.features.extend(by_example(features));
        }
        Ok(seen)
    }
}

/// Parameters, buffers, tokens and labels to losses, whether they are right, routing and features.
fn compile(
    ctx: &Context<'_>,
    model: &Model,
    [tokens, labels]: &[Array; 2],
) -> Result<Arc<Program>, MethodError> {
    let builder = Builder::new(ctx.precision());
    let (parameters, buffers) = model.declare(&builder);
    let input = |name: &str, array: &Array| {
        builder.input(name, TensorType::new(array.dtype(), array.shape()))
    };
    let (x, y) = (input("tokens", tokens), input("labels", labels));
    let applied = model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE);
    let named = |name: &str| {
        let place = model.outputs().iter().position(|port| port.name == name);
        place.and_then(|place| applied.outputs.get(place).copied())
    };
    let (Some(routing), Some(features)) = (named("routing"), named("features")) else {
        let names: Vec<&str> = model.outputs().iter().map(|port| port.name.as_str()).collect();
        let expected = "one called routing and one called features";
        return Err(MethodError::mismatch("the model's outputs", expected, names.join(", ")));
    };
    let logits = applied.output;
    if logits.rank() != y.rank() + 1 {
        let expected = format!("logits for labels {}", y.ty());
        return Err(MethodError::mismatch("the model's output", expected, logits.ty()));
    }
    let axis = logits.rank() - 1;
    let classes = logits.shape().last().copied().unwrap_or(0);
    let own = y.one_hot(classes, DType::Bool).select(logits, logits.zeros_like()).sum(&[axis]);
    let losses = logits.logsumexp(&[axis]) - own;
    let right = logits.arg_max(axis).equal(y).convert(ctx.precision());
    let outputs =
        [("losses", losses), ("right", right), ("routing", routing), ("features", features)];
    Ok(ctx.executor().compile(&builder.finish(&outputs)?)?)
}

/// The elements of each entry along the first axis.
fn by_example(array: &Array) -> Vec<Vec<f64>> {
    let width = array.shape().iter().skip(1).product::<usize>().max(1);
    array.to_f64_vec().chunks(width).map(<[f64]>::to_vec).collect()
}

fn mean(values: &[f64]) -> f64 {
    thalweg_stats::pairwise_sum(values) / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::MoeTransformer;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::initialize;

    fn network(last: bool) -> MoeTransformer {
        MoeTransformer {
            context: 4,
            vocabulary: 6,
            outputs: 6,
            depth: 2,
            width: 8,
            heads: 2,
            experts: 3,
            chosen: 2,
            hidden: 6,
            balance: 0.01,
            last,
        }
    }

    fn tokens(n: usize, shift: usize) -> Vec<i32> {
        (0..n).map(|i| ((i * i + shift) % 6) as i32).collect()
    }

    #[test]
    fn losses_are_those_of_the_objective_and_pieces_change_nothing() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        for last in [true, false] {
            let model = network(last).model().unwrap();
            let x = Array::from_slice(&[7, 4], &tokens(28, 0)).unwrap();
            let y = match last {
                true => Array::vector(&tokens(7, 1)),
                false => Array::from_slice(&[7, 4], &tokens(28, 1)).unwrap(),
            };
            let weights = initialize(&model, 5, DType::F64).unwrap();
            let seen = |at_once| {
                let observer = RoutingObserver::new(&ctx, &model, &x, &y, at_once).unwrap();
                observer.at(&weights).unwrap()
            };
            let whole = seen(7);
            assert_eq!(seen(3), whole);
            assert_eq!(seen(100), whole);
            assert_eq!((whole.losses.len(), whole.losses[0].len()), (7, if last { 1 } else { 4 }));
            assert_eq!((whole.features.len(), whole.features[6].len()), (7, 8));
            assert_eq!((whole.routing.len(), whole.routing[0].len()), (7, 2));
            for layer in whole.routing.iter().flatten() {
                assert!(layer.len() == 3 && (layer.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
            let (config, loss) = (ObjectiveConfig::default(), Loss::default());
            let inputs = vec![x.clone()];
            let objective =
                ModelObjective::from_arrays(&ctx, &model, loss, inputs, y.clone(), true, &config)
                    .unwrap();
            let loss = crate::evaluate(&ctx, &objective, &weights).unwrap().loss;
            assert!((whole.loss() - loss).abs() < 1e-12, "{} {loss}", whole.loss());
        }
    }

    #[test]
    fn a_label_is_right_where_its_logit_is_the_largest() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = network(true).model().unwrap();
        let weights = initialize(&model, 5, DType::F32).unwrap();
        // Biases of the output that drown everything else.
        let arrays = weights.parameters.iter().map(|(name, array)| match name {
            "head.bias" => Array::vector(&[0.0f32, 0.0, 50.0, 0.0, 0.0, 0.0]),
            _ => array.clone(),
        });
        let parameters = weights.parameters.with_arrays(arrays.collect()).unwrap();
        let sure = Weights { parameters, buffers: weights.buffers.clone() };
        let x = Array::from_slice(&[3, 4], &tokens(12, 0)).unwrap();
        let y = Array::vector(&[2, 1, 2]);
        let seen = RoutingObserver::new(&ctx, &model, &x, &y, 3).unwrap().at(&sure).unwrap();
        assert_eq!(seen.accuracies, [1.0, 0.0, 1.0]);
        assert!((seen.accuracy() - 2.0 / 3.0).abs() < 1e-15);
        assert!(seen.losses[0][0] < 1e-6 && seen.losses[1][0] > 40.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = network(true).model().unwrap();
        let x = Array::from_slice(&[3, 4], &tokens(12, 0)).unwrap();
        let refused =
            |model: &Model, y: &Array| RoutingObserver::new(&ctx, model, &x, y, 3).is_err();
        assert!(!refused(&model, &Array::vector(&[0, 1, 2])));
        assert!(refused(&model, &Array::vector(&[0, 1])));
        assert!(refused(&model, &Array::vector(&[0, 1, 9])));
        assert!(refused(&model, &x));
        let other = "gpt depth=1 width=8 heads=2".parse::<Architecture>().unwrap();
        let error = RoutingObserver::new(&ctx, &other.build(&[4], 6).unwrap(), &x, &x, 3);
        let message = error.err().unwrap().to_string();
        assert!(message.contains("one called routing and one called features"), "{message}");
    }
}
