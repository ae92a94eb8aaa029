//! How gradients agree: those of batches, and those along a path.

mod gradient_confusion;
mod gradient_noise_scale;
mod gradient_path;
mod gram;

pub use gradient_confusion::{Confusion, GradientConfusion, gradient_confusion};
pub use gradient_noise_scale::{GradientNoiseScale, NoiseScale, gradient_noise_scale};
pub use gradient_path::{PathGradient, line_gradients, trajectory_gradients};
pub use gram::{BatchGradients, BatchGradientsConfig, batch_gradients};
