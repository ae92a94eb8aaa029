//! Where training leads: networks whose end can be worked out, how far one is from it, and what has
//! become of units, features and weights on the way.

mod dead_units;
mod deep_linear_collapse;
mod feature_rank;
mod free_features;
mod learning_rate_transfer;
mod neural_collapse;
mod plasticity_probe;
mod quadratic_single_index;
mod scaled_residual;
mod weight_conditioning;
mod weight_norm;
mod weight_rank;

pub use dead_units::{DeadUnits, DeadUnitsConfig, LayerUnits, dead_units};
pub use deep_linear_collapse::{
    ClassCollapse, CollapseConfig, collapse_threshold, deep_linear_collapse,
};
pub use feature_rank::{FeatureRank, FeatureRankConfig, FeatureRanks, feature_rank};
pub use free_features::free_features;
pub use learning_rate_transfer::{LearningRateTransfer, learning_rate_transfer};
pub use neural_collapse::{
    Collapse, NeuralCollapse, class_scatter, frame_distance, neural_collapse, simplex_frame,
    within_class_variability,
};
pub use plasticity_probe::{
    Plasticity, PlasticityConfig, Relabel, brownian_control, interference_objective,
    plasticity_probe, relabel_stream, reset_last_layer, shrink_and_perturb, two_hot, two_hot_mean,
};
pub use quadratic_single_index::{
    LazyNetwork, QuadraticSingleIndex, kernel_alignment, kernel_descent,
};
pub use scaled_residual::ScaledResidual;
pub use weight_conditioning::{
    RowScaling, ScaledConvolution, ScaledDense, condition_number, fold, with_gains,
};
pub use weight_norm::{WeightNorm, WeightNorms, weight_norm};
pub use weight_rank::{WeightRank, WeightRanks, weight_rank};
