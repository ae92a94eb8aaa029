//! Models of ONNX files.

use crate::arrays::{self, Named, from_numpy_or_bool};
use crate::failure::{Failure, Result};
use crate::imported::{Imported, alone};
use crate::job;
use crate::model::{Model, Origin};
use crate::setup::{executor, parse};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use thalweg_array::Array;
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, write_onnx};
use thalweg_formats::onnx::{Inspection, OnnxModel};
use thalweg_graph::{Builder, TensorType};
use thalweg_lab::Precision;

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
    let file = OnnxModel::load(&path).map_err(Failure::from)?;
    let found = Imported::new(file, examples, outputs).model(name);
    let at = |f: Failure| Failure::new(f.kind, format!("{}: {}", path.display(), f.sentence));
    Ok(found.map_err(at)?)
}

/// The bytes of an ONNX file of a model: of the file that it came from with the weights as they
/// are now, or of its graph.
pub fn bytes(model: &Model, layout: &str, precision: &str, normalise: bool) -> Result<Vec<u8>> {
    if let Origin::Onnx(graph) = model.origin() {
        return graph.bytes(model.weights());
    }
    let layout = match layout {
        "channels-first" => ImageLayout::ChannelsFirst,
        "channels-last" => ImageLayout::ChannelsLast,
        other => return Err(Failure::config("layout", "channels-first or channels-last", other)),
    };
    let precision: Precision = parse(precision, "precision")?;
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
) -> PyResult<Named<'py>> {
    let precision: Precision = parse(precision, "precision")?;
    let named = inputs.iter().map(|(name, a)| Ok((name.clone(), from_numpy_or_bool(a)?)));
    let named: Vec<(String, Array)> = named.collect::<Result<_>>()?;
    let outputs = job::run(py, None, move |_| {
        let onnx = alone(&bytes)?;
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
    arrays::named(py, &outputs)
}
