//! ONNX's files, as others wrote them.

use crate::mutation::mutate;
use crate::targets::read_onnx;
use thalweg_data::Stream;
use thalweg_formats::FormatError;

/// Reads a model that has one input for examples of a shape.
pub fn traced(bytes: &[u8], example: &[usize]) -> Result<(), FormatError> {
    read_onnx(bytes, |_| Some(vec![example.to_vec()]))
}

#[test]
fn onnx_files() {
    let files: [(&str, &[u8], &[usize]); 3] = [
        ("mlp", include_bytes!("../onnx/mlp.onnx"), &[6]),
        ("functions", include_bytes!("../onnx/functions.onnx"), &[3]),
        ("scikit_learn", include_bytes!("../onnx/scikit_learn.onnx"), &[4]),
    ];
    let mut read = 0;
    for (name, valid, example) in files {
        traced(valid, example).unwrap_or_else(|error| panic!("{name}: {error}"));
        for length in 0..valid.len() {
            let cut = traced(&valid[..length], example);
            // What comes after the last field that is needed may be missing.
            assert!(cut.is_err() || length + 32 > valid.len(), "{name} cut to {length}");
        }
        let stream = Stream::new(0, name);
        for round in 0..4_000 {
            read += usize::from(traced(&mutate(valid, &stream.at(round)), example).is_ok());
        }
    }
    assert!((500..11_000).contains(&read), "{read}");
}

/// The shapes of a transformer and the weights of a recurrent layer under few mutations: a trace
/// of them takes longer.
#[test]
fn onnx_files_with_shapes_computed() {
    let files: [(&str, &[u8], &[usize]); 3] = [
        ("gpt", include_bytes!("../onnx/gpt.onnx"), &[5]),
        ("lstm", include_bytes!("../onnx/lstm.onnx"), &[5, 3]),
        ("unet", include_bytes!("../onnx/unet.onnx"), &[1, 8, 8]),
    ];
    for (name, valid, example) in files {
        traced(valid, example).unwrap_or_else(|error| panic!("{name}: {error}"));
        let stream = Stream::new(0, name);
        for round in 0..150 {
            // Most mutations hit weights; those of the first part hit the graph.
            let _ = traced(&mutate(valid, &stream.at(round)), example);
        }
    }
}
