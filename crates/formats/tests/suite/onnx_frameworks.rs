//! Models that Keras and Flax exported, by tf2onnx and jax2onnx, against TensorFlow's and JAX's
//! numbers; `onnx/generate_keras.py` and `onnx/generate_flax.py` made them.

use std::path::Path;
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_formats::npz;
use thalweg_formats::onnx::OnnxModel;
use thalweg_nn::{Model, Role};

/// The model of a file, and the largest difference of its outputs from the framework's, which are
/// of f32, as a share of the largest output.
fn read(name: &str) -> (Model, f64) {
    let path = |end: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(format!("{name}.{end}"))
    };
    let file = OnnxModel::load(&path("onnx")).unwrap();
    let arrays = npz::read(&std::fs::read(path("npz")).unwrap()).unwrap();
    let get = |name: &str| arrays.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let (x, y): (Array, Array) = (get("x").convert(DType::F64), get("y"));
    let model = file.model(&[x.shape()[1..].to_vec()], &[]).unwrap();
    let weights = file.weights(&model, DType::F64).unwrap();
    let graph = model.evaluation_graph(DType::F64, x.shape()[0]).unwrap();
    let mut inputs = weights.parameters.into_arrays();
    inputs.extend(weights.buffers.into_arrays());
    inputs.push(x);
    let found = Executor::new(1).compile(&graph).unwrap().run(inputs).unwrap().remove(0);
    assert_eq!(found.shape(), y.shape());
    let (found, expected) = (found.to_f64_vec(), y.to_f64_vec());
    let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let off = found.iter().zip(&expected).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    (model, off / largest)
}

fn count(model: &Model, role: Role) -> usize {
    model.parameters().iter().filter(|parameter| parameter.role == role).count()
}

#[test]
fn keras() {
    let (model, error) = read("keras");
    assert!(error < 1e-6, "{error}");
    // Layer norm 2 * 6; attention 4 * (6 * 6 + 6); the loop's (6 + 5 + 2) * 15; dense 5 * 4 + 4.
    // The scale of the attention and what is added to variances are none of these.
    assert_eq!(model.parameter_count(), 12 + 168 + 195 + 24, "{:#?}", model.parameters());
    assert_eq!(count(&model, Role::Weight), 4 + 2 + 1);
}

#[test]
fn flax() {
    let (model, error) = read("flax");
    assert!(error < 1e-6, "{error}");
    let convolutions = (27 * 6 + 6) + (9 * 6 + 6);
    let norms = 12 + 12 + 16;
    assert_eq!(model.parameter_count(), convolutions + norms + (24 * 8 + 8) + (8 * 4 + 4));
    assert_eq!((count(&model, Role::Weight), count(&model, Role::NormScale)), (4, 3));
    assert_eq!(model.buffers().len(), 2);
}
