//! The loss of a model on data.

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Subset, Targets};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Buffer, Loss, Mode, Model, Parameter};

/// Examples, batching and batch normalisation of a [`ModelObjective`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectiveConfig {
    /// Number of examples, drawn stratified by class; `None`: all.
    pub samples: Option<usize>,
    /// Examples in a batch. Changes results only under batch statistics.
    pub batch: usize,
    /// What batch normalisation does.
    pub batch_norm: BatchNorm,
}

impl Default for ObjectiveConfig {
    fn default() -> ObjectiveConfig {
        ObjectiveConfig { samples: None, batch: 128, batch_norm: BatchNorm::Frozen }
    }
}

/// The mean loss of a model over examples in a fixed order and fixed batches, without dropout.
///
/// The value is the plain mean over the examples taken. Where they are a sample, its standard
/// error is that of a stratified sample without replacement (see
/// [`thalweg_stats::Estimate::mean_of_strata`]).
///
/// # Example
/// ```
/// use thalweg_data::{Normalization, Split, SplitConfig, Stream, digits};
/// use thalweg_exec::Executor;
/// use thalweg_methods::{Context, ModelObjective, ObjectiveConfig, evaluate};
/// use thalweg_nn::{Architecture, Loss};
/// let split = Split::new(digits(), &SplitConfig::default())?;
/// let normalization = Normalization::fit(&split.train)?;
/// let model = "linear".parse::<Architecture>()?.build(&[8, 8, 1], 10)?;
/// let executor = Executor::new(1);
/// let ctx = Context::new(&executor, 0);
/// let config = ObjectiveConfig { samples: Some(256), ..ObjectiveConfig::default() };
/// let data = Some(&normalization);
/// let objective = ModelObjective::new(&ctx, &model, Loss::default(), &split.train, data, &config)?;
/// let mut weights = thalweg_train::initialize(&model, 0, ctx.precision())?;
/// weights.parameters = weights.parameters.unflatten(&vec![0.0; model.parameter_count()])?;
/// let at_zero = evaluate(&ctx, &objective, &weights)?;
/// assert!((at_zero.loss - 10f64.ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ModelObjective {
    model: Model,
    loss: Loss,
    float: DType,
    batch_norm: BatchNorm,
    data: Subset,
    available: usize,
    sampling: Sampling,
    batches: Vec<usize>,
    batch: usize,
    inputs: Array,
    targets: Array,
    classes: bool,
}

impl ModelObjective {
    /// The loss of `model` on `data`, or on a stratified sample of it from the stream
    /// `objective/sample`, its inputs normalised, in the context's precision.
    ///
    /// # Errors
    /// Data that do not fit the model or the loss, no examples, a batch of zero.
    pub fn new(
        ctx: &Context<'_>,
        model: &Model,
        loss: Loss,
        data: &Subset,
        normalization: Option<&Normalization>,
        config: &ObjectiveConfig,
    ) -> Result<ModelObjective, MethodError> {
        if config.batch == 0 {
            return Err(MethodError::config("batch size", "at least 1", 0));
        }
        if data.is_empty() {
            return Err(MethodError::config("data of the objective", "at least 1 example", 0));
        }
        let available = data.len();
        let chosen = match config.samples {
            Some(n) => data.stratified(n, &ctx.stream("objective/sample"))?,
            None => data.clone(),
        };
        let sampling = match chosen.len() < available {
            true => strata(data, &chosen),
            false => Sampling::All,
        };
        let float = ctx.precision();
        let raw = chosen.inputs()?;
        let inputs = match normalization {
            Some(normalization) => normalization.apply(&raw)?,
            None => raw,
        };
        let (targets, classes) = match chosen.targets()? {
            Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => (labels, true),
            Targets::Values(values) => (values.convert(float), false),
        };
        let batches: Vec<usize> = (0..chosen.len())
            .step_by(config.batch)
            .map(|start| config.batch.min(chosen.len() - start))
            .collect();
        let objective = ModelObjective {
            model: model.clone(),
            loss,
            float,
            batch_norm: config.batch_norm,
            data: chosen,
            available,
            sampling,
            batches,
            batch: config.batch,
            inputs: match inputs.dtype() {
                DType::I32 => inputs,
                _ => inputs.convert(float),
            },
            targets,
            classes,
        };
        objective.verify()?;
        Ok(objective)
    }

    /// Traces one batch of each size, so that what does not fit is said here.
    fn verify(&self) -> Result<(), MethodError> {
        let objective: &dyn Objective = self;
        for (_, batch) in objective.sizes() {
            let builder = Builder::new(self.float);
            let (parameters, buffers) = self.model.declare(&builder);
            let types = objective.data_types(batch)?;
            let data: Vec<_> = types
                .into_iter()
                .zip(["data.inputs", "data.targets"])
                .map(|(ty, name)| builder.input(name, ty))
                .collect();
            let own = self.batch_norm != BatchNorm::Frozen;
            let traced = self.trace(&builder, &parameters, &buffers, &data, own);
            builder.finish(&[("losses", traced.losses)])?;
        }
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The examples taken.
    pub fn subset(&self) -> &Subset {
        &self.data
    }

    /// How many examples there were to take from.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Examples in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }
}

/// Which positions of a sample are of which class, and the sizes of the classes.
fn strata(data: &Subset, chosen: &Subset) -> Sampling {
    let (Some(sizes), Some(labels)) = (data.class_counts(), chosen.labels()) else {
        return Sampling::Strata(vec![((0..chosen.len()).collect(), data.len())]);
    };
    let mut strata: Vec<(Vec<usize>, usize)> =
        sizes.into_iter().map(|size| (Vec::new(), size)).collect();
    for (position, label) in labels.into_iter().enumerate() {
        strata[label as usize].0.push(position);
    }
    Sampling::Strata(strata)
}

impl Objective for ModelObjective {
    fn parameters(&self) -> &[Parameter] {
        self.model.parameters()
    }

    fn buffers(&self) -> &[Buffer] {
        self.model.buffers()
    }

    fn float(&self) -> DType {
        self.float
    }

    fn batch_norm(&self) -> BatchNorm {
        self.batch_norm
    }

    fn batches(&self) -> &[usize] {
        &self.batches
    }

    fn data(&self, batch: usize) -> Result<Vec<Array>, MethodError> {
        let start = batch.saturating_mul(self.batch);
        let end = start + self.batches.get(batch).copied().unwrap_or(usize::MAX - start);
        Ok(vec![self.inputs.rows(start..end)?, self.targets.rows(start..end)?])
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        data: &[Tensor<'b>],
        batch_statistics: bool,
    ) -> Examples<'b> {
        let mode = if batch_statistics { Mode::BATCH } else { Mode::EVALUATE };
        let (inputs, targets) = (data[0], data[1]);
        let applied = self.model.apply(builder, parameters, buffers, inputs, &mode);
        Examples {
            losses: self.loss.per_example(applied.output, targets),
            correct: self.classes.then(|| Loss::correct(applied.output, targets)),
            statistics: applied.statistics,
        }
    }
}
