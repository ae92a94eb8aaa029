//! Curvature at a point: Hessian products, eigenpairs, trace, spectral density, sharpness.

mod density;
mod exact;
mod hessian;
mod hutchinson;
mod lanczos;
mod operator;
mod sam_sharpness;

pub use density::{Density, DensityConfig, SpectralDensity, density};
pub use exact::{ExactSpectrum, dense, exact_moments};
pub use hessian::Hessian;
pub use hutchinson::{Hutchinson, HutchinsonConfig, TraceEstimate, hutchinson};
pub use lanczos::{Eigenpair, Eigenpairs, Lanczos, LanczosConfig, lanczos};
pub use operator::{Coupling, Curvature, CurvatureMatrix, ExampleGroup, ParameterBlock, Scope};
pub use sam_sharpness::{SamSharpness, Sharpness, SharpnessConfig, sam_sharpness};
