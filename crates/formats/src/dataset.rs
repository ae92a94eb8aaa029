//! Data sets from files: by name or by path.

mod idx_files;
mod npz_file;
mod text_file;

use crate::error::at;
use crate::{FormatError, RawArray};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Provenance, catalogue, digits, find};

pub use idx_files::{load_folder, load_pair};
pub use npz_file::{load_npz, read_npz};
pub use text_file::{load_text, read_text};

/// Characters in the input of an example of a text, unless others are asked for.
pub const CONTEXT: usize = 64;

/// Loads a data set.
///
/// - A name of [`thalweg_data::catalogue`]: embedded, or its files in one of the `search` folders
///   (in `folder/name` or `folder` itself) or where a system package puts them; the SHA-256 of the
///   contents must be the known one.
/// - The path of an `.npz` file, see [`read_npz`].
/// - The path of a `.txt` file, read in examples of `context` characters, see [`read_text`].
/// - A folder with the four IDX files of MNIST's names, see [`load_folder`].
/// - An IDX file of images whose labels lie beside it, see [`load_pair`].
///
/// # Errors
/// Nothing found (the message says where it looked), files that cannot be read or are damaged,
/// contents that are no usable data.
pub fn load(
    name_or_path: &str,
    search: &[PathBuf],
    context: usize,
) -> Result<Arc<Dataset>, FormatError> {
    if let Some(entry) = find(name_or_path) {
        if entry.is_embedded() {
            return Ok(digits());
        }
        let mut folders: Vec<PathBuf> =
            search.iter().flat_map(|folder| [folder.join(entry.name), folder.clone()]).collect();
        folders.extend(entry.directories.iter().map(PathBuf::from));
        for folder in &folders {
            if entry.files.iter().all(|file| idx_files::find_file(folder, file.name).is_some()) {
                return idx_files::load_catalogued(entry, folder).map(Arc::new);
            }
        }
        return Err(FormatError::NotInstalled {
            name: entry.name.to_string(),
            looked: folders.iter().map(|folder| folder.display().to_string()).collect(),
            obtain: entry.obtain,
        });
    }
    let path = Path::new(name_or_path);
    if path.is_dir() {
        return load_folder(path).map(Arc::new);
    }
    if !path.exists() {
        return Err(FormatError::UnknownData {
            name: name_or_path.to_string(),
            known: catalogue().iter().map(|entry| entry.name.to_string()).collect(),
        });
    }
    let ends_in = |name: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(name));
    if ends_in("npz") {
        return load_npz(path).map(Arc::new);
    }
    if ends_in("txt") {
        return load_text(path, context).map(Arc::new);
    }
    load_pair(path, &idx_files::labels_beside(path)?).map(Arc::new)
}

/// The bytes of a regular file.
fn read_file(path: &Path) -> Result<Vec<u8>, FormatError> {
    let bytes = std::fs::metadata(path).map_err(FormatError::from).and_then(|metadata| {
        if !metadata.is_file() {
            let what = "expected a regular file".to_string();
            return Err(FormatError::Unsupported { format: "data", what });
        }
        Ok(std::fs::read(path)?)
    });
    bytes.map_err(at(path))
}

/// One part of a data set before it is joined with the others.
struct Part<'a> {
    inputs: RawArray<'a>,
    targets: Array,
}

/// Which rows a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Train,
    Validation,
    Test,
}

/// Joins parts into one data set with fixed parts; images without channels get one.
fn join(
    name: &str,
    parts: &[(Role, Part<'_>)],
    n_classes: Option<usize>,
    mut provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mismatch = |what: String| FormatError::Unsupported { format: "data", what };
    let Some((_, first)) = parts.first() else {
        return Err(mismatch("no examples".into()));
    };
    let example = first.inputs.shape().get(1..).unwrap_or_default();
    let target = first.targets.shape().get(1..).unwrap_or_default();
    let (mut validation, mut test, mut n) = (Vec::new(), Vec::new(), 0usize);
    for (role, part) in parts {
        let (inputs, targets) = (part.inputs.shape(), part.targets.shape());
        if inputs.get(1..) != Some(example) || targets.get(1..) != Some(target) {
            return Err(mismatch(format!(
                "the parts differ in shape: inputs {:?} and {inputs:?}, targets {:?} and \
                 {targets:?}",
                first.inputs.shape(),
                first.targets.shape(),
            )));
        }
        if inputs[0] != targets[0] {
            let (inputs, targets) = (inputs[0], targets[0]);
            return Err(thalweg_data::DataError::Count { inputs, targets }.into());
        }
        let rows = n..n + inputs[0];
        match role {
            Role::Train => {}
            Role::Validation => validation.extend(rows.clone()),
            Role::Test => test.extend(rows.clone()),
        }
        n = rows.end;
    }
    let mut shape = vec![n];
    shape.extend(example);
    let mut inputs = Array::try_zeros(DType::F32, &shape)?;
    let mut rest = inputs.as_mut_slice::<f32>()?;
    for (_, part) in parts {
        let (to, after) = rest.split_at_mut(part.inputs.shape().iter().product());
        part.inputs.write_f32(to);
        rest = after;
    }
    if inputs.rank() == 3 {
        shape.push(1);
        inputs = inputs.reshape(&shape)?;
    }
    if provenance.scale.is_empty() {
        provenance.scale = format!("as in the file ({})", first.inputs.kind());
    }
    let targets = concatenate(parts)?;
    let dataset = if targets.dtype().is_float() {
        Dataset::regression(name, &inputs, &targets, provenance)?
    } else {
        Dataset::classification(name, &inputs, &targets, n_classes, provenance)?
    };
    Ok(dataset.with_fixed_parts(validation, test)?)
}

/// The targets of all parts: integers as `i64`, floats as `f64`.
fn concatenate(parts: &[(Role, Part<'_>)]) -> Result<Array, FormatError> {
    let n = parts.iter().map(|(_, part)| part.targets.shape()[0]).sum();
    let mut shape = parts[0].1.targets.shape().to_vec();
    shape[0] = n;
    if parts.iter().any(|(_, part)| part.targets.dtype().is_float()) {
        let values: Vec<f64> =
            parts.iter().flat_map(|(_, part)| part.targets.to_f64_vec()).collect();
        return Ok(Array::from_slice(&shape, &values)?);
    }
    let mut labels: Vec<i64> = Vec::new();
    for (_, part) in parts {
        labels.extend_from_slice(part.targets.convert(DType::I64).as_slice::<i64>()?);
    }
    Ok(Array::from_slice(&shape, &labels)?)
}
