//! ONNX's messages that ask for what is not there, or for too much.

use crate::onnx::traced;
use prost::Message;
use thalweg_formats::onnx::OnnxModel;
use thalweg_formats::onnx::proto::attribute_proto::AttributeType;
use thalweg_formats::onnx::proto::tensor_proto::{DataLocation, DataType};
use thalweg_formats::onnx::proto::*;

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("the {op}")),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: outputs.iter().map(|&name| name.into()).collect(),
        ..NodeProto::default()
    }
}

fn port(name: &str) -> ValueInfoProto {
    let dim = |value| tensor_shape_proto::Dimension { value, denotation: None };
    let free = tensor_shape_proto::dimension::Value::DimParam("n".into());
    let two = tensor_shape_proto::dimension::Value::DimValue(2);
    let tensor = type_proto::Tensor {
        elem_type: Some(1),
        shape: Some(TensorShapeProto { dim: vec![dim(Some(free)), dim(Some(two))] }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { denotation: None, value }),
        ..ValueInfoProto::default()
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(DataType::Int64 as i32),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn graph(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        initializer,
        input: vec![port("x")],
        output: vec![port("y")],
        ..GraphProto::default()
    }
}

fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: None, version: Some(21) };
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

#[track_caller]
fn refused(model: &ModelProto) -> String {
    let result = traced(&model.encode_to_vec(), &[2]);
    result.expect_err("it is refused").to_string()
}

#[track_caller]
fn refused_graph(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> String {
    refused(&model(graph(nodes, initializers)))
}

#[test]
fn graphs_that_cannot_be_evaluated() {
    let cycle = vec![node("Add", &["x", "b"], &["a"]), node("Neg", &["a"], &["b"])];
    assert_eq!(
        refused_graph([cycle, vec![node("Neg", &["b"], &["y"])]].concat(), Vec::new()),
        "not a valid ONNX file: Add node `the Add` (opset 21) reads `b`, which is written by a \
         later node or by itself: the graph has a cycle or is not sorted"
    );
    assert_eq!(
        refused_graph(vec![node("Neg", &["z"], &["y"])], Vec::new()),
        "not a valid ONNX file: Neg node `the Neg` (opset 21) reads `z`, which nothing defines"
    );
    let twice = vec![node("Neg", &["x"], &["y"]), node("Abs", &["x"], &["y"])];
    assert_eq!(refused_graph(twice, Vec::new()), "not a valid ONNX file: `y` is defined twice");
    assert_eq!(
        refused_graph(vec![node("Neg", &["x"], &["z"])], Vec::new()),
        "not a valid ONNX file: nothing defines the output `y`"
    );
    assert_eq!(
        refused_graph(vec![node("Fnord", &["x"], &["y"])], Vec::new()),
        "ONNX: Fnord node `the Fnord` (opset 21): this operation is not supported"
    );
    let mut other = node("Fnord", &["x"], &["y"]);
    other.domain = Some("own".into());
    assert_eq!(
        refused_graph(vec![other], Vec::new()),
        "ONNX: own.Fnord node `the Fnord` (opset 1): this operation is not supported"
    );
    assert_eq!(
        refused_graph(vec![node("MatMul", &["x", "x"], &["y"])], Vec::new()),
        "ONNX: MatMul node `the MatMul` (opset 21): shapes [2, 2] and [2, 2] do not go together"
            .replace("[2, 2] and [2, 2]", "[3, 2] and [3, 2]")
    );
}

#[test]
fn sizes_that_nothing_could_hold() {
    const HUGE: i64 = 1 << 60;
    for dims in [vec![HUGE], vec![1 << 40, 1 << 40], vec![-1], vec![i64::MIN, 0]] {
        let tensor = TensorProto {
            name: Some("w".into()),
            dims: dims.clone(),
            data_type: Some(DataType::Float as i32),
            raw_data: Some(prost::bytes::Bytes::from_static(&[0; 8])),
            ..TensorProto::default()
        };
        let message = refused_graph(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]);
        assert!(message.contains("tensor `w`"), "{dims:?}: {message}");
    }
    let shape = integers("s", &[HUGE, HUGE]);
    for op in ["Expand", "Tile", "Reshape"] {
        let message = refused_graph(vec![node(op, &["x", "s"], &["y"])], vec![shape.clone()]);
        assert!(message.contains(&format!("{op} node")), "{message}");
    }
    let nodes = vec![node("ConstantOfShape", &["s"], &["z"]), node("Add", &["x", "z"], &["y"])];
    assert!(refused_graph(nodes, vec![shape]).contains("too large"));
    let pads = integers("s", &[0, 0, 0, HUGE]);
    let message = refused_graph(vec![node("Pad", &["x", "s"], &["y"])], vec![pads]);
    assert!(message.contains("too large"), "{message}");
    // A trace that folds more and more.
    let mut nodes = vec![node("ConstantOfShape", &["s"], &["z0"])];
    for i in 0..2_000 {
        let (from, to) = (format!("z{i}"), format!("z{}", i + 1));
        nodes.push(node("Neg", &[&from], &[&to]));
    }
    nodes.push(node("Sub", &["x", "z2000"], &["y"]));
    let message = refused_graph(nodes, vec![integers("s", &[1 << 15, 2])]);
    assert!(message.contains("constants of more than"), "{message}");
}

#[test]
fn tensors_whose_bytes_do_not_fit() {
    let short = TensorProto {
        name: Some("w".into()),
        dims: vec![3],
        data_type: Some(DataType::Float as i32),
        float_data: vec![1.0, 2.0],
        ..TensorProto::default()
    };
    assert_eq!(
        refused_graph(vec![node("Add", &["x", "w"], &["y"])], vec![short]),
        "not a valid ONNX file: tensor `w` of shape [3] and type float32 needs 12 bytes, got 8"
    );
    let mut sparse = graph(vec![node("Neg", &["x"], &["y"])], Vec::new());
    sparse.sparse_initializer.push(SparseTensorProto::default());
    assert!(refused(&model(sparse)).contains("sparse initialiser"));
}

#[test]
fn files_outside_of_the_folder() {
    let folder = std::env::temp_dir().join(format!("thalweg onnx {}", std::process::id()));
    std::fs::create_dir_all(folder.join("in")).expect("a folder");
    std::fs::write(folder.join("secret"), [0; 8]).expect("a file");
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.join("secret"), folder.join("in/link")).expect("a link");
    let absolute = folder.join("secret").to_string_lossy().into_owned();
    let refused = |location: &str, keys: &[(&str, &str)]| {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        let mut external_data = vec![entry("location", location)];
        external_data.extend(keys.iter().map(|(key, value)| entry(key, value)));
        let tensor = TensorProto {
            name: Some("w".into()),
            dims: vec![2],
            data_type: Some(DataType::Float as i32),
            data_location: Some(DataLocation::External as i32),
            external_data,
            ..TensorProto::default()
        };
        let file = model(graph(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]));
        let path = folder.join("in/model.onnx");
        std::fs::write(&path, file.encode_to_vec()).expect("a file");
        OnnxModel::load(&path).map(drop).expect_err("it is refused").to_string()
    };
    for location in ["../secret", "a/../../secret", absolute.as_str(), "/etc/hostname", ""] {
        let message = refused(location, &[]);
        assert!(message.contains("outside the model's folder"), "{location}: {message}");
    }
    #[cfg(unix)]
    assert!(refused("link", &[]).contains("outside the model's folder"));
    assert!(refused("missing", &[]).contains("its tensors are in `missing`"));
    std::fs::write(folder.join("in/data"), [0; 8]).expect("a file");
    assert!(refused("data", &[("offset", "4")]).contains("from byte 4 of `data`, which has 8"));
    let far = u64::MAX.to_string();
    assert!(refused("data", &[("offset", &far)]).contains("which has 8"));
    assert!(refused("data", &[("length", "4")]).contains("needs 8 bytes"));
    assert!(refused("data", &[("offset", "-1")]).contains("is `-1`"));
    std::fs::remove_dir_all(&folder).expect("it was made here");
}

#[test]
fn bombs() {
    // Two bytes each, some hundred when decoded.
    let nodes = [0x0a, 0x00].repeat(1 << 20);
    let mut file = vec![0x3a];
    prost::encoding::encode_varint(nodes.len() as u64, &mut file);
    file.extend(nodes);
    let message = traced(&file, &[2]).expect_err("it is refused").to_string();
    assert!(message.contains("far more parts"), "{message}");
    // Functions that call the next one twice.
    let mut functions = Vec::new();
    for i in 0..40 {
        let mut calls = vec![
            node(&format!("f{}", i + 1), &["a"], &["b"]),
            node(&format!("f{}", i + 1), &["b"], &["c"]),
        ];
        calls.iter_mut().for_each(|call| call.domain = Some("own".into()));
        functions.push(FunctionProto {
            name: Some(format!("f{i}")),
            domain: Some("own".into()),
            input: vec!["a".into()],
            output: vec!["c".into()],
            node: calls,
            ..FunctionProto::default()
        });
    }
    let mut call = node("f0", &["x"], &["y"]);
    call.domain = Some("own".into());
    let mut file = model(graph(vec![call.clone()], Vec::new()));
    file.functions = functions.clone();
    assert!(refused(&file).contains("deep"), "{}", refused(&file));
    // One that calls itself.
    functions.truncate(1);
    functions[0].node.iter_mut().for_each(|call| call.op_type = Some("f0".into()));
    file.functions = functions;
    assert!(refused(&file).contains("deep"));
}

#[test]
fn graphs_nested_deeply() {
    let mut inner = graph(vec![node("Neg", &["x"], &["y"])], Vec::new());
    inner.input.clear();
    for _ in 0..90 {
        let mut branch = node("If", &["c"], &["y"]);
        for name in ["then_branch", "else_branch"] {
            branch.attribute.push(AttributeProto {
                name: Some(name.into()),
                r#type: Some(AttributeType::Graph as i32),
                g: (name == "then_branch").then(|| inner.clone()),
                ..AttributeProto::default()
            });
        }
        inner = graph(vec![branch], Vec::new());
        inner.input.clear();
    }
    inner.input = vec![port("x")];
    inner.initializer = vec![integers("c", &[1])];
    let message = refused(&model(inner));
    assert!(message.contains("recursion") || message.contains("nested"), "{message}");
}

/// A loop without an end, and one that makes more and more nodes.
#[test]
fn loops_without_an_end() {
    let mut body =
        graph(vec![node("Identity", &["go"], &["again"]), node("Neg", &["v"], &["w"])], Vec::new());
    body.input = vec![port("i"), port("go"), port("v")];
    body.output = vec![port("again"), port("w")];
    let mut looped = node("Loop", &["", "c", "x"], &["y"]);
    looped.attribute.push(AttributeProto {
        name: Some("body".into()),
        r#type: Some(AttributeType::Graph as i32),
        g: Some(body),
        ..AttributeProto::default()
    });
    let message = refused_graph(vec![looped], vec![integers("c", &[1])]);
    assert!(message.contains("loops run through more than"), "{message}");
}
