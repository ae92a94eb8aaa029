//! Operations on what is known while tracing: constants and shapes.
//!
//! Integers are exact and floats are computed in `f64`, then rounded to their type. Only small
//! results are folded; larger ones are left to the engine's graph, which needs no memory for them
//! until it runs. An operation that is not here is left to the graph as well.

mod numbers;
mod structure;

use super::call::Call;
use super::value::Value;
use thalweg_array::Array;

/// Elements of the largest result that is folded.
pub(super) const MOST_ELEMENTS: usize = 1 << 16;

/// The outputs of a node whose inputs are all known, `None` if it is for the graph to compute.
pub(super) fn fold(call: &Call<'_, '_, '_>) -> Result<Option<Vec<Array>>, String> {
    if !call.node.is_standard() || call.inputs.is_empty() {
        return Ok(None);
    }
    let mut arrays = Vec::with_capacity(call.inputs.len());
    for value in &call.inputs {
        match value {
            None => arrays.push(None),
            // What is large stays a constant of the graph, reached through views.
            Some(Value::Host(array)) if array.len() <= MOST_ELEMENTS => arrays.push(Some(array)),
            Some(_) => return Ok(None),
        }
    }
    if arrays.iter().all(Option::is_none) {
        return Ok(None);
    }
    let folded = numbers::fold(call, &arrays).and_then(|folded| match folded {
        Some(array) => Ok(Some(vec![array])),
        None => structure::fold(call, &arrays),
    });
    match folded {
        // At another batch size than the file's the rule may know better.
        Err(_) if call.tracer.batch.as_moved().is_some() => Ok(None),
        folded => folded,
    }
}

/// Row-major strides.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// The shape to which both stretch, aligned at the last axis.
pub(super) fn stretched(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (1, other) => Ok(other),
            (own, other) if other == 1 || own == other => Ok(own),
            _ => Err(format!("shapes {a:?} and {b:?} do not stretch to one")),
        })
        .collect()
}

/// Number of elements if they are few enough to be folded.
fn few(shape: &[usize]) -> Option<usize> {
    thalweg_array::element_count(shape).filter(|&count| count <= MOST_ELEMENTS)
}

/// For each element of `to`, the place of its element in an array of shape `from` that stretches.
fn stretched_places(from: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(from);
    let skip = to.len() - from.len();
    let steps: Vec<usize> = (0..to.len())
        .map(|axis| match axis.checked_sub(skip) {
            Some(axis) if from[axis] != 1 => own[axis],
            _ => 0,
        })
        .collect();
    places(to, &steps, 0)
}

/// `start + sum of index * step` for each index of a shape, in row-major order.
fn places(shape: &[usize], steps: &[usize], start: usize) -> Vec<usize> {
    // Extents before one of zero may be of any size.
    if shape.contains(&0) {
        return Vec::new();
    }
    let mut places = vec![start];
    for (&extent, &step) in shape.iter().zip(steps) {
        places = places.iter().flat_map(|&at| (0..extent).map(move |i| at + i * step)).collect();
    }
    places
}
