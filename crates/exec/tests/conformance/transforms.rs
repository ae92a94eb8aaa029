//! The transformations, from graph to graph, so that they nest by composition.

use thalweg_graph::{Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::Replacement;

/// Positions of the inputs that forward mode moves: the floats.
pub fn forward(graph: &Graph) -> Vec<usize> {
    floats(graph.inputs().map(|port| &port.ty))
}

/// Positions of the outputs that reverse mode starts from: the floats.
pub fn reverse(graph: &Graph) -> Vec<usize> {
    floats(graph.output_types())
}

fn floats<'a>(types: impl Iterator<Item = &'a TensorType>) -> Vec<usize> {
    types.enumerate().filter(|(_, ty)| ty.dtype.is_float()).map(|(i, _)| i).collect()
}

/// `(x.., tangents of its floats..) -> (y.., tangents of its floats..)`.
pub fn jvp(graph: &Graph) -> Graph {
    rebuild(graph, |b, x, y| {
        let moving = pick(x, &forward(graph));
        let tangents = fresh(b, x.len(), &moving);
        let pushed = thalweg_transform::jvp(&y, &moving, &tangents);
        let moved = reverse(graph)
            .into_iter()
            .map(|i| pushed.tangents[i].unwrap_or_else(|| y[i].zeros_like()));
        pushed.outputs.iter().copied().chain(moved).collect()
    })
}

/// `(x.., cotangents of the floats of y..) -> cotangents of the floats of x`.
pub fn vjp(graph: &Graph) -> Graph {
    rebuild(graph, |b, x, y| {
        let targets = pick(&y, &reverse(graph));
        let cotangents = fresh(b, x.len(), &targets);
        let moving = pick(x, &forward(graph));
        let pulled = thalweg_transform::vjp(&targets, &moving, &cotangents).cotangents;
        pulled
            .into_iter()
            .zip(&moving)
            .map(|(ct, x)| ct.unwrap_or_else(|| x.zeros_like()))
            .collect()
    })
}

/// The function over `size` members, each operand batched at the axis given or shared; results
/// have the members' axis in front.
pub fn batch(graph: &Graph, size: usize, axes: &[Option<usize>]) -> Graph {
    rebuild_with(
        graph,
        |i, ty| {
            let mut ty = ty.clone();
            if let Some(axis) = axes[i] {
                ty.shape.insert(axis, size);
            }
            ty
        },
        |b, x| {
            let members: Vec<Tensor<'_>> = (x.iter().zip(graph.inputs()).zip(axes))
                .map(|((&x, port), axis)| match axis {
                    None => x,
                    Some(_) => b.placeholder(port.ty.clone()),
                })
                .collect();
            let outputs = b.inline(graph, &members);
            let replacements: Vec<Replacement<'_>> = (members.iter().zip(x).zip(axes))
                .filter_map(|((&member, &batched), axis)| {
                    axis.map(|axis| Replacement { member, batched, axis })
                })
                .collect();
            thalweg_transform::vmap(&outputs, &replacements, size)
        },
    )
}

fn pick<'b>(from: &[Tensor<'b>], positions: &[usize]) -> Vec<Tensor<'b>> {
    positions.iter().map(|&i| from[i]).collect()
}

/// New inputs of the types of some values.
fn fresh<'b>(b: &'b Builder, n_before: usize, like: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    let input =
        |(i, tensor): (usize, &Tensor<'b>)| b.input(&format!("x{}", n_before + i), tensor.ty());
    like.iter().enumerate().map(input).collect()
}

/// A graph of the same inputs with what `build` makes of them and of the old outputs.
fn rebuild(
    graph: &Graph,
    build: impl for<'b> FnOnce(&'b Builder, &[Tensor<'b>], Vec<Tensor<'b>>) -> Vec<Tensor<'b>>,
) -> Graph {
    rebuild_with(graph, |_, ty| ty.clone(), |b, x| build(b, x, b.inline(graph, x)))
}

/// A graph with inputs `x0, x1, ..` of changed types.
fn rebuild_with(
    graph: &Graph,
    change: impl Fn(usize, &TensorType) -> TensorType,
    build: impl for<'b> FnOnce(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>,
) -> Graph {
    let float = graph
        .output_types()
        .chain(graph.inputs().map(|port| &port.ty))
        .map(|ty| ty.dtype)
        .find(|dtype| dtype.is_float())
        .unwrap_or(DType::F64);
    let b = Builder::new(float);
    let inputs: Vec<Tensor<'_>> = graph
        .inputs()
        .enumerate()
        .map(|(i, port)| b.input(&format!("x{i}"), change(i, &port.ty)))
        .collect();
    finish(&b, &build(&b, &inputs), graph)
}

fn finish(b: &Builder, outputs: &[Tensor<'_>], of: &Graph) -> Graph {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    let graph = b.finish(&named).unwrap_or_else(|error| panic!("{error}\nwhile transforming {of}"));
    graph.verify().unwrap_or_else(|error| panic!("{error}\nwhile transforming {of}"));
    graph
}
