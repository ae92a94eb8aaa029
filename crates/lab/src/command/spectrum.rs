//! `thalweg spectrum`.

use super::{Outcome, explain, loss_name, provenance, within};
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::error::{LabError, Result};
use crate::measure::{self, SpectrumConfig};
use crate::model_source::open_model;
use crate::run_directory::{Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::common::gradient;
use thalweg_record::reply::{Body, SpectrumBody};
use thalweg_record::{Explanation, ModelReport, Report};

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
    /// What else of the spectrum; `top` follows from the above.
    pub settings: SpectrumSettings,
    /// Where to.
    pub output: Output,
}

/// What of the spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectrumSettings {
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// How many of the smallest.
    pub bottom: usize,
    /// Largest residual, as a share of the largest eigenvalue.
    pub tolerance: f64,
    /// Probes of the trace, at most; 0: none.
    pub trace_probes: usize,
    /// The share of the trace at which its standard error is small enough; 0: all probes.
    #[serde(default)]
    pub trace_tolerance: f64,
    /// The trace by one product for each parameter.
    pub trace_exact: bool,
    /// Probes of the density; 0: none.
    pub density_probes: usize,
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

/// Eigenvalues, trace and density of the Hessian.
///
/// # Errors
/// Options that do not parse; a model or data that cannot be read or do not fit; a directory that
/// cannot be written; `Interrupted`.
pub fn spectrum(session: &Session, request: SpectrumRequest) -> Result<Outcome> {
    request.objective.check()?;
    request.data.check()?;
    let mut settings = request.settings;
    let usage = |text: &str| Err(LabError::Usage(text.to_owned()));
    if !(settings.tolerance > 0.0 && settings.tolerance < 1.0) {
        return usage("--tolerance: expected a share between 0 and 1");
    }
    if settings.density_probes == 1 {
        return usage("--density 1: expected at least 2 probes, for standard errors");
    }
    let asked = request.top.unwrap_or(0).saturating_add(settings.bottom);
    if asked > MOST_EIGENVALUES {
        return usage(&format!(
            "{asked} eigenvalues: expected at most {MOST_EIGENVALUES}; --density shows all of them"
        ));
    }
    let file = open_model(&request.model)?;
    let models = std::slice::from_ref(&file);
    let (choice, data) = PreparedData::choose(&request.data, models, session.seed)?;
    data.tell(session);
    let wanted = Wanted::new(request.architecture.as_deref(), &request.objective);
    let subject = Subject::new(session, &file, &wanted, &data)?;
    let n = subject.model.parameter_count();
    if asked > n {
        return Err(LabError::Input(format!(
            "{} has {n} parameters: expected at most so many eigenvalues, got {asked}",
            file.path.display()
        )));
    }
    settings.top = request.top.unwrap_or(TOP.min(n - settings.bottom));
    let objective_choice = subject.complete(request.objective);
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
        let found = measure::spectrum(&ctx, &objective, &subject.weights, &wanted)?;
        found.write_zarr(&run.results())?;
        Ok((at, found, (objective.examples(), objective.available()), test_accuracy))
    })?;
    session.console.finish();
    let body = SpectrumBody {
        loss: at.at.loss,
        gradient_norm: at.norm(),
        top: found.top.clone(),
        bottom: (settings.bottom > 0).then(|| found.bottom.clone()),
        trace: found.trace,
        frobenius_squared: found.frobenius_squared,
        density: found.density.clone(),
        products: found.products,
    };
    let mut report = Report::new(
        "The spectrum of the Hessian",
        loss_name(&objective_choice.loss),
        provenance(session, &choice),
    );
    let network = subject.words();
    report.summary = format!("Around a {network}.");
    report.explanations = explanations(settings, objective_choice, samples);
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

fn explanations(
    settings: &SpectrumSettings,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
) -> Vec<Explanation> {
    let mut list = vec![super::explain_loss(objective, samples)];
    if settings.top + settings.bottom > 0 {
        list.push(super::explain_eigenvalues(settings.top, settings.bottom, settings.tolerance));
    }
    if settings.trace_exact {
        list.push(explain(
            "Trace",
            "The sum of the Hessian's diagonal, from one product with each unit vector.",
        ));
    } else if settings.trace_probes > 0 {
        list.push(super::explain_trace(
            settings.top + settings.bottom,
            settings.trace_probes,
            settings.trace_tolerance,
        ));
    }
    if settings.trace_exact || settings.trace_probes > 0 {
        let how = match settings.trace_exact {
            true => "The sum of the squares of all elements, from the same products.",
            false if settings.top + settings.bottom > 0 => {
                "The sum of |Hv|² over the eigenvectors found, and the mean of |Hw|² over the same \
                 random sign vectors."
            }
            false => "The mean of |Hz|² over the same random sign vectors.",
        };
        list.push(explain("Frobenius norm, squared", how));
    }
    if settings.density_probes > 0 {
        list.push(explain(
            "Density of eigenvalues",
            format!(
                "Stochastic Lanczos quadrature: 48 steps from each of {} random sign vectors; each \
                 Ritz value counts by its weight, smoothed by a Gaussian whose width is 1 % of \
                 their range. Standard errors over the vectors.",
                settings.density_probes
            ),
        ));
    }
    list
}
