//! Eigenvalues that stand out of the bulk of a spectrum: beyond the ends that a density shows, or by a
//! rule where every eigenvalue is known.

mod of_density;
mod of_spectrum;

pub use of_density::Outliers;
pub use of_spectrum::{OutlierRule, count_outliers};
