//! Populations.

use crate::arrays::to_numpy;
use crate::failure::{Failure, Kind, Result};
use crate::job::Job;
use crate::objective::{Objective, Work};
use crate::setup::{Data, Setup};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use thalweg_array::{Array, DType};
use thalweg_data::LastBatch;
use thalweg_methods::Progress;
use thalweg_nn::Weights;
use thalweg_train::{
    Ended, Evaluation, Evaluator, Examples, History, Length, Member, Observer, Resources, Segment,
    Status, TrainConfig, Trainer, run_deferred,
};

/// How networks are trained.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    optimizer: String,
    schedule: String,
    /// Passes; 0 if `steps` says how long.
    epochs: u64,
    steps: u64,
    /// Examples in a batch of training.
    batch: usize,
    /// Seeds and rates, one pair a member.
    members: Vec<(u64, f64)>,
    /// Whether each member begins with the initial weights of its seed, and not with the model's.
    fresh: bool,
    /// Weights are kept every so many epochs; 0: only at the end.
    checkpoints: u64,
}

/// What became of a population.
struct Trained {
    history: History,
    members: Vec<TrainedMember>,
    epoch: u64,
    /// Steps after which the checkpoints were kept.
    kept: Vec<u64>,
    /// At each end of an epoch: the step, and what the members reached.
    validated: Vec<(u64, Vec<Evaluation>)>,
}

struct TrainedMember {
    member: Member,
    status: Status,
    weights: Weights,
    trajectory: Vec<Weights>,
}

/// Trains a population, and gives a dictionary for each member.
#[pyfunction]
pub fn train<'py>(
    py: Python<'py>,
    objective: &Bound<'py, Objective>,
    validation: Option<(Vec<Bound<'py, PyUntypedArray>>, Bound<'py, PyUntypedArray>)>,
    settings: Settings,
    reporter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let asked = objective.get();
    let (model, loss) = (asked.setup().model(), asked.setup().loss().loss);
    let validation = validation.map(|(x, y)| Data::new(&x, &y)).transpose()?;
    let trained = asked
        .work(py, None, reporter.as_ref(), move |work| run(work, validation.as_ref(), &settings))?;
    let list = PyList::empty(py);
    let several = trained.members.len() > 1;
    for (index, found) in trained.members.iter().enumerate() {
        let member = PyDict::new(py);
        member.set_item("seed", found.member.seed)?;
        member.set_item("lr", found.member.lr)?;
        let diverged = match found.status {
            Status::Diverged { step } => Some(step),
            Status::Running => None,
        };
        member.set_item("diverged", diverged)?;
        let name = match several {
            true => format!("seed-{}-lr-{}", found.member.seed, found.member.lr),
            false => "trained".to_owned(),
        };
        member.set_item("model", model.trained(&name, found.weights.clone(), loss))?;
        let kept = found.trajectory.iter().zip(&trained.kept).map(|(weights, step)| {
            (*step, model.trained(&format!("{name}-step-{step}"), weights.clone(), loss))
        });
        member.set_item("trajectory", kept.collect::<Vec<_>>())?;
        let metrics = &trained.history.metrics;
        for (key, values) in [
            ("loss", &metrics.loss),
            ("accuracy", &metrics.accuracy),
            ("gradient_norm", &metrics.gradient_norm),
            ("perturbed_loss", &metrics.perturbed_loss),
        ] {
            let values = values.get(index).cloned();
            let array = values.map(|v| {
                let n = v.len();
                to_numpy(py, v, &[n])
            });
            member.set_item(key, array.transpose()?)?;
        }
        let at = |f: &dyn Fn(&Evaluation) -> f64| {
            let values =
                trained.validated.iter().map(|(_, all)| all.get(index).map_or(f64::NAN, f));
            to_numpy(py, values.collect::<Vec<f64>>(), &[trained.validated.len()])
        };
        let steps: Vec<u64> = trained.validated.iter().map(|(step, _)| *step).collect();
        member.set_item("validation_step", steps)?;
        member.set_item("validation_loss", at(&|e| e.loss)?)?;
        member.set_item("validation_accuracy", at(&|e| e.accuracy.unwrap_or(f64::NAN))?)?;
        member.set_item("epoch_steps", trained.epoch)?;
        list.append(member)?;
    }
    Ok(list)
}

fn run(work: &Work<'_>, validation: Option<&Data>, settings: &Settings) -> Result<Trained> {
    let (setup, data, job) = (work.setup(), work.asked().data(), work.job());
    let float = setup.dtype();
    // The same data as a loss: what is wrong with them is said in the same words.
    work.asked().open(work.ctx())?;
    let nn = work.asked().function()?;
    let examples = examples(setup, data)?;
    let loss = setup.loss();
    let counts = data.class_counts(&nn, &loss)?;
    let weights = counts.as_ref().map(|counts| loss.weights(counts)).transpose()?.flatten();
    let adjustment = counts.map(|counts| loss.adjustment(&counts)).transpose()?.flatten();
    let n = examples.len() as u64;
    if settings.batch == 0 {
        return Err(Failure::config("batch", "at least 1 example", 0));
    }
    // Batches larger than the data would never be full.
    let batch = settings.batch.min(examples.len());
    let epoch = (n / batch as u64).max(1);
    let config = TrainConfig {
        optimizer: settings.optimizer.parse()?,
        schedule: settings.schedule.parse()?,
        loss: loss.loss,
        adjustment,
        batch,
        last_batch: LastBatch::Drop,
        length: match settings.epochs {
            0 => Length::Steps(settings.steps),
            epochs => Length::Epochs(epochs),
        },
        precision: float,
        segment: segment(epoch),
        ..TrainConfig::default()
    };
    let resources = Resources { memory: Some(setup.memory()), chunk: None };
    let executor = setup.executor().clone();
    let made = |examples: Examples| {
        Trainer::new(executor.clone(), nn.clone(), examples, config.clone(), resources)
    };
    let weighted = weights.map(|of| examples.clone().with_class_weights(&of)).transpose()?;
    // Two where examples have weights only after a share of the steps.
    let (trainer, after) = match weighted {
        Some(weighted) if loss.from > 0.0 => (made(examples)?, Some(made(weighted)?)),
        Some(weighted) => (made(weighted)?, None),
        None => (made(examples)?, None),
    };
    let members: Vec<Member> =
        settings.members.iter().map(|&(seed, lr)| Member::new(seed, lr)).collect();
    let mut state = match settings.fresh {
        true => trainer.start(&members)?,
        false => trainer.start_from(&members, &vec![setup.weights(); members.len()])?,
    };
    let evaluator = match validation {
        None => None,
        Some(data) => {
            let examples = self::examples(setup, data)?;
            Some(Evaluator::new(executor, nn.clone(), loss.loss, examples, 256)?)
        }
    };
    let mut watcher = Watcher {
        job,
        history: History::default(),
        evaluator: evaluator.as_ref(),
        resources,
        every: settings.checkpoints.saturating_mul(trainer.epoch_steps()),
        kept: Vec::new(),
        trajectories: vec![Vec::new(); members.len()],
        validated: Vec::new(),
        failure: None,
    };
    if watcher.every > 0 {
        watcher.keep(0, &state)?;
    }
    job.start("training", trainer.total_steps());
    let ended = match &after {
        None => trainer.run(&mut state, &mut watcher),
        Some(after) => run_deferred(&trainer, after, &mut state, loss.from, &mut watcher),
    };
    if let Some(failure) = watcher.failure.take() {
        return Err(failure);
    }
    if ended? == Ended::Stopped {
        return Err(Failure::new(Kind::Interrupted, "interrupted"));
    }
    let trajectories = std::mem::take(&mut watcher.trajectories);
    let found = state.members().iter().zip(trajectories).enumerate().map(|(i, (m, trajectory))| {
        let (member, status) = (m.member.clone(), m.status);
        Ok(TrainedMember { member, status, weights: state.weights(i)?, trajectory })
    });
    Ok(Trained {
        members: found.collect::<Result<_>>()?,
        history: watcher.history,
        epoch: trainer.epoch_steps(),
        kept: watcher.kept,
        validated: watcher.validated,
    })
}

fn examples(setup: &Setup, data: &Data) -> Result<Examples> {
    let float = setup.dtype();
    let inputs = setup.model().normalized(data.inputs())?.into_iter();
    let inputs = inputs.map(|x| if x.dtype() == DType::I32 { x } else { x.convert(float) });
    let targets: Array = match (data.classes(), data.targets().rank()) {
        (true, _) => data.targets().clone(),
        (false, 1) => data.targets().reshape(&[data.targets().len(), 1])?.convert(float),
        (false, _) => data.targets().convert(float),
    };
    Ok(Examples::from_all_arrays(inputs.collect(), targets, data.classes(), float)?)
}

/// Steps between two looks: the largest divisor of an epoch that is not too long, or 16.
fn segment(epoch: u64) -> u64 {
    let divisor = (1..=32).rev().find(|n| epoch.is_multiple_of(*n)).unwrap_or(1);
    if divisor < 8 && epoch > divisor { 16 } else { divisor }
}

/// Looks at a run between segments.
struct Watcher<'a> {
    job: &'a Job,
    history: History,
    evaluator: Option<&'a Evaluator>,
    resources: Resources,
    /// Steps between kept weights; 0: none are.
    every: u64,
    kept: Vec<u64>,
    trajectories: Vec<Vec<Weights>>,
    validated: Vec<(u64, Vec<Evaluation>)>,
    failure: Option<Failure>,
}

impl Watcher<'_> {
    fn keep(&mut self, step: u64, state: &thalweg_train::TrainState) -> Result<()> {
        self.kept.push(step);
        for (index, trajectory) in self.trajectories.iter_mut().enumerate() {
            trajectory.push(state.weights(index)?);
        }
        Ok(())
    }

    fn look(&mut self, segment: &Segment<'_>) -> Result<()> {
        let passed = |every: u64| segment.end / every > segment.first / every;
        let last = segment.end == segment.total;
        if self.every > 0 && (passed(self.every) || last) {
            self.keep(segment.end, segment.state)?;
        }
        if let Some(evaluator) = self.evaluator
            && (passed(segment.epoch.max(1)) || last)
        {
            let n = segment.state.len();
            let weights =
                (0..n).map(|i| Ok(segment.state.weights(i)?)).collect::<Result<Vec<_>>>()?;
            self.validated.push((segment.end, evaluator.evaluate(&weights, &self.resources)?));
        }
        self.job.advance(segment.end - segment.first);
        Ok(())
    }
}

impl Observer for Watcher<'_> {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        let _ = self.history.segment(segment);
        if let Err(failure) = self.look(segment) {
            self.failure = Some(failure);
            return ControlFlow::Break(());
        }
        match self.job.cancelled().load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
