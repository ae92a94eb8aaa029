//! Methods: one file each, in a folder for each family.
//!
//! A method takes a [`Context`], an [`Objective`] (a loss as a function of weights), a point in
//! weight space and a `Config`, and gives plain Rust values. Nothing here reads a clock, the
//! environment or files, and nothing prints. What takes long is cut into [`Context::unit`]s, so
//! that a killed run resumes where it stopped and ends with the same bits.
//!
//! - [`surface`]: the loss on lines and planes through weight space, and the roughness index.
//! - [`adversarial`]: inputs moved so that a classifier errs, and training against them.
//! - [`curvature`]: Hessian products, eigenpairs, trace, spectral density.
//! - [`sharpness`]: how the loss rises around a point, in a step, on average, at worst.
//! - [`dynamics`]: where training leads, and what becomes of units, features and weights.
//! - [`gradients`]: how the gradients of batches, and those along a path, agree.
//! - [`difficulty`]: how hard data are, whatever learns them.
//! - [`common`]: the mathematics that methods share.
//! - [`registry`]: the methods by name.

pub mod adversarial;
pub mod common;
mod context;
pub mod curvature;
pub mod difficulty;
pub mod dynamics;
mod error;
pub mod gradients;
mod meter;
pub mod registry;
pub mod sharpness;
pub mod surface;

pub use common::{
    BatchNorm, Evaluation, Evaluator, Examples, Function, InputObjective, Likelihood,
    ModelObjective, Objective, ObjectiveConfig, Status, evaluate,
};
pub use context::{Context, NamedArrays, Progress, Silent, UnitStore};
pub use error::MethodError;
pub use meter::{Meter, Pass, Passes};
