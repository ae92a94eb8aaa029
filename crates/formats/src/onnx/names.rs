//! Names that an exporter lost.
//!
//! An exporter that computes what is constant writes the transposed weight of a dense layer as a
//! number of the program, `val_98` or `onnx::MatMul_71`, where the model calls the weight
//! `linear1.weight`. It says from what it computed the tensor, or after which module it called the
//! node that reads it, which gives the model's own name; the operation tells how the tensor lies.

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

/// The tensors that the newer exporter computed one from, among them numbers of the program.
const FOLDED: &str = "pkg.onnxscript.optimizer.folded_from";

/// The own names of tensors, by those in the file.
pub(super) fn recover(graph: &GraphProto) -> BTreeMap<String, Found> {
    let shapes: BTreeMap<&str, &[i64]> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor.dims.as_slice())).collect();
    let written = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let read = graph.input.iter().map(|input| input.name());
    let known = shapes.keys().copied().chain(written).chain(read);
    let mut taken: BTreeSet<String> = known.map(str::to_owned).collect();
    let origin: BTreeMap<&str, &str> = graph
        .value_info
        .iter()
        .filter_map(|value| Some((value.name(), origin(property(&value.metadata_props, FOLDED)?)?)))
        .collect();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for node in &graph.node {
        for (place, input) in node.input.iter().enumerate() {
            let Some(shape) = shapes.get(input.as_str()) else { continue };
            if found.contains_key(input) {
                continue;
            }
            let Some(lies) = layout(node, place, shape) else { continue };
            let own = origin.get(input.as_str()).map(|&name| name.to_owned());
            let name = own.or_else(|| by_path(node, input));
            if let Some(name) = name.filter(|name| taken.insert(name.clone())) {
                found.insert(input.clone(), Found { name, lies });
            }
        }
    }
    found
}

/// How a parameter lies where an operation reads it.
fn layout(node: &NodeProto, place: usize, shape: &[i64]) -> Option<Lies> {
    let wide = shape.iter().filter(|&&extent| extent != 1).count();
    match (node.op_type(), place) {
        ("MatMul", 1) if shape.len() == 2 => Some(Lies::Transposed),
        ("PRelu" | "Mul" | "Add" | "Sub" | "Div", _) if shape.len() > 1 && wide <= 1 => {
            Some(Lies::Expanded)
        }
        ("Add" | "Mul", _) => Some(Lies::AsItWas),
        _ => None,
    }
}

/// The one parameter among the tensors that another was computed from.
fn origin(list: &str) -> Option<&str> {
    // A list of quoted words.
    let names = list.split('\'').skip(1).step_by(2).filter(|name| !name.starts_with("val_"));
    let names: Vec<&str> = names.collect();
    // What belongs to a module is a parameter; what does not may be a step of the computation.
    let inner: Vec<&str> = names.iter().copied().filter(|name| name.contains('.')).collect();
    match (&inner[..], &names[..]) {
        ([one], _) | ([], [one]) => Some(one),
        _ => None,
    }
}

/// The weight of the module that PyTorch's older exporter names a node after, as `/fc/MatMul`.
fn by_path(node: &NodeProto, input: &str) -> Option<String> {
    if !input.starts_with("onnx::MatMul") {
        return None;
    }
    let (path, _) = node.name().strip_prefix('/')?.rsplit_once('/')?;
    Some(format!("{}.weight", path.replace('/', ".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{StringStringEntryProto, TensorProto, ValueInfoProto};

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: Some(name.into()), dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn node(op: &str, name: &str, inputs: &[&str]) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
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

    #[test]
    fn what_a_tensor_was_computed_from_names_it() {
        let tensors: [(&str, &[i64]); 9] = [
            ("l.lin_1.bias", &[4]),
            ("val_3", &[3, 4]),
            ("val_5", &[6, 1, 1]),
            ("view_1", &[1, 8, 1, 1]),
            ("embedding", &[9, 16]),
            ("onnx::MatMul_9", &[4, 2]),
            ("val_8", &[4, 4]),
            ("val_10", &[2, 40, 6]),
            ("val_12", &[4, 4]),
        ];
        let graph = GraphProto {
            initializer: tensors.iter().map(|(name, dims)| tensor(name, dims)).collect(),
            value_info: vec![
                folded("val_3", "['l.lin_1.weight']"),
                folded("val_5", "['gn.weight', 'val_16', 'val_17']"),
                folded("view_1", "['val_16', 'w']"),
                folded("embedding", "['arange', 'p.weight', 'val_2']"),
                // Two parameters, and one whose name something else has.
                folded("val_10", "['r.weight_ih', 'r.weight_ih_reverse', 'zeros']"),
                folded("val_12", "['l.lin_1.bias']"),
            ],
            node: vec![
                node("MatMul", "a", &["x", "val_3"]),
                node("Mul", "b", &["c", "val_5"]),
                node("Mul", "c", &["view_1", "c"]),
                node("Add", "d", &["t", "embedding"]),
                node("MatMul", "/head/fc/MatMul", &["x", "onnx::MatMul_9"]),
                // Nothing tells.
                node("MatMul", "e", &["x", "val_8"]),
                node("LSTM", "f", &["x", "val_10"]),
                node("MatMul", "g", &["x", "val_12"]),
            ],
            ..GraphProto::default()
        };
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
                ("val_3", "l.lin_1.weight", Lies::Transposed),
                ("val_5", "gn.weight", Lies::Expanded),
                ("view_1", "w", Lies::Expanded),
            ]
        );
    }
}
