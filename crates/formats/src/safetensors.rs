//! Safetensors: named weights with a JSON header.

use crate::element::ElementKind;
use crate::{FormatError, RawArray, npy};
use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use thalweg_array::{Array, DType};

const FORMAT: &str = "safetensors";
/// The limit of the reference implementation.
pub(crate) const MAX_HEADER: usize = 100_000_000;

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Tensors by name, halves as `f32` and small integers as `i32`.
    pub tensors: BTreeMap<String, Array>,
    /// Text by key.
    pub metadata: BTreeMap<String, String>,
}

/// Reads a file.
///
/// Types F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 and BOOL; each becomes what
/// [`ElementKind::dtype`] says.
///
/// # Errors
/// A header longer than the file, or that is no such JSON; a shape that does not fit its bytes;
/// tensors that overlap or leave gaps; other types.
///
/// # Example
/// ```
/// use std::collections::BTreeMap;
/// use thalweg_array::Array;
/// use thalweg_formats::safetensors;
/// let weight = Array::from_slice(&[1, 2], &[0.5f32, -1.0])?;
/// let mut bytes = Vec::new();
/// safetensors::write(&mut bytes, &[("fc.weight", &weight)], &BTreeMap::new())?;
/// assert_eq!(safetensors::read(&bytes)?.tensors["fc.weight"], weight);
/// # Ok::<(), thalweg_formats::FormatError>(())
/// ```
pub fn read(bytes: &[u8]) -> Result<Weights, FormatError> {
    let claimed = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let header_error = |error| header_error(error, claimed, bytes.len() as u64);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(header_error)?;
    let file = SafeTensors::deserialize(bytes).map_err(header_error)?;
    let mut weights = Weights::default();
    for (key, value) in header.metadata().iter().flatten() {
        weights.metadata.insert(key.clone(), value.clone());
    }
    for (name, view) in file.iter() {
        let kind = element_kind(view.dtype()).ok_or_else(|| FormatError::Unsupported {
            format: FORMAT,
            what: format!("tensor `{name}` is {}, which is not read", view.dtype()),
        })?;
        let raw = RawArray::new(kind, false, view.shape().to_vec(), Cow::Borrowed(view.data()))
            .ok_or_else(|| invalid(format!("tensor `{name}` does not fill its shape")))?;
        let array = raw.to_array().map_err(|error| invalid(format!("tensor `{name}`: {error}")))?;
        weights.tensors.insert(name.to_string(), array);
    }
    Ok(weights)
}

/// What is wrong with the header of a file of `got` bytes, which claims that it has `claimed`.
pub(crate) fn header_error(error: SafeTensorError, claimed: u64, got: u64) -> FormatError {
    invalid(match error {
        SafeTensorError::HeaderTooSmall => {
            format!("it has {got} bytes, expected 8 for the size of the header")
        }
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            format!("it claims a header of {claimed} bytes in a file of {got}")
        }
        SafeTensorError::InvalidHeader(_) => "its header is not text".into(),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            format!("its header is not the expected JSON ({error})")
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("tensor `{name}` overlaps another or leaves a gap")
        }
        SafeTensorError::TensorInvalidInfo => {
            "the shape of a tensor does not fit its number of bytes".into()
        }
        SafeTensorError::ValidationOverflow => "the shape of a tensor is too large".into(),
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("its tensors do not end where the file of {got} bytes ends")
        }
        other => other.to_string(),
    })
}

/// The kind of a type; none of those that are not read.
pub(crate) fn element_kind(dtype: Dtype) -> Option<ElementKind> {
    Some(match dtype {
        Dtype::F64 => ElementKind::F64,
        Dtype::F32 => ElementKind::F32,
        Dtype::F16 => ElementKind::F16,
        Dtype::BF16 => ElementKind::BF16,
        Dtype::I64 => ElementKind::I64,
        Dtype::I32 => ElementKind::I32,
        Dtype::I16 => ElementKind::I16,
        Dtype::I8 => ElementKind::I8,
        Dtype::U64 => ElementKind::U64,
        Dtype::U32 => ElementKind::U32,
        Dtype::U16 => ElementKind::U16,
        Dtype::U8 => ElementKind::U8,
        Dtype::BOOL => ElementKind::Bool,
        _ => return None,
    })
}

/// Writes tensors, larger element types first and then by name, as the reference implementation
/// does so that every tensor is aligned. Equal contents give equal bytes whatever the order given.
///
/// # Errors
/// A name that occurs twice or is `__metadata__`, a header above 100 MB, or a writer that fails.
pub fn write(
    mut writer: impl Write,
    tensors: &[(&str, &Array)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), FormatError> {
    let unsupported = |what: String| FormatError::Unsupported { format: FORMAT, what };
    let mut sorted: Vec<&(&str, &Array)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, array)| (std::cmp::Reverse(array.dtype().size()), *name));
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(unsupported(format!("the tensor name `{}` occurs twice", pair[0])));
    }
    if names.contains(&"__metadata__") {
        return Err(unsupported("a tensor cannot be called `__metadata__`".into()));
    }
    let mut entries = Vec::with_capacity(sorted.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<String> =
            metadata.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut offset = 0usize;
    for (name, array) in &sorted {
        let dtype = match array.dtype() {
            DType::F32 => "F32",
            DType::F64 => "F64",
            DType::I32 => "I32",
            DType::I64 => "I64",
            DType::U32 => "U32",
            DType::Bool => "BOOL",
        };
        let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
        let end = offset.checked_add(array.size_in_bytes());
        let end = end.ok_or_else(|| unsupported("more bytes than can be counted".into()))?;
        entries.push(format!(
            "{}:{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[{offset},{end}]}}",
            json(name),
            shape.join(",")
        ));
        offset = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    let length = header.len().next_multiple_of(8);
    if length > MAX_HEADER {
        let what = format!("a header of {length} bytes, expected at most {MAX_HEADER}");
        return Err(unsupported(what));
    }
    header.extend(std::iter::repeat_n(' ', length - header.len()));
    writer.write_all(&(length as u64).to_le_bytes())?;
    writer.write_all(header.as_bytes())?;
    for (_, array) in sorted {
        npy::write_little_endian(&mut writer, array)?;
    }
    writer.flush()?;
    Ok(())
}

/// Text as a JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn message(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_whatever_the_order() {
        let weight = Array::from_slice(&[2, 1], &[1.5f32, -0.0]).unwrap();
        let step = Array::scalar(3i64);
        let mask = Array::vector(&[true, false, true]);
        let empty = Array::zeros(DType::U32, &[0, 7]);
        let metadata = BTreeMap::from([
            ("format".to_string(), "pt".to_string()),
            ("note \"a\"\n".to_string(), "\u{e9}\u{1}".to_string()),
        ]);
        let mut tensors =
            [("b.weight", &weight), ("a.mask", &mask), ("step", &step), ("none", &empty)];
        let mut bytes = Vec::new();
        write(&mut bytes, &tensors, &metadata).unwrap();
        tensors.reverse();
        let mut again = Vec::new();
        write(&mut again, &tensors, &metadata).unwrap();
        assert_eq!(bytes, again);
        let weights = read(&bytes).unwrap();
        assert_eq!(weights.metadata, metadata);
        assert_eq!(weights.tensors.len(), 4);
        for (name, array) in tensors {
            assert_eq!(&weights.tensors[name], array);
        }
    }

    #[test]
    fn other_types_are_widened() {
        let header = r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
            "b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},
            "u":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}"#;
        let bytes = file(header, &[0, 0x3c, 0, 0xc0, 0x80, 0x3f, 255, 7]);
        let tensors = read(&bytes).unwrap().tensors;
        assert_eq!(tensors["h"], Array::vector(&[1.0f32, -2.0]));
        assert_eq!(tensors["b"], Array::vector(&[1.0f32]));
        assert_eq!(tensors["u"], Array::vector(&[255i32, 7]));
    }

    #[test]
    fn broken_files_get_one_sentence() {
        assert_eq!(
            message(&[0; 3]),
            "not a valid safetensors file: it has 3 bytes, expected 8 for the size of the header"
        );
        let mut huge = (1u64 << 62).to_le_bytes().to_vec();
        huge.extend(b"{}");
        assert_eq!(
            message(&huge),
            "not a valid safetensors file: it claims a header of 4611686018427387904 bytes in a \
             file of 10"
        );
        let one = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert_eq!(read(&file(one, &[0; 8])).unwrap().tensors["w"].shape(), [2]);
        assert_eq!(
            message(&file(one, &[0; 7])),
            "not a valid safetensors file: its tensors do not end where the file of 69 bytes ends"
        );
        assert!(message(&file(one, &[0; 9])).contains("do not end where"));
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert_eq!(
            message(&file(overlap, &[0; 12])),
            "not a valid safetensors file: tensor `b` overlaps another or leaves a gap"
        );
        let wrong = r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        assert!(message(&file(wrong, &[0; 8])).contains("does not fit its number of bytes"));
        let large = r#"{"w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}"#;
        assert!(message(&file(large, &[0; 8])).contains("too large"));
        let other = r#"{"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#;
        assert_eq!(
            message(&file(other, &[0; 8])),
            "safetensors: tensor `w` is F8_E4M3, which is not read"
        );
        assert!(message(&file("[1]", &[])).contains("JSON"));
    }

    #[test]
    fn names_that_cannot_be_read_back_are_not_written() {
        let a = Array::scalar(0f32);
        let none = BTreeMap::new();
        assert!(write(&mut Vec::new(), &[("a", &a), ("a", &a)], &none).is_err());
        assert!(write(&mut Vec::new(), &[("__metadata__", &a)], &none).is_err());
    }
}
