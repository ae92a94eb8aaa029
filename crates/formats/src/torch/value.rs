//! What a pickle can make here.

use super::global::Global;
use crate::ElementKind;

/// A Python object, or its place among the [`Objects`].
///
/// Copying one never copies what it holds, so that a pickle that names an object again and again
/// costs no more than its own length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// A list, a tuple or a `torch.Size`.
    Sequence(u32),
    /// Any mapping.
    Mapping(u32),
    Global(Global<'a>),
    Storage(u32),
    Tensor(u32),
    /// Something harmless that says nothing of weights: bytes, a float, a set, a device.
    Opaque,
}

/// The type of a storage's or a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Elements<'a> {
    Known(ElementKind),
    /// Bytes of whatever type its tensors say.
    Bytes,
    /// A type that is not read, by its name.
    Other(&'a str),
}

/// Where the elements of tensors lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    /// Its name in the file.
    pub(super) key: &'a str,
    /// How many elements it claims.
    pub(super) count: u64,
    pub(super) elements: Elements<'a>,
}

/// A view of a storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View<'a> {
    pub(super) storage: u32,
    pub(super) elements: Elements<'a>,
    pub(super) offset: i64,
    /// Extents, a sequence.
    pub(super) shape: u32,
    /// Elements from one entry of an axis to the next, a sequence.
    pub(super) strides: u32,
}

/// Everything that was made.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) sequences: Vec<Vec<Value<'a>>>,
    pub(super) mappings: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<View<'a>>,
}

/// The place of the next object; a pickle has fewer bytes, and so fewer objects, than this counts.
fn place<T>(of: &mut Vec<T>, value: T) -> u32 {
    of.push(value);
    (of.len() - 1) as u32
}

impl<'a> Objects<'a> {
    pub(super) fn sequence(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        Value::Sequence(place(&mut self.sequences, items))
    }

    pub(super) fn mapping(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        Value::Mapping(place(&mut self.mappings, pairs))
    }

    pub(super) fn storage(&mut self, storage: Storage<'a>) -> Value<'a> {
        Value::Storage(place(&mut self.storages, storage))
    }

    pub(super) fn tensor(&mut self, view: View<'a>) -> Value<'a> {
        Value::Tensor(place(&mut self.tensors, view))
    }

    /// The items of a sequence; none if it is something else.
    pub(super) fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Sequence(at) => self.sequences.get(at as usize).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The pairs of a mapping; none if it is something else.
    pub(super) fn pairs(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Mapping(at) => self.mappings.get(at as usize).map(Vec::as_slice),
            _ => None,
        }
    }

    /// What a mapping has under a text; the last, if it comes twice, as in Python.
    pub(super) fn get(&self, mapping: Value<'a>, key: &str) -> Option<Value<'a>> {
        let pairs = self.pairs(mapping)?;
        let found = pairs.iter().rev().find(|(known, _)| *known == Value::Text(key))?;
        Some(found.1)
    }
}
