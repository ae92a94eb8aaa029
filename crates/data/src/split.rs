//! Parts of a data set, each of its own type.

use crate::resample::apportion;
use crate::{DataError, Dataset, Stream, Subset, Targets};
use std::ops::Deref;
use std::sync::Arc;

macro_rules! part {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Subset);

        impl Deref for $name {
            type Target = Subset;

            fn deref(&self) -> &Subset {
                &self.0
            }
        }

        impl $name {
            /// About `n` examples of this part, see [`Subset::stratified`].
            ///
            /// # Errors
            /// An `n` of zero.
            pub fn subsample(&self, n: usize, stream: &Stream) -> Result<$name, DataError> {
                Ok($name(self.0.stratified(n, stream)?))
            }
        }
    };
}

part! {
    /// Examples to train on.
    Train
}
part! {
    /// Examples to select and tune on.
    Validation
}
part! {
    /// Examples that only a final measurement sees.
    ///
    /// What selects or tunes takes a [`Selectable`], and this is none:
    ///
    /// ```compile_fail
    /// fn tune(on: &impl thalweg_data::Selectable) -> usize { on.subset().len() }
    /// let split = thalweg_data::digits();
    /// let split = thalweg_data::Split::new(split, &thalweg_data::SplitConfig::default()).unwrap();
    /// tune(&split.test);
    /// ```
    ///
    /// while the training part is one:
    ///
    /// ```
    /// fn tune(on: &impl thalweg_data::Selectable) -> usize { on.subset().len() }
    /// let split = thalweg_data::digits();
    /// let split = thalweg_data::Split::new(split, &thalweg_data::SplitConfig::default()).unwrap();
    /// tune(&split.train);
    /// ```
    Test
}

impl Train {
    /// The same examples after a change of the training part.
    pub(crate) fn changed(subset: Subset) -> Train {
        Train(subset)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Train {}
    impl Sealed for super::Validation {}
}

/// A part that selection and tuning may see: [`Train`] or [`Validation`], never [`Test`].
pub trait Selectable: sealed::Sealed {
    /// Its examples.
    fn subset(&self) -> &Subset;
}

impl Selectable for Train {
    fn subset(&self) -> &Subset {
        &self.0
    }
}

impl Selectable for Validation {
    fn subset(&self) -> &Subset {
        &self.0
    }
}

/// How to split a data set that does not bring parts of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitConfig {
    /// Share of all examples for the test part, unless the data set has one of its own.
    pub test_fraction: f64,
    /// Share of the examples outside the test part for the validation part, unless the data set
    /// has one of its own; 0 for none.
    pub validation_fraction: f64,
    /// Seed of the streams `split/test` and `split/validation`.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> SplitConfig {
        SplitConfig { test_fraction: 0.2, validation_fraction: 0.0, seed: 0 }
    }
}

/// A data set cut into parts that share no example.
#[derive(Clone, Debug)]
pub struct Split {
    /// To train on.
    pub train: Train,
    /// To select and tune on, if asked for.
    pub validation: Option<Validation>,
    /// For the final measurement.
    pub test: Test,
}

impl Split {
    /// Splits by the data set's own parts where it has them, else stratified by class; sequences
    /// by their order, the test part last and the validation part before it.
    ///
    /// # Errors
    /// A fraction outside [0, 1), or one so large or small that a part is empty.
    pub fn new(dataset: Arc<Dataset>, config: &SplitConfig) -> Result<Split, DataError> {
        for (what, got, zero) in [
            ("the test fraction", config.test_fraction, dataset.fixed_test().is_empty()),
            ("the validation fraction", config.validation_fraction, false),
        ] {
            let low = if zero { got > 0.0 } else { got >= 0.0 };
            if !low || got.is_nan() || got >= 1.0 {
                let expected = if zero { "between 0 and 1" } else { "at least 0 and below 1" };
                return Err(DataError::Range {
                    what,
                    expected: expected.into(),
                    got: got.to_string(),
                });
            }
        }
        let mut part = vec![0u8; dataset.len()];
        dataset.fixed_validation().iter().for_each(|&row| part[row] = 1);
        dataset.fixed_test().iter().for_each(|&row| part[row] = 2);
        if dataset.fixed_test().is_empty() {
            let stream = Stream::new(config.seed, "split/test");
            cut(&dataset, &mut part, 2, config.test_fraction, &stream)?;
        }
        if dataset.fixed_validation().is_empty() && config.validation_fraction > 0.0 {
            let stream = Stream::new(config.seed, "split/validation");
            cut(&dataset, &mut part, 1, config.validation_fraction, &stream)?;
        }
        let of = |which: u8| {
            let rows = (0..part.len()).filter(|&row| part[row] == which).collect();
            Subset::of_rows(dataset.clone(), rows)
        };
        let validation = of(1);
        Ok(Split {
            train: Train(of(0)),
            validation: (!validation.is_empty()).then_some(Validation(validation)),
            test: Test(of(2)),
        })
    }

    /// Every example in both parts: for a model that was trained elsewhere, which saw none of them
    /// here.
    pub fn whole(dataset: Arc<Dataset>) -> Split {
        let all = Subset::all(dataset);
        Split { train: Train(all.clone()), validation: None, test: Test(all) }
    }
}

/// Marks a share of the rows that are still marked 0: stratified, or the last ones of sequences,
/// since neighbours in a text would tell of each other.
fn cut(
    dataset: &Arc<Dataset>,
    part: &mut [u8],
    mark: u8,
    fraction: f64,
    stream: &Stream,
) -> Result<(), DataError> {
    let free: Arc<[usize]> = (0..part.len()).filter(|&row| part[row] == 0).collect();
    let [n, rest] = apportion(&[fraction, 1.0 - fraction], free.len())[..] else { return Ok(()) };
    if n == 0 || rest == 0 {
        return Err(DataError::Range {
            what: "a split fraction",
            expected: format!("one that leaves examples on both sides of {}", free.len()),
            got: fraction.to_string(),
        });
    }
    if matches!(dataset.targets(), Targets::Sequences { .. }) {
        free[free.len() - n..].iter().for_each(|&row| part[row] = mark);
        return Ok(());
    }
    let rest = Subset::of_rows(dataset.clone(), free);
    rest.stratified(n, stream)?.rows().iter().for_each(|&row| part[row] = mark);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provenance, digits};
    use thalweg_array::{Array, DType};

    #[test]
    fn parts_are_disjoint_stratified_and_cover_everything() {
        let inputs = Array::zeros(DType::F32, &[100, 2]);
        let labels: Vec<i32> = (0..100).map(|i| i32::from(i % 4 == 0)).collect();
        let data = Dataset::classification(
            "quarters",
            &inputs,
            &Array::vector(&labels),
            None,
            Provenance::default(),
        );
        let config = SplitConfig { validation_fraction: 0.25, ..SplitConfig::default() };
        let split = Split::new(Arc::new(data.unwrap()), &config).unwrap();
        let validation = split.validation.unwrap();
        assert_eq!(split.test.class_counts().unwrap(), [15, 5]);
        assert_eq!(validation.class_counts().unwrap(), [15, 5]);
        assert_eq!(split.train.class_counts().unwrap(), [45, 15]);
        let mut rows = [split.train.rows(), validation.rows(), split.test.rows()].concat();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..100));
    }

    #[test]
    fn a_fixed_part_is_kept_whatever_the_seed() {
        let a = Split::new(digits(), &SplitConfig { seed: 1, ..Default::default() }).unwrap();
        let b = Split::new(digits(), &SplitConfig { seed: 2, ..Default::default() }).unwrap();
        assert_eq!(a.test.rows(), b.test.rows());
        assert_eq!(a.test.rows(), digits().fixed_test());
    }

    #[test]
    fn fractions_are_checked() {
        let inputs = Array::zeros(DType::F32, &[4, 2]);
        let values = Array::zeros(DType::F32, &[4]);
        let data = Dataset::regression("four", &inputs, &values, Provenance::default()).unwrap();
        let data = Arc::new(data);
        for test_fraction in [0.0, 1.0, -0.5, f64::NAN, 0.01, 0.99] {
            let config = SplitConfig { test_fraction, ..Default::default() };
            assert!(Split::new(data.clone(), &config).is_err(), "{test_fraction}");
        }
        let split = Split::new(data, &SplitConfig { test_fraction: 0.5, ..Default::default() });
        assert_eq!(split.unwrap().test.len(), 2);
    }
}
