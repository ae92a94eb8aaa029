//! What is done with a file of each kind that the fuzzer makes, and the memory that this may take.
//!
//! The crate in `fuzz` includes this file, so that the corpus is read here as it was found there.

use crate::memory::within;
use std::io::{Cursor, Write};
use thalweg_data::Provenance;
use thalweg_formats::dataset::{self, DataConfig};
use thalweg_formats::onnx::{Inspection, OnnxModel};
use thalweg_formats::{FormatError, idx, npz, routers, safetensors, sharded, torch};

/// A target's name, which is that of its folder in the corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("safetensors", safetensors),
    ("npz", npz),
    ("idx", idx),
    ("torch", torch),
    ("shards", shards),
    ("csv", csv),
    ("onnx", onnx),
];

/// The most that deflate can expand data.
const INFLATED: usize = 1032;

/// Reads bytes that may take so many times their size, and a fixed size more.
#[track_caller]
fn bounded(bytes: &[u8], times: usize, read: impl FnOnce(&[u8])) {
    within(bytes.len() * times + (1 << 20), bytes, read);
}

/// Safetensors, as weights and as routers of a mixture of experts.
pub fn safetensors(bytes: &[u8]) {
    bounded(bytes, 80, |bytes| drop(safetensors::read(bytes)));
    bounded(bytes, 80, |bytes| drop(routers::read(Cursor::new(bytes)).and_then(routers::join)));
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

/// What `torch.save` writes, whose members may unpack to 64 times their size and repeat their
/// storages 8 times; a pickle by itself is put into an archive, whose check sums no mutation would
/// get past.
pub fn torch(bytes: &[u8]) {
    bounded(bytes, 8 * 64, |bytes| drop(torch::read(bytes)));
    if !bytes.starts_with(b"PK") {
        let archive = zipped(&[("a/data.pkl", bytes), ("a/data/0", &[0; 64])]);
        bounded(&archive, 200, |bytes| drop(torch::read(bytes)));
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

/// ONNX, for examples of the shapes that the file says.
pub fn onnx(bytes: &[u8]) {
    let _ = read_onnx(bytes, |inspection| {
        let shapes = inspection.inputs.iter().map(|input| {
            // The first axis is that of the batch. Free extents of another model than that are not
            // read.
            let shape = input.shape.as_ref()?.iter().skip(1);
            Some(shape.map(|extent| extent.parse().unwrap_or(2)).collect())
        });
        shapes.collect()
    });
}

/// Reads a model without other files, lists what is in it, and traces it for examples of some
/// shapes, if there are any.
pub fn read_onnx(
    bytes: &[u8],
    examples: impl FnOnce(&Inspection) -> Option<Vec<Vec<usize>>>,
) -> Result<(), FormatError> {
    // A message takes more room than its bytes, twice while a list of them grows.
    let own = 256 * bytes.len() + (1 << 18);
    let (model, shapes) = within(own, bytes, |bytes| {
        let model = OnnxModel::read(bytes, &mut |data| {
            Err(FormatError::Unsupported { format: "test", what: data.location.clone() })
        })?;
        let shapes = examples(&model.inspect());
        Ok::<_, FormatError>((model, shapes))
    })?;
    let Some(shapes) = shapes else { return Ok(()) };
    // A trace folds constants of 2^25 elements at most, whatever the file's size.
    const FOLDED: usize = 8 << 25;
    within(own + FOLDED, bytes, |_| model.model(&shapes, &[]).map(drop))
}

/// An archive of members that are not compressed.
pub fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, options).expect("a vector takes all");
        zip.write_all(bytes).expect("a vector takes all");
    }
    zip.finish().expect("a vector takes all").into_inner()
}
