//! One writer a directory.

use crate::error::{LabError, Result, at};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;
use std::process;

/// The file that says who writes.
pub(crate) const LOCK: &str = ".lock";

/// The right to write into a directory, given back when it is dropped or the process dies.
///
/// It is the system's lock on an open file and not the file's existence, so that a process that
/// was killed leaves none behind.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a directory that exists.
    ///
    /// # Errors
    /// `Locked` with the other process's number, or `File`.
    pub fn take(directory: &Path) -> Result<Lock> {
        let path = directory.join(LOCK);
        let open =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = holder.trim().to_owned();
                return Err(LabError::Locked { path: directory.to_path_buf(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        file.set_len(0).map_err(at(&path))?;
        write!(file, "process {}", process::id()).map_err(at(&path))?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn there_is_one_writer_and_a_dead_one_does_not_count() {
        let scratch = Scratch::new("lock");
        let lock = Lock::take(scratch.path()).unwrap();
        let message = Lock::take(scratch.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", process::id())), "{message}");
        drop(lock);
        fs::write(scratch.path().join(LOCK), "process 1").unwrap();
        Lock::take(scratch.path()).unwrap();
    }
}
