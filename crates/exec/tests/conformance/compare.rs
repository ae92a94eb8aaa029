//! What every check needs: the oracle, comparison, directions.

use crate::draw::Draw;
use crate::transforms::reverse;
use thalweg_array::Array;
use thalweg_exec::reference::evaluate_f64;
use thalweg_graph::Graph;

/// The oracle's outputs, floats unrounded.
pub fn oracle(graph: &Graph, inputs: &[Array], what: &str) -> Vec<Array> {
    evaluate_f64(graph, inputs).unwrap_or_else(|error| panic!("{what}: {error}\n{graph}"))
}

/// Fails unless every element is within `tolerance` of the expected, relative to one plus its
/// size; NaN and infinities are to be met exactly.
pub fn assert_close(got: &Array, expected: &Array, tolerance: f64, what: &str) {
    assert_eq!(got.shape(), expected.shape(), "{what}: shapes");
    if !expected.dtype().is_float() {
        assert_eq!(got, expected, "{what}");
        return;
    }
    for (i, (g, e)) in got.to_f64_vec().into_iter().zip(expected.to_f64_vec()).enumerate() {
        let fits = g == e
            || g.is_nan() && e.is_nan()
            || (g - e).abs() <= tolerance * (1.0 + e.abs()) && e.is_finite();
        assert!(fits, "{what}: [{i}] {g:e}, expected {e:e}\n got {got:?}\n expected {expected:?}");
    }
}

pub fn assert_all_close(got: &[Array], expected: &[Array], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: number of outputs");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_close(got, expected, tolerance, &format!("{what}, output {i}"));
    }
}

/// Operands followed by random directions for those that `moving` names.
pub fn extended(operands: &[Array], moving: Vec<usize>, draw: &mut Draw) -> Vec<Array> {
    let directions = moving.into_iter().map(|i| draw.direction(&operands[i]));
    let directions: Vec<Array> = directions.collect();
    [operands, &directions].concat()
}

pub fn cotangents(graph: &Graph, draw: &mut Draw) -> Vec<Array> {
    let types: Vec<_> = graph.output_types().collect();
    reverse(graph)
        .into_iter()
        .map(|i| draw.uniform(&types[i].shape, -1.0, 1.0).convert(types[i].dtype))
        .collect()
}
