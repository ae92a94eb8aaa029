//! Finished pieces of work, kept in a run directory.

use crate::store::DirectoryStore;
use std::collections::BTreeMap;
use std::path::PathBuf;
use thalweg_array::Array;
use thalweg_formats::safetensors;
use thalweg_methods::{MethodError, NamedArrays, UnitStore};
use thalweg_record::zarr::Store;

/// The order of the arrays, which the format itself does not keep.
const ORDER: &str = "order";

/// A store of units: `KEY.safetensors` for each.
#[derive(Debug, Clone)]
pub struct Units {
    store: DirectoryStore,
}

impl Units {
    /// Units in a directory.
    pub fn new(root: impl Into<PathBuf>) -> Units {
        Units { store: DirectoryStore::hasty(root) }
    }
}

/// A key as part of a path: what file systems do not take is written as its code.
fn file(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,=+".contains(c);
    let safe: String = key
        .chars()
        .map(|c| if plain(c) { c.to_string() } else { format!("%{:x}", u32::from(c)) })
        .collect();
    format!("{safe}.safetensors")
}

fn failed(key: &str, reason: &dyn std::fmt::Display) -> MethodError {
    MethodError::Store { key: key.to_owned(), reason: reason.to_string() }
}

impl UnitStore for Units {
    fn get(&self, key: &str) -> Result<Option<NamedArrays>, MethodError> {
        let Some(bytes) = self.store.get(&file(key)).map_err(|e| failed(key, &e))? else {
            return Ok(None);
        };
        // What a machine without power left half is done again.
        Ok(decode(&bytes).ok())
    }

    fn put(&self, key: &str, arrays: &[(String, Array)]) -> Result<(), MethodError> {
        let bytes = encode(arrays).map_err(|reason| failed(key, &reason))?;
        self.store.put(&file(key), &bytes).map_err(|e| failed(key, &e))
    }
}

/// Named arrays as the bytes of a safetensors file that keeps their order.
pub(crate) fn encode(arrays: &[(String, Array)]) -> Result<Vec<u8>, String> {
    let named: Vec<(&str, &Array)> =
        arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let order = serde_json::to_string(&names).map_err(|error| error.to_string())?;
    let metadata = BTreeMap::from([(ORDER.to_owned(), order)]);
    let mut bytes = Vec::new();
    safetensors::write(&mut bytes, &named, &metadata).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// What [`encode`] was given.
pub(crate) fn decode(bytes: &[u8]) -> Result<NamedArrays, String> {
    let mut read = safetensors::read(bytes).map_err(|error| error.to_string())?;
    let order = read.metadata.get(ORDER).ok_or("it does not say the order of its arrays")?;
    let names: Vec<String> = serde_json::from_str(order).map_err(|error| error.to_string())?;
    names
        .into_iter()
        .map(|name| match read.tensors.remove(&name) {
            Some(array) => Ok((name, array)),
            None => Err(format!("array {name} is missing")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn arrays_come_back_bit_for_bit_and_in_order() {
        let scratch = Scratch::new("units");
        let units = Units::new(scratch.path().join("units"));
        let arrays: NamedArrays = vec![
            ("z".into(), Array::vector(&[f64::NAN, -0.0, 1e-310])),
            ("a b".into(), Array::scalar(7i64)),
            ("m".into(), Array::vector(&[1u32, u32::MAX])),
        ];
        assert_eq!(units.get("surface/x:0-3").unwrap(), None);
        units.put("surface/x:0-3", &arrays).unwrap();
        let back = units.get("surface/x:0-3").unwrap().unwrap();
        let bits = |arrays: &NamedArrays| -> Vec<(String, Vec<u8>)> {
            arrays.iter().map(|(name, a)| (name.clone(), a.as_bytes().to_vec())).collect()
        };
        assert_eq!(bits(&back), bits(&arrays));
    }

    #[test]
    fn a_unit_that_is_not_whole_is_done_again() {
        let scratch = Scratch::new("units-bad");
        let units = Units::new(scratch.path());
        std::fs::write(scratch.path().join("a.safetensors"), b"no").unwrap();
        assert_eq!(units.get("a").unwrap(), None);
        assert!(units.put("../a", &[]).is_err());
    }
}
