//! A tensor as the file stores it.

use super::external::ExternalData;
use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};
use super::{invalid, unsupported};
use crate::FormatError;
use crate::element::{ElementKind, RawArray, byte_count};
use prost::bytes::Bytes;
use std::borrow::Cow;
use thalweg_array::Array;

/// Gives the bytes of a tensor that lies in another file.
pub(super) type External<'e> = dyn FnMut(&ExternalData) -> Result<Vec<u8>, FormatError> + 'e;

/// A tensor's shape, type and bytes; converted when it is needed.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub shape: Vec<usize>,
    /// The type, if the engine has one for it.
    pub kind: Option<ElementKind>,
    /// The type as the file says it.
    pub code: i32,
    bytes: Bytes,
}

/// The engine's kind of an ONNX element type.
pub(super) fn element_kind(code: i32) -> Option<ElementKind> {
    Some(match DataType::try_from(code).ok()? {
        DataType::Float => ElementKind::F32,
        DataType::Double => ElementKind::F64,
        DataType::Float16 => ElementKind::F16,
        DataType::Bfloat16 => ElementKind::BF16,
        DataType::Int8 => ElementKind::I8,
        DataType::Int16 => ElementKind::I16,
        DataType::Int32 => ElementKind::I32,
        DataType::Int64 => ElementKind::I64,
        DataType::Uint8 => ElementKind::U8,
        DataType::Uint16 => ElementKind::U16,
        DataType::Uint32 => ElementKind::U32,
        DataType::Uint64 => ElementKind::U64,
        DataType::Bool => ElementKind::Bool,
        _ => return None,
    })
}

/// The name of an element type in messages.
pub(super) fn type_name(code: i32) -> String {
    match DataType::try_from(code) {
        Ok(known) => known.as_str_name().to_ascii_lowercase(),
        Err(_) => format!("element type {code}"),
    }
}

impl Stored {
    /// Reads a tensor, from another file if it lies there.
    pub fn read(
        tensor: &TensorProto,
        name: &str,
        external: &mut External<'_>,
    ) -> Result<Stored, FormatError> {
        let mut shape = Vec::with_capacity(tensor.dims.len());
        for &extent in &tensor.dims {
            let extent = usize::try_from(extent)
                .map_err(|_| invalid(format!("tensor `{name}` has an extent of {extent}")))?;
            shape.push(extent);
        }
        if tensor.segment.is_some() {
            return Err(unsupported(format!("tensor `{name}` is stored in segments")));
        }
        let code = tensor.data_type();
        let Some(kind) = element_kind(code) else {
            return Ok(Stored { shape, kind: None, code, bytes: Bytes::new() });
        };
        let expected = byte_count(kind, &shape).ok_or_else(|| {
            invalid(format!("tensor `{name}` of shape {shape:?} is larger than the address space"))
        })?;
        let bytes = if tensor.data_location() == DataLocation::External {
            let place = ExternalData::of(tensor, name, expected)?;
            Bytes::from(external(&place)?)
        } else if let Some(raw) = &tensor.raw_data {
            raw.clone()
        } else {
            typed(tensor, kind)
        };
        if bytes.len() != expected {
            let got = bytes.len();
            return Err(invalid(format!(
                "tensor `{name}` of shape {shape:?} and type {kind} needs {expected} bytes, got {got}"
            )));
        }
        Ok(Stored { shape, kind: Some(kind), code, bytes })
    }

    /// Whether its elements are floats.
    pub fn is_float(&self) -> bool {
        self.kind.is_some_and(ElementKind::is_float)
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.kind.map_or(0, |kind| self.bytes.len() / kind.size())
    }

    /// The bytes, little-endian.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The elements, halves as `f32` and small integers as `i32`.
    pub fn array(&self) -> Result<Array, String> {
        let kind = self
            .kind
            .ok_or_else(|| format!("tensors of type {} are not supported", type_name(self.code)))?;
        let raw = RawArray::new(kind, false, self.shape.clone(), Cow::Borrowed(&self.bytes))
            .ok_or("a tensor does not fill its shape")?;
        raw.to_array().map_err(|error| error.to_string())
    }
}

/// The little-endian bytes of a tensor in one of the typed fields.
fn typed(tensor: &TensorProto, kind: ElementKind) -> Bytes {
    use ElementKind::*;
    let narrow = |size: usize| {
        tensor
            .int32_data
            .iter()
            .flat_map(|value| value.to_le_bytes().into_iter().take(size))
            .collect()
    };
    let bytes: Vec<u8> = match kind {
        F32 => tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        F64 => tensor.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        I64 => tensor.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        U64 => tensor.uint64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        U32 => tensor
            .uint64_data
            .iter()
            .flat_map(|value| value.to_le_bytes().into_iter().take(4))
            .collect(),
        I32 | I16 | I8 | U16 | U8 | Bool | F16 | BF16 => narrow(kind.size()),
    };
    Bytes::from(bytes)
}
