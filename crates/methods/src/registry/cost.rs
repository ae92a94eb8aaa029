//! What an instrument takes, said before it is used.

use crate::common::sampled_strata;
use crate::{Objective, Passes};
use std::fmt;

/// What a cost may depend on beside the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Number of weights.
    pub parameters: usize,
    /// Number of examples.
    pub examples: usize,
    /// Whether these are a sample whose choice leaves readings uncertain.
    pub sampled: bool,
}

impl Size {
    /// That of an objective.
    pub fn of(objective: &dyn Objective) -> Size {
        let (parameters, examples) = (objective.dimension(), objective.examples());
        Size { parameters, examples, sampled: sampled_strata(objective).is_some() }
    }

    /// More weights than any configuration looks at, and a usual number of examples, which are all.
    pub const LARGE: Size = Size { parameters: usize::MAX, examples: 1 << 16, sampled: false };
}

/// Passes over the data with which an instrument gives its reading.
///
/// Batch normalisation that is recalibrated takes a forward pass more for each point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// Just so many.
    Exactly(Passes),
    /// So many unless it is done earlier.
    AtMost(Passes),
}

impl Cost {
    /// So many losses, gradients and products.
    pub fn exactly(losses: usize, gradients: usize, products: usize) -> Cost {
        Cost::Exactly(Passes::new(losses, gradients, products))
    }

    /// At most so many losses, gradients and products.
    pub fn at_most(losses: usize, gradients: usize, products: usize) -> Cost {
        Cost::AtMost(Passes::new(losses, gradients, products))
    }

    /// So many second derivatives more.
    pub fn with_second_derivatives(mut self, vectors: usize) -> Cost {
        let (Cost::Exactly(passes) | Cost::AtMost(passes)) = &mut self;
        passes.second_derivatives += vectors as f64;
        self
    }

    /// The passes, at most.
    pub fn passes(&self) -> Passes {
        match self {
            Cost::Exactly(passes) | Cost::AtMost(passes) => *passes,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cost::Exactly(passes) => write!(f, "{passes}"),
            Cost::AtMost(passes) => write!(f, "at most {passes}"),
        }
    }
}
