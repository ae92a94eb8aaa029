//! One-dimensional results: a line through weight space, and what training looked like.

use crate::{Quantity, number};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The loss along one direction from the centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What the line is, for a legend: `x` or `second eigenvector`.
    pub name: String,
    /// Where along the direction each point lies, in units of the direction.
    #[serde(with = "number::vec")]
    pub at: Vec<f64>,
    /// The loss at each point.
    #[serde(with = "number::vec")]
    pub loss: Vec<f64>,
    /// The standard error of each loss, if it was taken on a subset.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub loss_standard_error: Option<Vec<f64>>,
    /// The parabola that touches the loss at the centre to second order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parabola: Option<Parabola>,
}

/// Loss, slope and curvature at the centre of a line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parabola {
    /// The loss.
    #[serde(with = "number")]
    pub loss: f64,
    /// Its derivative along the line.
    pub slope: Quantity,
    /// Its second derivative.
    pub curvature: Quantity,
}

impl Parabola {
    /// The parabola at a distance from the centre.
    pub fn at(&self, step: f64) -> f64 {
        self.loss + step * (self.slope.value() + 0.5 * step * self.curvature.value())
    }
}

/// The measurements of one member of a population while it trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingCurve {
    /// The member, for a legend: `seed 3, lr 0.1`.
    pub member: String,
    /// The step after which each row was measured.
    pub step: Vec<u64>,
    /// The measurements by name (`train_loss`, `test_accuracy`, ...), each as long as `step`; NaN
    /// where a step has none.
    pub columns: BTreeMap<String, CurveColumn>,
}

/// One measurement at every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CurveColumn(#[serde(with = "number::vec")] pub Vec<f64>);

impl TrainingCurve {
    /// The measurements under one name.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        self.columns.get(name).map(|column| column.0.as_slice())
    }
}
