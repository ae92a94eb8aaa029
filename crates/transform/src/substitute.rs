//! Replay of what stands between some values and others.

use crate::reach::{Loops, Reach, between};
use std::collections::HashMap;
use thalweg_graph::{Tensor, Value};

/// The outputs computed with each `old` value replaced by its `new` one.
///
/// Only the nodes that depend on an `old` value are copied. A `new` value is taken as it is, even
/// where it depends on an `old` one. A `new` value of another type than its `old` one is an error
/// at `finish`.
#[track_caller]
pub fn substitute<'b>(
    outputs: &[Tensor<'b>],
    replacements: &[(Tensor<'b>, Tensor<'b>)],
) -> Vec<Tensor<'b>> {
    let Some(first) = outputs.first() else { return Vec::new() };
    let builder = first.builder();
    let mut replaced: HashMap<Value, Tensor<'b>> = HashMap::new();
    for (old, new) in replacements {
        if old.ty() != new.ty() {
            builder.reject(
                "substitute",
                format!("a value of type {}", old.ty()),
                new.ty().to_string(),
            );
        }
        replaced.insert(old.value(), *new);
    }
    let seeds: Vec<Value> = replacements.iter().map(|(old, _)| old.value()).collect();
    let last = outputs.iter().map(|output| output.value().node).max().unwrap_or(0);
    let reach = Reach::of(builder, &seeds, last, Loops::Whole);
    for index in between(builder, &reach, outputs) {
        let node = builder.node(index);
        if node.inputs.is_empty() {
            continue;
        }
        let operands: Vec<_> = node
            .inputs
            .iter()
            .map(|input| replaced.get(input).copied().unwrap_or_else(|| builder.tensor(*input)))
            .collect();
        for (output, tensor) in
            builder.emit_at(node.op.clone(), &operands, node.place).into_iter().enumerate()
        {
            replaced.entry(Value { node: index, output: output as u32 }).or_insert(tensor);
        }
    }
    outputs.iter().map(|output| replaced.get(&output.value()).copied().unwrap_or(*output)).collect()
}
