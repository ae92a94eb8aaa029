//! A number with the uncertainty of its sampling.

use crate::error::{check_finite, check_open};
use crate::{StatsError, pairwise_sum, student_t_quantile};

/// A value that was estimated from samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The standard deviation of its sampling error.
    pub standard_error: f64,
    /// How many samples it rests on.
    pub samples: usize,
}

/// A range of plausible values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether it holds a value; its ends do.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

impl Estimate {
    /// The mean of independent samples: `s / sqrt(n)` with the unbiased variance `s^2`.
    ///
    /// # Errors
    /// Fewer than two samples, or one that is not finite.
    ///
    /// # Example
    /// ```
    /// let mean = thalweg_stats::Estimate::mean(&[1.0, 2.0, 3.0])?;
    /// assert_eq!((mean.value, mean.standard_error), (2.0, (1.0f64 / 3.0).sqrt()));
    /// # Ok::<(), thalweg_stats::StatsError>(())
    /// ```
    pub fn mean(samples: &[f64]) -> Result<Estimate, StatsError> {
        check_finite(samples)?;
        if samples.len() < 2 {
            let (what, got) = ("a standard error", samples.len());
            return Err(StatsError::TooFew { what, expected: 2, got });
        }
        let n = samples.len() as f64;
        let value = pairwise_sum(samples) / n;
        let squares: Vec<f64> = samples.iter().map(|s| (s - value) * (s - value)).collect();
        let variance = pairwise_sum(&squares) / (n - 1.0);
        Ok(Estimate { value, standard_error: (variance / n).sqrt(), samples: samples.len() })
    }

    /// The mean over a finite population of which the samples were drawn without replacement:
    /// the standard error is `sqrt(1 - n / N)` times that of [`Estimate::mean`], and 0 when
    /// everything was sampled.
    ///
    /// # Errors
    /// As [`Estimate::mean`], or a population smaller than the sample.
    pub fn mean_of_population(samples: &[f64], population: usize) -> Result<Estimate, StatsError> {
        if population < samples.len() {
            return Err(StatsError::Range {
                what: "the size of the population",
                expected: format!("at least the {} samples", samples.len()),
                got: population.to_string(),
            });
        }
        let mut mean = Estimate::mean(samples)?;
        let unseen = (population - samples.len()) as f64 / population as f64;
        mean.standard_error *= unseen.sqrt();
        Ok(mean)
    }

    /// The mean over a stratified sample: `strata` holds, for each stratum, its samples and its
    /// size in the population.
    ///
    /// `value = sum_h N_h mean_h / N`, `standard_error^2 = sum_h (N_h / N)^2 (1 - n_h / N_h)
    /// s_h^2 / n_h`
    ///
    /// # Errors
    /// As [`Estimate::mean_of_population`] for any stratum that was not sampled whole; no strata.
    /// # Source    Cochran, Sampling techniques, 1977, chapter 5
    pub fn mean_of_strata(strata: &[(&[f64], usize)]) -> Result<Estimate, StatsError> {
        let population: usize = strata.iter().map(|(_, size)| size).sum();
        if population == 0 {
            return Err(StatsError::TooFew { what: "a stratified mean", expected: 1, got: 0 });
        }
        let (mut value, mut variance, mut count) = (0.0, 0.0, 0);
        for &(samples, size) in strata.iter().filter(|(_, size)| *size > 0) {
            let weight = size as f64 / population as f64;
            let stratum = if samples.len() == size {
                check_finite(samples)?;
                let value = pairwise_sum(samples) / size as f64;
                Estimate { value, standard_error: 0.0, samples: size }
            } else {
                Estimate::mean_of_population(samples, size)?
            };
            value += weight * stratum.value;
            variance += (weight * stratum.standard_error).powi(2);
            count += samples.len();
        }
        Ok(Estimate { value, standard_error: variance.sqrt(), samples: count })
    }

    /// A confidence interval by Student's t with `samples - 1` degrees of freedom.
    ///
    /// # Errors
    /// A confidence outside (0, 1), or fewer than two samples.
    pub fn interval(&self, confidence: f64) -> Result<Interval, StatsError> {
        check_open("the confidence", confidence)?;
        if self.samples < 2 {
            let (what, got) = ("an interval", self.samples);
            return Err(StatsError::TooFew { what, expected: 2, got });
        }
        let quantile = student_t_quantile(0.5 + confidence / 2.0, (self.samples - 1) as f64)?;
        let half = quantile * self.standard_error;
        Ok(Interval { low: self.value - half, high: self.value + half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_population_has_no_sampling_error() {
        let samples = [1.0, 4.0, 2.0, 5.0];
        let all = Estimate::mean_of_population(&samples, 4).unwrap();
        assert_eq!((all.value, all.standard_error), (3.0, 0.0));
        let half = Estimate::mean_of_population(&samples, 8).unwrap();
        let free = Estimate::mean(&samples).unwrap();
        assert!((half.standard_error - free.standard_error * 0.5f64.sqrt()).abs() < 1e-15);
        assert!(Estimate::mean_of_population(&samples, 3).is_err());
    }

    #[test]
    fn the_correction_is_right_over_all_samples() {
        // Every sample of 3 out of 6: the mean of the squared standard error is the variance of
        // the mean.
        let population = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0];
        let truth = population.iter().sum::<f64>() / 6.0;
        let (mut errors, mut estimates, mut n) = (0.0, 0.0, 0.0);
        for mask in 0u32..64 {
            if mask.count_ones() == 3 {
                let sample: Vec<f64> =
                    (0..6).filter(|i| mask >> i & 1 == 1).map(|i| population[i]).collect();
                let mean = Estimate::mean_of_population(&sample, 6).unwrap();
                errors += (mean.value - truth).powi(2);
                estimates += mean.standard_error.powi(2);
                n += 1.0;
            }
        }
        assert!((errors / n - estimates / n).abs() < 1e-12);
    }

    #[test]
    fn strata_that_differ_only_between_each_other_have_no_error() {
        let strata = [(&[1.0, 1.0][..], 10), (&[5.0, 5.0, 5.0], 30), (&[2.0], 1), (&[], 0)];
        let mean = Estimate::mean_of_strata(&strata).unwrap();
        assert!((mean.value - (10.0 + 150.0 + 2.0) / 41.0).abs() < 1e-14);
        assert_eq!((mean.standard_error, mean.samples), (0.0, 6));
        let one = Estimate::mean_of_strata(&[(&[1.0, 2.0, 4.0], 9)]).unwrap();
        let same = Estimate::mean_of_population(&[1.0, 2.0, 4.0], 9).unwrap();
        assert_eq!(one.value, same.value);
        assert!((one.standard_error - same.standard_error).abs() < 1e-15);
        assert!(Estimate::mean_of_strata(&[]).is_err());
        assert!(Estimate::mean_of_strata(&[(&[1.0], 5)]).is_err());
    }

    #[test]
    fn samples_are_checked() {
        assert_eq!(
            Estimate::mean(&[1.0, f64::NAN]).unwrap_err().to_string(),
            "sample 1 is NaN, expected a finite number"
        );
        assert_eq!(
            Estimate::mean(&[1.0]).unwrap_err().to_string(),
            "a standard error needs at least 2 samples, got 1"
        );
        assert!(Estimate::mean(&[1.0, 2.0]).unwrap().interval(1.0).is_err());
        assert!(Estimate { value: 0.0, standard_error: 1.0, samples: 1 }.interval(0.9).is_err());
    }
}
