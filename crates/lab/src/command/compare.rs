//! `thalweg compare`: several models under the same instruments.

use super::networks::{self, Origin, slug};
use super::{Outcome, explain, loss_name, provenance, within};
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::differences::differences;
use crate::error::{LabError, Result};
use crate::instrument_choice::{InstrumentChoice, PRECONDITIONED};
use crate::measure;
use crate::model_source::{WeightsFile, open_models};
use crate::run_directory::{METRICS, Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::registry::{
    Along, Configured, Entry, Invariance, Quantity as Read, Size, Value,
};
use thalweg_methods::{Context, Meter, MethodError, ModelObjective, Passes, Progress};
use thalweg_record::reply::{Body, CompareBody, ComparedModel};
use thalweg_record::{
    Column, ComparedInstrument, ComparedQuantity, Comparison, Explanation, ModelReport, Quantity,
    Report, SpentPasses, Table,
};

/// What `compare` was asked.
#[derive(Debug, Clone)]
pub struct CompareRequest {
    /// Run directories or files of weights.
    pub models: Vec<PathBuf>,
    /// The architecture of files that do not say it.
    pub architecture: Option<String>,
    /// Which data; without a name those of the models.
    pub data: DataOptions,
    /// The loss.
    pub objective: ObjectiveChoice,
    /// Instruments by name; none: the usual ones.
    pub instruments: Vec<InstrumentChoice>,
    /// Where to.
    pub output: Output,
}

/// What is measured if nothing else is asked for.
const USUAL: [&str; 9] = [
    "loss",
    "sam_sharpness",
    "adaptive_sharpness",
    "average_sharpness",
    "critical_sharpness",
    "lanczos",
    "hutchinson",
    "relative_flatness",
    "fisher_rao_norm",
];

/// The probability of any false difference among those that are called real.
const LEVEL: f64 = 0.05;

/// The part `compare` of `study.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CompareSection {
    instruments: Vec<String>,
}

/// `study.toml` of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CompareStudy {
    #[serde(flatten)]
    common: Common,
    names: Vec<String>,
    architectures: Vec<String>,
    weights_fingerprints: Vec<String>,
    data: DataChoice,
    objective: ObjectiveChoice,
    compare: CompareSection,
    budget: BudgetSection,
}

/// Reads the same instruments off several models, on the same examples and with the same draws, and
/// says which differences are real.
///
/// # Errors
/// Instruments that are none, fewer than two models; models or data that cannot be read or do not
/// fit; an instrument that was named and cannot read a model; a directory that cannot be written;
/// `Interrupted`.
pub fn compare(session: &Session, request: CompareRequest) -> Result<Outcome> {
    request.objective.check()?;
    request.data.check()?;
    let instruments = wanted(&request.instruments)?;
    let architecture = request.architecture.as_deref();
    let files: Vec<WeightsFile> = request
        .models
        .iter()
        .map(|model| open_models(model, architecture))
        .collect::<Result<Vec<_>>>()?
        .concat();
    if files.len() < 2 {
        let one = files.first().map_or("nothing".into(), |file| file.path.display().to_string());
        let text = format!("{one} alone: expected at least 2 models to compare");
        return Err(LabError::Input(text));
    }
    let (choice, data) = PreparedData::choose(&request.data, &files, session.seed)?;
    data.tell(session);
    let subjects = subjects(session, &files, &request.objective, &data)?;
    let objective_choice = objective(&subjects, request.objective)?;
    let names = || subjects.iter().map(|subject| subject.name.clone());
    let study = CompareStudy {
        common: Common::new("compare", session),
        names: names().collect(),
        architectures: subjects.iter().map(Subject::architecture).collect(),
        weights_fingerprints: files.iter().map(WeightsFile::fingerprint).collect(),
        data: choice.clone(),
        objective: objective_choice,
        compare: CompareSection {
            instruments: instruments.iter().map(|one| one.label.clone()).collect(),
        },
        budget: BudgetSection::new(session),
    };
    let asked = !request.instruments.is_empty();
    let run = RunDirectory::open("compare", &request.output, &study)?;
    let (run, (models, comparison, samples)) = within(run, |run| {
        let mut models = Vec::new();
        let mut readings = Vec::new();
        let mut samples = (0, 0);
        let mut largest: Option<Size> = None;
        for subject in &subjects {
            session.console.about(&subject.name);
            let units = Units::new(run.join(UNITS));
            let ctx = session.context(&units)?.within(&slug(&subject.name));
            let objective = subject.objective(&ctx, &study.objective)?;
            samples = (objective.examples(), objective.available());
            let size = Size::of(&objective);
            if largest.is_none_or(|largest| size.parameters > largest.parameters) {
                largest = Some(size);
            }
            readings.push(read_all(&ctx, &objective, subject, &instruments, asked)?);
            models.push(ModelReport {
                name: subject.name.clone(),
                description: subject.words(),
                parameters: subject.model.parameter_count() as u64,
                test_accuracy: subject.test_accuracy(session)?,
                ..ModelReport::default()
            });
        }
        session.console.about("");
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        let size = largest.unwrap_or(Size::LARGE);
        let sampled = samples.0 < samples.1;
        let comparison = comparison(session, &instruments, &names, &readings, (&size, sampled))?;
        run.write_table(METRICS, &table(&names, &comparison)?)?;
        Ok((models, comparison, samples))
    })?;
    session.console.finish();
    let body = CompareBody {
        models: models
            .iter()
            .map(|model| ComparedModel {
                name: model.name.clone(),
                parameters: model.parameters,
                test_accuracy: model.test_accuracy,
            })
            .collect(),
        samples: samples.0 as u64,
        comparison: comparison.clone(),
    };
    let mut report = Report::new(
        format!("{} models compared", models.len()),
        loss_name(&study.objective.loss),
        provenance(session, &choice),
    );
    report.summary = format!("{} on the same examples and draws.", study.names.join(", "));
    report.explanations = explanations(&study.objective, samples, &comparison);
    if models.iter().any(|model| model.test_accuracy.is_some()) {
        let here = files.iter().all(|file| !file.is_foreign());
        report.explanations.push(super::explain_accuracy(&data, here));
    }
    report.models = models;
    report.comparison = Some(comparison);
    Ok(Outcome { body: Body::Compare(body), report, run })
}

/// An instrument that is to be read.
struct Wish {
    label: String,
    entry: &'static Entry,
    instrument: Box<dyn Configured>,
}

/// The instruments that were named, each once, or the usual ones.
fn wanted(choices: &[InstrumentChoice]) -> Result<Vec<Wish>> {
    let usual = USUAL.map(InstrumentChoice::plain);
    let choices: &[InstrumentChoice] = if choices.is_empty() { &usual } else { choices };
    let mut found: Vec<Wish> = Vec::new();
    for choice in choices {
        let fault = |why: String| LabError::Usage(format!("--instruments {choice}: {why}"));
        if let Some(every) = choice.every {
            let why = format!("{every} steps belong to --watch, expected options as NAME=VALUE");
            return Err(fault(why));
        }
        if choice.name == PRECONDITIONED {
            return Err(fault("its matrix is that of a training's steps: --watch reads it".into()));
        }
        let told = |error: MethodError| fault(error.to_string());
        let label = choice.label().map_err(told)?;
        if found.iter().all(|other| other.label != label) {
            let (entry, instrument) = (choice.entry(), choice.configured(false));
            let (entry, instrument) = (entry.map_err(told)?, instrument.map_err(told)?);
            found.push(Wish { label, entry, instrument });
        }
    }
    Ok(found)
}

fn subjects(
    session: &Session,
    files: &[WeightsFile],
    objective: &ObjectiveChoice,
    data: &PreparedData,
) -> Result<Vec<Subject>> {
    let read = networks::read(session, files, &Wanted::new(objective), data)?;
    let subject = |(name, origin): (String, Origin)| match origin {
        Origin::File(subject) => Some(Subject { name, ..*subject }),
        Origin::Train { .. } => None,
    };
    Ok(read.into_iter().filter_map(subject).collect())
}

/// One objective for all of them.
fn objective(subjects: &[Subject], asked: ObjectiveChoice) -> Result<ObjectiveChoice> {
    let Some(first) = subjects.first() else {
        return Err(LabError::Input("expected at least 2 models to compare".into()));
    };
    if let Some(other) = subjects.iter().find(|subject| subject.loss != first.loss) {
        return Err(LabError::Input(format!(
            "{} was trained with {} and {} with {}: say by --loss which one they are compared in",
            first.name, first.loss, other.name, other.loss
        )));
    }
    Ok(first.complete(asked))
}

/// What an instrument says of a model, and what that took.
struct Reading {
    quantities: Vec<Read>,
    spent: Passes,
}

/// What each instrument says of a model; nothing where a usual one cannot read it.
fn read_all(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    subject: &Subject,
    instruments: &[Wish],
    asked: bool,
) -> Result<Vec<Option<Reading>>> {
    let read = |one: &Wish| {
        let meter = Meter::default();
        let within = ctx.within(&one.label).with_meter(&meter);
        let alone = Along::default();
        match one.instrument.measure(&within, objective, &subject.weights, &alone) {
            Ok(quantities) => {
                Ok(Some(Reading { quantities, spent: meter.passes(objective.examples()) }))
            }
            Err(
                error @ (MethodError::Config { .. }
                | MethodError::Mismatch { .. }
                | MethodError::NotFinite { .. }),
            ) => {
                let text = format!("{} of {}: {error}", one.label, subject.name);
                if asked {
                    return Err(LabError::Input(text));
                }
                ctx.progress().message(&format!("Left out: {text}"));
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    };
    instruments.iter().map(read).collect()
}

fn comparison(
    session: &Session,
    instruments: &[Wish],
    names: &[String],
    readings: &[Vec<Option<Reading>>],
    (size, sampled): (&Size, bool),
) -> Result<Comparison> {
    let mut found = Comparison { level: LEVEL, ..Comparison::default() };
    let mut rows = Vec::new();
    for (place, Wish { label, entry, instrument }) in instruments.iter().enumerate() {
        let of: Option<Vec<&Reading>> =
            readings.iter().map(|reading| reading.get(place).and_then(Option::as_ref)).collect();
        // What one of the models cannot be read by compares nothing.
        let Some(of) = of else { continue };
        let cost = instrument.cost(size);
        found.instruments.push(ComparedInstrument {
            id: label.clone(),
            summary: entry.summary.to_owned(),
            source: entry.source.to_owned(),
            cost: cost.to_string(),
            gradients: cost.passes().in_gradients(),
            invariances: entry.invariances.iter().map(|i| Invariance::words(*i).into()).collect(),
            spent: of.iter().map(|reading| spent(&reading.spent)).collect(),
        });
        let of: Vec<&[Read]> = of.iter().map(|reading| reading.quantities.as_slice()).collect();
        for read in of.first().copied().into_iter().flatten() {
            // Models of different sizes may have different eigenvalues to show.
            let same: Option<Vec<&Read>> =
                of.iter().map(|one| one.iter().find(|other| other.name == read.name)).collect();
            let Some(same) = same else { continue };
            found.quantities.push(ComparedQuantity {
                instrument: label.clone(),
                name: read.name.clone(),
                values: same.iter().map(|read| value(read)).collect(),
                of_examples: sampled && !same.iter().all(|read| read.of_data),
            });
            rows.push((label.as_str(), same));
        }
    }
    if found.quantities.is_empty() {
        let text = "none of the usual instruments can read all of these models: name some by \
                    --instruments";
        return Err(LabError::Input(text.into()));
    }
    session.console.message(&format!("{} numbers of each model", found.quantities.len()));
    found.differences = differences(names, &rows, LEVEL)?;
    Ok(found)
}

fn spent(of: &Passes) -> SpentPasses {
    let Passes { losses, gradients, products, second_derivatives } = *of;
    SpentPasses { passes: of.to_string(), losses, gradients, products, second_derivatives }
}

fn value(read: &Read) -> Quantity {
    match &read.value {
        Value::Exact(value) => (*value).into(),
        Value::Estimated(estimate) => measure::estimate(estimate).into(),
    }
}

/// Every reading as a row.
fn table(names: &[String], comparison: &Comparison) -> Result<Table> {
    let rows = || {
        let all = comparison.quantities.iter();
        all.flat_map(|q| names.iter().zip(&q.values).map(move |(name, value)| (q, name, value)))
    };
    let mut table = Table::new();
    table.push("model", Column::Text(rows().map(|(_, name, _)| name.clone()).collect()))?;
    table.push("instrument", Column::Text(rows().map(|(q, ..)| q.instrument.clone()).collect()))?;
    table.push("quantity", Column::Text(rows().map(|(q, ..)| q.name.clone()).collect()))?;
    table.push("value", Column::F64(rows().map(|(.., v)| v.value()).collect()))?;
    let errors = rows().map(|(.., v)| v.standard_error().unwrap_or(f64::NAN)).collect();
    table.push("standard_error", Column::F64(errors))?;
    // What the instrument took of the model for this number and its others.
    let spent = |pick: fn(&SpentPasses) -> f64| {
        let of = |q: &ComparedQuantity| {
            let known = comparison.instruments.iter().find(|i| i.id == q.instrument);
            let each = (0..q.values.len()).map(|place| known?.spent.get(place).map(pick));
            each.map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<_>>()
        };
        Column::F64(comparison.quantities.iter().flat_map(of).collect())
    };
    table.push("losses", spent(|of| of.losses))?;
    table.push("gradients", spent(|of| of.gradients))?;
    table.push("products", spent(|of| of.products))?;
    table.push("second_derivatives", spent(|of| of.second_derivatives))?;
    Ok(table)
}

fn explanations(
    objective: &ObjectiveChoice,
    samples: (usize, usize),
    comparison: &Comparison,
) -> Vec<Explanation> {
    let mut list = vec![super::explain_loss(objective, samples)];
    for instrument in &comparison.instruments {
        let unchanged = match instrument.invariances.is_empty() {
            true => "Nothing leaves it unchanged by right".to_owned(),
            false => format!("Unchanged by: {}", instrument.invariances.join("; ")),
        };
        let ComparedInstrument { id, summary, source, cost, .. } = instrument;
        let how = format!("The {summary} ({source}). It takes {cost} of each model. {unchanged}.");
        list.push(explain(id, how));
    }
    let of_examples = comparison.quantities.iter().filter(|quantity| quantity.of_examples);
    let alone: Vec<String> =
        of_examples.map(|quantity| format!("{}: {}", quantity.instrument, quantity.name)).collect();
    if !alone.is_empty() {
        let how = format!(
            "{} of {} examples were taken. Of these alone are: {}. Another sample would give other \
             numbers, and no error here says by how much.",
            samples.0,
            samples.1,
            alone.join("; ")
        );
        list.push(explain("Numbers of a sample", how));
    }
    list.push(explain(
        "Differences",
        format!(
            "The second model's value less the first's. All models see the same examples and the \
             same draws, so that the standard error is that of the mean of the differences, example \
             by example or draw by draw: over examples, as if they were drawn from all that they \
             stand for, with any perturbation held; over draws, for these examples. Where the examples \
             are a sample, an error holds its choice too: of what each example contributed to a number \
             to first order, as the second derivatives of its loss along eigenvectors to eigenvalues, \
             and of differences example by example. On a sample the largest eigenvalues also \
             tend to be too large, of all models, which this does not hold. Where an estimate is no \
             mean of terms, both errors are added in squares. What is read off all examples without \
             draws, as an eigenvalue then, has no error bar. Differences are called real \
             where the probability of such a one without any, by Student's t and for all \
             differences at once by Holm's method, is below {}.",
            comparison.level
        ),
    ));
    list
}
