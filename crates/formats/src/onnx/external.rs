//! Tensors in files beside the model's.

use super::{invalid, proto, unsupported};
use crate::FormatError;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

/// Where a tensor lies outside the model's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalData {
    /// The file, relative to the model's folder.
    pub location: String,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

impl ExternalData {
    /// What a tensor says about its place; `expected` bytes fill its shape.
    pub(super) fn of(
        tensor: &proto::TensorProto,
        name: &str,
        expected: usize,
    ) -> Result<ExternalData, FormatError> {
        let entry = |key: &str| {
            let found = tensor.external_data.iter().find(|entry| entry.key() == key);
            found.map(|entry| entry.value().to_owned())
        };
        let number = |key: &str| -> Result<Option<u64>, FormatError> {
            let parse = |text: String| {
                let fault = || invalid(format!("{key} of tensor `{name}` is `{text}`"));
                text.trim().parse::<u64>().map_err(|_| fault())
            };
            entry(key).map(parse).transpose()
        };
        let location = entry("location").ok_or_else(|| {
            invalid(format!("tensor `{name}` lies in another file, but not said in which"))
        })?;
        let length = number("length")?.unwrap_or(expected as u64);
        if length != expected as u64 {
            return Err(invalid(format!(
                "tensor `{name}` needs {expected} bytes, but {length} of `{location}` are said to hold it"
            )));
        }
        Ok(ExternalData { location, offset: number("offset")?.unwrap_or(0), length })
    }
}

/// The bytes, from a file that lies in the folder.
pub(super) fn from_folder(folder: &Path, data: &ExternalData) -> Result<Vec<u8>, FormatError> {
    let location = &data.location;
    let path = Path::new(location);
    let inside =
        path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let outside =
        || unsupported(format!("`{location}`, which is outside the model's folder, is not read"));
    if !inside || location.is_empty() || location.contains('\\') {
        return Err(outside());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let missing =
        |error: std::io::Error| invalid(format!("its tensors are in `{location}`: {error}"));
    let folder = folder.canonicalize().map_err(missing)?;
    let full = folder.join(path).canonicalize().map_err(missing)?;
    if !full.starts_with(&folder) {
        return Err(outside());
    }
    let mut file = std::fs::File::open(&full).map_err(missing)?;
    let metadata = file.metadata().map_err(missing)?;
    let end = data.offset.checked_add(data.length);
    if !metadata.is_file() || end.is_none_or(|end| end > metadata.len()) {
        return Err(invalid(format!(
            "a tensor needs {} bytes from byte {} of `{location}`, which has {}",
            data.length,
            data.offset,
            metadata.len()
        )));
    }
    file.seek(SeekFrom::Start(data.offset)).map_err(missing)?;
    let length = usize::try_from(data.length).map_err(|_| invalid("a tensor is too large"))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|error| invalid(error.to_string()))?;
    bytes.resize(length, 0);
    file.read_exact(&mut bytes).map_err(missing)?;
    Ok(bytes)
}
