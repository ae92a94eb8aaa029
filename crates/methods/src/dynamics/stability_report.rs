//! Whether a run of training was stable, read off its losses and its curvature.

use crate::MethodError;

/// The largest eigenvalue of the Hessian after some steps, and the largest that the optimizer stands
/// at the rate of the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharpnessReading {
    /// Steps taken before it.
    pub step: u64,
    /// The eigenvalue.
    pub sharpness: f64,
    /// Where the optimizer diverges on a parabola; not a number where that is not known.
    pub threshold: f64,
}

/// What counts as what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StabilityConfig {
    /// Readings in a row above the threshold that make an instability.
    pub successive: usize,
    /// Steps before and after over which losses are averaged.
    pub window: usize,
    /// A loss that is so many times the median of the window before it is a spike.
    pub rise: f64,
}

impl Default for StabilityConfig {
    fn default() -> StabilityConfig {
        StabilityConfig { successive: 3, window: 20, rise: 2.0 }
    }
}

/// What [`stability_report`] found. Steps are counted from zero: what is said of step `t` is of the
/// weights after `t` steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StabilityReport {
    /// The first reading above its threshold.
    pub first_crossing: Option<u64>,
    /// The first of so many readings in a row above their thresholds after which the loss is higher
    /// than before: the mean over the window behind them, over that before them.
    pub unstable: Option<u64>,
    /// Steps at which a spike of the loss begins. It ends where the loss is back at so many times
    /// the median from which it rose.
    pub spikes: Vec<u64>,
    /// The first step whose loss is not finite.
    pub diverged: Option<u64>,
}

/// When a run first left the region in which a parabola of its curvature is trained, whether its loss
/// rose then, and how often the loss leapt.
///
/// `losses[t]` is the loss of the batch of step `t`, before it. A spike needs a whole window of
/// losses before it, so that the first steps have none.
///
/// # Errors
/// Readings that are not in the order of their steps; no readings in a row, an empty window, a rise of
/// one or less.
/// # Source    Gilmer et al., A loss curvature perspective on training instability in deep learning,
/// 2022, arXiv 2110.04369, section 3; what a spike is, and how long a loss is averaged, is said here
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{SharpnessReading, StabilityConfig, stability_report};
/// let reading = |step, sharpness| SharpnessReading { step, sharpness, threshold: 20.0 };
/// let losses = [1.0, 0.9, 0.8, 3.0, 2.9, 0.7];
/// let config = StabilityConfig { window: 2, ..StabilityConfig::default() };
/// let found = stability_report(&[reading(0, 5.0), reading(3, 21.0)], &losses, &config)?;
/// assert_eq!((found.first_crossing, found.spikes), (Some(3), vec![3]));
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn stability_report(
    readings: &[SharpnessReading],
    losses: &[f64],
    config: &StabilityConfig,
) -> Result<StabilityReport, MethodError> {
    if config.successive == 0 {
        return Err(MethodError::config("readings in a row", "at least 1", 0));
    }
    if config.window == 0 {
        return Err(MethodError::config("window of losses", "at least 1 step", 0));
    }
    if !(config.rise > 1.0 && config.rise.is_finite()) {
        return Err(MethodError::config("rise of a spike", "a number above 1", config.rise));
    }
    if !readings.windows(2).all(|pair| pair[0].step < pair[1].step) {
        let expected = "in the order of their steps";
        return Err(MethodError::mismatch("readings of sharpness", expected, "others"));
    }
    let above = |reading: &SharpnessReading| reading.sharpness > reading.threshold;
    let first_crossing = readings.iter().find(|reading| above(reading)).map(|found| found.step);
    let unstable = readings.windows(config.successive).find(|row| {
        let (Some(first), Some(last)) = (row.first(), row.last()) else { return false };
        row.iter().all(above) && rises(losses, first.step, last.step, config.window)
    });
    Ok(StabilityReport {
        first_crossing,
        unstable: unstable.and_then(|row| row.first()).map(|reading| reading.step),
        spikes: spikes(losses, config),
        diverged: losses.iter().position(|loss| !loss.is_finite()).map(|at| at as u64),
    })
}

/// Whether the mean loss of the steps behind `to` is above that of those before `from`; one that is
/// not finite is.
fn rises(losses: &[f64], from: u64, to: u64, window: usize) -> bool {
    let (from, to) = (from as usize, to as usize);
    let before = losses.get(from.saturating_sub(window)..from).unwrap_or_default();
    let after = losses.get(to..to.saturating_add(window).min(losses.len())).unwrap_or_default();
    if before.is_empty() || after.is_empty() {
        return false;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let after = mean(after);
    !after.is_finite() || after > mean(before)
}

fn spikes(losses: &[f64], config: &StabilityConfig) -> Vec<u64> {
    let mut found = Vec::new();
    // The loss below which the spike that is on has ended.
    let mut until: Option<f64> = None;
    for (step, &loss) in losses.iter().enumerate() {
        if !loss.is_finite() {
            break;
        }
        if until.is_some_and(|until| loss > until) {
            continue;
        }
        until = None;
        let Some(from) = step.checked_sub(config.window) else { continue };
        let mut before = losses[from..step].to_vec();
        before.sort_unstable_by(f64::total_cmp);
        let level = config.rise * thalweg_stats::quantile(&before, 0.5);
        if loss > level {
            found.push(step as u64);
            until = Some(level);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(each: &[(u64, f64)]) -> Vec<SharpnessReading> {
        let reading = |&(step, sharpness)| SharpnessReading { step, sharpness, threshold: 10.0 };
        each.iter().map(reading).collect()
    }

    #[test]
    fn an_instability_is_a_stay_above_the_threshold_that_the_loss_feels() {
        let config = StabilityConfig { successive: 2, window: 2, ..StabilityConfig::default() };
        let report = |each: &[(u64, f64)], losses: &[f64]| {
            stability_report(&readings(each), losses, &config).unwrap()
        };
        let rising = [1.0, 0.9, 0.8, 0.9, 1.5, 1.6, 1.0];
        let once = report(&[(0, 5.0), (2, 12.0), (4, 8.0)], &rising);
        assert_eq!((once.first_crossing, once.unstable), (Some(2), None));
        let twice = report(&[(0, 5.0), (2, 12.0), (4, 11.0)], &rising);
        assert_eq!((twice.first_crossing, twice.unstable), (Some(2), Some(2)));
        // Above all the time, and the loss goes on falling.
        let falling = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
        assert_eq!(report(&[(2, 12.0), (4, 11.0)], &falling).unstable, None);
        // A divergence is the highest rise.
        let lost = [1.0, 0.9, 0.8, 0.9, f64::INFINITY, f64::NAN, f64::NAN];
        let found = report(&[(2, 12.0), (4, 11.0)], &lost);
        assert_eq!((found.unstable, found.diverged), (Some(2), Some(4)));
        // Of an optimizer without a threshold nothing is said.
        let unknown = [SharpnessReading { step: 3, sharpness: 1e9, threshold: f64::NAN }];
        let found = stability_report(&unknown, &falling, &config).unwrap();
        assert_eq!(found, StabilityReport::default());
    }

    #[test]
    fn a_spike_is_counted_once() {
        let config = StabilityConfig { window: 3, ..StabilityConfig::default() };
        let of = |losses: &[f64]| stability_report(&[], losses, &config).unwrap().spikes;
        assert_eq!(of(&[1.0, 1.0, 1.0, 2.1, 5.0, 2.05, 1.9, 1.0]), [3]);
        // Up again after it was back; the median before the second is that of (5.0, 1.9, 1.0).
        assert_eq!(of(&[1.0, 1.0, 1.0, 5.0, 1.9, 1.0, 3.9]), [3, 6]);
        assert_eq!(of(&[1.0, 1.0, 1.0, 5.0, 1.9, 1.0, 3.7]), [3]);
        // Before there is a window nothing is a spike, and exactly twice is none.
        assert!(of(&[1.0, 5.0, 1.0, 1.0, 2.0]).is_empty());
        assert_eq!(of(&[1.0, 1.0, 1.0, f64::NAN, 9.0]), [0u64; 0]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let usual = StabilityConfig::default();
        for config in [
            StabilityConfig { successive: 0, ..usual },
            StabilityConfig { window: 0, ..usual },
            StabilityConfig { rise: 1.0, ..usual },
        ] {
            assert!(stability_report(&[], &[], &config).is_err(), "{config:?}");
        }
        assert!(stability_report(&readings(&[(3, 1.0), (3, 1.0)]), &[], &usual).is_err());
    }
}
