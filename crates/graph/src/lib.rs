//! Typed tensor graphs.
//!
//! A [`Graph`] is a pure function of named tensors, made of a closed set of operations ([`Op`]).
//! A [`Builder`] traces one through copyable [`Tensor`] handles. This crate knows the shape of
//! every operation and nothing of how to differentiate, batch or run it.

mod builder;
mod compose;
mod error;
mod graph;
mod op;
mod print;
mod shape;
mod tensor;
mod verify;

pub use builder::Builder;
pub use compose::ScanStep;
pub use error::{GraphError, Mismatch};
pub use graph::{Graph, Node, Port, TensorType, Value};
pub use op::{
    Binary, Comparison, ConvolutionWindow, DotAxes, FixedPoint, GatherAxes, LinearSolve, Op,
    Reduction, Scan, Solver, Unary, While, Window, window_extent,
};
pub use shape::infer;
pub use tensor::{Operand, Tensor};
pub use thalweg_array::{Array, DType};
