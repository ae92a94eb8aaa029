//! What every ONNX file must be.

use prost::Message;
use std::collections::BTreeSet;
use thalweg_formats::onnx::export::OPSET;
use thalweg_formats::onnx::proto::tensor_shape_proto::dimension::Value as Dim;
use thalweg_formats::onnx::proto::type_proto::Value;
use thalweg_formats::onnx::proto::{ModelProto, ValueInfoProto};

pub fn decode(bytes: &[u8]) -> ModelProto {
    ModelProto::decode(bytes).expect("a file of Protocol Buffers")
}

/// Checks that every name is defined once and before it is read, that nothing is defined and not
/// read, and that inputs and outputs have types with a free batch.
pub fn check(file: &ModelProto) -> Result<(), String> {
    let opsets: Vec<_> = file.opset_import.iter().map(|o| (o.domain(), o.version())).collect();
    if opsets != [("", OPSET)] || file.ir_version() != 8 {
        return Err(format!("opsets {opsets:?}"));
    }
    let graph = file.graph.as_ref().ok_or("no graph")?;
    let mut defined = BTreeSet::new();
    let mut read = BTreeSet::new();
    let mut nodes = BTreeSet::new();
    for name in graph
        .input
        .iter()
        .map(ValueInfoProto::name)
        .chain(graph.initializer.iter().map(|tensor| tensor.name()))
    {
        if !defined.insert(name) {
            return Err(format!("{name} is defined twice"));
        }
    }
    for node in &graph.node {
        if !nodes.insert(node.name()) {
            return Err(format!("two nodes {}", node.name()));
        }
        for name in &node.input {
            if !defined.contains(name.as_str()) {
                return Err(format!("{} reads {name}, which comes later or never", node.name()));
            }
            read.insert(name.as_str());
        }
        for name in &node.output {
            if !defined.insert(name) {
                return Err(format!("{name} is defined twice"));
            }
        }
    }
    for output in &graph.output {
        if !defined.contains(output.name()) {
            return Err(format!("the output {} is not defined", output.name()));
        }
        read.insert(output.name());
    }
    // The values of a pooling stand before its places.
    let beside: BTreeSet<&str> = graph
        .node
        .iter()
        .filter(|node| node.output.len() > 1)
        .flat_map(|node| node.output.iter().map(String::as_str))
        .collect();
    if let Some(name) = defined.iter().find(|name| !read.contains(*name) && !beside.contains(*name))
    {
        return Err(format!("{name} is read by nothing"));
    }
    for tensor in &graph.initializer {
        let count: i64 = tensor.dims.iter().product();
        let size = match tensor.data_type() {
            1 | 6 | 12 => 4,
            7 | 11 => 8,
            9 => 1,
            other => return Err(format!("{} is of type {other}", tensor.name())),
        };
        if tensor.raw_data().len() as i64 != count * size {
            return Err(format!("{} does not fill its shape", tensor.name()));
        }
    }
    for port in graph.input.iter().chain(&graph.output) {
        let Some(Value::TensorType(ty)) = port.r#type.as_ref().and_then(|ty| ty.value.as_ref())
        else {
            return Err(format!("{} has no type", port.name()));
        };
        let dims = ty.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
        let batch = dims.first().and_then(|dim| dim.value.as_ref());
        if batch != Some(&Dim::DimParam("batch".to_owned())) {
            return Err(format!("the batch of {} is {batch:?}", port.name()));
        }
        if dims[1..].iter().any(|dim| !matches!(dim.value, Some(Dim::DimValue(_)))) {
            return Err(format!("{} is {dims:?}", port.name()));
        }
    }
    Ok(())
}
