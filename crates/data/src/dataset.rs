//! The data set as a validated value.

use crate::checks::{check_count, check_inputs, check_labels, finite};
use crate::{DataError, Inputs};
use std::sync::OnceLock;
use thalweg_array::{Array, DType};

/// Where data come from and on what terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The official source, or the file that was read.
    pub source: String,
    /// The licence; empty if none was stated.
    pub license: String,
    /// How to cite the data; empty if nothing was stated.
    pub citation: String,
    /// What the raw input values are, as `grey values 0 to 255`.
    pub scale: String,
}

/// What is to be predicted, one row an example.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Class labels.
    Classes {
        /// `i32 [n]`, each from 0 to `n_classes - 1`.
        labels: Array,
        /// Number of classes.
        n_classes: usize,
    },
    /// Class labels, one for each position of an example.
    Sequences {
        /// `i32 [n, positions]`, each from 0 to `n_classes - 1`.
        labels: Array,
        /// Number of classes.
        n_classes: usize,
    },
    /// Real values, `f32 [n, k]`, or `f64` where single precision would change one.
    Values(Array),
}

/// Examples with their targets.
///
/// Inputs are `f32` (`f64` where single precision would change one) in the raw scale that [`Provenance::scale`] states: images as
/// `[n, height, width, channels]`, features as `[n, d]`; or `i32` tokens, `[n, positions]`. A data
/// set that comes with a test or
/// validation part of its own records which rows they are.
///
/// # Example
/// ```
/// use thalweg_array::Array;
/// use thalweg_data::{Dataset, Provenance};
/// let inputs = Array::from_slice(&[3, 2], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let labels = Array::vector(&[0i32, 1, 0]);
/// let data = Dataset::classification("tiny", &inputs, &labels, None, Provenance::default())?;
/// assert_eq!((data.len(), data.n_classes()), (3, Some(2)));
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    inputs: Inputs,
    targets: Targets,
    provenance: Provenance,
    fixed_validation: Vec<usize>,
    fixed_test: Vec<usize>,
    example_weights: Option<Vec<f64>>,
    class_names: Vec<String>,
    notes: Vec<String>,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// A data set for classification.
    ///
    /// `labels` is of any integer type and of shape `[n]` or `[n, 1]`. Without `n_classes` the
    /// classes are counted, and each from 0 to the largest label must occur.
    ///
    /// # Errors
    /// Wrong shapes, unequal counts, inputs that are not finite, labels that are no whole numbers
    /// or out of range.
    pub fn classification(
        name: &str,
        inputs: impl Into<Inputs>,
        labels: &Array,
        n_classes: Option<usize>,
        provenance: Provenance,
    ) -> Result<Dataset, DataError> {
        let inputs = check_inputs(inputs.into())?;
        let n = inputs.shape()[0];
        if !matches!(labels.shape(), [_] | [_, 1]) {
            let got = labels.shape().to_vec();
            return Err(DataError::TargetShape { expected: "[n] for class labels", got });
        }
        check_count(n, labels)?;
        if !labels.dtype().is_integer() && labels.dtype() != DType::Bool {
            return Err(DataError::LabelType { got: labels.dtype() });
        }
        let labels = labels.convert(DType::I64);
        let n_classes = check_labels(labels.as_slice::<i64>()?, n_classes)?;
        let labels = labels.convert(DType::I32).reshape(&[n])?;
        let targets = Targets::Classes { labels, n_classes };
        Ok(Dataset::unchecked(name, inputs, targets, provenance))
    }

    /// A data set for regression; `values` is of shape `[n]` or `[n, k]`.
    ///
    /// # Errors
    /// Wrong shapes, unequal counts, inputs or values that are not finite.
    pub fn regression(
        name: &str,
        inputs: impl Into<Inputs>,
        values: &Array,
        provenance: Provenance,
    ) -> Result<Dataset, DataError> {
        let inputs = check_inputs(inputs.into())?;
        let n = inputs.shape()[0];
        check_count(n, values)?;
        let shape = match values.shape() {
            [n] => [*n, 1],
            [n, k] => [*n, *k],
            got => {
                let expected = "[n] or [n, k] for real values";
                return Err(DataError::TargetShape { expected, got: got.to_vec() });
            }
        };
        let values = finite("targets", &values.reshape(&shape)?)?;
        Ok(Dataset::unchecked(name, inputs, Targets::Values(values), provenance))
    }

    pub(crate) fn unchecked(
        name: &str,
        inputs: Inputs,
        targets: Targets,
        provenance: Provenance,
    ) -> Dataset {
        Dataset {
            name: name.to_string(),
            inputs,
            targets,
            provenance,
            fixed_validation: Vec::new(),
            fixed_test: Vec::new(),
            example_weights: None,
            class_names: Vec::new(),
            notes: Vec::new(),
            fingerprint: OnceLock::new(),
        }
    }

    /// The same data with other inputs, one for each example.
    pub(crate) fn with_inputs(mut self, inputs: Array) -> Dataset {
        debug_assert_eq!(inputs.shape().first(), self.inputs.shape().first());
        self.inputs = Inputs::Memory(inputs);
        self.fingerprint = OnceLock::new();
        self
    }

    /// The same data with the names of the classes, in the order of the labels.
    ///
    /// # Errors
    /// Names that are not one for each class.
    pub fn with_class_names(mut self, names: Vec<String>) -> Result<Dataset, DataError> {
        if self.n_classes() != Some(names.len()) {
            return Err(DataError::Mismatch {
                what: "the list of class names",
                expected: match self.n_classes() {
                    Some(n) => format!("one for each of {n} classes"),
                    None => "none, since there are no classes".into(),
                },
                got: vec![names.len()],
            });
        }
        self.class_names = names;
        Ok(self)
    }

    /// The same data with a factor of each example's loss, `[n]`.
    ///
    /// # Errors
    /// Another number of weights, one that is negative or not finite, weights that are all zero.
    pub fn with_example_weights(mut self, weights: &Array) -> Result<Dataset, DataError> {
        check_count(self.len(), weights)?;
        if weights.len() != self.len() {
            let (what, got) = ("the example weights", weights.shape().to_vec());
            return Err(DataError::Mismatch { what, expected: "[n]".into(), got });
        }
        let values = weights.to_f64_vec();
        let usable = |weight: &f64| *weight >= 0.0 && weight.is_finite();
        if let Some(row) = values.iter().position(|weight| !usable(weight)) {
            return Err(DataError::Range {
                what: "an example weight",
                expected: format!("at least 0 and finite in row {row}"),
                got: values[row].to_string(),
            });
        }
        if values.iter().all(|&weight| weight == 0.0) {
            let (what, expected) = ("the example weights", "one above 0".to_owned());
            return Err(DataError::Range { what, expected, got: "0 everywhere".into() });
        }
        self.example_weights = Some(values);
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// The factor of each example's loss, if they differ.
    pub fn example_weights(&self) -> Option<&[f64]> {
        self.example_weights.as_deref()
    }

    /// The same data with a sentence about them that whoever uses them should know.
    pub fn with_note(mut self, note: impl Into<String>) -> Dataset {
        self.notes.push(note.into());
        self
    }

    /// The same data with the rows of its own validation and test parts (either may be empty).
    ///
    /// # Errors
    /// A row out of range or named twice, or no row left to train on.
    pub fn with_fixed_parts(
        mut self,
        validation: Vec<usize>,
        test: Vec<usize>,
    ) -> Result<Dataset, DataError> {
        let mut taken = vec![false; self.len()];
        for &row in validation.iter().chain(&test) {
            if taken.get(row) != Some(&false) {
                return Err(DataError::Range {
                    what: "a row of a fixed validation or test part",
                    expected: format!("each row below {} at most once", self.len()),
                    got: row.to_string(),
                });
            }
            taken[row] = true;
        }
        if taken.iter().all(|&row| row) {
            return Err(DataError::Empty { what: "the training part", shape: vec![0] });
        }
        self.fixed_validation = validation;
        self.fixed_test = test;
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// The name it is known by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of examples, those of fixed parts included.
    pub fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    /// Always false: a data set without examples is refused when it is made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All inputs, `f32 [n, height, width, channels]` or `[n, d]`, in the raw scale, or tokens
    /// `i32 [n, positions]`; in memory or stored.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The shape of one example: `[height, width, channels]`, `[d]` or `[positions]`.
    pub fn example_shape(&self) -> &[usize] {
        &self.inputs.shape()[1..]
    }

    /// All targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Number of classes, for classification.
    pub fn n_classes(&self) -> Option<usize> {
        match &self.targets {
            Targets::Classes { n_classes, .. } | Targets::Sequences { n_classes, .. } => {
                Some(*n_classes)
            }
            Targets::Values(_) => None,
        }
    }

    /// All labels, where each example has one.
    pub fn labels(&self) -> Option<&[i32]> {
        match &self.targets {
            Targets::Classes { labels, .. } => labels.as_slice::<i32>().ok(),
            Targets::Sequences { .. } | Targets::Values(_) => None,
        }
    }

    /// Source, licence, citation and scale.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The names of the classes, in the order of the labels; empty if they have none.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// What was noticed when the data were read, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Rows of the data set's own validation part.
    pub fn fixed_validation(&self) -> &[usize] {
        &self.fixed_validation
    }

    /// Rows of the data set's own test part.
    pub fn fixed_test(&self) -> &[usize] {
        &self.fixed_test
    }

    /// SHA-256, in hexadecimal, of types, shapes and bytes of inputs and targets, the number of
    /// classes and the rows of the fixed parts. Name and provenance do not count.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut hash = self.inputs.hash();
            match &self.targets {
                Targets::Classes { labels, n_classes }
                | Targets::Sequences { labels, n_classes } => {
                    hash.update_array(labels);
                    hash.update_sizes(&[*n_classes]);
                }
                Targets::Values(values) => hash.update_array(values),
            }
            if let Some(weights) = &self.example_weights {
                hash.update_array(&Array::vector(weights));
            }
            hash.update_sizes(&self.fixed_validation);
            hash.update_sizes(&self.fixed_test);
            hash.hex()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(labels: &Array, n_classes: Option<usize>) -> Result<Dataset, DataError> {
        let inputs = Array::from_slice(&[3, 2], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        Dataset::classification("tiny", &inputs, labels, n_classes, Provenance::default())
    }

    #[test]
    fn wrong_data_get_one_sentence() {
        let message = |labels: &Array, n| tiny(labels, n).unwrap_err().to_string();
        assert_eq!(
            message(&Array::vector(&[0i32, 1]), None),
            "3 inputs but 2 targets: expected one target for each input"
        );
        assert_eq!(
            message(&Array::vector(&[0i64, 12, 1]), Some(10)),
            "labels: row 1 is 12, expected a whole number from 0 to 9"
        );
        assert_eq!(
            message(&Array::vector(&[10i64, 12, 1]), Some(10)),
            "labels: row 0 is 10, expected a whole number from 0 to 9 (also row 1)"
        );
        assert_eq!(
            message(&Array::vector(&[-3i32, 1, -1]), None),
            "labels: row 0 is -3, expected whole numbers counted from 0 (also row 2)"
        );
        assert_eq!(
            message(&Array::vector(&[0i32, 1, -1]), None),
            "labels: row 2 is -1, expected whole numbers counted from 0"
        );
        assert_eq!(
            message(&Array::vector(&[1i32, 2, 1]), None),
            "labels run to 2 but no example has label 0: expected every class from 0"
        );
        assert_eq!(
            message(&Array::vector(&[0i64, i64::MAX, 1]), None),
            "labels run to 9223372036854775807 but no example has label 2: expected every class \
             from 0"
        );
        assert_eq!(
            message(&Array::vector(&[0f32, 1.0, 2.0]), None),
            "labels are f32, expected an integer type"
        );
        assert_eq!(
            message(&Array::zeros(DType::I32, &[3, 2]), None),
            "targets of shape [3, 2]: expected [n] for class labels"
        );
    }

    #[test]
    fn numbers_that_are_not_finite_are_named_by_row() {
        let labels = Array::vector(&[0i32, 1]);
        let make = |values: &[f64]| {
            let inputs = Array::from_slice(&[2, 3], values).unwrap();
            Dataset::classification("bad", &inputs, &labels, None, Provenance::default())
        };
        assert_eq!(
            make(&[0.0, 0.0, 0.0, 0.0, f64::NAN, 0.0]).unwrap_err().to_string(),
            "inputs: row 1 holds NaN at element 1, expected finite numbers"
        );
        assert_eq!(
            make(&[0.0, 0.0, 1e300, 0.0, 0.0, 0.0]).unwrap_err().to_string(),
            format!("inputs: row 0 holds {} at element 2, expected finite numbers", 1e300)
        );
        let bad = make(&[f64::NAN, 0.0, f64::NAN, f64::INFINITY, 0.0, 0.0]).unwrap_err();
        assert_eq!(
            bad.to_string(),
            "inputs: row 0 holds NaN at element 0, expected finite numbers (also row 1)"
        );
        let inputs = Array::zeros(DType::F32, &[2, 2]);
        let values = Array::vector(&[1f32, f32::INFINITY]);
        let bad = Dataset::regression("bad", &inputs, &values, Provenance::default());
        assert!(matches!(bad, Err(DataError::NotFinite { what: "targets", row: 1, .. })));
    }

    #[test]
    fn classes_have_names_or_none() {
        let data = tiny(&Array::vector(&[0i32, 1, 1]), None).unwrap();
        assert!(data.class_names().is_empty());
        let names = |n: usize| (0..n).map(|i| format!("class {i}")).collect::<Vec<_>>();
        let named = data.clone().with_class_names(names(2)).unwrap();
        assert_eq!(named.class_names(), names(2));
        assert_eq!(named.fingerprint(), data.fingerprint());
        assert!(data.with_class_names(names(3)).is_err());
        let inputs = Array::zeros(DType::F32, &[2, 2]);
        let values = Array::zeros(DType::F32, &[2]);
        let values = Dataset::regression("r", &inputs, &values, Provenance::default()).unwrap();
        assert!(values.with_class_names(names(2)).is_err());
    }

    #[test]
    fn shapes_are_checked() {
        let labels = Array::vector(&[0i32, 1]);
        for shape in [vec![2], vec![2, 3, 4], vec![2, 1, 1, 1, 1], vec![]] {
            let inputs = Array::zeros(DType::F32, &shape);
            let bad = Dataset::classification("x", &inputs, &labels, None, Provenance::default());
            assert!(matches!(bad, Err(DataError::InputShape { .. })), "{shape:?}");
        }
        for shape in [[0, 3], [2, 0]] {
            let inputs = Array::zeros(DType::F32, &shape);
            let bad = Dataset::classification("x", &inputs, &labels, None, Provenance::default());
            assert!(matches!(bad, Err(DataError::Empty { .. })), "{shape:?}");
        }
    }

    #[test]
    fn the_fingerprint_sees_every_part() {
        let base = tiny(&Array::vector(&[0i32, 1, 1]), None).unwrap();
        let wider = tiny(&Array::vector(&[0u32, 1, 1]), Some(3)).unwrap();
        let other = tiny(&Array::vector(&[0i32, 1, 0]), None).unwrap();
        let parted = base.clone().with_fixed_parts(vec![], vec![2]).unwrap();
        let validated = base.clone().with_fixed_parts(vec![2], vec![]).unwrap();
        let all = [&base, &wider, &other, &parted, &validated].map(|d| d.fingerprint());
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        let again = tiny(&Array::vector(&[0i64, 1, 1]), None).unwrap();
        assert_eq!(again.fingerprint(), base.fingerprint());
        assert!(base.clone().with_fixed_parts(vec![1], vec![1]).is_err());
        assert!(base.with_fixed_parts(vec![], vec![0, 1, 2]).is_err());
    }
}
