//! What inputs and targets have to be.

use crate::{DataError, Inputs, Rows};
use std::ops::Range;
use thalweg_array::{Array, DType};

/// Inputs of a shape that data have, every number finite.
pub(crate) fn check_inputs(inputs: Inputs) -> Result<Inputs, DataError> {
    if !matches!(inputs.shape().len(), 2 | 4) {
        return Err(DataError::InputShape { got: inputs.shape().to_vec() });
    }
    if inputs.shape().contains(&0) {
        return Err(DataError::Empty { what: "inputs", shape: inputs.shape().to_vec() });
    }
    match inputs {
        Inputs::Memory(array) => Ok(Inputs::Memory(finite("inputs", &array)?)),
        Inputs::Stored(stored) => stored.finite(),
    }
}

/// As many targets as inputs.
pub(crate) fn check_count(n: usize, targets: &Array) -> Result<(), DataError> {
    match targets.shape().first() {
        Some(&rows) if rows == n => Ok(()),
        rows => Err(DataError::Count { inputs: n, targets: rows.copied().unwrap_or(0) }),
    }
}

/// As `f32`, or as they are where that would change a number; one that is not finite, or too large
/// for `f32`, is named by its row.
pub(crate) fn finite(what: &'static str, array: &Array) -> Result<Array, DataError> {
    let converted = array.convert(DType::F32);
    let values = converted.as_slice::<f32>()?;
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let row_length = values.len() / array.shape()[0];
        let original = match array.dtype() {
            DType::F64 => array.as_slice::<f64>()?[at],
            _ => f64::from(values[at]),
        };
        let (row, element) = (at / row_length, at % row_length);
        let faulty = (at..values.len()).filter(|&at| !values[at].is_finite());
        let (rows, value) = (faulty.map(|at| at / row_length).collect(), original.to_string());
        return Err(DataError::NotFinite { what, row, rows, element, value });
    }
    if array.dtype() == DType::F64 {
        let exact = array.as_slice::<f64>()?;
        if exact.iter().zip(values).any(|(&exact, &value)| exact != f64::from(value)) {
            return Ok(array.clone());
        }
    }
    Ok(converted)
}

/// The number of classes, once every label is known to lie below it.
pub(crate) fn check_labels(labels: &[i64], n_classes: Option<usize>) -> Result<usize, DataError> {
    if let Some(n_classes) = n_classes {
        // Labels are stored as `i32`.
        let limit = n_classes.min(1 << 31) as u64;
        let outside = |label: i64| label < 0 || label as u64 >= limit;
        return match labels.iter().position(|&label| outside(label)) {
            Some(row) => {
                let rows = (row..labels.len()).filter(|&row| outside(labels[row])).collect();
                Err(DataError::Label { row, rows, label: labels[row], n_classes })
            }
            None => Ok(n_classes),
        };
    }
    if let Some(row) = labels.iter().position(|&label| label < 0) {
        let rows = (row..labels.len()).filter(|&row| labels[row] < 0).collect();
        return Err(DataError::NegativeLabel { row, rows, label: labels[row] });
    }
    // Every class occurs, so there are at most as many classes as labels.
    let mut seen = vec![false; labels.len()];
    for &label in labels {
        if let Some(class) = usize::try_from(label).ok().and_then(|l| seen.get_mut(l)) {
            *class = true;
        }
    }
    let largest =
        labels.iter().copied().max().map_or(0, |l| usize::try_from(l).unwrap_or(usize::MAX));
    match seen.iter().position(|&class| !class) {
        Some(missing) if missing <= largest => Err(DataError::MissingClass { missing, largest }),
        _ => Ok(largest + 1),
    }
}

/// Refuses whole numbers outside of what a model has entries for; other types pass.
///
/// # Shapes    inputs `i32 [n, ..]`
/// # Errors
/// `Index` with every row that holds such a number.
pub fn check_indices(inputs: &Array, range: &Range<i64>) -> Result<(), DataError> {
    if inputs.dtype() != DType::I32 {
        return Ok(());
    }
    let values = inputs.as_slice::<i32>()?;
    let Some((first, rows)) = outside(inputs, values, |&value| range.contains(&value.into()))
    else {
        return Ok(());
    };
    let (value, range) = (values[first].into(), range.clone());
    Err(DataError::Index { row: first / row_length(inputs), rows, value, range })
}

/// Refuses labels that are none of so many classes.
///
/// # Shapes    labels `i32 [n]` or `[n, positions]`
/// # Errors
/// `Label` with every row that holds such a label, `LabelType` for another type.
pub fn check_classes(labels: &Array, n_classes: usize) -> Result<(), DataError> {
    if labels.dtype() != DType::I32 {
        return Err(DataError::LabelType { got: labels.dtype() });
    }
    let values = labels.as_slice::<i32>()?;
    let is_class = |&label: &i32| usize::try_from(label).is_ok_and(|label| label < n_classes);
    let Some((first, rows)) = outside(labels, values, is_class) else { return Ok(()) };
    let (row, label) = (first / row_length(labels), i64::from(values[first]));
    Err(DataError::Label { row, rows, label, n_classes })
}

fn row_length(array: &Array) -> usize {
    (array.len() / array.shape().first().copied().unwrap_or(0).max(1)).max(1)
}

/// The first element that is not `inside`, and all rows that hold one.
fn outside(array: &Array, values: &[i32], inside: impl Fn(&i32) -> bool) -> Option<(usize, Rows)> {
    let mut outside = (0..values.len()).filter(|&at| !inside(&values[at]));
    let first = outside.next()?;
    let length = row_length(array);
    Some((first, std::iter::once(first).chain(outside).map(|at| at / length).collect()))
}
