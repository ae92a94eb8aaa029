//! The names that a pickle may ask for, and what is said of the others.

use super::refused;
use super::value::Elements;
use crate::{ElementKind, FormatError};

/// A class or function that is known here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global<'a> {
    /// `OrderedDict`, `dict` and their like.
    Mapping,
    /// `torch.Size`.
    Size,
    /// A `torch.dtype`, or the class of a storage.
    Elements(Elements<'a>),
    /// `_rebuild_tensor_v2`, and the first one, whose arguments it begins with.
    Rebuild,
    /// `_rebuild_tensor_v3`, which says the type of the elements.
    RebuildTyped,
    /// `_rebuild_parameter`, with or without state: the tensor that it is given.
    Parameter,
    /// `_rebuild_from_type_v2`, for tensors that carry attributes.
    FromType,
    /// `torch.Tensor` and `torch.nn.Parameter`, as arguments of that.
    TensorClass,
    /// A class whose instances are harmless and not looked into.
    Opaque,
}

/// What a name means.
///
/// # Errors
/// `Unsupported` with the name, for all that are not in the table. `pickle` is searched for the
/// marks of a whole module, to say the right thing of it.
pub(super) fn global<'a>(
    module: &'a str,
    name: &'a str,
    pickle: &[u8],
) -> Result<Global<'a>, FormatError> {
    use Global::*;
    let elements = match module {
        "torch" => storage(name).or_else(|| dtype(name)),
        "torch.cuda" | "torch.storage" => storage(name),
        _ => None,
    };
    if let Some(elements) = elements {
        return Ok(Elements(elements));
    }
    Ok(match (module, name) {
        ("collections", "OrderedDict" | "defaultdict" | "Counter") => Mapping,
        ("builtins" | "__builtin__", "dict") => Mapping,
        ("builtins" | "__builtin__", "set" | "frozenset" | "complex" | "bytearray" | "slice") => {
            Opaque
        }
        // As factories of `defaultdict`.
        ("builtins" | "__builtin__", "list" | "tuple" | "int" | "float" | "bool" | "str") => Opaque,
        ("collections", "deque") | ("argparse", "Namespace") => Opaque,
        ("pathlib" | "pathlib._local", "PosixPath" | "WindowsPath" | "PurePosixPath") => Opaque,
        // Bytes in protocol 2.
        ("_codecs", "encode") => Opaque,
        ("torch", "Size") => Size,
        ("torch", "device" | "Generator") => Opaque,
        ("torch.torch_version", "TorchVersion") => Opaque,
        ("torch.serialization", "_get_layout") => Opaque,
        ("torch", "Tensor") => TensorClass,
        ("torch._tensor", "Tensor") => TensorClass,
        ("torch.nn.parameter", "Parameter" | "Buffer") => TensorClass,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Rebuild,
        ("torch._utils", "_rebuild_tensor_v3") => RebuildTyped,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => FromType,
        (
            "numpy" | "numpy.core.multiarray" | "numpy._core.multiarray",
            "dtype" | "ndarray" | "scalar" | "_reconstruct",
        ) => Opaque,
        ("numpy.dtypes", _) => Opaque,
        _ => return Err(refused(&reason(module, name, pickle))),
    })
}

/// The elements of a class of storages.
fn storage(name: &str) -> Option<Elements<'_>> {
    use ElementKind::*;
    let kind = match name {
        "FloatStorage" => F32,
        "DoubleStorage" => F64,
        "HalfStorage" => F16,
        "BFloat16Storage" => BF16,
        "LongStorage" => I64,
        "IntStorage" => I32,
        "ShortStorage" => I16,
        "CharStorage" => I8,
        "ByteStorage" => U8,
        "BoolStorage" => Bool,
        "UntypedStorage" => return Some(Elements::Bytes),
        other if other.ends_with("Storage") => return Some(Elements::Other(other)),
        _ => return None,
    };
    Some(Elements::Known(kind))
}

/// The elements of a `torch.dtype`.
fn dtype(name: &str) -> Option<Elements<'_>> {
    use ElementKind::*;
    let kind = match name {
        "float32" | "float" => F32,
        "float64" | "double" => F64,
        "float16" | "half" => F16,
        "bfloat16" => BF16,
        "int64" | "long" => I64,
        "int32" | "int" => I32,
        "int16" | "short" => I16,
        "int8" => I8,
        "uint8" => U8,
        "uint16" => U16,
        "uint32" => U32,
        "uint64" => U64,
        "bool" => Bool,
        other
            if ["complex", "float8", "float4", "qint", "quint", "bits", "cfloat", "cdouble"]
                .iter()
                .any(|start| other.starts_with(start)) =>
        {
            return Some(Elements::Other(other));
        }
        _ => return None,
    };
    Some(Elements::Known(kind))
}

/// Why a name is refused, and what would be right.
fn reason(module: &str, name: &str, pickle: &[u8]) -> String {
    let shown = shown(module, name);
    let holds = |mark: &[u8]| pickle.windows(mark.len()).any(|window| window == mark);
    if name.starts_with("_rebuild_q") {
        return format!(
            "it holds quantised tensors (`{shown}`), which are not read; dequantize() them before \
             they are saved"
        );
    }
    if name.starts_with("_rebuild_") && module.starts_with("torch") {
        return format!(
            "it holds tensors that are not dense (`{shown}`), which are not read; make them plain \
             tensors before they are saved"
        );
    }
    if holds(b"_parameters") && holds(b"_modules") {
        return format!(
            "it holds a whole module (it asks for `{shown}`), which cannot be made without running \
             its code; save the weights alone: torch.save(model.state_dict(), \"weights.pt\")"
        );
    }
    format!(
        "it asks for `{shown}`, which is refused: only tensors, numbers, text and plain containers \
         are read, and nothing in a file is ever run"
    )
}

/// A name from a file, fit for a sentence.
fn shown(module: &str, name: &str) -> String {
    const MOST: usize = 80;
    let mut text: String = format!("{module}.{name}").escape_debug().take(MOST + 1).collect();
    if text.chars().count() > MOST {
        text.truncate(text.char_indices().nth(MOST).map_or(text.len(), |(at, _)| at));
        text.push_str("...");
    }
    text
}
