//! What can be wrong with a graph.

use std::panic::Location;

/// The first mistake made while a graph was built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op} at {file}:{line}: expected {expected}, got {got}")]
pub struct GraphError {
    /// The operation that was asked for.
    pub op: String,
    /// Source file of the caller.
    pub file: String,
    /// Line in that file.
    pub line: u32,
    /// What would have been right.
    pub expected: String,
    /// What was there.
    pub got: String,
}

impl GraphError {
    pub(crate) fn new(op: &str, place: &Location<'_>, mismatch: Mismatch) -> GraphError {
        GraphError {
            op: op.to_owned(),
            file: place.file().to_owned(),
            line: place.line(),
            expected: mismatch.expected,
            got: mismatch.got,
        }
    }
}

/// What a shape rule found wrong; the builder adds the operation and the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What would have been right.
    pub expected: String,
    /// What was there.
    pub got: String,
}

impl Mismatch {
    pub(crate) fn new(expected: impl Into<String>, got: impl Into<String>) -> Mismatch {
        Mismatch { expected: expected.into(), got: got.into() }
    }
}

/// `Err(Mismatch)` unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $expected:expr, $got:expr $(,)?) => {
        if !$condition {
            return Err($crate::error::Mismatch::new($expected, $got));
        }
    };
}
pub(crate) use ensure;
