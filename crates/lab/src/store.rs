//! A directory as a store of whole values under keys.

use crate::files;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use thalweg_record::zarr::Store;

/// Files in a directory, one a key; `loss/c/0/1` is a file in nested folders.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
    durable: bool,
}

impl DirectoryStore {
    /// A store in a directory, which is made when the first value is put.
    pub fn new(root: impl Into<PathBuf>) -> DirectoryStore {
        DirectoryStore { root: root.into(), durable: true }
    }

    /// A store that does not wait for the disk, for values that can be made again.
    pub(crate) fn hasty(root: impl Into<PathBuf>) -> DirectoryStore {
        DirectoryStore { root: root.into(), durable: false }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a key's value lies; keys that would lead out of the directory are refused.
    fn place(&self, key: &str) -> io::Result<PathBuf> {
        let inside = !key.is_empty()
            && key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && !key.contains('\\');
        if !inside {
            let message = format!("key {key:?} does not name a file inside the store");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(self.root.join(key))
    }
}

impl Store for DirectoryStore {
    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.place(key)?;
        // Writing the same again would cost a wait for the disk and change nothing.
        if files::read_if_there(&path)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        let written = match self.durable {
            true => files::atomic_write_bytes(&path, bytes),
            false => files::atomic_write_soon(&path, bytes),
        };
        written.map_err(io::Error::other)
    }

    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        files::read_if_there(&self.place(key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn values_go_round_and_keys_stay_inside() {
        let scratch = Scratch::new("store");
        let store = DirectoryStore::new(scratch.path().join("results.zarr"));
        assert_eq!(store.get("loss/c/0/1").unwrap(), None);
        store.put("loss/c/0/1", b"values").unwrap();
        store.put("loss/c/0/1", b"others").unwrap();
        assert_eq!(store.get("loss/c/0/1").unwrap().as_deref(), Some(&b"others"[..]));
        for key in ["", "/a", "a//b", "../a", "a/../../b", "a/."] {
            assert!(store.put(key, b"").is_err(), "{key:?}");
        }
    }
}
