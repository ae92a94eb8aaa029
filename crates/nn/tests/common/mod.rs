//! What several tests of whole networks share.

use thalweg_array::DType;
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::{Loss, Mode, Model};
use thalweg_transform::gradient;

const BATCH: usize = 64;
pub const CLASSES: usize = 10;

/// Loss and gradient on one batch.
pub fn graph(model: &Model) -> Graph {
    let b = Builder::new(DType::F32);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", model.inputs()[0].batch_type(DType::F32, BATCH));
    let output = model.apply(&b, &parameters, &buffers, x, &Mode::BATCH).output;
    let places = output.shape();
    let y = b.input("y", TensorType::new(DType::I32, &places[..places.len() - 1]));
    let loss = Loss::default().of(output, y, None);
    let mut outputs = vec![loss];
    outputs.extend(gradient(loss, &parameters));
    let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
    b.finish(&names.iter().map(String::as_str).zip(outputs).collect::<Vec<_>>()).unwrap()
}
