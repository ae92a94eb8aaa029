//! `thalweg surface`.

use super::{Outcome, direction_config, explain, loss_name, provenance, within};
use crate::checkpoints;
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::directions::{Directions, Kind};
use crate::effort::{self, Effort};
use crate::error::{LabError, Result};
use crate::measure;
use crate::model_source::{WeightsFile, open_model};
use crate::range::{Axis, MOST_POINTS};
use crate::run_directory::{Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::surface::{DirectionConfig, Ignore, Normalize};
use thalweg_record::reply::{Body, SurfaceBody};
use thalweg_record::{Explanation, ModelReport, Report};

/// What `surface` was asked.
#[derive(Debug, Clone)]
pub struct SurfaceRequest {
    /// The centre, and up to two models more.
    pub models: Vec<PathBuf>,
    /// Their architecture, if the files do not say it.
    pub architecture: Option<String>,
    /// Which data; without a name those of the model.
    pub data: DataOptions,
    /// The loss.
    pub objective: ObjectiveChoice,
    /// Where directions come from: a kind, or files.
    pub directions: Option<String>,
    /// Files of the trajectory: a folder, or a pattern.
    pub checkpoints: Option<String>,
    /// How they are scaled.
    pub normalize: Option<String>,
    /// Roles that stay at the centre.
    pub ignore: Vec<String>,
    /// Coordinates along the first direction.
    pub x: Option<Axis>,
    /// Coordinates along the second.
    pub y: Option<Axis>,
    /// The first direction alone.
    pub line: bool,
    /// Pairs of random directions.
    pub pairs: usize,
    /// The tolerance.
    pub tolerance: Option<f64>,
    /// Exactly, however large.
    pub exact: bool,
    /// Where to.
    pub output: Output,
}

/// Which surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurfaceSettings {
    /// A kind, or files.
    pub directions: String,
    /// The folder or pattern of the trajectory's files, if they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<String>,
    /// `filter`, `layer` or `none`.
    pub normalize: String,
    /// Roles that stay at the centre.
    pub ignore: Vec<String>,
    /// Coordinates along the first direction, or `auto`.
    pub x: String,
    /// Coordinates along the second, `auto`, or `line`.
    pub y: String,
    /// Pairs of directions.
    pub pairs: usize,
    /// `auto`, `exact`, or a number.
    pub tolerance: String,
}

/// `study.toml` of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SurfaceStudy {
    #[serde(flatten)]
    common: Common,
    model: String,
    weights_fingerprints: Vec<String>,
    data: DataChoice,
    objective: ObjectiveChoice,
    surface: SurfaceSettings,
    budget: BudgetSection,
}

const AUTO: &str = "auto";
const LINE: &str = "line";

/// Everything that the command line alone decides.
struct Plan {
    kind: Kind,
    config: DirectionConfig,
    x: Option<Axis>,
    y: Option<Axis>,
    two: bool,
    effort: Effort,
    settings: SurfaceSettings,
}

fn plan(request: &SurfaceRequest) -> Result<Plan> {
    request.objective.check()?;
    request.data.check()?;
    let fault = |text: String| Err(LabError::Usage(text));
    let kind = match &request.directions {
        Some(text) => text.parse::<Kind>().map_err(LabError::Usage)?,
        None if request.checkpoints.is_some() => Kind::Trajectory,
        None if request.models.len() > 1 => Kind::Checkpoints,
        None => Kind::Random,
    };
    if request.checkpoints.is_some() && kind != Kind::Trajectory {
        return fault(format!("--checkpoints goes with --directions trajectory, not {kind}"));
    }
    match (&kind, request.models.len()) {
        (Kind::Trajectory, 0) if request.checkpoints.is_some() => {}
        (Kind::Trajectory, n) if n > 1 && request.checkpoints.is_some() => {
            return fault(format!(
                "--checkpoints: expected one model at most, got {n}: a pattern is one word, in quotes"
            ));
        }
        (Kind::Checkpoints, 1) => {
            return fault("--directions checkpoints: expected two or three models".into());
        }
        (Kind::Checkpoints, _) | (_, 1) => {}
        (_, n) => {
            return fault(format!("--directions {kind}: expected one model, got {n}"));
        }
    }
    if request.pairs == 0 || (request.pairs > 1 && kind != Kind::Random) {
        let expected = if request.pairs == 0 { "at least 1" } else { "1 unless they are random" };
        return fault(format!("--pairs {}: expected {expected}", request.pairs));
    }
    let default = if kind.is_scaled() { Normalize::Filter } else { Normalize::None };
    let config = direction_config(request.normalize.as_deref(), default, &request.ignore)?;
    if kind == Kind::Trajectory && config.normalize != Normalize::None {
        return fault("--normalize: a trajectory's plane cannot be scaled; give none".into());
    }
    if kind == Kind::Trajectory && config.ignore != Ignore::default() {
        return fault("--ignore: a trajectory's plane moves every parameter".into());
    }
    let two = match kind {
        Kind::Checkpoints => request.models.len() == 3 && !request.line,
        _ => !request.line,
    };
    if kind == Kind::Trajectory && !two {
        return fault("--line: a trajectory spans a plane".into());
    }
    let given = |text: &str| text.parse::<Axis>().ok();
    let default = match kind {
        Kind::Trajectory => None,
        // Both ends and as much beyond.
        Kind::Checkpoints => given("-0.5:1.5:41"),
        _ => given("-1:1:31"),
    };
    let x = request.x.or(default);
    let y = if two { request.y.or(x) } else { Some(Axis::ORIGIN) };
    let count = |axis: &Option<Axis>| axis.map_or(31, |axis| axis.points);
    let points = u128::from(count(&x)) * u128::from(count(&y)) * request.pairs as u128;
    if points > u128::from(MOST_POINTS) {
        return fault(format!("a surface of {points} points: expected at most {MOST_POINTS}"));
    }
    let effort = Effort::new(request.tolerance, request.exact)?;
    let text = |axis: &Option<Axis>| axis.map_or(AUTO.to_owned(), |axis| axis.to_string());
    let settings = SurfaceSettings {
        directions: kind.to_string(),
        checkpoints: request.checkpoints.clone(),
        normalize: config.normalize.to_string(),
        ignore: config.ignore.names().into_iter().map(str::to_owned).collect(),
        x: text(&x),
        y: if two { text(&y) } else { LINE.to_owned() },
        pairs: request.pairs,
        tolerance: effort.to_string(),
    };
    Ok(Plan { kind, config, x, y, two, effort, settings })
}

/// The loss on a line or a plane through weight space.
///
/// # Errors
/// Options that do not parse or fit each other; models, directions or data that cannot be read or
/// do not fit; a directory that cannot be written; `Interrupted`.
pub fn surface(session: &Session, request: SurfaceRequest) -> Result<Outcome> {
    let plan = plan(&request)?;
    let named = request.checkpoints.as_deref().map(checkpoints::named).transpose()?;
    // Where no model is the centre, it is where the trajectory ends.
    let end = named.as_ref().and_then(|named| named.last()).filter(|_| request.models.is_empty());
    let files: Vec<WeightsFile> = request
        .models
        .iter()
        .chain(end)
        .map(|model| open_model(model, request.architecture.as_deref()))
        .collect::<Result<_>>()?;
    let (choice, data) = PreparedData::choose(&request.data, &files, session.seed)?;
    data.tell(session);
    let wanted = Wanted::new(&request.objective);
    let subject = Subject::new(session, &files[0], &wanted, &data)?;
    let objective_choice = subject.complete(request.objective);
    let study = SurfaceStudy {
        common: Common::new("surface", session),
        model: subject.architecture(),
        weights_fingerprints: files.iter().map(WeightsFile::fingerprint).collect(),
        data: choice.clone(),
        objective: objective_choice,
        surface: plan.settings.clone(),
        budget: BudgetSection::new(session),
    };
    let objective_choice = &study.objective;
    // What the directions are made from is read before anything is written.
    let directions =
        Directions::open(session, &plan.kind, &subject, &files, named.as_deref(), plan.two)?;
    let run = RunDirectory::open("surface", &request.output, &study)?;
    let (run, (found, record, samples, test_accuracy)) = within(run, |run| {
        let test_accuracy = subject.test_accuracy(session)?;
        let units = Units::new(run.join(UNITS));
        let ctx = session.context(&units)?;
        let objective = subject.objective(&ctx, objective_choice)?;
        let made = directions.planes(&ctx, &objective, &plan.config, plan.two, request.pairs)?;
        let x = plan.x.unwrap_or_else(|| made.around(|t| &t.x));
        let y = plan.y.unwrap_or_else(|| made.around(|t| &t.y));
        let (weights, [x, y]) = (&subject.weights, [x, y].map(|axis| axis.coordinates()));
        let found = plan.effort.take(&ctx, &objective, weights, &made.planes, &x, &y)?;
        let mut attributes = measure::attributes(&objective, objective_choice, session.seed);
        attributes.normalize = plan.settings.normalize.clone();
        attributes.ignore = plan.settings.ignore.clone();
        attributes.directions = plan.kind.name().to_owned();
        attributes.explained_variance = made.explained_variance.clone();
        let mut record = found.record(attributes)?;
        record.trajectory = made.trajectory;
        record.write_zarr(&run.results())?;
        Ok((found, record, (objective.examples(), objective.available()), test_accuracy))
    })?;
    session.console.finish();
    let (adaptive, found) = (found.summary(&record), found.surface);
    let body = SurfaceBody {
        loss: found.centre.loss,
        minimum: record.minimum(),
        maximum: record.maximum(),
        points: record.points() as u64,
        not_finite: record.not_finite() as u64,
        normalize: plan.settings.normalize.clone(),
        ignore: plan.settings.ignore.clone(),
        batch_norm: objective_choice.batch_norm.clone(),
        directions: plan.kind.name().to_owned(),
        samples: samples.0 as u64,
        adaptive,
    };
    let mut report = Report::new(
        "The loss around a network",
        loss_name(&objective_choice.loss),
        provenance(session, &choice),
    );
    let network = subject.words();
    report.summary = format!("Around a {network}.");
    report.explanations = explanations(&plan, objective_choice, samples);
    let here = !files[0].is_foreign();
    let accuracy = test_accuracy.map(|_| super::explain_accuracy(&subject.data, here));
    report.explanations.extend(accuracy);
    let points = record.points() as u64;
    report.explanations.extend(adaptive.map(|summary| effort::explanation(&summary, points)));
    report.models = vec![ModelReport {
        name: subject.name.clone(),
        description: network,
        parameters: subject.model.parameter_count() as u64,
        test_accuracy,
        loss: Some(measure::loss(&found.centre)),
        lines: record.lines(),
        surface: Some(record),
        ..ModelReport::default()
    }];
    Ok(Outcome { body: Body::Surface(body), report, run })
}

fn explanations(
    plan: &Plan,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
) -> Vec<Explanation> {
    let scaling = super::scaling(&plan.config);
    let how = format!("{}{scaling}", plan.kind.explanation());
    vec![super::explain_loss(objective, samples), explain("Surface", how)]
}
