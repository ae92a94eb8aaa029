//! What is known of data sets, and where they are on this machine.

use crate::data_source::search_folders;
use std::path::PathBuf;
use thalweg_record::reply::{DataEntry, DataFile};

/// Every built-in data set: its source, licence and checksums, where it was looked for, and where
/// it was found.
pub fn list_data() -> Vec<DataEntry> {
    thalweg_data::catalogue()
        .iter()
        .map(|entry| {
            let mut looked: Vec<PathBuf> = search_folders()
                .into_iter()
                .flat_map(|folder| [folder.join(entry.name), folder])
                .collect();
            looked.extend(entry.directories.iter().map(PathBuf::from));
            let holds = |folder: &PathBuf| {
                entry.files.iter().all(|file| {
                    folder.join(file.name).is_file()
                        || folder.join(format!("{}.gz", file.name)).is_file()
                })
            };
            let shown = |path: &PathBuf| path.display().to_string();
            let found = match entry.is_embedded() {
                true => Some("embedded".to_owned()),
                false => looked.iter().find(|folder| holds(folder)).map(shown),
            };
            DataEntry {
                name: entry.name.to_owned(),
                summary: entry.summary.to_owned(),
                source: entry.source.to_owned(),
                license: entry.license.to_owned(),
                citation: entry.citation.to_owned(),
                files: entry
                    .files
                    .iter()
                    .map(|file| DataFile {
                        name: file.name.to_owned(),
                        bytes: file.bytes,
                        sha256: file.sha256.to_owned(),
                    })
                    .collect(),
                looked: if entry.is_embedded() {
                    Vec::new()
                } else {
                    looked.iter().map(shown).collect()
                },
                found,
                obtain: entry.obtain.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_data_are_found_and_others_say_where_they_were_looked_for() {
        let list = list_data();
        let digits = list.iter().find(|entry| entry.name == "digits").unwrap();
        assert_eq!(digits.found.as_deref(), Some("embedded"));
        let fashion = list.iter().find(|entry| entry.name == "fashion-mnist").unwrap();
        assert!(fashion.looked.iter().any(|folder| folder == "data/fashion-mnist"));
        assert_eq!(fashion.files.len(), 4);
    }
}
