//! `thalweg map`: the main job.

use super::networks::{self, Origin, Prepared, slug};
use super::{Outcome, direction_config, explain, loss_name, provenance, within};
use crate::class_loss;
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::design::Design;
use crate::effort::{self, Effort};
use crate::error::{LabError, Result};
use crate::measure::{self, SpectrumConfig};
use crate::model_source::{WeightsFile, open_models};
use crate::range::{Axis, MOST_POINTS};
use crate::run_directory::{METRICS, Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common, TrainOptions, TrainSettings};
use crate::subject::{ObjectiveChoice, Wanted};
use crate::units::Units;
use crate::words;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::sharpness::{SharpnessConfig, sam_sharpness};
use thalweg_methods::surface::{
    DirectionConfig, Normalize, Plane, RoughnessConfig, random_planes, roughness_index,
};
use thalweg_record::reply::{Body, MapBody, MapModel};
use thalweg_record::zarr::Group;
use thalweg_record::{Column, Explanation, ModelReport, Quantity, Report, Surface, Table};

/// What `map` was asked.
#[derive(Debug, Clone)]
pub struct MapRequest {
    /// Run directories or files of weights; none: networks are trained.
    pub models: Vec<PathBuf>,
    /// Architectures to train, or that of the files.
    pub architectures: Vec<String>,
    /// How networks are trained.
    pub training: TrainOptions,
    /// Which data; without a name those of the models.
    pub data: DataOptions,
    /// What is measured.
    pub settings: MapSettings,
    /// Where to.
    pub output: Output,
}

/// What is measured around each network.
#[derive(Debug, Clone, PartialEq)]
pub struct MapSettings {
    /// Coordinates of the surface along both directions.
    pub grid: Axis,
    /// Coordinates of the lines along both.
    pub line: Axis,
    /// How the directions are scaled; none: by filter.
    pub normalize: Option<String>,
    /// Roles that stay at the centre.
    pub ignore: Vec<String>,
    /// Training examples; none: all.
    pub samples: Option<usize>,
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// Probes of the trace.
    pub probes: usize,
    /// Distance of SAM's ascent.
    pub rho: f64,
    /// Random lines of the roughness index.
    pub roughness_directions: usize,
    /// The tolerance of surfaces and lines.
    pub tolerance: Option<f64>,
    /// Exactly, however large they are.
    pub exact: bool,
}

/// The part `map` of `study.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MapSection {
    grid: String,
    line: String,
    normalize: String,
    ignore: Vec<String>,
    top: usize,
    probes: usize,
    rho: f64,
    roughness_directions: usize,
    tolerance: String,
}

/// `study.toml` of `map`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MapStudy {
    #[serde(flatten)]
    common: Common,
    names: Vec<String>,
    architectures: Vec<String>,
    weights_fingerprints: Vec<String>,
    data: DataChoice,
    #[serde(skip_serializing_if = "Option::is_none")]
    train: Option<TrainSettings>,
    objective: ObjectiveChoice,
    map: MapSection,
    budget: BudgetSection,
}

/// Examples in a batch of the objective: changes no bit with running statistics.
const BATCH: usize = 128;

/// Maps the landscape around networks.
///
/// # Errors
/// Options that do not parse or fit each other; models or data that cannot be read or do not fit;
/// a directory that cannot be written; `Interrupted`.
pub fn map(session: &Session, request: MapRequest) -> Result<Outcome> {
    check(&request)?;
    let wanted = &request.settings;
    let directions =
        direction_config(wanted.normalize.as_deref(), Normalize::Filter, &wanted.ignore)?;
    let asked = request.architectures.first().map(String::as_str);
    let files: Vec<WeightsFile> = request
        .models
        .iter()
        .map(|model| open_models(model, asked))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let settings = request.training.settings(session.seed)?;
    let (choice, data) = PreparedData::choose(&request.data, &files, session.seed)?;
    data.tell(session);
    let networks = match files.is_empty() {
        true => networks::to_train(&request.architectures, &settings, &data)?,
        false => {
            let loss = request.training.loss.as_deref();
            networks::read(session, &files, &Wanted { loss, output: None }, &data)?
        }
    };
    let trains = files.is_empty();
    let loss = match &request.training.loss {
        Some(text) => class_loss::at_the_end(text.parse()?),
        None => networks.first().map(|(_, origin)| origin.loss()).transpose()?.unwrap_or_default(),
    };
    let train = networks.first().and_then(|(_, origin)| match origin {
        Origin::Train { settings, .. } => Some((**settings).clone()),
        Origin::File(_) => None,
    });
    let map = &request.settings;
    let study = MapStudy {
        common: Common::new("map", session),
        names: networks.iter().map(|(name, _)| name.clone()).collect(),
        architectures: networks.iter().map(|(_, origin)| origin.architecture()).collect(),
        weights_fingerprints: files.iter().map(WeightsFile::fingerprint).collect(),
        data: choice.clone(),
        // The architecture is that of each network.
        train: train.map(|settings| TrainSettings { architecture: String::new(), ..settings }),
        objective: ObjectiveChoice {
            split: if data.is_whole() { "all" } else { "train" }.into(),
            samples: map.samples.unwrap_or(0),
            batch: BATCH,
            batch_norm: "frozen".into(),
            loss: loss.to_string(),
            output: None,
        },
        map: MapSection {
            grid: map.grid.to_string(),
            line: map.line.to_string(),
            normalize: directions.normalize.to_string(),
            ignore: directions.ignore.names().into_iter().map(str::to_owned).collect(),
            top: map.top,
            probes: map.probes,
            rho: map.rho,
            roughness_directions: map.roughness_directions,
            tolerance: Effort::new(map.tolerance, map.exact)?.to_string(),
        },
        budget: BudgetSection::new(session),
    };
    let run = RunDirectory::open("map", &request.output, &study)?;
    let (run, mapped) = within(run, |run| {
        let mut mapped = Vec::new();
        let mut tables = Vec::new();
        for (name, origin) in &networks {
            session.console.about(name);
            let prepared = origin.prepare(session, run, name, &choice, &data)?;
            tables.extend(prepared.metrics.clone().map(|table| (name.as_str(), table)));
            mapped.push(measure_one(session, run, prepared, &study, map, &directions)?);
        }
        session.console.about("");
        if trains {
            run.write_table(METRICS, &join(tables)?)?;
        }
        write_results(run, &mapped)?;
        Ok(mapped)
    })?;
    session.console.finish();
    let title = match (trains, networks.len()) {
        (true, 2) if request.architectures.is_empty() => "The landscape of two deep networks",
        (_, 1) => "The landscape of a network",
        _ => "The landscape of networks",
    };
    let mut report =
        Report::new(title, loss_name(&study.objective.loss), provenance(session, &choice));
    report.summary = summary(&study, &request);
    let samples = mapped.first().map(|m| m.samples);
    let here = !files.iter().any(WeightsFile::is_foreign);
    let accuracy = super::explain_accuracy(&data, here);
    report.explanations = explanations(&study, &directions, samples, accuracy);
    // Of networks in a row the first that is not exact speaks for all.
    let spectrum = mapped.first().and_then(|m| Some((m.report.spectrum.as_ref()?, m.samples)));
    let sampled = spectrum.and_then(|(spectrum, samples)| super::explain_sample(spectrum, samples));
    report.explanations.extend(sampled);
    let told = mapped.iter().find_map(|m| Some((m.reply.adaptive?, m.surface.points() as u64)));
    report.explanations.extend(told.map(|(summary, points)| effort::explanation(&summary, points)));
    let models = mapped.iter().map(|m| m.reply.clone()).collect();
    report.models = mapped.into_iter().map(|m| m.report).collect();
    Ok(Outcome { body: Body::Map(MapBody { models, report: String::new() }), report, run })
}

fn check(request: &MapRequest) -> Result<()> {
    request.data.check()?;
    let settings = &request.settings;
    Effort::new(settings.tolerance, settings.exact)?;
    let fault = |text: String| Err(LabError::Usage(text));
    let grid = u128::from(settings.grid.points).pow(2);
    if grid > u128::from(MOST_POINTS) {
        return fault(format!("a surface of {grid} points: expected at most {MOST_POINTS}"));
    }
    if settings.top == 0 {
        return fault("--top 0: expected at least 1 eigenvalue".into());
    }
    for (option, value) in
        [("--probes", settings.probes), ("--roughness-directions", settings.roughness_directions)]
    {
        if value < 2 {
            return fault(format!("{option} {value}: expected at least 2, for a standard error"));
        }
        super::check_draws(option, value)?;
    }
    if !(settings.rho > 0.0 && settings.rho.is_finite()) {
        return fault(format!("--rho {}: expected a positive number", settings.rho));
    }
    for text in &request.architectures {
        Design::open(text, None)?;
    }
    if request.models.is_empty() {
        return Ok(());
    }
    if request.architectures.len() > 1 {
        return fault("--arch: expected one for the models that are given".into());
    }
    let untrained = TrainOptions { loss: request.training.loss.clone(), ..Default::default() };
    if request.training != untrained {
        return fault(
            "models that are given are not trained: leave out what says how to train".into(),
        );
    }
    Ok(())
}

/// What was found around a network.
struct Mapped {
    slug: String,
    report: ModelReport,
    reply: MapModel,
    surface: Surface,
    lines: [Surface; 2],
    samples: (usize, usize),
}

fn measure_one(
    session: &Session,
    run: &RunDirectory,
    prepared: Prepared,
    study: &MapStudy,
    settings: &MapSettings,
    config: &DirectionConfig,
) -> Result<Mapped> {
    let Prepared { subject, curves, .. } = prepared;
    let name = subject.name.as_str();
    let slug = slug(name);
    let units = Units::new(run.join(UNITS));
    let ctx = session.context(&units)?.within(&slug);
    let test_accuracy = subject.test_accuracy(session)?;
    let objective = subject.objective(&ctx, &study.objective)?;
    let weights = &subject.weights;
    let planes = random_planes(&ctx, &objective, weights, config, 1, true)?;
    let effort = Effort::new(settings.tolerance, settings.exact)?;
    let grid = settings.grid.coordinates();
    let found = effort.take(&ctx, &objective, weights, &planes, &grid, &grid)?;
    let mut attributes = measure::attributes(&objective, &study.objective, session.seed);
    attributes.normalize = study.map.normalize.clone();
    attributes.ignore = study.map.ignore.clone();
    attributes.directions = "random".into();
    let at = settings.line.coordinates();
    let parabolas = measure::parabolas(&ctx, &objective, weights, &planes[0])?;
    let mut lines = Vec::new();
    let mut line_surfaces = Vec::new();
    for (axis, direction) in
        [("x", &planes[0].x), ("y", planes[0].y.as_ref().unwrap_or(&planes[0].x))]
    {
        let along = Plane { x: direction.clone(), y: None };
        let within = ctx.within(&format!("line-{axis}"));
        let found = effort.take(&within, &objective, weights, &[along], &at, &[0.0])?;
        let parabola = match axis {
            "x" => parabolas.first(),
            _ => parabolas.last(),
        };
        lines.push(measure::line(axis, &found.surface, parabola.copied()));
        line_surfaces.push(found.record(attributes.clone())?);
    }
    let wanted = SpectrumConfig {
        top: settings.top.min(subject.model.parameter_count()),
        bottom: 0,
        tolerance: TOLERANCE,
        trace: settings.probes,
        trace_tolerance: 0.0,
        exact: false,
        density: 0,
    };
    let spectrum = measure::spectrum(&ctx, &objective, weights, &wanted)?;
    let sharpness =
        sam_sharpness(&ctx, &objective, weights, &SharpnessConfig::new(settings.rho, 1))?;
    let sharpness = measure::rise(&sharpness);
    let roughness =
        RoughnessConfig { directions: settings.roughness_directions, ..RoughnessConfig::default() };
    let roughness = roughness_index(&ctx, &objective, weights, &roughness)?;
    let roughness: Quantity = measure::estimate(&roughness.index).into();
    let trace = spectrum.trace.unwrap_or(Quantity::Exact(f64::NAN));
    let top = spectrum.top.first();
    let top_eigenvalue = top.map(|found| found.quantity(objective.examples() as u64));
    if let Some(Quantity::Estimate(whole)) = spectrum.frobenius_squared {
        let share = measure::curvature_share_of(&ctx, &objective, weights, &planes[0], whole)?;
        attributes.plane_shares.extend(share);
    }
    let mut record = found.record(attributes)?;
    record.parabolas = parabolas;
    let (adaptive, found) = (found.summary(&record), found.surface);
    let parameters = subject.model.parameter_count() as u64;
    let reply = MapModel {
        name: name.to_owned(),
        parameters,
        test_accuracy,
        loss: measure::loss(&found.centre),
        top_eigenvalue: top_eigenvalue.unwrap_or(Quantity::Exact(f64::NAN)),
        trace,
        sharpness,
        roughness,
        plane_shares: record.attributes.plane_shares.clone(),
        adaptive,
    };
    let report = ModelReport {
        name: name.to_owned(),
        description: subject.words(),
        parameters,
        test_accuracy,
        loss: Some(measure::loss(&found.centre)),
        sharpness: Some(sharpness),
        roughness: Some(roughness),
        spectrum: Some(spectrum),
        surface: Some(record.clone()),
        lines,
        curves,
    };
    let samples = (objective.examples(), objective.available());
    let [x, y] = [line_surfaces.remove(0), line_surfaces.remove(0)];
    Ok(Mapped { slug, report, reply, surface: record, lines: [x, y], samples })
}

/// Largest residual of an eigenvalue, as a share of the largest.
const TOLERANCE: f64 = 1e-3;

/// A group for each network: its surface, and groups of its lines and its spectrum.
fn write_results(run: &RunDirectory, mapped: &[Mapped]) -> Result<()> {
    let whole = |surface: &Surface| surface.group(surface.y.len(), surface.x.len());
    let mut root = Group::default().attribute("record_version", thalweg_record::RECORD_VERSION);
    for one in mapped {
        let mut group = whole(&one.surface)?.attribute("name", one.report.name.clone());
        for (line, name) in one.lines.iter().zip(["line_x", "line_y"]) {
            group = group.group(name, whole(line)?);
        }
        if let Some(spectrum) = &one.report.spectrum {
            group = group.group("spectrum", spectrum.group()?);
        }
        root = root.group(&one.slug, group);
    }
    let store = run.results();
    for one in mapped {
        one.surface.write_values(&store, &root, &one.slug)?;
        for (line, name) in one.lines.iter().zip(["line_x", "line_y"]) {
            line.write_values(&store, &root, &format!("{}/{name}", one.slug))?;
        }
        if let Some(spectrum) = &one.report.spectrum {
            spectrum.write_values(&store, &root, &format!("{}/spectrum", one.slug))?;
        }
    }
    // Last: a store that can be opened is whole.
    Ok(root.create(&store)?)
}

/// The measurements of all networks in one table, with a column that names the network.
fn join(tables: Vec<(&str, Table)>) -> Result<Table> {
    let mut whole = Table::new();
    for (name, table) in tables {
        let mut named = Table::new();
        named.push("model", Column::Text(vec![name.to_owned(); table.rows()]))?;
        for (column, values) in table.columns() {
            named.push(column.clone(), values.clone())?;
        }
        whole.append(named)?;
    }
    Ok(whole)
}

fn summary(study: &MapStudy, request: &MapRequest) -> String {
    let Some(train) = &study.train else {
        return format!("Around {}.", study.names.join(", "));
    };
    let how = words::training(train);
    match study.names.len() {
        2 if request.architectures.is_empty() => format!(
            "Two convolutional networks of 44 layers, alike but for the skip connections that one \
             of them has, trained alike: {how}."
        ),
        1 => format!("Trained for {how}."),
        n => format!("{n} networks, trained alike: {how}."),
    }
}

fn explanations(
    study: &MapStudy,
    directions: &DirectionConfig,
    samples: Option<(usize, usize)>,
    accuracy: Explanation,
) -> Vec<Explanation> {
    let map = &study.map;
    let mut list = vec![
        accuracy,
        super::explain_loss(&study.objective, samples.unwrap_or_default()),
        explain(
            "Surface",
            format!(
                "Loss at W + x D + y E around the weights W, with x and y in {} (first, last, \
                 number of values); D and E are Gaussian.{} Drawn on a log scale, the same for all \
                 networks. The lines are those along D and E, at {}. Networks of one shape share \
                 the draws, each scaled to its own weights.",
                map.grid,
                super::scaling(directions),
                map.line
            ),
        ),
        super::explain_eigenvalues("Hessian", map.top, 0, TOLERANCE),
        super::explain_trace(map.top, map.probes, 0.0),
        super::explain_plane_share(
            super::WHOLE_HESSIAN,
            "as the trace is: from the eigenpairs found, and outside of them by the same random \
             vectors, over which its standard error is",
        ),
        explain(
            "Sharpness",
            format!(
                "SAM's: L(W + {rho} g / |g|) - L(W), the rise of the loss over a step of length \
                 {rho} along its gradient g over the same examples.",
                rho = map.rho
            ),
        ),
        explain(
            "Roughness",
            format!(
                "The roughness index: on {} random filter-normalised lines that reach 0.01 to \
                 either side (biases and normalisation do not move), the total variation of the \
                 loss over its range; their standard deviation over their mean, with its standard \
                 error by the bootstrap over lines. It is 0 where all lines rise steadily or all \
                 turn alike, as in a bowl; lines that are flat or not finite are left out.",
                map.roughness_directions
            ),
        ),
    ];
    if study.train.is_some() {
        list.push(explain(
            "Training curves",
            "Loss, accuracy and gradient norm of the batch before each step, averaged over each \
             epoch; test values at the end of the epoch.",
        ));
    }
    list
}
