//! Which runs ended in the same minimum.

use super::discovery::{Discovery, discovery};
use crate::MethodError;
use crate::common::vector;

/// What [`distinct_minima`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct DistinctMinima {
    /// The minimum of each run, by its place in `fingerprints`; none for a run that found none.
    pub of_run: Vec<Option<usize>>,
    /// The fingerprint of each minimum, in the order of their discovery.
    pub fingerprints: Vec<Vec<f64>>,
    /// How often each was found, and what that says of those that were not.
    pub discovery: Discovery,
}

impl DistinctMinima {
    /// The share of runs that found a minimum.
    pub fn success(&self) -> f64 {
        let found = self.of_run.iter().flatten().count();
        found as f64 / self.of_run.len() as f64
    }
}

/// Counts the minima that runs ended in: two are one if their fingerprints are closer than `tolerance`
/// times their length. `known` come first, so that what else is found has the later places.
///
/// A fingerprint is any list of numbers that no symmetry of the loss changes, such as the sorted norms
/// of a network's hidden units; a run that did not converge has none.
///
/// # Errors
/// Fingerprints of different lengths, a tolerance that is not positive.
pub fn distinct_minima(
    runs: &[Option<Vec<f64>>],
    known: &[Vec<f64>],
    tolerance: f64,
) -> Result<DistinctMinima, MethodError> {
    if tolerance.is_nan() || tolerance <= 0.0 {
        return Err(MethodError::config(
            "tolerance of fingerprints",
            "a positive number",
            tolerance,
        ));
    }
    let mut fingerprints: Vec<Vec<f64>> = known.to_vec();
    let mut of_run = Vec::with_capacity(runs.len());
    for run in runs {
        let Some(print) = run else {
            of_run.push(None);
            continue;
        };
        if let Some(other) = fingerprints.first().filter(|other| other.len() != print.len()) {
            let expected = format!("{} numbers", other.len());
            return Err(MethodError::mismatch("a fingerprint", expected, print.len()));
        }
        let near = |other: &Vec<f64>| {
            let apart: Vec<f64> = print.iter().zip(other).map(|(a, b)| a - b).collect();
            vector::norm(&apart) < tolerance * vector::norm(print).max(vector::norm(other))
        };
        let place = fingerprints.iter().position(near).unwrap_or(fingerprints.len());
        if place == fingerprints.len() {
            fingerprints.push(print.clone());
        }
        of_run.push(Some(place));
    }
    let found: Vec<usize> = of_run.iter().flatten().copied().collect();
    Ok(DistinctMinima { of_run, fingerprints, discovery: discovery(&found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_apart_by_their_fingerprints() {
        let at = |x: f64| Some(vec![x, 1.0]);
        let runs = [at(3.0), None, at(3.0 + 1e-9), at(-2.0), at(5.0), at(-2.0)];
        let found = distinct_minima(&runs, &[vec![5.0, 1.0]], 1e-6).unwrap();
        assert_eq!(found.of_run, [Some(1), None, Some(1), Some(2), Some(0), Some(2)]);
        assert_eq!((found.discovery.hits.clone(), found.fingerprints.len()), (vec![1, 2, 2], 3));
        assert!((found.success() - 5.0 / 6.0).abs() < 1e-15);
        assert!(distinct_minima(&runs, &[vec![5.0]], 1e-6).is_err());
        assert!(distinct_minima(&runs, &[], 0.0).is_err());
    }
}
