//! Where training leads: networks whose end can be worked out, and how far one is from it.

mod deep_linear_collapse;
mod free_features;
mod neural_collapse;
mod quadratic_single_index;
mod weight_conditioning;

pub use deep_linear_collapse::{
    ClassCollapse, CollapseConfig, collapse_threshold, deep_linear_collapse,
};
pub use free_features::free_features;
pub use neural_collapse::{frame_distance, simplex_frame, within_class_variability};
pub use quadratic_single_index::{
    LazyNetwork, QuadraticSingleIndex, kernel_alignment, kernel_descent,
};
pub use weight_conditioning::{
    RowScaling, ScaledConvolution, ScaledDense, condition_number, fold, with_gains,
};
