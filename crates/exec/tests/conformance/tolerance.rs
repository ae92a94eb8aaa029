//! The one table of tolerances. Errors are relative to one plus the largest element expected.

/// CPU executor against the oracle, `f64`.
pub const EXECUTOR_F64: f64 = 1e-10;

/// CPU executor against the oracle, `f32`.
pub const EXECUTOR_F32: f64 = 2e-5;

/// A derivative against differences of the oracle. Three central differences at the step, its half
/// and its quarter, extrapolated twice, leave a truncation of about `1e-17 f^(7)` and a rounding
/// of about `2e-13 f`.
pub const DIFFERENCES: f64 = 1e-8;

/// Two ways of writing one value, both on the oracle: inner products, stacked members.
pub const IDENTITY: f64 = 1e-10;

/// Step of the differences.
pub const STEP: f64 = 0.005;
