//! Several tests at once.

use crate::StatsError;
use crate::error::check_finite;

/// Holm's adjusted probabilities, in the order given: rejecting those below a level keeps the
/// probability of any false rejection below that level.
///
/// The `k`-th smallest of `m` is multiplied by `m - k + 1`; none is less than one before it, nor
/// above 1.
///
/// # Errors
/// A number that is no probability.
/// # Source    Holm, A simple sequentially rejective multiple test procedure, 1979
///
/// # Example
/// ```
/// let adjusted = thalweg_stats::holm(&[0.01, 0.04, 0.03])?;
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn holm(probabilities: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_finite(probabilities)?;
    if let Some(wrong) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(StatsError::Range {
            what: "a probability",
            expected: "0 to 1".into(),
            got: wrong.to_string(),
        });
    }
    let m = probabilities.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&i, &j| probabilities[i].total_cmp(&probabilities[j]));
    let (mut adjusted, mut largest) = (vec![0.0; m], 0.0f64);
    for (k, &i) in order.iter().enumerate() {
        largest = largest.max(probabilities[i] * (m - k) as f64).min(1.0);
        adjusted[i] = largest;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_one_is_never_below_an_earlier() {
        let adjusted = holm(&[0.9, 0.02, 0.021, 0.5]).unwrap();
        assert_eq!(adjusted, [1.0, 0.08, 0.08, 1.0]);
        assert!(holm(&[1.5]).is_err() && holm(&[f64::NAN]).is_err());
        assert!(holm(&[]).unwrap().is_empty());
    }
}
