//! Files that a check reads and that are not part of the program.

use std::path::PathBuf;
use thalweg_lab::{LabError, Result, search_folders};

/// A file by its name, in one of the folders in which data are looked for or in `folder` there.
///
/// # Errors
/// `Input` where it is in none: it says what the file is and where it was looked for.
pub fn find(folder: &str, name: &str, what: &str) -> Result<PathBuf> {
    let folders = search_folders();
    let places = folders.iter().flat_map(|place| [place.join(folder).join(name), place.join(name)]);
    if let Some(found) = places.into_iter().find(|place| place.is_file()) {
        return Ok(found);
    }
    let looked: Vec<String> = folders.iter().map(|place| place.display().to_string()).collect();
    Err(LabError::Input(format!(
        "this check reads {name}, {what}: expected it, or {folder}/{name}, in one of {}",
        looked.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let error = find("folder", "no such file.txt", "a text of nothing").unwrap_err();
        let start = "this check reads no such file.txt, a text of nothing: expected it, or \
                     folder/no such file.txt, in one of ";
        assert!(error.to_string().starts_with(start), "{error}");
    }
}
