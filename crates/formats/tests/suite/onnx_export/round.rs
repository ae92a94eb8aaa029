//! What is exported and read again is the same function, and has the same gradient.

use super::case::Case;
use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_formats::FormatError;
use thalweg_formats::onnx::OnnxModel;
use thalweg_formats::onnx::export::ExportInfo;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Mode, Model, PortType, Weights, to_torch};

/// The model of a file, for examples as the file has them.
fn read(case: &Case, info: &ExportInfo) -> Result<(Model, Weights), FormatError> {
    let file = OnnxModel::read(&case.bytes(info), &mut |_| unreachable!("one file")).unwrap();
    let examples: Vec<Vec<usize>> = case
        .arrays(info, 2)
        .iter()
        .filter(|(name, _)| name.starts_with("in/"))
        .map(|(_, array)| array.shape()[1..].to_vec())
        .collect();
    let model = file.model(&examples, &[])?;
    let weights = file.weights(&model, info.float)?;
    Ok((model, weights))
}

/// The largest difference, as a share of the largest element where that is above one.
pub fn difference(got: &Array, expected: &Array) -> f64 {
    assert_eq!(got.shape(), expected.shape());
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let scale = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    let pairs = got.iter().zip(&expected);
    // A NaN is a difference, too.
    pairs.fold(0.0f64, |most, (a, b)| match (a - b).abs() {
        error if error <= most => most,
        error if error.is_nan() => f64::INFINITY,
        error => error,
    }) / scale
}

/// The largest difference of an output.
pub fn outputs(case: &Case, info: &ExportInfo, batch: usize) -> Result<f64, FormatError> {
    let (model, weights) = read(case, info)?;
    let arrays = case.arrays(info, batch);
    let graph = model.evaluation_graph(info.float, batch).unwrap();
    let mut all = weights.parameters.arrays().to_vec();
    all.extend_from_slice(weights.buffers.arrays());
    let (inputs, expected): (Vec<_>, Vec<_>) =
        arrays.into_iter().partition(|(name, _)| name.starts_with("in/"));
    all.extend(model.inputs().iter().zip(inputs).map(|(port, (_, array))| {
        array.convert(if port.ty == PortType::Index { DType::I32 } else { info.float })
    }));
    let got = match info.float {
        DType::F64 => reference::evaluate(&graph, &all).unwrap(),
        _ => Executor::new(1).compile(&graph).unwrap().run(all).unwrap(),
    };
    assert_eq!(got.len(), expected.len());
    let pairs = got.iter().zip(&expected);
    Ok(pairs.map(|(got, (_, expected))| difference(got, expected)).fold(0.0, f64::max))
}

/// The gradient of the sum of outputs, each times a number of its own, under the parameters' names
/// in the file.
fn gradient(
    model: &Model,
    weights: &Weights,
    inputs: &[Array],
    torch: bool,
) -> Vec<(String, Array)> {
    let builder = Builder::new(DType::F64);
    let (parameters, buffers) = model.declare(&builder);
    let xs: Vec<Tensor<'_>> = model
        .inputs()
        .iter()
        .map(|port| builder.input(&port.name, port.batch_type(DType::F64, inputs[0].shape()[0])))
        .collect();
    let y = model.apply_to_all(&builder, &parameters, &buffers, &xs, &Mode::EVALUATE).output;
    let count = y.shape().iter().product();
    let flat = y.reshape(&[count]);
    let factors = (builder.iota(DType::F64, &[count], 0) * 0.37).sin();
    let gradient = thalweg_transform::gradient((flat * factors).sum_all(), &parameters);
    let names: Vec<&str> = model.parameters().iter().map(|p| p.name.as_str()).collect();
    let named: Vec<_> = names.iter().copied().zip(gradient).collect();
    let graph = builder.finish(&named).unwrap();
    let mut all = weights.parameters.arrays().to_vec();
    all.extend_from_slice(weights.buffers.arrays());
    all.extend_from_slice(inputs);
    let arrays = reference::evaluate(&graph, &all).unwrap();
    if !torch {
        return names.iter().map(|name| (*name).to_owned()).zip(arrays).collect();
    }
    let gradient = Weights {
        parameters: model.parameter_tree(arrays).unwrap(),
        buffers: weights.buffers.clone(),
    };
    to_torch(model, &gradient).unwrap()
}

/// Checks that the parameters of the file are those of the model, and so is the gradient.
pub fn check_gradient(case: &Case, info: &ExportInfo) {
    let (model, weights) =
        read(case, info).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let own = case.inputs(3);
    let normalised: Vec<Array> =
        own.iter().map(|input| case.normalised(input, DType::F64)).collect();
    let expected = gradient(&case.model, &case.weights.convert(DType::F64), &normalised, true);
    let inputs: Vec<Array> = case
        .arrays(info, 3)
        .into_iter()
        .filter(|(name, _)| name.starts_with("in/"))
        .map(|(_, array)| match array.dtype() {
            DType::I64 => array.convert(DType::I32),
            _ => array.convert(DType::F64),
        })
        .collect();
    let got = gradient(&model, &weights, &inputs, false);
    let mut names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
    let mut wanted: Vec<&str> = case.model.parameters().iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "{}", case.name);
    for (name, array) in &got {
        let (_, expected) = expected.iter().find(|(known, _)| known == name).unwrap();
        let error = difference(array, expected);
        assert!(error < 1e-10, "{}: {name} is off by {error}", case.name);
    }
}
