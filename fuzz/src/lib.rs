//! What each fuzz target does: reads, and holds the most memory taken against the file's size.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none torch fuzz/corpus/torch crates/formats/tests/corpus/torch \
//!     -- -max_total_time=600 -timeout=10
//! ```
//!
//! What is found is mended and then kept in `crates/formats/tests/corpus`, which
//! `crates/formats/tests/robust.rs` reads again with every change.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use thalweg_data::Provenance;
use thalweg_formats::dataset::{self, DataConfig};
use thalweg_formats::onnx::OnnxModel;
use thalweg_formats::{FormatError, idx, npz, safetensors, sharded, torch as torch_files};

/// Counts what is held; targets are read by one thread.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads bytes that may take so many times their size, and a fixed size more.
fn bounded(bytes: &[u8], times: usize, read: impl FnOnce(&[u8])) {
    const FIXED: usize = 1 << 20;
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    read(bytes);
    let most = PEAK.load(Relaxed).saturating_sub(before);
    assert!(most <= bytes.len() * times + FIXED, "{most} bytes for a file of {}", bytes.len());
}

/// The most that deflate can expand data.
const INFLATED: usize = 1032;

/// Safetensors.
pub fn safetensors(bytes: &[u8]) {
    bounded(bytes, 80, |bytes| drop(safetensors::read(bytes)));
}

/// NumPy's archives, as arrays and as data.
pub fn npz(bytes: &[u8]) {
    bounded(bytes, 16 * INFLATED, |bytes| {
        drop(npz::read(bytes));
        drop(dataset::read_npz("data", bytes, &DataConfig::default(), Provenance::default()));
    });
}

/// IDX, plain and gzipped.
pub fn idx(bytes: &[u8]) {
    bounded(bytes, 16 * INFLATED, |bytes| drop(idx::read(bytes).and_then(|raw| raw.to_array())));
}

/// What `torch.save` writes; a pickle by itself is put into an archive, whose check sums no mutation
/// would get past.
pub fn torch(bytes: &[u8]) {
    bounded(bytes, 8 * 64, |bytes| drop(torch_files::read(bytes)));
    if !bytes.starts_with(b"PK") {
        let archive = stored(&[("a/data.pkl", bytes), ("a/data/0", &[0; 64])]);
        bounded(&archive, 200, |bytes| drop(torch_files::read(bytes)));
    }
}

/// The index of weights in shards.
pub fn shards(bytes: &[u8]) {
    bounded(bytes, 200, |bytes| drop(sharded::Index::read(bytes)));
}

/// Tables.
pub fn csv(bytes: &[u8]) {
    bounded(bytes, 400, |bytes| drop(dataset::read_csv("data", bytes, &DataConfig::default())));
}

/// ONNX: what is in it, and a model of it.
pub fn onnx(bytes: &[u8]) {
    let mut elsewhere = |_: &_| Err(FormatError::Io(std::io::ErrorKind::NotFound.into()));
    bounded(bytes, 4000, |bytes| {
        let Ok(model) = OnnxModel::read(bytes, &mut elsewhere) else { return };
        let shapes: Option<Vec<Vec<usize>>> = model
            .inspect()
            .inputs
            .iter()
            .map(|input| {
                let shape = input.shape.as_ref()?.iter().skip(1);
                // Free extents of another model than that are not read.
                Some(shape.map(|extent| extent.parse().unwrap_or(2)).collect())
            })
            .collect();
        if let Some(shapes) = shapes {
            drop(model.model(&shapes, &[]));
        }
    });
}

/// An archive of members that are not compressed.
fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let start = file.len() as u32;
        let size = (bytes.len() as u32).to_le_bytes();
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(check_sum(bytes).to_le_bytes());
        fields.extend([size, size].concat());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&fields);
        file.extend(name.as_bytes());
        file.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, length) = (file.len() as u32, directory.len() as u32);
    let count = (members.len() as u16).to_le_bytes();
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend(length.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// CRC-32, as zip archives have it.
fn check_sum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8)
            .fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ 0xedb8_8320 & (sum & 1).wrapping_neg())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_read() {
        let pickle = b"\x80\x02].";
        let message = torch_files::read(&stored(&[("a/data.pkl", pickle)])).unwrap_err();
        assert_eq!(message.to_string(), "PyTorch: it holds a list, expected a state dict");
    }
}
