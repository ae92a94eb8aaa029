//! What the known functions would have returned.

use super::global::Global;
use super::machine::Machine;
use super::value::{Elements, Storage, Value, View};
use super::{invalid, refused};
use crate::FormatError;

impl<'a> Machine<'a> {
    /// The result of a call, as far as it says something of weights.
    ///
    /// # Errors
    /// `Invalid` for arguments that the function does not take.
    pub(super) fn call(
        &mut self,
        callee: Global<'a>,
        arguments: Value<'a>,
    ) -> Result<Value<'a>, FormatError> {
        let given = self.objects.items(arguments);
        let given = given.ok_or_else(|| invalid("arguments that are no tuple"))?;
        match (callee, given) {
            (Global::Opaque, _) => Ok(Value::Opaque),
            (Global::Mapping, []) => Ok(self.objects.mapping(Vec::new())),
            // `defaultdict` of a class, and what is filled from another mapping.
            (Global::Mapping, [Value::Global(_) | Value::None]) => {
                Ok(self.objects.mapping(Vec::new()))
            }
            (Global::Mapping, &[mapping @ Value::Mapping(_)]) => Ok(mapping),
            (Global::Mapping, &[Value::Sequence(at)]) => self.mapping_of_pairs(at),
            (Global::Size, &[sizes @ Value::Sequence(_)]) => Ok(sizes),
            (Global::Rebuild, &[storage, offset, shape, strides, ref rest @ ..]) => {
                let metadata = rest.get(2).copied();
                self.rebuild([storage, offset, shape, strides], None, metadata)
            }
            (
                Global::RebuildTyped,
                &[
                    storage,
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::Elements(elements)),
                    ref rest @ ..,
                ],
            ) => {
                let metadata = rest.first().copied();
                self.rebuild([storage, offset, shape, strides], Some(elements), metadata)
            }
            (Global::Parameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
            (
                Global::FromType,
                &[Value::Global(function), Value::Global(Global::TensorClass), arguments, ..],
            ) if function != Global::FromType => self.call(function, arguments),
            (Global::TensorClass | Global::Elements(_), _) => {
                Err(refused("it makes a tensor in a way that torch.save does not"))
            }
            _ => Err(invalid("a call with other arguments than its function takes")),
        }
    }

    /// A dictionary of a list of pairs, as Python 2 wrote ordered ones.
    fn mapping_of_pairs(&mut self, at: u32) -> Result<Value<'a>, FormatError> {
        // The list goes into the dictionary, so that a second call with it finds it empty: what is
        // copied stays linear in the pickle.
        let list = std::mem::take(&mut self.objects.sequences[at as usize]);
        let pairs = list.iter().map(|&pair| match self.objects.items(pair) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err(invalid("a dictionary of what are no pairs")),
        });
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        Ok(self.objects.mapping(pairs))
    }

    fn rebuild(
        &mut self,
        [storage, offset, shape, strides]: [Value<'a>; 4],
        elements: Option<Elements<'a>>,
        metadata: Option<Value<'a>>,
    ) -> Result<Value<'a>, FormatError> {
        let (
            Value::Storage(storage),
            Value::Int(offset),
            Value::Sequence(shape),
            Value::Sequence(strides),
        ) = (storage, offset, shape, strides)
        else {
            return Err(invalid("a tensor of other parts than storage, offset, shape and strides"));
        };
        let mut elements = elements.unwrap_or(self.objects.storages[storage as usize].elements);
        // It is searched for each tensor that is given it, however often that is one and the same.
        if metadata.and_then(|m| self.objects.pairs(m)).is_some_and(|pairs| pairs.len() > 8) {
            return Err(invalid("a tensor with more metadata than there is to say"));
        }
        for lazy in ["neg", "conj"] {
            let set = metadata.and_then(|metadata| self.objects.get(metadata, lazy));
            if set == Some(Value::Bool(true)) {
                elements = Elements::Other("numbers still to be negated or conjugated");
            }
        }
        Ok(self.objects.tensor(View { storage, elements, offset, shape, strides }))
    }

    /// The storage that a persistent id names.
    ///
    /// # Errors
    /// `Invalid` for another id than `("storage", class, key, device, count)`; `Unsupported` for
    /// the views of storages that PyTorch wrote before 0.4.
    pub(super) fn persistent(&mut self, id: Value<'a>) -> Result<Value<'a>, FormatError> {
        let parts = self.objects.items(id).unwrap_or_default();
        let &[
            Value::Text("storage"),
            Value::Global(Global::Elements(elements)),
            Value::Text(key),
            _,
            Value::Int(count),
            ref rest @ ..,
        ] = parts
        else {
            return Err(invalid("an object outside of the pickle that is no storage"));
        };
        if !matches!(rest, [] | [Value::None]) {
            return Err(refused("it holds views of storages, as PyTorch before 0.4 wrote them"));
        }
        let count = u64::try_from(count)
            .map_err(|_| invalid(format!("storage `{key}` of {count} elements")))?;
        Ok(self.objects.storage(Storage { key, count, elements }))
    }
}
