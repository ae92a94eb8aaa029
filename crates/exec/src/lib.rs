//! Evaluation of graphs: a slow reference in f64, and the CPU executor.
//!
//! [`reference`](mod@reference) is the oracle: obvious and slow. [`Executor`] compiles a graph once
//! into a plan of fused loops, matrix products and convolutions over buffers planned by liveness,
//! and runs it many times. The order in which an output element is summed depends on the operation
//! and its reduced extent alone, so threads, populations, chunks and instruction sets never change
//! a bit.

mod error;
mod executor;
pub mod kernel;
mod loops;
mod plain;
mod plan;
mod program;
pub mod reference;
mod scalar;

pub use error::ExecError;
pub use executor::Executor;
pub use program::{Memory, Program, Watch};
