//! The files of a trajectory: of a run of `train`, or those that the user names.

use crate::error::{LabError, Result};
use crate::model_source::natural;
use crate::weights_reader::{in_folder, is_weights_file};
use std::fs;
use std::path::{Path, PathBuf};

/// Points that span a plane.
const FEWEST: usize = 3;

/// The files of weights that `--checkpoints` names: those in a folder, or what a pattern matches,
/// in natural order. A folder among them is a saved model.
///
/// # Errors
/// `Usage` for a pattern that is none; `Input` if nothing is found, or too few for a plane; `File`
/// for a folder that cannot be read.
pub(crate) fn named(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(pattern);
    let mut candidates = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(crate::error::at(path))? {
            let path = entry.map_err(crate::error::at(path))?.path();
            if path.is_dir() || is_weights_file(&path) {
                candidates.push(path);
            }
        }
    } else {
        let matches = glob::glob(pattern).map_err(|error| {
            LabError::Usage(format!("--checkpoints {pattern}: not a pattern: {error}"))
        })?;
        for found in matches {
            candidates.push(found.map_err(|error| LabError::File {
                path: error.path().to_path_buf(),
                source: error.into(),
            })?);
        }
    }
    let file = |path: PathBuf| if path.is_dir() { in_folder(&path) } else { Some(path) };
    let mut paths: Vec<PathBuf> = candidates.into_iter().filter_map(file).collect();
    paths.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    if paths.len() < FEWEST {
        return Err(LabError::Input(format!(
            "--checkpoints {pattern}: expected at least {FEWEST} files of weights, found {}: give a \
             folder of them, or a pattern in quotes, as 'run/*.pt'",
            paths.len()
        )));
    }
    Ok(paths)
}

/// The checkpoints of the member whose weights lie in `RUN/weights/MEMBER.safetensors`.
///
/// # Errors
/// `Input` if there is no trajectory beside it, or one that is too short.
pub(crate) fn of_run(weights: &Path) -> Result<Vec<PathBuf>> {
    let none = || {
        LabError::Input(format!(
            "{} has no trajectory beside it: expected the weights of a run of train --checkpoints, \
             with at least {FEWEST} checkpoints, or a folder of them by --checkpoints",
            weights.display()
        ))
    };
    let member = weights.file_stem().ok_or_else(none)?;
    let run = weights.parent().and_then(Path::parent).ok_or_else(none)?;
    let folder = run.join("trajectory").join(member);
    let entries = fs::read_dir(&folder).map_err(|_| none())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(crate::error::at(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    if paths.len() < FEWEST {
        return Err(none());
    }
    paths.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn checkpoints_come_in_natural_order() {
        let scratch = Scratch::new("checkpoints");
        for name in ["step-10.pt", "step-9.pt", "step-100.pt", "notes.txt", "old-1.safetensors"] {
            fs::write(scratch.path().join(name), b"").unwrap();
        }
        for step in [5, 50, 500] {
            let folder = scratch.path().join(format!("saved/checkpoint-{step}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("model.safetensors"), b"").unwrap();
            fs::write(folder.join("optimizer.pt"), b"").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let root = scratch.path().join(pattern);
            let paths = named(&root.to_string_lossy()).unwrap();
            let relative = paths.iter().map(|path| path.strip_prefix(scratch.path()).unwrap());
            relative.map(|path| path.to_string_lossy().replace('\\', "/")).collect()
        };
        assert_eq!(found("step-*.pt"), ["step-9.pt", "step-10.pt", "step-100.pt"]);
        assert_eq!(found(""), ["old-1.safetensors", "step-9.pt", "step-10.pt", "step-100.pt"]);
        let saved = [5, 50, 500].map(|step| format!("saved/checkpoint-{step}/model.safetensors"));
        assert_eq!(found("saved"), saved);
        assert_eq!(found("saved/checkpoint-*"), saved);
        let message = |pattern: &str| named(pattern).unwrap_err().to_string();
        let pattern = scratch.path().join("old*").to_string_lossy().into_owned();
        assert!(message(&pattern).contains("found 1: give a folder"), "{}", message(&pattern));
        assert!(message("a/***").contains("not a pattern"));
        assert!(of_run(&scratch.path().join("step-9.pt")).is_err());
    }
}
