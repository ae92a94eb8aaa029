//! The directory that a run leaves behind.
//!
//! ```text
//! runs/map/
//!   study.toml             all that was asked, defaults filled in
//!   results.zarr/          arrays
//!   metrics.parquet        measurements along training
//!   weights/*.safetensors  final weights under PyTorch's names
//!   report.html            everything in one page, and figures beside it
//!   units/                 finished pieces of work, which --resume goes on from
//! ```

use crate::error::{LabError, Result, at};
use crate::files;
use crate::lock::{LOCK, Lock};
use crate::store::DirectoryStore;
use crate::units::Units;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thalweg_record::Table;

/// The file that says what was asked.
pub const STUDY: &str = "study.toml";
/// The store of its arrays.
pub const RESULTS: &str = "results.zarr";
/// The finished pieces of its work.
pub(crate) const UNITS: &str = "units";
/// The measurements along training.
pub const METRICS: &str = "metrics.parquet";
/// The part of a study that never changes a result, and so may differ when a run is resumed.
const BUDGET: &str = "budget";

/// Where a run goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The directory; none: `runs/COMMAND`, or `runs/COMMAND-2` and so on if that exists.
    pub out: Option<PathBuf>,
    /// Whether to go on with a directory that exists. Without `out`, the latest of the command.
    pub resume: bool,
}

/// A directory that this process writes into, alone.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    fresh: bool,
    /// The topmost folder that had to be made for it, if any.
    made: Option<PathBuf>,
    _lock: Lock,
}

impl RunDirectory {
    /// Makes the directory of a study, or goes on with it.
    ///
    /// # Errors
    /// `Exists`, `Locked`, `Differs` with the first key of `study.toml` that is not as asked, or
    /// `File`.
    pub fn open(command: &str, output: &Output, study: &impl Serialize) -> Result<RunDirectory> {
        let path = match &output.out {
            Some(out) => out.clone(),
            None => default_path(command, output.resume),
        };
        let exists = path.symlink_metadata().is_ok();
        if exists && !output.resume {
            return Err(LabError::Exists { path });
        }
        if path.is_dir() && !path.join(STUDY).exists() && holds_files(&path, &[LOCK])? {
            let path = path.display();
            return Err(LabError::Input(format!(
                "{path} holds files but no {STUDY}: it is no run to go on with"
            )));
        }
        let made = make(&path)?;
        let lock = Lock::take(&path).inspect_err(|_| remove_made(&path, made.as_deref()))?;
        let fresh = !path.join(STUDY).exists();
        let directory = RunDirectory { path, fresh, made, _lock: lock };
        match directory.begin(study) {
            Ok(()) => Ok(directory),
            Err(error) => {
                directory.discard_if_empty();
                Err(error)
            }
        }
    }

    /// Writes the study, or compares it with the one that is there.
    fn begin(&self, study: &impl Serialize) -> Result<()> {
        let path = &self.path;
        let asked = toml::Table::try_from(study).map_err(|error| unwritable(path, error))?;
        if !self.fresh {
            self.compare(asked)?;
            return files::sweep(path);
        }
        let text = toml::to_string(&asked).map_err(|error| unwritable(path, error))?;
        self.write(STUDY, text.as_bytes())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A place in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Its results.
    pub fn results(&self) -> DirectoryStore {
        DirectoryStore::new(self.join(RESULTS))
    }

    /// The finished pieces of its work.
    pub fn units(&self) -> Units {
        Units::new(self.join(UNITS))
    }

    /// Writes a file in it, whole or not at all.
    ///
    /// # Errors
    /// `File`.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::atomic_write_bytes(&self.join(name), bytes)
    }

    /// Writes measurements as Parquet.
    ///
    /// # Errors
    /// `File`.
    pub fn write_table(&self, name: &str, table: &Table) -> Result<()> {
        files::atomic_write(&self.join(name), |writer| {
            table.write_parquet(name, writer).map_err(io::Error::other)
        })
    }

    /// Takes back what was made for this run, if nothing of value came into it: after a failure
    /// nothing half-written stays.
    pub fn discard_if_empty(self) {
        if self.fresh && !holds_files(&self.path, &[STUDY, LOCK]).unwrap_or(true) {
            let _ = fs::remove_file(self.join(STUDY));
            remove_made(&self.path, self.made.as_deref());
        }
    }

    /// Takes back what was made for this run with the finished pieces of its work: for a failure
    /// that going on would only meet again.
    pub(crate) fn discard_if_unfinished(self) {
        if self.fresh {
            let _ = fs::remove_dir_all(self.join(UNITS));
        }
        self.discard_if_empty();
    }

    fn compare(&self, asked: toml::Table) -> Result<()> {
        let begun = read_study(&self.path)?;
        let (begun, asked) = (flat(begun), flat(asked));
        let value = |entries: &[(String, String)], key: &str| {
            let found = entries.iter().find(|(known, _)| known == key);
            found.map_or("nothing".to_owned(), |(_, value)| value.clone())
        };
        for (key, _) in begun.iter().chain(&asked) {
            let (was, is) = (value(&begun, key), value(&asked, key));
            if was != is {
                let path = self.path.clone();
                return Err(LabError::Differs { path, key: key.clone(), begun: was, asked: is });
            }
        }
        Ok(())
    }
}

/// The study of a run directory.
///
/// # Errors
/// `File` without one, `Input` if it is no TOML.
pub fn read_study(run: &Path) -> Result<toml::Table> {
    let path = run.join(STUDY);
    let bytes = files::read(&path)?;
    let text = String::from_utf8_lossy(&bytes);
    text.parse().map_err(|error: toml::de::Error| {
        LabError::Input(format!("{} is not valid TOML: {}", path.display(), error.message()))
    })
}

/// Makes a directory and gives the topmost folder that was not there.
fn make(path: &Path) -> Result<Option<PathBuf>> {
    let absent =
        |folder: &&Path| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err();
    let made = path.ancestors().take_while(absent).last().map(Path::to_path_buf);
    fs::create_dir_all(path).map_err(|error| {
        if let Some(made) = &made {
            remove_made(path, Some(made));
        }
        match path.ancestors().find(|folder| folder.is_file()) {
            Some(file) => LabError::Input(format!(
                "{}: {} is a file: expected a directory, or a place where one can be made",
                path.display(),
                file.display()
            )),
            None => at(path)(error),
        }
    })?;
    Ok(made)
}

/// Removes the lock and the empty folders of a directory, and those that were made to hold it.
/// Whatever fails here, the error that led here is the one worth telling.
fn remove_made(path: &Path, made: Option<&Path>) {
    let _ = fs::remove_file(path.join(LOCK));
    remove_empty_folders(path);
    let Some(made) = made else { return };
    for folder in path.ancestors().take_while(|folder| folder.starts_with(made)) {
        let _ = fs::remove_dir(folder);
    }
}

fn remove_empty_folders(path: &Path) {
    let folders = fs::read_dir(path).into_iter().flatten().flatten();
    for folder in folders.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_empty_folders(&folder);
        let _ = fs::remove_dir(&folder);
    }
}

/// Whether there is any whole file in a folder or below it but these at its top.
fn holds_files(folder: &Path, but: &[&str]) -> Result<bool> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        let found = match entry.file_type().map_err(at(&path))?.is_dir() {
            true => holds_files(&path, &[])?,
            false => !files::is_beside(&path) && !but.iter().any(|n| entry.file_name() == *n),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unwritable(path: &Path, error: toml::ser::Error) -> LabError {
    LabError::File { path: path.join(STUDY), source: io::Error::other(error) }
}

/// `runs/map`, `runs/map-2`, ..: the first that is free, or to resume the last that is taken.
fn default_path(command: &str, resume: bool) -> PathBuf {
    let path = |n: u32| match n {
        1 => Path::new("runs").join(command),
        n => Path::new("runs").join(format!("{command}-{n}")),
    };
    let free = (1..).find(|&n| path(n).symlink_metadata().is_err()).unwrap_or(1);
    path(if resume { free.max(2) - 1 } else { free })
}

/// Every value under its dotted key, but those of the budget.
fn flat(table: toml::Table) -> Vec<(String, String)> {
    fn walk(prefix: &str, table: toml::Table, into: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => walk(&key, inner, into),
                value => into.push((key, value.to_string())),
            }
        }
    }
    let mut entries = Vec::new();
    let kept = table.into_iter().filter(|(key, _)| key != BUDGET).collect();
    walk("", kept, &mut entries);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[derive(Serialize)]
    struct Inner {
        threads: usize,
    }

    #[derive(Serialize)]
    struct Study {
        epochs: u64,
        lr: Vec<f64>,
        budget: Inner,
    }

    fn study(epochs: u64, threads: usize) -> Study {
        Study { epochs, lr: vec![0.1], budget: Inner { threads } }
    }

    #[test]
    fn a_directory_is_made_once_and_resumed_with_the_same_study_only() {
        let scratch = Scratch::new("run");
        let out = scratch.path().join("deep/run");
        let output = |resume| Output { out: Some(out.clone()), resume };
        let open = |resume, study| RunDirectory::open("train", &output(resume), &study);
        let run = open(false, study(3, 1)).unwrap();
        assert!(matches!(open(true, study(3, 1)), Err(LabError::Locked { .. })));
        run.write("weights/a", b"x").unwrap();
        fs::write(run.join("weights/.b.part"), b"half").unwrap();
        drop(run);
        assert!(matches!(open(false, study(3, 1)), Err(LabError::Exists { .. })));
        let message = open(true, study(4, 1)).unwrap_err().to_string();
        assert!(message.contains("epochs = 3, and 4 is asked"), "{message}");
        let run = open(true, study(3, 8)).unwrap();
        assert!(!run.join("weights/.b.part").exists());
        run.discard_if_empty();
        assert!(out.join("weights/a").exists());
    }

    #[test]
    fn a_failure_takes_the_directory_back() {
        let scratch = Scratch::new("run-back");
        let out = scratch.path().join("run");
        let open = |out: &Path, resume| {
            let output = Output { out: Some(out.to_path_buf()), resume };
            RunDirectory::open("train", &output, &study(3, 1)).unwrap()
        };
        let run = open(&out, false);
        fs::create_dir_all(run.join("units/surface")).unwrap();
        run.discard_if_empty();
        assert!(!out.exists());
        open(&out.join("a/b"), false).discard_if_empty();
        assert!(!out.exists() && scratch.path().exists());
        let run = open(&out, false);
        fs::create_dir(run.join(UNITS)).unwrap();
        fs::write(run.join("units/0"), b"done").unwrap();
        run.discard_if_empty();
        assert!(out.join("units/0").exists());
        let run = open(&out, true);
        run.discard_if_unfinished();
        assert!(out.join("units/0").exists(), "it was there before");
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        let run = open(&out, true);
        fs::create_dir(run.join(UNITS)).unwrap();
        fs::write(run.join("units/0"), b"done").unwrap();
        run.discard_if_unfinished();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "an empty folder was there before");
    }

    #[test]
    fn a_directory_of_other_files_is_no_run() {
        let scratch = Scratch::new("run-other");
        let killed = scratch.path().join("killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(".study.toml.part"), b"comm").unwrap();
        let output = Output { out: Some(killed), resume: true };
        RunDirectory::open("train", &output, &study(3, 1)).expect("begun, and killed at once");
        fs::write(scratch.path().join("thesis.tex"), b"").unwrap();
        let output = Output { out: Some(scratch.path().to_path_buf()), resume: true };
        let message = RunDirectory::open("train", &output, &study(3, 1)).unwrap_err().to_string();
        assert!(message.contains("no run to go on with"), "{message}");
        let output = Output { out: Some(scratch.path().join("thesis.tex/run")), resume: false };
        let message = RunDirectory::open("train", &output, &study(3, 1)).unwrap_err().to_string();
        assert!(message.contains("thesis.tex is a file"), "{message}");
    }
}
