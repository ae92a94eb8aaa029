//! Models of ONNX files.

use crate::arrays::{copied, from_numpy_or_bool};
use crate::failure::{Failure, Result};
use crate::job;
use crate::model::{Model, Origin};
use crate::objective::executor;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_formats::FormatError;
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, write_onnx};
use thalweg_formats::onnx::{Inspection, OnnxModel};
use thalweg_graph::{Builder, TensorType};
use thalweg_lab::{Precision, WeightsInfo};

/// What an ONNX file holds, before anything is traced.
#[pyfunction]
pub fn inspect_onnx<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
    let found = OnnxModel::load(&path).map_err(Failure::from)?.inspect();
    let about = PyDict::new(py);
    about.set_item("producer", &found.producer)?;
    about.set_item("opset", found.opset)?;
    for (key, ports) in [("inputs", &found.inputs), ("outputs", &found.outputs)] {
        let ports = ports.iter().map(|p| (p.name.clone(), p.ty.clone(), p.shape.clone()));
        about.set_item(key, ports.collect::<Vec<_>>())?;
    }
    about.set_item("unsupported", unsupported(&found))?;
    about.set_item("parameters", found.parameter_count())?;
    Ok(about)
}

fn unsupported(found: &Inspection) -> Vec<String> {
    found.unsupported().map(|op| op.op.clone()).collect()
}

/// The model of an ONNX file, for examples of these shapes.
#[pyfunction]
pub fn load_onnx(
    path: PathBuf,
    name: &str,
    examples: Vec<Vec<usize>>,
    outputs: Vec<String>,
) -> PyResult<Model> {
    let onnx = OnnxModel::load(&path).map_err(Failure::from)?;
    let found = model(&onnx, name, examples, outputs);
    Ok(found.map_err(|f| Failure::new(f.kind, at(&path, &f.sentence)))?)
}

fn at(path: &Path, sentence: &str) -> String {
    format!("{}: {sentence}", path.display())
}

fn model(
    onnx: &OnnxModel,
    name: &str,
    examples: Vec<Vec<usize>>,
    outputs: Vec<String>,
) -> Result<Model> {
    let found = onnx.model(&examples, &outputs)?;
    let wide = onnx.inspect().parameters.iter().any(|p| p.ty == "double");
    let weights = onnx.weights(&found, if wide { DType::F64 } else { DType::F32 })?;
    let origin = Origin::Onnx { file: onnx.clone(), examples, outputs };
    Model::new(name, found, weights, WeightsInfo::default(), origin)
}

/// The model that was sent as the bytes of a file.
pub fn from_bytes(
    bytes: &[u8],
    name: &str,
    examples: Vec<Vec<usize>>,
    outputs: Vec<String>,
) -> Result<Model> {
    let onnx = OnnxModel::read(bytes, &mut |data| {
        let what = format!("tensors in the file {} beside it", data.location);
        Err(FormatError::Unsupported { format: "ONNX", what })
    })?;
    model(&onnx, name, examples, outputs)
}

/// The bytes of an ONNX file of a model: of the file that it came from with the weights as they
/// are now, or of its graph.
pub fn bytes(model: &Model, layout: &str, precision: &str, normalise: bool) -> Result<Vec<u8>> {
    if let Origin::Onnx { file, .. } = model.origin() {
        return Ok(file.with_weights(model.weights())?);
    }
    let layout = match layout {
        "channels-first" => ImageLayout::ChannelsFirst,
        "channels-last" => ImageLayout::ChannelsLast,
        other => return Err(Failure::config("layout", "channels-first or channels-last", other)),
    };
    let precision: Precision = crate::objective::parse(precision, "precision")?;
    let metadata = model.info().loss.iter().map(|loss| ("loss".to_owned(), loss.clone()));
    let info = ExportInfo {
        producer_version: thalweg_lab::VERSION.to_owned(),
        name: model.name().to_owned(),
        metadata: metadata.collect(),
        layout,
        normalization: model.info().normalization.clone().filter(|_| normalise),
        float: precision.dtype(),
        ..ExportInfo::default()
    };
    Ok(write_onnx(model.model(), &model.weights().convert(precision.dtype()), &info)?)
}

/// What a graph makes of inputs, without any assumption about a batch axis: every output by name.
#[pyfunction]
pub fn evaluate_onnx<'py>(
    py: Python<'py>,
    bytes: Vec<u8>,
    inputs: Vec<(String, Bound<'py, PyUntypedArray>)>,
    precision: &str,
) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let precision: Precision = crate::objective::parse(precision, "precision")?;
    let named = inputs.iter().map(|(name, a)| Ok((name.clone(), from_numpy_or_bool(a)?)));
    let named: Vec<(String, Array)> = named.collect::<Result<_>>()?;
    let outputs = job::run(py, None, move |_| {
        let onnx = OnnxModel::read(&bytes, &mut |data| {
            let what = format!("tensors in the file {} beside it", data.location);
            Err(FormatError::Unsupported { format: "ONNX", what })
        })?;
        let builder = Builder::new(precision.dtype());
        let declared: Vec<_> = named
            .iter()
            .map(|(name, array)| {
                let ty = TensorType::new(array.dtype(), array.shape());
                (name.clone(), builder.input(name, ty))
            })
            .collect();
        let traced = onnx.trace(&builder, &declared)?;
        let outputs: Vec<_> = traced.iter().map(|(name, t)| (name.as_str(), *t)).collect();
        let graph = builder.finish(&outputs)?;
        let arrays = named.into_iter().map(|(_, array)| array).collect();
        let results = executor(0).compile(&graph)?.run(arrays)?;
        let names = traced.iter().map(|(name, _)| name.clone());
        Ok(names.zip(results).collect::<Vec<(String, Array)>>())
    })?;
    outputs.iter().map(|(name, array)| Ok((name.clone(), copied(py, array)?))).collect()
}
