//! One array in NumPy's `.npy` format, versions 1 to 3.

use crate::element::{ElementKind, byte_count, from_fortran};
use crate::inflate::{expect_end, read_exactly};
use crate::{FormatError, RawArray};
use std::borrow::Cow;
use std::io::{Read, Write};
use thalweg_array::{Array, DType};

const FORMAT: &str = "npy";
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy itself refuses headers above 10,000 bytes.
const MAX_HEADER: usize = 1 << 16;

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

/// What the header of an array says of its data.
pub(crate) struct Layout {
    pub(crate) kind: ElementKind,
    pub(crate) big_endian: bool,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes of the header, and of the data.
    pub(crate) length: usize,
    pub(crate) data: usize,
}

/// Reads an array from a reader that is to yield `size` bytes.
pub(crate) fn read(reader: &mut impl Read, size: u64) -> Result<RawArray<'static>, FormatError> {
    let layout = layout(reader, size)?;
    let (kind, claimed) = (layout.kind, layout.data);
    let mut bytes = Vec::new();
    read_exactly(reader, claimed, &mut bytes, FORMAT)?;
    expect_end(reader, FORMAT)?;
    if layout.fortran_order {
        bytes = from_fortran(kind.size(), &layout.shape, &bytes)
            .ok_or_else(|| invalid(format!("no room for {claimed} bytes")))?;
    }
    RawArray::new(kind, layout.big_endian, layout.shape, Cow::Owned(bytes))
        .ok_or_else(|| invalid("the data do not fill the shape"))
}

/// Reads the header of an array from a reader that is to yield `size` bytes with the data.
pub(crate) fn layout(reader: &mut impl Read, size: u64) -> Result<Layout, FormatError> {
    let mut prefix = Vec::new();
    read_exactly(reader, 8, &mut prefix, FORMAT)?;
    if &prefix[..6] != MAGIC {
        return Err(invalid("it does not begin with \\x93NUMPY"));
    }
    let length_bytes = match prefix[6] {
        1 => 2,
        2 | 3 => 4,
        major => return Err(invalid(format!("version {major}, expected 1 to 3"))),
    };
    read_exactly(reader, length_bytes, &mut prefix, FORMAT)?;
    let length = prefix[8..].iter().rev().fold(0usize, |n, &byte| n << 8 | usize::from(byte));
    if length > MAX_HEADER {
        return Err(invalid(format!("a header of {length} bytes, expected at most {MAX_HEADER}")));
    }
    let mut header = Vec::new();
    read_exactly(reader, length, &mut header, FORMAT)?;
    let header = std::str::from_utf8(&header).map_err(|_| invalid("the header is not text"))?;
    let header = Parser { rest: header }.header()?;
    let (big_endian, kind) = element_kind(&header.descr)?;
    let claimed = byte_count(kind, &header.shape)
        .ok_or_else(|| invalid(format!("the shape {:?} is too large", header.shape)))?;
    let length = prefix.len() + length;
    let present = size.saturating_sub(length as u64);
    if claimed as u64 != present {
        let shape = &header.shape;
        return Err(invalid(format!(
            "shape {shape:?} of {kind} takes {claimed} bytes, the data are {present} bytes"
        )));
    }
    let Header { fortran_order, shape, .. } = header;
    Ok(Layout { kind, big_endian, fortran_order, shape, length, data: claimed })
}

/// Writes an array, row-major and little-endian, as version 1.
pub(crate) fn write(writer: &mut impl Write, array: &Array) -> Result<(), FormatError> {
    let descr = match array.dtype() {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U32 => "<u4",
        DType::Bool => "|b1",
    };
    let mut shape = String::new();
    for extent in array.shape() {
        shape.push_str(&format!("{extent}, "));
    }
    // A tuple of one keeps its comma, longer ones do not need theirs.
    let shape = if array.rank() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data begin on a multiple of 64 bytes, the header ends with a newline.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let length_field = u16::try_from(length).map_err(|_| FormatError::Unsupported {
        format: FORMAT,
        what: format!("an array of {} axes has too long a header", array.rank()),
    })?;
    header.extend(std::iter::repeat_n(' ', length - 1 - header.len()));
    header.push('\n');
    writer.write_all(MAGIC)?;
    writer.write_all(&[1, 0])?;
    writer.write_all(&length_field.to_le_bytes())?;
    writer.write_all(header.as_bytes())?;
    write_little_endian(writer, array)
}

/// Writes the elements in little-endian order.
pub(crate) fn write_little_endian(
    writer: &mut impl Write,
    array: &Array,
) -> Result<(), FormatError> {
    if cfg!(target_endian = "little") {
        writer.write_all(array.as_bytes())?;
    } else {
        for element in array.as_bytes().chunks_exact(array.dtype().size()) {
            let mut element = element.to_vec();
            element.reverse();
            writer.write_all(&element)?;
        }
    }
    Ok(())
}

/// Byte order (true for big-endian) and type of a NumPy description as `<f4`.
fn element_kind(descr: &str) -> Result<(bool, ElementKind), FormatError> {
    let unsupported = || FormatError::Unsupported {
        format: FORMAT,
        what: format!(
            "elements of type `{descr}`, expected b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 or f8"
        ),
    };
    let (order, code) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), code)) => (order, code),
        _ => return Err(unsupported()),
    };
    let kind = match code {
        "b1" => ElementKind::Bool,
        "i1" => ElementKind::I8,
        "i2" => ElementKind::I16,
        "i4" => ElementKind::I32,
        "i8" => ElementKind::I64,
        "u1" => ElementKind::U8,
        "u2" => ElementKind::U16,
        "u4" => ElementKind::U32,
        "u8" => ElementKind::U64,
        "f2" => ElementKind::F16,
        "f4" => ElementKind::F32,
        "f8" => ElementKind::F64,
        _ => return Err(unsupported()),
    };
    Ok((order == ">" || order == "=" && cfg!(target_endian = "big"), kind))
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// The few Python literals that a header holds.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, FormatError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.take('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                other => return Err(invalid(format!("the header has an unknown key `{other}`"))),
            }
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err(invalid("the header goes on after its dictionary"));
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Header { descr, fortran_order, shape })
            }
            _ => Err(invalid("the header lacks one of descr, fortran_order and shape")),
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let stripped = self.rest.strip_prefix(wanted);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), FormatError> {
        if self.take(wanted) {
            return Ok(());
        }
        let got: String = self.rest.chars().take(12).collect();
        Err(invalid(format!("the header has `{got}` where `{wanted}` was expected")))
    }

    fn string(&mut self) -> Result<&'a str, FormatError> {
        let quote = if self.take('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect(quote)?;
        }
        let (string, rest) = self
            .rest
            .split_once(quote)
            .ok_or_else(|| invalid("a string in the header does not end"))?;
        self.rest = rest;
        Ok(string)
    }

    fn descr(&mut self) -> Result<String, FormatError> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['[', '(']) {
            let what = "structured elements are not read, expected one plain type".into();
            return Err(FormatError::Unsupported { format: FORMAT, what });
        }
        Ok(self.string()?.to_string())
    }

    fn boolean(&mut self) -> Result<bool, FormatError> {
        self.rest = self.rest.trim_start();
        for (literal, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(literal) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(invalid("fortran_order is neither True nor False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, FormatError> {
        self.expect('(')?;
        let mut shape = Vec::new();
        while !self.take(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            let extent = digits.parse().map_err(|_| {
                let got: String = self.rest.chars().take(24).collect();
                invalid(format!("the shape has `{got}` where a size was expected"))
            })?;
            shape.push(extent);
            // Python 2 wrote long integers with this suffix.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(array: &Array) -> Array {
        let mut bytes = Vec::new();
        write(&mut bytes, array).unwrap();
        assert_eq!((bytes.len() - array.size_in_bytes()) % 64, 0);
        read(&mut &bytes[..], bytes.len() as u64).unwrap().to_array().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        for dtype in DType::ALL {
            for shape in [&[][..], &[3], &[2, 3], &[0, 4], &[1, 1, 1, 5]] {
                let n = shape.iter().product::<usize>() as i32;
                let values: Vec<i32> = (0..n).collect();
                let array = Array::from_slice(shape, &values).unwrap().convert(dtype);
                assert_eq!(round(&array), array);
            }
        }
    }

    fn with_header(header: &str, data: &[u8]) -> Result<Array, String> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        read(&mut &bytes[..], bytes.len() as u64)
            .and_then(|raw| raw.to_array())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn headers_are_python_literals() {
        let fine = "{\"shape\": (2L,2), 'fortran_order':True,'descr': '>i2'}\n";
        let array = with_header(fine, &[0, 1, 0, 3, 0, 2, 0, 4]).unwrap();
        assert_eq!(array.to_f64_vec(), [1.0, 2.0, 3.0, 4.0]);
        for (header, expected) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
                "not a valid npy file: shape [1099511627776] of float32 takes 4398046511104 \
                 bytes, the data are 4 bytes",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
                "not a valid npy file: the shape [4294967296, 4294967296] is too large",
            ),
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
                "npy: elements of type `|O`, expected b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 \
                 or f8",
            ),
            (
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
                "npy: structured elements are not read, expected one plain type",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
                "not a valid npy file: the shape has `-1,), }` where a size was expected",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, }",
                "not a valid npy file: the header lacks one of descr, fortran_order and shape",
            ),
        ] {
            assert_eq!(with_header(header, &[0; 4]).unwrap_err(), expected);
        }
    }
}
