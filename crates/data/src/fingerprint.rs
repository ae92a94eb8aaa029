//! SHA-256 over arrays and files.

use sha2::Digest;
use thalweg_array::{Array, DType};

/// A running SHA-256.
///
/// # Example
/// ```
/// let mut hash = thalweg_data::Sha256::new();
/// hash.update(b"abc");
/// assert!(hash.hex().starts_with("ba7816bf8f01cfea"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The hash of nothing so far.
    pub fn new() -> Sha256 {
        Sha256::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds an array: its type, its shape and its elements in little-endian order, so that the
    /// hash is the same on every machine.
    pub fn update_array(&mut self, array: &Array) {
        self.update_type(array.dtype(), array.shape());
        self.update_elements(array);
    }

    /// Adds what [`Sha256::update_array`] adds before the elements.
    pub(crate) fn update_type(&mut self, dtype: DType, shape: &[usize]) {
        self.update(dtype.to_string().as_bytes());
        self.update(&[0]);
        self.update_sizes(shape);
    }

    /// Adds the elements of an array that may be a block of a larger one.
    pub(crate) fn update_elements(&mut self, array: &Array) {
        match (cfg!(target_endian = "little"), array.dtype()) {
            (true, _) | (_, DType::Bool) => self.update(array.as_bytes()),
            (false, dtype) => {
                let mut element = [0u8; 8];
                for bytes in array.as_bytes().chunks_exact(dtype.size()) {
                    let reversed = &mut element[..bytes.len()];
                    reversed.copy_from_slice(bytes);
                    reversed.reverse();
                    self.0.update(&*reversed);
                }
            }
        }
    }

    /// Adds a list of sizes, its length first.
    pub fn update_sizes(&mut self, sizes: &[usize]) {
        self.update(&(sizes.len() as u64).to_le_bytes());
        for &size in sizes {
            self.update(&(size as u64).to_le_bytes());
        }
    }

    /// The 32 bytes of the hash.
    pub fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The hash as 64 hexadecimal digits.
    pub fn hex(self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
