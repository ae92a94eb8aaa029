//! Evaluation of graphs: a slow reference in f64, and the CPU executor.

pub mod kernel;
pub mod reference;
