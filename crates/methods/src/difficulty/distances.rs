//! Distances between rows.

use crate::MethodError;
use crate::common::vector;
use thalweg_data::Stream;

/// Squared Euclidean distance, by differences: exact zeros for equal rows.
pub(super) fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The largest norm of a row, of rows that are checked to be finite and of one length.
pub(super) fn radius(x: &[Vec<f64>]) -> Result<f64, MethodError> {
    let width = x.first().map_or(0, Vec::len);
    if x.len() < 2 || width == 0 {
        let expected = "at least 2 rows of at least 1 element";
        return Err(MethodError::mismatch("points", expected, format!("{} of {width}", x.len())));
    }
    if let Some(row) = x.iter().position(|row| row.len() != width) {
        let got = format!("{} in row {row}", x[row].len());
        return Err(MethodError::mismatch("points", format!("rows of {width} elements"), got));
    }
    let wrong = x.iter().enumerate().find_map(|(row, values)| {
        values.iter().find(|value| !value.is_finite()).map(|value| (row, *value))
    });
    if let Some((row, value)) = wrong {
        let what = format!("an element of row {row} of the points");
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    Ok(x.iter().map(|row| vector::norm(row)).fold(0.0, f64::max))
}

/// So many places of `n`, in order; all of them if that is not fewer.
pub(super) fn some(n: usize, at_most: usize, stream: &Stream) -> Vec<usize> {
    if at_most >= n {
        return (0..n).collect();
    }
    let mut chosen = stream.permutation(n)[..at_most].to_vec();
    chosen.sort_unstable();
    chosen
}
