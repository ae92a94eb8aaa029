//! Sharpness: how the loss rises around a point.
//!
//! `S = max over |u|_p <= rho of L(w + c * u) - L(w)`, or the mean over random `u`, with a scale
//! `c` for each weight: 1, the weight itself, or the norm of its filter. What `c` is decides which
//! rescalings of a network a sharpness does not see.

mod adaptive_average_sharpness;
mod adaptive_sharpness;
mod adaptive_worst_sharpness;
mod ascent;
mod average_sharpness;
mod ball;
mod by_ascent;
mod critical_sharpness;
mod filter_adaptive_sharpness;
mod fisher_rao_norm;
mod m_sharpness;
mod relative_flatness;
mod rise;
mod sam_linf_sharpness;
mod sam_sharpness;
mod worst_sharpness;

pub use adaptive_average_sharpness::AdaptiveAverageSharpness;
pub use adaptive_sharpness::AdaptiveSharpness;
pub use adaptive_worst_sharpness::AdaptiveWorstSharpness;
pub use ascent::{Ascent, AscentConfig, ascend};
pub use average_sharpness::{
    AverageRise, AverageSharpness, AverageSharpnessConfig, average_sharpness,
};
pub use ball::{Norm, Scaling};
pub use by_ascent::{ByAscent, Reach};
pub use critical_sharpness::{
    CriticalRate, CriticalSharpness, CriticalSharpnessConfig, critical_sharpness,
};
pub use filter_adaptive_sharpness::FilterAdaptiveSharpness;
pub use fisher_rao_norm::{FisherRao, FisherRaoConfig, FisherRaoNorm, fisher_rao_norm};
pub use m_sharpness::{BatchRise, MSharpness, MSharpnessConfig, m_sharpness};
pub use relative_flatness::{
    Flatness, RelativeFlatness, RelativeFlatnessConfig, relative_flatness,
};
pub use rise::Rise;
pub use sam_linf_sharpness::SamLinfSharpness;
pub use sam_sharpness::{SamSharpness, SharpnessConfig, sam_sharpness};
pub use worst_sharpness::WorstSharpness;
