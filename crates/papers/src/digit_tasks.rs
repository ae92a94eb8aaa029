//! Classification tasks made of the digits.

use crate::images::digits;
use crate::pictures::Pictures;
use thalweg_data::Stream;
use thalweg_lab::Result;

const PAIRS: [[i32; 2]; 10] =
    [[0, 1], [1, 7], [2, 3], [3, 8], [4, 9], [5, 6], [8, 9], [0, 6], [5, 9], [2, 7]];

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct DigitTask {
    /// Its name in records.
    pub name: String,
    /// The pictures, with labels from 0 on.
    pub pictures: Pictures,
    /// How many classes there are.
    pub classes: usize,
    /// Whether it tells one digit from another.
    pub pair: bool,
}

/// Eighteen tasks of all 1,797 digits or some: all ten classes; ten pairs of classes; two of five classes;
/// even against odd; below against above five; the ten classes averaged to 4x4, turned by random
/// quarters, and shifted at random by up to two pixels.
///
/// # Errors
/// None: the data are part of the program.
pub fn digit_tasks() -> Result<Vec<DigitTask>> {
    let all = digits()?;
    let chosen = |name: String, classes: &[i32]| {
        let place = |label: i32| classes.iter().position(|class| *class == label);
        let kept: Vec<usize> = (0..all.len()).filter(|&i| place(all.labels[i]).is_some()).collect();
        let mut pictures = all.at(&kept);
        for label in &mut pictures.labels {
            *label = place(*label).unwrap_or(0) as i32;
        }
        DigitTask { name, pictures, classes: classes.len(), pair: classes.len() == 2 }
    };
    let of_ten = |name: &str, pictures: Pictures| DigitTask {
        name: name.into(),
        pictures,
        classes: 10,
        pair: false,
    };
    let grouped = |name: &str, group: fn(i32) -> bool| {
        let labels = all.labels.iter().map(|&label| i32::from(group(label))).collect();
        DigitTask { classes: 2, ..of_ten(name, Pictures { labels, ..all.clone() }) }
    };
    let (turns, shifts) = (Stream::new(0, "papers/turns"), Stream::new(0, "papers/shifts"));
    let averaged = all.changed(4, |_, picture| Ok(averaged(picture)))?;
    let turned = all.changed(8, |i, picture| Ok(turned(picture, turns.below(i as u64, 4))))?;
    let shifted = all.changed(8, |i, picture| {
        let by = |axis: u64| shifts.below(2 * i as u64 + axis, 5) as isize - 2;
        Ok(shifted(picture, by(0), by(1)))
    })?;
    let mut tasks = vec![of_ten("ten classes", all.clone())];
    tasks.extend(PAIRS.iter().map(|[a, b]| chosen(format!("{a} against {b}"), &[*a, *b])));
    tasks.extend([
        chosen("classes 0 to 4".into(), &[0, 1, 2, 3, 4]),
        chosen("classes 5 to 9".into(), &[5, 6, 7, 8, 9]),
        grouped("even against odd", |label| label % 2 == 1),
        grouped("below five against above", |label| label >= 5),
        of_ten("averaged to 4x4", averaged),
        of_ten("turned by quarters", turned),
        of_ten("shifted by up to two pixels", shifted),
    ]);
    Ok(tasks)
}

impl DigitTask {
    /// The pictures in an order that a stream draws: the first `train`, or half of them if there are
    /// fewer, to train on, and the next `test` at most to test on.
    pub fn split(&self, train: usize, test: usize, stream: &Stream) -> [Pictures; 2] {
        let order = stream.permutation(self.pictures.len());
        let (train, others) = order.split_at(train.min(order.len() / 2));
        [self.pictures.at(train), self.pictures.at(&others[..test.min(others.len())])]
    }
}

/// The mean of each 2x2 of a picture 8x8.
fn averaged(picture: &[f64]) -> Vec<f64> {
    let at = |y: usize, x: usize| picture[8 * y + x];
    let mean = |y: usize, x: usize| {
        (at(2 * y, 2 * x) + at(2 * y, 2 * x + 1) + at(2 * y + 1, 2 * x) + at(2 * y + 1, 2 * x + 1))
            / 4.0
    };
    (0..16).map(|i| mean(i / 4, i % 4)).collect()
}

/// A picture 8x8 after so many quarter turns.
fn turned(picture: &[f64], quarters: u64) -> Vec<f64> {
    let once = |row: Vec<f64>| (0..64).map(|i| row[8 * (i % 8) + 7 - i / 8]).collect();
    (0..quarters).fold(picture.to_vec(), |row, _| once(row))
}

/// A picture 8x8 moved down and to the right, with zeros where nothing was.
fn shifted(picture: &[f64], down: isize, right: isize) -> Vec<f64> {
    let at = |i: isize| {
        let (y, x) = (i / 8 - down, i % 8 - right);
        let inside = (0..8).contains(&y) && (0..8).contains(&x);
        if inside { picture[(8 * y + x) as usize] } else { 0.0 }
    };
    (0..64).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_are_what_they_say() {
        let tasks = digit_tasks().unwrap();
        assert_eq!(tasks.len(), 18);
        assert_eq!(tasks.iter().filter(|task| task.pair).count(), 10);
        for task in &tasks {
            let DigitTask { name, pictures, classes, .. } = task;
            assert_eq!(pictures.side, if name == "averaged to 4x4" { 4 } else { 8 });
            assert_eq!(pictures.pixels.len(), pictures.len() * pictures.side.pow(2), "{name}");
            for class in 0..*classes as i32 {
                assert!(pictures.labels.contains(&class), "{name}");
            }
            assert!(pictures.labels.iter().all(|&label| (label as usize) < *classes));
        }
        let [train, test] = tasks[1].split(200, 50, &Stream::new(1, "split"));
        assert_eq!((train.len(), test.len()), (180, 50), "half of the zeros and ones, and 50");
        assert!((0..50).all(|i| !train.to_rows().contains(&test.picture(i).to_vec())));
    }

    #[test]
    fn pictures_are_moved_as_said() {
        let mut row = vec![0.0; 64];
        row[1] = 1.0;
        let place = |row: &[f64]| row.iter().position(|x| *x == 1.0);
        // The second of the first row comes to the first column, seventh row.
        assert_eq!(place(&turned(&row, 1)), Some(48));
        assert_eq!(turned(&row, 4), row);
        assert_eq!(place(&shifted(&row, 2, 1)), Some(18));
        assert_eq!(place(&shifted(&row, -1, 0)), None);
        assert_eq!(averaged(&row)[0], 0.25);
    }
}
