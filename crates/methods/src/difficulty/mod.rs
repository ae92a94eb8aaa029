//! How hard data are to generalise from, whatever learns them: the dimension of their manifold, the
//! distance between classes, and the inductive bias that they ask for.

mod class_separation;
mod distances;
mod inductive_bias_complexity;
mod interpolating_volume;
mod intrinsic_dimension;

pub use class_separation::{Separation, SeparationConfig, class_separation};
pub use inductive_bias_complexity::{
    Complexity, ComplexityConfig, GeneralizationTask, inductive_bias_complexity,
};
pub use interpolating_volume::{VolumeConfig, VolumeEstimate, interpolating_volume};
pub use intrinsic_dimension::{DimensionConfig, intrinsic_dimension};
