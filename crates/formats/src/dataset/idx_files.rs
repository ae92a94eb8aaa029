//! Data sets of IDX files.

use super::config::DataConfig;
use super::{Part, Role, join, name_of, read_file, source};
use crate::error::at;
use crate::{FormatError, idx};
use std::path::{Path, PathBuf};
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
    let mut files = Vec::new();
    for name in [TRAIN, TEST].concat() {
        let path = find(name)?;
        files.push((path.clone(), read_file(&path)?, None));
    }
    load_four(
        &name_of(folder),
        &files,
        config,
        Provenance { source: source(folder), ..Provenance::default() },
    )
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
        files.push((path, bytes, Some(file.sha256)));
    }
    load_four(entry.name, &files, &DataConfig::default(), entry.provenance())
}

/// Training images, training labels, test images, test labels, each with the SHA-256 expected.
fn load_four(
    name: &str,
    files: &[(PathBuf, Vec<u8>, Option<&str>)],
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mut arrays = Vec::new();
    for (path, bytes, expected) in files {
        let array = idx::uncompressed(bytes).and_then(|bytes| {
            if let Some(expected) = expected {
                check(&bytes, expected)?;
            }
            idx::parse(bytes)
        });
        arrays.push((path, array.map_err(at(path))?));
    }
    let mut arrays = arrays.into_iter();
    let mut parts = Vec::new();
    for role in [Role::Train, Role::Test] {
        if let (Some((_, inputs)), Some((path, labels))) = (arrays.next(), arrays.next()) {
            let targets = labels.to_array().map_err(at(path))?;
            parts.push((role, Part { inputs, targets, weights: None }));
        }
    }
    join(name, &parts, config, provenance)
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
    let (image_bytes, label_bytes) = (read_file(images)?, read_file(labels)?);
    let inputs = idx::read(&image_bytes).map_err(at(images))?;
    let targets = idx::read(&label_bytes).and_then(|raw| raw.to_array()).map_err(at(labels))?;
    let provenance = Provenance { source: source(images), ..Provenance::default() };
    join(
        &name_of(images),
        &[(Role::Train, Part { inputs, targets, weights: None })],
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
