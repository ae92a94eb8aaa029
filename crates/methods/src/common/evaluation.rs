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

/// The standard error of a share of examples, from a 1 or 0 of each.
///
/// To the variance of the mean it adds by how much that of a share grows with two more examples of each
/// kind: where nearly all of a sample are of one kind, its own spread says that all are.
///
/// # Source    Agresti, Coull, Approximate is better than "exact" for interval estimation of binomial
/// proportions, 1998
pub(crate) fn share_error(values: &[f64], strata: &[(Vec<usize>, usize)]) -> f64 {
    let (n, count) = (values.len() as f64, pairwise_sum(values));
    let population: usize = strata.iter().map(|(_, size)| size).sum();
    let unseen = 1.0 - n / population as f64;
    let variance = |share: f64| share * (1.0 - share);
    let grown = variance((count + 2.0) / (n + 4.0)) - variance(count / n);
    (standard_error(values, strata).powi(2) + unseen * grown / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the share, the bar of a sample of 60 out of 600 holds it in at least nine of ten samples.
    #[test]
    fn the_bar_of_a_share_covers_however_rare_a_kind_is() {
        let strata = vec![((0..60).collect::<Vec<_>>(), 600)];
        for of_kind in [3, 12, 30, 60, 150, 300] {
            let truth = f64::from(of_kind) / 600.0;
            let mut covered = 0;
            for seed in 0..200 {
                let order = thalweg_data::Stream::new(seed, "share").permutation(600);
                let is = |&place: &usize| f64::from(u8::from(place < of_kind as usize));
                let sample: Vec<f64> = order[..60].iter().map(is).collect();
                let value = pairwise_sum(&sample) / 60.0;
                let error = share_error(&sample, &strata);
                covered += usize::from((value - truth).abs() <= 1.96 * error);
            }
            // A share of whole numbers cannot have a bar of 95 % where a few are expected: it is longer.
            let most = if of_kind < 100 { 200 } else { 198 };
            assert!((180..=most).contains(&covered), "{of_kind}: {covered}");
        }
    }

    #[test]
    fn a_whole_population_has_no_error_of_its_share() {
        let strata = vec![((0..4).collect(), 4)];
        assert_eq!(share_error(&[1.0, 0.0, 1.0, 1.0], &strata), 0.0);
    }
}
