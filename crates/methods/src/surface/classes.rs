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

/// The examples of each class.
pub(super) struct Classes {
    classes: Vec<Class>,
    sampled: bool,
}

struct Class {
    label: i32,
    /// Where its examples are.
    places: Vec<usize>,
    /// How many they were drawn from: a class is a stratum, or its examples are a sample of nobody
    /// knows how many.
    population: usize,
}

impl Classes {
    pub(super) fn new(objective: &dyn Objective) -> Result<Classes, MethodError> {
        let labels = objective.labels().ok_or_else(|| {
            let expected = "examples with one class each";
            MethodError::config("surfaces of classes", expected, "none")
        })?;
        let mut known = labels.clone();
        known.sort_unstable();
        known.dedup();
        let sampling = objective.sampling();
        let class = |label: i32| {
            let of = labels.iter().enumerate().filter(|(_, own)| **own == label);
            let places: Vec<usize> = of.map(|(place, _)| place).collect();
            let stratum = match sampling {
                Sampling::All => None,
                Sampling::Strata(strata) => strata.iter().find(|(members, _)| *members == places),
            };
            Class { label, places, population: stratum.map_or(usize::MAX >> 12, |(_, size)| *size) }
        };
        let classes = known.into_iter().map(class).collect();
        Ok(Classes { classes, sampled: *sampling != Sampling::All })
    }

    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Mean loss of each class at a point, and its standard error; NaN where all were taken.
    pub(super) fn summarize(&self, values: &ExampleValues) -> Vec<[f64; 2]> {
        let one = |class: &Class| {
            let losses: Vec<f64> = class.places.iter().map(|&at| values.losses[at]).collect();
            let mean = pairwise_sum(&losses) / losses.len() as f64;
            let stratum = ((0..losses.len()).collect(), class.population);
            [mean, if self.sampled { standard_error(&losses, &[stratum]) } else { f64::NAN }]
        };
        self.classes.iter().map(one).collect()
    }

    /// From values point by point, `[pair y x, class]`.
    pub(super) fn losses(&self, loss: &[f64], errors: &[f64]) -> ClassLosses {
        let n = self.len();
        let turned = |values: &[f64]| -> Vec<f64> {
            (0..n).flat_map(|class| values.iter().skip(class).step_by(n).copied()).collect()
        };
        ClassLosses {
            classes: self.classes.iter().map(|class| class.label).collect(),
            examples: self.classes.iter().map(|class| class.places.len()).collect(),
            loss: turned(loss),
            standard_error: self.sampled.then(|| turned(errors)),
        }
    }
}
