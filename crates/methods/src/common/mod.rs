//! What methods share: objectives and their evaluation, vectors, small dense problems.

mod evaluate;
mod evaluation;
mod gathered;
mod gradient;
mod lbfgs;
mod linear_operator;
mod model_objective;
mod objective;
mod path;
mod points;
mod population;
mod probe;
mod scaled;
mod symmetric_eigen;
pub mod vector;

pub use evaluate::{Evaluator, evaluate};
pub(crate) use evaluation::standard_error;
pub use evaluation::{Evaluation, ExampleValues, Status};
pub(crate) use gathered::Gathered;
pub(crate) use gradient::{Declared, declare};
pub use gradient::{Gradient, Gradients, gradient};
pub use lbfgs::{LbfgsConfig, Minimum, lbfgs};
pub(crate) use linear_operator::check_lengths;
pub use linear_operator::{DenseOperator, LinearOperator};
pub use model_objective::{ModelObjective, ObjectiveConfig};
pub(crate) use objective::frozen_at;
pub use objective::{BatchNorm, Examples, Function, Objective, Sampling};
pub use path::{barrier, linear_path};
pub(crate) use population::{even_chunks, fit};
pub(crate) use probe::{normals, signs};
pub(crate) use scaled::Deflated;
pub use scaled::{Scaled, adam_preconditioner};
pub use symmetric_eigen::{SymmetricEigen, symmetric_eigen};
