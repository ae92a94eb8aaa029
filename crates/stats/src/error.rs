//! What can be wrong with a sample.

/// What can be wrong with a sample or with what is asked of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// The sample is too small for the question.
    #[error("{what} needs at least {expected} samples, got {got}")]
    TooFew {
        /// The question.
        what: &'static str,
        /// The smallest number that would do.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A sample is NaN or infinite.
    #[error("sample {index} is {value}, expected a finite number")]
    NotFinite {
        /// Its place, counted from 0.
        index: usize,
        /// Its value as text.
        value: String,
    },
    /// A number in a request is out of its range.
    #[error("{what} is {got}, expected {expected}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Two samples that are to be paired differ in number.
    #[error("{first} and {second} samples cannot be paired")]
    Unpaired {
        /// Samples of the first.
        first: usize,
        /// Samples of the second.
        second: usize,
    },
}

/// Refuses samples that are not finite.
pub(crate) fn check_finite(samples: &[f64]) -> Result<(), StatsError> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { index, value: samples[index].to_string() }),
        None => Ok(()),
    }
}

/// Refuses a probability that is not strictly between 0 and 1.
pub(crate) fn check_open(what: &'static str, got: f64) -> Result<(), StatsError> {
    if got > 0.0 && got < 1.0 {
        return Ok(());
    }
    let (expected, got) = ("between 0 and 1".to_string(), got.to_string());
    Err(StatsError::Range { what, expected, got })
}
