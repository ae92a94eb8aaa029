//! Labels that are drawn anew for each of a sequence of tasks.

use crate::{DataError, Stream};
use thalweg_array::Array;

/// A sequence of tasks on the same inputs: each draws a label for each example anew, every class
/// equally likely and without regard to the input, so that a task can only be learnt by heart.
///
/// Label `i` of task `t` is draw `i` of `Stream::new(seed, "data/relabel").at(t)`: it depends on
/// neither the number of examples nor the tasks before.
///
/// # Source    Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486, where
/// targets of an image set are reset in this manner
///
/// # Example
/// ```
/// let tasks = thalweg_data::Relabelling::new(7, 10)?;
/// assert_eq!(tasks.labels(3, 50).shape(), [50]);
/// assert_ne!(tasks.labels(3, 50), tasks.labels(4, 50));
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relabelling {
    stream: Stream,
    classes: u32,
}

impl Relabelling {
    /// The tasks of a seed with so many classes.
    ///
    /// # Errors
    /// No class, or more than labels can tell.
    pub fn new(seed: u64, classes: usize) -> Result<Relabelling, DataError> {
        match u32::try_from(classes).ok().filter(|n| *n > 0 && i32::try_from(*n).is_ok()) {
            Some(classes) => Ok(Relabelling { stream: Stream::new(seed, "data/relabel"), classes }),
            None => Err(DataError::Range {
                what: "the number of classes",
                expected: format!("1 to {}", i32::MAX),
                got: classes.to_string(),
            }),
        }
    }

    /// The labels of `n` examples in a task, `i32 [n]`.
    pub fn labels(&self, task: u64, n: usize) -> Array {
        let draws = self.stream.at(task);
        let label = |i: usize| draws.below(i as u64, self.classes.into()) as i32;
        Array::vector(&(0..n).map(label).collect::<Vec<i32>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_as_likely_and_tasks_are_independent() {
        let tasks = Relabelling::new(0, 5).unwrap();
        let n = 20_000;
        let (first, second) = (tasks.labels(0, n), tasks.labels(1, n));
        let [first, second] = [&first, &second].map(|array| array.as_slice::<i32>().unwrap());
        let mut counts = [0usize; 25];
        for (a, b) in first.iter().zip(second) {
            counts[(a * 5 + b) as usize] += 1;
        }
        // Five standard deviations of a binomial count.
        let (mean, spread) = (n as f64 / 25.0, (n as f64 / 25.0 * (24.0 / 25.0)).sqrt());
        assert!(counts.iter().all(|&c| (c as f64 - mean).abs() < 5.0 * spread), "{counts:?}");
        // Fewer examples have the labels that they had.
        assert_eq!(tasks.labels(1, 7).as_slice::<i32>().unwrap(), &second[..7]);
    }

    #[test]
    fn classes_are_checked() {
        assert!(Relabelling::new(0, 0).is_err() && Relabelling::new(0, usize::MAX).is_err());
    }
}
