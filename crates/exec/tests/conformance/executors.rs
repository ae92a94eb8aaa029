//! Executors against the oracle, on every case and its derivatives.

use crate::batching::{MEMBERS, leading_subsets, members};
use crate::case::Case;
use crate::compare::{assert_all_close, cotangents, extended};
use crate::draw::Draw;
use crate::tolerance::{EXECUTOR_F32, EXECUTOR_F64};
use crate::transforms::{batch, forward, jvp, vjp};
use std::sync::LazyLock;
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_exec::kernel::Pool;
use thalweg_exec::reference::evaluate;
use thalweg_graph::Graph;

/// Runs a graph on arrays of its input types.
pub type Backend = fn(&Graph, &[Array]) -> Vec<Array>;

/// What is compared with the oracle, and bit by bit with the first of them.
pub const EXECUTORS: &[(&str, Backend)] = &[
    ("one thread", one_thread),
    ("two threads, inputs given away", two_threads),
    ("tasks in a drawn order", scrambled),
];

fn one_thread(graph: &Graph, inputs: &[Array]) -> Vec<Array> {
    static EXECUTOR: LazyLock<Executor> = LazyLock::new(|| Executor::new(1));
    run(&EXECUTOR, graph, inputs.to_vec())
}

fn two_threads(graph: &Graph, inputs: &[Array]) -> Vec<Array> {
    static EXECUTOR: LazyLock<Executor> = LazyLock::new(|| Executor::new(2));
    // Arrays of their own, whose memory outputs may take over.
    let copy = |array: &Array| {
        Array::stack(std::slice::from_ref(array)).and_then(|copy| copy.reshape(array.shape()))
    };
    run(&EXECUTOR, graph, inputs.iter().map(|array| copy(array).unwrap()).collect())
}

fn scrambled(graph: &Graph, inputs: &[Array]) -> Vec<Array> {
    static EXECUTOR: LazyLock<Executor> = LazyLock::new(|| Executor::on(Pool::scrambled(3, 1)));
    run(&EXECUTOR, graph, inputs.to_vec())
}

fn run(executor: &Executor, graph: &Graph, inputs: Vec<Array>) -> Vec<Array> {
    let program = executor.compile(graph).unwrap_or_else(|error| panic!("{error}\n{graph}"));
    program.run(inputs).unwrap_or_else(|error| panic!("{error}\n{graph}"))
}

/// The case itself, its derivatives to the second order and its batches, on every executor, in
/// both float types.
pub fn executors_agree_with_the_oracle(case: &Case) {
    let (wide, narrow) = match case.executor_tolerance {
        Some((wide, narrow, _reason)) => (wide, narrow),
        None => (EXECUTOR_F64, EXECUTOR_F32),
    };
    for (float, tolerance) in [(DType::F64, wide), (DType::F32, narrow)] {
        let name = format!("{} in {float}", case.name);
        let mut draw = Draw::new(&format!("{} executed", case.name));
        let graph = case.graph(float);
        let operands: Vec<Array> = graph
            .inputs()
            .zip(&case.operands)
            .map(|(port, operand)| operand.convert(port.ty.dtype))
            .collect();
        compare(&graph, &operands, tolerance, &name);
        compare_members(&graph, &operands, tolerance, &mut draw, &format!("vmap of {name}"));
        if case.orders == 0 {
            continue;
        }
        let pushed = extended(&operands, forward(&graph), &mut draw);
        compare(&jvp(&graph), &pushed, tolerance, &format!("jvp of {name}"));
        let pulled = [&operands[..], &cotangents(&graph, &mut draw)].concat();
        let gradient = vjp(&graph);
        compare(&gradient, &pulled, tolerance, &format!("vjp of {name}"));
        let what = format!("vmap of vjp of {name}");
        compare_members(&gradient, &pulled, tolerance, &mut draw, &what);
        if case.orders > 1 {
            let pushed = extended(&pulled, forward(&gradient), &mut draw);
            compare(&jvp(&gradient), &pushed, tolerance, &format!("jvp of vjp of {name}"));
        }
    }
}

/// All executors against the oracle, and against each other bit by bit; the first one's results.
fn compare(graph: &Graph, inputs: &[Array], tolerance: f64, what: &str) -> Vec<Array> {
    let expected = evaluate(graph, inputs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut first: Option<Vec<Array>> = None;
    for (name, run) in EXECUTORS {
        let what = format!("{what} on {name}");
        let got = run(graph, inputs);
        assert_all_close(&got, &expected, tolerance, &what);
        match &first {
            None => first = Some(got),
            Some(first) => assert!(same_bits(first, &got), "{what}: other bits\n{graph}"),
        }
    }
    first.expect("at least one executor")
}

/// A batch over every subset of operands against the oracle, and every member's results against those of the
/// member alone, bit by bit.
fn compare_members(graph: &Graph, operands: &[Array], tolerance: f64, draw: &mut Draw, what: &str) {
    for axes in leading_subsets(operands.len()) {
        let what = format!("{what} on {axes:?}");
        let (stacked, each) = members(operands, &axes, draw);
        let together = compare(&batch(graph, MEMBERS, &axes), &stacked, tolerance, &what);
        for (number, member) in each.iter().enumerate() {
            let alone = one_thread(graph, member);
            let of_batch: Vec<Array> =
                together.iter().map(|output| output.row(number).unwrap()).collect();
            assert!(
                same_bits(&of_batch, &alone),
                "{what}: member {number} has other bits than alone\n {of_batch:?}\n {alone:?}"
            );
        }
    }
}

fn same_bits(left: &[Array], right: &[Array]) -> bool {
    // All NaN are alike: which payload comes out of two of them is not part of any contract.
    let alike = |(l, r): (&Array, &Array)| {
        l == r
            || l.dtype() == r.dtype()
                && l.shape() == r.shape()
                && l.dtype().is_float()
                && (l.to_f64_vec().iter().zip(r.to_f64_vec()))
                    .all(|(l, r)| l.to_bits() == r.to_bits() || l.is_nan() && r.is_nan())
    };
    left.len() == right.len() && left.iter().zip(right).all(alike)
}
