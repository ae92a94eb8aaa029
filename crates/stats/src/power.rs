//! What a sample of some size could show, said before it is taken.

use crate::error::check_open;
use crate::{StatsError, student_t_quantile};

/// The mean, in standard deviations of a single sample, that `n` samples show to differ from zero
/// with probability `power` by an interval of this confidence.
///
/// `d = (t_(1 - (1 - confidence) / 2) + t_power) / sqrt(n)` with `n - 1` degrees of freedom. The
/// second quantile stands for that of the noncentral distribution, which makes the result a
/// twentieth too small at 3 samples and a hundredth at 5.
///
/// # Errors
/// Fewer than two samples, a probability outside (0, 1).
///
/// # Example
/// ```
/// let effect = thalweg_stats::detectable_effect(10, 0.95, 0.8)?;
/// assert!((effect - 0.9947).abs() < 1e-4);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn detectable_effect(n: usize, confidence: f64, power: f64) -> Result<f64, StatsError> {
    if n < 2 {
        return Err(StatsError::TooFew { what: "a detectable effect", expected: 2, got: n });
    }
    check_open("the confidence", confidence)?;
    check_open("the power", power)?;
    let freedom = (n - 1) as f64;
    let quantile = |probability| student_t_quantile(probability, freedom);
    Ok((quantile((1.0 + confidence) / 2.0)? + quantile(power)?) / (n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_samples_show_less() {
        let effect = |n| detectable_effect(n, 0.95, 0.8).unwrap();
        assert!(effect(5) > effect(10) && effect(10) > effect(100));
        // At large n it is (1.95996 + 0.84162) / sqrt(n).
        assert!((effect(10_000) - 0.028_016).abs() < 1e-5);
        assert!(detectable_effect(1, 0.95, 0.8).is_err());
        assert!(detectable_effect(5, 1.0, 0.8).is_err());
    }
}
