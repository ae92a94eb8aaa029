//! Names that an exporter lost.
//!
//! An exporter that computes what is constant writes the transposed weight of a dense layer as a
//! number of the program, `val_98` or `onnx::MatMul_71`, where the model calls the weight
//! `linear1.weight`. A name is given back only to a tensor that holds the parameter's own values:
//! one that was computed by moving axes alone. `exp(w)` is a parameter too, and is not `w`.

use super::graph::property;
use super::proto::{GraphProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// How a file lays a parameter out whose name was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lies {
    /// A matrix with its axes exchanged.
    Transposed,
    /// With axes of extent one that the model's own has not.
    Expanded,
    /// As the model's own, all of it.
    AsItWas,
}

/// A parameter's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub name: String,
    pub lies: Lies,
}

/// The newer exporter: the tensors that it computed one from, steps of its program among them.
const FOLDED: &str = "pkg.onnxscript.optimizer.folded_from";
/// The newer exporter: the node of its graph that an operation came from.
const TRACED: &str = "pkg.torch.onnx.fx_node";

/// The own names of tensors, by those in the file.
pub(super) fn recover(graph: &GraphProto) -> BTreeMap<String, Found> {
    let shapes: BTreeMap<&str, &[i64]> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor.dims.as_slice())).collect();
    let written = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let read = graph.input.iter().map(|input| input.name());
    let known = shapes.keys().copied().chain(written).chain(read);
    let mut taken: BTreeSet<String> = known.map(str::to_owned).collect();
    let sources: BTreeMap<&str, &str> = graph
        .value_info
        .iter()
        .filter_map(|value| Some((value.name(), property(&value.metadata_props, FOLDED)?)))
        .collect();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for node in &graph.node {
        for (place, input) in node.input.iter().enumerate() {
            let Some(shape) = shapes.get(input.as_str()) else { continue };
            if found.contains_key(input) {
                continue;
            }
            let folded = sources.get(input.as_str());
            let own = folded.and_then(|sources| moved(node, place, input, shape, sources));
            let own = own.or_else(|| by_path(node, place, input, shape));
            if let Some(own) = own.filter(|own| taken.insert(own.name.clone())) {
                found.insert(input.clone(), own);
            }
        }
    }
    found
}

/// The parameter whose axes alone were moved to give a tensor.
fn moved(
    node: &NodeProto,
    place: usize,
    tensor: &str,
    shape: &[i64],
    sources: &str,
) -> Option<Found> {
    // A list of quoted words. Numbers of the program and what only reshapes do not count.
    let sources = sources.split('\'').skip(1).step_by(2);
    let sources = sources.filter(|name| !is_number(name) && !RESHAPES.contains(&stem(name)));
    let mut sources: Vec<&str> = sources.collect();
    let is_vector = shape.iter().filter(|&&extent| extent != 1).count() <= 1;
    let lies = match (node.op_type(), place, stem(tensor)) {
        // The rows of a table at 0, 1, 2, ..
        (_, _, "embedding") => {
            sources.retain(|name| stem(name) != "arange");
            Lies::AsItWas
        }
        (_, _, reshape) if RESHAPES.contains(&reshape) && is_vector => Lies::Expanded,
        // Inside an operation of the traced program that takes the parameter itself.
        ("MatMul", 1, "val") if shape.len() == 2 && takes(node, &["linear"], &sources) => {
            Lies::Transposed
        }
        (_, _, "val") if is_vector && takes(node, &["prelu", "group_norm"], &sources) => {
            Lies::Expanded
        }
        _ => return None,
    };
    match sources[..] {
        [name] => Some(Found { name: name.to_owned(), lies }),
        _ => None,
    }
}

/// Operations of the traced program that keep the elements in their order.
const RESHAPES: [&str; 5] = ["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"];

/// Whether the exporter made a tensor that the traced program does not know.
fn is_number(name: &str) -> bool {
    stem(name) == "val"
}

/// `view` of `view_12`.
fn stem(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    }
}

/// Whether a node came from one of these operations on the one parameter among the sources.
fn takes(node: &NodeProto, operations: &[&str], sources: &[&str]) -> bool {
    let ([name], Some(text)) = (sources, property(&node.metadata_props, TRACED)) else {
        return false;
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let parameter: String = name.chars().map(plain).collect();
    let is_argument = |end: &str| text.contains(&format!("%p_{parameter}{end}"));
    operations.iter().any(|operation| text.contains(&format!("aten.{operation}.")))
        && [",", ")"].into_iter().any(is_argument)
}

/// The weight of the module that PyTorch's older exporter names a node after, as `/fc/MatMul`: it
/// turns the weights of dense layers.
fn by_path(node: &NodeProto, place: usize, tensor: &str, shape: &[i64]) -> Option<Found> {
    let turned = node.op_type() == "MatMul" && place == 1 && shape.len() == 2;
    if !turned || !tensor.starts_with("onnx::MatMul") {
        return None;
    }
    let (path, _) = node.name().strip_prefix('/')?.rsplit_once('/')?;
    let name = format!("{}.weight", path.replace('/', "."));
    Some(Found { name, lies: Lies::Transposed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{StringStringEntryProto, TensorProto, ValueInfoProto};

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: Some(name.into()), dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn node(op: &str, name: &str, inputs: &[&str], traced: &str) -> NodeProto {
        let entry = StringStringEntryProto { key: Some(TRACED.into()), value: Some(traced.into()) };
        NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            metadata_props: vec![entry],
            ..NodeProto::default()
        }
    }

    fn folded(name: &str, from: &str) -> ValueInfoProto {
        let entry = StringStringEntryProto { key: Some(FOLDED.into()), value: Some(from.into()) };
        ValueInfoProto {
            name: Some(name.into()),
            metadata_props: vec![entry],
            ..ValueInfoProto::default()
        }
    }

    const LINEAR: &str =
        "%linear = call[target=torch.ops.aten.linear.default](args = (%x, %p_l_weight, %p_l_bias))";
    const NORM: &str = "%norm = call[target=torch.ops.aten.group_norm.default](args = (%c, 3, %p_gn_weight, 1e-05))";
    const ADD: &str = "%add = call[target=torch.ops.aten.add.Tensor](args = (%x, %y))";

    fn graph(tensors: &[(&str, &[i64], &str)], node: Vec<NodeProto>) -> GraphProto {
        GraphProto {
            initializer: tensors.iter().map(|(name, dims, _)| tensor(name, dims)).collect(),
            value_info: tensors.iter().map(|(name, _, from)| folded(name, from)).collect(),
            node,
            ..GraphProto::default()
        }
    }

    #[test]
    fn a_tensor_that_was_only_moved_gets_its_name_back() {
        let tensors: [(&str, &[i64], &str); 5] = [
            ("val_3", &[3, 4], "['l.weight']"),
            ("val_5", &[6, 1, 1], "['gn.weight', 'val_16', 'val_17']"),
            ("view_1", &[1, 8, 1, 1], "['val_16', 'w']"),
            ("embedding", &[9, 16], "['arange', 'p.weight', 'val_2']"),
            ("onnx::MatMul_9", &[4, 2], ""),
        ];
        let graph = graph(
            &tensors,
            vec![
                node("MatMul", "a", &["x", "val_3"], LINEAR),
                node("Mul", "b", &["c", "val_5"], NORM),
                node("Mul", "c", &["view_1", "c"], ADD),
                node("Add", "d", &["t", "embedding"], ADD),
                node("MatMul", "/head/fc/MatMul", &["x", "onnx::MatMul_9"], ""),
            ],
        );
        let found = recover(&graph);
        let names: Vec<(&str, &str, Lies)> = found
            .iter()
            .map(|(key, found)| (key.as_str(), found.name.as_str(), found.lies))
            .collect();
        assert_eq!(
            names,
            [
                ("embedding", "p.weight", Lies::AsItWas),
                ("onnx::MatMul_9", "head.fc.weight", Lies::Transposed),
                ("val_3", "l.weight", Lies::Transposed),
                ("val_5", "gn.weight", Lies::Expanded),
                ("view_1", "w", Lies::Expanded),
            ]
        );
    }

    #[test]
    fn what_was_computed_from_a_parameter_is_not_that_parameter() {
        let tensors: [(&str, &[i64], &str); 9] = [
            ("exp", &[5, 6], "['b']"),
            ("mul_1", &[5, 6], "['c', 'scalar_tensor_default', 'val_5']"),
            ("view", &[1, 1, 6], "['a', 'softplus', 'threshold', 'val_1']"),
            ("val_13", &[1, 1, 6], "['d', 'val_10', 'view_1']"),
            ("alias", &[6, 6], "['e', 'matmul', 'permute', 'tanh']"),
            ("val_8", &[4, 4], "['f.weight']"),
            ("val_10", &[2, 40, 6], "['r.weight_ih', 'r.weight_ih_reverse', 'zeros']"),
            ("l.weight", &[4], ""),
            ("val_12", &[4, 4], "['l.weight']"),
        ];
        let graph = graph(
            &tensors,
            vec![
                node("Add", "a", &["x", "exp"], ADD),
                node("Add", "b", &["x", "mul_1"], ADD),
                node("Mul", "c", &["x", "view"], ADD),
                // The parameter times a factor of the sum.
                node("Add", "d", &["x", "val_13"], ADD),
                node("MatMul", "e", &["x", "alias"], ADD),
                // Another operation, another parameter.
                node("MatMul", "f", &["x", "val_8"], LINEAR),
                node("LSTM", "g", &["x", "val_10"], ""),
                // Something else has the name.
                node("MatMul", "h", &["x", "val_12"], LINEAR),
            ],
        );
        assert_eq!(recover(&graph), BTreeMap::new());
    }
}
