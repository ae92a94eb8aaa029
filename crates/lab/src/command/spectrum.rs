//! `thalweg spectrum`.

use super::{Outcome, explain, loss_name, provenance, within};
use crate::data_source::{DataChoice, DataOptions, PreparedData};
use crate::error::{LabError, Result, usage};
use crate::measure::{self, DensityMethod, Measured, SpectrumConfig, TraceEstimator};
use crate::model_source::open_model;
use crate::optimizer_state::adam_state;
use crate::run_directory::{Output, RunDirectory, UNITS};
use crate::session::Session;
use crate::study::{BudgetSection, Common};
use crate::subject::{ObjectiveChoice, Subject, Wanted};
use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thalweg_methods::common::gradient;
use thalweg_methods::curvature::{
    Approximation, CurvatureMatrix, ExampleGroup, OperatorChoice, ParameterBlock, Scope,
};
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
    /// Of which matrix.
    #[serde(default = "hessian")]
    pub of: String,
    /// Of which part of the model; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Of which parameters by name; none: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// Of the examples of which class; none: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<i32>,
    /// Targets drawn for each example of a Monte Carlo Fisher matrix; none: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<usize>,
    /// Whether it is preconditioned by the state that Adam left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preconditioned: bool,
    /// How the trace is estimated, whose probes then are products.
    #[serde(default = "hutchinson")]
    pub estimator: String,
    /// How the density is found.
    #[serde(default = "lanczos")]
    pub density_method: String,
}

fn lanczos() -> String {
    DensityMethod::NAMES[0].0.to_owned()
}

fn hessian() -> String {
    CurvatureMatrix::Hessian.name().to_owned()
}

fn hutchinson() -> String {
    TraceEstimator::NAMES[0].0.to_owned()
}

impl SpectrumSettings {
    /// What is measured.
    ///
    /// # Errors
    /// `Usage` with the option that is none, or does not go with another.
    fn measured(&self) -> Result<Measured> {
        let mut operator: OperatorChoice = self.of.parse().map_err(|e| usage("--of")(&e))?;
        let drawn = matches!(operator.matrix, CurvatureMatrix::MonteCarloFisher { .. });
        match self.draws {
            Some(0) => {
                return Err(LabError::Usage("--draws 0: expected at least 1".into()));
            }
            Some(draws) if drawn => operator.matrix = CurvatureMatrix::MonteCarloFisher { draws },
            Some(_) => {
                let text = "--draws goes with --of monte-carlo-fisher and its approximations";
                return Err(LabError::Usage(text.into()));
            }
            None => {}
        }
        let found = TraceEstimator::NAMES.into_iter().find(|(name, ..)| *name == self.estimator);
        let Some((name, estimator, fewest)) = found else {
            let text = "expected hutchinson, hutch++ or xtrace";
            return Err(LabError::Usage(format!("--estimator {}: {text}", self.estimator)));
        };
        if self.trace_probes > 0 && !self.trace_exact && estimator != TraceEstimator::Hutchinson {
            if self.trace_tolerance > 0.0 {
                let text = format!("--estimator {name}: a share for --trace goes with hutchinson");
                return Err(LabError::Usage(text));
            }
            if self.trace_probes < fewest {
                let text = format!("expected at least {fewest} products for {name}");
                return Err(LabError::Usage(format!("--trace {}: {text}", self.trace_probes)));
            }
        }
        let parameters = match (&self.layer, self.parameters.as_slice()) {
            (Some(layer), _) => ParameterBlock::Layer(layer.clone()),
            (None, []) => ParameterBlock::All,
            (None, names) => ParameterBlock::Named(names.to_vec()),
        };
        let examples = self.class.map_or(ExampleGroup::All, ExampleGroup::Class);
        let method = &self.density_method;
        let density = DensityMethod::NAMES.into_iter().find(|(name, _)| name == method);
        let Some((_, density)) = density else {
            let text = "expected lanczos or kernel-polynomial";
            return Err(LabError::Usage(format!("--density-by {method}: {text}")));
        };
        let scope = Scope { parameters, examples };
        Ok(Measured { operator, scope, preconditioner: None, estimator, density })
    }
}

/// A matrix and its scope, as the middle of a sentence.
fn words(measured: &Measured) -> String {
    let mut words = measured.operator.words();
    if measured.scope != Scope::default() {
        words.push_str(&format!(" ({})", measured.scope));
    }
    if measured.preconditioner.is_some() {
        words.push_str(", preconditioned by Adam");
    }
    words
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
    let mut measured = settings.measured()?;
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
    let file = open_model(&request.model, request.architecture.as_deref())?;
    let models = std::slice::from_ref(&file);
    let (choice, data) = PreparedData::choose(&request.data, models, session.seed)?;
    data.tell(session);
    let wanted = Wanted::new(&request.objective);
    let subject = Subject::new(session, &file, &wanted, &data)?;
    let n = measured.scope.parameters.count(subject.model.parameters())?;
    if settings.preconditioned {
        measured.preconditioner = Some(("adam".into(), adam_state(&file, &subject.weights)?));
    }
    if asked > n {
        let part = match &measured.scope.parameters {
            ParameterBlock::All => file.path.display().to_string(),
            ParameterBlock::Layer(layer) => format!("{layer} of {}", file.path.display()),
            block => format!("{block} of {}", file.path.display()),
        };
        return Err(LabError::Input(format!(
            "{part} has {n} parameters: expected at most so many eigenvalues, got {asked}"
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
        let weights = &subject.weights;
        let (found, _) = measure::spectrum_of(&ctx, &objective, weights, &measured, &wanted)?;
        found.write_zarr(&run.results())?;
        Ok((at, found, (objective.examples(), objective.available()), test_accuracy))
    })?;
    session.console.finish();
    let body = SpectrumBody {
        operator: found.operator.clone(),
        scope: found.scope.clone(),
        preconditioner: found.preconditioner.clone(),
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
        format!("The spectrum of the {}", words(&measured)),
        loss_name(&objective_choice.loss),
        provenance(session, &choice),
    );
    let network = subject.words();
    report.summary = format!("Around a {network}.");
    report.explanations = explanations(&measured, settings, objective_choice, samples);
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

fn explanations(
    measured: &Measured,
    settings: &SpectrumSettings,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
) -> Vec<Explanation> {
    let mut list = vec![super::explain_loss(objective, samples)];
    let kept = match measured.operator.approximation {
        Approximation::None => None,
        Approximation::Diagonal => Some(
            "The exact diagonal, from the squares of the gradients of each example; nothing beside \
             it.",
        ),
        Approximation::Kfac => Some(
            "K-FAC (expand): for each dense and convolutional layer the Kronecker product of the \
             mean outer products of its inputs and of the gradients by its outputs, positions \
             counting as examples; the exact diagonal for all other parameters; nothing between \
             layers.",
        ),
    };
    list.extend(kept.map(|how| explain("Approximation", how)));
    if measured.preconditioner.is_some() {
        let how = "Adam divides the step of each weight by P = √(v / (1 - β₂ᵗ)) + ε, with the second \
                   moments v that the training kept. All numbers are those of P⁻¹ᐟ² A P⁻¹ᐟ², whose \
                   eigenvalues are those of P⁻¹ A: the curvature that Adam's steps meet.";
        list.push(explain("Preconditioned by Adam", how));
    }
    if settings.top + settings.bottom > 0 {
        list.push(super::explain_eigenvalues(
            &words(measured),
            settings.top,
            settings.bottom,
            settings.tolerance,
        ));
    }
    if settings.trace_exact {
        list.push(explain(
            "Trace",
            "The sum of the matrix's diagonal, from one product with each unit vector.",
        ));
    } else if settings.trace_probes > 0 && measured.estimator != TraceEstimator::Hutchinson {
        list.push(explain("Trace", sketched(measured.estimator, settings)));
    } else if settings.trace_probes > 0 {
        list.push(super::explain_trace(
            settings.top + settings.bottom,
            settings.trace_probes,
            settings.trace_tolerance,
        ));
    }
    let with_norm = measured.estimator == TraceEstimator::Hutchinson && settings.trace_probes > 0;
    if settings.trace_exact || with_norm {
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
        let probes = settings.density_probes;
        let how = match settings.density_method == DensityMethod::NAMES[0].0 {
            true => format!(
                "Stochastic Lanczos quadrature: 48 steps from each of {probes} random sign vectors; \
                 each Ritz value counts by its weight, smoothed by a Gaussian whose width is 1 % of \
                 their range. Standard errors over the vectors."
            ),
            false => format!(
                "The kernel polynomial method: 96 Chebyshev moments of each of {probes} random sign \
                 vectors with Jackson's damping, which makes of an eigenvalue a bell whose width is \
                 1.6 % of the range, less towards its ends. Standard errors over the vectors."
            ),
        };
        list.push(explain("Density of eigenvalues", how));
    }
    list
}

/// How a trace by a sketch is obtained.
fn sketched(estimator: TraceEstimator, settings: &SpectrumSettings) -> String {
    let n = settings.trace_probes;
    let known = match settings.top + settings.bottom {
        0 => "",
        _ => "The sum of the eigenvalues found; of what is outside their vectors: ",
    };
    let how = match estimator {
        TraceEstimator::XTrace => format!(
            "XTrace from {n} products, the mean over {} normal vectors of the trace on what all the \
             others' products span and of one form outside of it. The standard error is over the \
             vectors, and knows that they share their products.",
            n / 2
        ),
        _ => format!(
            "Hutch++ from {n} products, exact on what {} of them span, and Hutchinson's estimate \
             outside of it, whose standard error it is.",
            n / 3
        ),
    };
    format!("{known}{how}")
}
