//! A file with other weights in it.

use super::graph::Source;
use super::proto::TensorProto;
use super::proto::tensor_proto::DataLocation;
use super::stored::{Stored, type_name};
use super::{invalid, unsupported};
use crate::FormatError;
use crate::element::ElementKind;
use prost::Message;
use prost::bytes::Bytes;
use thalweg_array::{Array, DType};
use thalweg_nn::Weights;

/// What a message of protobuf can hold.
const MOST_BYTES: usize = i32::MAX as usize;

pub(super) fn with_weights(source: &Source, weights: &Weights) -> Result<Vec<u8>, FormatError> {
    let mut proto = source.proto.clone();
    let Some(graph) = &mut proto.graph else { return Err(invalid("it holds no graph")) };
    let total = source.graph.initializers.iter().map(|i| i.stored.bytes().len());
    if total.fold(0usize, usize::saturating_add) > MOST_BYTES {
        return Err(too_large());
    }
    // What lies in other files is written here.
    for (tensor, initializer) in graph.initializer.iter_mut().zip(&source.graph.initializers) {
        if tensor.data_location() == DataLocation::External {
            replace(tensor, initializer.stored.bytes().clone());
        }
    }
    let entries = weights.parameters.iter().chain(weights.buffers.iter());
    for (name, array) in entries {
        let own = graph.initializer.iter_mut().find(|tensor| tensor.name() == name);
        let tensor = match own {
            Some(tensor) => Some(tensor),
            None => graph
                .node
                .iter_mut()
                .filter(|node| node.op_type() == "Constant")
                .find(|node| node.output.first().is_some_and(|output| output == name))
                .and_then(|node| node.attribute.iter_mut().find_map(|a| a.t.as_mut())),
        };
        let Some(tensor) = tensor else {
            return Err(invalid(format!("it has no tensor `{name}`")));
        };
        let stored = source
            .graph
            .initializers
            .iter()
            .find(|initializer| initializer.name == name)
            .map(|initializer| &initializer.stored)
            .or_else(|| super::network::constant(source, name))
            .ok_or_else(|| invalid(format!("it has no tensor `{name}`")))?;
        if stored.shape != array.shape() {
            let (expected, got) = (&stored.shape, array.shape());
            return Err(invalid(format!("tensor `{name}` has shape {expected:?}, got {got:?}")));
        }
        replace(tensor, bytes(name, stored, array)?);
    }
    if proto.encoded_len() > MOST_BYTES {
        return Err(too_large());
    }
    Ok(proto.encode_to_vec())
}

fn too_large() -> FormatError {
    unsupported(
        "with its tensors in one file it would be larger than 2 GiB, which ONNX cannot hold",
    )
}

/// Puts raw bytes in place of whatever the tensor held.
fn replace(tensor: &mut TensorProto, bytes: Bytes) {
    tensor.float_data.clear();
    tensor.double_data.clear();
    tensor.int32_data.clear();
    tensor.int64_data.clear();
    tensor.uint64_data.clear();
    tensor.external_data.clear();
    tensor.data_location = None;
    tensor.raw_data = Some(bytes);
}

/// The array in the element type of the file.
fn bytes(name: &str, stored: &Stored, array: &Array) -> Result<Bytes, FormatError> {
    let wide = array.convert(DType::F64);
    let values = wide.as_slice::<f64>()?;
    let bytes: Vec<u8> = match stored.kind {
        Some(ElementKind::F32) => {
            values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect()
        }
        Some(ElementKind::F64) => values.iter().flat_map(|&value| value.to_le_bytes()).collect(),
        Some(ElementKind::F16) => {
            values.iter().flat_map(|&value| half(value).to_le_bytes()).collect()
        }
        Some(ElementKind::BF16) => {
            values.iter().flat_map(|&value| brain(value as f32).to_le_bytes()).collect()
        }
        _ => {
            let kind = type_name(stored.code);
            return Err(unsupported(format!("tensor `{name}` is of type {kind}")));
        }
    };
    Ok(Bytes::from(bytes))
}

/// The nearest binary16, ties to even.
fn half(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size.is_nan() {
        return 0x7e00;
    }
    // A number of 2^-24 for what is small, of the last place of its exponent for what is not.
    let exponent = (size.log2().floor() as i32).clamp(-14, 16);
    let unit = f64::from(exponent - 10).exp2();
    let count = (size / unit).round_ties_even();
    if size.is_infinite() || exponent > 15 || (exponent == 15 && count >= 2048.0) {
        return sign | 0x7c00;
    }
    let bits = match exponent {
        // Without the leading one below the smallest normal number; a carry becomes it.
        -14 => count as u16,
        _ => ((exponent + 14) as u16) * 1024 + count as u16,
    };
    sign | bits
}

/// The nearest bfloat16, ties to even.
fn brain(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (rounded >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_nearest() {
        for (value, bits) in [
            (0.0, 0),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (6.103515625e-5, 0x0400),
            (5.960464477539063e-8, 0x0001),
            (2.9802322387695312e-8, 0x0000),
            (0.333251953125, 0x3555),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (f64::NEG_INFINITY, 0xfc00),
        ] {
            assert_eq!(half(value), bits, "{value}");
        }
        assert_eq!(brain(1.0), 0x3f80);
        assert_eq!(brain(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(brain(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(brain(f32::INFINITY), 0x7f80);
    }
}
