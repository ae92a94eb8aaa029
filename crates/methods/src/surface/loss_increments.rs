//! How much a mean loss moves when one more example is taken in.

use crate::MethodError;
use thalweg_data::Stream;
use thalweg_stats::Moments;

/// What [`loss_increments`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LossIncrements {
    /// The mean over orders of `|L_{k+1} - L_k|`, for `k` from 1 on.
    pub increments: Vec<f64>,
    /// The standard error of each over the orders: what other orders of the same examples would
    /// change. NaN of a single order.
    pub standard_errors: Vec<f64>,
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
/// assert_eq!((found.increments, found.standard_errors), (vec![1.0], vec![0.0]));
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
    let mut moments = vec![Moments::default(); losses.len() - 1];
    for order in 0..orders as u64 {
        let mut mean = 0.0;
        for (k, place) in stream.at(order).permutation(losses.len()).into_iter().enumerate() {
            let step = (losses[place] - mean) / (k + 1) as f64;
            if k > 0 {
                moments[k - 1].add(step.abs());
            }
            mean += step;
        }
    }
    let error =
        |of: &Moments| of.variance().map_or(f64::NAN, |variance| (variance / orders as f64).sqrt());
    Ok(LossIncrements {
        increments: moments.iter().map(Moments::mean).collect(),
        standard_errors: moments.iter().map(error).collect(),
    })
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

    /// The exponential moving average of the increments, `s_k = q s_{k-1} + (1 - q) |L_{k+1} - L_k|`
    /// from `s_1 = |L_2 - L_1|` on; the authors take `q = 0.99`. It lies behind by about
    /// `1 / (1 - q)` examples.
    ///
    /// # Errors
    /// A `q` outside `[0, 1)`.
    pub fn smoothed(&self, q: f64) -> Result<Vec<f64>, MethodError> {
        if !(0.0..1.0).contains(&q) {
            return Err(MethodError::config("smoothing of increments", "a number in [0, 1)", q));
        }
        let mut last = self.increments.first().copied().unwrap_or(f64::NAN);
        let next = |&value: &f64| {
            last = q * last + (1.0 - q) * value;
            last
        };
        Ok(self.increments.iter().map(next).collect())
    }

    /// The smallest `k` from which one more example changes the mean loss by less than a tolerance, as
    /// the [`LossIncrements::smoothed`] increments have it; none where all `k` are too few.
    ///
    /// # Errors
    /// A tolerance that is not positive; as [`LossIncrements::smoothed`].
    pub fn sample_size_advice(&self, tolerance: f64, q: f64) -> Result<Option<usize>, MethodError> {
        if tolerance.is_nan() || tolerance <= 0.0 {
            let what = "tolerance of increments";
            return Err(MethodError::config(what, "a positive number", tolerance));
        }
        let small = self.smoothed(q)?.iter().position(|&value| value < tolerance);
        Ok(small.map(|place| place + 1))
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
            let squares: f64 = (0..3).map(|order| (one(order) - expected).powi(2)).sum();
            let error = (squares / 2.0 / 3.0).sqrt();
            assert!((found.standard_errors[k - 1] - error).abs() < 1e-15);
        }
        assert!(loss_increments(&losses, 1, &stream).unwrap().standard_errors[0].is_nan());
    }

    #[test]
    fn standard_errors_hold_the_mean_over_all_orders() {
        // Of three losses all six orders have known increments.
        let losses = [0.0, 1.0, 5.0];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let expected = |k: usize| {
            let of = |order: &[usize; 3]| {
                let mean = |n: usize| order[..n].iter().map(|&i| losses[i]).sum::<f64>() / n as f64;
                (mean(k + 1) - mean(k)).abs()
            };
            orders.iter().map(of).sum::<f64>() / 6.0
        };
        let mut within = [0; 2];
        for seed in 0..200 {
            let found = loss_increments(&losses, 60, &Stream::new(seed, "orders")).unwrap();
            for k in 1..3 {
                let off = (found.increments[k - 1] - expected(k)).abs();
                within[k - 1] += usize::from(off < 2.0 * found.standard_errors[k - 1]);
            }
        }
        assert!(within.iter().all(|count| (180..=198).contains(count)), "{within:?}");
    }

    #[test]
    fn advice_is_where_the_smoothed_curve_falls_below() {
        let increments = vec![1.0, 0.5, 0.25, 0.75];
        let found = LossIncrements { increments, standard_errors: vec![f64::NAN; 4] };
        assert_eq!(found.smoothed(0.5).unwrap(), [1.0, 0.75, 0.5, 0.625]);
        assert_eq!(found.smoothed(0.0).unwrap(), found.increments);
        assert_eq!(found.sample_size_advice(0.8, 0.5).unwrap(), Some(2));
        assert_eq!(found.sample_size_advice(0.75, 0.5).unwrap(), Some(3), "less, not as much");
        assert_eq!(found.sample_size_advice(0.3, 0.0).unwrap(), Some(3));
        assert_eq!(found.sample_size_advice(0.3, 0.5).unwrap(), None);
        for (tolerance, q) in
            [(0.0, 0.5), (f64::NAN, 0.5), (0.1, 1.0), (0.1, -0.1), (0.1, f64::NAN)]
        {
            assert!(found.sample_size_advice(tolerance, q).is_err(), "{tolerance} {q}");
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
