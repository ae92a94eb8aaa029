//! A small Fashion-MNIST, part of the program.

use thalweg_array::{Array, DType};
use thalweg_lab::Result;
use thalweg_train::Examples;

const IMAGES: usize = 3400;
const TRAIN: usize = 2000;
const VALIDATION: usize = 400;
const SIDE: usize = 14;
/// Two pixels a byte.
const BYTES: usize = SIDE * SIDE / 2;

static DATA: &[u8; IMAGES * (BYTES + 1)] = include_bytes!("../embedded/fashion_14x14.bin");

/// Images of clothes `[14, 14, 1]`, means of 2 x 2 pixels of Fashion-MNIST in 16 levels, between 0 and
/// 1: 2,000 to train on, 400 to choose by, 1,000 of its test part to test on.
///
/// # Errors
/// None: the data are part of the program.
/// # Source    Xiao, Rasul, Vollgraf, Fashion-MNIST, 2017, arXiv 1708.07747; MIT
pub fn fashion(float: DType) -> Result<[Examples; 3]> {
    let (pixels, labels) = DATA.split_at(IMAGES * BYTES);
    let part = |rows: std::ops::Range<usize>| -> Result<Examples> {
        let packed = &pixels[rows.start * BYTES..rows.end * BYTES];
        let levels = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let values: Vec<f64> = levels.map(|level| f64::from(level) / 15.0).collect();
        let own: Vec<i32> = labels[rows.clone()].iter().map(|&label| i32::from(label)).collect();
        let inputs = Array::from_slice(&[rows.len(), SIDE, SIDE, 1], &values)?.convert(float);
        Ok(Examples::from_arrays(inputs, Array::vector(&own), true, float)?)
    };
    let chosen = TRAIN + VALIDATION;
    Ok([part(0..TRAIN)?, part(TRAIN..chosen)?, part(chosen..IMAGES)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_what_was_drawn() {
        let parts = fashion(DType::F64).unwrap();
        assert_eq!(parts.each_ref().map(Examples::len), [2000, 400, 1000]);
        let levels: f64 = parts
            .iter()
            .flat_map(|part| part.inputs().unwrap()[0].to_f64_vec())
            .map(|x| (15.0 * x).round())
            .sum();
        // The sum that the script's file has.
        assert_eq!(levels, 2_870_252.0);
        let labels = parts[2].targets().as_slice::<i32>().unwrap().to_vec();
        let count = |class: i32| labels.iter().filter(|label| **label == class).count();
        let counts: Vec<usize> = (0..10).map(count).collect();
        assert_eq!(counts, [90, 94, 108, 106, 93, 104, 117, 90, 94, 104]);
    }
}
