//! Scores of the input variables over restarts, and how they rank the variables.

use super::loss_sensitivity::{ORDERS, Sensitivity};
use crate::MethodError;
use thalweg_stats::{Moments, spearman};

impl Sensitivity {
    /// The mean over points, as those along a training run: of scores and of terms.
    ///
    /// # Errors
    /// No points; points with other variables or examples than the first.
    pub fn mean(points: &[Sensitivity]) -> Result<Sensitivity, MethodError> {
        let first = first_of_alike("points of a restart", points)?;
        let n = points.len() as f64;
        let mean = |of: &dyn Fn(&Sensitivity) -> f64| points.iter().map(of).sum::<f64>() / n;
        let score = |k: usize, v: usize| mean(&|point| point.scores[k][v]);
        let term = |k: usize, v: usize, i: usize| mean(&|point| point.terms[k][v][i]);
        let row = |k: usize, v: usize, terms: &[f64]| -> Vec<f64> {
            (0..terms.len()).map(|i| term(k, v, i)).collect()
        };
        Ok(Sensitivity {
            scores: std::array::from_fn(|k| {
                (0..first.scores[k].len()).map(|v| score(k, v)).collect()
            }),
            terms: std::array::from_fn(|k| {
                first.terms[k].iter().enumerate().map(|(v, terms)| row(k, v, terms)).collect()
            }),
        })
    }
}

/// Scores of the input variables, `[order][variable]`, over training from several initial weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SensitivityTable {
    /// The mean over restarts.
    pub scores: [Vec<f64>; ORDERS],
    /// Its standard error over restarts; NaN of a single one.
    pub standard_errors: [Vec<f64>; ORDERS],
    /// The share of restarts in which the score has the sign of the mean.
    pub sign_consistency: [Vec<f64>; ORDERS],
}

impl SensitivityTable {
    /// The table of one [`Sensitivity`] a restart: that at a point, or the [`Sensitivity::mean`] of
    /// several.
    ///
    /// # Errors
    /// No restarts; restarts with other variables than the first.
    ///
    /// # Example
    /// ```
    /// use thalweg_methods::surface::{Sensitivity, SensitivityTable};
    /// let restart = |score: f64| {
    ///     let scores = [vec![score, 5.0], vec![score, 5.0], vec![score, 5.0]];
    ///     Sensitivity { scores, terms: [vec![], vec![], vec![]] }
    /// };
    /// let table = SensitivityTable::new(&[restart(1.0), restart(-3.0), restart(-4.0)])?;
    /// assert_eq!(table.scores[0], [-2.0, 5.0]);
    /// assert_eq!(table.sign_consistency[0], [2.0 / 3.0, 1.0]);
    /// # Ok::<(), thalweg_methods::MethodError>(())
    /// ```
    pub fn new(restarts: &[Sensitivity]) -> Result<SensitivityTable, MethodError> {
        let first = first_of_alike("restarts", restarts)?;
        let n = restarts.len() as f64;
        let moments: [Vec<Moments>; ORDERS] = std::array::from_fn(|k| {
            let of = |v: usize| restarts.iter().map(|restart| restart.scores[k][v]).collect();
            (0..first.scores[k].len()).map(of).collect()
        });
        let error = |of: &Moments| of.variance().map_or(f64::NAN, |variance| (variance / n).sqrt());
        let consistency = |k: usize, v: usize, mean: f64| {
            let with_it = restarts.iter().filter(|restart| restart.scores[k][v] * mean > 0.0);
            with_it.count() as f64 / n
        };
        Ok(SensitivityTable {
            scores: moments.each_ref().map(|row| row.iter().map(Moments::mean).collect()),
            standard_errors: moments.each_ref().map(|row| row.iter().map(error).collect()),
            sign_consistency: std::array::from_fn(|k| {
                let row = moments[k].iter().enumerate();
                row.map(|(v, moments)| consistency(k, v, moments.mean())).collect()
            }),
        })
    }

    /// [`rank_agreement`] of its scores.
    ///
    /// # Errors
    /// As [`rank_agreement`].
    pub fn compare(&self, correlations: &[f64]) -> Result<[f64; ORDERS], MethodError> {
        rank_agreement(&self.scores, correlations)
    }
}

/// Of each order, Spearman's correlation across the variables of the sizes of scores,
/// `[order][variable]`, with the sizes of other numbers, one a variable, as Spearman's correlations of
/// the variables with the target: 1 where both put the variables in one order. NaN where one of them
/// does not vary.
///
/// # Errors
/// Unequal numbers of variables, fewer than two, a number that is not finite.
pub fn rank_agreement(
    scores: &[Vec<f64>; ORDERS],
    correlations: &[f64],
) -> Result<[f64; ORDERS], MethodError> {
    let sizes = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| x.abs()).collect() };
    let known = sizes(correlations);
    let mut found = [f64::NAN; ORDERS];
    for (found, scores) in found.iter_mut().zip(scores) {
        *found = spearman(&sizes(scores), &known)?;
    }
    Ok(found)
}

/// The first, where all have as many variables and examples.
fn first_of_alike<'a>(what: &str, all: &'a [Sensitivity]) -> Result<&'a Sensitivity, MethodError> {
    let Some(first) = all.first() else { return Err(MethodError::config(what, "at least 1", 0)) };
    let shape = |of: &Sensitivity| -> Vec<usize> {
        let rows = of.terms.iter().flatten().map(Vec::len);
        let columns = of.scores.iter().map(Vec::len).chain(of.terms.iter().map(Vec::len));
        columns.chain(rows).collect()
    };
    let known = shape(first);
    match all.iter().position(|other| shape(other) != known) {
        None => Ok(first),
        Some(place) => {
            let expected = "the variables and examples of the first";
            Err(MethodError::mismatch(what, expected, format!("others, number {}", place + 1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of three variables, of every order times its number, and terms of two rows about them.
    fn sensitivity(scores: [f64; 3]) -> Sensitivity {
        let of = |k: usize| scores.map(|score| score * (k + 1) as f64);
        let rows = |k: usize| of(k).map(|score| vec![score - 1.0, score + 1.0]).to_vec();
        Sensitivity {
            scores: std::array::from_fn(|k| of(k).to_vec()),
            terms: std::array::from_fn(rows),
        }
    }

    #[test]
    fn restarts_by_hand() {
        let restarts = [[1.0, -2.0, 0.5], [3.0, -1.0, -0.5], [2.0, -3.0, 0.0]].map(sensitivity);
        let table = SensitivityTable::new(&restarts).unwrap();
        for k in 0..ORDERS {
            let factor = (k + 1) as f64;
            assert_eq!(table.scores[k], [2.0 * factor, -2.0 * factor, 0.0]);
            // Deviations of one from the mean: s^2 = 1, over three restarts; and of one half.
            let errors = [1.0, 1.0, 0.5].map(|s: f64| factor * s / 3f64.sqrt());
            for (found, expected) in table.standard_errors[k].iter().zip(errors) {
                assert!((found - expected).abs() < 1e-15, "{found} {expected}");
            }
            assert_eq!(table.sign_consistency[k], [1.0, 1.0, 0.0]);
        }
        let one = SensitivityTable::new(&restarts[..1]).unwrap();
        assert_eq!(one.scores[0], [1.0, -2.0, 0.5]);
        assert!(one.standard_errors.iter().flatten().all(|error| error.is_nan()));
    }

    #[test]
    fn points_of_a_restart_are_averaged_and_told_apart() {
        let points = [[1.0, -2.0, 0.5], [3.0, 0.0, 0.5]].map(sensitivity);
        assert_eq!(Sensitivity::mean(&points).unwrap(), sensitivity([2.0, -1.0, 0.5]));
        assert!(Sensitivity::mean(&[]).is_err() && SensitivityTable::new(&[]).is_err());
        let mut fewer = points.clone();
        fewer[1].terms[2][1].pop();
        let message = Sensitivity::mean(&fewer).unwrap_err().to_string();
        assert!(message.ends_with("got others, number 2"), "{message}");
        let mut other = points;
        other[1].scores[1].pop();
        assert!(SensitivityTable::new(&other).is_err());
    }

    #[test]
    fn agreement_is_of_sizes_and_ranks() {
        let mut table = SensitivityTable::new(&[sensitivity([1.0, -2.0, 0.5])]).unwrap();
        let agrees = |table: &SensitivityTable, with: &[f64]| table.compare(with).unwrap();
        for (with, expected) in [([0.2, 0.9, -0.1], 1.0), ([0.2, 0.1, -0.9], -1.0)] {
            let found = agrees(&table, &with);
            assert!(found.iter().all(|a| (a - expected).abs() < 1e-15), "{found:?}");
        }
        // One order alone.
        table.scores[1] = vec![2.0, 0.5, -1.0];
        let [first, second, third] = agrees(&table, &[0.2, 0.9, -0.1]);
        assert!((first - 1.0).abs() < 1e-15 && (third - 1.0).abs() < 1e-15);
        assert!((second + 0.5).abs() < 1e-15, "{second}");
        assert!(table.compare(&[1.0]).is_err());
    }
}
