//! What of a spectrum, and what of it cannot be together.

use crate::error::{LabError, Result, usage};
use crate::measure::{DensityMethod, Measured, TraceEstimator};
use crate::range::parse_examples;
use crate::relative::Metric;
use serde::{Deserialize, Serialize};
use thalweg_methods::curvature::{
    Approximation, CurvatureMatrix, ExampleGroup, OperatorChoice, ParameterBlock, Scope,
};

/// How a trace is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TraceChoice {
    /// By one product for each parameter.
    Exact,
    /// By random probes; 0: not at all.
    Probes(usize),
    /// By random probes until the standard error is this share of the trace.
    Within(f64),
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
    /// Of the block between which two parts of the model; none: of one on the diagonal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<String>,
    /// Of the examples of which class; none: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<i32>,
    /// Of which examples, by their places; none: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    /// Relative to which matrix; none: to the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_to: Option<String>,
    /// What is added to that matrix's diagonal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
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

/// Probes of the trace if nothing else is asked for.
const PROBES: usize = 32;
/// Probes after which the trace is what it is.
const MOST_PROBES: usize = 1000;
/// What is added to the diagonal of a matrix that eigenvalues are relative to.
const DAMPING: f64 = 0.1;

impl SpectrumSettings {
    /// Takes over how the trace is to be taken, or how it usually is.
    pub(super) fn take_trace(&mut self, asked: Option<TraceChoice>) {
        // Of a block between parts the trace is zero.
        let bare = self.relative_to.is_some() || !self.between.is_empty();
        let usual = TraceChoice::Probes(if bare { 0 } else { PROBES });
        (self.trace_exact, self.trace_probes, self.trace_tolerance) = match asked.unwrap_or(usual) {
            TraceChoice::Exact => (true, 0, 0.0),
            TraceChoice::Probes(probes) => (false, probes, 0.0),
            TraceChoice::Within(share) => (false, MOST_PROBES, share),
        };
    }

    /// What is measured.
    ///
    /// # Errors
    /// `Usage` with the option that is none, or does not go with another.
    pub(super) fn measured(&self) -> Result<Measured> {
        let (operator, relative_to) = self.operators()?;
        let found = TraceEstimator::NAMES.into_iter().find(|(name, ..)| *name == self.estimator);
        let Some((name, estimator, fewest)) = found else {
            let text = "expected hutchinson, hutch++ or xtrace";
            return fault(format!("--estimator {}: {text}", self.estimator));
        };
        if self.trace_probes > 0 && !self.trace_exact && estimator != TraceEstimator::Hutchinson {
            if self.trace_tolerance > 0.0 {
                let text = format!("--estimator {name}: a share for --trace goes with hutchinson");
                return Err(LabError::Usage(text));
            }
            if self.trace_probes < fewest {
                let text = format!("expected at least {fewest} products for {name}");
                return fault(format!("--trace {}: {text}", self.trace_probes));
            }
        }
        let parameters = match (&self.layer, self.parameters.as_slice()) {
            (Some(layer), _) => ParameterBlock::Layer(layer.clone()),
            (None, []) => ParameterBlock::All,
            (None, names) => ParameterBlock::Named(names.to_vec()),
        };
        let examples = match (self.class, &self.examples) {
            (Some(class), _) => ExampleGroup::Class(class),
            (None, None) => ExampleGroup::All,
            (None, Some(text)) => {
                let places = parse_examples(text);
                ExampleGroup::At(places.map_err(|fault| usage("--examples")(&fault))?)
            }
        };
        let method = &self.density_method;
        let density = DensityMethod::NAMES.into_iter().find(|(name, _)| name == method);
        let Some((_, density)) = density else {
            let text = "expected lanczos or kernel-polynomial";
            return fault(format!("--density-by {method}: {text}"));
        };
        let scope = Scope { parameters, examples };
        let between = self.between(operator)?;
        Ok(Measured {
            operator,
            scope,
            between,
            relative_to,
            preconditioner: None,
            estimator,
            density,
        })
    }

    /// The matrix, and what its eigenvalues are relative to.
    fn operators(&self) -> Result<(OperatorChoice, Option<Metric>)> {
        let operator: OperatorChoice = self.of.parse().map_err(|e| usage("--of")(&e))?;
        let relative_to = match &self.relative_to {
            Some(text) => {
                Some(text.parse::<OperatorChoice>().map_err(|e| usage("--relative-to")(&e))?)
            }
            None => None,
        };
        let drawn = |choice: &OperatorChoice| {
            matches!(choice.matrix, CurvatureMatrix::MonteCarloFisher { .. })
        };
        match self.draws {
            Some(0) => return fault("--draws 0: expected at least 1".into()),
            Some(_) if ![Some(operator), relative_to].iter().flatten().any(drawn) => {
                let text = "--draws goes with --of monte-carlo-fisher and its approximations";
                return fault(text.into());
            }
            _ => {}
        }
        let with_draws = |choice: OperatorChoice| match self.draws {
            Some(draws) if drawn(&choice) => {
                OperatorChoice { matrix: CurvatureMatrix::MonteCarloFisher { draws }, ..choice }
            }
            _ => choice,
        };
        let Some(metric) = relative_to.map(with_draws) else {
            return Ok((with_draws(operator), None));
        };
        if metric.matrix == CurvatureMatrix::Hessian {
            return fault(
                "--relative-to hessian: expected a matrix without eigenvalues below zero, as fisher \
                 or gauss-newton"
                    .into(),
            );
        }
        let damping = self.damping.unwrap_or(DAMPING);
        if !(damping > 0.0 && damping.is_finite()) {
            return fault(format!("--damping {damping}: expected a positive number"));
        }
        let others = [
            (self.trace_exact || self.trace_probes > 0, "--trace"),
            (self.density_probes > 0, "--density"),
            (self.preconditioned, "--preconditioned"),
        ];
        match others.into_iter().find(|(given, _)| *given) {
            Some((_, option)) => fault(format!(
                "{option}: expected it without --relative-to, with which eigenvalues alone are found"
            )),
            None => Ok((with_draws(operator), Some(Metric { operator: metric, damping }))),
        }
    }

    /// The block between two parts of the model.
    fn between(&self, operator: OperatorChoice) -> Result<Option<[ParameterBlock; 2]>> {
        let [first, second] = match self.between.as_slice() {
            [] => return Ok(None),
            [first, second] => [first, second],
            names => {
                let text =
                    format!("--between: expected two parts of the model, got {}", names.len());
                return Err(LabError::Usage(text));
            }
        };
        if operator.approximation != Approximation::None {
            return fault(format!(
                "--of {operator}: an approximation has no block between parts of the model: expected \
                 {} with --between",
                operator.matrix
            ));
        }
        let others = [
            (self.preconditioned, "--preconditioned"),
            (self.relative_to.is_some(), "--relative-to"),
        ];
        match others.into_iter().find(|(given, _)| *given) {
            Some((_, option)) => fault(format!("{option}: expected it without --between")),
            None => Ok(Some([first, second].map(|part| ParameterBlock::Layer(part.clone())))),
        }
    }
}

fn fault<T>(text: String) -> Result<T> {
    Err(LabError::Usage(text))
}
