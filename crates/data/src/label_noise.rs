//! Wrong labels on purpose.

use crate::{DataError, Stream, Train};

impl Train {
    /// Symmetric label noise: `round(fraction * n)` examples, chosen at random, get another class
    /// than their own, every other class equally likely.
    ///
    /// The draws are keyed by the row in the data set, so that an example's wrong label is the
    /// same in every subset that holds it.
    ///
    /// # Errors
    /// Not one class label an example, fewer than two classes, or a fraction outside [0, 1].
    pub fn with_label_noise(&self, fraction: f64, stream: &Stream) -> Result<Train, DataError> {
        let (Some(n_classes @ 2..), Some(mut labels)) = (self.n_classes(), self.labels()) else {
            let dataset = self.dataset().name().to_string();
            return Err(DataError::NeedsClasses { what: "label noise", dataset });
        };
        if !(0.0..=1.0).contains(&fraction) {
            return Err(DataError::Range {
                what: "the fraction of wrong labels",
                expected: "0 to 1".into(),
                got: fraction.to_string(),
            });
        }
        let n_wrong = libm::round(fraction * labels.len() as f64) as usize;
        let (chosen, class) = (stream.child("chosen"), stream.child("class"));
        let mut order: Vec<(u64, usize)> =
            self.rows().iter().enumerate().map(|(p, &row)| (chosen.u64(row as u64), p)).collect();
        order.sort_unstable();
        for &(_, position) in &order[..n_wrong] {
            let row = self.rows()[position] as u64;
            let step = 1 + class.below(row, n_classes as u64 - 1);
            let wrong = (labels[position] as u64 + step) % n_classes as u64;
            labels[position] = wrong as i32;
        }
        Ok(Train::changed(self.relabel(labels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Split, SplitConfig, digits};

    #[test]
    fn the_stated_number_of_labels_is_wrong() {
        let train = Split::new(digits(), &SplitConfig::default()).unwrap().train;
        let clean = train.labels().unwrap();
        let stream = Stream::new(3, "label noise");
        for fraction in [0.0, 0.4, 1.0] {
            let noisy = train.with_label_noise(fraction, &stream).unwrap();
            let labels = noisy.labels().unwrap();
            let wrong = clean.iter().zip(&labels).filter(|(a, b)| a != b).count();
            assert_eq!(wrong, (fraction * clean.len() as f64).round() as usize);
            assert!(labels.iter().all(|l| (0..10).contains(l)));
            assert_eq!(noisy.subsample(100, &stream).unwrap().len(), 100);
        }
        assert!(train.with_label_noise(1.1, &stream).is_err());
        assert!(train.with_label_noise(f64::NAN, &stream).is_err());
    }

    #[test]
    fn a_wrong_label_is_the_same_in_a_subset() {
        let train = Split::new(digits(), &SplitConfig::default()).unwrap().train;
        let stream = Stream::new(3, "label noise");
        let whole = train.with_label_noise(1.0, &stream).unwrap();
        let part = train.subsample(50, &stream).unwrap().with_label_noise(1.0, &stream).unwrap();
        let labels = whole.labels().unwrap();
        for (row, label) in part.rows().iter().zip(part.labels().unwrap()) {
            let at = whole.rows().iter().position(|r| r == row).unwrap();
            assert_eq!(labels[at], label);
        }
    }
}
