//! Whatever the bytes, the readers neither panic nor ask for much more memory than the file could
//! hold: valid files, cut at every length and with bytes changed by a seeded mutator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use thalweg_array::{Array, DType};
use thalweg_data::{Provenance, Stream};
use thalweg_formats::dataset::{DataConfig, Tokens};
use thalweg_formats::onnx::OnnxModel;
use thalweg_formats::{FormatError, dataset, idx, npz, safetensors, sharded, torch};

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| {
            held.set(held.get().saturating_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn read_all(bytes: &[u8]) -> bool {
    let mut any = safetensors::read(bytes).is_ok();
    any |= npz::read(bytes).is_ok();
    any |= torch::read(bytes).is_ok();
    any |= idx::read(bytes).and_then(|raw| raw.to_array()).is_ok();
    any |= dataset::read_npz("data", bytes, &DataConfig::default(), Provenance::default()).is_ok();
    any
}

/// Reads, and holds the most memory that any reader takes at a time against what deflate could
/// make of the bytes (as `f64` of bytes, 8 times wider, beside the bytes themselves), what a header
/// of text takes as a tree, and buffers of fixed size.
fn read_bounded(bytes: &[u8], expansion: usize) -> bool {
    let before = HELD.get();
    PEAK.set(before);
    let any = read_all(bytes);
    let most = PEAK.get() - before;
    let bound = bytes.len() * (16 * expansion + 64) + (1 << 18);
    assert!(most <= bound, "{most} bytes for a file of {}", bytes.len());
    any
}

fn mutate(bytes: &[u8], stream: &Stream) -> Vec<u8> {
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

/// Files that PyTorch wrote.
#[test]
fn torch_files() {
    attack("torch", include_bytes!("fixtures/torch/zip.pt"), 1, 3_000);
    attack("torch old", include_bytes!("fixtures/torch/old.pt"), 1, 5_000);
    attack("torch checkpoint", include_bytes!("fixtures/torch/lightning.ckpt"), 1, 3_000);
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

/// And so with the pickle of PyTorch's archives.
#[test]
fn pickles_with_a_valid_check_sum() {
    let file = include_bytes!("fixtures/torch/lightning.ckpt");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file)).expect("an archive");
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).expect("a member");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut member, &mut bytes).expect("whole");
        members.push((member.name().expect("text").into_owned(), bytes));
    }
    let place = members.iter().position(|(name, _)| name.ends_with("data.pkl")).expect("there");
    let pickle = members[place].1.clone();
    let stream = Stream::new(0, "pickle");
    let mut read = 0;
    for round in 0..5_000 {
        members[place].1 = mutate(&pickle, &stream.at(round));
        let named: Vec<(&str, &[u8])> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let bytes = zipped(&named);
        read_bounded(&bytes, 1);
        read += usize::from(torch::read(&bytes).is_ok());
    }
    // Most changes break a pickle, and some are of what is no weight.
    assert!((50..4_500).contains(&read), "{read}");
}

/// The most that one byte of a pickle can make is a list.
#[test]
fn pickles_of_nothing_but_objects_take_little_memory() {
    for operation in [b']', b'}', b')', b'N', b'(', b'2', 0x8f] {
        let pickle = [&b"\x80\x02}"[..], &[operation].repeat(1 << 18), b"."].concat();
        let bytes = zipped(&[("a/data.pkl", &pickle)]);
        let before = HELD.get();
        PEAK.set(before);
        assert!(torch::read(&bytes).is_err());
        let most = PEAK.get() - before;
        assert!(most <= 160 * bytes.len(), "{most} bytes for {}", bytes.len());
    }
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

/// A safetensors file of a header as it stands.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn headers_that_nest_deeply_do_not_overflow_the_stack() {
    for open in ["[", "{\"a\":", "{\"a\":{\"dtype\":\"F32\",\"shape\":["] {
        let header = open.repeat(200_000);
        assert!(!read_bounded(&with_header(&header, &[]), 1), "{open}");
    }
    for inner in ["(", "{", "[", "{'descr': "] {
        let mut header = inner.repeat(60_000 / inner.len());
        header.insert_str(0, "{'shape': ");
        let mut array = b"\x93NUMPY\x03\x00".to_vec();
        array.extend((header.len() as u32).to_le_bytes());
        array.extend(header.as_bytes());
        assert!(!read_bounded(&zipped(&[("x.npy", &array)]), 1), "{inner}");
    }
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, options).expect("a vector takes all");
        zip.write_all(bytes).expect("a vector takes all");
    }
    zip.finish().expect("a vector takes all").into_inner()
}

fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({shape}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    [&bytes, header.as_bytes(), data].concat()
}

/// A text has no header that could lie: only its encoding and its length can be wrong.
#[test]
fn texts() {
    let text = "To be, or not to be: \u{2014} that is the question.\n".repeat(3);
    let stream = Stream::new(0, "text");
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let bytes = mutate(text.as_bytes(), &stream.at(round));
        let context = 1 + (round % 80) as usize;
        let before = HELD.get();
        PEAK.set(before);
        let data =
            dataset::read_text("text", &bytes, Tokens::Characters, context, Provenance::default());
        let most = PEAK.get() - before;
        assert!(most <= 64 * bytes.len() + (1 << 12), "{most} bytes for {}", bytes.len());
        match data {
            Ok(data) => {
                assert!(data.len() >= 2 && data.len() * (context + 1) <= bytes.len());
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

/// Changes a valid file and hands it to a reader that keeps to a bound of memory; most changes
/// must be refused, and some be harmless.
fn read_mutated(
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
        let before = HELD.get();
        PEAK.set(before);
        let any = read(&bytes);
        let most = PEAK.get() - before;
        assert!(most <= bound(bytes.len()), "{name}: {most} bytes for a file of {}", bytes.len());
        if any { whole += 1 } else { refused += 1 }
    }
    assert!(whole > rounds / 100 && refused > rounds / 100, "{name}: {whole} and {refused}");
    for length in 0..valid.len() {
        read(&valid[..length]);
    }
}

#[test]
fn tables_in_csv() {
    let mut text = String::from("a,b,\"long, name\",kind\n");
    for row in 0..12 {
        text += &format!("{row}.5,-{row}e-1,\"{row}\",{}\r\n", ["cat", "dog"][row % 2]);
    }
    let plain = DataConfig::default();
    let named = DataConfig { target: vec!["kind".into()], header: Some(true), ..plain.clone() };
    for config in [plain, named] {
        read_mutated(
            "csv",
            text.as_bytes(),
            10_000,
            |n| 256 * n + (1 << 17),
            |bytes| dataset::read_csv("table", bytes, &config).is_ok(),
        );
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data");
    std::fs::read(folder.join(name)).expect("a fixture")
}

#[test]
fn pictures() {
    // A byte may stand for as many pixels as deflate allows, in several copies of four bytes.
    let bound = |n: usize| 1032 * 32 * n + (1 << 20);
    for (name, rounds) in [
        ("colour.png", 4_000),
        ("sixteen.png", 2_000),
        ("palette.png", 2_000),
        ("smooth.jpg", 2_000),
    ] {
        let resize = "3x4".parse().ok();
        let config = DataConfig { resize, ..DataConfig::default() };
        let stream = Stream::new(0, name);
        let valid = fixture(name);
        for round in 0..rounds {
            let bytes = mutate(&valid, &stream.at(round));
            let before = HELD.get();
            PEAK.set(before);
            let _ = dataset::read_coordinates(name, &bytes, &config, Provenance::default());
            let most = PEAK.get() - before;
            assert!(most <= bound(bytes.len()), "{name}: {most} bytes for {}", bytes.len());
        }
        for length in 0..valid.len() {
            let cut = &valid[..length];
            let read = dataset::read_coordinates(name, cut, &config, Provenance::default());
            // The last bytes of a PNG are no pixels.
            assert!(read.is_err() || length + 20 > valid.len(), "{name} cut to {length}");
        }
    }
}

/// The crate that reads them asks for what a page claims, up to 2 GiB, and panics on some damaged
/// files: that ends in an error, and memory is not bounded here.
#[test]
fn tables_in_parquet() {
    for name in ["table.parquet", "gzip.parquet", "holes.parquet"] {
        let config = DataConfig { target: vec!["kind".into()], ..DataConfig::default() };
        let (valid, stream) = (fixture(name), Stream::new(0, name));
        for round in 0..1_000 {
            let bytes = mutate(&valid, &stream.at(round));
            let _ = dataset::read_parquet(name, bytes, &config, Provenance::default());
        }
        for length in 0..valid.len() {
            let cut = valid[..length].to_vec();
            let read = dataset::read_parquet(name, cut, &config, Provenance::default());
            assert!(read.is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn configurations() {
    let text = "path = \"a\"\ntarget = [\"x\", \"y\"]\nresize = \"3x4\"\nscale = { mean = [0.5], std = [1] }\n";
    read_mutated(
        "toml",
        text.as_bytes(),
        10_000,
        |n| 512 * n + (1 << 17),
        |bytes| std::str::from_utf8(bytes).is_ok_and(|text| dataset::read_config(text).is_ok()),
    );
}

#[cfg(feature = "tokenizers")]
#[test]
fn tokenizers() {
    let (json, text) = (fixture("tokenizer.json"), fixture("cats.txt"));
    let stream = Stream::new(0, "tokenizer");
    for round in 0..500 {
        let bytes = mutate(&json, &stream.at(round));
        let tokens = Tokens::Tokenizer(&bytes);
        let _ = dataset::read_text("text", &text, tokens, 4, Provenance::default());
    }
}

/// An extent of zero makes any other extent free of bytes.
#[test]
fn shapes_that_are_huge_and_empty_take_no_memory() {
    let header = r#"{"w":{"dtype":"F64","shape":[0,18446744073709551615,2],"data_offsets":[0,0]}}"#;
    read_bounded(&with_header(header, &[]), 1);
    let idx = [&[0, 0, 0x0e, 4, 0, 0, 0, 0][..], &[0xff; 12]].concat();
    read_bounded(&idx, 1);
    for shape in ["0, 18446744073709551615, 2", "4294967296, 0, 4294967296, 4294967296"] {
        read_bounded(&zipped(&[("x.npy", &npy(shape, &[]))]), 1);
    }
    // As many axes as the header takes, all of one element.
    read_bounded(&zipped(&[("x.npy", &npy(&"1,".repeat(15_000), &[0; 4]))]), 1);
    let mut ones = vec![0, 0, 8, 255];
    ones.extend([0, 0, 0, 1].repeat(255));
    ones.push(7);
    assert!(read_bounded(&ones, 1));
}

/// Directory entries that name the same bytes again would make a bomb of a small file.
#[test]
fn members_that_share_their_bytes_are_refused() {
    let x = Array::zeros(DType::F64, &[1 << 12]);
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x)], npz::Compression::Stored).expect("valid");
    let start = bytes.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06").expect("its end");
    let entry = bytes[start..end].to_vec();
    let mut tail = bytes.split_off(end);
    const TIMES: u16 = 26;
    for i in 1..TIMES {
        let mut other = entry.clone();
        // The name, after 46 bytes: another letter, so that no name comes twice.
        other[46] = b'A' + i as u8;
        bytes.extend(other);
    }
    tail[8..10].copy_from_slice(&TIMES.to_le_bytes());
    tail[10..12].copy_from_slice(&TIMES.to_le_bytes());
    let size = (entry.len() * usize::from(TIMES)) as u32;
    tail[12..16].copy_from_slice(&size.to_le_bytes());
    bytes.extend(tail);
    assert!(!read_bounded(&bytes, 1));
}

/// What a fuzz target (`fuzz/src/lib.rs`) does with a file, and how many times its size that may
/// take.
type Target = (&'static str, usize, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("safetensors", 80, |bytes| drop(safetensors::read(bytes))),
    ("npz", 16 * 1032, |bytes| {
        drop(npz::read(bytes));
        drop(dataset::read_npz("data", bytes, &DataConfig::default(), Provenance::default()));
    }),
    ("idx", 16 * 1032, |bytes| drop(idx::read(bytes).and_then(|raw| raw.to_array()))),
    ("torch", 8 * 64, |bytes| {
        drop(torch::read(bytes));
        drop(torch::read(&zipped(&[("a/data.pkl", bytes), ("a/data/0", &[0; 64])])));
    }),
    ("shards", 200, |bytes| drop(sharded::Index::read(bytes))),
    ("csv", 400, |bytes| drop(dataset::read_csv("data", bytes, &DataConfig::default()))),
    ("onnx", 4000, |bytes| {
        let mut elsewhere = |_: &_| Err(FormatError::Io(std::io::ErrorKind::NotFound.into()));
        let Ok(model) = OnnxModel::read(bytes, &mut elsewhere) else { return };
        let inputs = model.inspect().inputs;
        let shapes = inputs.iter().map(|input| {
            let shape = input.shape.as_ref()?.iter().skip(1);
            Some(shape.map(|extent| extent.parse().unwrap_or(2)).collect())
        });
        if let Some(shapes) = shapes.collect::<Option<Vec<Vec<usize>>>>() {
            drop(model.model(&shapes, &[]));
        }
    }),
];

/// What fuzzing found or went through, again, and with more bytes changed.
#[test]
fn the_corpus_of_the_fuzzer() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for (name, times, read) in TARGETS {
        let entries = std::fs::read_dir(folder.join(name)).expect("a folder for each target");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name}");
        let stream = Stream::new(0, name);
        for (n, path) in paths.iter().enumerate() {
            let bytes = std::fs::read(path).expect("readable");
            let draws = stream.at(n as u64);
            let rounds = if bytes.is_empty() { 0 } else { 8 };
            let mutated = (0..rounds).map(|round| mutate(&bytes, &draws.at(round)));
            for bytes in std::iter::once(bytes.clone()).chain(mutated) {
                let before = HELD.get();
                PEAK.set(before);
                read(&bytes);
                let most = PEAK.get() - before;
                let bound = bytes.len() * times + (1 << 20);
                assert!(most <= bound, "{}: {most} bytes for {}", path.display(), bytes.len());
            }
        }
    }
}

/// Reads a model without other files, lists what is in it, and traces it for examples of a shape.
fn read_onnx(bytes: &[u8], example: &[usize]) -> Result<(), FormatError> {
    let before = HELD.get();
    PEAK.set(before);
    let file = OnnxModel::read(bytes, &mut |data| {
        Err(FormatError::Unsupported { format: "test", what: data.location.clone() })
    });
    let inspected = file.as_ref().map(OnnxModel::inspect);
    let most = PEAK.get() - before;
    // A message takes more room than its bytes, twice while a list of them grows.
    let bound = 256 * bytes.len() + (1 << 18);
    assert!(most <= bound, "{most} bytes for a file of {}", bytes.len());
    drop(inspected);
    let traced = file?.model(&[example.to_vec()], &[]).map(drop);
    let most = PEAK.get() - before;
    assert!(most <= bound + (1 << 27), "{most} bytes for a trace of {}", bytes.len());
    traced
}

#[test]
fn onnx_files() {
    let files: [(&str, &[u8], &[usize]); 3] = [
        ("mlp", include_bytes!("onnx/mlp.onnx"), &[6]),
        ("functions", include_bytes!("onnx/functions.onnx"), &[3]),
        ("scikit_learn", include_bytes!("onnx/scikit_learn.onnx"), &[4]),
    ];
    let mut read = 0;
    for (name, valid, example) in files {
        read_onnx(valid, example).unwrap_or_else(|error| panic!("{name}: {error}"));
        for length in 0..valid.len() {
            let cut = read_onnx(&valid[..length], example);
            // What comes after the last field that is needed may be missing.
            assert!(cut.is_err() || length + 32 > valid.len(), "{name} cut to {length}");
        }
        let stream = Stream::new(0, name);
        for round in 0..4_000 {
            read += usize::from(read_onnx(&mutate(valid, &stream.at(round)), example).is_ok());
        }
    }
    assert!((500..11_000).contains(&read), "{read}");
}

/// The shapes of a transformer and the weights of a recurrent layer under few mutations: a trace
/// of them takes longer.
#[test]
fn onnx_files_with_shapes_computed() {
    let files: [(&str, &[u8], &[usize]); 3] = [
        ("gpt", include_bytes!("onnx/gpt.onnx"), &[5]),
        ("lstm", include_bytes!("onnx/lstm.onnx"), &[5, 3]),
        ("unet", include_bytes!("onnx/unet.onnx"), &[1, 8, 8]),
    ];
    for (name, valid, example) in files {
        read_onnx(valid, example).unwrap_or_else(|error| panic!("{name}: {error}"));
        let stream = Stream::new(0, name);
        for round in 0..150 {
            // Most mutations hit weights; those of the first part hit the graph.
            let _ = read_onnx(&mutate(valid, &stream.at(round)), example);
        }
    }
}

mod onnx_messages {
    use super::read_onnx;
    use prost::Message;
    use thalweg_formats::onnx::proto::attribute_proto::AttributeType;
    use thalweg_formats::onnx::proto::tensor_proto::{DataLocation, DataType};
    use thalweg_formats::onnx::proto::*;

    fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            name: Some(format!("the {op}")),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: outputs.iter().map(|&name| name.into()).collect(),
            ..NodeProto::default()
        }
    }

    fn port(name: &str) -> ValueInfoProto {
        let dim = |value| tensor_shape_proto::Dimension { value, denotation: None };
        let free = tensor_shape_proto::dimension::Value::DimParam("n".into());
        let two = tensor_shape_proto::dimension::Value::DimValue(2);
        let tensor = type_proto::Tensor {
            elem_type: Some(1),
            shape: Some(TensorShapeProto { dim: vec![dim(Some(free)), dim(Some(two))] }),
        };
        let value = Some(type_proto::Value::TensorType(tensor));
        ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto { denotation: None, value }),
            ..ValueInfoProto::default()
        }
    }

    fn integers(name: &str, values: &[i64]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: vec![values.len() as i64],
            data_type: Some(DataType::Int64 as i32),
            int64_data: values.to_vec(),
            ..TensorProto::default()
        }
    }

    fn graph(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
        GraphProto {
            node: nodes,
            initializer,
            input: vec![port("x")],
            output: vec![port("y")],
            ..GraphProto::default()
        }
    }

    fn model(graph: GraphProto) -> ModelProto {
        let opset = OperatorSetIdProto { domain: None, version: Some(21) };
        ModelProto {
            ir_version: Some(10),
            opset_import: vec![opset],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    #[track_caller]
    fn refused(model: &ModelProto) -> String {
        let result = read_onnx(&model.encode_to_vec(), &[2]);
        result.expect_err("it is refused").to_string()
    }

    #[track_caller]
    fn refused_graph(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> String {
        refused(&model(graph(nodes, initializers)))
    }

    #[test]
    fn graphs_that_cannot_be_evaluated() {
        let cycle = vec![node("Add", &["x", "b"], &["a"]), node("Neg", &["a"], &["b"])];
        assert_eq!(
            refused_graph([cycle, vec![node("Neg", &["b"], &["y"])]].concat(), Vec::new()),
            "not a valid ONNX file: Add node `the Add` (opset 21) reads `b`, which is written by a \
             later node or by itself: the graph has a cycle or is not sorted"
        );
        assert_eq!(
            refused_graph(vec![node("Neg", &["z"], &["y"])], Vec::new()),
            "not a valid ONNX file: Neg node `the Neg` (opset 21) reads `z`, which nothing defines"
        );
        let twice = vec![node("Neg", &["x"], &["y"]), node("Abs", &["x"], &["y"])];
        assert_eq!(refused_graph(twice, Vec::new()), "not a valid ONNX file: `y` is defined twice");
        assert_eq!(
            refused_graph(vec![node("Neg", &["x"], &["z"])], Vec::new()),
            "not a valid ONNX file: nothing defines the output `y`"
        );
        assert_eq!(
            refused_graph(vec![node("Fnord", &["x"], &["y"])], Vec::new()),
            "ONNX: Fnord node `the Fnord` (opset 21): this operation is not supported"
        );
        let mut other = node("Fnord", &["x"], &["y"]);
        other.domain = Some("own".into());
        assert_eq!(
            refused_graph(vec![other], Vec::new()),
            "ONNX: own.Fnord node `the Fnord` (opset 1): this operation is not supported"
        );
        assert_eq!(
            refused_graph(vec![node("MatMul", &["x", "x"], &["y"])], Vec::new()),
            "ONNX: MatMul node `the MatMul` (opset 21): shapes [2, 2] and [2, 2] do not go together"
                .replace("[2, 2] and [2, 2]", "[3, 2] and [3, 2]")
        );
    }

    #[test]
    fn sizes_that_nothing_could_hold() {
        const HUGE: i64 = 1 << 60;
        for dims in [vec![HUGE], vec![1 << 40, 1 << 40], vec![-1], vec![i64::MIN, 0]] {
            let tensor = TensorProto {
                name: Some("w".into()),
                dims: dims.clone(),
                data_type: Some(DataType::Float as i32),
                raw_data: Some(prost::bytes::Bytes::from_static(&[0; 8])),
                ..TensorProto::default()
            };
            let message = refused_graph(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]);
            assert!(message.contains("tensor `w`"), "{dims:?}: {message}");
        }
        let shape = integers("s", &[HUGE, HUGE]);
        for op in ["Expand", "Tile", "Reshape"] {
            let message = refused_graph(vec![node(op, &["x", "s"], &["y"])], vec![shape.clone()]);
            assert!(message.contains(&format!("{op} node")), "{message}");
        }
        let nodes = vec![node("ConstantOfShape", &["s"], &["z"]), node("Add", &["x", "z"], &["y"])];
        assert!(refused_graph(nodes, vec![shape]).contains("too large"));
        let pads = integers("s", &[0, 0, 0, HUGE]);
        let message = refused_graph(vec![node("Pad", &["x", "s"], &["y"])], vec![pads]);
        assert!(message.contains("too large"), "{message}");
        // A trace that folds more and more.
        let mut nodes = vec![node("ConstantOfShape", &["s"], &["z0"])];
        for i in 0..2_000 {
            let (from, to) = (format!("z{i}"), format!("z{}", i + 1));
            nodes.push(node("Neg", &[&from], &[&to]));
        }
        nodes.push(node("Sub", &["x", "z2000"], &["y"]));
        let message = refused_graph(nodes, vec![integers("s", &[1 << 15, 2])]);
        assert!(message.contains("constants of more than"), "{message}");
    }

    #[test]
    fn tensors_whose_bytes_do_not_fit() {
        let short = TensorProto {
            name: Some("w".into()),
            dims: vec![3],
            data_type: Some(DataType::Float as i32),
            float_data: vec![1.0, 2.0],
            ..TensorProto::default()
        };
        assert_eq!(
            refused_graph(vec![node("Add", &["x", "w"], &["y"])], vec![short]),
            "not a valid ONNX file: tensor `w` of shape [3] and type float32 needs 12 bytes, got 8"
        );
        let mut sparse = graph(vec![node("Neg", &["x"], &["y"])], Vec::new());
        sparse.sparse_initializer.push(SparseTensorProto::default());
        assert!(refused(&model(sparse)).contains("sparse initialiser"));
    }

    #[test]
    fn files_outside_of_the_folder() {
        use thalweg_formats::onnx::OnnxModel;
        let folder = std::env::temp_dir().join(format!("thalweg onnx {}", std::process::id()));
        std::fs::create_dir_all(folder.join("in")).expect("a folder");
        std::fs::write(folder.join("secret"), [0; 8]).expect("a file");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.join("secret"), folder.join("in/link")).expect("a link");
        let absolute = folder.join("secret").to_string_lossy().into_owned();
        let refused = |location: &str, keys: &[(&str, &str)]| {
            let entry = |key: &str, value: &str| StringStringEntryProto {
                key: Some(key.into()),
                value: Some(value.into()),
            };
            let mut external_data = vec![entry("location", location)];
            external_data.extend(keys.iter().map(|(key, value)| entry(key, value)));
            let tensor = TensorProto {
                name: Some("w".into()),
                dims: vec![2],
                data_type: Some(DataType::Float as i32),
                data_location: Some(DataLocation::External as i32),
                external_data,
                ..TensorProto::default()
            };
            let file = model(graph(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]));
            let path = folder.join("in/model.onnx");
            std::fs::write(&path, file.encode_to_vec()).expect("a file");
            OnnxModel::load(&path).map(drop).expect_err("it is refused").to_string()
        };
        for location in ["../secret", "a/../../secret", absolute.as_str(), "/etc/hostname", ""] {
            let message = refused(location, &[]);
            assert!(message.contains("outside the model's folder"), "{location}: {message}");
        }
        #[cfg(unix)]
        assert!(refused("link", &[]).contains("outside the model's folder"));
        assert!(refused("missing", &[]).contains("its tensors are in `missing`"));
        std::fs::write(folder.join("in/data"), [0; 8]).expect("a file");
        assert!(refused("data", &[("offset", "4")]).contains("from byte 4 of `data`, which has 8"));
        let far = u64::MAX.to_string();
        assert!(refused("data", &[("offset", &far)]).contains("which has 8"));
        assert!(refused("data", &[("length", "4")]).contains("needs 8 bytes"));
        assert!(refused("data", &[("offset", "-1")]).contains("is `-1`"));
        std::fs::remove_dir_all(&folder).expect("it was made here");
    }

    #[test]
    fn bombs() {
        // Two bytes each, some hundred when decoded.
        let nodes = [0x0a, 0x00].repeat(1 << 20);
        let mut file = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut file);
        file.extend(nodes);
        let message = read_onnx(&file, &[2]).expect_err("it is refused").to_string();
        assert!(message.contains("far more parts"), "{message}");
        // Functions that call the next one twice.
        let mut functions = Vec::new();
        for i in 0..40 {
            let mut calls = vec![
                node(&format!("f{}", i + 1), &["a"], &["b"]),
                node(&format!("f{}", i + 1), &["b"], &["c"]),
            ];
            calls.iter_mut().for_each(|call| call.domain = Some("own".into()));
            functions.push(FunctionProto {
                name: Some(format!("f{i}")),
                domain: Some("own".into()),
                input: vec!["a".into()],
                output: vec!["c".into()],
                node: calls,
                ..FunctionProto::default()
            });
        }
        let mut call = node("f0", &["x"], &["y"]);
        call.domain = Some("own".into());
        let mut file = model(graph(vec![call.clone()], Vec::new()));
        file.functions = functions.clone();
        assert!(refused(&file).contains("deep"), "{}", refused(&file));
        // One that calls itself.
        functions.truncate(1);
        functions[0].node.iter_mut().for_each(|call| call.op_type = Some("f0".into()));
        file.functions = functions;
        assert!(refused(&file).contains("deep"));
    }

    #[test]
    fn graphs_nested_deeply() {
        let mut inner = graph(vec![node("Neg", &["x"], &["y"])], Vec::new());
        inner.input.clear();
        for _ in 0..90 {
            let mut branch = node("If", &["c"], &["y"]);
            for name in ["then_branch", "else_branch"] {
                branch.attribute.push(AttributeProto {
                    name: Some(name.into()),
                    r#type: Some(AttributeType::Graph as i32),
                    g: (name == "then_branch").then(|| inner.clone()),
                    ..AttributeProto::default()
                });
            }
            inner = graph(vec![branch], Vec::new());
            inner.input.clear();
        }
        inner.input = vec![port("x")];
        inner.initializer = vec![integers("c", &[1])];
        let message = refused(&model(inner));
        assert!(message.contains("recursion") || message.contains("nested"), "{message}");
    }

    /// A loop without an end, and one that makes more and more nodes.
    #[test]
    fn loops_without_an_end() {
        let mut body = graph(
            vec![node("Identity", &["go"], &["again"]), node("Neg", &["v"], &["w"])],
            Vec::new(),
        );
        body.input = vec![port("i"), port("go"), port("v")];
        body.output = vec![port("again"), port("w")];
        let mut looped = node("Loop", &["", "c", "x"], &["y"]);
        looped.attribute.push(AttributeProto {
            name: Some("body".into()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(body),
            ..AttributeProto::default()
        });
        let message = refused_graph(vec![looped], vec![integers("c", &[1])]);
        assert!(message.contains("loops run through more than"), "{message}");
    }
}
