//! The routers of mixtures of experts in safetensors, under the names of Hugging Face's models.

use crate::safetensors::{MAX_HEADER, element_kind, header_error};
use crate::{FormatError, RawArray};
use ::safetensors::SafeTensorError;
use ::safetensors::tensor::Metadata;
use std::borrow::Cow;
use std::io::{Read, Seek, SeekFrom};
use thalweg_array::{Array, DType};

const FORMAT: &str = "checkpoint of a mixture of experts";
/// What a router's name begins with, before the number of its layer.
const BEFORE: &str = "model.layers.";
/// What it ends with: in OLMoE, Qwen and DeepSeek, in Mixtral, in gpt-oss.
const BEHIND: [&str; 3] =
    [".mlp.gate.weight", ".block_sparse_moe.gate.weight", ".mlp.router.weight"];

/// The router of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// The layer; those without experts have no router.
    pub layer: usize,
    /// The tensor's name.
    pub name: String,
    /// The vectors of the experts as columns, `[units, experts]`, in `f32` or `f64`: turned round from the
    /// file, where they are rows.
    pub weight: Array,
}

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

/// The layer that a name belongs to, if it is a router's.
fn layer_of(name: &str) -> Option<usize> {
    let rest = name.strip_prefix(BEFORE)?;
    let number = BEHIND.iter().find_map(|end| rest.strip_suffix(end))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse().ok() } else { None }
}

/// The routers in a file, or in a shard of one, which may have none; of everything else only the header is
/// read, however large the file.
///
/// # Errors
/// What is no safetensors file; a router that is no matrix of floats, or empty.
pub fn read(mut file: impl Read + Seek) -> Result<Vec<Router>, FormatError> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    if length < 8 {
        return Err(header_error(SafeTensorError::HeaderTooSmall, 0, length));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let start = size.saturating_add(8);
    if size > MAX_HEADER as u64 || start > length {
        return Err(header_error(SafeTensorError::InvalidHeaderLength, size, length));
    }
    let header = bytes(&mut file, size)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| {
        header_error(SafeTensorError::InvalidHeaderDeserialization(error), size, length)
    })?;
    if (metadata.data_len() as u64).saturating_add(start) != length {
        return Err(header_error(SafeTensorError::MetadataIncompleteBuffer, size, length));
    }
    let mut routers = Vec::new();
    for name in metadata.offset_keys() {
        let (Some(layer), Some(info)) = (layer_of(&name), metadata.info(&name)) else { continue };
        let [experts, units] = info.shape[..] else {
            let reason = format!("router `{name}` is {:?}, expected [experts, units]", info.shape);
            return Err(invalid(reason));
        };
        let kind = element_kind(info.dtype).filter(|kind| kind.is_float());
        let Some(kind) = kind.filter(|_| experts > 0 && units > 0) else {
            let got = format!("{} {:?}", info.dtype, info.shape);
            return Err(invalid(format!("router `{name}` is {got}, expected floats, and some")));
        };
        // Offsets lie within the file: the header ends where it does, and they follow each other.
        let (first, last) = info.data_offsets;
        file.seek(SeekFrom::Start(start.saturating_add(first as u64)))?;
        let data = bytes(&mut file, last.saturating_sub(first) as u64)?;
        let raw = RawArray::new(kind, false, info.shape.clone(), Cow::Owned(data));
        let raw = raw.ok_or_else(|| invalid(format!("router `{name}` does not fill its shape")))?;
        let weight = turned(&raw.to_array()?, experts, units)?;
        routers.push(Router { layer, name, weight });
    }
    Ok(routers)
}

/// So many bytes of a file that is known to have them.
fn bytes(file: &mut impl Read, length: u64) -> Result<Vec<u8>, FormatError> {
    let mut found = Vec::new();
    file.take(length).read_to_end(&mut found)?;
    match found.len() as u64 == length {
        true => Ok(found),
        false => Err(invalid(format!("it ended {} bytes too early", length - found.len() as u64))),
    }
}

/// `[experts, units]` as `[units, experts]`.
fn turned(rows: &Array, experts: usize, units: usize) -> Result<Array, FormatError> {
    let values = rows.to_f64_vec();
    let columns: Vec<f64> =
        (0..units).flat_map(|unit| values.iter().skip(unit).step_by(units).copied()).collect();
    let array = Array::from_slice(&[units, experts], &columns)?;
    Ok(if rows.dtype() == DType::F64 { array } else { array.convert(DType::F32) })
}

/// The routers of a whole checkpoint, layer after layer, from those of its files: what
/// `Parameters::new` makes the parameters of from which `router_rows` reads.
///
/// # Errors
/// None at all, or two of a layer; routers of different numbers of units.
///
/// # Example
/// ```
/// use std::collections::BTreeMap;
/// use std::io::Cursor;
/// use thalweg_array::Array;
/// use thalweg_formats::{routers, safetensors};
/// let gate = Array::from_slice(&[2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let mut bytes = Vec::new();
/// let tensors = [("model.layers.0.mlp.gate.weight", &gate)];
/// safetensors::write(&mut bytes, &tensors, &BTreeMap::new())?;
/// let found = routers::join(routers::read(Cursor::new(&bytes))?)?;
/// assert_eq!(found[0].weight.to_f64_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), thalweg_formats::FormatError>(())
/// ```
pub fn join(mut routers: Vec<Router>) -> Result<Vec<Router>, FormatError> {
    // The order of names too, so that what is said of two does not depend on that of the files.
    routers.sort_by(|a, b| (a.layer, &a.name).cmp(&(b.layer, &b.name)));
    let Some(first) = routers.first() else {
        let names: Vec<String> = BEHIND.iter().map(|end| format!("`{BEFORE}N{end}`")).collect();
        let expected = names.join(" or ");
        return Err(invalid(format!("it has no router: expected tensors called {expected}")));
    };
    let units = |router: &Router| router.weight.shape().first().copied().unwrap_or(0);
    for pair in routers.windows(2) {
        if pair[0].layer == pair[1].layer {
            let (layer, one, other) = (pair[0].layer, &pair[0].name, &pair[1].name);
            let reason = format!("layer {layer} has two routers, `{one}` and `{other}`");
            return Err(invalid(reason));
        }
    }
    let expected = units(first);
    match routers.iter().find(|router| units(router) != expected) {
        Some(other) => Err(invalid(format!(
            "router `{}` is of {} units and `{}` of {expected}",
            other.name,
            units(other),
            first.name
        ))),
        None => Ok(routers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safetensors;
    use std::collections::BTreeMap;
    use std::io::Cursor;

    fn file(tensors: &[(&str, &Array)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        safetensors::write(&mut bytes, tensors, &BTreeMap::new()).unwrap();
        bytes
    }

    fn message(bytes: &[u8]) -> String {
        read(Cursor::new(bytes)).and_then(join).unwrap_err().to_string()
    }

    fn gate(experts: usize, units: usize) -> Array {
        let values: Vec<f32> = (0..experts * units).map(|i| i as f32).collect();
        Array::from_slice(&[experts, units], &values).unwrap()
    }

    #[test]
    fn routers_are_found_by_name_and_ordered_by_layer() {
        let (one, two) = (gate(2, 3), gate(4, 3));
        let bytes = file(&[
            ("model.layers.10.mlp.gate.weight", &one),
            ("model.layers.2.mlp.gate.weight", &two),
            ("model.layers.2.mlp.gate_proj.weight", &gate(1, 9)),
            ("model.layers.2.mlp.shared_expert_gate.weight", &gate(1, 3)),
            ("model.layers.x.mlp.gate.weight", &one),
            ("lm_head.weight", &gate(5, 3)),
        ]);
        let found = join(read(Cursor::new(&bytes)).unwrap()).unwrap();
        let layers: Vec<usize> = found.iter().map(|router| router.layer).collect();
        assert_eq!(layers, [2, 10]);
        assert_eq!((found[0].weight.shape(), found[1].weight.shape()), (&[3, 4][..], &[3, 2][..]));
        assert_eq!(
            found[1].weight,
            Array::from_slice(&[3, 2], &[0f32, 3.0, 1.0, 4.0, 2.0, 5.0]).unwrap()
        );
        for name in
            ["model.layers.0.block_sparse_moe.gate.weight", "model.layers.0.mlp.router.weight"]
        {
            let bytes = file(&[(name, &one)]);
            assert_eq!(read(Cursor::new(&bytes)).unwrap()[0].name, name);
        }
        // A shard without any is one.
        assert!(read(Cursor::new(file(&[("a", &one)]))).unwrap().is_empty());
    }

    #[test]
    fn other_files_get_one_sentence() {
        let one = gate(2, 3);
        let start = "not a valid checkpoint of a mixture of experts file: ";
        let (first, second) = ("model.layers.0.mlp.gate.weight", "model.layers.1.mlp.gate.weight");
        let says = |bytes: &[u8], what: &str| assert_eq!(message(bytes), format!("{start}{what}"));
        says(
            &file(&[("fc.weight", &one)]),
            "it has no router: expected tensors called `model.layers.N.mlp.gate.weight` or \
             `model.layers.N.block_sparse_moe.gate.weight` or `model.layers.N.mlp.router.weight`",
        );
        says(
            &file(&[(first, &one), ("model.layers.0.mlp.router.weight", &one)]),
            "layer 0 has two routers, `model.layers.0.mlp.gate.weight` and \
             `model.layers.0.mlp.router.weight`",
        );
        says(
            &file(&[(first, &one), (second, &gate(3, 4))]),
            "router `model.layers.1.mlp.gate.weight` is of 4 units and \
             `model.layers.0.mlp.gate.weight` of 3",
        );
        says(
            &file(&[(first, &one.reshape(&[6]).unwrap())]),
            "router `model.layers.0.mlp.gate.weight` is [6], expected [experts, units]",
        );
        says(
            &file(&[(first, &Array::from_slice(&[1, 2], &[1i32, 2]).unwrap())]),
            "router `model.layers.0.mlp.gate.weight` is I32 [1, 2], expected floats, and some",
        );
        says(
            &file(&[(first, &Array::zeros(DType::F32, &[0, 3]))]),
            "router `model.layers.0.mlp.gate.weight` is F32 [0, 3], expected floats, and some",
        );
    }

    #[test]
    fn broken_files_get_the_sentences_of_the_format() {
        let whole = file(&[("model.layers.0.mlp.gate.weight", &gate(2, 3))]);
        for length in 0..whole.len() {
            let cut = &whole[..length];
            assert_eq!(message(cut), safetensors::read(cut).unwrap_err().to_string(), "{length}");
        }
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.extend(b"{}");
        assert_eq!(message(&huge), safetensors::read(&huge).unwrap_err().to_string());
        let text = br#"{"model.layers.0.mlp.gate.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,8]}}"#;
        let mut wrong = (text.len() as u64).to_le_bytes().to_vec();
        wrong.extend(text);
        wrong.extend([0; 8]);
        assert!(message(&wrong).contains("safetensors file: its header"), "{}", message(&wrong));
    }
}
