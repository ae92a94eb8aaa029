//! `thalweg train`.

use super::{Outcome, explain, loss_name, provenance, within};
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::error::Result;
use crate::run_directory::{Output, RunDirectory};
use crate::session::Session;
use crate::study::{BudgetSection, Common, TrainOptions, TrainSettings};
use crate::train::{Trained, Training};
use serde::{Deserialize, Serialize};
use thalweg_record::reply::{Body, Member, MemberStatus, TrainBody};
use thalweg_record::{Explanation, ModelReport, Report};

/// What `train` was asked.
#[derive(Debug, Clone)]
pub struct TrainRequest {
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
    data: DataChoice,
    train: TrainSettings,
    budget: BudgetSection,
}

/// Architectures where none is asked for.
const IMAGES: &str = "resnet depth=20 width=16";
const FEATURES: &str = "mlp";

/// Trains a population.
///
/// # Errors
/// Options that do not parse or fit the data; a directory that cannot be written; `Interrupted`.
pub fn train(session: &Session, request: TrainRequest) -> Result<Outcome> {
    request.data.check()?;
    let settings = request.options.settings(session.seed)?;
    let (choice, data) = PreparedData::choose(&request.data, &[], session.seed)?;
    let (settings, model) = settings.for_data(&data, IMAGES, FEATURES)?;
    let study = TrainStudy {
        common: Common::new("train", session),
        data: choice.clone(),
        train: settings,
        budget: BudgetSection::new(session),
    };
    let settings = &study.train;
    let run = RunDirectory::open("train", &request.output, &study)?;
    let (run, trained) = within(run, |run| {
        let training = Training { name: "", data: &data, choice: &choice, model: &model, settings };
        crate::train::train(session, run, &training)
    })?;
    session.console.finish();
    let mut report =
        Report::new("Training", loss_name(&settings.loss), provenance(session, &choice));
    report.summary = format!("{}; {}.", settings.architecture, describe(settings));
    report.models = members(&trained, model.parameter_count(), settings);
    report.explanations = explanations(&data);
    Ok(Outcome { body: Body::Train(body(&trained)), report, run })
}

fn members(trained: &Trained, parameters: usize, settings: &TrainSettings) -> Vec<ModelReport> {
    let mut curves = trained.curves.iter();
    trained
        .members
        .iter()
        .map(|member| ModelReport {
            name: member.name.clone(),
            description: settings.architecture.clone(),
            parameters: parameters as u64,
            test_accuracy: member.test.accuracy,
            loss: Some(member.train.loss.into()),
            curves: curves.next().into_iter().cloned().collect(),
            ..ModelReport::default()
        })
        .collect()
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

/// The training in words.
pub(crate) fn describe(settings: &TrainSettings) -> String {
    let length = match settings.epochs {
        0 => format!("{} steps", settings.steps),
        1 => "1 epoch".to_owned(),
        epochs => format!("{epochs} epochs"),
    };
    let rates: Vec<String> = settings.lr.iter().map(f64::to_string).collect();
    format!(
        "{length} of {} with rate {} under {}, batches of {}",
        settings.optimizer,
        rates.join(" and "),
        settings.schedule,
        settings.batch
    )
}

fn explanations(data: &PreparedData) -> Vec<Explanation> {
    vec![
        explain(
            "Loss",
            format!(
                "Mean over all {} training examples at the end, with running batch-norm \
                 statistics and without augmentation. A member that diverged keeps the weights \
                 before the step at which its loss or gradient was not finite.",
                data.train.len()
            ),
        ),
        explain(
            "Test accuracy",
            format!(
                "Share of the {} test examples that are classified correctly; neither training \
                 nor any choice saw them.",
                data.test.len()
            ),
        ),
        explain(
            "Training curves",
            "Loss and accuracy of the batches before each step, averaged over each epoch; test \
             values at the end of the epoch.",
        ),
    ]
}
