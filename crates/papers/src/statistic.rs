//! From samples, one a seed, to a number with its interval.

use crate::check::Measured;
use thalweg_lab::Result;
use thalweg_stats::{Bootstrap, BootstrapConfig, Estimate, Interval, StatsError, bootstrap};

/// Replicates of every bootstrap.
const REPLICATES: usize = 10_000;

/// The mean over seeds with its 95 % interval by Student's t. Of paired samples, pass the
/// differences.
///
/// Not by the bootstrap, because that of a mean over ten seeds holds the truth in nine of ten cases
/// and not in nineteen of twenty.
///
/// # Errors
/// Fewer than two samples, or one that is not finite.
pub fn mean(samples: &[f64]) -> Result<Measured> {
    mean_of_best(samples, 1)
}

/// As [`mean`], of paired samples: the first minus the second.
///
/// # Errors
/// As [`mean`]; samples that cannot be paired.
pub fn paired(first: &[f64], second: &[f64]) -> Result<Measured> {
    if first.len() != second.len() {
        let (first, second) = (first.len(), second.len());
        return Err(StatsError::Unpaired { first, second }.into());
    }
    let apart: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    mean(&apart)
}

/// As [`mean`], for the best of `m` such means: its interval is that of `1 - 0.05 / m`, so that the
/// largest of `m` that are nothing is not taken for something.
///
/// # Errors
/// As [`mean`].
pub fn mean_of_best(samples: &[f64], m: usize) -> Result<Measured> {
    let Estimate { value, standard_error, samples } = Estimate::mean(samples)?;
    let confidence = 1.0 - 0.05 / m.max(1) as f64;
    let interval = Estimate { value, standard_error, samples }.interval(confidence)?;
    Ok(Measured { value, standard_error, samples, interval })
}

/// As [`mean`]; of fewer than two samples everything is NaN, which decides nothing.
///
/// # Errors
/// A sample that is not finite.
pub fn mean_if_any(samples: &[f64]) -> Result<Measured> {
    match samples.len() {
        n @ (0 | 1) => Ok(Measured {
            value: f64::NAN,
            standard_error: f64::NAN,
            samples: n,
            interval: Interval { low: f64::NAN, high: f64::NAN },
        }),
        _ => mean(samples),
    }
}

/// Any statistic of elements, one a seed, with its 95 % interval (BCa bootstrap over seeds).
///
/// # Errors
/// Fewer than two elements, or a statistic that is not finite.
pub fn of<T: Clone>(samples: &[T], statistic: impl Fn(&[T]) -> f64) -> Result<Measured> {
    of_best(samples, statistic, 1)
}

/// As [`of`], for the best of `m` such statistics: its interval is that of `1 - 0.05 / m`.
///
/// # Errors
/// As [`of`].
pub fn of_best<T: Clone>(
    samples: &[T],
    statistic: impl Fn(&[T]) -> f64,
    m: usize,
) -> Result<Measured> {
    let confidence = 1.0 - 0.05 / m.max(1) as f64;
    let config =
        BootstrapConfig { replicates: REPLICATES, confidence, ..BootstrapConfig::default() };
    let Bootstrap { value, standard_error, interval, samples } =
        bootstrap(samples, statistic, &config)?;
    Ok(Measured { value, standard_error, samples, interval })
}

/// A column of rows.
pub fn column<const N: usize>(rows: &[[f64; N]], place: usize) -> Vec<f64> {
    rows.iter().map(|row| row[place]).collect()
}

/// The place of the largest number, the first of equals; the first place if no number is one.
pub fn first_best(values: &[f64]) -> usize {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (0..values.len()).fold(0, better)
}

/// The median; NaN of no numbers.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    thalweg_stats::quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_told_apart_by_their_differences() {
        let rows = [[3.0, 1.0], [5.0, 2.0], [4.0, 3.0]];
        let found = paired(&column(&rows, 0), &column(&rows, 1)).unwrap();
        assert_eq!((found.value, found.samples), (2.0, 3));
        let differences = mean(&[2.0, 3.0, 1.0]).unwrap();
        assert_eq!(found, differences);
        assert!(paired(&[1.0, 2.0], &[1.0]).is_err());
    }

    #[test]
    fn the_first_of_the_best_is_chosen() {
        assert_eq!(first_best(&[0.1, 0.4, 0.3, 0.4]), 1);
        assert_eq!(first_best(&[]), 0);
    }
}
