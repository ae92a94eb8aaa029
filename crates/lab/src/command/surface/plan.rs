//! What the command line alone decides of a surface.

use crate::command::direction_config;
use crate::data_source::DataOptions;
use crate::directions::Kind;
use crate::effort::Effort;
use crate::error::{LabError, Result};
use crate::range::{Axis, MOST_POINTS};
use crate::run_directory::Output;
use crate::subject::ObjectiveChoice;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::Likelihood;
use thalweg_methods::surface::{DirectionConfig, Ignore, Normalize};

/// What `surface` was asked.
#[derive(Debug, Clone)]
pub struct SurfaceRequest {
    /// The centre, and with directions between models the others.
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
    /// What is measured beside the loss.
    pub measures: SurfaceMeasures,
    /// In the space of inputs, not of weights.
    pub inputs: Option<InputSpace>,
    /// Where to.
    pub output: Output,
}

/// What is measured beside the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurfaceMeasures {
    /// The depth from which on a minimum is shown, as a share of its saddle's level.
    pub minima: f64,
    /// Points a side at which the Hessian's extreme eigenvalues are taken; 0: none.
    pub convexity: u64,
    /// Random rays by which the basin is measured; 0: none.
    pub basin: usize,
    /// The basin ends where the loss has risen by so much.
    pub rise: f64,
    /// A surface for each class.
    pub per_class: bool,
    /// The gradient at each point of a line, or at each checkpoint of a trajectory.
    #[serde(default)]
    pub gradients: bool,
    /// Random vectors for the share of the curvature that the plane holds, 0: not measured; none: the
    /// usual number where that is little work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane_share: Option<usize>,
}

/// A surface over what is added to the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSpace {
    /// The one example that is looked at; none: all, with the same addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<usize>,
    /// `loss`, `joint` or `marginal`.
    pub likelihood: String,
}

impl InputSpace {
    /// What is looked at.
    pub(crate) fn likelihood(&self) -> Result<Likelihood> {
        match self.likelihood.as_str() {
            "loss" => Ok(Likelihood::Loss),
            "joint" => Ok(Likelihood::Joint),
            "marginal" => Ok(Likelihood::Marginal),
            other => Err(LabError::Usage(format!(
                "--likelihood {other}: expected loss, joint or marginal"
            ))),
        }
    }
}

/// Which surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurfaceSettings {
    /// A kind, or files.
    pub directions: String,
    /// The folder or pattern of the trajectory's files, if they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<String>,
    /// How directions are scaled: `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `sphere` or `none`.
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
    /// What is measured beside the loss.
    pub measures: SurfaceMeasures,
    /// In the space of inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputSpace>,
}

/// What a surface in input space is of, for its axis.
pub(super) fn quantity(inputs: &InputSpace, loss: &str) -> String {
    match inputs.likelihood.as_str() {
        "joint" => "-log p(x, y) up to a constant".to_owned(),
        "marginal" => "-log p(x) up to a constant".to_owned(),
        _ => loss.to_owned(),
    }
}

const AUTO: &str = "auto";
const LINE: &str = "line";

/// Everything that the command line alone decides.
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) config: DirectionConfig,
    pub(super) x: Option<Axis>,
    pub(super) y: Option<Axis>,
    pub(super) two: bool,
    pub(super) effort: Effort,
    pub(super) settings: SurfaceSettings,
}

pub(super) fn plan(request: &SurfaceRequest) -> Result<Plan> {
    request.objective.check()?;
    request.data.check()?;
    let fault = |text: String| Err(LabError::Usage(text));
    let kind = match &request.directions {
        Some(text) => text.parse::<Kind>().map_err(LabError::Usage)?,
        None if request.checkpoints.is_some() => Kind::Trajectory,
        None if request.models.len() > 3 => Kind::Plane,
        None if request.models.len() > 1 => Kind::Checkpoints,
        None => Kind::Random,
    };
    if request.checkpoints.is_some() && kind != Kind::Trajectory {
        return fault(format!("--checkpoints goes with --directions trajectory, not {kind}"));
    }
    if let Some(inputs) = &request.inputs {
        inputs.likelihood()?;
        if !matches!(kind, Kind::Random | Kind::Gradient | Kind::Signs | Kind::Files(_)) {
            return fault(format!(
                "--directions {kind}: expected random, gradient, signs or a file in input space"
            ));
        }
        if request.normalize.is_some() || !request.ignore.is_empty() {
            let option = if request.normalize.is_some() { "--normalize" } else { "--ignore" };
            return fault(format!("{option}: expected it of weights, not in input space"));
        }
    } else if matches!(kind, Kind::Gradient | Kind::Signs) {
        return fault(format!("--directions {kind}: expected it with --in-input-space"));
    }
    match (&kind, request.models.len()) {
        (Kind::Trajectory, 0) if request.checkpoints.is_some() => {}
        (Kind::Trajectory, n) if n > 1 && request.checkpoints.is_some() => {
            return fault(format!(
                "--checkpoints: expected one model at most, got {n}: a pattern is one word, in quotes"
            ));
        }
        (Kind::Plane, 3..) => {}
        (Kind::Plane, n) => {
            return fault(format!("--directions plane: expected three models or more, got {n}"));
        }
        (Kind::Checkpoints, n) if !(2..=3).contains(&n) => {
            return fault(format!(
                "--directions checkpoints: expected two or three models, got {n}; --directions plane \
                 takes more"
            ));
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
    let scaled = kind.is_scaled() && request.inputs.is_none();
    let default = if scaled { Normalize::Filter } else { Normalize::None };
    let config = direction_config(request.normalize.as_deref(), default, &request.ignore)?;
    if kind == Kind::Trajectory && config.normalize != Normalize::None {
        return fault("--normalize: a trajectory's plane cannot be scaled; give none".into());
    }
    if kind == Kind::Trajectory && config.ignore != Ignore::default() {
        return fault("--ignore: a trajectory's plane moves every parameter".into());
    }
    if kind == Kind::Plane && (config != DirectionConfig::UNSCALED || request.line) {
        let option = if request.line { "--line" } else { "--normalize and --ignore" };
        return fault(format!("{option}: the plane of several networks is as it is"));
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
        Kind::Trajectory | Kind::Plane => None,
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
    check_measures(&request.measures)?;
    if request.measures.per_class && (request.pairs > 1 || request.tolerance.is_some()) {
        let option = if request.pairs > 1 { "--pairs" } else { "--tolerance" };
        return fault(format!("{option}: expected it without --per-class"));
    }
    if request.measures.gradients && two && kind != Kind::Trajectory {
        return fault(
            "--gradients: expected it with a line, as of --line or of two models, or with \
             --directions trajectory"
                .into(),
        );
    }
    let effort = if request.measures.per_class { Effort::Exact } else { effort };
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
        measures: request.measures.clone(),
        inputs: request.inputs.clone(),
    };
    Ok(Plan { kind, config, x, y, two, effort, settings })
}

fn check_measures(measures: &SurfaceMeasures) -> Result<()> {
    let fault = |text: String| Err(LabError::Usage(text));
    if !(0.0..=1.0).contains(&measures.minima) {
        return fault(format!("--minima {}: expected a share from 0 to 1", measures.minima));
    }
    if u128::from(measures.convexity).pow(2) > u128::from(MOST_POINTS) {
        let most = MOST_POINTS.isqrt();
        return fault(format!("--convexity {}: expected at most {most}", measures.convexity));
    }
    crate::command::check_draws("--basin", measures.basin)?;
    if measures.basin == 1 {
        return fault("--basin 1: expected at least 2 rays, for a standard error".into());
    }
    let probes = measures.plane_share.unwrap_or(0);
    crate::command::check_draws("--plane-share", probes)?;
    if probes == 1 {
        let expected = "at least 2 random vectors, for a standard error, or 0";
        return fault(format!("--plane-share 1: expected {expected}"));
    }
    match measures.rise > 0.0 && measures.rise.is_finite() {
        true => Ok(()),
        false => fault(format!("--rise {}: expected a positive number", measures.rise)),
    }
}
