//! Sequences of tokens, each of which is to be told from those before it.

use crate::checks::{check_classes, check_inputs};
use crate::{DataError, Dataset, Inputs, Provenance, Targets};
use thalweg_array::{Array, DType};

impl Dataset {
    /// A data set for predicting the next token: of each window of `context + 1` tokens the first
    /// `context` are the input and the last `context` the labels.
    ///
    /// Windows are in the order in which they stand in their source: a split takes the test part
    /// from the end, so that it is one stretch that no training window reaches into.
    ///
    /// # Shapes    windows `i32 [n, context + 1]` -> inputs and labels `i32 [n, context]`
    /// # Errors
    /// Another type or shape, no windows, windows of fewer than two tokens, a token that is not
    /// below `n_tokens`.
    ///
    /// # Example
    /// ```
    /// use thalweg_array::Array;
    /// use thalweg_data::{Dataset, Provenance};
    /// let windows = Array::from_slice(&[2, 4], &[0i32, 1, 2, 0, 1, 2, 0, 1])?;
    /// let data = Dataset::sequences("cycle", &windows, 3, Provenance::default())?;
    /// assert_eq!((data.len(), data.example_shape(), data.n_classes()), (2, &[3][..], Some(3)));
    /// # Ok::<(), thalweg_data::DataError>(())
    /// ```
    pub fn sequences(
        name: &str,
        windows: &Array,
        n_tokens: usize,
        provenance: Provenance,
    ) -> Result<Dataset, DataError> {
        if windows.dtype() != DType::I32 {
            return Err(DataError::LabelType { got: windows.dtype() });
        }
        let [n, length] = *windows.shape() else {
            let (expected, got) = ("[n, context + 1] of tokens".into(), windows.shape().to_vec());
            return Err(DataError::Mismatch { what: "the array of windows", expected, got });
        };
        if n == 0 || length < 2 {
            let shape = windows.shape().to_vec();
            return Err(DataError::Empty { what: "the array of windows", shape });
        }
        let tokens = windows.as_slice::<i32>()?;
        let known = |token: i32| usize::try_from(token).is_ok_and(|token| token < n_tokens);
        if let Some(at) = tokens.iter().position(|&token| !known(token)) {
            let (row, label) = (at / length, i64::from(tokens[at]));
            let faulty = (at..tokens.len()).filter(|&at| !known(tokens[at]));
            let rows = faulty.map(|at| at / length).collect();
            return Err(DataError::Label { row, rows, label, n_classes: n_tokens });
        }
        let part = |skip: usize| -> Result<Array, DataError> {
            let rows = tokens.chunks_exact(length);
            let part: Vec<i32> = rows.flat_map(|row| &row[skip..][..length - 1]).copied().collect();
            Ok(Array::from_slice(&[n, length - 1], &part)?)
        };
        let targets = Targets::Sequences { labels: part(1)?, n_classes: n_tokens };
        Ok(Dataset::unchecked(name, part(0)?.into(), targets, provenance))
    }

    /// A data set of tokens with a label for each of them.
    ///
    /// `labels` is of any integer type. Without `n_classes` there is a class for each number up to
    /// the largest label, whether it occurs or not.
    ///
    /// # Shapes    inputs and labels `[n, positions]`
    /// # Errors
    /// Shapes that differ, inputs that are no whole numbers from 0 on, labels that are none or out
    /// of range.
    pub fn labelled_tokens(
        name: &str,
        inputs: impl Into<Inputs>,
        labels: &Array,
        n_classes: Option<usize>,
        provenance: Provenance,
    ) -> Result<Dataset, DataError> {
        let inputs = check_inputs(inputs.into())?;
        if inputs.shape() != labels.shape() || labels.rank() != 2 {
            let got = labels.shape().to_vec();
            return Err(DataError::TargetShape { expected: "that of the tokens", got });
        }
        if labels.dtype().is_float() {
            return Err(DataError::LabelType { got: labels.dtype() });
        }
        let wide = labels.convert(DType::I64);
        let largest = wide.as_slice::<i64>()?.iter().copied().max().unwrap_or(0);
        let counted = usize::try_from(largest).map_or(1, |largest| largest.saturating_add(1));
        let n_classes = n_classes.unwrap_or(counted);
        // The largest and the least stand for those that `i32` cannot hold: none is a class.
        let narrow = |&label: &i64| label.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let narrowed: Vec<i32> = wide.as_slice::<i64>()?.iter().map(narrow).collect();
        let labels = Array::from_slice(labels.shape(), &narrowed)?;
        check_classes(&labels, n_classes)?;
        let targets = Targets::Sequences { labels, n_classes };
        Dataset::unchecked(name, inputs, targets, provenance).with_token_inputs()
    }

    /// The same data with inputs that are tokens, for a model that looks them up.
    ///
    /// # Errors
    /// An input that is no whole number from 0 on.
    pub fn with_token_inputs(self) -> Result<Dataset, DataError> {
        if self.is_tokens() {
            return Ok(self);
        }
        let length = self.example_shape().iter().product::<usize>().max(1);
        let whole =
            |value: f64| (0.0..=f64::from(i32::MAX)).contains(&value) && value.fract() == 0.0;
        let mut tokens: Vec<i32> = Vec::new();
        self.inputs().visit_all(|block| {
            let values = block.to_f64_vec();
            if let Some(at) = values.iter().position(|&value| !whole(value)) {
                let row = (tokens.len() + at) / length;
                return Err(DataError::Token { row, value: values[at].to_string() });
            }
            tokens.extend(values.iter().map(|&value| value as i32));
            Ok(())
        })?;
        let inputs = Array::from_slice(self.inputs().shape(), &tokens)?;
        Ok(self.with_inputs(inputs))
    }

    /// Whether inputs are tokens and not numbers.
    pub fn is_tokens(&self) -> bool {
        self.inputs().dtype() == DType::I32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Normalization, Split, SplitConfig, Stream};
    use std::sync::Arc;

    fn counting(n: usize, context: usize) -> Dataset {
        let tokens: Vec<i32> = (0..n * (context + 1)).map(|i| i as i32).collect();
        let windows = Array::from_slice(&[n, context + 1], &tokens).unwrap();
        Dataset::sequences("counting", &windows, tokens.len(), Provenance::default()).unwrap()
    }

    #[test]
    fn tokens_with_labels_of_their_own() {
        let tokens = Array::from_slice(&[2, 2], &[0f32, 5.0, 3.0, 2.0]).unwrap();
        let found = |labels: &[i64], n_classes| {
            let labels = Array::from_slice(&[2, 2], labels).unwrap();
            Dataset::labelled_tokens(
                "tagged",
                tokens.clone(),
                &labels,
                n_classes,
                Provenance::default(),
            )
        };
        let data = found(&[0, 1, 3, 0], None).unwrap();
        assert!(data.is_tokens());
        let expected = Array::from_slice(&[2, 2], &[0i32, 1, 3, 0]).unwrap();
        assert_eq!(data.targets(), &Targets::Sequences { labels: expected, n_classes: 4 });
        let message = |labels: &[i64], n| found(labels, n).unwrap_err().to_string();
        assert!(
            message(&[0, 1, 3, 0], Some(3))
                .contains("row 1 is 3, expected a whole number from 0 to 2")
        );
        assert!(message(&[0, -1, 3, 0], None).contains("row 0 is -1"));
        assert!(message(&[0, 1 << 40, 3, 0], Some(9)).contains("row 0"));
    }

    #[test]
    fn labels_are_the_tokens_that_follow() {
        let data = counting(3, 4);
        assert_eq!(
            data.inputs().in_memory().unwrap().as_slice::<i32>().unwrap()[..5],
            [0, 1, 2, 3, 5]
        );
        let Targets::Sequences { labels, .. } = data.targets() else { panic!("sequences") };
        assert_eq!(labels.as_slice::<i32>().unwrap()[..5], [1, 2, 3, 4, 6]);
        assert_eq!(data.labels(), None);
    }

    #[test]
    fn the_test_part_is_one_stretch_that_shares_no_token() {
        let config = SplitConfig { validation_fraction: 0.25, seed: 5, ..SplitConfig::default() };
        let split = Split::new(Arc::new(counting(10, 4)), &config).unwrap();
        assert_eq!(split.train.rows(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(split.validation.unwrap().rows(), [6, 7]);
        assert_eq!(split.test.rows(), [8, 9]);
        // Every token of this source is another one.
        let Targets::Sequences { labels, .. } = split.train.targets().unwrap() else {
            panic!("sequences")
        };
        let last = labels.as_slice::<i32>().unwrap().iter().max().copied();
        let first = split.test.inputs().unwrap().as_slice::<i32>().unwrap()[0];
        assert_eq!((last, first), (Some(29), 40));
    }

    #[test]
    fn parts_of_sequences_are_gathered_and_left_as_they_are() {
        let split = Split::new(Arc::new(counting(10, 4)), &SplitConfig::default()).unwrap();
        let some = split.train.subsample(3, &Stream::new(0, "some")).unwrap();
        let normalization = Normalization::fit(&some).unwrap();
        let inputs = normalization.apply(&some.inputs().unwrap()).unwrap();
        assert_eq!((inputs.dtype(), inputs.shape()), (DType::I32, &[3, 4][..]));
        for (row, tokens) in some.rows().iter().zip(inputs.as_slice::<i32>().unwrap().chunks(4)) {
            assert_eq!(tokens[0], 5 * *row as i32);
        }
        let message = split.train.with_label_noise(0.5, &Stream::new(0, "noise")).unwrap_err();
        assert_eq!(
            message.to_string(),
            "label noise needs one class label an example, which `counting` does not have"
        );
    }

    #[test]
    fn wrong_windows_get_one_sentence() {
        let message = |shape: &[usize], tokens: &[i32]| {
            let windows = Array::from_slice(shape, tokens).unwrap();
            let made = Dataset::sequences("bad", &windows, 3, Provenance::default());
            made.unwrap_err().to_string()
        };
        assert_eq!(
            message(&[2, 2], &[0, 1, 3, 0]),
            "labels: row 1 is 3, expected a whole number from 0 to 2"
        );
        assert!(message(&[2, 2], &[0, 1, 2, -1]).contains("row 1 is -1"));
        assert_eq!(message(&[2, 1], &[0, 1]), "no data: the array of windows has shape [2, 1]");
        assert!(message(&[4], &[0, 1, 2, 0]).contains("[n, context + 1] of tokens"));
        let floats = Array::zeros(DType::F32, &[2, 2]);
        assert!(Dataset::sequences("bad", &floats, 3, Provenance::default()).is_err());
    }
}
