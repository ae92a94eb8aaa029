//! Pictures from data sets that are known by name and read from files.

use crate::files::find;
use thalweg_array::{Array, DType};
use thalweg_data::{Stream, Subset, Targets, digits};
use thalweg_lab::{DataOptions, LabError, PreparedData, Result};
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

    /// Each picture at another size, pixels taken from four neighbours, corner to corner.
    #[must_use]
    pub fn resized(&self, side: usize) -> Pictures {
        let last = self.side.saturating_sub(1);
        let scale = last as f64 / side.saturating_sub(1).max(1) as f64;
        let mut pixels = Vec::with_capacity(self.len() * side * side);
        for i in 0..self.len() {
            let picture = self.picture(i);
            let at =
                |row: usize, column: usize| picture[row.min(last) * self.side + column.min(last)];
            for place in 0..side * side {
                let [y, x] = [place / side, place % side].map(|i| i as f64 * scale);
                let (row, column) = (y as usize, x as usize);
                let (v, u) = (y - row as f64, x - column as f64);
                let upper = (1.0 - u) * at(row, column) + u * at(row, column + 1);
                let lower = (1.0 - u) * at(row + 1, column) + u * at(row + 1, column + 1);
                pixels.push((1.0 - v) * upper + v * lower);
            }
        }
        Pictures { side, pixels, labels: self.labels.clone() }
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
        let scaled: Vec<f64> = self.pixels.iter().map(|pixel| 2.0 * pixel - 1.0).collect();
        let (n, side) = (self.len(), self.side);
        let shape = if flat { vec![n, side * side] } else { vec![n, side, side, 1] };
        let inputs = Array::from_slice(&shape, &scaled)?.convert(float);
        Ok(Examples::from_arrays(inputs, Array::vector(&self.labels), true, float)?)
    }
}

/// `train` pictures of clothes to train on and `test` others from the data set's own test part,
/// each with equal shares of the classes, the same for every seed.
///
/// # Errors
/// `Format` where the files of Fashion-MNIST are not found, which says where they were looked for.
pub fn clothes(train: usize, test: usize) -> Result<[Pictures; 2]> {
    let options = DataOptions { name: Some("fashion-mnist".into()), ..DataOptions::default() };
    let (_, data) = PreparedData::choose(&options, &[], 0)?;
    let part = |subset: &Subset, n: usize| {
        let chosen = subset.stratified(n, &Stream::new(0, "papers/clothes"))?;
        pictures(&chosen, 255.0)
    };
    Ok([part(&data.train, train)?, part(&data.test, test)?])
}

/// Handwritten digits of 28 x 28 pixels, the first `n` of the test part of MNIST.
///
/// # Errors
/// `Input` where the file is not found.
pub fn mnist(n: usize) -> Result<Pictures> {
    let what = "the test part of MNIST as arrays x u8[10000, 28, 28] and y u8[10000]";
    let path = find("mnist_test", "mnist_test.npz", what)?;
    let options = DataOptions { name: Some(path.display().to_string()), ..DataOptions::default() };
    let (_, data) = PreparedData::choose(&options, &[], 0)?;
    let all = Subset::all(data.dataset.clone());
    let some = all.stratified(n, &Stream::new(0, "papers/mnist"))?;
    pictures(&some, 255.0)
}

/// As [`clothes`], of the digits that are part of the program: what a sample is run on, so that it
/// runs everywhere.
///
/// # Errors
/// `Input` if there are not so many.
pub fn digits_instead(train: usize, test: usize) -> Result<[Pictures; 2]> {
    let all = pictures(&Subset::all(digits()), 16.0)?;
    let order = Stream::new(0, "papers/digits").permutation(all.len());
    match order.get(..train + test) {
        Some(order) if train > 0 && test > 0 => {
            Ok([all.at(&order[..train]), all.at(&order[train..])])
        }
        _ => Err(LabError::Input(format!(
            "{train} and {test} digits: expected at least 1 each and {} at most",
            order.len()
        ))),
    }
}

fn pictures(subset: &Subset, white: f64) -> Result<Pictures> {
    let inputs = subset.inputs()?;
    let (Targets::Classes { labels, .. }, [_, side, width, 1]) =
        (subset.targets()?, inputs.shape())
    else {
        let name = subset.dataset().name();
        let text = format!("{name}: expected grey pictures with classes");
        return Err(LabError::Input(text));
    };
    if side != width {
        return Err(LabError::Input(format!("pictures: expected squares, got {side} x {width}")));
    }
    let pixels = inputs.to_f64_vec().iter().map(|pixel| pixel / white).collect();
    Ok(Pictures { side: *side, pixels, labels: labels.as_slice::<i32>()?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_pictures() {
        let [train, test] = digits_instead(1000, 797).unwrap();
        assert_eq!((train.len(), test.len(), train.side), (1000, 797, 8));
        // The sum of all pixels, of which white is 16.
        let sum: f64 = train.pixels.iter().chain(&test.pixels).sum();
        assert_eq!(sum * 16.0, 561_718.0);
        let some = train.at(&[3, 3, 5000]);
        assert_eq!((some.len(), some.picture(1)), (2, train.picture(3)));
        assert_eq!(some.labels, [train.labels[3]; 2]);
        let examples = some.examples(false, DType::F64).unwrap();
        let input = &examples.inputs().unwrap()[0];
        assert_eq!(input.shape(), [2, 8, 8, 1]);
        assert_eq!(input.to_f64_vec()[5], 2.0 * train.picture(3)[5] - 1.0);
        let (large, same) = (some.resized(15), some.resized(8));
        assert_eq!((large.side, large.len()), (15, 2));
        // Every second pixel of twice the size less one is one of the picture's.
        assert_eq!(large.picture(1)[2 * 15 + 4], some.picture(1)[8 + 2]);
        let between = (some.picture(1)[8 + 2] + some.picture(1)[8 + 3]) / 2.0;
        assert!((large.picture(1)[2 * 15 + 5] - between).abs() < 1e-15);
        assert!(same.pixels.iter().zip(&some.pixels).all(|(a, b)| (a - b).abs() < 1e-15));
        let stream = Stream::new(0, "drawn");
        let [first, second] = train.drawn(&[5, 0, 3], &stream);
        for part in [&first, &second] {
            let of = |class: i32| part.labels.iter().filter(|&&label| label == class).count();
            assert_eq!((of(0), of(2), part.len()), (5, 3, 8));
        }
        assert!((0..8).all(|i| (0..8).all(|j| first.picture(i) != second.picture(j))));
        assert!(digits_instead(1000, 798).is_err() && digits_instead(0, 5).is_err());
    }
}
