//! The digits as the examples that most checks share.

use crate::images::{digits, digits_instead};
use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_train::Examples;

/// All 1,797 digits as vectors of 64 pixels between -1 and 1, with their labels.
///
/// # Errors
/// None: the data are part of the program.
pub fn all_digits(float: DType) -> Result<Examples> {
    digits()?.examples(true, float)
}

/// `train` digits and all others, as images `[8, 8, 1]` of pixels between -1 and 1, by an order that
/// is the same for every seed.
///
/// # Errors
/// `Input` if that leaves nothing for one of the two.
pub fn split_digits(train: usize, float: DType) -> Result<[Examples; 2]> {
    let others = digits()?.len().saturating_sub(train);
    let [train, test] = digits_instead(train, others)?;
    Ok([train.examples(false, float)?, test.examples(false, float)?])
}

/// All 1,797 digits as rows of 64 pixels between 0 and 1, with their labels.
///
/// # Errors
/// None: the data are part of the program.
pub fn digit_rows() -> Result<(Vec<Vec<f64>>, Vec<i32>)> {
    let digits = digits()?;
    Ok((digits.to_rows(), digits.labels))
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
