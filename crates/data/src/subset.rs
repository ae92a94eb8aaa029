//! Some of the examples of a data set.

use crate::resample::{pick_per_class, stratified_counts};
use crate::{DataError, Dataset, Sha256, Stream, Targets};
use std::sync::Arc;
use thalweg_array::{Array, DType, Element};

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
        Subset::of_rows(dataset, rows)
    }

    /// Rows that lie within the data set.
    pub(crate) fn of_rows(dataset: Arc<Dataset>, rows: Arc<[usize]>) -> Subset {
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

    /// The label of each example, where each has one.
    pub fn labels(&self) -> Option<Vec<i32>> {
        if let Some(labels) = &self.changed_labels {
            return Some(labels.to_vec());
        }
        let labels = self.dataset.labels()?;
        Some(self.rows.iter().map(|&row| labels[row]).collect())
    }

    /// Number of examples of each class, where each has one.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let mut counts = vec![0; self.n_classes()?];
        self.labels()?.iter().for_each(|&label| counts[label as usize] += 1);
        Some(counts)
    }

    /// The inputs, gathered: `f32` or `f64` `[len, ...]` in the raw scale, or tokens `i32 [len, ...]`.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn inputs(&self) -> Result<Array, DataError> {
        self.dataset.inputs().gather(&self.rows)
    }

    /// The inputs of the examples at positions `range`, as [`Subset::inputs`] but no more of them.
    ///
    /// # Errors
    /// Positions that are none, what cannot be read, no room.
    pub fn input_rows(&self, range: std::ops::Range<usize>) -> Result<Array, DataError> {
        let rows = self.rows.get(range.clone()).ok_or_else(|| DataError::Range {
            what: "a range of positions",
            expected: format!("within 0 to {}", self.len()),
            got: format!("{} to {}", range.start, range.end),
        })?;
        self.dataset.inputs().gather(rows)
    }

    /// Whether the inputs are read when they are asked for, and not at hand.
    pub fn is_stored(&self) -> bool {
        self.dataset.inputs().in_memory().is_none()
    }

    /// The targets, gathered: `i32 [len]` or `[len, positions]` labels or `[len, k]` values.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn targets(&self) -> Result<Targets, DataError> {
        match self.dataset.targets() {
            Targets::Values(values) => Ok(Targets::Values(gather(values, &self.rows)?)),
            Targets::Sequences { labels, n_classes } => {
                let labels = gather(labels, &self.rows)?;
                Ok(Targets::Sequences { labels, n_classes: *n_classes })
            }
            Targets::Classes { n_classes, .. } => {
                let labels = Array::vector(&self.labels().unwrap_or_default());
                Ok(Targets::Classes { labels, n_classes: *n_classes })
            }
        }
    }

    /// The factor of each example's loss, gathered, if the data set has them: `f64 [len]`.
    pub fn example_weights(&self) -> Option<Array> {
        let weights = self.dataset.example_weights()?;
        let own: Vec<f64> = self.rows.iter().map(|&row| weights[row]).collect();
        Some(Array::vector(&own))
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

/// Copies rows of an array of `f32`, `f64` or `i32`.
pub(crate) fn gather(array: &Array, rows: &[usize]) -> Result<Array, DataError> {
    // The usual case, a whole part in its own order, shares the storage.
    if let (Some(&first), Some(&last)) = (rows.first(), rows.last())
        && rows.windows(2).all(|pair| pair[1] == pair[0] + 1)
    {
        return Ok(array.rows(first..last + 1)?);
    }
    let mut shape = array.shape().to_vec();
    shape[0] = rows.len();
    let mut out = Array::try_zeros(array.dtype(), &shape)?;
    match array.dtype() {
        DType::I32 => copy_rows::<i32>(array, rows, &mut out)?,
        DType::F64 => copy_rows::<f64>(array, rows, &mut out)?,
        _ => copy_rows::<f32>(array, rows, &mut out)?,
    }
    Ok(out)
}

fn copy_rows<T: Element>(array: &Array, rows: &[usize], out: &mut Array) -> Result<(), DataError> {
    let row_length = array.shape()[1..].iter().product::<usize>();
    let source = array.as_slice::<T>()?;
    for (to, &row) in out.as_mut_slice::<T>()?.chunks_exact_mut(row_length.max(1)).zip(rows) {
        to.copy_from_slice(&source[row * row_length..][..row_length]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Split, SplitConfig, digits};

    #[test]
    fn subsets_gather_rows_in_order() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        let (inputs, targets) = split.train.batch(&[5, 0]).unwrap();
        assert_eq!(inputs.shape(), [2, 8, 8, 1]);
        let row = split.train.rows()[5];
        assert_eq!(
            inputs.row(0).unwrap(),
            digits().inputs().in_memory().unwrap().row(row).unwrap()
        );
        let Targets::Classes { labels, n_classes: 10 } = targets else { panic!("classes") };
        let labels = labels.as_slice::<i32>().unwrap();
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
