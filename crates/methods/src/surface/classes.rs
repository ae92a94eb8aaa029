//! Which examples are of which class, and the loss of each.

use crate::MethodError;
use crate::common::{ExampleValues, Objective, Sampling, standard_error};
use thalweg_stats::pairwise_sum;

/// The losses of the examples of each class on the points of a surface.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassLosses {
    /// The classes that occur, in order.
    pub classes: Vec<i32>,
    /// How many examples each has.
    pub examples: Vec<usize>,
    /// The mean loss of each at each point, `[class, pair, y, x]`.
    pub loss: Vec<f64>,
    /// Its standard error, where the examples are a sample.
    pub standard_error: Option<Vec<f64>>,
}

/// The examples of each class, by their places.
pub(super) struct Classes<'a> {
    classes: Vec<(i32, Vec<usize>)>,
    sampling: &'a Sampling,
}

impl<'a> Classes<'a> {
    pub(super) fn new(objective: &'a dyn Objective) -> Result<Classes<'a>, MethodError> {
        let labels = objective.labels().ok_or_else(|| {
            let expected = "examples with one class each";
            MethodError::config("surfaces of classes", expected, "none")
        })?;
        let mut known = labels.clone();
        known.sort_unstable();
        known.dedup();
        let places = |class: i32| {
            let of = labels.iter().enumerate().filter(|(_, label)| **label == class);
            (class, of.map(|(place, _)| place).collect())
        };
        let classes = known.into_iter().map(places).collect();
        Ok(Classes { classes, sampling: objective.sampling() })
    }

    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Mean loss of each class at a point, and its standard error; NaN where all were taken.
    pub(super) fn summarize(&self, values: &ExampleValues) -> Vec<[f64; 2]> {
        let one = |(_, places): &(i32, Vec<usize>)| {
            let losses: Vec<f64> = places.iter().map(|&place| values.losses[place]).collect();
            let mean = pairwise_sum(&losses) / losses.len() as f64;
            let error = match self.sampling {
                Sampling::All => f64::NAN,
                Sampling::Strata(strata) => {
                    // A class is a stratum, or its examples are a sample of nobody knows how many.
                    let own = strata.iter().find(|(members, _)| members == places);
                    let size = own.map_or(usize::MAX >> 12, |(_, size)| *size);
                    standard_error(&losses, &[((0..losses.len()).collect(), size)])
                }
            };
            [mean, error]
        };
        self.classes.iter().map(one).collect()
    }

    /// From values point by point, `[pair y x, class]`.
    pub(super) fn losses(&self, loss: &[f64], errors: &[f64]) -> ClassLosses {
        let n = self.len();
        let turned = |values: &[f64]| -> Vec<f64> {
            (0..n).flat_map(|class| values.iter().skip(class).step_by(n).copied()).collect()
        };
        let sampled = *self.sampling != Sampling::All;
        ClassLosses {
            classes: self.classes.iter().map(|(class, _)| *class).collect(),
            examples: self.classes.iter().map(|(_, places)| places.len()).collect(),
            loss: turned(loss),
            standard_error: sampled.then(|| turned(errors)),
        }
    }
}
