//! Tracing of the graphs that operations hold.

use thalweg_graph::{Builder, Graph, Tensor, TensorType};

/// Inputs of one kind: what their names begin with, and their types.
pub(crate) type Group<'a> = (&'a str, Vec<TensorType>);

/// Traces a graph in a builder of its own; `f` gets one list of inputs for each group.
///
/// Names are positions, so that equal bodies are equal graphs. `None` when the trace fails; the
/// mistake is then recorded in `outer`.
#[track_caller]
pub(crate) fn trace(
    outer: &Builder,
    groups: &[Group<'_>],
    f: impl for<'s> FnOnce(&'s Builder, &[Vec<Tensor<'s>>]) -> Vec<Tensor<'s>>,
) -> Option<Graph> {
    let inner = Builder::new(outer.float());
    let inputs: Vec<Vec<Tensor<'_>>> = groups
        .iter()
        .map(|(prefix, types)| {
            let named = types.iter().enumerate();
            named.map(|(i, ty)| inner.input(&format!("{prefix}{i}"), ty.clone())).collect()
        })
        .collect();
    let results = f(&inner, &inputs);
    let names: Vec<String> = (0..results.len()).map(|i| format!("result{i}")).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(results.iter().copied()).collect();
    match inner.finish(&outputs) {
        Ok(graph) => Some(graph),
        Err(error) => {
            let what = format!("{} at {}:{} in a body", error.op, error.file, error.line);
            outer.reject(&what, error.expected, error.got);
            None
        }
    }
}

/// Types of tensors.
pub(crate) fn types(tensors: &[Tensor<'_>]) -> Vec<TensorType> {
    tensors.iter().map(|tensor| tensor.ty()).collect()
}
