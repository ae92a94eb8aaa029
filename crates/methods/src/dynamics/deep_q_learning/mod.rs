//! Deep Q-learning of a population on decision processes that are seen as images.

mod process;
mod program;
#[cfg(test)]
mod tests;

use crate::common::{TwoHot, fresh_slots, hyper_values};
use crate::{Context, MethodError};
use process::Tables;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_array::{Array, DType};
use thalweg_data::{BlockMdp, Stream};
use thalweg_exec::Executor;
use thalweg_nn::{Model, Parameters, Weights};
use thalweg_train::part::UpdateRule;
use thalweg_train::{Argument, Optimizer, Population, Resources};

/// Steps in one program.
const SEGMENT: u64 = 100;

/// What a network says of the value of an action.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ActionValues {
    /// The value: an output for each action, fitted by squared error.
    #[default]
    Numbers,
    /// A distribution over bins: for each action in turn a logit for each bin, fitted by cross-entropy.
    Categories(TwoHot),
}

/// How [`DeepQLearning`] learns.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepQConfig {
    /// What a reward is worth a step later, over now.
    pub discount: f64,
    /// Share of actions that are drawn; the others are the best known.
    pub exploration: f64,
    /// Transitions that are remembered; a new one takes the place of the oldest.
    pub capacity: usize,
    /// Transitions by drawn actions that are remembered before the first step.
    pub warm_up: usize,
    /// Transitions of a step, drawn from those that are remembered.
    pub batch: usize,
    /// Steps from one copy of the weights into the target network to the next.
    pub refresh: u64,
    /// What outputs are.
    pub values: ActionValues,
}

impl Default for DeepQConfig {
    fn default() -> DeepQConfig {
        DeepQConfig {
            discount: 0.9,
            exploration: 0.1,
            capacity: 10_000,
            warm_up: 1000,
            batch: 64,
            refresh: 1000,
            values: ActionValues::default(),
        }
    }
}

/// One network of a population.
#[derive(Clone, Copy, Debug)]
pub struct DeepQMember<'a> {
    /// Where it begins.
    pub weights: &'a Weights,
    /// The process that it acts in.
    pub process: &'a BlockMdp,
    /// Its draws.
    pub stream: Stream,
}

/// Learns the values of actions with a population of networks, each in a process of its own over
/// the same examples.
///
/// In each step a network acts: it takes the action of the largest value, or with the probability
/// of exploration any. The transition `(x, a, r, y)` is remembered, and with a batch of those that
/// are remembered the optimizer takes a step down
///
/// `mean of l(Q(x, a; w), r + discount max over b of Q(y, b; w'))`,
///
/// where `w'` are the weights at the last refresh and `l` is `1/2 (q - t)^2`, or the cross-entropy
/// of the two-hot target. Nothing ends: [`BlockMdp`] has no last state. What a member does depends
/// on its own weights, process and stream alone.
///
/// # Source    Mnih et al., Human-level control through deep reinforcement learning, 2015, Nature
/// 518; as a test of plasticity: Lyle et al., Understanding plasticity in neural networks, 2023,
/// arXiv 2303.01486, sections 3.2 and 5.1
/// # Deviations    errors are squared everywhere and not linear beyond one
pub struct DeepQLearning {
    executor: Arc<Executor>,
    model: Model,
    rule: UpdateRule,
    float: DType,
    config: DeepQConfig,
    actions: usize,
    inputs: Array,
    segments: Mutex<HashMap<(usize, u64), Arc<Population>>>,
    outputs: Population,
}

/// A population between two steps: weights, optimizers, target networks and memories.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepQNets {
    /// Parameters, the optimizer's arrays, the target network's parameters, and the memory.
    members: Vec<Vec<Array>>,
    tables: Vec<Tables>,
    streams: Vec<Stream>,
    steps: u64,
}

/// What was seen of a member along some steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeepQMetrics {
    /// The reward of each step's action.
    pub reward: Vec<f64>,
    /// The loss of each step's batch before the step.
    pub loss: Vec<f64>,
}

impl DeepQLearning {
    /// For a model of `actions` values on examples `[n, ..]`, in the inputs' float type.
    ///
    /// # Errors
    /// A discount or an exploration out of range, no batch, memory or refresh, a warm-up that fills no
    /// batch or more than the memory; a model with running statistics or with outputs that are not one
    /// for each action (and bin); an optimizer that cuts batches into shards; those of tracing.
    pub fn new(
        executor: Arc<Executor>,
        model: &Model,
        optimizer: &Optimizer,
        inputs: &Array,
        actions: usize,
        config: DeepQConfig,
    ) -> Result<DeepQLearning, MethodError> {
        check(&config)?;
        if let Some(buffer) = model.buffers().first() {
            let expected = "one without running statistics";
            return Err(MethodError::config("model of action values", expected, &buffer.name));
        }
        let each = match &config.values {
            ActionValues::Numbers => 1,
            ActionValues::Categories(bins) => bins.bins().len(),
        };
        let units = model.outputs().first().map(|port| port.shape.clone()).unwrap_or_default();
        if actions == 0 || units != [actions.saturating_mul(each)] {
            let expected = format!("{each} for each of {actions} actions, and at least one action");
            let got = format!("{units:?}");
            return Err(MethodError::config("outputs of action values", expected, got));
        }
        let (rule, float) = (optimizer.rule(), inputs.dtype());
        if let Some(shard) = rule.gradient().shard() {
            let expected = "an optimizer that sees whole batches";
            return Err(MethodError::config("optimizer of action values", expected, shard));
        }
        let (graph, axes) = program::outputs(model, &config.values, actions, inputs, float)?;
        Ok(DeepQLearning {
            outputs: Population::new(executor.clone(), graph, axes),
            executor,
            model: model.clone(),
            rule,
            float,
            config,
            actions,
            inputs: inputs.clone(),
            segments: Mutex::default(),
        })
    }

    /// Members before their first step, their memories filled by drawn actions.
    ///
    /// # Errors
    /// No members; weights of another model; a process over other examples, or with another number
    /// of actions or of states than the first one.
    pub fn start(&self, members: &[DeepQMember<'_>]) -> Result<DeepQNets, MethodError> {
        let Some(states) = members.first().map(|member| member.process.states()) else {
            return Err(MethodError::mismatch("members", "at least 1", 0));
        };
        let (mut arrays, mut tables) = (Vec::new(), Vec::new());
        for member in members {
            let process = member.process;
            let examples: usize = (0..process.states()).map(|s| process.rows(s).len()).sum();
            let got = [examples, process.actions(), process.states()];
            let all = self.inputs.shape().first().copied().unwrap_or(0);
            if got != [all, self.actions, states] {
                let expected = format!("{all} examples, {} actions, {states} states", self.actions);
                return Err(MethodError::mismatch("a process", expected, format!("{got:?}")));
            }
            let weights = member.weights.parameters.convert(self.float);
            let parameters = self.model.parameter_tree(weights.into_arrays())?.into_arrays();
            let slots = fresh_slots(&self.model, &self.rule, self.float);
            let memory = process::warmed_up(process, &member.stream, &self.config, self.float)?;
            arrays.push([parameters.clone(), slots, parameters, memory].concat());
            tables.push(Tables::new(process, self.float)?);
        }
        let streams = members.iter().map(|member| member.stream).collect();
        Ok(DeepQNets { members: arrays, tables, streams, steps: 0 })
    }

    /// The weights of a member.
    ///
    /// # Errors
    /// A member that is none.
    pub fn weights(&self, nets: &DeepQNets, member: usize) -> Result<Weights, MethodError> {
        let arrays = nets.members.get(member).ok_or_else(|| no_member(nets, member))?;
        let n = self.model.parameters().len();
        let parameters = self.model.parameter_tree(arrays[..n].to_vec())?;
        Ok(Weights { parameters, buffers: Parameters::new(Vec::new())? })
    }

    /// Gives a member other weights; optimizer, memory and, until the next refresh, the target network
    /// stay.
    ///
    /// # Errors
    /// A member that is none; weights of another model.
    pub fn replace(
        &self,
        nets: &mut DeepQNets,
        member: usize,
        weights: &Weights,
    ) -> Result<(), MethodError> {
        let weights = weights.parameters.convert(self.float);
        let fresh = self.model.parameter_tree(weights.into_arrays())?.into_arrays();
        if member >= nets.members.len() {
            return Err(no_member(nets, member));
        }
        nets.members[member][..fresh.len()].clone_from_slice(&fresh);
        Ok(())
    }

    /// Takes steps. Each member has hyper-parameters by name, `lr` among them.
    ///
    /// # Errors
    /// Members without hyper-parameters, or hyper-parameters that the optimizer does not have; those of
    /// the engine; `Interrupted` between segments.
    pub fn steps(
        &self,
        ctx: &Context<'_>,
        nets: &mut DeepQNets,
        hyper: &[BTreeMap<&str, f64>],
        steps: u64,
    ) -> Result<Vec<DeepQMetrics>, MethodError> {
        let n = nets.members.len();
        if hyper.len() != n {
            let expected = format!("hyper-parameters of {n} members");
            return Err(MethodError::mismatch("members", expected, hyper.len()));
        }
        let hyper = hyper_values(&self.rule, hyper)?;
        let mut metrics = vec![DeepQMetrics::default(); n];
        let mut left = steps;
        while left > 0 {
            ctx.check()?;
            let length = left.min(SEGMENT);
            let population = self.segment(nets, length)?;
            let resources = Resources { memory: Some(ctx.memory()), chunk: None };
            let chunking = population.chunking("steps of action values", n, 0, &resources)?;
            for (own, filled) in chunking.chunks(n) {
                let arguments = self.arguments(nets, &filled, &hyper, length)?;
                let outputs = population.run(chunking.size, arguments)?;
                for (row, member) in own.enumerate() {
                    let count = nets.members[member].len();
                    for (to, from) in nets.members[member].iter_mut().zip(&outputs[..count]) {
                        *to = from.row(row)?;
                    }
                    metrics[member].reward.extend(outputs[count].row(row)?.to_f64_vec());
                    metrics[member].loss.extend(outputs[count + 1].row(row)?.to_f64_vec());
                }
            }
            nets.steps += length;
            left -= length;
        }
        Ok(metrics)
    }

    /// What each member says of the value of every action in view of every example, `[n, actions]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn values(&self, ctx: &Context<'_>, nets: &DeepQNets) -> Result<Vec<Array>, MethodError> {
        let (n, count) = (nets.members.len(), self.model.parameters().len());
        let resources = Resources { memory: Some(ctx.memory()), chunk: None };
        let chunking = self.outputs.chunking("action values", n, 0, &resources)?;
        let mut found = Vec::with_capacity(n);
        for (own, filled) in chunking.chunks(n) {
            let arrays = (0..count).map(|i| of_members(nets, &filled, i));
            let data = Argument::Shared(self.inputs.clone());
            let arguments: Vec<Argument> = arrays.chain([data]).collect();
            let outputs = self.outputs.run(chunking.size, arguments)?;
            for row in 0..own.len() {
                found.push(outputs[0].row(row)?);
            }
        }
        Ok(found)
    }

    fn segment(&self, nets: &DeepQNets, length: u64) -> Result<Arc<Population>, MethodError> {
        let states = nets.tables.first().map_or(0, Tables::states);
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = segments.get(&(states, length)) {
            return Ok(known.clone());
        }
        let (graph, axes) = program::steps(self, states, length as usize)?;
        let population = Arc::new(Population::new(self.executor.clone(), graph, axes));
        segments.insert((states, length), population.clone());
        Ok(population)
    }

    /// What a program of `length` steps is given for some members, in its order.
    fn arguments(
        &self,
        nets: &DeepQNets,
        members: &[usize],
        hyper: &[Vec<f64>],
        length: u64,
    ) -> Result<Vec<Argument>, MethodError> {
        let count = nets.members.first().map_or(0, Vec::len);
        let mut arguments: Vec<Argument> =
            (0..count).map(|i| of_members(nets, members, i)).collect();
        for i in 0..hyper.first().map_or(0, Vec::len) {
            let values: Vec<f64> = members.iter().map(|&m| hyper[m][i]).collect();
            arguments.push(Argument::Packed(Array::vector(&values).convert(self.float)));
        }
        for i in 0..Tables::COUNT {
            let of = |&m: &usize| nets.tables[m].arrays()[i].clone();
            arguments.push(Argument::Members(members.iter().map(of).collect()));
        }
        let steps = nets.steps..nets.steps + length;
        let streams: Vec<Stream> = members.iter().map(|&m| nets.streams[m]).collect();
        let draws = process::draws(&streams, steps.clone(), self.actions, &self.config);
        arguments.extend(draws.packed(length as usize, members.len(), self)?);
        let (capacity, warm_up) = (self.config.capacity as u64, self.config.warm_up as u64);
        let places: Vec<i32> =
            steps.clone().map(|step| ((warm_up + step) % capacity) as i32).collect();
        let refresh = self.config.refresh;
        let copied: Vec<i32> =
            steps.clone().map(|step| i32::from((step + 1).is_multiple_of(refresh))).collect();
        let counts: Vec<f64> = steps.map(|step| (step + 1) as f64).collect();
        arguments.push(Argument::Shared(Array::vector(&places)));
        arguments.push(Argument::Shared(Array::vector(&copied)));
        arguments.push(Argument::Shared(Array::vector(&counts).convert(self.float)));
        arguments.push(Argument::Shared(self.inputs.clone()));
        Ok(arguments)
    }
}

/// An array of each of some members.
fn of_members(nets: &DeepQNets, members: &[usize], i: usize) -> Argument {
    Argument::Members(members.iter().map(|&m| nets.members[m][i].clone()).collect())
}

fn no_member(nets: &DeepQNets, member: usize) -> MethodError {
    MethodError::mismatch("a member", format!("below {}", nets.members.len()), member)
}

fn check(config: &DeepQConfig) -> Result<(), MethodError> {
    let DeepQConfig { discount, exploration, capacity, warm_up, batch, refresh, .. } = *config;
    if !(0.0..1.0).contains(&discount) {
        return Err(MethodError::config("discount", "a number from 0 to below 1", discount));
    }
    if !(0.0..=1.0).contains(&exploration) {
        return Err(MethodError::config("exploration", "a share from 0 to 1", exploration));
    }
    if batch == 0 || warm_up < batch || capacity < warm_up {
        let got = format!("{batch}, {warm_up}, {capacity}");
        let expected = "1 <= batch <= warm-up <= capacity";
        return Err(MethodError::config("batch, warm-up and capacity", expected, got));
    }
    if i32::try_from(capacity).is_err() {
        let expected = format!("at most {}", i32::MAX);
        return Err(MethodError::config("capacity", expected, capacity));
    }
    match refresh {
        0 => Err(MethodError::config("steps from refresh to refresh", "at least 1", 0)),
        _ => Ok(()),
    }
}
