//! The data that checks share.

use thalweg_array::{Array, DType};
use thalweg_data::{Targets, digits};
use thalweg_lab::{LabError, Result};
use thalweg_train::Examples;

/// All 1,797 digits as vectors of 64 pixels between -1 and 1, with their labels.
///
/// # Errors
/// None: the data are part of the program.
pub fn all_digits(float: DType) -> Result<Examples> {
    let digits = digits();
    let pixels = digits.inputs().in_memory().map(Array::to_f64_vec).unwrap_or_default();
    let scaled: Vec<f64> = pixels.iter().map(|pixel| pixel / 8.0 - 1.0).collect();
    let inputs = Array::from_slice(&[digits.len(), 64], &scaled)?.convert(float);
    match digits.targets() {
        Targets::Classes { labels, .. } => {
            Ok(Examples::from_arrays(inputs, labels.clone(), true, float)?)
        }
        _ => Err(LabError::Input("digits: expected classes".into())),
    }
}
