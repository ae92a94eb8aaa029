//! An objective's value at a point, from the losses of single examples.

use super::objective::Sampling;
use thalweg_stats::{Estimate, pairwise_sum};

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Not yet evaluated.
    NotComputed = 0,
    /// Evaluated, and the loss is finite.
    Computed = 1,
    /// Evaluated, and the loss is NaN or infinite.
    NotFinite = 2,
}

/// An objective's value at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean loss of the examples.
    pub loss: f64,
    /// The share of examples classified rightly, for classification.
    pub accuracy: Option<f64>,
    /// The standard error of the loss where the examples are a sample; NaN where it is not
    /// finite.
    pub standard_error: Option<f64>,
    /// Number of examples.
    pub examples: usize,
    /// Whether the loss is finite.
    pub status: Status,
}

/// What became of each example at a point, in the objective's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleValues {
    /// The loss of each example.
    pub losses: Vec<f64>,
    /// 1 where it is classified rightly and 0 where not, for classification.
    pub correct: Option<Vec<f64>>,
    /// First and second derivatives of each loss along the direction, where they are asked for.
    pub derivatives: [Vec<f64>; 2],
}

/// Mean loss, accuracy and standard error from the losses of single examples.
pub(crate) fn summarize(
    losses: &[f64],
    correct: Option<&[f64]>,
    sampling: &Sampling,
) -> Evaluation {
    let n = losses.len() as f64;
    let loss = pairwise_sum(losses) / n;
    let standard_error = match sampling {
        Sampling::All => None,
        Sampling::Strata(strata) => Some(standard_error(losses, strata)),
    };
    Evaluation {
        loss,
        accuracy: correct.map(|correct| pairwise_sum(correct) / n),
        standard_error,
        examples: losses.len(),
        status: if loss.is_finite() { Status::Computed } else { Status::NotFinite },
    }
}

/// By strata where each was sampled at least twice, else as if from one population.
pub(crate) fn standard_error(losses: &[f64], strata: &[(Vec<usize>, usize)]) -> f64 {
    let gathered: Vec<(Vec<f64>, usize)> = strata
        .iter()
        .map(|(positions, size)| (positions.iter().map(|&p| losses[p]).collect(), *size))
        .collect();
    let borrowed: Vec<(&[f64], usize)> =
        gathered.iter().map(|(samples, size)| (samples.as_slice(), *size)).collect();
    let population = strata.iter().map(|(_, size)| size).sum();
    Estimate::mean_of_strata(&borrowed)
        .or_else(|_| Estimate::mean_of_population(losses, population))
        .map_or(f64::NAN, |estimate| estimate.standard_error)
}
