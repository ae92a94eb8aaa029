//! The same function in fewer operations.
//!
//! A graph is replayed into a new builder, which computes equal operations once and drops what no
//! output needs; on the way operations are put into simpler forms, inside loops too. Results keep
//! their bits, but for four rewrites:
//!
//! - factors that are the same along summed axes are taken out of the sum;
//! - the sign of a zero is lost where a zero is added (`x + 0`, the sum over axes of extent one);
//! - `x^2` is `x * x` and `x^-1` is `1 / x`, which are rounded correctly where a power need not be;
//! - operations on small constants are done here where they are rounded correctly everywhere.
//!
//! `0 * x` stays: `x` may be infinite or NaN. `stop_gradient` stays: the result can still be
//! differentiated.

mod affine;
mod elementwise;
mod fold;
mod loops;
mod moving;
mod sums;

use std::panic::Location;
use std::sync::Arc;
use thalweg_graph::{Builder, DType, FixedPoint, Graph, GraphError, LinearSolve, Node, Op, Tensor};

/// How often a graph is gone over at most: what a pass leaves unused is seen by the next.
const PASSES: usize = 8;

/// The graph simplified; its inputs and outputs are the same.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::simplify;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [2, 3]));
/// let y = (x.transpose(&[1, 0]).transpose(&[1, 0]) * 1.0) + (-x);
/// let graph = simplify(&b.finish(&[("y", y)])?);
/// let ops: Vec<_> = graph.nodes().iter().map(|node| node.op.name()).collect();
/// assert_eq!(ops, ["input", "subtract"]);
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
pub fn simplify(graph: &Graph) -> Graph {
    simplified(graph, false)
}

/// As [`simplify()`], for a program over affine points of weight space: what is linear in a point
/// and shares its other operand among all members is computed once for its centre and for each
/// direction, if that is cheaper. It is rounded otherwise then, and always in one way whatever the
/// number of members.
///
/// This is asked for by whoever batches points, and no part of [`simplify()`]: a member of any other
/// batch has the bits that it has alone.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::{distribute_points, vmap_graph};
/// let b = Builder::new(DType::F64);
/// let input = |name, shape: &[usize]| b.input(name, TensorType::new(DType::F64, shape));
/// let (x, t) = (input("x", &[10, 50]), input("t", &[]));
/// let (w, d) = (input("w", &[50, 20]), input("d", &[50, 20]));
/// let one = b.finish(&[("y", x.matmul(w + d * t))])?;
/// let line = vmap_graph(&one, &[None, Some(0), None, None], 100)?;
/// let products = |graph: &thalweg_graph::Graph| {
///     let all = graph.nodes().iter().filter(|node| node.op.name() == "dot");
///     all.map(|node| node.types[0].shape.clone()).collect::<Vec<_>>()
/// };
/// assert_eq!(products(&line), [[10, 100, 20]]);
/// assert_eq!(products(&distribute_points(&line)), [[10, 20], [10, 20]]);
/// # Ok::<(), thalweg_graph::GraphError>(())
/// ```
pub fn distribute_points(graph: &Graph) -> Graph {
    simplified(graph, true)
}

fn simplified(graph: &Graph, points: bool) -> Graph {
    let mut graph = graph.clone();
    for _ in 0..PASSES {
        let next = match pass(&graph, points) {
            Ok(next) => next,
            // The replay of a graph that verifies is a graph that verifies; one that does not is
            // for its user's verifier to report.
            Err(_) => return graph,
        };
        if next == graph {
            break;
        }
        graph = next;
    }
    graph
}

fn pass(graph: &Graph, points: bool) -> Result<Graph, GraphError> {
    let mut dtypes = graph.nodes().iter().flat_map(|node| &node.types).map(|ty| ty.dtype);
    let builder = Builder::new(dtypes.find(|dtype| dtype.is_float()).unwrap_or(DType::F32));
    let used = used(graph);
    let inputs: Vec<Tensor<'_>> =
        graph.inputs().map(|port| builder.input(&port.name, port.ty.clone())).collect();
    let mut values: Vec<Vec<Tensor<'_>>> = Vec::with_capacity(graph.nodes().len());
    for (node, used) in graph.nodes().iter().zip(&used) {
        let operands: Vec<Tensor<'_>> = node
            .inputs
            .iter()
            .map(|value| values[value.node as usize][value.output as usize])
            .collect();
        values.push(match node.op {
            Op::Input { index } => vec![inputs[index as usize]],
            _ => replay(&builder, node, &operands, used, points),
        });
    }
    let outputs: Vec<_> = graph
        .output_names()
        .zip(graph.output_values())
        .map(|(name, value)| (name, values[value.node as usize][value.output as usize]))
        .collect();
    builder.finish(&outputs)
}

/// Which results of each node some node or output reads.
fn used(graph: &Graph) -> Vec<Vec<bool>> {
    let nodes = graph.nodes();
    let mut used: Vec<Vec<bool>> = nodes.iter().map(|node| vec![false; node.types.len()]).collect();
    let operands = nodes.iter().flat_map(|node| node.inputs.iter().copied());
    for value in operands.chain(graph.output_values()) {
        used[value.node as usize][value.output as usize] = true;
    }
    used
}

fn replay<'b>(
    builder: &'b Builder,
    node: &Node,
    operands: &[Tensor<'b>],
    used: &[bool],
    points: bool,
) -> Vec<Tensor<'b>> {
    let rewriter = Rewriter { builder, place: node.place, points };
    let again = |op: Op| builder.emit_at(op, operands, node.place);
    match &node.op {
        Op::Scan(scan) => loops::scan(builder, node.place, scan, operands, used),
        Op::While(looped) => again(Op::While(Arc::new(thalweg_graph::While {
            condition: simpler(&looped.condition),
            body: simpler(&looped.body),
            n_carry: looped.n_carry,
        }))),
        Op::LinearSolve(it) => again(Op::LinearSolve(Arc::new(LinearSolve {
            matvec: simpler(&it.matvec),
            ..(**it).clone()
        }))),
        Op::FixedPoint(it) => again(Op::FixedPoint(Arc::new(FixedPoint {
            body: simpler(&it.body),
            ..(**it).clone()
        }))),
        op if node.types.len() == 1 => vec![rewriter.emit(op.clone(), operands)],
        op => again(op.clone()),
    }
}

/// An inner graph simplified; the very same one if nothing changes.
fn simpler(graph: &Arc<Graph>) -> Arc<Graph> {
    let simplified = simplify(graph);
    if simplified == **graph { graph.clone() } else { Arc::new(simplified) }
}

/// Emits operations in their simplest form.
#[derive(Clone, Copy)]
struct Rewriter<'b> {
    builder: &'b Builder,
    place: &'static Location<'static>,
    /// Whether products with affine points are distributed.
    points: bool,
}

impl<'b> Rewriter<'b> {
    /// An operation with one result, put simpler if it can be.
    fn emit(&self, op: Op, x: &[Tensor<'b>]) -> Tensor<'b> {
        let simpler = if op.is_elementwise() {
            fold::fold(self, &op, x).or_else(|| elementwise::rewrite(self, &op, x))
        } else {
            let distribute = || self.points.then(|| affine::rewrite(self, &op, x)).flatten();
            moving::rewrite(self, &op, x).or_else(distribute)
        };
        simpler.unwrap_or_else(|| self.builder.emit_at(op, x, self.place)[0])
    }

    /// The node that computes a value.
    fn source(&self, tensor: Tensor<'b>) -> Arc<Node> {
        self.builder.node(tensor.value().node)
    }

    /// The operand of a broadcast, with the axes that it takes.
    fn broadcast(&self, tensor: Tensor<'b>) -> Option<(Tensor<'b>, Vec<usize>)> {
        let node = self.source(tensor);
        match &node.op {
            Op::Broadcast { axes, .. } => Some((self.builder.tensor(node.inputs[0]), axes.clone())),
            _ => None,
        }
    }

    /// The value of a constant whose elements are all one scalar.
    fn uniform(&self, tensor: Tensor<'b>) -> Option<f64> {
        let scalar = match self.broadcast(tensor) {
            Some((operand, _)) => operand,
            None => tensor,
        };
        match &self.source(scalar).op {
            Op::Constant(array) => array.item(),
            _ => None,
        }
    }
}
