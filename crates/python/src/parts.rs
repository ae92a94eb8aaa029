//! Models taken apart, as they are sent to another process, and made of their parts again.

use crate::failure::Failure;
use crate::imported::Imported;
use crate::model::{Model, Origin};
use crate::open::of_architecture;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::collections::BTreeMap;
use thalweg_array::DType;
use thalweg_data::Normalization;
use thalweg_lab::WeightsInfo;

/// Where a model comes from: the text of its architecture, or a file's bytes with the shapes of
/// examples and the outputs asked for.
type Source<'py> = (String, Option<(Bound<'py, PyBytes>, Vec<Vec<usize>>, Vec<String>)>);

/// What a model is made of: its source, its name, its loss, its normalisation, its arrays.
type Parts<'py> =
    (Source<'py>, String, Option<String>, Option<(Vec<f64>, Vec<f64>)>, Bound<'py, PyDict>);

/// All that `from_parts` makes the model of again.
#[pyfunction]
pub fn to_parts<'py>(py: Python<'py>, model: &Bound<'py, Model>) -> PyResult<Parts<'py>> {
    let model = model.get();
    let source = match model.origin() {
        Origin::Architecture => {
            let text = model.model().architecture().map(ToString::to_string).unwrap_or_default();
            (text, None)
        }
        Origin::Onnx(graph) => {
            let bytes = PyBytes::new(py, &graph.bytes(model.weights())?);
            (String::new(), Some((bytes, graph.examples().to_vec(), graph.outputs().to_vec())))
        }
    };
    let info = model.info();
    let normalization = info.normalization.as_ref();
    let normalization = normalization.map(|n| (n.mean.clone(), n.divisor.clone()));
    Ok((source, model.name().to_owned(), info.loss.clone(), normalization, model.arrays(py)?))
}

/// The model that was taken apart by `to_parts`.
#[pyfunction]
pub fn from_parts(
    source: Source<'_>,
    name: &str,
    loss: Option<String>,
    normalization: Option<(Vec<f64>, Vec<f64>)>,
    arrays: BTreeMap<String, Bound<'_, PyUntypedArray>>,
) -> PyResult<Model> {
    let (architecture, file) = source;
    if let Some((bytes, examples, outputs)) = file {
        let model = Imported::read(bytes.as_bytes(), examples, outputs)?.model(name)?;
        let model = model.with_arrays(name, arrays.into_iter().collect())?;
        return model.with_loss(loss.as_deref());
    }
    let model = of_architecture(&architecture, None, None)?;
    let normalization =
        normalization.map(|(mean, divisor)| Normalization { mean, divisor, constant: Vec::new() });
    let info = WeightsInfo {
        architecture: Some(architecture),
        loss,
        normalization,
        ..WeightsInfo::default()
    };
    let weights = thalweg_train::initialize(&model, 0, DType::F32).map_err(Failure::from)?;
    let model = Model::new(name, model, weights, info, Origin::Architecture)?;
    model.with_arrays(name, arrays.into_iter().collect())
}
