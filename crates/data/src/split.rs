//! Parts of a data set, each of its own type.

use crate::resample::{apportion, pick_per_class, stratified_counts};
use crate::{DataError, Dataset, Sha256, Stream, Targets, TargetsRef};
use std::ops::Deref;
use std::sync::Arc;
use thalweg_array::{Array, DType};

/// Some rows of a data set, in a stated order, with labels that may have been changed.
#[derive(Clone, Debug)]
pub struct Subset {
    dataset: Arc<Dataset>,
    rows: Arc<[usize]>,
    /// Labels in the order of `rows`, where they are no longer those of the data set.
    changed_labels: Option<Arc<[i32]>>,
}

impl Subset {
    /// Every row of a data set.
    pub fn all(dataset: Arc<Dataset>) -> Subset {
        let rows = (0..dataset.len()).collect();
        Subset { dataset, rows, changed_labels: None }
    }

    /// The data set that the rows are of.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The rows, in order.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of classes, for classification.
    pub fn n_classes(&self) -> Option<usize> {
        self.dataset.n_classes()
    }

    /// The label of each example, for classification.
    pub fn labels(&self) -> Option<Vec<i32>> {
        if let Some(labels) = &self.changed_labels {
            return Some(labels.to_vec());
        }
        let labels = self.dataset.labels()?;
        Some(self.rows.iter().map(|&row| labels[row]).collect())
    }

    /// Number of examples of each class, for classification.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let mut counts = vec![0; self.n_classes()?];
        self.labels()?.iter().for_each(|&label| counts[label as usize] += 1);
        Some(counts)
    }

    /// The inputs, gathered: `f32 [len, ...]` in the raw scale.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn inputs(&self) -> Result<Array, DataError> {
        gather(self.dataset.inputs(), &self.rows)
    }

    /// The targets, gathered: `i32 [len]` labels or `f32 [len, k]` values.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn targets(&self) -> Result<Targets, DataError> {
        match self.dataset.targets() {
            Targets::Values(values) => Ok(Targets::Values(gather(values, &self.rows)?)),
            Targets::Classes { n_classes, .. } => {
                let labels = Array::vector(&self.labels().unwrap_or_default());
                Ok(Targets::Classes { labels, n_classes: *n_classes })
            }
        }
    }

    /// The examples at positions of this subset, as inputs and targets.
    ///
    /// # Errors
    /// A position that is negative or not below the number of examples.
    pub fn batch(&self, positions: &[i32]) -> Result<(Array, Targets), DataError> {
        let part = self.at_positions(positions.iter().map(|&p| i64::from(p)))?;
        Ok((part.inputs()?, part.targets()?))
    }

    fn at_positions(&self, positions: impl Iterator<Item = i64>) -> Result<Subset, DataError> {
        let mut kept = Vec::new();
        for position in positions {
            kept.push(usize::try_from(position).ok().filter(|&p| p < self.len()).ok_or_else(
                || DataError::Range {
                    what: "a position in a batch",
                    expected: format!("0 to {}", self.len().saturating_sub(1)),
                    got: position.to_string(),
                },
            )?);
        }
        Ok(self.keep(&kept))
    }

    /// The examples at these positions, which lie within the subset.
    pub(crate) fn keep(&self, positions: &[usize]) -> Subset {
        Subset {
            dataset: self.dataset.clone(),
            rows: positions.iter().map(|&p| self.rows[p]).collect(),
            changed_labels: (self.changed_labels.as_ref())
                .map(|labels| positions.iter().map(|&p| labels[p]).collect()),
        }
    }

    /// The same examples under other labels, one for each.
    pub(crate) fn relabel(&self, labels: Vec<i32>) -> Subset {
        Subset { changed_labels: Some(labels.into()), ..self.clone() }
    }

    /// About `n` examples with the class proportions of this subset, in its own order: exactly
    /// `n`, or all of them if there are no more. Without classes, `n` at random.
    ///
    /// A smaller `n` of the same stream does not draw other examples, except where rounding moves
    /// one between classes.
    ///
    /// # Errors
    /// An `n` of zero.
    pub fn stratified(&self, n: usize, stream: &Stream) -> Result<Subset, DataError> {
        if n == 0 {
            let (expected, got) = ("at least 1".to_string(), "0".to_string());
            return Err(DataError::Range { what: "the size of a subset", expected, got });
        }
        let n = n.min(self.len());
        let mut kept = match self.class_counts() {
            Some(counts) => {
                let labels = self.labels().unwrap_or_default();
                pick_per_class(&labels, &stratified_counts(&counts, n), &self.rows, stream)
            }
            None => stream.permutation(self.len())[..n].to_vec(),
        };
        kept.sort_unstable();
        Ok(self.keep(&kept))
    }

    /// SHA-256, in hexadecimal, of the data set's fingerprint, the rows and the labels if they
    /// were changed.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.dataset.fingerprint().as_bytes());
        hash.update_sizes(&self.rows);
        if let Some(labels) = &self.changed_labels {
            hash.update_array(&Array::vector(labels));
        }
        hash.hex()
    }
}

/// Copies rows of an `f32` array.
fn gather(array: &Array, rows: &[usize]) -> Result<Array, DataError> {
    // The usual case, a whole part in its own order, shares the storage.
    if let (Some(&first), Some(&last)) = (rows.first(), rows.last())
        && rows.windows(2).all(|pair| pair[1] == pair[0] + 1)
    {
        return Ok(array.rows(first..last + 1)?);
    }
    let mut shape = array.shape().to_vec();
    shape[0] = rows.len();
    let row_length = array.shape()[1..].iter().product::<usize>();
    let mut out = Array::try_zeros(DType::F32, &shape)?;
    let source = array.as_slice::<f32>()?;
    for (to, &row) in out.as_mut_slice::<f32>()?.chunks_exact_mut(row_length.max(1)).zip(rows) {
        to.copy_from_slice(&source[row * row_length..][..row_length]);
    }
    Ok(out)
}

impl Targets {
    /// The targets as a slice.
    pub fn view(&self) -> Result<TargetsRef<'_>, DataError> {
        Ok(match self {
            Targets::Classes { labels, n_classes } => {
                TargetsRef::Classes(labels.as_slice::<i32>()?, *n_classes)
            }
            Targets::Values(values) => {
                TargetsRef::Values(values.as_slice::<f32>()?, values.shape()[1])
            }
        })
    }
}

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
    /// Splits by the data set's own parts where it has them, else stratified by class.
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
        let of = |which: u8| Subset {
            dataset: dataset.clone(),
            rows: (0..part.len()).filter(|&row| part[row] == which).collect(),
            changed_labels: None,
        };
        let validation = of(1);
        Ok(Split {
            train: Train(of(0)),
            validation: (!validation.is_empty()).then_some(Validation(validation)),
            test: Test(of(2)),
        })
    }
}

/// Marks a stratified share of the rows that are still marked 0.
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
    let rest = Subset { dataset: dataset.clone(), rows: free, changed_labels: None };
    rest.stratified(n, stream)?.rows().iter().for_each(|&row| part[row] = mark);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provenance, digits};

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

    #[test]
    fn subsets_gather_rows_in_order() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        let (inputs, targets) = split.train.batch(&[5, 0]).unwrap();
        assert_eq!(inputs.shape(), [2, 8, 8, 1]);
        let row = split.train.rows()[5];
        assert_eq!(inputs.row(0).unwrap(), digits().inputs().row(row).unwrap());
        let TargetsRef::Classes(labels, 10) = targets.view().unwrap() else { panic!("classes") };
        assert_eq!(labels[0], digits().labels().unwrap()[row]);
        assert!(split.train.batch(&[-1]).is_err());
        assert!(split.train.batch(&[split.train.len() as i32]).is_err());
    }

    #[test]
    fn a_stratified_subset_keeps_proportions_and_order() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        let stream = Stream::new(0, "subset");
        let some = split.train.subsample(512, &stream).unwrap();
        assert_eq!(some.len(), 512);
        assert!(some.rows().is_sorted());
        let all = split.train.class_counts().unwrap();
        for (part, whole) in some.class_counts().unwrap().iter().zip(all) {
            let exact = whole as f64 * 512.0 / split.train.len() as f64;
            assert!((*part as f64 - exact).abs() < 1.0);
        }
        assert_eq!(split.train.subsample(10_000, &stream).unwrap().len(), split.train.len());
        assert!(split.train.subsample(0, &stream).is_err());
        assert_ne!(some.fingerprint(), split.train.fingerprint());
    }
}
