//! A number with the uncertainty of the sampling behind it.

use crate::number;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

/// A number estimated from samples that Thalweg drew: examples, probes, directions or seeds.
///
/// In JSON `{"value", "standard_error", "samples"}`, with `"status": "not finite"` beside them when
/// one of the numbers is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Estimate {
    /// The estimate.
    #[serde(with = "number")]
    pub value: f64,
    /// Its standard error; NaN when there is a single sample.
    #[serde(with = "number")]
    pub standard_error: f64,
    /// How many samples it rests on.
    pub samples: u64,
}

impl Estimate {
    /// Whether both numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.value.is_finite() && self.standard_error.is_finite()
    }
}

impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        let length = if self.is_finite() { 3 } else { 4 };
        let mut object = serializer.serialize_struct("Estimate", length)?;
        object.serialize_field("value", &finite(self.value))?;
        object.serialize_field("standard_error", &finite(self.standard_error))?;
        object.serialize_field("samples", &self.samples)?;
        if !self.is_finite() {
            object.serialize_field("status", "not finite")?;
        }
        object.end()
    }
}

/// A number that is either exact, computed on everything there is, or an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// Computed on everything: a plain number.
    Exact(#[serde(with = "number")] f64),
    /// Computed from samples.
    Estimate(Estimate),
}

impl Quantity {
    /// The number itself.
    pub fn value(&self) -> f64 {
        match self {
            Quantity::Exact(value) => *value,
            Quantity::Estimate(estimate) => estimate.value,
        }
    }

    /// The standard error of an estimate.
    pub fn standard_error(&self) -> Option<f64> {
        match self {
            Quantity::Exact(_) => None,
            Quantity::Estimate(estimate) => Some(estimate.standard_error),
        }
    }

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Quantity::Exact(value) => value.is_finite(),
            Quantity::Estimate(estimate) => estimate.is_finite(),
        }
    }
}

impl From<f64> for Quantity {
    fn from(value: f64) -> Self {
        Quantity::Exact(value)
    }
}

impl From<Estimate> for Quantity {
    fn from(estimate: Estimate) -> Self {
        Quantity::Estimate(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_that_is_not_finite_says_so() {
        let estimate = Estimate { value: f64::INFINITY, standard_error: 0.5, samples: 3 };
        let text = serde_json::to_string(&estimate).unwrap();
        assert_eq!(
            text,
            r#"{"value":null,"standard_error":0.5,"samples":3,"status":"not finite"}"#
        );
        let back: Estimate = serde_json::from_str(&text).unwrap();
        assert!(back.value.is_nan() && back.samples == 3);
    }

    #[test]
    fn exact_numbers_are_plain() {
        assert_eq!(serde_json::to_string(&Quantity::Exact(0.1)).unwrap(), "0.1");
        assert_eq!(serde_json::to_string(&Quantity::Exact(f64::NAN)).unwrap(), "null");
        let back: Vec<Quantity> =
            serde_json::from_str(r#"[2.5, {"value":1.0,"standard_error":0.5,"samples":9}]"#)
                .unwrap();
        assert_eq!(back[0], Quantity::Exact(2.5));
        assert_eq!(back[1].standard_error(), Some(0.5));
    }
}
