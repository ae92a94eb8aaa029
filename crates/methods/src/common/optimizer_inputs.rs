//! What a training program is given of its optimizer.

use crate::MethodError;
use std::collections::BTreeMap;
use thalweg_array::{Array, DType};
use thalweg_graph::TensorType;
use thalweg_nn::Model;
use thalweg_train::part::{Slot, UpdateRule};

/// The arrays of a rule before its first step: for each slot, one for each parameter.
pub(crate) fn fresh_slots(model: &Model, rule: &UpdateRule, float: DType) -> Vec<Array> {
    let types = model.parameter_types(float);
    let of = |slot: &Slot| {
        let fill = |ty: &TensorType| Array::full(&ty.shape, slot.initial).convert(ty.dtype);
        types.iter().map(fill).collect::<Vec<_>>()
    };
    rule.slots().iter().flat_map(of).collect()
}

/// Values of a rule's hyper-parameters, in its order, for each member; the usual ones where a member
/// has none.
///
/// # Errors
/// A name that the rule does not know.
pub(crate) fn hyper_values(
    rule: &UpdateRule,
    given: &[BTreeMap<&str, f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let known = rule.hyper_parameters();
    let of = |own: &BTreeMap<&str, f64>| {
        if let Some(name) = own.keys().find(|name| !known.iter().any(|h| h.name == **name)) {
            let names: Vec<_> = known.iter().map(|hyper| hyper.name).collect();
            let expected = format!("one of {}", names.join(", "));
            return Err(MethodError::config("hyper-parameter", expected, name));
        }
        Ok(known.iter().map(|h| own.get(h.name).copied().unwrap_or(h.default)).collect())
    };
    given.iter().map(of).collect()
}
