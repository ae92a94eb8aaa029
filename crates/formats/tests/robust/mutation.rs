//! Seeded changes of valid files, and what the readers of arrays make of them.

use crate::memory::within;
use thalweg_data::{Provenance, Stream};
use thalweg_formats::dataset::{self, DataConfig};
use thalweg_formats::{idx, npz, safetensors, torch};

/// Bytes with one to four changes of the kinds that readers trip over.
pub fn mutate(bytes: &[u8], stream: &Stream) -> Vec<u8> {
    const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'-', b'"', b'[', b'{', b'(', b','];
    const SIZES: [u64; 8] =
        [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX as u64, 1 << 32, 1 << 62, u64::MAX];
    let mut out = bytes.to_vec();
    for edit in 0..1 + stream.below(0, 4) {
        let draws = stream.at(edit);
        let at = draws.below(0, out.len() as u64) as usize;
        let length = 1 + draws.below(3, 16) as usize;
        let end = (at + length).min(out.len());
        match draws.below(1, 9) {
            0 => out[at] ^= 1 << draws.below(2, 8),
            1 => out[at] = TELLING[draws.below(2, 12) as usize],
            2 => {
                out.remove(at);
            }
            3 => out.insert(at, TELLING[draws.below(2, 12) as usize]),
            4 => {
                out.drain(at..end);
            }
            // A piece comes twice, or in place of another.
            5 => {
                let piece = out[at..end].to_vec();
                let to = draws.below(4, out.len() as u64) as usize;
                out.splice(to..to, piece);
            }
            6 => {
                let to = draws.below(4, (out.len() - (end - at) + 1) as u64) as usize;
                out.copy_within(at..end, to);
            }
            // A size field of two, four or eight bytes, in either order, that lies.
            7 => {
                let size = SIZES[draws.below(2, 8) as usize].to_le_bytes();
                let width = 2 << draws.below(4, 3);
                let mut field = size[..width].to_vec();
                if draws.below(5, 2) == 1 {
                    field.reverse();
                }
                out.iter_mut().skip(at).zip(field).for_each(|(byte, lie)| *byte = lie);
            }
            // Digits of a number in text become many.
            _ => {
                let digits = vec![b'9'; 1 + draws.below(2, 30) as usize];
                out.splice(at..at, digits);
            }
        }
        if out.is_empty() {
            break;
        }
    }
    out
}

/// Reads with every reader of arrays, within what deflate could make of the bytes (as `f64` of
/// bytes, 8 times wider, beside the bytes themselves), what a header of text takes as a tree, and
/// buffers of fixed size. Whether any of them takes the file.
#[track_caller]
pub fn read_bounded(bytes: &[u8], expansion: usize) -> bool {
    within(bytes.len() * (16 * expansion + 64) + (1 << 18), bytes, |bytes| {
        let mut any = safetensors::read(bytes).is_ok();
        any |= npz::read(bytes).is_ok();
        any |= torch::read(bytes).is_ok();
        any |= idx::read(bytes).and_then(|raw| raw.to_array()).is_ok();
        let (config, provenance) = (DataConfig::default(), Provenance::default());
        any | dataset::read_npz("data", bytes, &config, provenance).is_ok()
    })
}

/// A valid file of arrays is read, none of its beginnings is, and changes of it do no harm.
pub fn attack(name: &str, valid: &[u8], expansion: usize, rounds: u64) {
    assert!(read_bounded(valid, expansion), "{name} is valid");
    for length in 0..valid.len() {
        assert!(!read_bounded(&valid[..length], expansion), "{name} cut to {length}");
    }
    let stream = Stream::new(0, name);
    for round in 0..rounds {
        read_bounded(&mutate(valid, &stream.at(round)), expansion);
    }
}

/// Changes a valid file and hands it to a reader that keeps to a bound of memory; most changes
/// must be refused, and some be harmless.
pub fn read_mutated(
    name: &str,
    valid: &[u8],
    rounds: u64,
    bound: impl Fn(usize) -> usize,
    read: impl Fn(&[u8]) -> bool,
) {
    assert!(read(valid), "{name} is valid");
    let stream = Stream::new(0, name);
    let (mut whole, mut refused) = (0, 0);
    for round in 0..rounds {
        let bytes = mutate(valid, &stream.at(round));
        if within(bound(bytes.len()), &bytes, &read) { whole += 1 } else { refused += 1 }
    }
    assert!(whole > rounds / 100 && refused > rounds / 100, "{name}: {whole} and {refused}");
    for length in 0..valid.len() {
        read(&valid[..length]);
    }
}
