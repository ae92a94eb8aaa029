//! Steps of deep Q-learning as a graph.

use super::process::Tables;
use super::{ActionValues, DeepQLearning};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, GraphError, ScanStep, Tensor, TensorType};
use thalweg_nn::{Mode, Model};
use thalweg_train::part::{Evaluated, HyperValues, StepContext};
use thalweg_transform::gradient;

/// A graph, and for each input where the members' axis goes.
type Batchable = (Graph, Vec<Option<usize>>);

/// What is remembered, before the capacity: what is seen, and of a transition four numbers.
const MEMORY: usize = 5;

impl ActionValues {
    /// The value of each action `[n, actions]`, of a model's output.
    fn of<'b>(&self, output: Tensor<'b>, actions: usize) -> Tensor<'b> {
        match self {
            ActionValues::Numbers => output,
            ActionValues::Categories(bins) => bins.traced_means(by_action(output, actions)),
        }
    }

    /// The loss of each example `[n]`: of the actions `[n]` that were taken, against their values
    /// `[n]`.
    fn loss<'b>(
        &self,
        output: Tensor<'b>,
        actions: usize,
        taken: Tensor<'b>,
        values: Tensor<'b>,
    ) -> Tensor<'b> {
        let taken = taken.one_hot(actions, DType::Bool);
        match self {
            ActionValues::Numbers => {
                let own = taken.select(output, output.zeros_like()).sum(&[1]);
                (own - values).square() * 0.5
            }
            ActionValues::Categories(bins) => {
                let logits = by_action(output, actions);
                let own = taken.expand(2).select(logits, logits.zeros_like()).sum(&[1]);
                own.logsumexp(&[1]) - (bins.traced(values) * own).sum(&[1])
            }
        }
    }
}

/// `[n, actions * bins] -> [n, actions, bins]`.
fn by_action(output: Tensor<'_>, actions: usize) -> Tensor<'_> {
    let shape = output.shape();
    let [n, units] = [0, 1].map(|axis| shape.get(axis).copied().unwrap_or(1));
    output.reshape(&[n, actions, units / actions.max(1)])
}

/// A member's action values in view of all examples.
pub(super) fn outputs(
    model: &Model,
    values: &ActionValues,
    actions: usize,
    inputs: &Array,
    float: DType,
) -> Result<Batchable, GraphError> {
    let builder = Builder::new(float);
    let (parameters, _) = model.declare(&builder);
    let x = builder.input("inputs of all", TensorType::new(float, inputs.shape()));
    let output = model.apply(&builder, &parameters, &[], x, &Mode::EVALUATE).output;
    let values = values.of(output, actions);
    let axes = [vec![Some(0); parameters.len()], vec![None]].concat();
    Ok((builder.finish(&[("values", values)])?, axes))
}

/// `length` steps of a member.
///
/// Inputs: parameters, the optimizer's arrays, the target network's parameters, what is seen and
/// the memory; hyper-parameters; the process's tables; for each step whether it explores, the
/// action if it does, the draws of the next state and of its example, the batch's places in the
/// memory; the place of the new transition, whether the target network is refreshed, the step's
/// number; the examples.  Outputs: what a member hands to its next step, and rewards and losses of
/// the steps.
pub(super) fn steps(
    learning: &DeepQLearning,
    states: usize,
    length: usize,
) -> Result<Batchable, GraphError> {
    let (model, rule, float) = (&learning.model, &learning.rule, learning.float);
    let (actions, config) = (learning.actions, &learning.config);
    let examples = learning.inputs.shape().first().copied().unwrap_or(0);
    let builder = Builder::new(float);
    let mut axes: Vec<Option<usize>> = Vec::new();
    let mut input = |ty: TensorType, axis: Option<usize>| {
        axes.push(axis);
        builder.input(&format!("input{}", axes.len()), ty)
    };
    let (parameters, integer) = (model.parameter_types(float), DType::I32);
    let slots = rule.slots().iter().flat_map(|_| parameters.clone()).collect::<Vec<_>>();
    let remembered = |dtype| TensorType::new(dtype, [config.capacity]);
    let memory = vec![
        TensorType::new(integer, []),
        remembered(integer),
        remembered(integer),
        remembered(float),
        remembered(integer),
    ];
    let carry = [parameters.clone(), slots, parameters, memory].concat();
    let carry: Vec<Tensor<'_>> = carry.into_iter().map(|ty| input(ty, Some(0))).collect();
    let hyper = rule.hyper_parameters();
    let mut constants: Vec<Tensor<'_>> =
        hyper.iter().map(|_| input(TensorType::new(float, []), Some(0))).collect();
    let tables: [TensorType; Tables::COUNT] = [
        TensorType::new(integer, [examples]),
        TensorType::new(integer, [examples]),
        TensorType::new(integer, [states]),
        TensorType::new(integer, [states]),
        TensorType::new(float, [states * actions]),
        TensorType::new(float, [states * actions, states]),
    ];
    constants.extend(tables.map(|ty| input(ty, Some(0))));
    let own = [
        TensorType::new(integer, [length]),
        TensorType::new(integer, [length]),
        TensorType::new(float, [length]),
        TensorType::new(float, [length]),
        TensorType::new(integer, [length, config.batch]),
    ];
    let mut xs: Vec<Tensor<'_>> = own.map(|ty| input(ty, Some(1))).to_vec();
    let shared = [integer, integer, float].map(|dtype| TensorType::new(dtype, [length]));
    xs.extend(shared.map(|ty| input(ty, None)));
    constants.push(input(TensorType::new(float, learning.inputs.shape()), None));
    let (carry, seen) =
        builder.scan(length, &carry, &xs, &constants, 0, |step| one_step(learning, &step));
    let names: Vec<String> = (0..carry.len() + seen.len()).map(|i| format!("value{i}")).collect();
    let named: Vec<_> =
        names.iter().map(String::as_str).zip(carry.into_iter().chain(seen)).collect();
    Ok((builder.finish(&named)?, axes))
}

/// One step: acts, remembers, learns.
fn one_step<'s>(
    learning: &DeepQLearning,
    step: &ScanStep<'s, '_>,
) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>) {
    let (builder, model, config) = (step.builder, &learning.model, &learning.config);
    let (rule, actions) = (&learning.rule, learning.actions);
    let n = model.parameters().len();
    let (networks, memory) = step.carry.split_at(step.carry.len() - MEMORY);
    let (parameters, rest) = networks.split_at(n);
    let (slots, target) = rest.split_at(rest.len() - n);
    let known = rule.hyper_parameters();
    let (hyper, data) = step.constants.split_at(known.len());
    let hyper = known.iter().map(|h| h.name.to_owned()).zip(hyper.iter().copied());
    let hyper = HyperValues::new(hyper.collect());
    let [state_of, order, first, counts, rewards, cumulative, images] = *data else {
        builder.reject("deep Q-learning", "seven constants", data.len().to_string());
        return (step.carry.to_vec(), Vec::new());
    };
    let [explores, random, next_draw, row_draw, places, place, copied, count] = *step.xs else {
        builder.reject("deep Q-learning", "eight sequences", step.xs.len().to_string());
        return (step.carry.to_vec(), Vec::new());
    };
    let here = memory[0];
    let apply = |weights: &[Tensor<'s>], x: Tensor<'s>| {
        model.apply(builder, weights, &[], x, &Mode::EVALUATE).output
    };
    let values =
        |weights: &[Tensor<'s>], x: Tensor<'s>| config.values.of(apply(weights, x), actions);

    // Acts.
    let best = values(parameters, images.take(here.reshape(&[1]))).arg_max(1).reshape(&[]);
    let action = explores.equal(1.0).select(random, best);
    let choice = state_of.take(here) * actions as f64 + action;
    let reward = rewards.take(choice);
    let before = cumulative.take(choice).less_equal(next_draw).convert(DType::I32);
    let state = before.sum(&[0]);
    let some = counts.take(state).convert(row_draw.dtype());
    let there = order.take(first.take(state) + (row_draw * some).floor().convert(DType::I32));

    // Remembers.
    let new = [here, action, reward, there];
    let memory: Vec<Tensor<'s>> = memory[1..]
        .iter()
        .zip(new)
        .map(|(all, new)| all.dynamic_update_slice(new.reshape(&[1]), &[place]))
        .collect();
    let [from, taken, earned, to] = [0, 1, 2, 3].map(|i| memory[i].take(places));

    // Learns.
    let later = values(target, images.take(to)).max(&[1]);
    let goal = (earned + later * config.discount).stop_gradient();
    let context = StepContext {
        builder,
        descriptions: model.parameters(),
        parameters,
        hyper: &hyper,
        factor: builder.scalar(1.0),
        count,
    };
    let objective = |weights: &[Tensor<'s>]| {
        let output = apply(weights, images.take(from));
        let loss = config.values.loss(output, actions, taken, goal).mean(&[0]);
        let gradient = gradient(loss, weights);
        Evaluated { loss, gradient, new_buffers: Vec::new(), output, perturbed_loss: None }
    };
    let evaluated = rule.gradient().evaluate(&context, &objective);
    let (moved, slots) = rule.apply(&context, evaluated.gradient, slots);
    let refreshed = copied.equal(1.0);
    let target = target.iter().zip(&moved).map(|(&old, &new)| refreshed.select(new, old));
    let target: Vec<Tensor<'s>> = target.collect();
    let carry = [moved, slots, target, vec![there], memory].concat();
    (carry, vec![reward, evaluated.loss])
}
