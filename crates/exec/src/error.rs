//! What can go wrong when a program is compiled or run.

use thalweg_graph::{GraphError, TensorType};

/// Why a graph could not be compiled or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The graph itself is wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The number of arrays is not the number of inputs.
    #[error("the program takes {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Arrays given.
        got: usize,
    },
    /// An array is not of its input's type.
    #[error("input {name:?}: expected {expected}, got {got}")]
    InputType {
        /// Name of the input.
        name: String,
        /// Its type.
        expected: TensorType,
        /// Type of the array.
        got: TensorType,
    },
    /// The program needs more memory than the system gives.
    #[error("no memory for {bytes} bytes of working space")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// A factorisation of a matrix that has none.
    #[error("{op}: {reason}")]
    Numerical {
        /// The operation.
        op: &'static str,
        /// What is wrong with its operand.
        reason: String,
    },
}
