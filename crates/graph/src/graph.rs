//! A finished graph: a value that can be shared, hashed, printed, transformed and compiled.

use crate::op::Op;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;
use thalweg_array::DType;

/// Element type and shape of a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extent of each axis.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> TensorType {
        TensorType { dtype, shape: shape.into() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements; shapes that overflow are refused when they are built.
    pub fn element_count(&self) -> usize {
        thalweg_array::element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Number of bytes.
    pub fn size_in_bytes(&self) -> usize {
        self.element_count().saturating_mul(self.dtype.size())
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One result of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: u32,
    /// Which of its results.
    pub output: u32,
}

impl Value {
    /// The first result of a node.
    pub fn first(node: u32) -> Value {
        Value { node, output: 0 }
    }
}

/// An operation with its operands and the types of its results.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// Types of its results.
    pub types: Vec<TensorType>,
    /// Where the caller's source asked for it.
    pub place: &'static Location<'static>,
}

/// Nodes are equal when they compute the same, wherever they were written.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.op == other.op && self.inputs == other.inputs
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.op.hash(state);
        self.inputs.hash(state);
    }
}

/// A name and a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// Unique among the inputs, or among the outputs.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
}

/// A pure function from named tensors to named tensors.
///
/// Nodes stand in an order in which operands come first; every node is used; inputs are nodes,
/// used or not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Graph {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) inputs: Vec<(Port, u32)>,
    pub(crate) outputs: Vec<(String, Value)>,
}

impl Graph {
    /// The nodes, operands first.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Name and type of each input.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &Port> {
        self.inputs.iter().map(|(port, _)| port)
    }

    /// The node of each input.
    pub fn input_nodes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.inputs.iter().map(|&(_, node)| node)
    }

    /// Number of inputs.
    pub fn n_inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Name of each output.
    pub fn output_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.outputs.iter().map(|(name, _)| name.as_str())
    }

    /// Value of each output.
    pub fn output_values(&self) -> impl ExactSizeIterator<Item = Value> {
        self.outputs.iter().map(|&(_, value)| value)
    }

    /// Type of each output.
    pub fn output_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.outputs.iter().map(|&(_, value)| self.type_of(value))
    }

    /// Position of the input of this name.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|(port, _)| port.name == name)
    }

    /// Position of the output of this name.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|(n, _)| n == name)
    }

    /// Type of a value.
    pub fn type_of(&self, value: Value) -> &TensorType {
        &self.nodes[value.node as usize].types[value.output as usize]
    }
}
