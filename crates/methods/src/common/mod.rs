//! What methods share: objectives and their evaluation, vectors, small dense problems.

mod evaluate;
mod evaluation;
mod filters;
mod gathered;
mod gradient;
mod input_objective;
mod linear_operator;
mod model_objective;
mod objective;
mod points;
mod population;
mod probe;
mod scaled;
mod symmetric_eigen;
pub mod vector;

pub use evaluate::{Evaluator, evaluate};
pub use evaluation::{Evaluation, ExampleValues, Status};
pub(crate) use evaluation::{standard_error, summarize};
pub(crate) use filters::Filters;
pub(crate) use gathered::Gathered;
pub(crate) use gradient::{Declared, GradientPass, declare};
pub use gradient::{Gradient, gradient};
pub use input_objective::{InputObjective, Likelihood};
pub(crate) use linear_operator::check_lengths;
pub use linear_operator::{DenseOperator, LinearOperator};
pub use model_objective::{ModelObjective, ObjectiveConfig};
pub use objective::{BatchNorm, Examples, Function, Objective, Sampling};
pub(crate) use objective::{check_point, frozen_at};
pub(crate) use population::{even_chunks, fit};
pub(crate) use probe::{normals, signs};
pub(crate) use scaled::Deflated;
pub use scaled::{Scaled, adam_preconditioner};
pub use symmetric_eigen::{SymmetricEigen, symmetric_eigen};
