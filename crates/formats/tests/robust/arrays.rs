//! Safetensors, NumPy's archives and IDX.

use crate::mutation::{attack, mutate, read_bounded};
use crate::targets::zipped;
use std::collections::BTreeMap;
use std::io::Write;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_formats::{idx, npz, safetensors};

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
        let bytes = zipped(&[("x.npy", &mutate(array, &stream.at(round)))]);
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

fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({shape}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    [&bytes, header.as_bytes(), data].concat()
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
