//! How many directions a matrix has.

use super::{symmetric_eigen, vector};
use thalweg_array::Array;
use thalweg_nn::{Axis, Parameter, Role};

/// How many directions a matrix has, by several counts. All are zero for a matrix of zeros, and do not
/// change when the matrix is multiplied by a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    /// `exp(- sum over j of p_j log p_j)` with singular values `s_j` and `p_j = s_j / sum of them`.
    ///
    /// # Source    Roy, Vetterli, The effective rank, 2007, definition 1
    pub effective: f64,
    /// `|A|_F^2 / |A|_2^2 = sum of s_j^2 / s_1^2`.
    ///
    /// # Source    Rudelson, Vershynin, Sampling from large matrices, 2007, arXiv math/0503442
    pub stable: f64,
    /// The fewest singular values that make up a share of the sum of all.
    ///
    /// # Source    Kumar, Agarwal, Ghosh, Levine, Implicit under-parameterization inhibits
    /// data-efficient deep reinforcement learning, 2021, arXiv 2010.14498, equation 2, for a share of
    /// 0.99
    pub to_share: f64,
}

/// By how much ranks rise with the eigenvalues of `A^T A`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RankSlopes {
    /// Of the effective rank, one for each eigenvalue.
    pub(crate) effective: Vec<f64>,
    /// Of the stable rank.
    pub(crate) stable: Vec<f64>,
}

/// The ranks of a matrix by rows.
///
/// # Example
/// ```
/// use thalweg_methods::common::matrix_ranks;
/// let ranks = matrix_ranks(&[vec![3.0, 0.0], vec![0.0, 3.0]], 0.99);
/// assert!((ranks.effective - 2.0).abs() < 1e-12 && (ranks.stable - 2.0).abs() < 1e-12);
/// ```
pub fn matrix_ranks(rows: &[Vec<f64>], share: f64) -> Ranks {
    Ranks::of(&symmetric_eigen(&gram(rows)).values, share)
}

/// `A A^T` or `A^T A` of a matrix by rows, whichever is smaller: their eigenvalues are the same but
/// for zeros.
pub(crate) fn gram(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = rows.first().map_or(0, Vec::len);
    let turned: Vec<Vec<f64>>;
    let vectors = match rows.len() <= width {
        true => rows,
        false => {
            turned = (0..width).map(|j| rows.iter().map(|row| row[j]).collect()).collect();
            &turned
        }
    };
    // Only the lower triangle is read, and both are the same.
    let row = |i: usize| (0..vectors.len()).map(move |j| (i, j));
    let entry =
        |(i, j): (usize, usize)| if j > i { 0.0 } else { vector::dot(&vectors[i], &vectors[j]) };
    (0..vectors.len()).map(|i| row(i).map(entry).collect()).collect()
}

/// Whether a parameter is a weight of several axes whose last one alone is that of its outputs: dense,
/// a kernel, a projection.
pub(crate) fn has_output_rows(parameter: &Parameter) -> bool {
    let summed = |axis: &Axis| matches!(axis, Axis::Input | Axis::Spatial);
    parameter.role == Role::Weight
        && parameter.axes.split_last().is_some_and(|(last, others)| {
            *last == Axis::Output && !others.is_empty() && others.iter().all(summed)
        })
}

/// A weight whose last axis is that of its outputs as a matrix: a row for each output, with its
/// whole fan-in.
pub(crate) fn output_rows(weight: &Array) -> Vec<Vec<f64>> {
    let n = weight.shape().last().copied().unwrap_or(1).max(1);
    let values = weight.to_f64_vec();
    (0..n).map(|i| values.iter().skip(i).step_by(n).copied().collect()).collect()
}

impl Ranks {
    /// From the eigenvalues of `A^T A`, ascending.
    pub(crate) fn of(eigenvalues: &[f64], share: f64) -> Ranks {
        let squares: Vec<f64> = eigenvalues.iter().map(|value| value.max(0.0)).collect();
        let singular: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        let (sum, largest) = (singular.iter().sum::<f64>(), squares.last().copied().unwrap_or(0.0));
        if largest == 0.0 {
            return Ranks { effective: 0.0, stable: 0.0, to_share: 0.0 };
        }
        let (mut reached, mut to_share) = (0.0, 0);
        for value in singular.iter().rev() {
            if reached >= share * sum {
                break;
            }
            reached += value;
            to_share += 1;
        }
        Ranks {
            effective: entropy(&singular, sum).exp(),
            stable: squares.iter().sum::<f64>() / largest,
            to_share: f64::from(to_share),
        }
    }
}

fn entropy(singular: &[f64], sum: f64) -> f64 {
    let shares = singular.iter().map(|value| value / sum).filter(|share| *share > 0.0);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

impl RankSlopes {
    /// At the eigenvalues of `A^T A`, ascending; zero for those that are rounding beside the largest.
    pub(crate) fn of(eigenvalues: &[f64]) -> RankSlopes {
        let largest = eigenvalues.last().copied().unwrap_or(0.0);
        let singular: Vec<f64> = eigenvalues.iter().map(|value| value.max(0.0).sqrt()).collect();
        let (sum, squares) = (singular.iter().sum::<f64>(), eigenvalues.iter().sum::<f64>());
        let entropy = entropy(&singular, sum);
        let counts = |value: f64| largest > 0.0 && value > 1e-14 * largest;
        let effective = singular.iter().zip(eigenvalues).map(|(singular, &value)| {
            if !counts(value) {
                return 0.0;
            }
            let by_singular = -entropy.exp() * ((singular / sum).ln() + entropy) / sum;
            by_singular / (2.0 * singular)
        });
        let last = eigenvalues.len().saturating_sub(1);
        let stable = eigenvalues.iter().enumerate().map(|(j, &value)| {
            let own = if j == last { squares / (largest * largest) } else { 0.0 };
            if counts(value) { 1.0 / largest - own } else { 0.0 }
        });
        RankSlopes { effective: effective.collect(), stable: stable.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        // Singular values 3 and 1.
        let found = matrix_ranks(&[vec![0.0, 3.0, 0.0], vec![1.0, 0.0, 0.0]], 0.8);
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((found.effective - entropy.exp()).abs() < 1e-12, "{found:?}");
        assert!((found.stable - 10.0 / 9.0).abs() < 1e-12 && found.to_share == 2.0);
        assert_eq!(matrix_ranks(&[vec![3.0, 0.0], vec![0.0, 1.0]], 0.75).to_share, 1.0);
        let none = Ranks { effective: 0.0, stable: 0.0, to_share: 0.0 };
        assert_eq!(matrix_ranks(&vec![vec![0.0; 2]; 3], 0.9), none);
        let one = matrix_ranks(&vec![vec![0.5, -2.0]; 5], 0.99);
        assert!((one.effective - 1.0).abs() < 1e-5 && (one.stable - 1.0).abs() < 1e-12, "{one:?}");
    }

    #[test]
    fn slopes_are_those_of_differences() {
        let at = [0.3, 1.1, 2.0];
        let slopes = RankSlopes::of(&at);
        for j in 0..3 {
            let moved = |by: f64| {
                let mut values = at;
                values[j] += by;
                Ranks::of(&values, 0.99)
            };
            let (above, below) = (moved(1e-6), moved(-1e-6));
            let of = |f: fn(&Ranks) -> f64| (f(&above) - f(&below)) / 2e-6;
            assert!((of(|r| r.effective) - slopes.effective[j]).abs() < 1e-7);
            assert!((of(|r| r.stable) - slopes.stable[j]).abs() < 1e-7);
        }
    }
}
