//! Training in a run directory: checkpoints, measurements, weights.
//!
//! ```text
//! training/NAME/state.safetensors   where all members were at the last checkpoint
//! training/NAME/part-00003.parquet  measurements between two checkpoints
//! training/NAME/metrics.parquet     all of them, once the run is over; without a NAME at the top
//! trajectory/MEMBER/step-00000022.safetensors
//! ```

use crate::class_loss;
use crate::data_source::{DataChoice, PreparedData};
use crate::design::{Design, GRAPH};
use crate::effort::memory;
use crate::error::{LabError, Result};
use crate::files;
use crate::measurements::{Measurements, epoch_curves};
use crate::model_source::{WeightsInfo, weights_bytes};
use crate::run_directory::{METRICS, RunDirectory};
use crate::session::Session;
use crate::study::TrainSettings;
use crate::units;
use crate::watch::{Readings, Watch, noted};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use thalweg_array::Array;
use thalweg_data::Subset;
use thalweg_methods::Progress;
use thalweg_nn::{ClassLoss, Model, Weights};
use thalweg_record::{Table, TrainingCurve};
use thalweg_train::{
    Ended, Evaluation, Evaluator, Examples, Member, Segment, Status, TrainState, Trainer,
    run_deferred,
};

/// Examples of an evaluation pass; changes no bit.
const PASS: usize = 256;
/// A checkpoint may take this share of the time, one in so many.
const CHECKPOINT_SHARE: u32 = 20;

/// Where all members were at the last checkpoint, which of a finished run is its end.
pub(crate) const STATE: &str = "state.safetensors";

/// Where the state of a training is kept.
pub(crate) fn state_folder(run: &Path, name: &str) -> PathBuf {
    match name {
        "" => run.join("training"),
        name => run.join("training").join(name),
    }
}

/// What is trained: a model on data, with settings, under a name.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// The folder in `training`, and in front of the members' names.
    pub name: &'a str,
    /// The data.
    pub data: &'a PreparedData,
    /// Which data they are.
    pub choice: &'a DataChoice,
    /// What makes the model.
    pub design: &'a Design,
    /// The model.
    pub model: &'a Model,
    /// How.
    pub settings: &'a TrainSettings,
    /// The weights that every member starts from; none: each draws its own.
    pub start: Option<&'a Weights>,
}

/// A member at the end of its training.
#[derive(Debug, Clone)]
pub struct TrainedMember {
    /// Its name: `seed-3`, or `seed-3-lr-0.1` among several rates.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Its learning rate before the schedule.
    pub lr: f64,
    /// The step at which it diverged, if it did.
    pub diverged: Option<u64>,
    /// Steps taken.
    pub steps: u64,
    /// On the training part.
    pub train: Evaluation,
    /// On the test part.
    pub test: Evaluation,
    /// Where its weights were written.
    pub path: PathBuf,
    /// Its weights.
    pub weights: Weights,
}

/// What training left.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The members in order: for each rate, every seed.
    pub members: Vec<TrainedMember>,
    /// A row for each step and member.
    pub metrics: Table,
    /// The same, averaged over epochs: one curve a member.
    pub curves: Vec<TrainingCurve>,
}

/// The names of the members of a training, in their order.
pub(crate) fn member_names(name: &str, settings: &TrainSettings) -> Vec<String> {
    let members = Member::product(&settings.seeds, &settings.lr);
    members.iter().map(|member| member_name(name, settings, member)).collect()
}

/// The name of a member among others.
fn member_name(name: &str, settings: &TrainSettings, member: &Member) -> String {
    let mut parts = Vec::new();
    if !name.is_empty() {
        parts.push(name.to_owned());
    }
    if name.is_empty() || settings.seeds.len() > 1 {
        parts.push(format!("seed-{}", member.seed));
    }
    if settings.lr.len() > 1 {
        parts.push(format!("lr-{}", short(member.lr)));
    }
    parts.join("-")
}

/// A number in a name: file systems do not take hundreds of zeros.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if (1e-5..1e7).contains(&value) => value.to_string(),
        value => format!("{value:e}"),
    }
}

/// Trains a population in a run directory, from its last checkpoint if it has one.
///
/// # Errors
/// Settings that do not fit the data, too little memory, a directory that cannot be written;
/// `Interrupted` after a last checkpoint.
pub fn train(session: &Session, run: &RunDirectory, training: &Training<'_>) -> Result<Trained> {
    let (data, model, settings) = (training.data, training.model, training.settings);
    let config = settings.config(session, data)?;
    let float = config.precision;
    let examples = |subset: &Subset| Examples::new(subset, Some(&data.normalization), float);
    let executor = || session.executor.clone();
    let evaluator = |subset| {
        Ok(Evaluator::new(executor(), model.clone(), config.loss, examples(subset)?, PASS)?)
    };
    let test: Result<Evaluator> = evaluator(&data.test);
    let test = test?;
    let made = |examples: Examples| -> Result<Trainer> {
        let (model, config) = (model.clone(), config.clone());
        Ok(Trainer::new(executor(), model, examples, config, session.resources())?)
    };
    let loss: ClassLoss = settings.loss.parse()?;
    let all = examples(&data.train)?;
    let of_classes = class_loss::weights(&loss, data)?;
    let weighted = of_classes.map(|of| all.clone().with_class_weights(&of)).transpose()?;
    // Two where examples have weights only after a share of the steps.
    let (trainer, after) = match weighted {
        Some(weighted) if loss.from > 0.0 => (made(all)?, Some(made(weighted)?)),
        Some(weighted) => (made(weighted)?, None),
        None => (made(all)?, None),
    };
    let members = Member::product(&settings.seeds, &settings.lr);
    let names = member_names(training.name, settings);
    let info = WeightsInfo {
        architecture: Some(training.design.text_in_run(model)),
        data: Some(training.choice.clone()),
        loss: Some(class_loss::at_the_end(loss).to_string()),
        normalization: Some(data.normalization.clone()),
    };
    let folder = state_folder(run.path(), training.name);
    if let Design::Imported(graph) = training.design {
        let path = run.join(GRAPH);
        // A file with another's weights in it says nothing of where it is used.
        if !path.is_file() {
            files::atomic_write_bytes(&path, &graph.bytes(model)?)?;
        }
    }
    let mut watcher = Watcher {
        session,
        run,
        training,
        trainer: &trainer,
        test: &test,
        names: &names,
        info: &info,
        folder,
        parts: 0,
        measured: Measurements::new(&config, Vec::new()),
        watch: None,
        last: Instant::now(),
        cost: Duration::ZERO,
        failure: None,
    };
    let mut state = watcher.begin(&members)?;
    watcher.watch(&members, &state)?;
    let plan = trainer.plan(members.len())?;
    let together = match members.len() {
        1 => "one network".to_owned(),
        n => format!("{} of {n} networks at once", plan.size),
    };
    session.console.message(&format!("training {together} in {}", memory(plan.bytes)));
    session.console.start("training", trainer.total_steps());
    session.console.advance(state.step());
    let ended = match &after {
        None => trainer.run(&mut state, &mut watcher),
        Some(after) => run_deferred(&trainer, after, &mut state, loss.from, &mut watcher),
    };
    if let Some(failure) = watcher.failure.take() {
        return Err(failure);
    }
    if ended? == Ended::Stopped {
        return Err(LabError::Interrupted);
    }
    watcher.checkpoint(&state)?;
    let metrics = watcher.merge()?;
    session.check()?;
    finish(&watcher, &state, &evaluator(&data.train)?, metrics)
}

/// Evaluates and writes the final weights.
fn finish(
    watcher: &Watcher<'_>,
    state: &TrainState,
    train: &Evaluator,
    metrics: Table,
) -> Result<Trained> {
    let Watcher { session, run, training, test, names, info, .. } = *watcher;
    let all = all_weights(state)?;
    let on_train = train.evaluate(&all, &session.resources())?;
    let on_test = test.evaluate(&all, &session.resources())?;
    let mut members = Vec::with_capacity(all.len());
    let each = state.members().iter().zip(names).zip(all).zip(on_train.into_iter().zip(on_test));
    for (((member, name), weights), (train, test)) in each {
        let path = run.join("weights").join(format!("{name}.safetensors"));
        files::atomic_write_bytes(&path, &weights_bytes(training.model, &weights, info)?)?;
        let diverged = match member.status {
            Status::Diverged { step } => Some(step),
            // The last step is looked at by no later one.
            Status::Running if !train.loss.is_finite() => Some(state.step()),
            Status::Running => None,
        };
        if let Some(step) = diverged {
            let text = format!("{name} diverged: its loss is not finite after {step} steps");
            session.console.message(&text);
        }
        members.push(TrainedMember {
            name: name.clone(),
            seed: member.member.seed,
            lr: member.member.lr,
            diverged,
            steps: diverged.unwrap_or(state.step()),
            train,
            test,
            path,
            weights,
        });
    }
    let curves = epoch_curves(&metrics, names)?;
    Ok(Trained { members, metrics, curves })
}

fn all_weights(state: &TrainState) -> Result<Vec<Weights>> {
    Ok((0..state.len()).map(|i| state.weights(i)).collect::<std::result::Result<_, _>>()?)
}

/// Looks at the run between segments: measures, keeps weights, makes checkpoints.
struct Watcher<'a> {
    session: &'a Session,
    run: &'a RunDirectory,
    training: &'a Training<'a>,
    trainer: &'a Trainer,
    test: &'a Evaluator,
    names: &'a [String],
    info: &'a WeightsInfo,
    folder: PathBuf,
    /// Parts of the measurements that are written.
    parts: u64,
    measured: Measurements,
    watch: Option<Watch<'a>>,
    /// When the last checkpoint was made, and how long it took.
    last: Instant,
    cost: Duration,
    failure: Option<LabError>,
}

const PARTS: &str = "parts";

impl Watcher<'_> {
    /// The state of the last checkpoint, or a fresh one.
    fn begin(&mut self, members: &[Member]) -> Result<TrainState> {
        let path = self.folder.join(STATE);
        let saved = files::read_if_there(&path).map_err(crate::error::at(&path))?;
        let Some(bytes) = saved else {
            let state = match self.training.start {
                Some(weights) => {
                    self.trainer.start_from(members, &vec![weights.clone(); members.len()])?
                }
                None => self.trainer.start(members)?,
            };
            self.keep_trajectory(&state)?;
            return Ok(state);
        };
        let broken = |reason: &dyn std::fmt::Display| {
            LabError::Input(format!("{}: {reason}", path.display()))
        };
        let mut arrays = units::decode(&bytes).map_err(|reason| broken(&reason))?;
        let place = arrays.iter().position(|(name, _)| name == PARTS);
        let parts = place.and_then(|place| arrays.remove(place).1.item());
        self.parts = parts.ok_or_else(|| broken(&"it does not say its number of parts"))? as u64;
        let state = self.trainer.restore(members, &arrays)?;
        // Parts after the checkpoint are those of steps that are taken again.
        while fs::remove_file(self.part(self.parts)).is_ok() {
            self.parts += 1;
        }
        self.parts = parts.unwrap_or(0.0) as u64;
        Ok(state)
    }

    /// Readies what is to be read along the way, and reads it before the first step.
    fn watch(&mut self, members: &[Member], state: &TrainState) -> Result<()> {
        let Training { data, model, settings, start, .. } = *self.training;
        if settings.watch.is_none() {
            return Ok(());
        }
        // Columns are those at the weights that the first member began with: where it is now, it may
        // have diverged.
        let weights = match (start, members.first()) {
            (Some(weights), _) => weights.clone(),
            (None, Some(first)) => self.trainer.start(std::slice::from_ref(first))?.weights(0)?,
            (None, None) => return Ok(()),
        };
        self.watch = Watch::new(self.session, data, model, settings, &weights)?;
        let Some(watch) = &self.watch else { return Ok(()) };
        self.measured = Measurements::new(self.trainer.config(), watch.columns());
        if state.step() == 0 {
            let readings = watch.read(state, self.trainer.total_steps())?;
            self.measured.start(state, &readings);
        }
        Ok(())
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(format!("part-{number:05}.parquet"))
    }

    fn look(&mut self, segment: &Segment<'_>) -> Result<()> {
        let state = segment.state;
        let ends_epoch = segment.end / segment.epoch > segment.first / segment.epoch;
        let tested = if ends_epoch || segment.end == segment.total {
            Some(self.test.evaluate(&all_weights(state)?, &self.session.resources())?)
        } else {
            None
        };
        let readings = match &self.watch {
            Some(watch) => watch.read(state, segment.total)?,
            None => Readings::new(),
        };
        self.measured.add(segment, tested.as_deref(), &readings);
        self.session.console.note(&noted(&readings));
        let every = self.training.settings.checkpoints.saturating_mul(segment.epoch);
        if every > 0
            && (segment.end / every > segment.first / every || segment.end == segment.total)
        {
            self.keep_trajectory(state)?;
        }
        self.session.console.advance(segment.end - segment.first);
        if segment.end < segment.total && self.last.elapsed() >= CHECKPOINT_SHARE * self.cost {
            self.checkpoint(state)?;
        }
        Ok(())
    }

    fn keep_trajectory(&self, state: &TrainState) -> Result<()> {
        if self.training.settings.checkpoints == 0 {
            return Ok(());
        }
        for (index, name) in self.names.iter().enumerate() {
            let file = format!("step-{:08}.safetensors", state.step());
            let path = self.run.join("trajectory").join(name).join(file);
            let bytes = weights_bytes(self.training.model, &state.weights(index)?, self.info)?;
            files::atomic_write_bytes(&path, &bytes)?;
        }
        Ok(())
    }

    /// Writes the measurements since the last checkpoint, then the state that they belong to.
    fn checkpoint(&mut self, state: &TrainState) -> Result<()> {
        let begun = Instant::now();
        if let Some(table) = self.measured.take()? {
            let path = self.part(self.parts);
            files::atomic_write(&path, |writer| {
                table.write_parquet("part", writer).map_err(std::io::Error::other)
            })?;
            self.parts += 1;
        }
        let mut arrays = state.to_named_arrays()?;
        arrays.push((PARTS.to_owned(), Array::scalar(self.parts as i64)));
        let bytes = units::encode(&arrays).map_err(LabError::Input)?;
        files::atomic_write_bytes(&self.folder.join(STATE), &bytes)?;
        self.cost = begun.elapsed();
        self.last = Instant::now();
        Ok(())
    }

    /// All measurements in one file; the parts go when it is there.
    fn merge(&mut self) -> Result<Table> {
        let whole = match self.training.name {
            "" => self.run.join(METRICS),
            _ => self.folder.join(METRICS),
        };
        if let Some(bytes) = files::read_if_there(&whole).map_err(crate::error::at(&whole))? {
            self.remove_parts()?;
            return Ok(Table::read_parquet(METRICS, bytes)?);
        }
        let mut table = Table::new();
        for number in 0..self.parts {
            let path = self.part(number);
            table.append(Table::read_parquet(&path.to_string_lossy(), files::read(&path)?)?)?;
        }
        files::atomic_write(&whole, |writer| {
            table.write_parquet(METRICS, writer).map_err(std::io::Error::other)
        })?;
        self.remove_parts()?;
        Ok(table)
    }

    fn remove_parts(&self) -> Result<()> {
        for number in 0..self.parts {
            let path = self.part(number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(crate::error::at(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl thalweg_train::Observer for Watcher<'_> {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        if let Err(error) = self.look(segment) {
            self.failure = Some(error);
            return ControlFlow::Break(());
        }
        if self.session.interrupted.load(Ordering::Relaxed) && segment.end < segment.total {
            self.failure = self.checkpoint(segment.state).err();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
