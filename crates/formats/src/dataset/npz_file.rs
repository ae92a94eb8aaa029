//! Data sets of an `.npz` file.

use super::config::DataConfig;
use super::mapped::{MappedArray, MappedFile, PartInputs};
use super::{IN_MEMORY, Part, Role, join, read_file, source, stem_of};
use crate::FormatError;
use crate::error::at;
use crate::npz::Npz;
use std::path::Path;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_data::{Dataset, Provenance};

const INPUTS: [&str; 5] = ["x", "images", "inputs", "data", "features"];
const TARGETS: [&str; 5] = ["y", "labels", "label", "targets", "target"];
const WEIGHTS: [&str; 4] = ["sample_weight", "sample_weights", "weight", "weights"];

/// Loads an `.npz` file, see [`read_npz`].
///
/// # Errors
/// As [`read_npz`], with the path.
pub fn load_npz(path: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    load_npz_within(path, config, IN_MEMORY)
}

/// As [`load_npz`]; inputs of more than `in_memory` bytes that are not compressed stay in their
/// file, which is not to be changed as long as they are in use.
///
/// # Errors
/// As [`load_npz`].
pub fn load_npz_within(
    path: &Path,
    config: &DataConfig,
    in_memory: u64,
) -> Result<Dataset, FormatError> {
    let provenance = Provenance { source: source(path), ..Provenance::default() };
    let large = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > in_memory);
    let file = if large { Some(MappedFile::open(path)?) } else { None };
    let data = match &file {
        Some(file) => read(&stem_of(path), file.bytes(), Some(file), in_memory, config, provenance),
        None => {
            let bytes = read_file(path)?;
            read(&stem_of(path), &bytes, None, in_memory, config, provenance)
        }
    };
    data.map_err(at(path))
}

/// A data set from the bytes of an `.npz` file.
///
/// Inputs are called `x`, `images`, `inputs`, `data` or `features`, targets `y`, `labels`,
/// `label`, `targets` or `target`, in either case of letters. With `_train` and `_test` (and
/// `_val`, `_valid` or `_validation`) behind, or `train_` and so on before the name, the parts
/// become the fixed parts. Arrays called `sample_weight`, `sample_weights`, `weight` or `weights`
/// are factors of the losses of the examples. Other arrays are left aside.
///
/// Inputs are `[n, d]`, `[n, height, width]` or `[n, height, width, channels]`. Targets of an
/// integer type are class labels, `[n]` or `[n, 1]`, every class from 0 occurring unless the
/// configuration knows their number; floats are real values, `[n]` or `[n, k]`, and refused under
/// the names `labels` and `label`. The configuration's task overrules the type. Inputs and targets
/// that are both integers `[n, positions]` are tokens with a label each.
///
/// # Errors
/// No inputs or targets or several, arrays that cannot be read, contents that are no usable data.
pub fn read_npz(
    name: &str,
    bytes: &[u8],
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    read(name, bytes, None, u64::MAX, config, provenance)
}

/// Reads from bytes, which are those of `file` if there is one.
fn read(
    name: &str,
    bytes: &[u8],
    file: Option<&Arc<MappedFile>>,
    in_memory: u64,
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mut npz = Npz::new(bytes)?;
    let names: Vec<String> = npz.names().map(String::from).collect();
    let found = |role, kinds: &[&str]| find(&names, role, kinds);
    let roles = [Some(Role::Train), Some(Role::Validation), Some(Role::Test)];
    let split = found(roles[0], &INPUTS)?.is_some() || found(roles[0], &TARGETS)?.is_some();
    let wanted = if split { &roles[..] } else { &[None] };
    let mut found_parts = Vec::new();
    for &role in wanted {
        let (inputs, targets) = match (found(role, &INPUTS)?, found(role, &TARGETS)?) {
            (Some(inputs), Some(targets)) => (inputs, targets),
            (None, None) if matches!(role, Some(Role::Validation | Role::Test)) => continue,
            (inputs, _) => {
                let (missing, kinds) =
                    if inputs.is_none() { ("inputs", INPUTS) } else { ("targets", TARGETS) };
                return Err(FormatError::Unsupported {
                    format: "npz",
                    what: format!(
                        "no {missing} among its arrays {}; they are called {}{}",
                        names.join(", "),
                        kinds.join(", "),
                        if role.is_some() { ", each with _train, _val or _test" } else { "" },
                    ),
                });
            }
        };
        found_parts.push((role, inputs, targets));
    }
    let mut size = 0u64;
    for &(_, inputs, _) in &found_parts {
        size = size.saturating_add(npz.size(inputs)?);
    }
    let (mut parts, mut unmapped) = (Vec::new(), false);
    for (role, inputs, targets) in found_parts {
        let mapped = match file {
            Some(file) if size > in_memory => map(&mut npz, inputs, file)?,
            _ => None,
        };
        unmapped |= size > in_memory && mapped.is_none();
        let inputs = match mapped {
            Some(mapped) => PartInputs::Mapped(mapped),
            None => PartInputs::Raw(npz.get(inputs)?),
        };
        let targets = read_targets(&mut npz, targets)?;
        let weights = found(role, &WEIGHTS)?.map(|name| npz.get(name)).transpose()?;
        let weights = weights.map(|raw| raw.to_array()).transpose()?;
        parts.push((role.unwrap_or(Role::Train), Part { inputs, targets, weights }));
    }
    let data = join(name, parts, config, provenance)?;
    Ok(match unmapped {
        true => data.with_note(
            "the inputs are large and were read into memory: numpy.savez, not savez_compressed, of \
             row-major arrays writes them so that they are read from the file piece by piece",
        ),
        false => data,
    })
}

/// The inputs in their file, if they are stored row by row.
fn map(
    npz: &mut Npz<'_>,
    name: &str,
    file: &Arc<MappedFile>,
) -> Result<Option<MappedArray>, FormatError> {
    let stored = npz.stored(name, file.bytes(), &|bytes| file.saw(bytes))?;
    Ok(stored.and_then(|(layout, range)| {
        MappedArray::new(file, layout.kind, layout.big_endian, layout.shape, range)
    }))
}

fn read_targets(npz: &mut Npz<'_>, name: &str) -> Result<Array, FormatError> {
    let raw = npz.get(name)?;
    let (_, base) = role_and_base(name);
    if raw.kind().is_float() && base.starts_with("label") {
        let what = format!("array `{name}` is {}, expected an integer type for labels", raw.kind());
        return Err(FormatError::Unsupported { format: "npz", what });
    }
    raw.to_array()
}

/// The one array of a role whose name is among `kinds`.
fn find<'a>(
    names: &'a [String],
    role: Option<Role>,
    kinds: &[&str],
) -> Result<Option<&'a str>, FormatError> {
    let mut found = names.iter().filter(|name| {
        let (its_role, base) = role_and_base(name);
        its_role == role && kinds.contains(&base.as_str())
    });
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(FormatError::Unsupported {
            format: "npz",
            what: format!("`{first}` and `{second}` could both be meant, expected one of them"),
        }),
        (first, _) => Ok(first.map(String::as_str)),
    }
}

/// The part that a name says, and the rest of the name in lower case.
fn role_and_base(name: &str) -> (Option<Role>, String) {
    let name = name.to_lowercase();
    for (word, role) in [
        ("train", Role::Train),
        ("validation", Role::Validation),
        ("valid", Role::Validation),
        ("val", Role::Validation),
        ("test", Role::Test),
    ] {
        let base = name
            .strip_prefix(word)
            .and_then(|rest| rest.strip_prefix('_'))
            .or_else(|| name.strip_suffix(word).and_then(|rest| rest.strip_suffix('_')));
        if let Some(base) = base {
            return (Some(role), base.to_string());
        }
    }
    (None, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::{Compression, write};
    use thalweg_array::DType;

    fn load(arrays: &[(&str, &Array)]) -> Result<Dataset, String> {
        let mut bytes = Vec::new();
        write(&mut bytes, arrays, Compression::Deflated).unwrap();
        let config = DataConfig::default();
        read_npz("data", &bytes, &config, Provenance::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_table_or_several_parts() {
        let x = Array::zeros(DType::F64, &[4, 3, 3]);
        let y = Array::vector(&[0i64, 1, 1, 0]);
        let plain = load(&[("X", &x), ("y", &y), ("note", &y)]).unwrap();
        assert_eq!(plain.inputs().shape(), [4, 3, 3, 1]);
        assert_eq!(plain.n_classes(), Some(2));
        assert!(plain.fixed_test().is_empty());
        let parts = load(&[
            ("test_images", &x),
            ("test_labels", &y),
            ("train_images", &x),
            ("train_labels", &y),
            ("val_images", &x.rows(0..1).unwrap()),
            ("val_labels", &y.rows(0..1).unwrap()),
        ])
        .unwrap();
        assert_eq!(parts.len(), 9);
        assert_eq!(parts.fixed_validation(), [4]);
        assert_eq!(parts.fixed_test(), [5, 6, 7, 8]);
        let weights = Array::vector(&[0.5f64, 2.0, 1.0, 0.5]);
        let weighted = load(&[("x", &x), ("y", &y), ("sample_weight", &weights)]).unwrap();
        assert_eq!(weighted.example_weights(), Some(&[0.5, 2.0, 1.0, 0.5][..]));
        assert_ne!(weighted.fingerprint(), plain.fingerprint());
        let wrong = load(&[("x", &x), ("y", &y), ("weights", &Array::vector(&[1.0f64]))]);
        assert_eq!(wrong.unwrap_err(), "data: 1 example weights for 4 examples");
        let precise = Array::full(&[4, 3], 0.1).convert(DType::F64);
        let precise = load(&[("x", &precise), ("y", &y)]).unwrap();
        assert_eq!(precise.inputs().in_memory().unwrap().to_f64_vec()[0], 0.1);
        let real = load(&[("x", &x), ("y", &y.convert(DType::F32))]).unwrap();
        assert_eq!(real.n_classes(), None);
    }

    #[test]
    fn wrong_archives_get_one_sentence() {
        let x = Array::zeros(DType::F32, &[4, 2]);
        let y = Array::vector(&[0i32, 1, 1, 0]);
        assert_eq!(
            load(&[("x", &x), ("z", &y)]).unwrap_err(),
            "npz: no targets among its arrays x, z; they are called y, labels, label, targets, \
             target"
        );
        assert_eq!(
            load(&[("x_train", &x), ("y_train", &y), ("x_test", &x)]).unwrap_err(),
            "npz: no targets among its arrays x_train, y_train, x_test; they are called y, \
             labels, label, targets, target, each with _train, _val or _test"
        );
        assert_eq!(
            load(&[("x", &x), ("data", &x), ("y", &y)]).unwrap_err(),
            "npz: `x` and `data` could both be meant, expected one of them"
        );
        assert_eq!(
            load(&[("x", &x), ("labels", &y.convert(DType::F32))]).unwrap_err(),
            "npz: array `labels` is float32, expected an integer type for labels"
        );
        assert_eq!(
            load(&[("x", &x), ("y", &Array::vector(&[0i32, 1]))]).unwrap_err(),
            "4 inputs but 2 targets: expected one target for each input"
        );
        assert!(
            load(&[("x", &x), ("y", &Array::vector(&[0i32, 1, 3, 1]))]).unwrap_err().starts_with(
                "data: labels run to 3 but no example has label 2: expected every class from 0"
            )
        );
        let nan = Array::from_slice(&[4, 1], &[0.0f32, 0.0, f32::NAN, 0.0]).unwrap();
        assert_eq!(
            load(&[("x", &nan), ("y", &y)]).unwrap_err(),
            "inputs: row 2 holds NaN at element 0, expected finite numbers"
        );
        assert!(load(&[("x", &Array::scalar(1f32)), ("y", &y)]).is_err());
        assert!(load(&[("x", &x), ("y", &Array::scalar(1i32))]).is_err());
        assert!(
            load(&[("x", &Array::zeros(DType::F32, &[0, 2])), ("y", &Array::vector::<i32>(&[]))])
                .is_err()
        );
    }
}
