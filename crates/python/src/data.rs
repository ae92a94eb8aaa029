//! Built-in data, and files of data.

use crate::arrays::{Named, copied, named};
use crate::failure::{Failure, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use thalweg_array::Array;
use thalweg_data::{Subset, Targets};
use thalweg_lab::{DataOptions, PreparedData, WeightsFile, atomic_write_bytes};

/// Training and test part of data by name, as the command line splits them, in their raw scale.
#[pyfunction]
pub fn dataset<'py>(
    py: Python<'py>,
    name: &str,
    test_fraction: Option<f64>,
    subsample: Option<usize>,
    seed: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let options = DataOptions {
        name: Some(name.to_owned()),
        test_fraction,
        subsample,
        ..DataOptions::default()
    };
    options.check().map_err(Failure::from)?;
    let (_, data) = PreparedData::choose(&options, &[], seed).map_err(Failure::from)?;
    let parts = PyDict::new(py);
    parts.set_item("train", part(py, &data.train)?)?;
    parts.set_item("test", part(py, &data.test)?)?;
    parts.set_item("n_classes", data.dataset.n_classes())?;
    let normalization = (data.normalization.mean, data.normalization.divisor);
    parts.set_item("normalization", normalization)?;
    Ok(parts)
}

/// The tensors of a safetensors file, by name.
#[pyfunction]
pub fn read_safetensors<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Named<'py>> {
    let file = WeightsFile::read(&path).map_err(Failure::from)?;
    named(py, file.tensors())
}

fn part<'py>(py: Python<'py>, subset: &Subset) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (inputs, targets) = arrays(subset)?;
    Ok((copied(py, &inputs)?, copied(py, &targets)?))
}

fn arrays(subset: &Subset) -> Result<(Array, Array)> {
    let targets = match subset.targets()? {
        Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => labels,
        Targets::Values(values) => values,
    };
    Ok((subset.inputs()?, targets))
}

/// Writes a file beside its place and renames it.
#[pyfunction]
pub fn write_file(path: PathBuf, bytes: &[u8]) -> PyResult<()> {
    Ok(atomic_write_bytes(&path, bytes).map_err(Failure::from)?)
}
