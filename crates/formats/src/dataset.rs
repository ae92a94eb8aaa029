//! Data sets from files: by name or by path.

mod config;
pub mod config_file;
mod coordinates;
mod csv_file;
mod idx_files;
mod image_folder;
mod mapped;
mod npz_file;
mod parquet_file;
mod picture;
mod table;
mod targets;
mod text_file;
mod tokenizer;

use crate::error::at;
use crate::{ElementKind, FormatError};
use mapped::{PartInputs, StoredParts};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use targets::Settled;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, InputSource, Inputs, Provenance, catalogue, digits, find};

pub use config::{
    BadValue, DataConfig, DataKind, ImageSize, Reading, Scale, Task, channels, delimiter,
};
pub use config_file::{CONFIG_FILE, find_config, read_config};
pub use coordinates::{load_coordinates, read_coordinates};
pub use csv_file::{load_csv, read_csv};
pub use idx_files::{load_folder, load_pair, load_pair_within};
pub use image_folder::load_images;
pub use npz_file::{load_npz, load_npz_within, read_npz};
pub use parquet_file::{load_parquet, read_parquet};
pub use text_file::{Tokens, load_text, read_text};

/// Tokens in the input of an example of a text, unless others are asked for.
pub const CONTEXT: usize = 64;

/// Bytes of inputs that are read into memory; more stay in their file, where its format allows.
pub const IN_MEMORY: u64 = 256 << 20;

/// What a name or path holds, by its name and by what a folder contains.
///
/// # Errors
/// Neither a known name nor a path that is there; a file of a kind that is not read.
pub fn kind_of(name_or_path: &str, config: &DataConfig) -> Result<DataKind, FormatError> {
    if find(name_or_path).is_some() {
        return Ok(DataKind::Named);
    }
    let path = Path::new(name_or_path);
    if path.is_dir() {
        let idx = idx_files::is_folder(path);
        return Ok(if idx { DataKind::Idx } else { DataKind::Images });
    }
    if !path.exists() {
        return Err(FormatError::UnknownData {
            name: name_or_path.to_string(),
            known: catalogue().iter().map(|entry| entry.name.to_string()).collect(),
        });
    }
    let ends_in = |name: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(name));
    if ends_in("npz") {
        return Ok(DataKind::Npz);
    }
    if ends_in("csv") || ends_in("tsv") {
        return Ok(DataKind::Csv);
    }
    if ends_in("parquet") {
        return Ok(DataKind::Parquet);
    }
    if ends_in("txt") {
        return Ok(DataKind::Text);
    }
    if image_folder::is_picture(path) {
        if config.reading == Some(Reading::Coordinates) {
            return Ok(DataKind::Coordinates);
        }
        let what = "one picture is a data set only as a function of the place in it: say --as \
                    coordinates, or name a folder of folders of images";
        return Err(at(path)(FormatError::Unsupported { format: "image", what: what.into() }));
    }
    Ok(DataKind::Idx)
}

/// Loads a data set.
///
/// - A name of [`thalweg_data::catalogue`]: embedded, or its files in one of the `search` folders
///   (in `folder/name` or `folder` itself) or where a system package puts them; the SHA-256 of the
///   contents must be the known one.
/// - The path of an `.npz` file, see [`read_npz`].
/// - The path of a `.csv` or `.tsv` file, see [`read_csv`].
/// - The path of a `.parquet` file, see [`read_parquet`].
/// - The path of a `.txt` file, see [`read_text`].
/// - The path of a PNG or JPEG picture to be read as coordinates, see [`read_coordinates`].
/// - A folder with the four IDX files of MNIST's names, see [`load_folder`].
/// - A folder with a folder of images for each class, see [`load_images`].
/// - An IDX file of images whose labels lie beside it, see [`load_pair`].
///
/// A TOML file is not looked for here, see [`find_config`].
///
/// # Errors
/// Nothing found (the message says where it looked), files that cannot be read or are damaged,
/// contents that are no usable data.
pub fn load(
    name_or_path: &str,
    search: &[PathBuf],
    config: &DataConfig,
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
    let data = match kind_of(name_or_path, config)? {
        DataKind::Npz => load_npz(path, config),
        DataKind::Csv => load_csv(path, config),
        DataKind::Parquet => load_parquet(path, config),
        DataKind::Text => load_text(path, config),
        DataKind::Coordinates => load_coordinates(path, config),
        DataKind::Images => load_images(path, config),
        DataKind::Idx if path.is_dir() => load_folder(path, config),
        DataKind::Idx | DataKind::Named => {
            load_pair(path, &idx_files::labels_beside(path)?, config)
        }
    };
    data.map(Arc::new)
}

/// What a file is read from, as provenance says it.
fn source(path: &Path) -> String {
    format!("read from {}", path.display())
}

/// The name of the data of a file: its own without the ending.
fn stem_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "data".into())
}

/// The name of the data of a path.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "data".into());
    name.strip_suffix(".gz").unwrap_or(&name).to_string()
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
struct Part {
    inputs: PartInputs,
    targets: Array,
    /// Factors of the losses of its examples.
    weights: Option<Array>,
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
    parts: Vec<(Role, Part)>,
    config: &DataConfig,
    mut provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mismatch = |what: String| FormatError::Unsupported { format: "data", what };
    let Some((_, first)) = parts.first() else {
        return Err(mismatch("no examples".into()));
    };
    let example = first.inputs.shape().get(1..).unwrap_or_default();
    let target = first.targets.shape().get(1..).unwrap_or_default();
    let (mut validation, mut test, mut n) = (Vec::new(), Vec::new(), 0usize);
    for (role, part) in &parts {
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
    if shape.len() == 3 {
        shape.push(1);
    }
    if provenance.scale.is_empty() {
        provenance.scale = format!("as in the file ({})", first.inputs.kind());
    }
    let (targets, weights) = (concatenate(&parts)?, weights(&parts)?);
    let tokens = !first.inputs.kind().is_float()
        && !targets.dtype().is_float()
        && matches!(first.inputs.shape(), [_, positions] if *positions > 1 && target == [*positions])
        && config.task != Some(Task::Regression);
    let inputs = inputs(parts.into_iter().map(|(_, part)| part.inputs).collect(), shape)?;
    if tokens {
        let known = config.n_classes;
        let dataset = Dataset::labelled_tokens(name, inputs, &targets, known, provenance)?;
        return finished(dataset, weights, validation, test);
    }
    let origin = targets::Origin { name: "labels", row: &|row| row, unnamed: false };
    let dataset = match targets::settle(&targets, config, &origin)? {
        Settled::Values(values) => Dataset::regression(name, inputs, &values, provenance)?,
        Settled::Classes { labels, n_classes, names } => {
            classes(name, inputs, &labels, n_classes, names, provenance)?
        }
    };
    finished(dataset, weights, validation, test)
}

fn finished(
    dataset: Dataset,
    weights: Option<Array>,
    validation: Vec<usize>,
    test: Vec<usize>,
) -> Result<Dataset, FormatError> {
    let dataset = match weights {
        Some(weights) => dataset
            .with_example_weights(&weights)?
            .with_note("the loss of each example is multiplied by its weight in the file"),
        None => dataset,
    };
    Ok(dataset.with_fixed_parts(validation, test)?)
}

/// The inputs of all parts, in memory unless one of them is in a file.
fn inputs(parts: Vec<PartInputs>, shape: Vec<usize>) -> Result<Inputs, FormatError> {
    let mut arrays = Vec::new();
    for part in &parts {
        let PartInputs::Raw(raw) = part else {
            let source: Arc<dyn InputSource> = Arc::new(StoredParts::new(parts, shape));
            return Ok(source.into());
        };
        arrays.push(raw);
    }
    if arrays.iter().any(|raw| raw.kind() == ElementKind::F64) {
        let mut values = Vec::new();
        for raw in arrays {
            values.extend(raw.to_array()?.to_f64_vec());
        }
        return Ok(Array::from_slice(&shape, &values)?.into());
    }
    let mut inputs = Array::try_zeros(DType::F32, &shape)?;
    let mut rest = inputs.as_mut_slice::<f32>()?;
    for raw in arrays {
        let (to, after) = rest.split_at_mut(raw.shape().iter().product());
        raw.write_f32(to);
        rest = after;
    }
    Ok(inputs.into())
}

/// The example weights of all parts; one in a part that has none.
fn weights(parts: &[(Role, Part)]) -> Result<Option<Array>, FormatError> {
    if parts.iter().all(|(_, part)| part.weights.is_none()) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (_, part) in parts {
        let n = part.targets.shape()[0];
        match &part.weights {
            Some(weights) if weights.len() == n => all.extend(weights.to_f64_vec()),
            Some(weights) => {
                let what = format!("{} example weights for {n} examples", weights.len());
                return Err(FormatError::Unsupported { format: "data", what });
            }
            None => all.extend(vec![1.0; n]),
        }
    }
    Ok(Some(Array::vector(&all)))
}

/// A data set of classes with their names, if they have any, and a note on those without examples.
fn classes(
    name: &str,
    inputs: impl Into<Inputs>,
    labels: &Array,
    n_classes: usize,
    names: Vec<String>,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let mut data = Dataset::classification(name, inputs, labels, Some(n_classes), provenance)?;
    if !names.is_empty() {
        data = data.with_class_names(names)?;
    }
    let note = data.labels().and_then(|labels| targets::absent(labels, n_classes));
    Ok(note.into_iter().fold(data, Dataset::with_note))
}

/// The targets of all parts: integers as `i64`, floats as `f64`.
fn concatenate(parts: &[(Role, Part)]) -> Result<Array, FormatError> {
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
