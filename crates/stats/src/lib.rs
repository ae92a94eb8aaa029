//! Estimates with standard errors, intervals, comparisons and the bootstrap.
//!
//! A standard error covers sampling: a subset of the data, probes, directions, seeds. What was
//! computed on everything has none, and is a plain number.

mod accumulate;
mod association;
mod bootstrap;
mod damped_descent;
mod distribution;
mod error;
mod estimate;
mod holm;
mod jackknife;
mod least_squares;
mod paired;
mod power;
mod verdict;

pub use accumulate::{CompensatedSum, Moments, pairwise_sum};
pub use association::{Line, fit_line, kendall_tau, pearson, spearman};
pub use bootstrap::{
    Bootstrap, BootstrapConfig, BootstrapMethod, bootstrap, interval_of_replicates, quantile,
};
pub use damped_descent::{Damping, Descent, Squares, damped_descent};
pub use distribution::{normal_cdf, normal_quantile, student_t_cdf, student_t_quantile};
pub use error::StatsError;
pub use estimate::{Estimate, Interval};
pub use holm::holm;
pub use jackknife::Jackknife;
pub use least_squares::{LeastSquares, least_squares, solve_definite};
pub use paired::{PairedComparison, compare_paired};
pub use power::detectable_effect;
pub use verdict::{Bound, Verdict};
