//! Mean and spread, taken from the training part only.

use crate::{DataError, Inputs, Train};
use thalweg_array::{Array, DType};

/// Shifts and scales inputs to mean 0 and standard deviation 1; leaves tokens as they are.
///
/// `y = (x - mean) / standard_deviation`, for each channel of images or each feature. The moments
/// are those of the whole training part (divided by n), added up in `f64`.
///
/// # Example
/// ```
/// use thalweg_data::{Normalization, Split, SplitConfig, digits};
/// let split = Split::new(digits(), &SplitConfig::default())?;
/// let normalization = Normalization::fit(&split.train)?;
/// let inputs = normalization.apply(&split.test.inputs()?)?;
/// assert_eq!(inputs.shape(), [split.test.len(), 8, 8, 1]);
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Mean of each channel or feature; none of tokens and of inputs that stay as they are.
    pub mean: Vec<f64>,
    /// What each is divided by: its standard deviation, or 1 where it is constant.
    pub divisor: Vec<f64>,
    /// Channels or features with one and the same value in every training example. They become 0
    /// there and keep their raw unit elsewhere.
    pub constant: Vec<usize>,
}

impl Normalization {
    /// That which leaves inputs as they are.
    pub fn identity() -> Normalization {
        Normalization { mean: Vec::new(), divisor: Vec::new(), constant: Vec::new() }
    }

    /// That by means and standard deviations that are given: one for each of the channels or
    /// features, or one for all.
    ///
    /// # Errors
    /// Another number of them, or a standard deviation that is not positive.
    pub fn given(
        mean: &[f64],
        standard_deviation: &[f64],
        channels: usize,
    ) -> Result<Normalization, DataError> {
        let n = mean.len();
        if n != standard_deviation.len() || n == 0 || (n != 1 && n != channels) {
            return Err(DataError::Mismatch {
                what: "the list of given means and standard deviations",
                expected: format!("one, or one for each of {channels} channels or features"),
                got: vec![n, standard_deviation.len()],
            });
        }
        let usable = |(m, s): (&f64, &f64)| m.is_finite() && s.is_finite() && *s > 0.0;
        if !mean.iter().zip(standard_deviation).all(usable) {
            return Err(DataError::Range {
                what: "a given mean or standard deviation",
                expected: "finite means and positive finite standard deviations".into(),
                got: format!("{mean:?} and {standard_deviation:?}"),
            });
        }
        let each = |values: &[f64]| (0..channels).map(|c| values[c % n]).collect();
        Ok(Normalization { mean: each(mean), divisor: each(standard_deviation), constant: vec![] })
    }

    /// The moments of a training part.
    ///
    /// # Errors
    /// An empty part.
    pub fn fit(train: &Train) -> Result<Normalization, DataError> {
        if !train.is_stored() {
            return Normalization::of(&train.inputs()?);
        }
        let inputs = train.dataset().inputs();
        moments(inputs.dtype(), inputs.shape(), &|visit| inputs.visit(train.rows(), visit))
    }

    /// The moments of all inputs of a data set.
    ///
    /// # Errors
    /// Stored inputs that cannot be read.
    pub fn of_all(inputs: &Inputs) -> Result<Normalization, DataError> {
        moments(inputs.dtype(), inputs.shape(), &|visit| inputs.visit_all(visit))
    }

    /// The moments of inputs, channels or features last.
    ///
    /// # Errors
    /// No inputs.
    pub fn of(inputs: &Array) -> Result<Normalization, DataError> {
        moments(inputs.dtype(), inputs.shape(), &|visit| visit(inputs))
    }

    /// The normalised inputs as `f32`, or as `f64` if they are that; any number of axes, channels or features last. The identity
    /// gives them back.
    ///
    /// # Errors
    /// A last axis of another length than that of the training part.
    pub fn apply(&self, inputs: &Array) -> Result<Array, DataError> {
        let width = self.mean.len();
        if width == 0 {
            return Ok(inputs.clone());
        }
        if inputs.shape().last() != Some(&width) {
            return Err(DataError::Mismatch {
                what: "an input to normalise",
                expected: format!("a last axis of {width} as in the training part"),
                got: inputs.shape().to_vec(),
            });
        }
        if inputs.dtype() == DType::F64 {
            let mut out = inputs.clone();
            for row in out.as_mut_slice::<f64>()?.chunks_exact_mut(width.max(1)) {
                for ((value, mean), divisor) in row.iter_mut().zip(&self.mean).zip(&self.divisor) {
                    *value = (*value - mean) / divisor;
                }
            }
            return Ok(out);
        }
        let mut out = inputs.convert(DType::F32);
        for row in out.as_mut_slice::<f32>()?.chunks_exact_mut(width.max(1)) {
            for ((value, mean), divisor) in row.iter_mut().zip(&self.mean).zip(&self.divisor) {
                *value = ((f64::from(*value) - mean) / divisor) as f32;
            }
        }
        Ok(out)
    }
}

/// Takes what is handed over.
type Visit<'a> = &'a mut dyn FnMut(&Array) -> Result<(), DataError>;

/// The moments of inputs that `pass` hands over in order, in pieces of any number of examples, the
/// same ones each time.
fn moments(
    dtype: DType,
    shape: &[usize],
    pass: &dyn Fn(Visit<'_>) -> Result<(), DataError>,
) -> Result<Normalization, DataError> {
    let empty = |shape: &[usize]| {
        Err(DataError::Empty { what: "the training inputs", shape: shape.to_vec() })
    };
    if shape.contains(&0) {
        return empty(shape);
    }
    if dtype == DType::I32 {
        return Ok(Normalization::identity());
    }
    let width = shape.last().copied().unwrap_or(1);
    let each = |visit: &mut dyn FnMut(&[f32])| {
        pass(&mut |piece| {
            visit(piece.convert(DType::F32).as_slice::<f32>()?);
            Ok(())
        })
    };
    let (mut first, mut varies) = (Vec::new(), vec![false; width]);
    let mut sum = RowSums::new(width);
    each(&mut |values| {
        if first.is_empty() {
            first = values[..width.min(values.len())].to_vec();
        }
        for row in values.chunks_exact(width) {
            for c in 0..width {
                varies[c] |= row[c] != first[c];
            }
        }
        sum.add(values, |_, value| value);
    })?;
    if first.is_empty() {
        return empty(&[&[0], &shape[1..]].concat());
    }
    let (count, sum) = sum.finish();
    let mean: Vec<f64> =
        (0..width).map(|c| if varies[c] { sum[c] / count } else { f64::from(first[c]) }).collect();
    let mut squares = RowSums::new(width);
    each(&mut |values| squares.add(values, |c, value| (value - mean[c]) * (value - mean[c])))?;
    let (_, squares) = squares.finish();
    let divisor: Vec<f64> =
        (0..width).map(|c| if varies[c] { (squares[c] / count).sqrt() } else { 1.0 }).collect();
    let constant = (0..width).filter(|&c| !varies[c]).collect();
    Ok(Normalization { mean, divisor, constant })
}

/// Sums of a function of each column's values. Rows are added up in blocks and the blocks then,
/// which keeps the rounding error of millions of pixels at that of thousands. In what pieces rows
/// come does not matter.
struct RowSums {
    sum: Vec<f64>,
    block: Vec<f64>,
    /// Rows in the block that is being filled, and in all before it.
    filled: usize,
    before: usize,
}

impl RowSums {
    const BLOCK: usize = 4096;

    fn new(width: usize) -> RowSums {
        RowSums { sum: vec![0.0; width], block: vec![0.0; width], filled: 0, before: 0 }
    }

    fn add(&mut self, mut values: &[f32], term: impl Fn(usize, f64) -> f64) {
        let width = self.sum.len();
        while values.len() >= width {
            let rows = (values.len() / width).min(RowSums::BLOCK - self.filled);
            let (now, rest) = values.split_at(rows * width);
            for row in now.chunks_exact(width) {
                for (c, &value) in row.iter().enumerate() {
                    self.block[c] += term(c, f64::from(value));
                }
            }
            self.filled += rows;
            if self.filled == RowSums::BLOCK {
                self.flush();
            }
            values = rest;
        }
    }

    fn flush(&mut self) {
        self.sum.iter_mut().zip(&self.block).for_each(|(sum, block)| *sum += block);
        self.block.fill(0.0);
        self.before += self.filled;
        self.filled = 0;
    }

    /// The number of rows and the sums.
    fn finish(mut self) -> (f64, Vec<f64>) {
        if self.filled > 0 {
            self.flush();
        }
        (self.before as f64, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Provenance, Split, SplitConfig, digits};
    use std::sync::Arc;

    #[test]
    fn moments_are_those_of_the_training_part() {
        let inputs: Vec<f32> = (0..10).flat_map(|i| [i as f32, 1e7 + i as f32, 0.1]).collect();
        let data = Dataset::regression(
            "ramp",
            Array::from_slice(&[10, 3], &inputs).unwrap(),
            &Array::zeros(DType::F32, &[10]),
            Provenance::default(),
        );
        let data = data.unwrap().with_fixed_parts(vec![], vec![8, 9]).unwrap();
        let split = Split::new(Arc::new(data), &SplitConfig::default()).unwrap();
        let normalization = Normalization::fit(&split.train).unwrap();
        // Mean and spread of 0..8: 3.5 and sqrt((64 - 1) / 12).
        assert_eq!(normalization.mean, [3.5, 1e7 + 3.5, f64::from(0.1f32)]);
        let spread = (63.0f64 / 12.0).sqrt();
        assert_eq!(normalization.divisor, [spread, spread, 1.0]);
        assert_eq!(normalization.constant, [2]);
        let test = normalization.apply(&split.test.inputs().unwrap()).unwrap();
        let expected = ((8.0 - 3.5) / spread) as f32;
        assert_eq!(test.as_slice::<f32>().unwrap()[..3], [expected, expected, 0.0]);
        assert!(normalization.apply(&Array::zeros(DType::F32, &[2, 2])).is_err());
    }

    #[test]
    fn given_moments_are_for_each_channel_or_for_all() {
        let one = Normalization::given(&[0.5], &[2.0], 3).unwrap();
        assert_eq!((one.mean, one.divisor), (vec![0.5; 3], vec![2.0; 3]));
        let each = Normalization::given(&[1.0, 2.0], &[2.0, 4.0], 2).unwrap();
        let inputs = Array::from_slice(&[1, 2], &[5f32, 6.0]).unwrap();
        assert_eq!(each.apply(&inputs).unwrap().to_f64_vec(), [2.0, 1.0]);
        let message = Normalization::given(&[1.0, 2.0], &[2.0, 4.0], 3).unwrap_err().to_string();
        assert!(message.contains("[2, 2]") && message.contains("3 channels"), "{message}");
        assert!(Normalization::given(&[1.0], &[0.0], 1).is_err());
        assert!(Normalization::given(&[], &[], 0).is_err());
    }

    #[test]
    fn images_have_one_mean_a_channel() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        let normalization = Normalization::fit(&split.train).unwrap();
        let out = normalization.apply(&split.train.inputs().unwrap()).unwrap().to_f64_vec();
        let n = out.len() as f64;
        let mean = out.iter().sum::<f64>() / n;
        let variance = out.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    }
}
