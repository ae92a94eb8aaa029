//! A reading, number by number.

use thalweg_stats::Estimate;

/// A number that was read off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Nothing was sampled for it beside the objective's examples.
    Exact(f64),
    /// From draws, or from examples that are a sample.
    Estimated(Estimate),
}

impl Value {
    /// The number.
    pub fn number(&self) -> f64 {
        match self {
            Value::Exact(value) => *value,
            Value::Estimated(estimate) => estimate.value,
        }
    }

    /// Its standard error, where it has one.
    pub fn standard_error(&self) -> Option<f64> {
        match self {
            Value::Exact(_) => None,
            Value::Estimated(estimate) => Some(estimate.standard_error),
        }
    }
}

/// What the terms of a mean range over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// The objective's examples.
    Examples,
    /// Random draws: probes, directions, perturbations.
    Draws,
}

impl Over {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Over::Examples => "examples",
            Over::Draws => "draws",
        }
    }
}

/// What each example or draw contributed to a value that is their mean, but for something that is
/// known, or that has them as its influences to first order.
///
/// Terms of two points under one seed belong together one by one, so that the error of the
/// difference of two values is that of the mean of the differences of terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What they range over.
    pub over: Over,
    /// One for each.
    pub values: Vec<f64>,
    /// The part of the value's error that they do not show, as what is left of an iteration's own.
    pub beside: f64,
}

/// A named number of a reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// What it is, in words; no two of a reading are named alike.
    pub name: String,
    /// The number.
    pub value: Value,
    /// What it is the mean of, where it is one.
    pub terms: Option<Terms>,
}

impl Quantity {
    /// A number without a sampling error.
    pub fn exact(name: impl Into<String>, value: f64) -> Quantity {
        Quantity { name: name.into(), value: Value::Exact(value), terms: None }
    }

    /// A number with a sampling error.
    pub fn estimated(name: impl Into<String>, estimate: Estimate) -> Quantity {
        Quantity { name: name.into(), value: Value::Estimated(estimate), terms: None }
    }

    /// With what it is the mean of.
    pub fn with_terms(self, over: Over, values: &[f64]) -> Quantity {
        Quantity { terms: Some(Terms { over, values: values.to_vec(), beside: 0.0 }), ..self }
    }

    /// With an error that its terms do not show.
    pub fn with_error_beside(mut self, error: f64) -> Quantity {
        if let Some(terms) = &mut self.terms {
            terms.beside = error;
        }
        self
    }
}
