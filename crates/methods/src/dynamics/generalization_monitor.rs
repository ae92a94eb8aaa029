//! How well a number that needs no test set follows the accuracy on one.

use crate::MethodError;

/// How a metric goes along with accuracy over checkpoints. NaN where one side does not vary.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricCorrelation {
    /// The metric.
    pub metric: String,
    /// Pearson's correlation.
    pub pearson: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
}

/// The correlations of metrics with accuracy over the checkpoints from `onset` on, which is
/// [`sustained_gain`]'s or that of memorisation. Baselines, as the training loss, are metrics like
/// others.
///
/// # Errors
/// `Mismatch` for a metric of another number of checkpoints, and fewer than two from the onset on;
/// numbers that are not finite.
///
/// # Source    Li, Fan, Zhou, Where to find grokking in LLM pretraining?, 2025, arXiv 2506.21551,
/// section 4.3
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::monitor_report;
/// let found = monitor_report(&[0.1, 0.2, 0.5, 0.9], &[("distance", vec![1.0, 3.0, 2.0, 1.0])], 1)?;
/// assert!(found[0].metric == "distance" && (found[0].spearman + 1.0).abs() < 1e-12);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn monitor_report(
    accuracies: &[f64],
    metrics: &[(&str, Vec<f64>)],
    onset: usize,
) -> Result<Vec<MetricCorrelation>, MethodError> {
    let n = accuracies.len();
    let Some(accuracies) = accuracies.get(onset..).filter(|of| of.len() > 1) else {
        let expected = format!("one before the last of {n} checkpoints");
        return Err(MethodError::mismatch("an onset", expected, onset));
    };
    let of = |(metric, values): &(&str, Vec<f64>)| -> Result<MetricCorrelation, MethodError> {
        if values.len() != n {
            let expected = format!("{n} checkpoints");
            return Err(MethodError::mismatch(*metric, expected, values.len()));
        }
        let values = &values[onset..];
        Ok(MetricCorrelation {
            metric: (*metric).to_owned(),
            pearson: thalweg_stats::pearson(values, accuracies)?,
            spearman: thalweg_stats::spearman(values, accuracies)?,
        })
    };
    metrics.iter().map(of).collect()
}

/// The onset of a sustained gain: the last checkpoint at which accuracy is at most `gain` above its first
/// value. None where it does not end above that.
pub fn sustained_gain(accuracies: &[f64], gain: f64) -> Option<usize> {
    let level = accuracies.first()? + gain;
    let below = accuracies.iter().rposition(|accuracy| *accuracy <= level)?;
    (below + 1 < accuracies.len()).then_some(below)
}

/// At each checkpoint the mean of the last `window` values up to it, fewer at the start.
pub fn moving_average(values: &[f64], window: usize) -> Vec<f64> {
    let mean = |end: usize| {
        let of = &values[(end + 1).saturating_sub(window.max(1))..=end];
        of.iter().sum::<f64>() / of.len() as f64
    };
    (0..values.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_held_against_accuracy_from_the_onset_on() {
        let accuracies = [0.1, 0.9, 0.1, 0.2, 0.6, 1.0];
        let onset = sustained_gain(&accuracies, 0.05).unwrap();
        assert_eq!(onset, 2);
        let against: Vec<f64> = accuracies.iter().map(|a| 3.0 - 2.0 * a).collect();
        let cubed: Vec<f64> = accuracies.iter().map(|a: &f64| a.powi(3)).collect();
        let metrics = [("against", against), ("cubed", cubed), ("flat", vec![1.0; 6])];
        let found = monitor_report(&accuracies, &metrics, onset).unwrap();
        assert!((found[0].pearson + 1.0).abs() < 1e-12 && (found[0].spearman + 1.0).abs() < 1e-12);
        // By hand, of [0.1, 0.2, 0.6, 1] and its cubes.
        assert!((found[1].pearson - 0.941123).abs() < 1e-6, "{}", found[1].pearson);
        assert!((found[1].spearman - 1.0).abs() < 1e-12);
        assert!(found[2].pearson.is_nan());
        assert!(monitor_report(&accuracies, &metrics, 5).is_err());
        assert!(monitor_report(&accuracies[1..], &metrics, 0).is_err());
    }

    #[test]
    fn a_gain_that_is_lost_is_no_onset() {
        assert_eq!(sustained_gain(&[0.0, 0.5, 0.0], 0.1), None);
        assert_eq!(sustained_gain(&[0.0, 0.05, 0.5, 0.3], 0.1), Some(1));
        assert_eq!(sustained_gain(&[], 0.1), None);
    }

    #[test]
    fn averages_move() {
        assert_eq!(moving_average(&[1.0, 3.0, 5.0, 1.0], 2), [1.0, 2.0, 4.0, 3.0]);
        assert_eq!(moving_average(&[1.0, 3.0], 9), [1.0, 2.0]);
        assert_eq!(moving_average(&[1.0, 3.0], 0), [1.0, 3.0]);
    }
}
