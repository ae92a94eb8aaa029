//! How much a mean loss moves when one more example is taken in.

use crate::MethodError;
use thalweg_data::Stream;

/// What [`loss_increments`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LossIncrements {
    /// The mean over orders of `|L_{k+1} - L_k|`, for `k` from 1 on.
    pub increments: Vec<f64>,
}

/// The mean absolute change of the mean loss by the next example, over random orders of the
/// examples: order `i` is the permutation of member `i` of the stream.
///
/// With `L_k` the mean of the first `k` losses, `L_{k+1} - L_k = (l_{k+1} - L_k) / (k + 1)`: where
/// losses are bounded the change falls like `1 / k` whatever the network, and `k + 1` times it tends
/// to the mean absolute deviation of the losses.
///
/// # Errors
/// Fewer than two losses, one that is not finite, no order.
/// # Source    Kiselev, Grabovoy, Unraveling the Hessian, 2024, arXiv 2409.11995; the identity is
/// elementary
///
/// # Example
/// ```
/// use thalweg_data::Stream;
/// use thalweg_methods::surface::loss_increments;
/// let found = loss_increments(&[1.0, 3.0], 4, &Stream::new(0, "orders"))?;
/// assert_eq!(found.increments, [1.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn loss_increments(
    losses: &[f64],
    orders: usize,
    stream: &Stream,
) -> Result<LossIncrements, MethodError> {
    if losses.len() < 2 {
        return Err(MethodError::config("losses of examples", "at least 2", losses.len()));
    }
    if let Some(wrong) = losses.iter().find(|loss| !loss.is_finite()) {
        return Err(MethodError::config("losses of examples", "finite numbers", wrong));
    }
    if orders == 0 {
        return Err(MethodError::config("number of orders", "at least 1", 0));
    }
    let mut increments = vec![0.0; losses.len() - 1];
    for order in 0..orders as u64 {
        let mut mean = 0.0;
        for (k, place) in stream.at(order).permutation(losses.len()).into_iter().enumerate() {
            let step = (losses[place] - mean) / (k + 1) as f64;
            if k > 0 {
                increments[k - 1] += step.abs() / orders as f64;
            }
            mean += step;
        }
    }
    Ok(LossIncrements { increments })
}

impl LossIncrements {
    /// The mean of `(k + 1) |L_{k+1} - L_k|` over a range of `k`; NaN of an empty one.
    pub fn height(&self, from: usize, to: usize) -> f64 {
        let scaled = self.points(from, to).map(|(k, value)| (k + 1.0) * value);
        let (sum, count) = scaled.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
        sum / count
    }

    /// The slope of the increments over `k`, both in logarithms, over a range of `k`.
    ///
    /// # Errors
    /// Fewer than two points; an increment of zero.
    pub fn slope(&self, from: usize, to: usize) -> Result<f64, MethodError> {
        let points = self.points(from, to).map(|(k, value)| (k.ln(), value.ln()));
        let (x, y): (Vec<f64>, Vec<f64>) = points.unzip();
        Ok(thalweg_stats::fit_line(&x, &y)?.slope)
    }

    fn points(&self, from: usize, to: usize) -> impl Iterator<Item = (f64, f64)> + '_ {
        let numbered = self.increments.iter().enumerate().map(|(i, &value)| (i + 1, value));
        numbered.filter(move |(k, _)| (from..=to).contains(k)).map(|(k, v)| (k as f64, v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_are_differences_of_means() {
        let losses = [0.3, 2.0, 0.1, 0.7, 1.1];
        let stream = Stream::new(1, "orders");
        let found = loss_increments(&losses, 3, &stream).unwrap();
        for k in 1..5 {
            let one = |order| {
                let drawn: Vec<f64> =
                    stream.at(order).permutation(5).into_iter().map(|i| losses[i]).collect();
                let mean = |n: usize| drawn[..n].iter().sum::<f64>() / n as f64;
                (mean(k + 1) - mean(k)).abs()
            };
            let expected = (one(0) + one(1) + one(2)) / 3.0;
            assert!((found.increments[k - 1] - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn the_height_tends_to_the_mean_absolute_deviation() {
        // Exponential losses: their mean absolute deviation is 2 / e.
        let draws = Stream::new(2, "losses");
        let losses: Vec<f64> = (0..4000).map(|i| -(1.0 - draws.uniform(i)).ln()).collect();
        let mean = losses.iter().sum::<f64>() / 4000.0;
        let deviation = losses.iter().map(|l| (l - mean).abs()).sum::<f64>() / 4000.0;
        let found = loss_increments(&losses, 50, &Stream::new(3, "orders")).unwrap();
        assert!((found.height(400, 3900) / deviation - 1.0).abs() < 0.01);
        assert!((deviation - 2.0 / std::f64::consts::E).abs() < 0.03);
        assert!((found.slope(50, 3900).unwrap() + 1.0).abs() < 0.02);
    }

    #[test]
    fn losses_are_checked() {
        let stream = Stream::new(0, "orders");
        assert!(loss_increments(&[1.0], 1, &stream).is_err());
        assert!(loss_increments(&[1.0, f64::NAN], 1, &stream).is_err());
        assert!(loss_increments(&[1.0, 2.0], 0, &stream).is_err());
        let still = loss_increments(&[1.0; 9], 2, &stream).unwrap();
        assert_eq!(still.height(1, 8), 0.0);
        assert!(still.slope(1, 8).is_err() && still.height(20, 30).is_nan());
    }
}
