//! The digits of a seed: a long tail to train on, and even parts to choose and to test on.

use super::{BETA, CLASSES, Sizes};
use crate::images::digits;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_nn::class_balanced_weights;
use thalweg_train::Examples;

/// Examples of each class to train on.
pub(super) fn counts(sizes: &Sizes) -> Vec<usize> {
    let [most, least] = sizes.train;
    let share = |class: usize| (least / most).powf(class as f64 / (CLASSES - 1) as f64);
    (0..CLASSES).map(|class| (most * share(class)).round() as usize).collect()
}

/// What one seed has of the digits.
pub(super) struct Parts {
    pub(super) train: Examples,
    /// The same with class-balanced weights.
    pub(super) weighted: Examples,
    pub(super) validation: Examples,
    pub(super) test: Examples,
}

pub(super) fn parts(sizes: &Sizes, seed: u64) -> Result<Parts> {
    let digits = digits()?;
    let order = Stream::new(seed, "papers/long tail").permutation(digits.len());
    let counts = counts(sizes);
    let mut parts: [Vec<usize>; 3] = Default::default();
    for (class, &count) in counts.iter().enumerate() {
        let mut of_class = order.iter().copied().filter(|&i| digits.labels[i] == class as i32);
        for (part, n) in parts.iter_mut().zip([sizes.test, sizes.validation, count]) {
            let before = part.len();
            part.extend(of_class.by_ref().take(n));
            if part.len() != before + n {
                let text = format!("digits: expected {n} more of class {class}");
                return Err(LabError::Input(text));
            }
        }
    }
    let examples = |part: &[usize]| digits.at(part).examples(false, DType::F32);
    let weights = class_balanced_weights(&counts, BETA)?;
    let of = |&i: &usize| weights[digits.labels[i] as usize];
    let each: Vec<f64> = parts[2].iter().map(of).collect();
    let train = examples(&parts[2])?;
    Ok(Parts {
        weighted: train.clone().with_weights(Array::vector(&each).convert(DType::F32))?,
        train,
        validation: examples(&parts[1])?,
        test: examples(&parts[0])?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sizes;
    use super::*;
    use crate::check::Scale;

    #[test]
    fn the_parts_have_a_long_tail_and_share_nothing() {
        let sizes = sizes(Scale::Whole);
        assert_eq!(counts(&sizes), [100, 72, 51, 37, 26, 19, 14, 10, 7, 5]);
        let parts = parts(&sizes, 3).unwrap();
        let counted = |examples: &Examples, class: i32| {
            let labels = examples.targets().as_slice::<i32>().unwrap().to_vec();
            labels.iter().filter(|label| **label == class).count()
        };
        for class in 0..CLASSES {
            let of = [&parts.train, &parts.validation, &parts.test];
            let found = of.map(|examples| counted(examples, class as i32));
            assert_eq!(found, [counts(&sizes)[class], 30, 44]);
        }
        let rows = |examples: &Examples| -> Vec<Vec<u64>> {
            let pixels = examples.inputs().unwrap()[0].to_f64_vec();
            pixels.chunks(64).map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
        };
        let test = rows(&parts.test);
        assert!(rows(&parts.train).iter().all(|row| !test.contains(row)));
        let weights = parts.weighted.weights().unwrap().to_f64_vec();
        assert!(weights[0] < weights[weights.len() - 1]);
    }
}
