//! Inputs that are moved so that a classifier errs, and training against them.

mod adversarial_training;
mod attack;
mod gradient_penalty;

pub use adversarial_training::adversarial_training;
pub use attack::{Attack, Attacked, attack};
pub use gradient_penalty::gradient_penalty;
