//! A run directory: what was asked, finished pieces of work, results.

use crate::arrays::{copied, from_numpy};
use crate::failure::Failure;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_lab::{Output, RunDirectory};
use thalweg_methods::{NamedArrays, UnitStore};

/// A directory that this process writes into, alone, until it is closed.
#[pyclass(frozen, module = "thalweg._thalweg")]
pub struct Run {
    directory: std::sync::Mutex<Option<Arc<RunDirectory>>>,
    path: PathBuf,
}

impl Run {
    /// The directory, while it is open.
    pub fn directory(&self) -> crate::failure::Result<Arc<RunDirectory>> {
        let directory = self.directory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        directory
            .clone()
            .ok_or_else(|| Failure::config("run", "an open one", "one that was closed"))
    }
}

#[pymethods]
impl Run {
    /// Makes the directory, or goes on with it if the study is the same.
    #[new]
    fn new(command: &str, path: PathBuf, study: &str) -> PyResult<Run> {
        let study: serde_json::Value =
            serde_json::from_str(study).map_err(|error| Failure::config("study", "JSON", error))?;
        let output = Output { out: Some(path.clone()), resume: true };
        let directory = RunDirectory::open(command, &output, &study).map_err(Failure::from)?;
        Ok(Run { directory: std::sync::Mutex::new(Some(Arc::new(directory))), path })
    }

    /// Where it is.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The arrays of a finished piece of work.
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &str,
    ) -> PyResult<Option<Vec<(String, Bound<'py, PyAny>)>>> {
        let found = self.directory()?.units().get(key).map_err(Failure::from)?;
        let Some(arrays) = found else { return Ok(None) };
        let arrays = arrays.iter().map(|(name, array)| Ok((name.clone(), copied(py, array)?)));
        Ok(Some(arrays.collect::<PyResult<_>>()?))
    }

    /// Keeps the arrays of a finished piece of work.
    fn put(&self, key: &str, arrays: Vec<(String, Bound<'_, PyUntypedArray>)>) -> PyResult<()> {
        let named = arrays.iter().map(|(name, array)| Ok((name.clone(), from_numpy(array)?)));
        let named: NamedArrays = named.collect::<crate::failure::Result<_>>()?;
        Ok(self.directory()?.units().put(key, &named).map_err(Failure::from)?)
    }

    /// Lets go of the directory.
    fn close(&self) {
        self.directory.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }
}
