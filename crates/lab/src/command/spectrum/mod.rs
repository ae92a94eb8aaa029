//! `thalweg spectrum`.

mod explanations;
mod settings;

pub use settings::{SpectrumSettings, TraceChoice};

use super::{Outcome, loss_name, provenance, within};
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::error::{LabError, Result};
use crate::measure::{self, Measured, SpectrumConfig};
use crate::model_source::open_model;
use crate::optimizer_state::adam_state;
use crate::run_directory::{Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use explanations::{explanations, words};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::common::gradient;
use thalweg_methods::curvature::{CurvatureMatrix, OperatorChoice, ParameterBlock};
use thalweg_nn::{ClassLoss, ClassOutputs};
use thalweg_record::reply::{Body, SpectrumBody};
use thalweg_record::{ModelReport, Report};

/// What `spectrum` was asked.
#[derive(Debug, Clone)]
pub struct SpectrumRequest {
    /// The model.
    pub model: PathBuf,
    /// Its architecture, if its file does not say it.
    pub architecture: Option<String>,
    /// Which data; without a name those of the model.
    pub data: DataOptions,
    /// The loss.
    pub objective: ObjectiveChoice,
    /// How many of the largest eigenvalues; none: 5, or as many as there are.
    pub top: Option<usize>,
    /// How the trace is taken; none: by 32 probes where it is usual.
    pub trace: Option<TraceChoice>,
    /// What else of the spectrum; `top` and the trace follow from the above.
    pub settings: SpectrumSettings,
    /// Where to.
    pub output: Output,
}

/// `study.toml` of `spectrum`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SpectrumStudy {
    #[serde(flatten)]
    common: Common,
    model: String,
    weights_fingerprint: String,
    data: DataChoice,
    objective: ObjectiveChoice,
    spectrum: SpectrumSettings,
    budget: BudgetSection,
}

/// Eigenvalues that are found if nothing else is asked for.
const TOP: usize = 5;
/// A basis of vectors for more would be another method.
const MOST_EIGENVALUES: usize = 300;

/// Eigenvalues, trace and density of a curvature matrix.
///
/// # Errors
/// Options that do not parse; a model or data that cannot be read or do not fit; a directory that
/// cannot be written; `Interrupted`.
pub fn spectrum(session: &Session, request: SpectrumRequest) -> Result<Outcome> {
    request.objective.check()?;
    request.data.check()?;
    let mut settings = request.settings;
    settings.take_trace(request.trace);
    let mut measured = settings.measured()?;
    settings.damping = measured.relative_to.map(|metric| metric.damping);
    let refused = |text: &str| Err(LabError::Usage(text.to_owned()));
    if !(settings.tolerance > 0.0 && settings.tolerance < 1.0) {
        return refused("--tolerance: expected a share between 0 and 1");
    }
    for (option, draws) in [
        ("--trace", settings.trace_probes),
        ("--density", settings.density_probes),
        ("--draws", settings.draws.unwrap_or(1)),
    ] {
        super::check_draws(option, draws)?;
    }
    if settings.density_probes == 1 {
        return refused("--density 1: expected at least 2 probes, for standard errors");
    }
    let asked = request.top.unwrap_or(0).saturating_add(settings.bottom);
    if asked > MOST_EIGENVALUES {
        return refused(&format!(
            "{asked} eigenvalues: expected at most {MOST_EIGENVALUES}; --density shows all of them"
        ));
    }
    if measured.relative_to.is_some() && request.top == Some(0) && settings.bottom == 0 {
        return refused("--top 0: expected some eigenvalues with --relative-to");
    }
    let file = open_model(&request.model, request.architecture.as_deref())?;
    let models = std::slice::from_ref(&file);
    let (choice, data) = PreparedData::choose(&request.data, models, session.seed)?;
    data.tell(session);
    let wanted = Wanted::new(&request.objective);
    let subject = Subject::new(session, &file, &wanted, &data)?;
    let parameters = subject.model.parameters();
    let n = match &measured.between {
        None => measured.scope.parameters.count(parameters)?,
        Some([first, second]) => first.count(parameters)? + second.count(parameters)?,
    };
    if settings.preconditioned {
        measured.preconditioner = Some(("adam".into(), adam_state(&file, &subject.weights)?));
    }
    if asked > n {
        let part = match (&measured.scope.parameters, &measured.between) {
            (_, Some([first, second])) => {
                format!("{first} and {second} of {}", file.path.display())
            }
            (ParameterBlock::All, None) => file.path.display().to_string(),
            (ParameterBlock::Layer(layer), None) => format!("{layer} of {}", file.path.display()),
            (block, None) => format!("{block} of {}", file.path.display()),
        };
        return Err(LabError::Input(format!(
            "{part} has {n} parameters: expected at most so many eigenvalues, got {asked}"
        )));
    }
    settings.top = request.top.unwrap_or(TOP.min(n - settings.bottom));
    let objective_choice = subject.complete(request.objective);
    check_fisher(&measured, &objective_choice)?;
    let study = SpectrumStudy {
        common: Common::new("spectrum", session),
        model: subject.architecture(),
        weights_fingerprint: file.fingerprint(),
        data: choice.clone(),
        objective: objective_choice,
        spectrum: settings,
        budget: BudgetSection::new(session),
    };
    let (settings, objective_choice) = (&study.spectrum, &study.objective);
    let run = RunDirectory::open("spectrum", &request.output, &study)?;
    let (run, (at, found, samples, test_accuracy)) = within(run, |run| {
        let test_accuracy = subject.test_accuracy(session)?;
        let units = Units::new(run.join(UNITS));
        let ctx = session.context(&units)?;
        let objective = subject.objective(&ctx, objective_choice)?;
        let at = gradient(&ctx, &objective, &subject.weights)?;
        let wanted = SpectrumConfig {
            top: settings.top,
            bottom: settings.bottom,
            tolerance: settings.tolerance,
            trace: settings.trace_probes,
            trace_tolerance: settings.trace_tolerance,
            exact: settings.trace_exact,
            density: settings.density_probes,
        };
        let weights = &subject.weights;
        let (mut found, _) = measure::spectrum_of(&ctx, &objective, weights, &measured, &wanted)?;
        measure::norm_on_all_data(&ctx, &objective, weights, &measured, &mut found)?;
        found.write_zarr(&run.results())?;
        Ok((at, found, (objective.examples(), objective.available()), test_accuracy))
    })?;
    session.console.finish();
    let body = SpectrumBody {
        operator: found.operator.clone(),
        scope: found.scope.clone(),
        preconditioner: found.preconditioner.clone(),
        relative_to: found.relative_to.clone(),
        loss: measure::loss(&at.at),
        gradient_norm: at.norm(),
        top: found.top.clone(),
        bottom: (settings.bottom > 0).then(|| found.bottom.clone()),
        trace: found.trace,
        frobenius_squared: found.frobenius_squared,
        density: found.density.clone(),
        outliers: found.outliers,
        products: found.products,
    };
    let mut report = Report::new(
        format!("The spectrum of the {}", words(&measured)),
        loss_name(&objective_choice.loss),
        provenance(session, &choice),
    );
    let network = subject.words();
    report.summary = format!("Around a {network}.");
    report.explanations = explanations(&measured, &found, settings, objective_choice, samples);
    let here = !file.is_foreign();
    let accuracy = test_accuracy.map(|_| super::explain_accuracy(&subject.data, here));
    report.explanations.extend(accuracy);
    report.models = vec![ModelReport {
        name: subject.name.clone(),
        description: network,
        parameters: subject.model.parameter_count() as u64,
        test_accuracy,
        loss: Some(measure::loss(&at.at)),
        spectrum: Some(found),
        ..ModelReport::default()
    }];
    Ok(Outcome { body: Body::Spectrum(body), report, run })
}

/// Refuses what a loss makes of a distribution's matrix.
///
/// # Errors
/// `Input` for a Fisher matrix of outputs with margins.
fn check_fisher(measured: &Measured, objective: &ObjectiveChoice) -> Result<()> {
    let loss: ClassLoss = objective.loss.parse()?;
    let matrices = [Some(measured.operator), measured.relative_to.map(|metric| metric.operator)];
    let fisher = |choice: &OperatorChoice| {
        matches!(choice.matrix, CurvatureMatrix::Fisher | CurvatureMatrix::MonteCarloFisher { .. })
    };
    match matrices.iter().flatten().find(|&choice| fisher(choice)) {
        Some(choice) if matches!(loss.outputs, ClassOutputs::Margins { .. }) => {
            Err(LabError::Input(format!(
                "{choice}: outputs less a margin of the true class are no distribution of classes: \
                 expected another matrix, as gauss-newton, or --loss without margin"
            )))
        }
        _ => Ok(()),
    }
}
