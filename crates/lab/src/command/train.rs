//! `thalweg train`.

use super::{Outcome, explain, loss_name, provenance, within};
use crate::class_loss;
use crate::data_source::{DataChoice, DataOptions, InputKind, PreparedData};
use crate::error::Result;
use crate::model_source::{WeightsFile, open_model};
use crate::run_directory::{Output, RunDirectory};
use crate::session::Session;
use crate::stability;
use crate::study::{BudgetSection, Common, TrainOptions, TrainSettings};
use crate::subject::{Subject, Wanted};
use crate::train::{Trained, Training};
use crate::words;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_nn::ClassLoss;
use thalweg_record::reply::{Body, Member, MemberStatus, TrainBody};
use thalweg_record::{Explanation, ModelReport, Report};

/// What `train` was asked.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// The model whose weights the members start from; none: each draws its own.
    pub model: Option<PathBuf>,
    /// Which data.
    pub data: DataOptions,
    /// How.
    pub options: TrainOptions,
    /// Where to.
    pub output: Output,
}

/// `study.toml` of `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TrainStudy {
    #[serde(flatten)]
    common: Common,
    /// SHA-256 of the weights that the members start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights_fingerprint: Option<String>,
    data: DataChoice,
    train: TrainSettings,
    budget: BudgetSection,
}

/// The architecture where none is asked for.
fn default_architecture(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Images => "resnet depth=20 width=16",
        InputKind::Features => "mlp",
        InputKind::Tokens => "gpt",
    }
}

/// Trains a population.
///
/// # Errors
/// Options that do not parse or fit the data; a directory that cannot be written; `Interrupted`.
pub fn train(session: &Session, request: TrainRequest) -> Result<Outcome> {
    request.data.check()?;
    let mut settings = request.options.settings(session.seed)?;
    let architecture = request.options.architecture.as_deref();
    let open = |model| open_model(model, architecture);
    let file = request.model.as_deref().map(open).transpose()?;
    // Data that a model from elsewhere never saw are split as for any training.
    let seen = file.as_slice().iter().filter(|file| !file.is_foreign()).cloned();
    let seen: Vec<WeightsFile> = seen.collect();
    let (choice, mut data) = PreparedData::choose(&request.data, &seen, session.seed)?;
    data.tell(session);
    let mut start = None;
    if let Some(file) = &file {
        let loss = request.options.loss.as_deref();
        let wanted = Wanted { loss, output: None };
        let subject = Subject::new(session, file, &wanted, &data)?;
        settings.architecture = subject.architecture();
        if settings.loss.is_empty() {
            settings.loss = subject.loss.to_string();
        }
        data = subject.data;
        start = Some(subject.weights);
    }
    let (mut settings, design, model) = settings.for_data(&data, default_architecture)?;
    settings.watch(&request.options.watch, &model, &data);
    let study = TrainStudy {
        common: Common::new("train", session),
        weights_fingerprint: file.as_ref().map(WeightsFile::fingerprint),
        data: choice.clone(),
        train: settings,
        budget: BudgetSection::new(session),
    };
    let settings = &study.train;
    let run = RunDirectory::open("train", &request.output, &study)?;
    let (run, trained) = within(run, |run| {
        let (choice, design, model, start) = (&choice, &design, &model, start.as_ref());
        let training = Training { name: "", data: &data, choice, design, model, settings, start };
        crate::train::train(session, run, &training)
    })?;
    session.console.finish();
    let mut report =
        Report::new("Training", loss_name(&settings.loss), provenance(session, &choice));
    let network = design.words(&model);
    let (seeds, rates) = (settings.seeds.len(), settings.lr.len());
    let from = file.map(|file| format!(" from the weights of {}", file.path.display()));
    let from = from.unwrap_or_default();
    let how = format!("{network}, trained{from} for {}.", words::training(settings));
    report.summary = match (seeds, rates) {
        (1, 1) => format!("A {how}"),
        (n, 1) => format!("{n} members, one for each seed. Each is a {how}"),
        (1, n) => format!("{n} members, one for each learning rate. Each is a {how}"),
        (seeds, rates) => format!(
            "{} members, one for each pair of {seeds} seeds and {rates} learning rates. Each is a \
             {how}",
            seeds * rates
        ),
    };
    report.models = members(&trained, model.parameter_count())?;
    report.explanations = explanations(&data, settings);
    Ok(Outcome { body: Body::Train(body(&trained)), report, run })
}

fn members(trained: &Trained, parameters: usize) -> Result<Vec<ModelReport>> {
    let mut curves = trained.curves.iter();
    let mut stability = stability::of_members(&trained.metrics, trained.members.len())?.into_iter();
    Ok(trained
        .members
        .iter()
        .map(|member| ModelReport {
            name: member.name.clone(),
            // All are alike: only what sets a member apart stands beside its name.
            description: {
                let diverged = member.diverged.map(|step| {
                    format!("diverged at step {step}; its weights are those before it")
                });
                diverged.into_iter().chain(stability.next()).collect::<Vec<_>>().join("; ")
            },
            parameters: parameters as u64,
            test_accuracy: member.test.accuracy,
            loss: Some(member.train.loss.into()),
            curves: curves.next().into_iter().cloned().collect(),
            ..ModelReport::default()
        })
        .collect())
}

fn body(trained: &Trained) -> TrainBody {
    let members = trained
        .members
        .iter()
        .map(|member| Member {
            seed: member.seed,
            lr: member.lr,
            status: match member.diverged {
                Some(_) => MemberStatus::Diverged,
                None => MemberStatus::Finished,
            },
            steps: member.steps,
            train_loss: member.train.loss,
            test_loss: Some(member.test.loss),
            test_accuracy: member.test.accuracy,
            weights: member.path.display().to_string(),
        })
        .collect();
    TrainBody { members }
}

fn explanations(data: &PreparedData, settings: &TrainSettings) -> Vec<Explanation> {
    let mut explanations = vec![
        explain(
            "Loss",
            format!(
                "Mean over all {} training examples at the end, without augmentation. Batch \
                 normalisation, where there is any, uses the running statistics. A member that diverged keeps the weights \
                 before the step at which its loss or gradient was not finite.",
                data.train.len()
            ),
        ),
        explain(
            "Test accuracy",
            match data.dataset.example_shape() {
                [context] if data.kind() == InputKind::Tokens => format!(
                    "Share of characters that are told rightly from those before them, in the {} \
                     test windows of {context}: one stretch at the end of the text, which neither \
                     training nor any choice saw.",
                    data.test.len()
                ),
                _ => format!(
                    "Share of the {} test examples that are classified correctly; neither \
                     training nor any choice saw them.",
                    data.test.len()
                ),
            },
        ),
        explain(
            "Training curves",
            match settings.watch {
                None => {
                    "Loss, accuracy and gradient norm of the batch before each step, averaged over \
                     each epoch; test values at the end of the epoch. A line that ends in a cross is \
                     that of a member that diverged there."
                }
                Some(_) => {
                    "Loss, accuracy and gradient norm of the batch before each step, averaged from \
                     each reading or end of an epoch to the next; test values at the end of epochs. A \
                     line that ends in a cross is that of a member that diverged there."
                }
            },
        ),
    ];
    if let Some(loss) = settings.loss.parse::<ClassLoss>().ok().filter(|loss| !loss.is_plain()) {
        let mut how = class_loss::explanation(&loss).trim_start().to_owned();
        if loss.from > 0.0 {
            how += &format!(" Weights count from {} % of the steps on.", 100.0 * loss.from);
        }
        how += " Losses in the table and test values are those of the plain loss.";
        explanations.push(explain("Classes", how));
    }
    if let Some(watch) = &settings.watch {
        explanations.push(explain("Along the way", watch.words()));
    }
    explanations
}
