//! How the gradients of batches agree.

mod gradient_confusion;
mod gradient_noise_scale;
mod gram;

pub use gradient_confusion::{Confusion, GradientConfusion, gradient_confusion};
pub use gradient_noise_scale::{GradientNoiseScale, NoiseScale, gradient_noise_scale};
pub use gram::{BatchGradients, BatchGradientsConfig, batch_gradients};
