//! Grey pictures with labels.

use std::ops::Range;
use thalweg_array::{Array, DType};
use thalweg_data::{Corruption, Stream, Subset, Targets};
use thalweg_lab::{LabError, Result};
use thalweg_train::Examples;

/// Grey pictures with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// Pixels of a side.
    pub side: usize,
    /// Grey values from 0 to 1, picture after picture, row after row.
    pub pixels: Vec<f64>,
    /// The class of each.
    pub labels: Vec<i32>,
}

impl Pictures {
    /// The pictures of a data set, in which `white` stands for 1.
    ///
    /// # Errors
    /// `Input` for what is no set of square grey pictures with classes.
    pub fn of(subset: &Subset, white: f64) -> Result<Pictures> {
        let inputs = subset.inputs()?;
        let (Targets::Classes { labels, .. }, [_, side, width, 1]) =
            (subset.targets()?, inputs.shape())
        else {
            let name = subset.dataset().name();
            let text = format!("{name}: expected grey pictures with classes");
            return Err(LabError::Input(text));
        };
        if side != width {
            return Err(LabError::Input(format!(
                "pictures: expected squares, got {side} x {width}"
            )));
        }
        let pixels = inputs.to_f64_vec().iter().map(|pixel| pixel / white).collect();
        Ok(Pictures { side: *side, pixels, labels: labels.as_slice::<i32>()?.to_vec() })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// One picture.
    pub fn picture(&self, i: usize) -> &[f64] {
        let size = self.side * self.side;
        self.pixels.get(i * size..(i + 1) * size).unwrap_or_default()
    }

    /// Each picture as a row of pixels.
    pub fn to_rows(&self) -> Vec<Vec<f64>> {
        (0..self.len()).map(|i| self.picture(i).to_vec()).collect()
    }

    /// Those at places, in their order; places beyond the end are left out.
    #[must_use]
    pub fn at(&self, places: &[usize]) -> Pictures {
        let places = || places.iter().filter(|&&i| i < self.len());
        Pictures {
            side: self.side,
            pixels: places().flat_map(|&i| self.picture(i)).copied().collect(),
            labels: places().map(|&i| self.labels[i]).collect(),
        }
    }

    /// Those in a range, as far as there are so many.
    #[must_use]
    pub fn within(&self, range: Range<usize>) -> Pictures {
        let places: Vec<usize> = (range.start..range.end.min(self.len())).collect();
        self.at(&places)
    }

    /// Each picture changed to another of `side`, from its place and its pixels.
    ///
    /// # Errors
    /// Those of the change.
    pub fn changed(
        &self,
        side: usize,
        change: impl Fn(usize, &[f64]) -> Result<Vec<f64>>,
    ) -> Result<Pictures> {
        let mut pixels = Vec::with_capacity(self.len() * side * side);
        for i in 0..self.len() {
            pixels.extend(change(i, self.picture(i))?);
        }
        Ok(Pictures { side, pixels, labels: self.labels.clone() })
    }

    /// Each picture under a corruption, with draws of its own from a stream.
    ///
    /// # Errors
    /// Those of [`Corruption::apply`].
    pub fn corrupted(
        &self,
        corruption: Corruption,
        severity: usize,
        stream: &Stream,
    ) -> Result<Pictures> {
        let (shape, strength) = ([self.side, self.side, 1], corruption.strength(severity));
        self.changed(self.side, |i, picture| {
            Ok(corruption.apply(picture, shape, strength, &stream.at(i as u64))?)
        })
    }

    /// Each picture at another size, pixels taken from four neighbours, corner to corner.
    ///
    /// # Errors
    /// None.
    pub fn resized(&self, side: usize) -> Result<Pictures> {
        let last = self.side.saturating_sub(1);
        let scale = last as f64 / side.saturating_sub(1).max(1) as f64;
        self.changed(side, |_, picture| {
            let at =
                |row: usize, column: usize| picture[row.min(last) * self.side + column.min(last)];
            let pixel = |place: usize| {
                let [y, x] = [place / side, place % side].map(|i| i as f64 * scale);
                let (row, column) = (y as usize, x as usize);
                let (v, u) = (y - row as f64, x - column as f64);
                let upper = (1.0 - u) * at(row, column) + u * at(row, column + 1);
                let lower = (1.0 - u) * at(row + 1, column) + u * at(row + 1, column + 1);
                (1.0 - v) * upper + v * lower
            };
            Ok((0..side * side).map(pixel).collect())
        })
    }

    /// Pictures cut into two disjoint parts of `counts[class]` examples of each class, drawn from a
    /// stream; fewer where there are not so many.
    pub fn drawn(&self, counts: &[usize], stream: &Stream) -> [Pictures; 2] {
        let order = stream.permutation(self.len());
        let mut left = [counts.to_vec(), counts.to_vec()];
        let mut chosen = [Vec::new(), Vec::new()];
        for i in order {
            let class = usize::try_from(self.labels[i]).unwrap_or(usize::MAX);
            let part = left.iter().position(|left| left.get(class).is_some_and(|n| *n > 0));
            if let Some(part) = part {
                left[part][class] -= 1;
                chosen[part].push(i);
            }
        }
        chosen.map(|places| self.at(&places))
    }

    /// As examples of the shape `[side, side, 1]`, or flat, with pixels from -1 to 1.
    ///
    /// # Errors
    /// No pictures.
    pub fn examples(&self, flat: bool, float: DType) -> Result<Examples> {
        self.examples_between([-1.0, 1.0], flat, float)
    }

    /// As [`Pictures::examples`], black and white as given.
    ///
    /// # Errors
    /// No pictures.
    pub fn examples_between(
        &self,
        [black, white]: [f64; 2],
        flat: bool,
        float: DType,
    ) -> Result<Examples> {
        let scaled: Vec<f64> =
            self.pixels.iter().map(|pixel| black + (white - black) * pixel).collect();
        let (n, side) = (self.len(), self.side);
        let shape = if flat { vec![n, side * side] } else { vec![n, side, side, 1] };
        let inputs = Array::from_slice(&shape, &scaled)?.convert(float);
        Ok(Examples::from_arrays(inputs, Array::vector(&self.labels), true, float)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::digits;

    #[test]
    fn some_of_them_are_examples() {
        let all = digits().unwrap();
        let some = all.at(&[3, 3, 5000]);
        assert_eq!((some.len(), some.picture(1)), (2, all.picture(3)));
        assert_eq!(some.labels, [all.labels[3]; 2]);
        assert_eq!(all.within(3..4).picture(0), all.picture(3));
        assert_eq!(all.within(1790..usize::MAX).len(), 7);
        let input = |examples: Examples| examples.inputs().unwrap()[0].clone();
        let around = input(some.examples(false, DType::F64).unwrap());
        assert_eq!(around.shape(), [2, 8, 8, 1]);
        assert_eq!(around.to_f64_vec()[5], 2.0 * all.picture(3)[5] - 1.0);
        let as_they_are = input(some.examples_between([0.0, 1.0], true, DType::F64).unwrap());
        assert_eq!(as_they_are.shape(), [2, 64]);
        assert_eq!(as_they_are.to_f64_vec(), some.to_rows().concat());
    }

    #[test]
    fn sizes_keep_the_corners() {
        let some = digits().unwrap().at(&[3, 3]);
        let (large, same) = (some.resized(15).unwrap(), some.resized(8).unwrap());
        assert_eq!((large.side, large.len()), (15, 2));
        // Every second pixel of twice the size less one is one of the picture's.
        assert_eq!(large.picture(1)[2 * 15 + 4], some.picture(1)[8 + 2]);
        let between = (some.picture(1)[8 + 2] + some.picture(1)[8 + 3]) / 2.0;
        assert!((large.picture(1)[2 * 15 + 5] - between).abs() < 1e-15);
        assert!(same.pixels.iter().zip(&some.pixels).all(|(a, b)| (a - b).abs() < 1e-15));
    }

    #[test]
    fn what_is_drawn_has_the_counts_and_shares_nothing() {
        let all = digits().unwrap();
        let [first, second] = all.drawn(&[5, 0, 3], &Stream::new(0, "drawn"));
        for part in [&first, &second] {
            let of = |class: i32| part.labels.iter().filter(|&&label| label == class).count();
            assert_eq!((of(0), of(2), part.len()), (5, 3, 8));
        }
        assert!((0..8).all(|i| (0..8).all(|j| first.picture(i) != second.picture(j))));
    }
}
