//! The tracing builder: an arena of hash-consed nodes behind copyable handles.

use crate::error::{GraphError, Mismatch};
use crate::graph::{Graph, Node, Port, TensorType, Value};
use crate::op::Op;
use crate::shape::{fits_address_space, infer};
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use thalweg_array::{Array, DType};

/// Builds one graph.
///
/// Equal operations on equal operands are one node, so a value that is asked for twice is
/// computed once. The first mistake is kept with its place and returned by [`Builder::finish`];
/// operations after it give values of a likely type, so that tracing goes on.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, TensorType};
/// use thalweg_array::DType;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [3]));
/// let graph = b.finish(&[("y", (x * x).sum(&[0]))])?;
/// assert_eq!(graph.output_types().next().unwrap().to_string(), "f64[]");
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
pub struct Builder {
    float: DType,
    arena: RefCell<Arena>,
}

#[derive(Default)]
struct Arena {
    nodes: Vec<Arc<Node>>,
    known: HashMap<Arc<Node>, u32>,
    inputs: Vec<(Port, u32)>,
    n_placeholders: u32,
    error: Option<GraphError>,
}

impl Builder {
    /// A builder whose models compute in `float` (`F32` or `F64`; anything else is refused by
    /// `finish`).
    #[track_caller]
    pub fn new(float: DType) -> Builder {
        let builder = Builder { float, arena: RefCell::default() };
        if !float.is_float() {
            builder.fail("builder", Mismatch::new("a float type", float.to_string()));
        }
        builder
    }

    /// The float type that was chosen at tracing.
    pub fn float(&self) -> DType {
        self.float
    }

    /// A named input of the graph.
    #[track_caller]
    pub fn input(&self, name: &str, ty: TensorType) -> Tensor<'_> {
        let taken = self.arena.borrow().inputs.iter().any(|(port, _)| port.name == name);
        if taken {
            self.fail("input", Mismatch::new("a name not used before", format!("{name:?}")));
        }
        if let Err(mismatch) = fits_address_space(&ty) {
            self.fail("input", mismatch);
        }
        let index = self.arena.borrow().inputs.len() as u32;
        let node = self.push_leaf(Op::Input { index }, ty.clone());
        self.arena.borrow_mut().inputs.push((Port { name: name.to_owned(), ty }, node));
        self.tensor(Value::first(node))
    }

    /// A value that stands for another until a transformation replaces it; one that is still
    /// there at `finish` is an error.
    #[track_caller]
    pub fn placeholder(&self, ty: TensorType) -> Tensor<'_> {
        let index = {
            let mut arena = self.arena.borrow_mut();
            arena.n_placeholders += 1;
            u32::MAX - arena.n_placeholders
        };
        let node = self.push_leaf(Op::Input { index }, ty);
        self.tensor(Value::first(node))
    }

    /// A literal.
    #[track_caller]
    pub fn constant(&self, array: Array) -> Tensor<'_> {
        self.emit_one(Op::Constant(Arc::new(array)), &[])
    }

    /// A scalar of the builder's float type.
    #[track_caller]
    pub fn scalar(&self, value: f64) -> Tensor<'_> {
        self.scalar_of(self.float, value)
    }

    /// A scalar of a given type.
    #[track_caller]
    pub fn scalar_of(&self, dtype: DType, value: f64) -> Tensor<'_> {
        self.constant(Array::scalar(value).convert(dtype))
    }

    /// A tensor with every element equal to `value`.
    #[track_caller]
    pub fn full(&self, ty: &TensorType, value: f64) -> Tensor<'_> {
        self.scalar_of(ty.dtype, value).broadcast_in(&ty.shape, &[])
    }

    /// A tensor of zeros (`false`).
    #[track_caller]
    pub fn zeros(&self, ty: &TensorType) -> Tensor<'_> {
        self.full(ty, 0.0)
    }

    /// `0, 1, 2, ...` along one axis of a shape.
    #[track_caller]
    pub fn iota(&self, dtype: DType, shape: &[usize], axis: usize) -> Tensor<'_> {
        self.emit_one(Op::Iota { dtype, shape: shape.to_vec(), axis }, &[])
    }

    /// An operation with one result.
    #[track_caller]
    pub fn emit_one(&self, op: Op, inputs: &[Tensor<'_>]) -> Tensor<'_> {
        let node = self.push(op, inputs, Location::caller());
        self.tensor(Value::first(node))
    }

    /// An operation with any number of results.
    #[track_caller]
    pub fn emit(&self, op: Op, inputs: &[Tensor<'_>]) -> Vec<Tensor<'_>> {
        self.emit_at(op, inputs, Location::caller())
    }

    /// An operation copied from elsewhere, with the place where it was first written.
    pub fn emit_at(
        &self,
        op: Op,
        inputs: &[Tensor<'_>],
        place: &'static Location<'static>,
    ) -> Vec<Tensor<'_>> {
        let node = self.push(op, inputs, place);
        let n_results = self.arena.borrow().nodes[node as usize].types.len() as u32;
        (0..n_results).map(|output| self.tensor(Value { node, output })).collect()
    }

    /// The handle of a value of this builder.
    pub fn tensor(&self, value: Value) -> Tensor<'_> {
        Tensor { builder: self, value }
    }

    /// A node of this builder.
    pub fn node(&self, index: u32) -> Arc<Node> {
        self.arena.borrow().nodes[index as usize].clone()
    }

    /// Number of nodes so far; a node's operands have smaller numbers than itself.
    pub fn node_count(&self) -> u32 {
        self.arena.borrow().nodes.len() as u32
    }

    /// Copies a graph into this builder with its inputs replaced by `arguments`; the results are
    /// its outputs.
    #[track_caller]
    pub fn inline<'b>(&'b self, graph: &Graph, arguments: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let matches = graph.n_inputs() == arguments.len()
            && graph.inputs().zip(arguments).all(|(port, argument)| port.ty == argument.ty());
        if !matches {
            let expected: Vec<_> = graph.inputs().map(|port| port.ty.to_string()).collect();
            let got: Vec<_> = arguments.iter().map(|a| a.ty().to_string()).collect();
            self.fail("inline", Mismatch::new(expected.join(", "), got.join(", ")));
            return graph.output_types().map(|ty| self.placeholder(ty.clone())).collect();
        }
        let mut results: Vec<Vec<Tensor<'b>>> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            results.push(match node.op {
                Op::Input { index } => vec![arguments[index as usize]],
                _ => {
                    let inputs: Vec<_> = node
                        .inputs
                        .iter()
                        .map(|value| results[value.node as usize][value.output as usize])
                        .collect();
                    self.emit_at(node.op.clone(), &inputs, node.place)
                }
            });
        }
        let of = |value: Value| results[value.node as usize][value.output as usize];
        graph.output_values().map(of).collect()
    }

    /// Records a mistake found outside a shape rule; only the first one is kept.
    #[track_caller]
    pub fn reject(&self, what: &str, expected: impl Into<String>, got: impl Into<String>) {
        self.fail(what, Mismatch::new(expected, got));
    }

    /// The graph that computes `outputs`, without nodes that they do not need; or the first
    /// mistake.
    #[track_caller]
    pub fn finish(&self, outputs: &[(&str, Tensor<'_>)]) -> Result<Graph, GraphError> {
        for (i, (name, _)) in outputs.iter().enumerate() {
            if outputs[..i].iter().any(|(earlier, _)| earlier == name) {
                self.fail("output", Mismatch::new("a name not used before", format!("{name:?}")));
            }
        }
        if outputs.iter().any(|(_, tensor)| !std::ptr::eq(tensor.builder, self)) {
            self.fail("output", Mismatch::new("outputs of this builder", "one of another builder"));
        }
        let arena = self.arena.borrow();
        if let Some(error) = &arena.error {
            return Err(error.clone());
        }
        let mut needed = vec![false; arena.nodes.len()];
        for (_, tensor) in outputs {
            needed[tensor.value.node as usize] = true;
        }
        for (_, node) in &arena.inputs {
            needed[*node as usize] = true;
        }
        for index in (0..arena.nodes.len()).rev() {
            if needed[index] {
                for input in &arena.nodes[index].inputs {
                    needed[input.node as usize] = true;
                }
            }
        }
        let mut number = vec![u32::MAX; arena.nodes.len()];
        let mut nodes = Vec::new();
        for (index, node) in arena.nodes.iter().enumerate().filter(|&(index, _)| needed[index]) {
            if matches!(node.op, Op::Input { index } if index as usize >= arena.inputs.len()) {
                let mismatch =
                    Mismatch::new("every placeholder replaced", node.types[0].to_string());
                return Err(GraphError::new("placeholder", node.place, mismatch));
            }
            number[index] = nodes.len() as u32;
            let mut node = node.clone();
            if node.inputs.iter().any(|input| number[input.node as usize] != input.node) {
                let node = Arc::make_mut(&mut node);
                for input in &mut node.inputs {
                    input.node = number[input.node as usize];
                }
            }
            nodes.push(node);
        }
        let renumber = |value: Value| Value { node: number[value.node as usize], ..value };
        Ok(Graph {
            nodes,
            inputs: arena
                .inputs
                .iter()
                .map(|(port, node)| (port.clone(), number[*node as usize]))
                .collect(),
            outputs: outputs
                .iter()
                .map(|(name, tensor)| ((*name).to_owned(), renumber(tensor.value)))
                .collect(),
        })
    }

    pub(crate) fn type_of(&self, value: Value) -> TensorType {
        self.arena.borrow().nodes[value.node as usize].types[value.output as usize].clone()
    }

    #[track_caller]
    fn fail(&self, what: &str, mismatch: Mismatch) {
        let place = Location::caller();
        let mut arena = self.arena.borrow_mut();
        arena.error.get_or_insert_with(|| GraphError::new(what, place, mismatch));
    }

    #[track_caller]
    fn push_leaf(&self, op: Op, ty: TensorType) -> u32 {
        self.push_typed_leaf(op, vec![ty])
    }

    #[track_caller]
    fn push_typed_leaf(&self, op: Op, types: Vec<TensorType>) -> u32 {
        let mut arena = self.arena.borrow_mut();
        let number = arena.nodes.len() as u32;
        let place = Location::caller();
        arena.nodes.push(Arc::new(Node { op, inputs: Vec::new(), types, place }));
        number
    }

    /// A placeholder with as many results as a refused operation has, so that a caller who takes
    /// the second one goes on to `finish` and its error.
    fn stand_in(&self, op: &Op, n_inputs: usize, likely: TensorType) -> u32 {
        let n_results = match op {
            Op::Sort { .. } => n_inputs,
            Op::SymmetricEigen => 2,
            Op::Scan(scan) => scan.body.n_outputs(),
            // What is refused may be this number itself.
            Op::While(looped) => looped.n_carry.min(n_inputs),
            _ => 1,
        };
        let index = {
            let mut arena = self.arena.borrow_mut();
            arena.n_placeholders += 1;
            u32::MAX - arena.n_placeholders
        };
        self.push_typed_leaf(Op::Input { index }, vec![likely; n_results.max(1)])
    }

    fn push(&self, op: Op, inputs: &[Tensor<'_>], place: &'static Location<'static>) -> u32 {
        let foreign = inputs.iter().any(|tensor| !std::ptr::eq(tensor.builder, self));
        let mut arena = self.arena.borrow_mut();
        if foreign {
            let mismatch = Mismatch::new("operands of this builder", "one of another builder");
            let name = op.name();
            arena.error.get_or_insert_with(|| GraphError::new(name, place, mismatch));
            drop(arena);
            return self.stand_in(&op, inputs.len(), TensorType::new(self.float, []));
        }
        let inputs = inputs.iter().map(|tensor| tensor.value).collect();
        let mut node = Node { op, inputs, types: Vec::new(), place };
        if let Some(&number) = arena.known.get(&node) {
            return number;
        }
        let types: Vec<TensorType> = node
            .inputs
            .iter()
            .map(|value| arena.nodes[value.node as usize].types[value.output as usize].clone())
            .collect();
        match infer(&node.op, &types.iter().collect::<Vec<_>>()) {
            Ok(results) => node.types = results,
            Err(mismatch) => {
                let name = node.op.name();
                arena.error.get_or_insert_with(|| GraphError::new(name, place, mismatch));
                drop(arena);
                let likely =
                    types.first().cloned().unwrap_or_else(|| TensorType::new(self.float, []));
                let n_inputs = node.inputs.len();
                return self.stand_in(&node.op, n_inputs, likely);
            }
        }
        let number = arena.nodes.len() as u32;
        let node = Arc::new(node);
        arena.nodes.push(node.clone());
        arena.known.insert(node, number);
        number
    }
}
