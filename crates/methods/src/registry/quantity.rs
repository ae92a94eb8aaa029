//! A reading, number by number.

use crate::common::SampleTerms;
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
    /// What each example contributed to it, beside the terms, where the choice of examples leaves it
    /// uncertain: both errors are part of the value's.
    pub sample: Option<SampleTerms>,
    /// Whether it is a number of all the data where the examples are a sample of them, so that its error
    /// holds their choice. Else it is that of the examples taken, and so is its error if it has one.
    pub of_data: bool,
}

impl Quantity {
    /// A number without a sampling error.
    pub fn exact(name: impl Into<String>, value: f64) -> Quantity {
        Quantity::new(name.into(), Value::Exact(value))
    }

    /// A number with a sampling error.
    pub fn estimated(name: impl Into<String>, estimate: Estimate) -> Quantity {
        Quantity::new(name.into(), Value::Estimated(estimate))
    }

    fn new(name: String, value: Value) -> Quantity {
        Quantity { name, value, terms: None, sample: None, of_data: false }
    }

    /// With what it is the mean of; of examples it is a number of all the data.
    pub fn with_terms(self, over: Over, values: &[f64]) -> Quantity {
        let of_data = self.of_data || over == Over::Examples;
        let terms = Some(Terms { over, values: values.to_vec(), beside: 0.0 });
        Quantity { terms, of_data, ..self }
    }

    /// As a number of all the data, whose error holds the choice of examples.
    pub fn of_data(self) -> Quantity {
        Quantity { of_data: true, ..self }
    }

    /// With what each example contributed, if that leaves anything open, whose error is added in squares.
    pub fn with_sample(self, sample: Option<&SampleTerms>) -> Quantity {
        let Some(sample) = sample else { return self };
        let (of_sample, value) = (sample.standard_error(), self.value.number());
        let estimate = match self.value {
            Value::Exact(_) => {
                Estimate { value, standard_error: of_sample, samples: sample.examples() }
            }
            Value::Estimated(own) => {
                Estimate { standard_error: own.standard_error.hypot(of_sample), ..own }
            }
        };
        let (value, sample) = (Value::Estimated(estimate), Some(sample.clone()));
        Quantity { value, sample, of_data: true, ..self }
    }

    /// With an error that its terms do not show.
    pub fn with_error_beside(mut self, error: f64) -> Quantity {
        if let Some(terms) = &mut self.terms {
            terms.beside = error;
        }
        self
    }
}
