//! Data sets of IDX files.

use super::config::DataConfig;
use super::mapped::{MappedArray, MappedFile, PartInputs};
use super::{IN_MEMORY, Part, Role, join, name_of, read_file, source};
use crate::error::at;
use crate::{FormatError, idx};
use std::path::{Path, PathBuf};
use thalweg_array::Array;
use thalweg_data::{CatalogueEntry, Dataset, Provenance, Sha256};

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A file of this name, or of this name with `.gz`.
pub(super) fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|p| p.is_file())
}

/// Whether a folder holds any of the files of [`load_folder`].
pub(super) fn is_folder(folder: &Path) -> bool {
    [TRAIN, TEST].concat().iter().any(|name| find_file(folder, name).is_some())
}

/// Loads a folder with the four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`. The last two
/// become the test part.
///
/// # Errors
/// A missing file, or as [`load_pair`].
pub fn load_folder(folder: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let find = |name: &str| {
        find_file(folder, name).ok_or_else(|| FormatError::File {
            path: folder.to_path_buf(),
            source: Box::new(FormatError::Unsupported {
                format: "IDX",
                what: format!("the folder has neither {name} nor {name}.gz"),
            }),
        })
    };
    let mut paths = Vec::new();
    for name in [TRAIN, TEST].concat() {
        paths.push(find(name)?);
    }
    let size = paths.iter().step_by(2).map(|path| size_of(path)).sum::<u64>();
    let mut parts = Vec::new();
    for (role, paths) in [Role::Train, Role::Test].into_iter().zip(paths.chunks_exact(2)) {
        let inputs = inputs(&paths[0], size > IN_MEMORY)?;
        parts.push((role, Part { inputs, targets: labels(&paths[1])?, weights: None }));
    }
    let provenance = Provenance { source: source(folder), ..Provenance::default() };
    join(&name_of(folder), parts, config, provenance)
}

/// The size of a file, 0 if there is none.
fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The array of a file; `mapped`, unless it is gzipped.
fn inputs(path: &Path, mapped: bool) -> Result<PartInputs, FormatError> {
    if mapped {
        let file = MappedFile::open(path)?;
        if !idx::is_gzipped(file.bytes())
            && let Some((kind, shape, range)) = idx::stored(file.bytes()).map_err(at(path))?
            && let Some(array) = MappedArray::new(&file, kind, true, shape, range)
        {
            return Ok(PartInputs::Mapped(array));
        }
    }
    let array = idx::into_uncompressed(read_file(path)?).and_then(idx::parse);
    Ok(PartInputs::Raw(array.map_err(at(path))?))
}

fn labels(path: &Path) -> Result<Array, FormatError> {
    idx::read(&read_file(path)?).and_then(|raw| raw.to_array()).map_err(at(path))
}

/// Loads a known data set whose files lie in a folder.
pub(super) fn load_catalogued(
    entry: &CatalogueEntry,
    folder: &Path,
) -> Result<Dataset, FormatError> {
    let mut files = Vec::new();
    for file in entry.files {
        let path = find_file(folder, file.name).unwrap_or_else(|| folder.join(file.name));
        let bytes = read_file(&path)?;
        files.push((path, bytes, file.sha256));
    }
    load_four(entry.name, files, &DataConfig::default(), entry.provenance())
}

/// Training images, training labels, test images, test labels, each with the SHA-256 expected.
fn load_four(
    name: &str,
    files: Vec<(PathBuf, Vec<u8>, &str)>,
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mut arrays = Vec::new();
    for (path, bytes, expected) in files {
        let array = idx::into_uncompressed(bytes).and_then(|bytes| {
            check(&bytes, expected)?;
            idx::parse(bytes)
        });
        let array = array.map_err(at(&path))?;
        arrays.push((path, array));
    }
    let mut arrays = arrays.into_iter();
    let mut parts = Vec::new();
    for role in [Role::Train, Role::Test] {
        if let (Some((_, inputs)), Some((path, labels))) = (arrays.next(), arrays.next()) {
            let targets = labels.to_array().map_err(at(&path))?;
            parts.push((role, Part { inputs: PartInputs::Raw(inputs), targets, weights: None }));
        }
    }
    join(name, parts, config, provenance)
}

fn check(bytes: &[u8], expected: &str) -> Result<(), FormatError> {
    let mut hash = Sha256::new();
    hash.update(bytes);
    let got = hash.hex();
    if got == expected {
        return Ok(());
    }
    let reason = format!("the contents have SHA-256 {got}, expected {expected}");
    Err(FormatError::Invalid { format: "IDX", reason })
}

/// Loads images and labels of two IDX files, gzipped or not; there is no fixed test part.
///
/// # Errors
/// Files that cannot be read or are damaged, unequal counts, labels that skip a class.
pub fn load_pair(
    images: &Path,
    labels: &Path,
    config: &DataConfig,
) -> Result<Dataset, FormatError> {
    load_pair_within(images, labels, config, IN_MEMORY)
}

/// As [`load_pair`]; images of more than `in_memory` bytes that are not gzipped stay in their file,
/// which is not to be changed as long as they are in use.
///
/// # Errors
/// As [`load_pair`].
pub fn load_pair_within(
    images: &Path,
    labels: &Path,
    config: &DataConfig,
    in_memory: u64,
) -> Result<Dataset, FormatError> {
    let inputs = inputs(images, size_of(images) > in_memory)?;
    let targets = self::labels(labels)?;
    let provenance = Provenance { source: source(images), ..Provenance::default() };
    join(
        &name_of(images),
        vec![(Role::Train, Part { inputs, targets, weights: None })],
        config,
        provenance,
    )
    .map_err(at(images))
}

/// The labels that go with a file of images: `images` becomes `labels` and `idx3` or `idx4`
/// becomes `idx1` in its name, with or without `.gz`.
pub(super) fn labels_beside(images: &Path) -> Result<PathBuf, FormatError> {
    let error = |what: String| at(images)(FormatError::Unsupported { format: "IDX", what });
    let name = images.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    if !name.contains("images") {
        return Err(error(
            "expected an .npz, .csv, .tsv, .parquet or .txt file, or an IDX file with `images` in its \
             name and its labels beside"
                .into(),
        ));
    }
    let wanted = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    find_file(images.parent().unwrap_or(Path::new("")), &wanted)
        .ok_or_else(|| error(format!("its labels {wanted} or {wanted}.gz are not beside it")))
}
