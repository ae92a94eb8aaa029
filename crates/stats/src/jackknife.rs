//! What a statistic says of its own error when parts of its sample are left out.

/// A statistic, and its values without each of the equal blocks that its sample was dealt into.
///
/// # Source    Quenouille, Notes on bias in estimation, 1956; Tukey, Bias and confidence in not quite
/// large samples, 1958; blocks of a finite population: Wolter, Introduction to variance estimation,
/// 1985, chapter 4
/// # Example
/// ```
/// use thalweg_stats::Jackknife;
/// // The square of the mean of 1, 2 and 6, which is larger than that of what they were drawn from.
/// let found = Jackknife::new(9.0, vec![16.0, 12.25, 2.25]);
/// assert!((found.bias() - 7.0 / 3.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Jackknife {
    value: f64,
    without: Vec<f64>,
}

impl Jackknife {
    /// Of a statistic of the whole sample, and its value without each block. All that follows is NaN of
    /// no blocks, or where one of these is.
    pub fn new(value: f64, without: Vec<f64>) -> Jackknife {
        Jackknife { value, without }
    }

    /// How many blocks.
    pub fn blocks(&self) -> usize {
        self.without.len()
    }

    fn mean(&self) -> f64 {
        self.without.iter().sum::<f64>() / self.without.len() as f64
    }

    /// `sqrt((g - 1) / g sum over blocks of (T_(b) - their mean)^2)` for `g` blocks, of a sample that is
    /// small beside what it was drawn from.
    pub fn standard_error(&self) -> f64 {
        let (mean, g) = (self.mean(), self.without.len() as f64);
        let spread: f64 = self.without.iter().map(|value| (value - mean).powi(2)).sum();
        (spread * (g - 1.0) / g).sqrt()
    }

    /// `(g - 1)(mean of T_(b) - T)`: that part of the expected error that falls like one over the size of
    /// the sample.
    pub fn bias(&self) -> f64 {
        (self.without.len() as f64 - 1.0) * (self.mean() - self.value)
    }

    /// `g T - (g - 1) T_(b)` of each block, whose mean is the statistic less its bias and whose spread is
    /// the standard error, as if the statistic were a mean of blocks.
    pub fn pseudo_values(&self) -> Vec<f64> {
        let g = self.without.len() as f64;
        self.without.iter().map(|without| g * self.value - (g - 1.0) * without).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimate;

    const SAMPLE: [f64; 5] = [1.0, 4.0, 2.0, 5.0, 9.0];

    fn of(statistic: impl Fn(&[f64]) -> f64) -> Jackknife {
        let without = (0..SAMPLE.len()).map(|out| {
            let rest = SAMPLE.iter().enumerate().filter(|(i, _)| *i != out);
            statistic(&rest.map(|(_, x)| *x).collect::<Vec<_>>())
        });
        Jackknife::new(statistic(&SAMPLE), without.collect())
    }

    fn mean(sample: &[f64]) -> f64 {
        sample.iter().sum::<f64>() / sample.len() as f64
    }

    #[test]
    fn of_a_mean_it_is_the_mean_with_its_error() {
        let (found, expected) = (of(mean), Estimate::mean(&SAMPLE).unwrap());
        assert!((found.standard_error() - expected.standard_error).abs() < 1e-14);
        assert!(found.bias().abs() < 1e-14);
        for (pseudo, x) in found.pseudo_values().iter().zip(SAMPLE) {
            assert!((pseudo - x).abs() < 1e-13);
        }
    }

    #[test]
    fn of_a_variance_it_takes_the_bias_out() {
        let biased = |sample: &[f64]| mean(&sample.iter().map(|x| x * x).collect::<Vec<_>>());
        let found = of(|sample| biased(sample) - mean(sample).powi(2));
        let unbiased = SAMPLE.iter().map(|x| (x - mean(&SAMPLE)).powi(2)).sum::<f64>() / 4.0;
        assert!((mean(&found.pseudo_values()) - unbiased).abs() < 1e-12);
        assert!((found.value - found.bias() - unbiased).abs() < 1e-12);
        assert_eq!(found.blocks(), 5);
    }

    #[test]
    fn of_nothing_it_says_nothing() {
        let nothing = Jackknife::new(1.0, Vec::new());
        assert!(nothing.standard_error().is_nan() && nothing.bias().is_nan());
        assert!(Jackknife::new(1.0, vec![1.0, f64::NAN]).standard_error().is_nan());
    }
}
