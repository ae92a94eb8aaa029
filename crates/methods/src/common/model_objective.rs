//! The loss of a model on data.

mod class_losses;

use super::objective::{BatchNorm, Examples, Objective, Sampling};
use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{
    DataError, Dataset, Normalization, Provenance, Subset, Targets, check_classes, check_indices,
};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Buffer, ClassAdjustment, Loss, Mode, Model, Parameter};

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
#[derive(Clone)]
pub struct ModelObjective {
    model: Model,
    loss: Loss,
    float: DType,
    batch_norm: BatchNorm,
    subset: Option<Subset>,
    available: usize,
    sampling: Sampling,
    batches: Vec<usize>,
    batch: usize,
    inputs: ObjectiveInputs,
    targets: Array,
    classes: bool,
    /// A factor of each example's loss.
    weights: Option<Array>,
    /// What is done to outputs before the loss sees them.
    adjustment: Option<ClassAdjustment>,
}

/// The inputs, or where they are read from.
#[derive(Clone)]
enum ObjectiveInputs {
    /// One array for each of the model's inputs.
    Arrays(Vec<Array>),
    /// The model's one input, read, normalised and converted for each batch.
    Stored(Subset, Option<Normalization>),
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
        let inputs = match chosen.is_stored() {
            true => ObjectiveInputs::Stored(chosen.clone(), normalization.cloned()),
            false => ObjectiveInputs::Arrays(vec![normalized(chosen.inputs()?, normalization)?]),
        };
        let (targets, classes) = match chosen.targets()? {
            Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => (labels, true),
            Targets::Values(values) => (values, false),
        };
        let float = ctx.precision();
        let weights = chosen.example_weights().map(|weights| weights.convert(float));
        let objective = ModelObjective {
            subset: Some(chosen),
            weights,
            available,
            sampling,
            ..ModelObjective::unverified(ctx, model, loss, inputs, targets, classes, config)?
        };
        objective.verify()?;
        Ok(objective)
    }

    /// The loss of `model` on arrays as they are, in the context's precision: one array for each of
    /// the model's inputs, `[n, ..]` of floats or `i32`; targets are labels `i32 [n, ..]` (`classes`)
    /// or values. Arrays of the context's own precision are shared, not copied.
    ///
    /// A sample is stratified by class where each example has one label.
    ///
    /// # Errors
    /// Arrays that do not fit each other, the model or the loss; a value that is not finite; a label
    /// that is none of the model's classes; a batch of zero.
    pub fn from_arrays(
        ctx: &Context<'_>,
        model: &Model,
        loss: Loss,
        inputs: Vec<Array>,
        targets: Array,
        classes: bool,
        config: &ObjectiveConfig,
    ) -> Result<ModelObjective, MethodError> {
        let n = targets.shape().first().copied().unwrap_or(0);
        if n == 0 {
            return Err(MethodError::config("data of the objective", "at least 1 example", 0));
        }
        for array in inputs.iter() {
            let rows = array.shape().first().copied().unwrap_or(0);
            if rows != n {
                return Err(DataError::Count { inputs: rows, targets: n }.into());
            }
            finite("inputs", array)?;
        }
        finite("targets", &targets)?;
        let sample = config.samples.map(|wanted| sample(ctx, &targets, classes, wanted));
        let (inputs, targets, sampling) = match sample.transpose()? {
            Some((rows, sampling)) => {
                let inputs = inputs.iter().map(|array| gather(array, &rows));
                (inputs.collect::<Result<_, _>>()?, gather(&targets, &rows)?, sampling)
            }
            None => (inputs, targets, Sampling::All),
        };
        let inputs = ObjectiveInputs::Arrays(inputs);
        let objective = ModelObjective {
            available: n,
            sampling,
            ..ModelObjective::unverified(ctx, model, loss, inputs, targets, classes, config)?
        };
        objective.verify()?;
        Ok(objective)
    }

    fn unverified(
        ctx: &Context<'_>,
        model: &Model,
        loss: Loss,
        inputs: ObjectiveInputs,
        targets: Array,
        classes: bool,
        config: &ObjectiveConfig,
    ) -> Result<ModelObjective, MethodError> {
        if config.batch == 0 {
            return Err(MethodError::config("batch size", "at least 1", 0));
        }
        if classes {
            check_classes(&targets, model.n_classes())?;
        }
        if let ObjectiveInputs::Arrays(arrays) = &inputs {
            for (array, range) in arrays.iter().zip(model.index_ranges()) {
                range.as_ref().map_or(Ok(()), |range| check_indices(array, range))?;
            }
        }
        let float = ctx.precision();
        let n = targets.shape().first().copied().unwrap_or(0);
        let batches: Vec<usize> =
            (0..n).step_by(config.batch).map(|start| config.batch.min(n - start)).collect();
        let inputs = match inputs {
            ObjectiveInputs::Arrays(arrays) => ObjectiveInputs::Arrays(
                arrays.into_iter().map(|array| as_float(array, float)).collect(),
            ),
            stored => stored,
        };
        Ok(ModelObjective {
            model: model.clone(),
            loss,
            float,
            batch_norm: config.batch_norm,
            subset: None,
            available: n,
            sampling: Sampling::All,
            batches,
            batch: config.batch,
            inputs,
            targets: if classes { targets } else { targets.convert(float) },
            classes,
            weights: None,
            adjustment: None,
        })
    }

    /// The same examples and outputs under another loss.
    ///
    /// # Errors
    /// A loss that does not fit the outputs or the targets.
    pub fn with_loss(mut self, loss: Loss) -> Result<ModelObjective, MethodError> {
        self.loss = loss;
        self.verify()?;
        Ok(self)
    }

    /// Traces one batch of each size, so that what does not fit is said here.
    fn verify(&self) -> Result<(), MethodError> {
        let objective: &dyn Objective = self;
        for (_, batch) in objective.sizes() {
            let builder = Builder::new(self.float);
            let (parameters, buffers) = self.model.declare(&builder);
            let types = objective.data_types(batch)?.into_iter().enumerate();
            let data: Vec<_> =
                types.map(|(i, ty)| builder.input(&format!("data.{i}"), ty)).collect();
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

    /// The examples taken, where they are those of a data set.
    pub fn subset(&self) -> Option<&Subset> {
        self.subset.as_ref()
    }

    /// How many examples are taken.
    pub fn examples(&self) -> usize {
        self.batches.iter().sum()
    }

    /// How many arrays the model reads of an example.
    pub(crate) fn n_inputs(&self) -> usize {
        match &self.inputs {
            ObjectiveInputs::Arrays(arrays) => arrays.len(),
            ObjectiveInputs::Stored(..) => 1,
        }
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

/// In a float type; tokens as they are.
fn as_float(array: Array, float: DType) -> Array {
    match array.dtype() {
        DType::I32 => array,
        _ => array.convert(float),
    }
}

fn normalized(raw: Array, normalization: Option<&Normalization>) -> Result<Array, DataError> {
    match normalization {
        Some(normalization) => normalization.apply(&raw),
        None => Ok(raw),
    }
}

/// Rows of a sample, and which strata they are of.
fn sample(
    ctx: &Context<'_>,
    targets: &Array,
    classes: bool,
    wanted: usize,
) -> Result<(Vec<usize>, Sampling), MethodError> {
    let n = targets.shape()[0];
    // A data set of nothing but targets draws as one with inputs does.
    let (inputs, terms) = (Array::zeros(DType::F32, &[n, 1]), Provenance::default());
    let dataset = match classes && targets.len() == n {
        true => {
            let labels = targets.reshape(&[n])?;
            let largest = labels.as_slice::<i32>()?.iter().copied().max().unwrap_or(0);
            let n_classes = usize::try_from(largest).unwrap_or(0) + 1;
            Dataset::classification("targets", &inputs, &labels, Some(n_classes), terms)?
        }
        false => Dataset::regression("targets", &inputs, &Array::zeros(DType::F32, &[n]), terms)?,
    };
    let all = Subset::all(Arc::new(dataset));
    let chosen = all.stratified(wanted, &ctx.stream("objective/sample"))?;
    let sampling = if chosen.len() < n { strata(&all, &chosen) } else { Sampling::All };
    Ok((chosen.rows().to_vec(), sampling))
}

/// Some rows of an array, in the order given.
pub(super) fn gather(array: &Array, rows: &[usize]) -> Result<Array, MethodError> {
    let each: Vec<Array> = rows.iter().map(|&row| array.row(row)).collect::<Result<_, _>>()?;
    Ok(Array::stack(&each)?)
}

/// Refuses numbers that are not finite, by their row.
fn finite(what: &'static str, array: &Array) -> Result<(), MethodError> {
    fn faults<T: Copy>(values: &[T], finite: impl Fn(T) -> bool) -> Vec<usize> {
        (0..values.len()).filter(|&at| !finite(values[at])).collect()
    }
    let bad = match array.dtype() {
        DType::F32 => faults(array.as_slice::<f32>()?, f32::is_finite),
        DType::F64 => faults(array.as_slice::<f64>()?, f64::is_finite),
        _ => Vec::new(),
    };
    let Some(&at) = bad.first() else { return Ok(()) };
    let length = (array.len() / array.shape()[0].max(1)).max(1);
    let value = array.reshape(&[array.len()])?.row(at)?.item().unwrap_or(f64::NAN).to_string();
    let (row, element) = (at / length, at % length);
    let rows = bad.iter().map(|at| at / length).collect();
    Err(DataError::NotFinite { what, row, rows, element, value }.into())
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
        let count = self.batches.len();
        let Some(examples) = self.batches.get(batch) else {
            return Err(MethodError::config("a batch", format!("one below {count}"), batch));
        };
        let start = batch * self.batch;
        let end = start + examples;
        let mut data = match &self.inputs {
            ObjectiveInputs::Arrays(arrays) => {
                arrays.iter().map(|array| array.rows(start..end)).collect::<Result<Vec<_>, _>>()?
            }
            ObjectiveInputs::Stored(subset, normalization) => {
                let raw = subset.input_rows(start..end)?;
                vec![as_float(normalized(raw, normalization.as_ref())?, self.float)]
            }
        };
        for array in [Some(&self.targets), self.weights.as_ref()].into_iter().flatten() {
            data.push(array.rows(start..end)?);
        }
        Ok(data)
    }

    fn data_at(&self, places: &[usize]) -> Result<Vec<Array>, MethodError> {
        let n = self.examples();
        if let Some(place) = places.iter().find(|&&place| place >= n) {
            return Err(MethodError::config("an example", format!("one below {n}"), place));
        }
        let mut data = match &self.inputs {
            ObjectiveInputs::Arrays(arrays) => {
                arrays.iter().map(|array| gather(array, places)).collect::<Result<Vec<_>, _>>()?
            }
            ObjectiveInputs::Stored(subset, normalization) => {
                let rows: Vec<usize> = places.iter().map(|&place| subset.rows()[place]).collect();
                let raw = subset.dataset().inputs().gather(&rows)?;
                vec![as_float(normalized(raw, normalization.as_ref())?, self.float)]
            }
        };
        for array in [Some(&self.targets), self.weights.as_ref()].into_iter().flatten() {
            data.push(gather(array, places)?);
        }
        Ok(data)
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn loss(&self) -> Option<Loss> {
        Some(self.loss)
    }

    fn is_likelihood(&self) -> bool {
        let without = |of: &ClassAdjustment| of.margins.iter().all(|margin| *margin == 0.0);
        self.adjustment.as_ref().is_none_or(without)
    }

    fn labels(&self) -> Option<Vec<i32>> {
        let each = self.classes && self.targets.rank() == 1;
        each.then(|| self.targets.as_slice::<i32>().ok().map(<[i32]>::to_vec)).flatten()
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
        let (inputs, rest) = data.split_at(self.n_inputs());
        let targets = rest[0];
        let applied = self.model.apply_to_all(builder, parameters, buffers, inputs, &mode);
        let seen = match &self.adjustment {
            Some(adjustment) => adjustment.apply(applied.output, targets),
            None => applied.output,
        };
        Examples {
            losses: match rest.get(1) {
                Some(&weights) => weights * self.loss.per_example(seen, targets),
                None => self.loss.per_example(seen, targets),
            },
            correct: self.classes.then(|| Loss::correct(applied.output, targets)),
            statistics: applied.statistics,
            outputs: Some(seen),
            weights: rest.get(1).copied(),
        }
    }
}
