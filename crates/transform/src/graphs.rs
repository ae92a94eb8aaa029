//! Transformations of whole graphs: each copies a graph into a new builder, transforms values
//! there, and finishes.

use crate::api::{gradient_and_hvp, values_and_grad, vjp};
use crate::jvp::jvp;
use thalweg_graph::{Builder, DType, Graph, GraphError, Tensor};

/// The float type that a graph computes in: that of its first value of a float type.
pub(crate) fn float_of(graph: &Graph) -> DType {
    let types = graph.nodes().iter().flat_map(|node| &node.types);
    types.map(|ty| ty.dtype).find(|dtype| dtype.is_float()).unwrap_or(DType::F32)
}

pub(crate) fn inputs<'b>(builder: &'b Builder, graph: &Graph) -> Vec<Tensor<'b>> {
    graph.inputs().map(|port| builder.input(&port.name, port.ty.clone())).collect()
}

/// The elements at `places`; a place that is not there is an error at `finish`.
fn chosen<'b>(
    builder: &Builder,
    all: &[Tensor<'b>],
    places: &[usize],
    what: &str,
) -> Vec<Tensor<'b>> {
    let pick = |&place: &usize| {
        let one = all.get(place).copied();
        if one.is_none() {
            builder.reject(what, format!("one of {} places", all.len()), place.to_string());
        }
        one
    };
    places.iter().filter_map(pick).collect()
}

/// `NAME.suffix`, or with the first number from 2 on that makes it a name not `taken`: the graph
/// may be the result of the same transformation. The name is taken from then on.
pub(crate) fn unused(taken: &mut Vec<String>, name: &str, suffix: &str) -> String {
    let numbers = (2..).map(|number: u64| format!("{name}.{suffix}{number}"));
    let mut candidates = std::iter::once(format!("{name}.{suffix}")).chain(numbers);
    let found = candidates.find(|candidate| !taken.contains(candidate));
    let found = found.unwrap_or_default();
    taken.push(found.clone());
    found
}

/// A name for each input of `wrt`, with a suffix, that is not `taken`.
fn names(taken: &mut Vec<String>, graph: &Graph, wrt: &[usize], suffix: &str) -> Vec<String> {
    let names: Vec<&str> = graph.inputs().map(|port| port.name.as_str()).collect();
    let names = wrt.iter().filter_map(|&i| names.get(i));
    names.map(|name| unused(taken, name, suffix)).collect()
}

pub(crate) fn input_names(graph: &Graph) -> Vec<String> {
    graph.inputs().map(|port| port.name.clone()).collect()
}

pub(crate) fn output_names(graph: &Graph) -> Vec<String> {
    graph.output_names().map(str::to_owned).collect()
}

pub(crate) fn finish(
    builder: &Builder,
    outputs: &[(String, Tensor<'_>)],
) -> Result<Graph, GraphError> {
    let outputs: Vec<_> = outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    builder.finish(&outputs)
}

/// The graph with more inputs `NAME.tangent`, one for each input of `wrt`, and more outputs
/// `NAME.tangent`, one for each output of a float type. A name that the graph has already, being
/// a derivative itself, gets a number: `NAME.tangent2`.
///
/// # Errors
/// When `wrt` names an input that is not there or not of a float type.
pub fn jvp_graph(graph: &Graph, wrt: &[usize]) -> Result<Graph, GraphError> {
    let b = Builder::new(float_of(graph));
    let x = inputs(&b, graph);
    let at = chosen(&b, &x, wrt, "jvp");
    let tangents: Vec<_> = names(&mut input_names(graph), graph, wrt, "tangent")
        .iter()
        .zip(&at)
        .map(|(name, x)| b.input(name, x.ty()))
        .collect();
    let result = jvp(&b.inline(graph, &x), &at, &tangents);
    let mut outputs: Vec<_> = output_names(graph).into_iter().zip(result.outputs.clone()).collect();
    let mut taken = output_names(graph);
    for ((name, &y), tangent) in graph.output_names().zip(&result.outputs).zip(result.tangents) {
        if y.dtype().is_float() {
            let tangent = tangent.unwrap_or_else(|| y.zeros_like());
            outputs.push((unused(&mut taken, name, "tangent"), tangent));
        }
    }
    finish(&b, &outputs)
}

/// The graph with more inputs `NAME.cotangent`, one for each output of a float type, and more
/// outputs `NAME.cotangent`, one for each input of `wrt`.
///
/// # Errors
/// As [`jvp_graph`].
pub fn vjp_graph(graph: &Graph, wrt: &[usize]) -> Result<Graph, GraphError> {
    let b = Builder::new(float_of(graph));
    let x = inputs(&b, graph);
    let at = chosen(&b, &x, wrt, "vjp");
    let y = b.inline(graph, &x);
    let is_float: Vec<bool> = y.iter().map(|y| y.dtype().is_float()).collect();
    let (mut targets, mut cotangents) = (Vec::new(), Vec::new());
    let mut taken = input_names(graph);
    for ((name, &y), _) in graph.output_names().zip(&y).zip(&is_float).filter(|(_, f)| **f) {
        targets.push(y);
        cotangents.push(b.input(&unused(&mut taken, name, "cotangent"), y.ty()));
    }
    let result = vjp(&targets, &at, &cotangents);
    let mut floats = result.outputs.into_iter();
    let values = y.iter().zip(is_float);
    let values = values.map(|(&y, f)| if f { floats.next().unwrap_or(y) } else { y });
    let mut outputs: Vec<_> = output_names(graph).into_iter().zip(values).collect();
    let cotangents = result.cotangents.iter().zip(&at);
    let cotangents = cotangents.map(|(ct, x)| ct.unwrap_or_else(|| x.zeros_like()));
    let names = names(&mut output_names(graph), graph, wrt, "cotangent");
    outputs.extend(names.into_iter().zip(cotangents));
    finish(&b, &outputs)
}

/// The graph with more outputs `NAME.gradient`: the gradient of the scalar output at `output`, for
/// each input of `wrt`.
///
/// # Errors
/// When `output` is not there or not a scalar of a float type; else as [`jvp_graph`].
pub fn gradient_graph(graph: &Graph, output: usize, wrt: &[usize]) -> Result<Graph, GraphError> {
    let b = Builder::new(float_of(graph));
    let x = inputs(&b, graph);
    let at = chosen(&b, &x, wrt, "gradient");
    let y = b.inline(graph, &x);
    // The differentiated output goes first, and back to its place afterwards.
    let mut order: Vec<usize> = (0..y.len()).filter(|&i| i != output).collect();
    order.insert(0, output);
    let first = chosen(&b, &y, &order, "gradient");
    let (values, gradient) = values_and_grad(&first, &at);
    let names_of = output_names(graph);
    let mut outputs: Vec<_> = order
        .iter()
        .zip(values)
        .filter_map(|(&i, value)| Some((i, (names_of.get(i)?.clone(), value))))
        .collect();
    outputs.sort_by_key(|(i, _)| *i);
    let mut outputs: Vec<_> = outputs.into_iter().map(|(_, output)| output).collect();
    let names = names(&mut output_names(graph), graph, wrt, "gradient");
    outputs.extend(names.into_iter().zip(gradient));
    finish(&b, &outputs)
}

/// The graph of `NAME.product`: the Hessian of the scalar output at `output` times the vector in
/// the further inputs `NAME.vector`, for each input of `wrt`; before them, `NAME.gradient`.
///
/// # Errors
/// As [`gradient_graph`].
pub fn hvp_graph(graph: &Graph, output: usize, wrt: &[usize]) -> Result<Graph, GraphError> {
    let b = Builder::new(float_of(graph));
    let x = inputs(&b, graph);
    let at = chosen(&b, &x, wrt, "hvp");
    let vector: Vec<_> = names(&mut input_names(graph), graph, wrt, "vector")
        .iter()
        .zip(&at)
        .map(|(name, x)| b.input(name, x.ty()))
        .collect();
    let y = b.inline(graph, &x);
    let mut outputs = Vec::new();
    if let Some(&y) = chosen(&b, &y, &[output], "hvp").first() {
        let (gradient, products) = gradient_and_hvp(y, &at, &vector);
        let mut taken = Vec::new();
        outputs.extend(names(&mut taken, graph, wrt, "gradient").into_iter().zip(gradient));
        outputs.extend(names(&mut taken, graph, wrt, "product").into_iter().zip(products));
    }
    finish(&b, &outputs)
}
