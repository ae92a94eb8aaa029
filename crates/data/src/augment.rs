//! Random shifts and mirrorings of images.

use crate::{DataError, Stream};
use thalweg_array::Array;

/// Random changes of a batch of images.
///
/// An example's draws come from `stream.at(epoch).at(example)` and so depend on nothing else: not
/// on the batch it is in, nor on its place there.
///
/// # Example
/// ```
/// use thalweg_array::{Array, DType};
/// use thalweg_data::{Augmentation, Stream};
/// let images = Array::zeros(DType::F32, &[2, 8, 8, 1]);
/// let augmentation = Augmentation { shift: 1, flip: true, fill: vec![0.0] };
/// let out = augmentation.apply(&images, &[17, 4], &Stream::new(0, "augment"), 3)?;
/// assert_eq!(out.shape(), images.shape());
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Shifts by up to so many pixels, up or down and left or right independently: what padding
    /// by `shift` and cropping at random gives.
    pub shift: usize,
    /// Mirrors left to right with probability one half.
    pub flip: bool,
    /// The value of a pixel that is shifted in: one for each channel, or none for 0. On inputs
    /// that are normalised already, zero padding of raw values is `-mean / divisor`.
    pub fill: Vec<f32>,
}

impl Augmentation {
    /// Whether nothing is changed.
    pub fn is_identity(&self) -> bool {
        self.shift == 0 && !self.flip
    }

    /// A changed copy of `images`, `f32 [batch, height, width, channels]`; `examples` names each
    /// image by its position in the data, as the batch's index array does.
    ///
    /// # Errors
    /// Images of another shape or type, or lists of another length.
    pub fn apply(
        &self,
        images: &Array,
        examples: &[i32],
        stream: &Stream,
        epoch: u64,
    ) -> Result<Array, DataError> {
        let &[batch, height, width, channels] = images.shape() else {
            return Err(DataError::Mismatch {
                what: "a batch to augment",
                expected: "[batch, height, width, channels]".into(),
                got: images.shape().to_vec(),
            });
        };
        if examples.len() != batch {
            return Err(DataError::Mismatch {
                what: "the list of examples to augment",
                expected: format!("one for each of {batch} images"),
                got: vec![examples.len()],
            });
        }
        if self.shift > 0 && self.shift >= height.min(width) {
            return Err(DataError::Range {
                what: "the shift in pixels",
                expected: format!("less than the {height}x{width} pixels of an image"),
                got: self.shift.to_string(),
            });
        }
        if !self.fill.is_empty() && self.fill.len() != channels {
            return Err(DataError::Mismatch {
                what: "the fill value",
                expected: format!("one number for each of {channels} channels"),
                got: vec![self.fill.len()],
            });
        }
        let source = images.as_slice::<f32>()?;
        let mut out = Array::try_zeros(images.dtype(), images.shape())?;
        let size = height * width * channels;
        let epoch = stream.at(epoch);
        let span = 2 * self.shift as u64 + 1;
        for (i, to) in out.as_mut_slice::<f32>()?.chunks_exact_mut(size.max(1)).enumerate() {
            let draws = epoch.at(examples[i] as u64);
            let offset = |axis: u64| draws.below(axis, span) as isize - self.shift as isize;
            let (down, right) = (offset(0), offset(1));
            let mirrored = self.flip && draws.u64(2) >> 63 == 1;
            let from = &source[i * size..][..size];
            for (at, pixel) in to.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (at / width, at % width);
                let x = if mirrored { width - 1 - x } else { x };
                let row = y.checked_add_signed(-down).filter(|&y| y < height);
                let column = x.checked_add_signed(-right).filter(|&x| x < width);
                match (row, column) {
                    (Some(y), Some(x)) => {
                        pixel.copy_from_slice(&from[(y * width + x) * channels..][..channels]);
                    }
                    _ if !self.fill.is_empty() => pixel.copy_from_slice(&self.fill),
                    _ => {}
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(n: usize) -> Array {
        let values: Vec<f32> = (0..n * 18).map(|i| 1.0 + i as f32).collect();
        Array::from_slice(&[n, 3, 3, 2], &values).unwrap()
    }

    #[test]
    fn draws_depend_on_the_example_and_the_epoch_only() {
        let augmentation = Augmentation { shift: 1, flip: true, fill: vec![] };
        let stream = Stream::new(0, "augment");
        let batch = images(4);
        let all = augmentation.apply(&batch, &[9, 4, 7, 2], &stream, 5).unwrap();
        let one = augmentation.apply(&batch.rows(2..3).unwrap(), &[7], &stream, 5).unwrap();
        assert_eq!(one, all.rows(2..3).unwrap());
        assert_ne!(augmentation.apply(&batch, &[9, 4, 7, 2], &stream, 6).unwrap(), all);
    }

    #[test]
    fn every_shift_and_mirroring_occurs_equally_often() {
        let augmentation = Augmentation { shift: 1, flip: true, fill: vec![-1.0, -2.0] };
        let stream = Stream::new(0, "augment");
        let one = images(1);
        let n = 3600;
        let mut seen = std::collections::BTreeMap::new();
        for example in 0..n {
            let out = augmentation.apply(&one, &[example], &stream, 0).unwrap();
            let bits: Vec<u32> =
                out.as_slice::<f32>().unwrap().iter().map(|v| v.to_bits()).collect();
            *seen.entry(bits).or_insert(0) += 1;
        }
        // Nine shifts, each mirrored or not, 200 times each on average.
        assert_eq!(seen.len(), 18);
        assert!(seen.values().all(|count| (140..260).contains(count)), "{:?}", seen.values());
        assert!(seen.contains_key(
            &one.as_slice::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        ));
    }

    #[test]
    fn a_shift_moves_pixels_and_fills_the_edge() {
        let augmentation = Augmentation { shift: 1, flip: false, fill: vec![0.5] };
        let image = Array::from_slice(&[1, 2, 3, 1], &[1f32, 2.0, 3.0, 1.0, 2.0, 3.0]).unwrap();
        let stream = Stream::new(0, "augment");
        let mut rows = std::collections::BTreeSet::new();
        for example in 0..200 {
            let out = augmentation.apply(&image, &[example], &stream, 0).unwrap();
            out.as_slice::<f32>().unwrap().chunks(3).for_each(|row| {
                rows.insert(format!("{row:?}"));
            });
        }
        let expected = ["[0.5, 0.5, 0.5]", "[0.5, 1.0, 2.0]", "[1.0, 2.0, 3.0]", "[2.0, 3.0, 0.5]"];
        assert!(rows.iter().map(String::as_str).eq(expected), "{rows:?}");
    }

    #[test]
    fn wrong_batches_are_refused() {
        let augmentation = Augmentation { shift: 1, flip: true, fill: vec![0.0] };
        let stream = Stream::new(0, "augment");
        assert!(augmentation.apply(&images(2), &[0, 1], &stream, 0).is_err());
        let plain = Augmentation { fill: vec![], ..augmentation };
        assert!(plain.apply(&images(2), &[0], &stream, 0).is_err());
        assert!(plain.apply(&images(2).reshape(&[4, 9]).unwrap(), &[0, 1], &stream, 0).is_err());
        let far = Augmentation { shift: 3, ..plain };
        assert_eq!(
            far.apply(&images(1), &[0], &stream, 0).unwrap_err().to_string(),
            "the shift in pixels is 3, expected less than the 3x3 pixels of an image"
        );
    }
}
