//! The state dict in what was unpickled.

use super::machine::Unpickled;
use super::value::{Objects, Value};
use super::{invalid, refused};
use crate::FormatError;
use std::collections::BTreeSet;

/// Where training loops put the state dict of the model, the most telling first.
const USUAL: [&str; 11] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "params_ema",
    "generator",
];
/// Dictionaries of tensors that are no model's.
const OTHERS: [&str; 5] = ["optim", "scheduler", "lr_sched", "scaler", "rng"];
/// Dictionaries within dictionaries that are followed.
const MOST_DEPTH: usize = 8;

/// The tensors of the state dict by name, as places among the objects.
///
/// # Errors
/// `Unsupported` if there is none, or more than one; `Invalid` for a name that comes twice.
pub(super) fn find<'a>(unpickled: &Unpickled<'a>) -> Result<Vec<(&'a str, u32)>, FormatError> {
    let objects = &unpickled.objects;
    let Some(entries) = objects.pairs(unpickled.root) else {
        return Err(refused(match unpickled.root {
            Value::Tensor(_) => "it holds one tensor without a name, expected a state dict",
            Value::Sequence(_) => "it holds a list, expected a state dict",
            _ => "it holds no dictionary of tensors, expected a state dict",
        }));
    };
    let mut search = Search { objects, seen: vec![false; objects.mappings.len()] };
    let mut found = search.below(unpickled.root, MOST_DEPTH);
    if found.is_none() {
        let mut others = Vec::new();
        for &(key, value) in entries {
            let Value::Text(key) = key else { continue };
            if OTHERS.iter().any(|other| key.starts_with(other)) {
                continue;
            }
            if let Some(state) = search.below(value, MOST_DEPTH) {
                others.push((key, state));
            }
        }
        match others[..] {
            [] => {}
            [(_, state)] => found = Some(state),
            _ => {
                let names: Vec<String> =
                    others.iter().take(8).map(|(key, _)| format!("`{key}`")).collect();
                return Err(refused(&format!(
                    "it holds several state dicts ({}); save one of them in a file of its own",
                    names.join(", ")
                )));
            }
        }
    }
    let state = found.and_then(|state| objects.pairs(state));
    let state = state.ok_or_else(|| {
        let keys = entries.iter().filter_map(|(key, _)| match key {
            Value::Text(key) => Some(format!("`{}`", key.escape_debug())),
            _ => None,
        });
        let keys: Vec<String> = keys.take(8).collect();
        refused(&format!(
            "it holds no tensors by name{}{}",
            if keys.is_empty() { "" } else { "; its keys begin with " },
            keys.join(", ")
        ))
    })?;
    let mut names = BTreeSet::new();
    let mut tensors = Vec::new();
    for &(key, value) in state {
        if let (Value::Text(name), Value::Tensor(tensor)) = (key, value) {
            if !names.insert(name) {
                return Err(invalid(format!("the name `{}` comes twice", name.escape_debug())));
            }
            tensors.push((name, tensor));
        }
    }
    Ok(tensors)
}

struct Search<'o, 'a> {
    objects: &'o Objects<'a>,
    /// Mappings that were looked into: a dictionary may hold itself.
    seen: Vec<bool>,
}

impl<'a> Search<'_, 'a> {
    /// The dictionary of tensors that is this value or lies below it under usual keys.
    fn below(&mut self, value: Value<'a>, depth: usize) -> Option<Value<'a>> {
        let Value::Mapping(at) = value else { return None };
        if depth == 0 || std::mem::replace(self.seen.get_mut(at as usize)?, true) {
            return None;
        }
        for key in USUAL {
            let inner = self.objects.get(value, key);
            if let Some(found) = inner.and_then(|inner| self.below(inner, depth - 1)) {
                return Some(found);
            }
        }
        let is_named = |&(key, value): &(Value<'_>, Value<'_>)| {
            matches!((key, value), (Value::Text(_), Value::Tensor(_)))
        };
        self.objects.pairs(value)?.iter().any(is_named).then_some(value)
    }
}
