//! Models and weights.
