//! The table of cases, by family.

pub mod along_axes;
pub mod composite;
pub mod contraction;
pub mod control;
pub mod elementwise;
pub mod linear_algebra;
pub mod rewriting;
pub mod sizes;
pub mod structural;
