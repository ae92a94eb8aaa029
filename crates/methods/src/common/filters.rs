//! Which elements of a parameter belong together.

use thalweg_nn::{Parameter, Role};

/// Groups of the elements of an array: element `i` is of group `i / inner % n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filters {
    n: usize,
    inner: usize,
    whole: bool,
}

impl Filters {
    /// All elements in one group.
    pub(crate) const WHOLE: Filters = Filters { n: 1, inner: 1, whole: true };

    /// The filters of a parameter: an output unit with its whole fan-in. In an array of one axis
    /// (biases, normalisation) and in a scalar each element is a filter of its own; in an embedding
    /// each row is one.
    pub(crate) fn of(parameter: &Parameter) -> Filters {
        if parameter.shape.len() < 2 {
            return Filters { n: parameter.count().max(1), inner: 1, whole: false };
        }
        let axis = match parameter.role {
            Role::Embedding => Some(0),
            _ => parameter.filter_axis(),
        };
        match axis {
            Some(axis) => Filters {
                n: parameter.shape[axis].max(1),
                inner: parameter.shape[axis + 1..].iter().product::<usize>().max(1),
                whole: false,
            },
            None => Filters::WHOLE,
        }
    }

    /// The group of an element.
    pub(crate) fn group(&self, element: usize) -> usize {
        if self.whole { 0 } else { element / self.inner % self.n }
    }

    /// The sum of squares of each group.
    pub(crate) fn squares(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.n];
        for (i, value) in values.iter().enumerate() {
            sums[self.group(i)] += value * value;
        }
        sums
    }

    /// Scales each group of a direction to the norm that it has in the weights.
    pub(crate) fn rescale(&self, d: &mut [f64], w: &[f64]) {
        self.scale_to(d, self.squares(w));
    }

    /// Scales each group of a direction to norm one; one of zeros stays.
    pub(crate) fn rescale_to_one(&self, d: &mut [f64]) {
        self.scale_to(d, vec![1.0; self.n]);
    }

    /// Scales each group to a sum of squares.
    fn scale_to(&self, d: &mut [f64], squares: Vec<f64>) {
        let factors: Vec<f64> = self
            .squares(d)
            .into_iter()
            .zip(squares)
            .map(|(d, wanted)| if d > 0.0 { (wanted / d).sqrt() } else { 0.0 })
            .collect();
        for (i, value) in d.iter_mut().enumerate() {
            *value *= factors[self.group(i)];
        }
    }
}
