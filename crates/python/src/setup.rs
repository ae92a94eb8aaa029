//! What is asked for, checked: options, data, and the context to compute in.

use crate::arrays::from_numpy;
use crate::failure::{Failure, Kind, Result};
use crate::job::Job;
use crate::model::Model;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_lab::{Budget, Bytes, ObjectiveChoice, Precision};
use thalweg_methods::{Context, ObjectiveConfig, Silent, UnitStore};
use thalweg_nn::{ClassLoss, Weights};

/// How a loss is taken, and with what.
#[derive(Clone, FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    /// The loss; none: the model's own.
    pub loss: Option<String>,
    /// Examples in a batch.
    pub batch: usize,
    /// `frozen`, `batch` or `recalibrated`.
    pub batch_norm: String,
    /// `f32` or `f64`.
    pub precision: String,
    /// Threads; 0: one for each core.
    pub threads: usize,
    /// As `2GiB`; none: most of what is free.
    pub memory: Option<String>,
    /// Examples, drawn by class; none: all.
    pub samples: Option<usize>,
    /// The root of every draw.
    pub seed: u64,
}

/// Inputs and targets.
#[derive(Clone)]
pub struct Data {
    inputs: Vec<Array>,
    targets: Array,
    classes: bool,
}

impl Data {
    /// One array for each of the model's inputs; targets of `int32` are labels.
    pub fn new(x: &[Bound<'_, PyUntypedArray>], y: &Bound<'_, PyUntypedArray>) -> Result<Data> {
        let inputs = x.iter().map(from_numpy).collect::<Result<_>>()?;
        let targets = from_numpy(y)?;
        let classes = targets.dtype() == DType::I32;
        Ok(Data { inputs, targets, classes })
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Array] {
        &self.inputs
    }

    /// The targets.
    pub fn targets(&self) -> &Array {
        &self.targets
    }

    /// Whether targets are labels.
    pub fn classes(&self) -> bool {
        self.classes
    }

    /// Examples of each class that a model tells apart, where a loss asks for them.
    pub fn class_counts(
        &self,
        model: &thalweg_nn::Model,
        loss: &ClassLoss,
    ) -> Result<Option<Vec<usize>>> {
        let one_each = self.targets.rank() == 1;
        let labels = self.targets.as_slice::<i32>().ok().filter(|_| one_each);
        Ok(loss.class_counts(labels, model.n_classes())?)
    }
}

/// A model, and what the options say, checked.
pub struct Setup {
    executor: Arc<Executor>,
    memory: usize,
    precision: Precision,
    seed: u64,
    loss: ClassLoss,
    config: ObjectiveConfig,
    model: Model,
}

impl Setup {
    /// The options for a model.
    pub fn new(model: &Model, options: &Options) -> Result<Setup> {
        let precision = parse(&options.precision, "precision")?;
        let memory = options.memory.as_deref().map(|text| parse::<Bytes>(text, "memory"));
        let budget = Budget::new(Some(options.threads), memory.transpose()?)?;
        let batch_norm = options.batch_norm.parse()?;
        if options.batch == 0 {
            return Err(Failure::config("batch", "at least 1 example", 0));
        }
        let loss = match &options.loss {
            Some(text) => text.parse()?,
            None => model.loss().into(),
        };
        Ok(Setup {
            executor: executor(budget.threads),
            memory: usize::try_from(budget.memory.0).unwrap_or(usize::MAX),
            precision,
            seed: options.seed,
            loss,
            config: ObjectiveConfig { samples: options.samples, batch: options.batch, batch_norm },
            model: model.clone(),
        })
    }

    /// Where programs are compiled.
    pub fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// Bytes that may be used.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The float type.
    pub fn dtype(&self) -> DType {
        self.precision.dtype()
    }

    /// The loss.
    pub fn loss(&self) -> ClassLoss {
        self.loss
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Samples, batches and batch norm.
    pub fn config(&self) -> &ObjectiveConfig {
        &self.config
    }

    /// The weights in the float type.
    pub fn weights(&self) -> Weights {
        self.model.weights().convert(self.dtype())
    }

    /// What records say of the objective.
    pub fn choice(&self) -> ObjectiveChoice {
        ObjectiveChoice {
            split: String::new(),
            samples: self.config.samples.unwrap_or(0),
            batch: self.config.batch,
            batch_norm: self.config.batch_norm.to_string(),
            loss: self.loss.to_string(),
            output: None,
        }
    }

    /// The root of every draw.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The context, with a store of finished work if there is one.
    pub fn context<'a>(
        &'a self,
        job: &'a Job,
        units: Option<&'a dyn UnitStore>,
    ) -> Result<Context<'a>> {
        static SILENT: Silent = Silent;
        Ok(Context::new(&self.executor, self.seed)
            .with_memory(self.memory)
            .with_precision(self.dtype())?
            .with_progress(job)
            .with_cancellation(job.cancelled())
            .with_units(units.unwrap_or(&SILENT)))
    }
}

/// A setting that does not parse, under its name.
pub fn parse<T: std::str::FromStr<Err = String>>(text: &str, what: &str) -> Result<T> {
    text.parse()
        .map_err(|e: String| Failure::new(Kind::Config, format!("{what}: {e}, got {text:?}")))
}

/// One executor for each number of threads, so that plans are made once. A process that was forked
/// off has none of its parent's threads, and gets executors of its own.
pub fn executor(threads: usize) -> Arc<Executor> {
    type Known = Mutex<HashMap<(u32, usize), Arc<Executor>>>;
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(Known::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (std::process::id(), threads);
    known.entry(key).or_insert_with(|| Arc::new(Executor::new(threads))).clone()
}
