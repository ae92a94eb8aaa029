//! Normalise and project.

mod normalization;
mod projection;
mod rates;

pub use normalization::{insert_norm, radial_gradients};
pub use projection::{
    NapAffine, NapConfig, NapScope, NormTrace, nap, projected_weights, weight_norms,
};
pub use rates::{
    StepKind, effective_rates, replay_elr_schedule, replay_layer_rates, replayed_rate,
    replayed_rates,
};

#[cfg(test)]
mod tests;
