//! Two treatments of the same things.

use crate::error::check_finite;
use crate::{Estimate, Interval, StatsError, student_t_cdf};

/// How two paired samples differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedComparison {
    /// Mean of `first - second`.
    pub difference: Estimate,
    /// Its interval by Student's t at the confidence asked for.
    pub interval: Interval,
    /// `difference / standard_error`; infinite if every difference is the same, 0 if all are 0.
    pub t: f64,
    /// Probability, if the mean difference is 0, of a `t` at least as far from 0.
    pub p_two_sided: f64,
    /// Probability, if the mean difference is 0, of a `t` at least as large.
    pub p_greater: f64,
}

/// Compares paired samples, as the losses of two methods with the same seeds.
///
/// # Errors
/// Unequal numbers, fewer than two pairs, a sample that is not finite, a confidence outside
/// (0, 1).
///
/// # Example
/// ```
/// let comparison = thalweg_stats::compare_paired(&[2.0, 3.5, 4.0], &[1.0, 2.0, 3.0], 0.95)?;
/// assert!(comparison.difference.value > 1.0 && comparison.p_two_sided < 0.05);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn compare_paired(
    first: &[f64],
    second: &[f64],
    confidence: f64,
) -> Result<PairedComparison, StatsError> {
    if first.len() != second.len() {
        return Err(StatsError::Unpaired { first: first.len(), second: second.len() });
    }
    check_finite(first)?;
    check_finite(second)?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let difference = Estimate::mean(&differences)?;
    let interval = difference.interval(confidence)?;
    let t = match (difference.value, difference.standard_error) {
        (0.0, 0.0) => 0.0,
        (value, error) => value / error,
    };
    let freedom = (differences.len() - 1) as f64;
    let below = |t: f64| match t {
        f64::INFINITY => Ok(1.0),
        f64::NEG_INFINITY => Ok(0.0),
        t => student_t_cdf(t, freedom),
    };
    Ok(PairedComparison {
        difference,
        interval,
        t,
        p_two_sided: (2.0 * below(-t.abs())?).min(1.0),
        p_greater: below(-t)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_cases() {
        let same = compare_paired(&[1.0, 2.0], &[1.0, 2.0], 0.9).unwrap();
        assert_eq!((same.t, same.p_two_sided, same.p_greater), (0.0, 1.0, 0.5));
        let constant = compare_paired(&[2.0, 3.0], &[1.0, 2.0], 0.9).unwrap();
        assert_eq!((constant.t, constant.p_two_sided), (f64::INFINITY, 0.0));
        assert_eq!(constant.interval, Interval { low: 1.0, high: 1.0 });
        // Differences 0 and 2: t = 1 with one degree of freedom, whose two-sided p is 1/2.
        let one = compare_paired(&[1.0, 3.0], &[1.0, 1.0], 0.5).unwrap();
        assert!((one.p_two_sided - 0.5).abs() < 1e-14 && (one.p_greater - 0.25).abs() < 1e-14);
        assert!((one.interval.low - 0.0).abs() < 1e-12 && (one.interval.high - 2.0).abs() < 1e-12);
    }

    #[test]
    fn pairs_are_checked() {
        assert_eq!(
            compare_paired(&[1.0], &[1.0, 2.0], 0.9).unwrap_err().to_string(),
            "1 and 2 samples cannot be paired"
        );
        assert!(compare_paired(&[1.0], &[1.0], 0.9).is_err());
        assert!(compare_paired(&[1.0, f64::NAN], &[1.0, 2.0], 0.9).is_err());
        assert!(compare_paired(&[1.0, 2.0], &[1.0, 3.0], 0.0).is_err());
    }
}
