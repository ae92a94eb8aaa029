//! Operations that hold graphs.

use crate::graph::Graph;
use std::sync::Arc;

/// A loop `scan(carry.., xs.., constants..) -> (carry.., ys..)`.
///
/// The body maps `(carry.., x.., constants..)` to `(carry.., y..)`; step `t` sees row `t` of each
/// `xs` and writes row `t` of each `ys`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// One step.
    pub body: Arc<Graph>,
    /// Number of steps.
    pub length: usize,
    /// Values carried from step to step.
    pub n_carry: usize,
    /// Sequences read, one row a step.
    pub n_xs: usize,
    /// Run from the last row to the first.
    pub reverse: bool,
    /// Branching of the tree of checkpoints that the reverse rule uses: a gradient through `T`
    /// steps keeps about `k log_k T` carries and runs the body about `2 + log_k T` times a step.
    /// `0` keeps every carry.
    pub checkpoint_branching: usize,
}

/// A loop `while(carry.., constants..) -> carry..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct While {
    /// `(carry.., constants..) -> bool`.
    pub condition: Arc<Graph>,
    /// `(carry.., constants..) -> carry..`.
    pub body: Arc<Graph>,
    /// Values carried from step to step.
    pub n_carry: usize,
}

/// How a linear system is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Solver {
    /// Conjugate gradients; the operator is symmetric and positive definite.
    ConjugateGradient,
    /// Stabilised bi-conjugate gradients; any regular operator.
    BiConjugateGradientStabilized,
}

/// A matrix-free linear system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinearSolve {
    /// `(constants.., x) -> a x`, linear in its last input.
    pub matvec: Arc<Graph>,
    /// The iteration.
    pub solver: Solver,
    /// Upper bound on its steps.
    pub max_iterations: usize,
    /// Ends when the residual's norm is below this share of the right side's (bits of an `f64`).
    pub tolerance_bits: u64,
    /// Leading axes of `b` that hold independent systems.
    pub n_batch: usize,
}

/// A fixed-point iteration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FixedPoint {
    /// `(constants.., x) -> x`.
    pub body: Arc<Graph>,
    /// Upper bound on its steps.
    pub max_iterations: usize,
    /// Ends when the change's norm is below this share of the iterate's (bits of an `f64`).
    pub tolerance_bits: u64,
    /// Leading axes of `x` that hold independent problems.
    pub n_batch: usize,
}
