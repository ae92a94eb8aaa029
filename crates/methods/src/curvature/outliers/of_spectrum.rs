//! How many eigenvalues of a whole spectrum stand out of the bulk.

use crate::MethodError;

/// What makes an eigenvalue stand out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutlierRule {
    /// Absolute values in descending order: those before the largest ratio of one to the next,
    /// looked for among the first `most`.
    LargestGap {
        /// How far down the gap may lie.
        most: usize,
    },
    /// Absolute values of at least this share of the largest; none of a spectrum that is zero.
    Threshold {
        /// The share, above 0 and at most 1.
        share: f64,
    },
    /// Absolute values above `factor` times a quantile of them.
    BulkEdge {
        /// How far above the quantile.
        factor: f64,
        /// The quantile's level, as 0.95.
        level: f64,
    },
}

/// The number of eigenvalues that stand out of a whole spectrum.
///
/// The rules need not agree: the first always finds a gap, however small, the second counts in a
/// bulk that is wide, and the third calls nothing an outlier in a spectrum without a narrow bulk.
///
/// # Errors
/// Fewer than two eigenvalues, one that is not finite; a gap of none, a share outside 0 to 1, a level
/// outside 0 to 1, a factor that is not positive.
/// # Source    Sagun, Evci, Guney, Dauphin, Bottou, Empirical analysis of the Hessian of
/// over-parametrized neural networks, 2017, arXiv 1706.04454, for what is counted; the rules are ours
///
/// # Example
/// ```
/// use thalweg_methods::curvature::{OutlierRule, count_outliers};
/// let values = [5.0, -4.0, 1e-3, 2e-3, -1e-3, 1e-4];
/// assert_eq!(count_outliers(&values, OutlierRule::LargestGap { most: 4 })?, 2);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn count_outliers(eigenvalues: &[f64], rule: OutlierRule) -> Result<usize, MethodError> {
    let n = eigenvalues.len();
    if n < 2 {
        return Err(MethodError::config("eigenvalues", "at least 2", n));
    }
    if let Some(wrong) = eigenvalues.iter().find(|value| !value.is_finite()) {
        return Err(MethodError::config("eigenvalues", "finite numbers", wrong));
    }
    let mut sizes: Vec<f64> = eigenvalues.iter().map(|value| value.abs()).collect();
    sizes.sort_unstable_by(|a, b| b.total_cmp(a));
    match rule {
        OutlierRule::LargestGap { most: 0 } => {
            Err(MethodError::config("place of the gap", "at least 1", 0))
        }
        OutlierRule::LargestGap { most } => {
            let ratio = |i: usize| match sizes[i + 1] {
                0.0 if sizes[i] == 0.0 => 1.0,
                next => sizes[i] / next,
            };
            // The first of equal gaps.
            let mut best = 0;
            for i in 1..most.min(n - 1) {
                if ratio(i) > ratio(best) {
                    best = i;
                }
            }
            Ok(best + 1)
        }
        OutlierRule::Threshold { share } => {
            if !(share > 0.0 && share <= 1.0) {
                let expected = "above 0 and at most 1";
                return Err(MethodError::config(
                    "share of the largest eigenvalue",
                    expected,
                    share,
                ));
            }
            let least = share * sizes[0];
            Ok(sizes.iter().filter(|size| **size > 0.0 && **size >= least).count())
        }
        OutlierRule::BulkEdge { factor, level } => {
            let usable = factor > 0.0 && factor.is_finite() && (0.0..=1.0).contains(&level);
            if !usable {
                let expected = "a positive factor and a level from 0 to 1";
                return Err(MethodError::config("edge of the bulk", expected, factor));
            }
            sizes.reverse();
            let edge = factor * thalweg_stats::quantile(&sizes, level);
            Ok(sizes.iter().filter(|size| **size > edge).count())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: OutlierRule = OutlierRule::LargestGap { most: 30 };
    const EDGE: OutlierRule = OutlierRule::BulkEdge { factor: 10.0, level: 0.95 };

    #[test]
    fn planted_outliers_are_counted_by_both_rules() {
        for planted in [1usize, 3, 7] {
            let mut values: Vec<f64> =
                (0..300).map(|i| 0.01 * (i as f64 - 100.0) / 200.0).collect();
            values.extend((0..planted).map(|i| 1.0 + 0.2 * i as f64));
            assert_eq!(count_outliers(&values, GAP).unwrap(), planted);
            assert_eq!(count_outliers(&values, EDGE).unwrap(), planted);
        }
    }

    #[test]
    fn a_bulk_alone_has_none_by_its_edge() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(count_outliers(&values, EDGE).unwrap(), 0);
        // The first rule finds the place of the largest ratio, which here is at the end of its range.
        assert_eq!(count_outliers(&values, GAP).unwrap(), 30);
        assert_eq!(count_outliers(&[0.0, 0.0, 0.0], GAP).unwrap(), 1);
        assert_eq!(count_outliers(&[2.0, 0.0, 0.0], GAP).unwrap(), 1);
    }

    #[test]
    fn a_threshold_counts_from_a_share_of_the_largest_on() {
        let values = [8.0, -4.0, 2.0, -1.0, 0.5, 0.0];
        let above = |share: f64| count_outliers(&values, OutlierRule::Threshold { share });
        assert_eq!([1.0, 0.5, 0.26, 0.125].map(|share| above(share).unwrap()), [1, 2, 2, 4]);
        for share in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(above(share).is_err(), "{share}");
        }
        assert_eq!(count_outliers(&[0.0, 0.0], OutlierRule::Threshold { share: 0.1 }).unwrap(), 0);
    }

    #[test]
    fn requests_are_checked() {
        assert!(count_outliers(&[1.0], GAP).is_err());
        assert!(count_outliers(&[1.0, f64::NAN], GAP).is_err());
        assert!(count_outliers(&[1.0, 2.0], OutlierRule::LargestGap { most: 0 }).is_err());
        let wrong = OutlierRule::BulkEdge { factor: 0.0, level: 0.5 };
        assert!(count_outliers(&[1.0, 2.0], wrong).is_err());
    }
}
