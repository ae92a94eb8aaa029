//! Derivatives against differences of the oracle, reverse mode against forward mode.

use crate::case::Case;
use crate::compare::{assert_close, cotangents, extended, oracle};
use crate::draw::Draw;
use crate::tolerance::{DIFFERENCES, IDENTITY, STEP};
use crate::transforms::{forward, jvp, reverse, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::Graph;

/// Forward mode to the case's order, each order against differences of the one below.
pub fn forward_mode_agrees_with_differences(case: &Case) {
    let mut graph = case.graph(DType::F64);
    let mut operands = case.operands.clone();
    let mut draw = Draw::new(&format!("{} forward", case.name));
    for order in 1..=case.orders {
        let what = format!("derivative {order} of {}", case.name);
        let inputs = differentiate_by_differences(&graph, &operands, &mut draw, &what);
        graph = jvp(&graph);
        operands = inputs;
    }
}

/// Checks `jvp(graph)` against differences of the oracle along a random direction; gives the
/// operands with the direction appended.
pub fn differentiate_by_differences(
    graph: &Graph,
    operands: &[Array],
    draw: &mut Draw,
    what: &str,
) -> Vec<Array> {
    let moving = forward(graph);
    let inputs = extended(operands, moving.clone(), draw);
    let directions = &inputs[operands.len()..];
    let got = oracle(&jvp(graph), &inputs, what);
    let at = |step: f64| -> Vec<Array> {
        let mut moved = operands.to_vec();
        for (&i, direction) in moving.iter().zip(directions) {
            moved[i] = combine(&moved[i], 1.0, direction, step);
        }
        oracle(graph, &moved, what)
    };
    // Central differences at three steps, extrapolated twice after Richardson.
    let steps = [STEP, STEP / 2.0, STEP / 4.0].map(|step| (at(step), at(-step), step));
    let n_outputs = graph.n_outputs();
    let floats: Vec<usize> = reverse(graph);
    for (k, &i) in floats.iter().enumerate() {
        let difference = |(up, down, step): &(Vec<Array>, Vec<Array>, f64)| -> Array {
            combine(&up[i], 0.5 / step, &down[i], -0.5 / step)
        };
        let [first, second, third] = [0, 1, 2].map(|s| difference(&steps[s]));
        let coarse = combine(&second, 4.0 / 3.0, &first, -1.0 / 3.0);
        let fine = combine(&third, 4.0 / 3.0, &second, -1.0 / 3.0);
        let expected = combine(&fine, 16.0 / 15.0, &coarse, -1.0 / 15.0);
        assert_close(&got[n_outputs + k], &expected, DIFFERENCES, &format!("{what}, output {i}"));
    }
    inputs
}

/// `a x + b y`.
fn combine(x: &Array, a: f64, y: &Array, b: f64) -> Array {
    let sum: Vec<f64> =
        x.to_f64_vec().iter().zip(y.to_f64_vec()).map(|(x, y)| a * x + b * y).collect();
    Array::from_slice(x.shape(), &sum).unwrap()
}

fn inner_product(a: &[Array], b: &[Array]) -> (f64, f64) {
    let (mut sum, mut size) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for (x, y) in a.to_f64_vec().into_iter().zip(b.to_f64_vec()) {
            sum += x * y;
            size += (x * y).abs();
        }
    }
    (sum, size)
}

/// `<c, J v> = <J^T c, v>` at the operands.
pub fn inner_products_agree(graph: &Graph, operands: &[Array], draw: &mut Draw, what: &str) {
    let inputs = extended(operands, forward(graph), draw);
    let directions = &inputs[operands.len()..];
    let seeds = cotangents(graph, draw);
    let pushed = oracle(&jvp(graph), &inputs, what);
    let (left, size) = inner_product(&seeds, &pushed[graph.n_outputs()..]);
    let pulled = oracle(&vjp(graph), &[operands, &seeds].concat(), what);
    assert_eq!(pulled.len(), directions.len(), "{what}: number of cotangents");
    for (cotangent, direction) in pulled.iter().zip(directions) {
        assert_eq!(cotangent.shape(), direction.shape(), "{what}: shape of a cotangent");
    }
    let (right, _) = inner_product(&pulled, directions);
    assert!(
        (left - right).abs() <= IDENTITY * (1.0 + size),
        "{what}: <c, J v> = {left:e}, <J^T c, v> = {right:e}"
    );
}

/// Reverse mode against forward mode, of the case, of its derivative and of its gradient; and
/// forward mode over reverse and reverse over reverse against differences.
pub fn reverse_mode_agrees_with_forward_mode(case: &Case) {
    if case.orders == 0 {
        return;
    }
    let name = &case.name;
    let graph = case.graph(DType::F64);
    let mut draw = Draw::new(&format!("{name} reverse"));
    inner_products_agree(&graph, &case.operands, &mut draw, &format!("vjp of {name}"));
    if case.orders < 2 {
        return;
    }
    let pushed = extended(&case.operands, forward(&graph), &mut draw);
    let what = format!("vjp of jvp of {name}");
    inner_products_agree(&jvp(&graph), &pushed, &mut draw, &what);
    let pulled = [&case.operands[..], &cotangents(&graph, &mut draw)].concat();
    let gradient = vjp(&graph);
    let what = format!("jvp of vjp of {name}");
    differentiate_by_differences(&gradient, &pulled, &mut draw, &what);
    inner_products_agree(&gradient, &pulled, &mut draw, &format!("vjp of vjp of {name}"));
    if case.orders < 3 {
        return;
    }
    let twice = [&pulled[..], &cotangents(&gradient, &mut draw)].concat();
    let what = format!("jvp of vjp of vjp of {name}");
    differentiate_by_differences(&vjp(&gradient), &twice, &mut draw, &what);
}
