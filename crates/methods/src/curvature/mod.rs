//! Curvature at a point: products of curvature matrices, eigenpairs, trace and other sums over the
//! spectrum, its density.

mod class_spectrum;
mod curvature_slope;
mod curvature_terms;
mod density;
mod effective_dimension;
mod exact;
mod frobenius_norm;
mod gauss_newton_split;
mod hessian;
mod hessian_max_spectrum;
mod hutch_plus_plus;
mod hutchinson;
mod kernel_polynomial;
mod known;
mod lanczos;
mod lobpcg;
mod log_determinant;
mod norm_of_sample;
mod of_matrix;
mod operator;
mod outliers;
mod quadrature;
mod sketch;
mod spectral_sum;
mod split;
mod xdiag;
mod xtrace;

pub use class_spectrum::{ClassSpectrum, ClassSpectrumConfig, class_spectrum};
pub use curvature_slope::{CurvatureSlopeConfig, CurvatureSlopeReading, CurvatureSlopes};
pub(crate) use curvature_terms::Forms;
pub use curvature_terms::{CurvatureTerms, OnSample, curvature_terms};
pub use density::{Density, DensityConfig, SpectralDensity, density};
pub use effective_dimension::{EffectiveDimension, effective_dimension};
pub use exact::{ExactSpectrum, dense, exact_moments};
pub use frobenius_norm::{FrobeniusNorm, frobenius_norm};
pub use gauss_newton_split::{GaussNewtonSplit, gauss_newton_split};
pub use hessian::Hessian;
pub use hessian_max_spectrum::{MaxSpectrum, MaxSpectrumConfig, hessian_max_spectrum};
pub use hutch_plus_plus::{HutchPlusPlus, HutchPlusPlusConfig, hutch_plus_plus};
pub use hutchinson::{Hutchinson, HutchinsonConfig, TraceEstimate, hutchinson};
pub use kernel_polynomial::{KernelPolynomial, KernelPolynomialConfig, kernel_polynomial};
pub use lanczos::{Eigenpair, Eigenpairs, Lanczos, LanczosConfig, lanczos, lanczos_from};
pub use lobpcg::{End, GeneralizedPairs, LobpcgConfig, lobpcg};
pub use log_determinant::{LogDeterminant, log_determinant};
pub use norm_of_sample::{NormOfSample, norm_of_sample};
pub use of_matrix::OfMatrix;
pub use operator::{
    Approximation, Coupling, Curvature, CurvatureMatrix, CurvatureSlope, ExampleGroup,
    KroneckerFactored, KroneckerFactors, OperatorChoice, ParameterBlock, Scope, diagonal,
    eigenvalue_slopes,
};
pub use outliers::{OutlierRule, Outliers, count_outliers};
pub use sketch::SketchedTrace;
pub use spectral_sum::{SpectralSum, SpectralSumConfig};
pub use split::{CurvatureSplit, ResidualCurvature, curvature_split};
pub use xdiag::{Diagonal, XDiag, XDiagConfig, xdiag};
pub use xtrace::{XTrace, XTraceConfig, xtrace};
