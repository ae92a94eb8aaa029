//! Whole files or none.

use crate::error::{Result, at};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a file is called while it is being written.
const BESIDE: &str = ".part";

/// Writes a file beside its place and renames it, so that whoever reads finds the old file or the
/// new one, whole, at whatever moment the writer dies.
///
/// The contents reach the disk before the name does, and the name before this returns.
///
/// # Errors
/// `File` with the path, if `write` or the system fails; nothing is left beside then.
pub fn atomic_write(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<()> {
    replace(path, true, write)
}

/// Writes bytes as [`atomic_write`] does, but does not wait for the disk: a killed process loses
/// nothing, a machine without power may. For what is checked when it is read and can be made again.
pub(crate) fn atomic_write_soon(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, false, |writer| writer.write_all(bytes))
}

fn replace(
    path: &Path,
    wait: bool,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let beside = beside(path);
    let written = File::create(&beside).and_then(|file| {
        let mut buffered = BufWriter::new(file);
        write(&mut buffered)?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        if wait { file.sync_all() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if let Err(error) = renamed {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&beside);
        return Err(at(path)(error));
    }
    if wait { sync_folder(folder) } else { Ok(()) }
}

/// Writes bytes as [`atomic_write`] does.
///
/// # Errors
/// Those of [`atomic_write`].
pub fn atomic_write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic_write(path, |writer| writer.write_all(bytes))
}

/// Removes what killed writers left beside their files, in a folder and those below it.
///
/// # Errors
/// `File`, if a folder cannot be read or a file not be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(at(&path))?.is_dir() {
            sweep(&path)?;
        } else if is_beside(&path) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// The bytes of a regular file.
///
/// # Errors
/// `File`, if there is none or it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(at(path))?;
    if !metadata.is_file() {
        return Err(at(path)(io::Error::other("expected a regular file")));
    }
    fs::read(path).map_err(at(path))
}

/// The bytes of a file, or none if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file is one that was to be renamed once it is whole.
pub(crate) fn is_beside(path: &Path) -> bool {
    path.to_string_lossy().ends_with(BESIDE)
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{}{BESIDE}", name.unwrap_or_default()))
}

/// Makes a rename last. Where a folder cannot be opened (Windows) the system does it itself.
fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder) {
        Ok(file) if cfg!(unix) => file.sync_all().map_err(at(folder)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_writer_that_fails_half_way_leaves_the_old_file_and_nothing_else() {
        let scratch = Scratch::new("files");
        let path = scratch.path().join("metrics.parquet");
        atomic_write_bytes(&path, b"old").unwrap();
        let error = atomic_write(&path, |writer| {
            writer.write_all(&[0; 100_000])?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
        })
        .unwrap_err();
        assert!(error.to_string().ends_with("metrics.parquet: no space left on device"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_under_a_regular_file_is_refused() {
        let scratch = Scratch::new("files-under");
        let file = scratch.path().join("file");
        atomic_write_bytes(&file, b"").unwrap();
        let error = atomic_write_bytes(&file.join("below/a"), b"").unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn what_a_killed_writer_left_is_swept() {
        let scratch = Scratch::new("files-sweep");
        let path = scratch.path().join("a/b");
        atomic_write_bytes(&path, b"whole").unwrap();
        fs::write(beside(&path), b"ha").unwrap();
        sweep(scratch.path()).unwrap();
        assert!(!beside(&path).exists() && path.exists());
    }
}
