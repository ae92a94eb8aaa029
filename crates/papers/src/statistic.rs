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

/// What holds of at least `k` of several numbers, `k` being more than half of them: the `k`-th highest
/// lower end and the `k`-th lowest upper end of their intervals, around the `k`-th highest number.
///
/// An end is beyond a bound if and only if those of `k` numbers are. Any two choices of `k` have a number
/// in common, so that the lower end is never above the upper one. None of fewer than `k` numbers.
pub fn of_at_least(k: usize, found: &[Measured]) -> Option<Measured> {
    let highest = |of: fn(&Measured) -> f64| {
        let mut sorted: Vec<&Measured> = found.iter().collect();
        sorted.sort_by(|a, b| of(b).total_cmp(&of(a)));
        sorted.into_iter().nth(k.checked_sub(1)?)
    };
    let low = highest(|one| one.interval.low)?.interval.low;
    let high = highest(|one| -one.interval.high)?.interval.high;
    Some(Measured { interval: Interval { low, high }, ..highest(|one| one.value)?.clone() })
}

/// A number that is known without error, as a count is.
pub fn exactly(value: f64, samples: usize) -> Measured {
    let interval = Interval { low: value, high: value };
    Measured { value, standard_error: 0.0, samples, interval }
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
    use thalweg_stats::Bound;

    #[test]
    fn pairs_are_told_apart_by_their_differences() {
        let rows = [[3.0, 1.0], [5.0, 2.0], [4.0, 3.0]];
        let found = paired(&column(&rows, 0), &column(&rows, 1)).unwrap();
        assert_eq!((found.value, found.samples), (2.0, 3));
        let differences = mean(&[2.0, 3.0, 1.0]).unwrap();
        assert_eq!(found, differences);
        assert!(paired(&[1.0, 2.0], &[1.0]).is_err());
    }

    fn measured([value, low, high]: [f64; 3]) -> Measured {
        let interval = Interval { low, high };
        Measured { value, standard_error: (high - low) / 4.0, samples: 10, interval }
    }

    #[test]
    fn two_of_three_decide() {
        use thalweg_stats::Verdict::{self, Confirmed, Inconclusive, Refuted};
        let judged = |found: [[f64; 3]; 3]| -> (Measured, Verdict) {
            // In any order.
            let [a, b, c] = found.map(measured);
            let joined = of_at_least(2, &[a.clone(), b.clone(), c.clone()]).unwrap();
            assert_eq!(of_at_least(2, &[c, a, b]).unwrap(), joined);
            let verdict = Bound::above(0.0).judge(joined.interval);
            (joined, verdict)
        };
        // One upper end alone is below zero, that of the number in the middle.
        let (found, verdict) =
            judged([[-0.051, -3.735, 3.633], [-0.347, -0.570, -0.124], [-0.572, -1.274, 0.131]]);
        assert_eq!(verdict, Inconclusive);
        assert_eq!((found.interval.low, found.interval.high), (-1.274, 0.131));
        assert_eq!(found.value, -0.347);
        // Two that hold beside one that is too wide to.
        assert_eq!(judged([[0.5, -0.1, 1.1], [0.3, 0.2, 0.4], [0.2, 0.1, 0.3]]).1, Confirmed);
        // One that holds, in the middle, beside one that is too wide to and one that does not.
        assert_eq!(judged([[0.9, -0.1, 1.9], [0.3, 0.2, 0.4], [-0.2, -0.3, -0.1]]).1, Inconclusive);
        assert_eq!(judged([[0.9, 0.1, 1.9], [-0.3, -0.4, -0.2], [-0.2, -0.3, -0.1]]).1, Refuted);
    }

    #[test]
    fn three_of_four_are_between_the_third_ends() {
        let found =
            [[0.1, 0.0, 0.2], [0.2, 0.1, 0.3], [0.3, 0.2, 0.9], [0.4, 0.3, 0.5]].map(measured);
        let joined = of_at_least(3, &found).unwrap();
        assert_eq!((joined.value, joined.interval), (0.2, Interval { low: 0.1, high: 0.5 }));
        assert!(of_at_least(5, &found).is_none() && of_at_least(1, &[]).is_none());
    }

    #[test]
    fn the_first_of_the_best_is_chosen() {
        assert_eq!(first_best(&[0.1, 0.4, 0.3, 0.4]), 1);
        assert_eq!(first_best(&[]), 0);
    }
}
