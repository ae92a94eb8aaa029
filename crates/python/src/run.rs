//! Where finished pieces of work are kept: in a run directory, or in memory.

use crate::arrays::{self, Named, from_numpy};
use crate::failure::{Failure, Result};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_lab::{DirectoryStore, Output, RunDirectory, Units};
use thalweg_methods::{MethodError, NamedArrays, UnitStore};

/// A directory that this process writes into, alone, until it is closed; or as much in memory.
#[pyclass(frozen, module = "thalweg._thalweg")]
pub struct Run {
    store: Mutex<Option<Store>>,
}

/// A store that outlives a call.
#[derive(Clone)]
pub enum Store {
    /// A run directory.
    Directory(Arc<RunDirectory>),
    /// Arrays by key.
    Memory(Arc<Memory>),
}

/// Arrays by key.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, NamedArrays>>);

impl UnitStore for Memory {
    fn get(&self, key: &str) -> std::result::Result<Option<NamedArrays>, MethodError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn put(
        &self,
        key: &str,
        arrays: &[(String, thalweg_array::Array)],
    ) -> std::result::Result<(), MethodError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key.to_owned(), arrays.to_vec());
        Ok(())
    }
}

impl Store {
    /// Its finished pieces of work.
    pub fn units(&self) -> Found<'_> {
        match self {
            Store::Directory(directory) => Found::Directory(directory.units()),
            Store::Memory(memory) => Found::Memory(memory),
        }
    }

    /// Where results are written to, if they are.
    pub fn results(&self) -> Option<DirectoryStore> {
        match self {
            Store::Directory(directory) => Some(directory.results()),
            Store::Memory(_) => None,
        }
    }
}

/// The pieces of work of a store.
pub enum Found<'a> {
    /// In a directory.
    Directory(Units),
    /// In memory.
    Memory(&'a Memory),
}

impl Found<'_> {
    /// As methods take it.
    pub fn as_store(&self) -> &dyn UnitStore {
        match self {
            Found::Directory(units) => units,
            Found::Memory(memory) => *memory,
        }
    }
}

impl Run {
    /// The store, while it is open.
    pub fn store(&self) -> Result<Store> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(|| Failure::config("run", "an open one", "one that was closed"))
    }
}

#[pymethods]
impl Run {
    /// Makes the directory, or goes on with it if the study is the same.
    #[new]
    fn new(command: &str, path: PathBuf, study: &str) -> PyResult<Run> {
        let study: serde_json::Value =
            serde_json::from_str(study).map_err(|error| Failure::config("study", "JSON", error))?;
        let output = Output { out: Some(path), resume: true };
        let directory = RunDirectory::open(command, &output, &study).map_err(Failure::from)?;
        Ok(Run { store: Mutex::new(Some(Store::Directory(Arc::new(directory)))) })
    }

    /// Units in memory.
    #[staticmethod]
    fn in_memory(
        units: HashMap<String, Vec<(String, Bound<'_, PyUntypedArray>)>>,
    ) -> PyResult<Run> {
        let memory = Memory::default();
        for (key, arrays) in units {
            memory.put(&key, &named(&arrays)?).map_err(Failure::from)?;
        }
        Ok(Run { store: Mutex::new(Some(Store::Memory(Arc::new(memory)))) })
    }

    /// The arrays of a finished piece of work.
    fn get<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Named<'py>>> {
        let store = self.store()?;
        let found = store.units().as_store().get(key).map_err(Failure::from)?;
        found.map(|arrays| arrays::named(py, &arrays)).transpose()
    }

    /// Keeps the arrays of a finished piece of work.
    fn put(&self, key: &str, arrays: Vec<(String, Bound<'_, PyUntypedArray>)>) -> PyResult<()> {
        let store = self.store()?;
        Ok(store.units().as_store().put(key, &named(&arrays)?).map_err(Failure::from)?)
    }

    /// Lets go of the directory.
    fn close(&self) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn named(arrays: &[(String, Bound<'_, PyUntypedArray>)]) -> Result<NamedArrays> {
    arrays.iter().map(|(name, array)| Ok((name.clone(), from_numpy(array)?))).collect()
}
