//! Names that an exporter lost.
//!
//! An exporter that computes what is constant writes the transposed weight of a dense layer as a
//! number of the program, `val_98` or `onnx::MatMul_71`, where the model calls the weight
//! `linear1.weight`. What it says beside the node that reads the tensor tells the model's own name,
//! and the operation tells how the tensor lies there.

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
}

/// A parameter's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub name: String,
    pub lies: Lies,
}

/// PyTorch's newer exporter: the node of its graph that an operation came from.
const TRACED: &str = "pkg.torch.onnx.fx_node";
/// PyTorch's newer exporter: the modules around it, the outermost first.
const MODULES: &str = "pkg.torch.onnx.name_scopes";
/// What it calls a parameter in its graph.
const PLACEHOLDER: &str = "%p_";

/// The own names of tensors, by those in the file.
pub(super) fn recover(graph: &GraphProto) -> BTreeMap<String, Found> {
    let shapes: BTreeMap<&str, &[i64]> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor.dims.as_slice())).collect();
    let written = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let read = graph.input.iter().map(|input| input.name());
    let known = shapes.keys().copied().chain(written).chain(read);
    let mut taken: BTreeSet<String> = known.map(str::to_owned).collect();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for node in &graph.node {
        for (place, input) in node.input.iter().enumerate() {
            let Some(shape) = shapes.get(input.as_str()) else { continue };
            if found.contains_key(input) || !is_lost(input) {
                continue;
            }
            let Some((lies, ending)) = layout(node, place, shape) else { continue };
            let name = traced(node, &taken, ending).or_else(|| by_path(node, input));
            if let Some(name) = name.filter(|name| taken.insert(name.clone())) {
                found.insert(input.clone(), Found { name, lies });
            }
        }
    }
    found
}

/// Whether an exporter made the name up.
fn is_lost(name: &str) -> bool {
    name.starts_with("val_") || name.starts_with("onnx::")
}

/// How a parameter lies where an operation reads it, and how its own name ends.
fn layout(node: &NodeProto, place: usize, shape: &[i64]) -> Option<(Lies, &'static str)> {
    let expanded = shape.len() > 1 && shape.iter().filter(|&&extent| extent != 1).count() <= 1;
    match (node.op_type(), place) {
        ("MatMul", 1) if shape.len() == 2 => Some((Lies::Transposed, "weight")),
        ("PRelu", 1) | ("Mul", _) if expanded => Some((Lies::Expanded, "weight")),
        ("Add", _) if expanded => Some((Lies::Expanded, "bias")),
        _ => None,
    }
}

/// The parameter of the traced node that the file has not under its own name.
fn traced(node: &NodeProto, taken: &BTreeSet<String>, ending: &str) -> Option<String> {
    let text = property(&node.metadata_props, TRACED)?;
    let modules = property(&node.metadata_props, MODULES)?;
    // A list of quoted words.
    let modules: Vec<&str> = modules.split('\'').skip(1).step_by(2).collect();
    let flat: BTreeSet<String> = taken.iter().map(|name| flattened(name)).collect();
    let mut lost = text.split(PLACEHOLDER).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let placeholder = &rest[..end];
        (!flat.contains(placeholder)).then(|| own_name(placeholder, &modules))
    });
    lost.find(|name| name.ends_with(ending))
}

/// A name as the exporter's graph writes it.
fn flattened(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// `layer1_0_weight` in the module `layer1.0` as `layer1.0.weight`.
fn own_name(placeholder: &str, modules: &[&str]) -> String {
    let around = modules
        .iter()
        .filter(|module| !module.is_empty())
        .filter_map(|module| {
            Some((module, placeholder.strip_prefix(&format!("{}_", flattened(module)))?))
        })
        .max_by_key(|(module, _)| module.len());
    match around {
        // The one module of PyTorch's own that reads its parts' parameters itself.
        Some((module, "out_proj_weight")) => format!("{module}.out_proj.weight"),
        Some((module, rest)) => format!("{module}.{rest}"),
        None => placeholder.to_owned(),
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
    use crate::onnx::proto::{StringStringEntryProto, TensorProto};

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: Some(name.into()), dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn node(op: &str, name: &str, inputs: &[&str], traced: &str, modules: &str) -> NodeProto {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            metadata_props: match traced {
                "" => Vec::new(),
                text => vec![entry(TRACED, text), entry(MODULES, modules)],
            },
            ..NodeProto::default()
        }
    }

    #[test]
    fn what_stands_beside_a_node_names_its_tensor() {
        let modules = "['', 'l', 'l.lin_1', 'linear']";
        let call = "%linear = call(args = (%x, %p_l_lin_1_weight, %p_l_lin_1_bias), kwargs = {})";
        let norm = "%group_norm = call(args = (%c, 3, %p_gn_weight, %p_gn_bias, 1e-05))";
        let graph = GraphProto {
            initializer: vec![
                tensor("l.lin_1.bias", &[4]),
                tensor("val_3", &[3, 4]),
                tensor("val_5", &[6, 1, 1]),
                tensor("val_6", &[6, 1, 1]),
                tensor("val_7", &[2]),
                tensor("onnx::MatMul_9", &[4, 2]),
                tensor("val_8", &[4, 4]),
            ],
            node: vec![
                node("MatMul", "a", &["x", "val_3"], call, modules),
                node("Mul", "b", &["c", "val_5"], norm, "['', 'gn', 'group_norm']"),
                node("Add", "b", &["c", "val_6"], norm, "['', 'gn', 'group_norm']"),
                node("Reshape", "c", &["x", "val_7"], call, modules),
                node("MatMul", "/head/fc/MatMul", &["x", "onnx::MatMul_9"], "", ""),
                // Nothing tells.
                node("MatMul", "d", &["x", "val_8"], "", ""),
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
                ("onnx::MatMul_9", "head.fc.weight", Lies::Transposed),
                ("val_3", "l.lin_1.weight", Lies::Transposed),
                ("val_5", "gn.weight", Lies::Expanded),
                ("val_6", "gn.bias", Lies::Expanded),
            ]
        );
    }
}
