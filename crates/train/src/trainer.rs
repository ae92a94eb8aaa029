//! The driver: a loop over segments of scanned steps, for a whole population.

use crate::examples::check_fit;
use crate::feed::{Fed, Feed};
use crate::part::UpdateRule;
use crate::population::{Chunking, Population, Resources};
use crate::recipe::Recipe;
use crate::segment::{PERTURBED_LOSS, arguments, graph};
use crate::state::{Layout, MemberState};
use crate::{
    Examples, Length, Member, Metrics, Observer, Segment, Status, TrainConfig, TrainError,
    TrainState, initialize,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_array::Array;
use thalweg_data::Batches;
use thalweg_exec::Executor;
use thalweg_graph::TensorType;
use thalweg_nn::{Model, Weights};

/// Bytes of inputs that a member's segment reads from a file at most, unless one step needs more.
const STORED_SEGMENT: usize = 64 << 20;

/// Trains populations of one model on one set of examples.
///
/// Pure: no clock, no files, no printing. A member's bits depend on its own seed and
/// hyper-parameters alone: not on its neighbours, the segment, the chunk, the memory budget or the
/// number of threads.
pub struct Trainer {
    executor: Arc<Executor>,
    recipe: Recipe,
    config: TrainConfig,
    resources: Resources,
    examples: Examples,
    batches: Batches,
    layout: Arc<Layout>,
    segments: Mutex<HashMap<usize, Arc<Population>>>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are taken.
    Finished,
    /// The observer stopped it.
    Stopped,
}

impl Trainer {
    /// A trainer with the configuration's own optimizer.
    ///
    /// # Errors
    /// Settings, model and examples that do not fit together.
    pub fn new(
        executor: Arc<Executor>,
        model: Model,
        examples: Examples,
        config: TrainConfig,
        resources: Resources,
    ) -> Result<Trainer, TrainError> {
        let rule = config.optimizer.rule();
        Trainer::with_rule(executor, model, rule, examples, config, resources)
    }

    /// A trainer with another update rule than the configuration's optimizer.
    ///
    /// # Errors
    /// As for [`Trainer::new`].
    pub fn with_rule(
        executor: Arc<Executor>,
        model: Model,
        rule: UpdateRule,
        examples: Examples,
        config: TrainConfig,
        resources: Resources,
    ) -> Result<Trainer, TrainError> {
        config.check()?;
        check_fit(&model, &examples, config.precision)?;
        let batches = Batches::new(examples.len(), config.batch, config.last_batch)?;
        if let Some(shard) = rule.gradient().shard()
            && (shard == 0 || !config.batch.is_multiple_of(shard))
        {
            let expected = format!("a divisor of the batch, {}", config.batch);
            return Err(TrainError::setting("shard of the optimizer", expected, shard));
        }
        let adjustment = config.adjustment.clone();
        let recipe = Recipe { model, loss: config.loss, adjustment, rule };
        let layout = Arc::new(Layout::new(&recipe, config.precision));
        let segments = Mutex::default();
        Ok(Trainer { executor, recipe, config, resources, examples, batches, layout, segments })
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Model, loss and update rule.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Steps of an epoch.
    pub fn epoch_steps(&self) -> u64 {
        self.batches.steps() as u64
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        match self.config.length {
            Length::Epochs(epochs) => epochs.saturating_mul(self.epoch_steps()),
            Length::Steps(steps) => steps,
        }
    }

    /// The members before their first step, each with the initial weights of its seed.
    ///
    /// # Errors
    /// No members, or hyper-parameters that the optimizer does not have.
    pub fn start(&self, members: &[Member]) -> Result<TrainState, TrainError> {
        // Before anything is drawn: states and what is drawn of them have to fit beside each other.
        let needed = members.len().saturating_mul(self.layout.bytes()).saturating_mul(2);
        if let Some(budget) = self.resources.memory.filter(|&budget| needed > budget) {
            let what = format!("training, of {} members,", members.len());
            return Err(TrainError::Memory { what, needed, budget });
        }
        let mut known: BTreeMap<u64, Weights> = BTreeMap::new();
        for member in members {
            if let std::collections::btree_map::Entry::Vacant(entry) = known.entry(member.seed) {
                entry.insert(initialize(&self.recipe.model, member.seed, self.config.precision)?);
            }
        }
        let weights: Vec<Weights> = members.iter().map(|m| known[&m.seed].clone()).collect();
        self.start_from(members, &weights)
    }

    /// The members before their first step, from given weights.
    ///
    /// # Errors
    /// No members, hyper-parameters that the optimizer does not have, or weights of another model
    /// or float type.
    pub fn start_from(
        &self,
        members: &[Member],
        weights: &[Weights],
    ) -> Result<TrainState, TrainError> {
        if members.is_empty() || members.len() != weights.len() {
            let expected = "at least one member, and weights for each";
            let got = format!("{} members, {} weights", members.len(), weights.len());
            return Err(TrainError::setting("population", expected, got));
        }
        let mut states = Vec::with_capacity(members.len());
        for (member, weights) in members.iter().zip(weights) {
            let model = &self.recipe.model;
            let parameters = model.parameter_tree(weights.parameters.arrays().to_vec())?;
            let buffers = model.buffer_tree(weights.buffers.arrays().to_vec())?;
            let mut arrays = [parameters.into_arrays(), buffers.into_arrays()].concat();
            for (array, (name, ty)) in arrays.iter().zip(&self.layout.arrays) {
                if array.dtype() != ty.dtype {
                    return Err(TrainError::setting(name, ty.to_string(), array.dtype()));
                }
            }
            for slot in self.recipe.rule.slots() {
                for ty in self.recipe.model.parameter_types(self.config.precision) {
                    arrays.push(Array::full(&ty.shape, slot.initial).convert(ty.dtype));
                }
            }
            let hyper = self.hyper(member)?;
            let status = Status::Running;
            states.push(MemberState { member: member.clone(), status, hyper, arrays });
        }
        Ok(TrainState { layout: self.layout.clone(), step: 0, members: states })
    }

    /// The state that [`TrainState::to_named_arrays`] saved of these members.
    ///
    /// # Errors
    /// `State` names the first array or number that is not one of this run.
    pub fn restore(
        &self,
        members: &[Member],
        arrays: &[(String, Array)],
    ) -> Result<TrainState, TrainError> {
        let resolve = |member: &Member| Ok((member.clone(), self.hyper(member)?));
        let members = members.iter().map(resolve).collect::<Result<_, TrainError>>()?;
        let state = TrainState::from_named_arrays(&self.layout, members, arrays)?;
        if state.step > self.total_steps() {
            let expected = format!("at most {}", self.total_steps());
            return Err(TrainError::state("step", expected, state.step));
        }
        Ok(state)
    }

    /// A new population that goes on from members of another: each from the weights and the
    /// optimizer's arrays of the member named, with its own seed and hyper-parameters from here
    /// on.
    ///
    /// # Errors
    /// A member that is not there, a state of another run, or hyper-parameters that the optimizer
    /// does not have.
    pub fn fork(
        &self,
        state: &TrainState,
        members: &[(usize, Member)],
    ) -> Result<TrainState, TrainError> {
        self.check_state(state)?;
        let mut states = Vec::with_capacity(members.len());
        for (from, member) in members {
            let origin = state.members.get(*from).ok_or_else(|| {
                TrainError::setting("member to fork", format!("one of {}", state.len()), from)
            })?;
            states.push(MemberState {
                member: member.clone(),
                hyper: self.hyper(member)?,
                ..origin.clone()
            });
        }
        Ok(TrainState { members: states, ..state.clone() })
    }

    /// How many of `n_members` members go at once, and the estimate of memory.
    ///
    /// # Errors
    /// `Memory` if one member alone does not fit the budget.
    pub fn plan(&self, n_members: usize) -> Result<Chunking, TrainError> {
        let length = self.segment_steps().min(self.total_steps().max(1)) as usize;
        // The state before a segment is kept until all members have taken it.
        let resident = 2 * n_members * self.layout.bytes() + self.augmented_bytes();
        self.segment(length)?.chunking("training", n_members, resident, &self.resources)
    }

    fn augmented_bytes(&self) -> usize {
        match self.examples.inputs() {
            Some(inputs) if !self.config.augmentation.is_identity() => inputs[0].len() * 4,
            _ => 0,
        }
    }

    /// Steps between looks at the run: fewer than asked where those of one member would read more
    /// from a file than is to be held at once.
    fn segment_steps(&self) -> u64 {
        if self.examples.inputs().is_some() {
            return self.config.segment;
        }
        let bytes: usize = self.examples.input_types().iter().map(TensorType::size_in_bytes).sum();
        let example = bytes / self.examples.len();
        let step = self.config.batch.saturating_mul(example).max(1);
        self.config.segment.min((STORED_SEGMENT / step).max(1) as u64)
    }

    /// Takes all steps that are left.
    ///
    /// # Errors
    /// A state of another run, or too little memory. The state then stays at its last whole
    /// segment.
    pub fn run(
        &self,
        state: &mut TrainState,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        self.check_state(state)?;
        let total = self.total_steps();
        if state.step >= total {
            return Ok(Ended::Finished);
        }
        let chunking = self.plan(state.len())?;
        let mut feed = Feed::new(&self.examples, &self.batches, &self.config.augmentation);
        let segment = self.segment_steps();
        while state.step < total {
            let first = state.step;
            // Ends lie at multiples of the segment, wherever the run was resumed.
            let end = (first / segment + 1).saturating_mul(segment);
            let end = end.min(total);
            let metrics = self.advance(state, &chunking, &mut feed, first, end)?;
            let epoch = self.epoch_steps();
            let seen = Segment { first, end, total, epoch, metrics: &metrics, state };
            if observer.segment(&seen) == ControlFlow::Break(()) && end < total {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Finished)
    }

    /// Steps `first..end` of all members.
    fn advance(
        &self,
        state: &mut TrainState,
        chunking: &Chunking,
        feed: &mut Feed<'_>,
        first: u64,
        end: u64,
    ) -> Result<Metrics, TrainError> {
        let length = (end - first) as usize;
        let population = self.segment(length)?;
        let n = state.len();
        let nothing = vec![vec![f64::NAN; length]; n];
        let perturbs = population.graph().output_index(PERTURBED_LOSS).is_some();
        let if_any = |there: bool| if there { nothing.clone() } else { Vec::new() };
        let mut metrics = Metrics {
            accuracy: if_any(self.examples.classes()),
            perturbed_loss: if_any(perturbs),
            loss: nothing.clone(),
            gradient_norm: nothing.clone(),
        };
        let mut next = state.members.clone();
        for (own, filled) in chunking.chunks(n) {
            if state.members[own.clone()].iter().all(|m| m.status != Status::Running) {
                continue;
            }
            let members: Vec<&MemberState> = filled.iter().map(|&i| &state.members[i]).collect();
            let fed = self.feed(feed, &members, first, end)?;
            let arguments = arguments(&self.layout, &self.examples, &filled, &members, fed)?;
            let outputs = population.run(chunking.size, arguments)?;
            let (arrays, infos) = outputs.split_at(self.layout.arrays.len());
            for (row, index) in own.enumerate() {
                let member = &mut next[index];
                if member.status != Status::Running {
                    continue;
                }
                member.arrays = arrays.iter().map(|a| a.row(row)).collect::<Result<_, _>>()?;
                let mut of: Vec<Vec<f64>> = Vec::with_capacity(infos.len());
                for info in infos {
                    of.push(info.row(row)?.to_f64_vec());
                }
                let diverged =
                    (0..length).find(|&s| !(of[0][s].is_finite() && of[1][s].is_finite()));
                if let Some(at) = diverged {
                    member.status = Status::Diverged { step: first + at as u64 };
                    for values in &mut of {
                        values[at + 1..].fill(f64::NAN);
                    }
                }
                let mut of = of.into_iter();
                metrics.loss[index] = of.next().unwrap_or_default();
                metrics.gradient_norm[index] = of.next().unwrap_or_default();
                for to in [&mut metrics.accuracy, &mut metrics.perturbed_loss] {
                    if let Some(to) = to.get_mut(index) {
                        *to = of.next().unwrap_or_default();
                    }
                }
            }
        }
        state.members = next;
        state.step = end;
        Ok(metrics)
    }

    /// The sequences of one chunk.
    fn feed(
        &self,
        feed: &mut Feed<'_>,
        members: &[&MemberState],
        first: u64,
        end: u64,
    ) -> Result<Fed, TrainError> {
        let who: Vec<&Member> = members.iter().map(|member| &member.member).collect();
        let total = self.total_steps();
        let factors = (first..end).map(|step| self.config.schedule.factor(step, total));
        feed.steps(&who, first, end, factors.collect())
    }

    /// The graph of `length` steps of one member, ready for populations.
    fn segment(&self, length: usize) -> Result<Arc<Population>, TrainError> {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = segments.get(&length) {
            return Ok(known.clone());
        }
        let (graph, axes) =
            graph(&self.recipe, &self.layout, &self.config, &self.examples, length)?;
        let population = Arc::new(Population::new(self.executor.clone(), graph, axes));
        segments.insert(length, population.clone());
        Ok(population)
    }

    fn check_state(&self, state: &TrainState) -> Result<(), TrainError> {
        if *state.layout != *self.layout {
            let got = format!("{} other arrays", state.layout.arrays.len());
            let expected = format!("the {} arrays of this run", self.layout.arrays.len());
            return Err(TrainError::state("arrays", expected, got));
        }
        if let Some(own) = self.examples.own_targets().filter(|own| own.len() != state.len()) {
            let expected = format!("those of each of {} members", state.len());
            return Err(TrainError::setting("targets of members", expected, own.len()));
        }
        Ok(())
    }

    /// Values of all hyper-parameters for a member.
    fn hyper(&self, member: &Member) -> Result<Vec<f64>, TrainError> {
        let known = self.recipe.rule.hyper_parameters();
        if let Some(name) = member.hyper.keys().find(|&name| !known.iter().any(|h| h.name == name))
        {
            let names: Vec<_> = known.iter().map(|hyper| hyper.name).collect();
            let expected = format!("one of {}", names.join(", "));
            return Err(TrainError::setting("hyper-parameter", expected, name));
        }
        let mut values = Vec::with_capacity(known.len());
        for hyper in known {
            let own = member.hyper.get(hyper.name).copied();
            let value = match hyper.name {
                "lr" => own.unwrap_or(member.lr),
                _ => own.unwrap_or(hyper.default),
            };
            if !value.is_finite() {
                return Err(TrainError::setting(hyper.name, "a finite number", value));
            }
            values.push(value);
        }
        Ok(values)
    }
}
