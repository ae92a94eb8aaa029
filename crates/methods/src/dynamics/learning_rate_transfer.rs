//! Whether one learning rate is best at every size.

use crate::MethodError;

/// What [`learning_rate_transfer`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRateTransfer {
    /// For each size the place of the rate with the lowest loss.
    pub best: Vec<usize>,
    /// Binary logarithm of the best rate of the last size over that of the first.
    pub drift: f64,
}

/// The best of some rates at each size, and how far it moves from the first size to the last. A loss
/// that is not finite is never the best; of equal losses the smaller rate is.
///
/// # Shapes    losses `[size][rate]`, rates `[rate]`
/// # Errors
/// No sizes or rates; rates that are not positive and rising; another number of losses; a size
/// without a finite loss.
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::learning_rate_transfer;
/// let losses = [vec![0.5, 0.2, f64::NAN], vec![0.4, 0.3, 0.1]];
/// let found = learning_rate_transfer(&[0.1, 0.2, 0.4], &losses)?;
/// assert_eq!((found.best, found.drift), (vec![1, 2], 1.0));
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn learning_rate_transfer(
    rates: &[f64],
    losses: &[Vec<f64>],
) -> Result<LearningRateTransfer, MethodError> {
    let rising = rates.windows(2).all(|pair| pair[0] < pair[1]);
    if rates.is_empty() || !rising || rates.iter().any(|rate| !(*rate > 0.0 && rate.is_finite())) {
        let expected = "at least 1, positive and rising";
        return Err(MethodError::config("learning rates", expected, format!("{rates:?}")));
    }
    let mut best = Vec::with_capacity(losses.len());
    for (size, losses) in losses.iter().enumerate() {
        if losses.len() != rates.len() {
            let expected = format!("{}, one a rate", rates.len());
            return Err(MethodError::mismatch(
                format!("losses of size {size}"),
                expected,
                losses.len(),
            ));
        }
        let finite = (0..losses.len()).filter(|&i| losses[i].is_finite());
        let lowest = finite.reduce(|best, i| if losses[i] < losses[best] { i } else { best });
        best.push(lowest.ok_or_else(|| {
            MethodError::mismatch(format!("losses of size {size}"), "one that is finite", "none")
        })?);
    }
    let (Some(&first), Some(&last)) = (best.first(), best.last()) else {
        return Err(MethodError::config("sizes", "at least 1", 0));
    };
    Ok(LearningRateTransfer { drift: (rates[last] / rates[first]).log2(), best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(learning_rate_transfer(&[], &[]).is_err());
        assert!(learning_rate_transfer(&[1.0], &[]).is_err());
        assert!(learning_rate_transfer(&[2.0, 1.0], &[vec![0.0; 2]]).is_err());
        assert!(learning_rate_transfer(&[1.0, 2.0], &[vec![0.0]]).is_err());
        assert!(learning_rate_transfer(&[1.0], &[vec![f64::INFINITY]]).is_err());
    }

    #[test]
    fn of_equal_losses_the_smaller_rate_is_best() {
        let found = learning_rate_transfer(&[1.0, 2.0, 4.0], &[vec![0.1, 0.1, 0.1]]).unwrap();
        assert_eq!((found.best, found.drift), (vec![0], 0.0));
    }
}
