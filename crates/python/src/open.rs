//! Where models come from but ONNX files: an architecture, a file of weights, a run.

use crate::failure::{Failure, Result};
use crate::model::{Model, Origin};
use crate::setup::parse;
use pyo3::prelude::*;
use std::path::PathBuf;
use thalweg_array::DType;
use thalweg_lab::{Precision, WeightsFile, WeightsInfo, open_models};
use thalweg_nn::Architecture;
use thalweg_train::initialize;

/// A new model of an architecture, with the initial weights of a seed.
#[pyfunction]
pub fn build(
    architecture: &str,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
    seed: u64,
    precision: &str,
) -> PyResult<Model> {
    let model = of_architecture(architecture, input, outputs)?;
    let precision: Precision = parse(precision, "precision")?;
    let weights = initialize(&model, seed, precision.dtype());
    let info = WeightsInfo {
        architecture: model.architecture().map(ToString::to_string),
        ..WeightsInfo::default()
    };
    let name = model.architecture().map_or("model", |a| a.kind.name()).to_owned();
    Ok(Model::new(&name, model, weights.map_err(Failure::from)?, info, Origin::Architecture)?)
}

/// The models of a file of weights, or of a run directory.
#[pyfunction]
pub fn load(
    path: PathBuf,
    architecture: Option<&str>,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
) -> PyResult<Vec<Model>> {
    let files = open_models(&path, None).map_err(Failure::from)?;
    let each = |file: &WeightsFile| -> Result<Model> {
        let text = architecture.or(file.info.architecture.as_deref()).ok_or_else(|| {
            Failure::config(
                &format!("{}: it does not say its architecture: arch", file.path.display()),
                &format!("one of {}", Architecture::names().join(", ")),
                "none",
            )
        })?;
        let model = of_architecture(text, input.clone(), outputs)?;
        let wide = file.tensors().iter().any(|(_, array)| array.dtype() == DType::F64);
        let weights = file.weights(&model, if wide { DType::F64 } else { DType::F32 })?;
        Model::new(&file.name, model, weights, file.info.clone(), Origin::Architecture)
    };
    Ok(files.iter().map(each).collect::<Result<_>>()?)
}

/// The names of the architectures.
#[pyfunction]
pub fn architectures() -> Vec<&'static str> {
    Architecture::names()
}

/// The model of an architecture's text, with what it leaves open.
pub fn of_architecture(
    text: &str,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
) -> Result<thalweg_nn::Model> {
    let architecture: Architecture = text.parse()?;
    let unknown = |what: &str| {
        Failure::config(
            what,
            "the extents of one example and the number of outputs",
            "neither in the text nor beside it",
        )
    };
    let input = match input {
        Some(input) => input,
        None if architecture.input.is_empty() => return Err(unknown("input")),
        None => architecture.input.clone(),
    };
    let outputs = match outputs {
        Some(outputs) => outputs,
        None if architecture.outputs == 0 => return Err(unknown("outputs")),
        None => architecture.outputs,
    };
    Ok(architecture.build(&input, outputs)?)
}
