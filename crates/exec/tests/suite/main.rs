//! What plans do beyond the values of single operations, which `conformance` tests.

mod extreme_sizes;
mod folded_members;
mod fused_loops;
mod recompute;
mod watched;
