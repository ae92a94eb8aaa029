//! Simplification: what becomes of each form, and that results keep their bits.

mod affine;
mod forms;
mod loops;
mod random;
mod text;

use thalweg_graph::{Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::simplify;

/// A function that is traced.
type Function<'f> = &'f dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>;

/// The graph of a function of inputs `f32` of these shapes.
fn trace(shapes: &[&[usize]], f: Function<'_>) -> Graph {
    let b = Builder::new(DType::F32);
    let inputs: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| b.input(&format!("x{i}"), TensorType::new(DType::F32, *shape)))
        .collect();
    let outputs = f(&b, &inputs);
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    b.finish(&names.iter().map(String::as_str).zip(outputs).collect::<Vec<_>>()).unwrap()
}

/// Names of the operations that are left, inputs aside.
fn left(shapes: &[&[usize]], f: Function<'_>) -> Vec<&'static str> {
    let graph = trace(shapes, f);
    let simple = simplify(&graph);
    simple.verify().unwrap();
    assert!(simple.inputs().eq(graph.inputs()), "inputs stay");
    assert!(simple.output_names().eq(graph.output_names()), "names of outputs stay");
    assert!(simple.output_types().eq(graph.output_types()), "types of outputs stay");
    assert!(simplify(&simple) == simple, "nothing is left to do:\n{simple}");
    let names = simple.nodes().iter().map(|node| node.op.name());
    names.filter(|&name| name != "input").collect()
}
