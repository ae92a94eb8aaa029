//! Whatever the bytes, the readers neither panic nor ask for much more memory than the file could
//! hold: valid files, cut at every length and with bytes changed by a seeded mutator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use thalweg_array::{Array, DType};
use thalweg_data::{Provenance, Stream};
use thalweg_formats::{dataset, idx, npz, safetensors};

/// Counts the largest request of each thread.
struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn read_all(bytes: &[u8]) -> bool {
    let mut any = safetensors::read(bytes).is_ok();
    any |= npz::read(bytes).is_ok();
    any |= idx::read(bytes).and_then(|raw| raw.to_array()).is_ok();
    any |= dataset::read_npz("data", bytes, Provenance::default()).is_ok();
    any
}

/// Reads, and holds the largest single request against what deflate could make of the bytes (as
/// `f64` of bytes, 8 times wider), plus buffers of fixed size.
fn read_bounded(bytes: &[u8], expansion: usize) -> bool {
    LARGEST.set(0);
    let any = read_all(bytes);
    let largest = LARGEST.get();
    let bound = bytes.len() * 8 * expansion + (1 << 18);
    assert!(largest <= bound, "{largest} bytes for a file of {}", bytes.len());
    any
}

fn mutate(bytes: &[u8], stream: &Stream) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'-', b'"'];
    let mut out = bytes.to_vec();
    for edit in 0..1 + stream.below(0, 4) {
        let draws = stream.at(edit);
        let at = draws.below(0, out.len() as u64) as usize;
        match draws.below(1, 5) {
            0 => out[at] ^= 1 << draws.below(2, 8),
            1 => out[at] = TELLING[draws.below(2, 8) as usize],
            2 => {
                out.remove(at);
            }
            3 => out.insert(at, TELLING[draws.below(2, 8) as usize]),
            // A size field set to its largest value.
            _ => out.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        }
        if out.is_empty() {
            break;
        }
    }
    out
}

fn attack(name: &str, valid: &[u8], expansion: usize, rounds: u64) {
    assert!(read_bounded(valid, expansion), "{name} is valid");
    for length in 0..valid.len() {
        assert!(!read_bounded(&valid[..length], expansion), "{name} cut to {length}");
    }
    let stream = Stream::new(0, name);
    for round in 0..rounds {
        read_bounded(&mutate(valid, &stream.at(round)), expansion);
    }
}

fn arrays() -> [Array; 3] {
    let values: Vec<i32> = (0..12).collect();
    let images = Array::from_slice(&[3, 2, 2], &values).expect("twelve values");
    let labels = Array::vector(&[0i64, 1, 1]);
    [images.convert(DType::F32), labels, images.rows(0..1).expect("a row").convert(DType::Bool)]
}

#[test]
fn safetensors_files() {
    let [weight, step, mask] = &arrays();
    let metadata = BTreeMap::from([("format".into(), "pt".into())]);
    let tensors = [("conv.weight", weight), ("step", step), ("mask", mask)];
    let mut bytes = Vec::new();
    safetensors::write(&mut bytes, &tensors, &metadata).expect("valid");
    attack("safetensors", &bytes, 1, 20_000);
}

#[test]
fn npz_files() {
    let [images, labels, mask] = &arrays();
    let named = [("x", images), ("y", labels), ("mask", mask)];
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &named, npz::Compression::Stored).expect("valid");
    attack("npz stored", &bytes, 1, 5_000);
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &named, npz::Compression::Deflated).expect("valid");
    attack("npz deflated", &bytes, 1032, 5_000);
}

/// The zip container's check sums would hide the array's own header from the mutator.
#[test]
fn arrays_with_a_valid_check_sum() {
    let x = Array::zeros(DType::F32, &[2, 2]);
    let mut archive = Vec::new();
    npz::write(&mut archive, &[("x", &x)], npz::Compression::Stored).expect("valid");
    let start = archive.windows(6).position(|w| w == b"\x93NUMPY").expect("an array");
    let array = &archive[start..start + 144];
    let stream = Stream::new(0, "npy");
    let mut read = 0;
    for round in 0..10_000 {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        zip.start_file("x.npy", options).expect("a vector takes all");
        zip.write_all(&mutate(array, &stream.at(round))).expect("a vector takes all");
        let bytes = zip.finish().expect("a vector takes all").into_inner();
        read += usize::from(read_bounded(&bytes, 1));
    }
    // Changes of the data and of the padding do no harm, most others do.
    assert!((100..9_000).contains(&read), "{read}");
}

#[test]
fn idx_files() {
    let mut bytes = Vec::new();
    idx::write(&mut bytes, &arrays()[0]).expect("valid");
    attack("idx", &bytes, 1, 20_000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&bytes).expect("a vector takes all");
    attack("idx gzipped", &encoder.finish().expect("a vector takes all"), 1032, 20_000);
}

#[test]
fn an_npz_member_that_claims_what_its_bytes_cannot_hold() {
    let x = Array::zeros(DType::F32, &[2, 2]);
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x)], npz::Compression::Deflated).expect("valid");
    // The uncompressed size in the central directory, 24 bytes after its signature.
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory") + 24;
    bytes[at..at + 4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let message = npz::read(&bytes).expect_err("a lie").to_string();
    assert!(message.contains("claims 1073741824 bytes, more than"), "{message}");
}
