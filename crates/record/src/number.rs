//! `f64` in JSON: finite numbers as numbers, everything else as `null`, and `null` as NaN.
//!
//! For `#[serde(with = "number")]`, with [`mod@vec`] for sequences and [`mod@option`] for a number that may
//! be absent altogether.

use serde::{Deserialize, Deserializer, Serializer};

/// Writes a number, or `null` if it is not finite.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_none() }
}

/// Reads a number, or `null` as NaN.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Sequences of numbers.
pub mod vec {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes each number, or `null` where it is not finite.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| value.is_finite().then_some(*value)))
    }

    /// Reads each number, or `null` as NaN.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}

/// Sequences of numbers that may be absent. An absent one is left out (`skip_serializing_if`).
pub mod option_vec {
    use serde::{Deserializer, Serializer};

    /// Writes the sequence as [`super::vec`] does, or `null`.
    pub fn serialize<S: Serializer>(
        values: &Option<Vec<f64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match values {
            Some(values) => super::vec::serialize(values, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a sequence that is present.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<f64>>, D::Error> {
        super::vec::deserialize(deserializer).map(Some)
    }
}

/// Numbers that may be absent. An absent one is left out (`skip_serializing_if`), so that `null`
/// keeps its meaning: measured, but not finite.
pub mod option {
    use serde::{Deserializer, Serializer};

    /// Writes a number, or `null` if it is absent or not finite.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(&value.unwrap_or(f64::NAN), serializer)
    }

    /// Reads a number that is present, or `null` as NaN.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}
