//! Where training leads: networks whose end can be worked out, and how far one is from it.

mod deep_linear_collapse;
mod free_features;
mod learning_rate_transfer;
mod neural_collapse;
mod quadratic_single_index;
mod scaled_residual;
mod weight_conditioning;

pub use deep_linear_collapse::{
    ClassCollapse, CollapseConfig, collapse_threshold, deep_linear_collapse,
};
pub use free_features::free_features;
pub use learning_rate_transfer::{LearningRateTransfer, learning_rate_transfer};
pub use neural_collapse::{frame_distance, simplex_frame, within_class_variability};
pub use quadratic_single_index::{
    LazyNetwork, QuadraticSingleIndex, kernel_alignment, kernel_descent,
};
pub use scaled_residual::ScaledResidual;
pub use weight_conditioning::{
    RowScaling, ScaledConvolution, ScaledDense, condition_number, fold, with_gains,
};
