//! The data that checks share.

use thalweg_array::{Array, DType};
use thalweg_data::{Stream, Targets, digits};
use thalweg_lab::{LabError, Result};
use thalweg_train::Examples;

/// All 1,797 digits as vectors of 64 pixels between -1 and 1, with their labels.
///
/// # Errors
/// None: the data are part of the program.
pub fn all_digits(float: DType) -> Result<Examples> {
    let order: Vec<usize> = (0..digits().len()).collect();
    some_digits(&order, &[64], float)
}

/// `train` digits and all others, as images `[8, 8, 1]` of pixels between -1 and 1, by an order that
/// is the same for every seed.
///
/// # Errors
/// `Input` if that leaves nothing for one of the two.
pub fn split_digits(train: usize, float: DType) -> Result<[Examples; 2]> {
    let order = Stream::new(0, "papers/digits").permutation(digits().len());
    let fits = (1..order.len()).contains(&train);
    if !fits {
        let text = format!("{train} digits to train on: expected 1 to {}", order.len() - 1);
        return Err(LabError::Input(text));
    }
    let part = |rows: &[usize]| some_digits(rows, &[8, 8, 1], float);
    Ok([part(&order[..train])?, part(&order[train..])?])
}

/// All 1,797 digits as rows of 64 pixels between 0 and 1, with their labels.
///
/// # Errors
/// None: the data are part of the program.
pub fn digit_rows() -> Result<(Vec<Vec<f64>>, Vec<i32>)> {
    let examples = all_digits(DType::F64)?;
    let pixels = examples.input_rows(0..examples.len())?;
    let pixels = pixels.first().map(Array::to_f64_vec).unwrap_or_default();
    let rows = pixels.chunks(64).map(|row| row.iter().map(|x| (x + 1.0) / 2.0).collect());
    Ok((rows.collect(), examples.targets().as_slice::<i32>()?.to_vec()))
}

fn some_digits(rows: &[usize], shape: &[usize], float: DType) -> Result<Examples> {
    let digits = digits();
    let pixels = digits.inputs().in_memory().map(Array::to_f64_vec).unwrap_or_default();
    let all: Vec<&[f64]> = pixels.chunks(64).collect();
    let (Targets::Classes { labels, .. }, true) = (digits.targets(), all.len() == digits.len())
    else {
        return Err(LabError::Input("digits: expected images with classes".into()));
    };
    let labels = labels.as_slice::<i32>()?;
    let scaled: Vec<f64> =
        rows.iter().flat_map(|&row| all[row].iter().map(|pixel| pixel / 8.0 - 1.0)).collect();
    let labels: Vec<i32> = rows.iter().map(|&row| labels[row]).collect();
    let inputs = Array::from_slice(&[&[rows.len()], shape].concat(), &scaled)?.convert(float);
    Ok(Examples::from_arrays(inputs, Array::vector(&labels), true, float)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all_digits_once() {
        let [train, test] = split_digits(1000, DType::F32).unwrap();
        assert_eq!((train.len(), test.len()), (1000, 797));
        let sum = |examples: &Examples| -> f64 {
            examples.inputs().unwrap()[0].to_f64_vec().iter().map(|x| 8.0 * (x + 1.0)).sum()
        };
        // The sum of all pixels.
        assert_eq!(sum(&train) + sum(&test), 561_718.0);
        assert_eq!(sum(&all_digits(DType::F64).unwrap()), 561_718.0);
        assert!(split_digits(1797, DType::F32).is_err() && split_digits(0, DType::F32).is_err());
    }
}
