//! Intervals by drawing the sample again.

use crate::error::{check_finite, check_open};
use crate::{Interval, Moments, StatsError, normal_cdf, normal_quantile};

/// How an interval is read off the replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootstrapMethod {
    /// Their quantiles.
    Percentile,
    /// Their quantiles at levels corrected for bias and skewness.
    ///
    /// # Source    Efron, Better bootstrap confidence intervals, 1987
    #[default]
    Bca,
}

/// How to draw again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BootstrapConfig {
    /// Number of replicates.
    pub replicates: usize,
    /// Share of intervals that are to hold the truth.
    pub confidence: f64,
    /// How the interval is read off.
    pub method: BootstrapMethod,
    /// Seed of the draws, from a named stream of the caller.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> BootstrapConfig {
        BootstrapConfig {
            replicates: 2000,
            confidence: 0.95,
            method: BootstrapMethod::Bca,
            seed: 0,
        }
    }
}

/// What the bootstrap says about a statistic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// The statistic of the sample itself.
    pub value: f64,
    /// Standard deviation of the replicates.
    pub standard_error: f64,
    /// The confidence interval.
    pub interval: Interval,
    /// Size of the sample.
    pub samples: usize,
}

/// Bootstraps a statistic of a sample, whose elements may be numbers, pairs or whole clusters.
///
/// Replicate `r` draws element `j` by the hash of `(seed, r, j)` alone, so that the result does
/// not depend on threads or on the number of replicates before it.
///
/// # Errors
/// Fewer than two elements or replicates, a statistic that is not finite on the sample or a
/// replicate, a confidence outside (0, 1).
///
/// # Example
/// ```
/// use thalweg_stats::{BootstrapConfig, bootstrap};
/// let sample = [1.0, 2.0, 4.0, 7.0, 11.0];
/// let mean = |s: &[f64]| s.iter().sum::<f64>() / s.len() as f64;
/// let result = bootstrap(&sample, mean, &BootstrapConfig::default())?;
/// assert!(result.interval.contains(5.0));
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn bootstrap<T: Clone>(
    sample: &[T],
    statistic: impl Fn(&[T]) -> f64,
    config: &BootstrapConfig,
) -> Result<Bootstrap, StatsError> {
    let n = sample.len();
    if n < 2 {
        return Err(StatsError::TooFew { what: "the bootstrap", expected: 2, got: n });
    }
    if config.replicates < 2 {
        return Err(StatsError::Range {
            what: "the number of replicates",
            expected: "at least 2".into(),
            got: config.replicates.to_string(),
        });
    }
    check_open("the confidence", config.confidence)?;
    let value = statistic(sample);
    check_finite(&[value])?;
    let mut drawn = sample.to_vec();
    let mut replicates = Vec::with_capacity(config.replicates.min(1 << 20));
    for replicate in 0..config.replicates as u64 {
        let key = mix(config.seed, replicate);
        for (j, to) in drawn.iter_mut().enumerate() {
            *to = sample[below(mix(key, j as u64), n)].clone();
        }
        replicates.push(statistic(&drawn));
    }
    let left_out: Vec<f64> = match config.method {
        BootstrapMethod::Percentile => Vec::new(),
        BootstrapMethod::Bca => {
            (0..n).map(|out| statistic(&[&sample[..out], &sample[out + 1..]].concat())).collect()
        }
    };
    let interval = interval_of_replicates(&replicates, value, &left_out, config.confidence)?;
    let moments: Moments = replicates.into_iter().collect();
    let standard_error = moments.standard_deviation().unwrap_or(f64::NAN);
    Ok(Bootstrap { value, standard_error, interval, samples: n })
}

/// The interval of replicates that were drawn elsewhere.
///
/// `left_out` holds the statistic with each element left out in turn; with them the interval is
/// bias-corrected and accelerated, without any it is that of the percentiles. Where the correction
/// is undefined, as all replicates lie on one side of `value`, the percentiles are taken.
///
/// # Errors
/// Fewer than two replicates, a number that is not finite, a confidence outside (0, 1).
pub fn interval_of_replicates(
    replicates: &[f64],
    value: f64,
    left_out: &[f64],
    confidence: f64,
) -> Result<Interval, StatsError> {
    check_open("the confidence", confidence)?;
    check_finite(replicates)?;
    check_finite(left_out)?;
    let got = replicates.len();
    if got < 2 {
        return Err(StatsError::TooFew { what: "a bootstrap interval", expected: 2, got });
    }
    let mut sorted = replicates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut levels = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0];
    // A tie counts half, so that a discrete statistic is not pulled to one side.
    let below = sorted.partition_point(|&r| r < value);
    let up_to = sorted.partition_point(|&r| r <= value);
    let share = (below + up_to) as f64 / (2 * got) as f64;
    if !left_out.is_empty() && share > 0.0 && share < 1.0 {
        let bias = normal_quantile(share)?;
        let acceleration = acceleration(left_out);
        for level in &mut levels {
            let z = bias + normal_quantile(*level)?;
            let corrected = normal_cdf(bias + z / (1.0 - acceleration * z));
            if corrected.is_finite() {
                *level = corrected;
            }
        }
    }
    Ok(Interval { low: quantile(&sorted, levels[0]), high: quantile(&sorted, levels[1]) })
}

/// A sixth of the skewness of the jackknife; 0 if it does not vary.
fn acceleration(left_out: &[f64]) -> f64 {
    let mean = crate::pairwise_sum(left_out) / left_out.len() as f64;
    let power = |k: i32| {
        let terms: Vec<f64> = left_out.iter().map(|value| (mean - value).powi(k)).collect();
        crate::pairwise_sum(&terms)
    };
    let squares = power(2);
    if squares == 0.0 { 0.0 } else { power(3) / (6.0 * squares.powf(1.5)) }
}

/// The quantile of sorted numbers, linear between neighbours (type 7 of Hyndman and Fan, the
/// default of NumPy and R); the level is held to [0, 1]. NaN of no numbers.
pub fn quantile(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = level.clamp(0.0, 1.0) * last as f64;
    let low = (place as usize).min(last);
    let high = (low + 1).min(last);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

/// SplitMix64's output function over a key and a counter.
///
/// # Source    Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014
fn mix(key: u64, counter: u64) -> u64 {
    let mut z = key.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// An index below `n` from 64 random bits; its bias is below `n / 2^64`.
fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(sample: &[f64]) -> f64 {
        sample.iter().sum::<f64>() / sample.len() as f64
    }

    #[test]
    fn split_mix_gives_the_published_sequence() {
        // The first outputs of SplitMix64 seeded with 1234567.
        let outputs = [6457827717110365317, 3203168211198807973, 9817491932198370423];
        for (i, output) in outputs.into_iter().enumerate() {
            assert_eq!(mix(1234567, i as u64), output);
        }
    }

    #[test]
    fn the_standard_error_of_a_mean_is_found() {
        let sample: Vec<f64> = (0..50).map(|i| f64::from(i * i % 23)).collect();
        let config = BootstrapConfig { replicates: 20_000, ..Default::default() };
        let result = bootstrap(&sample, mean, &config).unwrap();
        let moments: Moments = sample.iter().copied().collect();
        // The bootstrap divides by n, and its own error is 1 / sqrt(2 * 20,000).
        let expected = (moments.squared_deviations() / 50.0 / 50.0).sqrt();
        assert!((result.standard_error / expected - 1.0).abs() < 0.02);
        assert_eq!(result, bootstrap(&sample, mean, &config).unwrap());
        assert_ne!(
            result,
            bootstrap(&sample, mean, &BootstrapConfig { seed: 1, ..config }).unwrap()
        );
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        // Exponential samples, whose skewness the percentiles miss; their mean is one.
        let mut held = [0; 2];
        let trials = 600;
        for trial in 0..trials {
            let uniform = |i| (mix(mix(99, trial), i) >> 11) as f64 / (1u64 << 53) as f64;
            let sample: Vec<f64> = (0..30).map(|i| -(-uniform(i)).ln_1p()).collect();
            let truth = 1.0;
            for (held, method) in
                held.iter_mut().zip([BootstrapMethod::Percentile, BootstrapMethod::Bca])
            {
                let config =
                    BootstrapConfig { replicates: 500, confidence: 0.9, method, seed: trial };
                let result = bootstrap(&sample, mean, &config).unwrap();
                *held += usize::from(result.interval.contains(truth));
            }
        }
        for held in held {
            let share = held as f64 / trials as f64;
            assert!((0.85..0.94).contains(&share), "{share}");
        }
    }

    #[test]
    fn samples_that_do_not_vary_have_a_point_for_an_interval() {
        let result = bootstrap(&[2.0; 5], mean, &BootstrapConfig::default()).unwrap();
        assert_eq!(result.interval, Interval { low: 2.0, high: 2.0 });
        assert_eq!(result.standard_error, 0.0);
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        for (level, value) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)] {
            assert_eq!(quantile(&sorted, level), value);
        }
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn requests_are_checked() {
        let config = BootstrapConfig::default();
        assert!(bootstrap(&[1.0], mean, &config).is_err());
        assert!(bootstrap(&[1.0, 2.0], |_| f64::NAN, &config).is_err());
        let none = BootstrapConfig { replicates: 0, ..config };
        assert!(bootstrap(&[1.0, 2.0], mean, &none).is_err());
        let sure = BootstrapConfig { confidence: 1.0, ..config };
        assert!(bootstrap(&[1.0, 2.0], mean, &sure).is_err());
    }
}
