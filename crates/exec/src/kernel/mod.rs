//! Kernels: the inner loops of the CPU executor.
//!
//! Every kernel is generic over [`Float`] and runs with the instruction set of its [`Pool`]. The
//! order in which an output element is summed is defined in [`order`] and depends on the operation
//! and its reduced extent alone; threads, tiles, populations and instruction sets never change a
//! bit of a result.

pub(crate) mod bounds;
pub mod convolution;
pub mod dot;
pub mod math;
mod micro;
pub mod order;
mod pack;
pub mod pool;
pub mod simd;
mod team;
#[cfg(test)]
mod testing;

pub use convolution::{Convolution, Pass};
pub use dot::{Batch, Prepared, Product};
pub use math::Math;
pub use pool::Pool;
pub use simd::{Float, Isa};
