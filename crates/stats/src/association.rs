//! How two quantities go together: correlations and the straight line.

use crate::error::check_finite;
use crate::{Moments, StatsError, pairwise_sum};

/// Spearman's rank correlation: Pearson's of the ranks, ties at the mean of theirs. NaN where one
/// side does not vary.
///
/// # Errors
/// Unequal numbers, fewer than two pairs, a number that is not finite.
///
/// # Example
/// ```
/// let rho = thalweg_stats::spearman(&[1.0, 2.0, 3.0], &[10.0, 9.0, 1.0])?;
/// assert!((rho + 1.0).abs() < 1e-15);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    check_pairs("a rank correlation", x, y)?;
    Ok(product_moment(&ranks(x), &ranks(y)))
}

/// Pearson's correlation. NaN where one side does not vary.
///
/// # Errors
/// As [`spearman`].
///
/// # Example
/// ```
/// // Sums of products 9, 10 and 10.
/// let r = thalweg_stats::pearson(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 2.0, 3.0, 5.0, 4.0])?;
/// assert!((r - 0.9).abs() < 1e-15);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn pearson(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    check_pairs("a correlation", x, y)?;
    Ok(product_moment(x, y))
}

/// Kendall's tau-b: the surplus of pairs in the same order over pairs in opposite order, as a share
/// of the pairs without ties. NaN where one side does not vary.
///
/// # Errors
/// As [`spearman`].
/// # Source    Kendall, The treatment of ties in ranking problems, Biometrika 33, 1945
pub fn kendall_tau(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    check_pairs("a rank correlation", x, y)?;
    let (mut surplus, mut in_x, mut in_y) = (0i64, 0i64, 0i64);
    for i in 0..x.len() {
        for j in 0..i {
            let sign = |values: &[f64]| values[i].total_cmp(&values[j]) as i64;
            // Zeros of either sign are tied.
            let of = |values: &[f64]| if values[i] == values[j] { 0 } else { sign(values) };
            let (a, b) = (of(x), of(y));
            surplus += a * b;
            in_x += a * a;
            in_y += b * b;
        }
    }
    Ok(surplus as f64 / (in_x as f64 * in_y as f64).sqrt())
}

/// A straight line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Rise for each unit of `x`.
    pub slope: f64,
    /// Height at `x = 0`.
    pub intercept: f64,
    /// Share of the variance of `y` that the line explains; NaN where `y` does not vary.
    pub r_squared: f64,
}

/// The least-squares line of `y` over `x`; its slope is NaN where `x` does not vary.
///
/// # Errors
/// As [`spearman`].
///
/// # Example
/// ```
/// let line = thalweg_stats::fit_line(&[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0])?;
/// assert_eq!((line.slope, line.intercept), (2.0, 1.0));
/// assert!((line.r_squared - 1.0).abs() < 1e-12);
/// # Ok::<(), thalweg_stats::StatsError>(())
/// ```
pub fn fit_line(x: &[f64], y: &[f64]) -> Result<Line, StatsError> {
    check_pairs("a line", x, y)?;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let slope = products(x, y) / products(x, x);
    let r = product_moment(x, y);
    Ok(Line { slope, intercept: mean_y - slope * mean_x, r_squared: r * r })
}

fn check_pairs(what: &'static str, x: &[f64], y: &[f64]) -> Result<(), StatsError> {
    if x.len() != y.len() {
        return Err(StatsError::Unpaired { first: x.len(), second: y.len() });
    }
    check_finite(x)?;
    check_finite(y)?;
    match x.len() {
        got @ (0 | 1) => Err(StatsError::TooFew { what, expected: 2, got }),
        _ => Ok(()),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().copied().collect::<Moments>().mean()
}

/// `sum of (x - mean x) (y - mean y)`.
fn products(x: &[f64], y: &[f64]) -> f64 {
    let (mean_x, mean_y) = (mean(x), mean(y));
    let terms: Vec<f64> = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).collect();
    pairwise_sum(&terms)
}

fn product_moment(x: &[f64], y: &[f64]) -> f64 {
    products(x, y) / (products(x, x).sqrt() * products(y, y).sqrt())
}

/// Ranks from 1 on.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let value = values[order[first]];
        let tied = order[first..].iter().take_while(|&&i| values[i] == value).count().max(1);
        for &i in &order[first..first + tied] {
            ranks[i] = first as f64 + (tied as f64 + 1.0) / 2.0;
        }
        first += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, -0.0, 0.0]), [4.5, 3.0, 4.5, 1.5, 1.5]);
    }

    #[test]
    fn by_hand() {
        // Three pairs: two in order, one against.
        let tau = kendall_tau(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]).unwrap();
        assert!((tau - 1.0 / 3.0).abs() < 1e-15);
        let rho = spearman(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]).unwrap();
        assert!((rho - 0.5).abs() < 1e-15);
        assert!(kendall_tau(&[1.0, 1.0], &[1.0, 2.0]).unwrap().is_nan());
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).unwrap().is_nan());
        assert!(pearson(&[1.0, 1.0], &[1.0, 2.0]).unwrap().is_nan());
        // The ranks are on a line and the values are not: sums of products 13, 2 and 314 / 3.
        let r = pearson(&[1.0, 2.0, 3.0], &[1.0, 2.0, 14.0]).unwrap();
        assert!((r - 13.0 / (2.0f64 * 314.0 / 3.0).sqrt()).abs() < 1e-15);
        assert!(fit_line(&[1.0, 1.0], &[1.0, 2.0]).unwrap().slope.is_nan());
    }

    #[test]
    fn pairs_are_checked() {
        assert!(spearman(&[1.0], &[1.0]).is_err());
        assert!(pearson(&[1.0, 2.0], &[1.0]).is_err());
        assert!(kendall_tau(&[1.0, 2.0], &[1.0]).is_err());
        assert!(fit_line(&[1.0, f64::NAN], &[1.0, 2.0]).is_err());
    }
}
