//! IDX, the format of MNIST and its relatives, plain or gzipped.
//!
//! Two zero bytes, a type, the number of axes, each extent as a big-endian `u32`, then the
//! elements, row-major and big-endian.

use crate::element::{ElementKind, byte_count};
use crate::inflate::{expect_end, is_possible, read_exactly};
use crate::{FormatError, RawArray};
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{Read, Write};
use std::ops::Range;
use thalweg_array::{Array, DType};

const FORMAT: &str = "IDX";

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

struct Header {
    kind: ElementKind,
    shape: Vec<usize>,
    /// Bytes of the header, and of header and data.
    length: usize,
    total: usize,
}

/// The uncompressed bytes of a file that may be gzipped, no more of them than its header claims.
///
/// # Errors
/// A header that is none, or that claims another size than there is.
pub fn uncompressed(bytes: &[u8]) -> Result<Cow<'_, [u8]>, FormatError> {
    if !is_gzipped(bytes) {
        let header = header(&mut &bytes[..], &mut Vec::new())?;
        if header.total != bytes.len() {
            let (shape, kind, total) = (&header.shape, header.kind, header.total);
            let got = bytes.len();
            return Err(invalid(format!(
                "shape {shape:?} of {kind} takes {total} bytes, the file has {got}"
            )));
        }
        return Ok(Cow::Borrowed(bytes));
    }
    let mut reader = MultiGzDecoder::new(bytes);
    let mut out = Vec::new();
    let header = header(&mut reader, &mut out)?;
    if !is_possible(bytes.len() as u64, header.total as u64) {
        let (shape, kind, got) = (&header.shape, header.kind, bytes.len());
        return Err(invalid(format!(
            "shape {shape:?} of {kind} is more than {got} compressed bytes can hold"
        )));
    }
    read_exactly(&mut reader, header.total - header.length, &mut out, FORMAT)?;
    expect_end(&mut reader, FORMAT)?;
    Ok(Cow::Owned(out))
}

/// Reads an array, gzipped or not.
///
/// # Errors
/// As [`uncompressed`].
///
/// # Example
/// ```
/// let bytes = [0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4];
/// let labels = thalweg_formats::idx::read(&bytes)?.to_array()?;
/// assert_eq!(labels.as_slice::<i32>()?, [5, 0, 4]);
/// # Ok::<(), thalweg_formats::FormatError>(())
/// ```
pub fn read(bytes: &[u8]) -> Result<RawArray<'_>, FormatError> {
    parse(uncompressed(bytes)?)
}

/// Element type, shape, and where the elements lie in the bytes.
pub(crate) type Place = (ElementKind, Vec<usize>, Range<usize>);

/// What an array that is not gzipped is, and where its elements lie in the bytes; none if it is
/// gzipped.
///
/// # Errors
/// As [`uncompressed`].
pub(crate) fn stored(bytes: &[u8]) -> Result<Option<Place>, FormatError> {
    let Cow::Borrowed(bytes) = uncompressed(bytes)? else { return Ok(None) };
    let Header { kind, shape, length, total } = header(&mut &bytes[..], &mut Vec::new())?;
    Ok(Some((kind, shape, length..total)))
}

/// As [`uncompressed`], of bytes that are no longer needed.
///
/// # Errors
/// As [`uncompressed`].
pub(crate) fn into_uncompressed(bytes: Vec<u8>) -> Result<Cow<'static, [u8]>, FormatError> {
    let inflated = match uncompressed(&bytes)? {
        Cow::Owned(inflated) => Some(inflated),
        Cow::Borrowed(_) => None,
    };
    Ok(Cow::Owned(inflated.unwrap_or(bytes)))
}

/// Whether bytes are gzipped.
pub(crate) fn is_gzipped(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Reads an array from what [`uncompressed`] gave.
pub(crate) fn parse(bytes: Cow<'_, [u8]>) -> Result<RawArray<'_>, FormatError> {
    let Header { kind, shape, length, .. } = header(&mut &bytes[..], &mut Vec::new())?;
    let data = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[length..]),
        Cow::Owned(mut bytes) => {
            bytes.drain(..length);
            Cow::Owned(bytes)
        }
    };
    RawArray::new(kind, true, shape, data).ok_or_else(|| invalid("the data do not fill the shape"))
}

fn header(reader: &mut impl Read, out: &mut Vec<u8>) -> Result<Header, FormatError> {
    let start = out.len();
    read_exactly(reader, 4, out, FORMAT)?;
    let [zero, zero2, code, rank] = out[start..] else {
        return Err(invalid("it has no header"));
    };
    if (zero, zero2) != (0, 0) {
        return Err(invalid("it does not begin with two zero bytes"));
    }
    let kind = match code {
        0x08 => ElementKind::U8,
        0x09 => ElementKind::I8,
        0x0b => ElementKind::I16,
        0x0c => ElementKind::I32,
        0x0d => ElementKind::F32,
        0x0e => ElementKind::F64,
        other => {
            return Err(invalid(format!("element type {other:#04x}, expected 0x08 to 0x0e")));
        }
    };
    read_exactly(reader, 4 * usize::from(rank), out, FORMAT)?;
    let (extents, _) = out[start + 4..].as_chunks::<4>();
    let shape: Vec<usize> = extents.iter().map(|&e| u32::from_be_bytes(e) as usize).collect();
    let length = 4 + 4 * shape.len();
    let total = byte_count(kind, &shape)
        .and_then(|n| n.checked_add(length))
        .ok_or_else(|| invalid(format!("the shape {shape:?} is too large")))?;
    Ok(Header { kind, shape, length, total })
}

/// Writes an array of `f32`, `f64` or `i32`, uncompressed.
///
/// # Errors
/// Another type, an extent above `u32`, more than 255 axes, or a writer that fails.
pub fn write(writer: &mut impl Write, array: &Array) -> Result<(), FormatError> {
    let unsupported = |what: String| FormatError::Unsupported { format: FORMAT, what };
    let code = match array.dtype() {
        DType::I32 => 0x0c,
        DType::F32 => 0x0d,
        DType::F64 => 0x0e,
        other => return Err(unsupported(format!("{other} has no code, expected i32, f32 or f64"))),
    };
    let rank = u8::try_from(array.rank())
        .map_err(|_| unsupported(format!("{} axes, expected at most 255", array.rank())))?;
    writer.write_all(&[0, 0, code, rank])?;
    for &extent in array.shape() {
        let extent = u32::try_from(extent)
            .map_err(|_| unsupported(format!("an extent of {extent}, expected below 2^32")))?;
        writer.write_all(&extent.to_be_bytes())?;
    }
    for element in array.as_bytes().chunks_exact(array.dtype().size()) {
        let mut bytes = [0u8; 8];
        let bytes = &mut bytes[..element.len()];
        bytes.copy_from_slice(element);
        if cfg!(target_endian = "little") {
            bytes.reverse();
        }
        writer.write_all(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn message(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzipped_files_are_read() {
        for array in [
            Array::from_slice(&[2, 2], &[1.5f32, -2.0, 3.0, 0.0]).unwrap(),
            Array::vector(&[1i32, -70_000]),
            Array::from_slice(&[1, 1, 1], &[1e300f64]).unwrap(),
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, &array).unwrap();
            assert_eq!(read(&bytes).unwrap().to_array().unwrap(), array);
            assert_eq!(read(&gzip(&bytes)).unwrap().to_array().unwrap(), array);
        }
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let claim = [0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 1, 2, 3];
        assert_eq!(
            message(&claim),
            "not a valid IDX file: shape [4294967295, 65535] of uint8 takes 281470681677837 \
             bytes, the file has 15"
        );
        assert!(message(&gzip(&claim)).ends_with("compressed bytes can hold"));
        let mut four = vec![0, 0, 0x0e, 4];
        four.extend([0xff; 16]);
        assert!(message(&four).ends_with("is too large"));
        assert!(message(&gzip(&four)).ends_with("is too large"));
        let short = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2];
        assert_eq!(
            message(&gzip(&short)),
            "not a valid IDX file: it claims 3 bytes of data and holds 2"
        );
        let long = [0, 0, 8, 1, 0, 0, 0, 1, 1, 2];
        assert_eq!(
            message(&gzip(&long)),
            "not a valid IDX file: it holds more data than it claims"
        );
        assert_eq!(
            message(&[0, 0, 0x0a, 0]),
            "not a valid IDX file: element type 0x0a, expected 0x08 to 0x0e"
        );
        assert!(message(b"not IDX").ends_with("two zero bytes"));
    }

    #[test]
    fn a_bomb_is_inflated_no_further_than_it_claims() {
        let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, 1];
        bytes.resize(64 << 20, 0);
        assert_eq!(
            message(&gzip(&bytes)),
            "not a valid IDX file: it holds more data than it claims"
        );
    }

    #[test]
    fn a_damaged_check_sum_is_noticed() {
        let mut bytes = gzip(&[0, 0, 8, 1, 0, 0, 0, 2, 1, 2]);
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        assert!(message(&bytes).contains("cannot be read"));
    }
}
