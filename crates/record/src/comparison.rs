//! Several models under the same instruments.

use crate::{Quantity, number};
use serde::{Deserialize, Serialize};

/// What instruments say of several models, and where these differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// The probability of any false difference among those that are called real.
    pub level: f64,
    /// The instruments.
    pub instruments: Vec<ComparedInstrument>,
    /// What was read off, one entry a number.
    pub quantities: Vec<ComparedQuantity>,
    /// How each two models differ in each of them.
    pub differences: Vec<Difference>,
}

/// An instrument of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedInstrument {
    /// Its name.
    pub id: String,
    /// What it gives.
    pub summary: String,
    /// Where it comes from.
    pub source: String,
    /// Passes over the data for each model, in words.
    pub cost: String,
    /// About how many gradients that is worth.
    pub gradients: f64,
    /// What does not change its reading, in words.
    pub invariances: Vec<String>,
    /// What its reading took of each model, in their order.
    pub spent: Vec<SpentPasses>,
}

/// What a reading took, in passes over all the examples; a pass over half of them is half a pass.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpentPasses {
    /// All of it in words.
    pub passes: String,
    /// Forward passes.
    pub losses: f64,
    /// Forward and backward passes.
    pub gradients: f64,
    /// Products with a curvature matrix.
    pub products: f64,
    /// Second derivatives of every example's loss along a vector.
    pub second_derivatives: f64,
}

/// A number of an instrument, of each model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ComparedQuantity {
    /// The instrument.
    pub instrument: String,
    /// What it is.
    pub name: String,
    /// One value a model, in their order.
    pub values: Vec<Quantity>,
    /// Whether they are of the examples taken alone, which are a sample: no error holds their choice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_examples: bool,
}

/// What the error of a difference is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampled {
    /// The examples, seen as drawn from what they stand for, and the same for both models.
    Examples,
    /// Probes, directions or perturbations, the same for both.
    Draws,
    /// The examples and the draws, each the same for both.
    Both,
    /// Draws that are not paired.
    Unpaired,
}

/// How two models differ in a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The instrument.
    pub instrument: String,
    /// What the number is.
    pub name: String,
    /// The model that is taken away.
    pub first: String,
    /// The model that it is taken from.
    pub second: String,
    /// The second less the first, with the standard error of the difference; a plain number where
    /// nothing was sampled.
    pub difference: Quantity,
    /// What the error is over; absent where nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Sampled>,
    /// The probability of a difference at least as large if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub p: Option<f64>,
    /// The same, by Holm's method, for all differences of the comparison at once.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub p_adjusted: Option<f64>,
    /// Whether the adjusted probability is below the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<bool>,
}
