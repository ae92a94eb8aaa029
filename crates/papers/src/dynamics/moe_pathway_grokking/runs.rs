//! Runs of a mixture of experts, seen at their checkpoints.

use super::curves::{Run, Seen};
use crate::bench::Bench;
use crate::cloze::Cloze;
use crate::work;
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::dynamics::{MoeTransformer, RoutingObserver, router_rows};
use thalweg_nn::{Model, Multipliers};
use thalweg_train::{Examples, Length, Member, Optimizer, Schedule, TrainConfig, Trainer};

/// Where following begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// The first checkpoint with this accuracy on the training examples that are watched. Later ones that
    /// have less do not count.
    Accuracy(f64),
    /// The first checkpoint by which this share of them is memorised.
    Memorised(f64),
}

/// How much of a task is done.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub network: MoeTransformer,
    pub batch: usize,
    pub steps: u64,
    /// Steps from one checkpoint to the next.
    pub every: u64,
    /// Examples that are watched: of training, held out, and of the cloze.
    pub watched: [usize; 3],
    /// Pairs of examples that the distance is the mean over.
    pub pairs: usize,
    pub start: Start,
    /// Nats within which a loss counts as its last, and the same of an accuracy.
    pub tolerances: [f64; 2],
    /// Examples of a group.
    pub least: usize,
}

impl Sizes {
    /// Checkpoints, the one before the first step included.
    pub fn looks(&self) -> usize {
        self.steps.div_ceil(self.every) as usize + 1
    }

    /// Operations of this many members.
    pub fn flops(&self, members: usize) -> Result<u64> {
        let model = self.network.model()?;
        let watched = self.watched.iter().sum::<usize>() * self.looks() * members;
        Ok(work::training(&model, self.batch, self.steps, members)?
            + work::forward(&model, watched)?)
    }
}

/// A task with its data.
pub(super) struct Task {
    /// The name of its units.
    pub key: &'static str,
    pub sizes: Sizes,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub rate: f64,
    pub train: Examples,
    /// Training examples that are watched.
    pub watched: Examples,
    pub held_out: Examples,
    pub cloze: Option<Cloze>,
}

/// Examples that go through an observer at a time.
const AT_ONCE: usize = 64;
/// Seeds that are trained together, between which a run that was stopped goes on.
const TOGETHER: usize = 2;

fn observer(bench: &Bench<'_>, model: &Model, examples: &Examples) -> Result<RoutingObserver> {
    let inputs = examples.input_rows(0..examples.len())?;
    let [tokens] = &inputs[..] else {
        return Err(LabError::Input("a mixture of experts: expected one input".into()));
    };
    Ok(RoutingObserver::new(bench.context(), model, tokens, examples.targets(), AT_ONCE)?)
}

impl Task {
    /// A run for each seed; with `frozen` the router stays as it was drawn.
    ///
    /// # Errors
    /// Those of the engine; `Interrupted`.
    pub fn runs(&self, bench: &Bench<'_>, frozen: bool, seeds: &[u64]) -> Result<Vec<Run>> {
        let arm = if frozen { "frozen" } else { "routed" };
        let each = Run::numbers_of(self.sizes.looks());
        let mut runs = Vec::new();
        for seeds in seeds.chunks(TOGETHER) {
            let first = seeds.first().copied().unwrap_or_default();
            let key = format!("{}/{arm}/{first}", self.key);
            let numbers = bench.numbers(&key, || self.numbers(bench, &key, frozen, seeds))?;
            let (expected, got) = (each * seeds.len(), numbers.len());
            if got != expected {
                let text = format!("stored unit {key:?}: expected {expected} numbers, got {got}");
                return Err(LabError::Input(text));
            }
            runs.extend(numbers.chunks_exact(each).map(Run::from_numbers));
        }
        Ok(runs)
    }

    /// Trains, looks, and works out the numbers of [`Task::runs`], run after run.
    fn numbers(
        &self,
        bench: &Bench<'_>,
        key: &str,
        frozen: bool,
        seeds: &[u64],
    ) -> Result<Vec<f64>> {
        let routers = self.sizes.network.routers();
        let mut model = self.sizes.network.model()?;
        if frozen {
            model = model.with_multipliers(|p| match routers.contains(&p.name) {
                true => Multipliers { learning_rate: 0.0, decay: 0.0, ..p.multipliers },
                false => p.multipliers,
            });
        }
        let config = TrainConfig {
            optimizer: self.optimizer.clone(),
            schedule: self.schedule.clone(),
            batch: self.sizes.batch,
            length: Length::Steps(self.sizes.steps),
            segment: self.sizes.every,
            ..TrainConfig::default()
        };
        let (executor, resources) = (bench.executor(), bench.resources());
        let trainer = Trainer::new(executor, model.clone(), self.train.clone(), config, resources)?;
        let members: Vec<Member> = seeds.iter().map(|&seed| Member::new(seed, self.rate)).collect();
        let training = format!("{key}/training");
        let times = bench.checkpoints(&training, &trainer, &members, self.sizes.every)?;
        let watched = observer(bench, &model, &self.watched)?;
        let held_out = observer(bench, &model, &self.held_out)?;
        let cloze = match &self.cloze {
            Some(cloze) => Some((cloze, observer(bench, &model, &cloze.examples)?)),
            None => None,
        };
        let progress = bench.context().progress();
        progress.start(&format!("looking: {key}"), (times.len() * members.len()) as u64);
        let stream = Stream::new(bench.root(), "papers/pairs of pathways");
        let mut numbers = Vec::new();
        for member in 0..members.len() {
            let mut seen = Vec::new();
            for (time, networks) in times.iter().enumerate() {
                bench.context().check()?;
                let Some(network) = networks.get(member) else { continue };
                let weights = &network.weights;
                let score = match &cloze {
                    Some((cloze, observer)) => cloze.score(&observer.at(weights)?.losses),
                    None => f64::NAN,
                };
                seen.push(Seen {
                    step: (time as u64 * self.sizes.every).min(self.sizes.steps) as f64,
                    train: watched.at(weights)?,
                    held_out: held_out.at(weights)?,
                    cloze: score,
                    routers: router_rows(&weights.parameters, &routers)?,
                });
                progress.advance(1);
            }
            numbers.extend(Run::of(&seen, &self.sizes, &stream)?.numbers());
        }
        Ok(numbers)
    }
}
