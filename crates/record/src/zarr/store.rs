//! Where keys and bytes go.

use std::collections::BTreeMap;
use std::io::Result;
use std::sync::{Mutex, PoisonError};

/// A place for bytes under keys like `loss/c/0/1`.
pub trait Store {
    /// Puts bytes under a key, replacing what was there. It must be atomic: whoever reads, at
    /// whatever moment the writer dies, finds the old bytes or the new, never a part.
    ///
    /// # Errors
    /// Whatever the place says.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// The bytes under a key, or none.
    ///
    /// # Errors
    /// Whatever the place says; a key that is not there is no error.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Store for MemoryStore {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(key).cloned())
    }
}
