//! From a path to tensors: a file of weights in any format, or the folder of a model in shards.

use crate::error::Result;
use crate::files;
use std::path::{Path, PathBuf};
use thalweg_formats::safetensors::Weights;
use thalweg_formats::sharded::Index;
use thalweg_formats::{FormatError, WeightsFormat};

/// What a model that is saved as a folder is called in it, the best first.
const IN_FOLDER: [&str; 4] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
];

/// The file of weights in a folder that holds a saved model; none if it holds none.
pub(crate) fn in_folder(folder: &Path) -> Option<PathBuf> {
    IN_FOLDER.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The extensions of files of weights.
pub(crate) fn is_weights_file(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    extension.is_some_and(|extension| WeightsFormat::of_extension(&extension).is_some())
}

/// Reads a file of weights, or an index of shards with the files that it names.
///
/// The format is told by the bytes; the extension decides what is said of bytes that look like
/// nothing.
///
/// # Errors
/// `File` or `Format` with the path.
pub(crate) fn read_weights(path: &Path) -> Result<Weights> {
    let bytes = files::read(path)?;
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    if extension.as_deref().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return read_shards(path, &bytes);
    }
    let format = WeightsFormat::of_bytes(&bytes)
        .or_else(|| WeightsFormat::of_extension(extension.as_deref()?))
        .unwrap_or(WeightsFormat::Safetensors);
    Ok(format.read(&bytes).map_err(at(path))?)
}

fn read_shards(path: &Path, index: &[u8]) -> Result<Weights> {
    let index = Index::read(index).map_err(at(path))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::new();
    for name in index.files() {
        let shard = folder.join(name);
        let bytes = files::read(&shard)?;
        let format = WeightsFormat::of_bytes(&bytes).unwrap_or(WeightsFormat::Safetensors);
        shards.push((name.to_owned(), format.read(&bytes).map_err(at(&shard))?));
    }
    Ok(index.join(shards).map_err(at(path))?)
}

fn at(path: &Path) -> impl Fn(FormatError) -> FormatError + '_ {
    |source| FormatError::File { path: path.to_path_buf(), source: Box::new(source) }
}

/// A short name of the model in a file of weights.
pub(crate) fn short_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut name = name.unwrap_or_default();
    for ending in [".json", ".index"] {
        name.truncate(name.strip_suffix(ending).map_or(name.len(), str::len));
    }
    let is_usual = IN_FOLDER.contains(&name.as_str());
    // All saved models are called the same; their folders are not.
    let folder = path.parent().and_then(Path::file_name).filter(|_| is_usual);
    let stem = Path::new(&name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    folder.map_or(stem.unwrap_or_default(), |folder| folder.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_models_are_called_after_their_folders() {
        for (path, name) in [
            ("a/seed-0.safetensors", "seed-0"),
            ("net.v2.pt", "net.v2"),
            ("a/bert/model.safetensors", "bert"),
            ("bert/model.safetensors.index.json", "bert"),
            ("bert/pytorch_model.bin.index.json", "bert"),
            ("bert/other.safetensors.index.json", "other"),
            ("model.safetensors", "model"),
        ] {
            assert_eq!(short_name(Path::new(path)), name, "{path}");
        }
    }
}
