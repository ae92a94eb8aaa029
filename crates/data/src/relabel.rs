//! Labels of a sequence of tasks on the same inputs.

use crate::Stream;

/// What becomes of labels from task to task.
///
/// # Source    Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486,
/// section 3.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabel {
    /// Each is drawn anew, every class as likely and without regard to the input, so that a task can
    /// only be learnt by heart.
    Random,
    /// Classes change their names.
    Permuted,
    /// They stay.
    True,
}

impl Relabel {
    /// The labels of a task: label `i` depends on the stream, the task and `i`, on neither the number
    /// of examples nor the tasks before.
    ///
    /// # Example
    /// ```
    /// use thalweg_data::{Relabel, Stream};
    /// let (labels, stream) = ([0; 50], Stream::new(7, "labels"));
    /// let task = |t| Relabel::Random.labels(&labels, 10, &stream, t);
    /// assert_eq!(task(3), task(3));
    /// assert_ne!(task(3), task(4));
    /// ```
    pub fn labels(
        self,
        labels: &[usize],
        classes: usize,
        stream: &Stream,
        task: u64,
    ) -> Vec<usize> {
        let draws = stream.at(task);
        match self {
            Relabel::True => labels.to_vec(),
            Relabel::Random => {
                let classes = classes.max(1) as u64;
                (0..labels.len() as u64).map(|i| draws.below(i, classes) as usize).collect()
            }
            Relabel::Permuted => {
                let names = draws.permutation(classes);
                labels.iter().map(|&label| names.get(label).copied().unwrap_or(label)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_as_likely_and_tasks_are_independent() {
        let stream = Stream::new(0, "labels");
        let n = 20_000;
        let of = |task, n| Relabel::Random.labels(&vec![0; n], 5, &stream, task);
        let (first, second) = (of(0, n), of(1, n));
        let mut counts = [0usize; 25];
        for (a, b) in first.iter().zip(&second) {
            counts[a * 5 + b] += 1;
        }
        // Five standard deviations of a binomial count.
        let (mean, spread) = (n as f64 / 25.0, (n as f64 / 25.0 * (24.0 / 25.0)).sqrt());
        assert!(counts.iter().all(|&c| (c as f64 - mean).abs() < 5.0 * spread), "{counts:?}");
        // Fewer examples have the labels that they had.
        assert_eq!(of(1, 7), second[..7]);
    }

    #[test]
    fn classes_change_their_names_or_stay() {
        let stream = Stream::new(1, "labels");
        let labels = [0, 1, 2, 1];
        assert_eq!(Relabel::True.labels(&labels, 3, &stream, 4), labels);
        let permuted = Relabel::Permuted.labels(&labels, 3, &stream, 4);
        assert_eq!(permuted[1], permuted[3]);
        let mut names = permuted[..3].to_vec();
        names.sort_unstable();
        assert_eq!(names, [0, 1, 2]);
    }
}
