//! What a check works with.

use crate::check::Scale;
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_lab::{LabError, Result, Session};
use thalweg_methods::{Context, MethodError, NamedArrays, UnitStore};
use thalweg_nn::{Loss, Model, Weights};
use thalweg_train::{
    Ended, Evaluation, Evaluator, Examples, Member, Resources, Segment, Status, TrainConfig,
    TrainState, Trainer,
};

/// What a check works with: where to compute, whom to tell, where finished work is kept.
///
/// What takes long goes through [`Bench::numbers`] or [`Bench::train`], so that a run that was
/// stopped goes on from there. Every key is the check's own.
pub struct Bench<'a> {
    session: &'a Session,
    ctx: Context<'a>,
    scale: Scale,
}

/// A network after training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedNetwork {
    /// Its weights; those before the step at which it diverged, if it did.
    pub weights: Weights,
    /// Whether its loss stayed finite.
    pub finished: bool,
}

impl TrainedNetwork {
    /// Every member of a population.
    ///
    /// # Errors
    /// None of a state that a trainer made.
    pub fn all(state: &TrainState) -> Result<Vec<TrainedNetwork>> {
        let mut found = Vec::with_capacity(state.members().len());
        for (i, member) in state.members().iter().enumerate() {
            let finished = member.status == Status::Running;
            found.push(TrainedNetwork { weights: state.weights(i)?, finished });
        }
        Ok(found)
    }
}

impl<'a> Bench<'a> {
    /// A bench of a session, whose units are kept under `key`.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn new(
        session: &'a Session,
        units: &'a dyn UnitStore,
        key: &str,
        scale: Scale,
    ) -> Result<Bench<'a>> {
        let ctx = session.context(units)?.with_precision(DType::F32)?.within(key);
        Ok(Bench { session, ctx, scale })
    }

    /// How much is run.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The first if all of the check is run, else the second.
    pub fn whole_or<T>(&self, whole: T, sample: T) -> T {
        match self.scale {
            Scale::Whole => whole,
            Scale::Sample => sample,
        }
    }

    /// The root of the seeds.
    pub fn root(&self) -> u64 {
        self.session.seed
    }

    /// The context of methods in single precision.
    pub fn context(&self) -> &Context<'a> {
        &self.ctx
    }

    /// The context of methods in double precision.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn exact(&self) -> Result<Context<'a>> {
        Ok(self.ctx.clone().with_precision(DType::F64)?)
    }

    /// Where programs are compiled.
    pub fn executor(&self) -> Arc<Executor> {
        self.session.executor.clone()
    }

    /// What training may use.
    pub fn resources(&self) -> Resources {
        self.session.resources()
    }

    /// Numbers that are computed once.
    ///
    /// # Errors
    /// Those of the work and of the store.
    pub fn numbers(&self, key: &str, work: impl FnOnce() -> Result<Vec<f64>>) -> Result<Vec<f64>> {
        let arrays = self.unit(key, || Ok(vec![("values".into(), Array::vector(&work()?))]))?;
        Ok(arrays.first().map(|(_, array)| array.to_f64_vec()).unwrap_or_default())
    }

    /// A row of numbers that are computed once.
    ///
    /// # Errors
    /// As [`Bench::numbers`]; a stored row of another length.
    pub fn row<const N: usize>(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<[f64; N]>,
    ) -> Result<[f64; N]> {
        let numbers = self.numbers(key, || Ok(work()?.to_vec()))?;
        numbers.try_into().map_err(|other: Vec<f64>| {
            let got = other.len();
            LabError::Input(format!("stored unit {key:?}: expected {N} numbers, got {got}"))
        })
    }

    /// What each of some things gives, one after the other, with progress.
    ///
    /// # Errors
    /// Those of the work; `Interrupted` after any of them.
    pub fn each<T, R>(
        &self,
        what: &str,
        things: &[T],
        mut work: impl FnMut(&T) -> Result<R>,
    ) -> Result<Vec<R>> {
        let progress = self.ctx.progress();
        progress.start(what, things.len() as u64);
        let mut found = Vec::with_capacity(things.len());
        for thing in things {
            found.push(work(thing)?);
            progress.advance(1);
            self.ctx.check()?;
        }
        Ok(found)
    }

    /// Whether training goes on after a segment: until somebody interrupts.
    pub fn go_on(&self) -> ControlFlow<()> {
        match self.ctx.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// A trainer of a model on examples.
    ///
    /// # Errors
    /// Those of the trainer.
    pub fn trainer(
        &self,
        model: &Model,
        examples: &Examples,
        config: TrainConfig,
    ) -> Result<Trainer> {
        let (executor, resources) = (self.executor(), self.resources());
        Ok(Trainer::new(executor, model.clone(), examples.clone(), config, resources)?)
    }

    /// Losses and accuracy of each of some weights over all examples, in one pass.
    ///
    /// # Errors
    /// Examples or weights that do not fit the model.
    pub fn evaluations(
        &self,
        model: &Model,
        loss: Loss,
        examples: &Examples,
        weights: &[Weights],
    ) -> Result<Vec<Evaluation>> {
        let (executor, n) = (self.executor(), examples.len());
        let evaluator = Evaluator::new(executor, model.clone(), loss, examples.clone(), n)?;
        Ok(evaluator.evaluate(weights, &self.resources())?)
    }

    /// The share of examples that each network is right on; one that diverged is right on none.
    ///
    /// # Errors
    /// As [`Bench::evaluations`].
    pub fn accuracies(
        &self,
        model: &Model,
        examples: &Examples,
        networks: &[TrainedNetwork],
    ) -> Result<Vec<f64>> {
        let weights: Vec<Weights> = networks.iter().map(|known| known.weights.clone()).collect();
        let found = self.evaluations(model, Loss::default(), examples, &weights)?;
        let judged = found.iter().zip(networks);
        Ok(judged
            .map(|(found, known)| if known.finished { found.accuracy.unwrap_or(0.0) } else { 0.0 })
            .collect())
    }

    /// Trains members of a population once, each from the initial weights of its seed.
    ///
    /// # Errors
    /// Those of the trainer and of the store; `Interrupted` between segments.
    pub fn train(
        &self,
        key: &str,
        trainer: &Trainer,
        members: &[Member],
    ) -> Result<Vec<TrainedNetwork>> {
        self.trained(key, trainer, members, u64::MAX, || Ok(trainer.start(members)?))
    }

    /// As [`Bench::train`], but stopped at the end of the first segment that reaches a step.
    ///
    /// # Errors
    /// Those of [`Bench::train`].
    pub fn train_until(
        &self,
        key: &str,
        trainer: &Trainer,
        members: &[Member],
        step: u64,
    ) -> Result<Vec<TrainedNetwork>> {
        self.trained(key, trainer, members, step, || Ok(trainer.start(members)?))
    }

    /// As [`Bench::train`], each from given weights.
    ///
    /// # Errors
    /// Those of [`Bench::train`]; weights of another model.
    pub fn train_from(
        &self,
        key: &str,
        trainer: &Trainer,
        members: &[Member],
        weights: &[Weights],
    ) -> Result<Vec<TrainedNetwork>> {
        self.trained(key, trainer, members, u64::MAX, || Ok(trainer.start_from(members, weights)?))
    }

    /// As [`Bench::train`], with what each member was before its first step and after every `every`
    /// steps, in this order: of each of these times, each member. The trainer's segment divides
    /// `every`, or times lie at the next ends of segments.
    ///
    /// # Errors
    /// Those of [`Bench::train`].
    pub fn checkpoints(
        &self,
        key: &str,
        trainer: &Trainer,
        members: &[Member],
        every: u64,
    ) -> Result<Vec<Vec<TrainedNetwork>>> {
        let (total, every) = (trainer.total_steps(), every.max(1));
        let arrays = self.unit(key, || {
            let mut state = trainer.start(members)?;
            let progress = self.ctx.progress();
            progress.start(&format!("training: {key}"), total);
            let (mut arrays, mut finished) = (Vec::new(), Vec::new());
            keep(&state, &mut arrays, &mut finished)?;
            while state.step() < total {
                let until = (state.step() / every + 1).saturating_mul(every);
                let mut look = |segment: &Segment<'_>| {
                    progress.advance(segment.end - segment.first);
                    match segment.end < until && self.ctx.check().is_ok() {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                };
                trainer.run(&mut state, &mut look)?;
                self.ctx.check()?;
                keep(&state, &mut arrays, &mut finished)?;
            }
            arrays.push(("finished".into(), Array::vector(&finished)));
            Ok(arrays)
        })?;
        let flags = arrays.last().map_or(0, |(_, array)| array.len());
        let all = networks(key, &trainer.recipe().model, flags, arrays)?;
        Ok(all.chunks(members.len().max(1)).map(<[TrainedNetwork]>::to_vec).collect())
    }

    fn trained(
        &self,
        key: &str,
        trainer: &Trainer,
        members: &[Member],
        until: u64,
        start: impl FnOnce() -> Result<TrainState>,
    ) -> Result<Vec<TrainedNetwork>> {
        let model = &trainer.recipe().model;
        let arrays = self.unit(key, || {
            let mut state = start()?;
            self.ctx.progress().start(&format!("training: {key}"), trainer.total_steps());
            let mut look = |segment: &Segment<'_>| {
                self.ctx.progress().advance(segment.end - segment.first);
                match segment.end < until && self.ctx.check().is_ok() {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            let ended = trainer.run(&mut state, &mut look)?;
            if ended == Ended::Stopped && state.step() < until {
                return Err(LabError::Interrupted);
            }
            let (mut arrays, mut finished) = (Vec::new(), Vec::new());
            keep(&state, &mut arrays, &mut finished)?;
            arrays.push(("finished".into(), Array::vector(&finished)));
            Ok(arrays)
        })?;
        networks(key, model, members.len(), arrays)
    }

    /// A piece of work that is done once, with the errors of the laboratory.
    fn unit(&self, key: &str, work: impl FnOnce() -> Result<NamedArrays>) -> Result<NamedArrays> {
        let mut failure = None;
        let found = self.ctx.unit(key, || {
            work().map_err(|error| {
                failure = Some(error);
                MethodError::Interrupted
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(found?),
        }
    }
}

/// Adds the networks of a population, and whether the loss of each is finite.
fn keep(state: &TrainState, arrays: &mut NamedArrays, finished: &mut Vec<f64>) -> Result<()> {
    for network in TrainedNetwork::all(state)? {
        let (place, weights) = (finished.len(), &network.weights);
        finished.push(f64::from(u8::from(network.finished)));
        let all = weights.parameters.iter().chain(weights.buffers.iter());
        arrays.extend(all.map(|(name, array)| (format!("{place}.{name}"), array.clone())));
    }
    Ok(())
}

/// The networks of a stored population.
fn networks(
    key: &str,
    model: &Model,
    count: usize,
    arrays: NamedArrays,
) -> Result<Vec<TrainedNetwork>> {
    let (n_parameters, n_buffers) = (model.parameters().len(), model.buffers().len());
    let each = n_parameters + n_buffers;
    let flags = arrays.last().map(|(_, array)| array.to_f64_vec()).unwrap_or_default();
    if arrays.len() != count * each + 1 || flags.len() != count {
        return Err(LabError::Input(format!(
            "stored unit {key:?}: expected {count} networks of {each} arrays, got {} arrays",
            arrays.len()
        )));
    }
    let mut arrays = arrays.into_iter().map(|(_, array)| array);
    let mut found = Vec::with_capacity(count);
    for flag in flags {
        let parameters = model.parameter_tree(arrays.by_ref().take(n_parameters).collect())?;
        let buffers = model.buffer_tree(arrays.by_ref().take(n_buffers).collect())?;
        found.push(TrainedNetwork {
            weights: Weights { parameters, buffers },
            finished: flag == 1.0,
        });
    }
    Ok(found)
}
