//! The embedded data set: handwritten digits of 8x8 pixels.

use crate::resample::{pick_per_class, stratified_counts};
use crate::{Dataset, Provenance, Stream, find};
use std::sync::{Arc, OnceLock};
use thalweg_array::Array;

const N: usize = 1797;
const PIXELS: usize = 64;
const TEST: usize = 359;

/// 1,797 images of 64 bytes, each 0 to 16, then 1,797 labels.
static BYTES: &[u8; N * (PIXELS + 1)] = include_bytes!("../embedded/digits.bin");

/// The UCI handwritten digits: 1,797 grey images `[8, 8, 1]` of values 0 to 16 in 10 classes, with
/// a fixed stratified test part of 359 (20 %).
///
/// # Source    E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI Machine
/// Learning Repository, 1998, test part; CC BY 4.0
pub fn digits() -> Arc<Dataset> {
    static DIGITS: OnceLock<Arc<Dataset>> = OnceLock::new();
    DIGITS.get_or_init(|| Arc::new(build())).clone()
}

fn build() -> Dataset {
    let (pixels, labels) = BYTES.split_at(N * PIXELS);
    let pixels: Vec<f32> = pixels.iter().map(|&v| f32::from(v)).collect();
    let labels: Vec<i32> = labels.iter().map(|&v| i32::from(v)).collect();
    let provenance = find("digits").map_or_else(Provenance::default, |entry| entry.provenance());
    let mut counts = [0usize; 10];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let rows: Vec<usize> = (0..N).collect();
    // The stream has a name of its own, so that no later change of splitting moves this part.
    let stream = Stream::new(0, "digits/test part, 1");
    let mut test = pick_per_class(&labels, &stratified_counts(&counts, TEST), &rows, &stream);
    test.sort_unstable();
    Array::from_slice(&[N, 8, 8, 1], &pixels)
        .map_err(crate::DataError::from)
        .and_then(|inputs| {
            let labels = Array::vector(&labels);
            Dataset::classification("digits", &inputs, &labels, Some(10), provenance)
        })
        .and_then(|dataset| dataset.with_fixed_parts(Vec::new(), test))
        .expect("the embedded bytes are valid, as the tests show")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sha256, Split, SplitConfig};

    #[test]
    fn the_embedded_digits_are_the_published_ones() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        // Counts of the UCI description of the test part.
        let published = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
        let (train, test) =
            (split.train.class_counts().unwrap(), split.test.class_counts().unwrap());
        for class in 0..10 {
            assert_eq!(train[class] + test[class], published[class]);
            assert!(test[class].abs_diff(published[class] / 5) <= 1);
        }
        let values = digits().inputs().in_memory().unwrap().to_f64_vec();
        assert!(values.iter().all(|v| (0.0..=16.0).contains(v) && v.fract() == 0.0));
        assert_eq!(values[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
        // The sum that scikit-learn's copy has.
        assert_eq!(values.iter().sum::<f64>(), 561718.0);
    }

    #[test]
    fn the_test_part_is_frozen() {
        let mut hash = Sha256::new();
        hash.update_sizes(digits().fixed_test());
        assert_eq!(hash.hex(), "699397248365fdb956dd181dcbced3e4ee89f96e741e33cd6207562d6fecaca2");
        assert_eq!(digits().fixed_test().len(), 359);
        assert_eq!(
            digits().fingerprint(),
            "df32e21a3d61c05b6e7477df0670e204c91ff896f03061c6b60787aba79ae045"
        );
    }
}
