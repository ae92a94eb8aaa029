//! A model with its weights, and the loss around it.

use crate::class_loss;
use crate::data_source::{PreparedData, ScaleSaid};
use crate::design::Design;
use crate::error::{LabError, Result, usage};
use crate::model_source::WeightsFile;
use crate::session::Session;
use crate::study::default_loss;
use serde::{Deserialize, Serialize};
use thalweg_data::Normalization;
use thalweg_methods::{BatchNorm, Context, ModelObjective, ObjectiveConfig, Progress};
use thalweg_nn::{ClassLoss, Model, Weights};
use thalweg_train::{Evaluator, Examples};

/// Examples in a pass over the test part.
const BATCH: usize = 256;

/// On what the loss is evaluated, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveChoice {
    /// `train`, `test` or `all`; empty until it is known whether the model was trained on a part.
    pub split: String,
    /// Examples, stratified by class; 0: all.
    pub samples: usize,
    /// Examples in a batch; part of the objective under batch statistics.
    pub batch: usize,
    /// `frozen`, `batch` or `recalibrated`.
    pub batch_norm: String,
    /// The loss; empty until it is known which one the model was trained with.
    pub loss: String,
    /// The output that the loss is of; none: the one that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl ObjectiveChoice {
    /// Refuses what the command line alone shows to be wrong.
    ///
    /// # Errors
    /// `Usage` with the option.
    pub fn check(&self) -> Result<()> {
        if !matches!(self.split.as_str(), "" | "train" | "test" | "all") {
            let text = format!("--split {}: expected train, test or all", self.split);
            return Err(LabError::Usage(text));
        }
        if self.batch == 0 {
            return Err(LabError::Usage("--batch 0: expected at least 1 example".into()));
        }
        self.batch_norm.parse::<BatchNorm>().map_err(|e| usage("--batch-norm")(&e))?;
        if !self.loss.is_empty() {
            let loss: ClassLoss = self.loss.parse().map_err(|e| usage("--loss")(&e))?;
            class_loss::check_measured(&loss)?;
        }
        Ok(())
    }
}

/// What is asked of a model beside its file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The output that the loss is of.
    pub output: Option<&'a str>,
    /// The loss.
    pub loss: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What a command's options ask for.
    pub fn new(objective: &'a ObjectiveChoice) -> Wanted<'a> {
        Wanted {
            output: objective.output.as_deref(),
            loss: Some(objective.loss.as_str()).filter(|text| !text.is_empty()),
        }
    }
}

/// A model at a point of weight space, with the data that it is measured on.
#[derive(Debug, Clone)]
pub struct Subject {
    /// A short name.
    pub name: String,
    /// What makes the model.
    pub design: Design,
    /// The model.
    pub model: Model,
    /// The point.
    pub weights: Weights,
    /// The loss that it was trained with.
    pub loss: ClassLoss,
    /// The data, with the normalisation that the model was trained with.
    pub data: PreparedData,
}

impl Subject {
    /// The model of a file.
    ///
    /// # Errors
    /// `Input` if the file does not say its architecture or holds other weights; `Nn` if the
    /// architecture cannot take the data.
    pub fn new(
        session: &Session,
        file: &WeightsFile,
        wanted: &Wanted<'_>,
        data: &PreparedData,
    ) -> Result<Subject> {
        let mut design = file.design()?.clone();
        let loss: ClassLoss = match (wanted.loss, &file.info.loss) {
            (Some(text), _) => text.parse().map_err(|e| usage("--loss")(&e))?,
            (None, Some(text)) => text.parse()?,
            (None, None) => default_loss(data).into(),
        };
        if let Some(output) = wanted.output {
            design = design.with_output(output)?;
        }
        if let Some(said) = design.said(loss.loss) {
            session.console.message(&format!("{}: {said}", file.path.display()));
        }
        let model = design.model(data, Some(loss.loss))?;
        let weights = file.weights(&model, session.precision.dtype())?;
        if let Some(prefix) = file.prefix(&model) {
            session.console.message(&format!(
                "{}: `{prefix}` was taken off every name of its weights",
                file.path.display()
            ));
        }
        let mut data = data.clone();
        if let Some(known) = &file.info.normalization {
            let channels = data.dataset.example_shape().last().copied().unwrap_or(1);
            if known.mean.len() != channels {
                return Err(LabError::Input(format!(
                    "{}: it was trained on inputs of {} channels, the data have {channels}",
                    file.path.display(),
                    known.mean.len(),
                )));
            }
        }
        data.check_labels(&model)?;
        // How inputs of a model from elsewhere were scaled is not known: they are taken as they
        // are, unless it is said.
        let known = file.info.normalization.clone();
        data.normalization = match (data.scale, known) {
            (ScaleSaid::Asked, _) | (ScaleSaid::Beside, None) => data.normalization,
            (_, Some(known)) => known,
            (ScaleSaid::Nowhere, None) => Normalization::identity(),
        };
        let fingerprint = data.dataset.fingerprint();
        if let Some(trained) = &file.info.data
            && trained.fingerprint != fingerprint
        {
            session.console.message(&format!(
                "{} was trained on other data than it is measured on: on {} with fingerprint {}, \
                 and these have {fingerprint}",
                file.name, trained.name, trained.fingerprint
            ));
        }
        Ok(Subject { name: file.name.clone(), design, model, weights, loss, data })
    }

    /// The text of the architecture.
    pub fn architecture(&self) -> String {
        self.design.text(&self.model)
    }

    /// The network in words.
    pub(crate) fn words(&self) -> String {
        self.design.words(&self.model)
    }

    /// The choice with what was left open: the part of the data that the model was trained on, or
    /// all of them if it is not known, and the loss that it was trained with.
    pub fn complete(&self, mut choice: ObjectiveChoice) -> ObjectiveChoice {
        if choice.split.is_empty() {
            choice.split = if self.data.is_whole() { "all" } else { "train" }.to_owned();
        }
        if choice.loss.is_empty() {
            choice.loss = self.loss.to_string();
        }
        choice
    }

    /// The loss around the model.
    ///
    /// # Errors
    /// Data that do not fit the model or the loss.
    pub fn objective(&self, ctx: &Context<'_>, choice: &ObjectiveChoice) -> Result<ModelObjective> {
        let loss = if choice.loss.is_empty() { self.loss } else { choice.loss.parse()? };
        self.data.check_loss(&loss.loss)?;
        let config = ObjectiveConfig {
            samples: (choice.samples > 0).then_some(choice.samples),
            batch: choice.batch,
            batch_norm: choice.batch_norm.parse()?,
        };
        let part = self.data.part(&choice.split)?;
        let normalization = Some(&self.data.normalization);
        let plain =
            ModelObjective::new(ctx, &self.model, loss.loss, &part, normalization, &config)?;
        class_loss::adjusted(plain, &loss, &self.data)
    }

    /// The share of all test examples that are classified correctly, with running statistics.
    ///
    /// # Errors
    /// Data that do not fit the model, or too little memory.
    pub fn test_accuracy(&self, session: &Session) -> Result<Option<f64>> {
        let float = session.precision.dtype();
        let test = &self.data.test;
        let normalization = Some(&self.data.normalization);
        let examples = Examples::new(test, normalization, float)?;
        let executor = session.executor.clone();
        let (model, loss) = (self.model.clone(), self.loss.loss);
        let evaluator = Evaluator::new(executor, model, loss, examples, BATCH)?;
        let weights = std::slice::from_ref(&self.weights);
        let found = evaluator.evaluate(weights, &session.resources())?;
        Ok(found.first().and_then(|evaluation| evaluation.accuracy))
    }
}
