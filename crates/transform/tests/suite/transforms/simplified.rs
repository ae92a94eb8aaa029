//! What simplification leaves, rule by rule.

use thalweg_graph::Array;
use thalweg_graph::{Builder, DType, Op, Scan, Tensor, TensorType};
use thalweg_transform::simplify;

/// The operations left of `f(x)` for `x [2, 3]`.
fn left(f: impl for<'b> FnOnce(&'b Builder, Tensor<'b>) -> Tensor<'b>) -> String {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [2, 3]));
    let graph = simplify(&b.finish(&[("y", f(&b, x))]).unwrap());
    graph.verify().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.op.name()).collect();
    names[1..].join(" ")
}

#[test]
fn identities() {
    assert_eq!(left(|_, x| x + 0.0), "");
    assert_eq!(left(|_, x| x * 1.0 / 1.0 - 0.0), "");
    assert_eq!(left(|_, x| -(-x)), "");
    assert_eq!(left(|_, x| x.exp() + (-x)), "exp subtract");
    assert_eq!(left(|_, x| (-x) + x.exp()), "exp subtract");
    assert_eq!(left(|_, x| x.exp() - (-x)), "exp add");
    assert_eq!(left(|_, x| x.power(2.0)), "multiply");
    assert_eq!(left(|_, x| x.greater(0.0).select(x, x)), "");
    assert_eq!(left(|_, x| x.convert(DType::F64)), "");
    // Infinity times zero is not zero.
    assert_eq!(left(|_, x| x * 0.0), "constant broadcast multiply");
    assert_eq!(left(|_, x| x.stop_gradient()), "stop_gradient");
}

#[test]
fn movements() {
    assert_eq!(left(|_, x| x.transpose(&[1, 0]).transpose(&[1, 0])), "");
    assert_eq!(left(|_, x| x.reshape(&[6]).reshape(&[3, 2]).reshape(&[2, 3])), "");
    assert_eq!(left(|_, x| x.reshape(&[2, 1, 3]).transpose(&[1, 0, 2])), "reshape");
    let shape = [4, 2, 3];
    assert_eq!(left(|_, x| x.expand(0).broadcast_to(&shape).exp()), "exp broadcast");
    assert_eq!(left(|_, x| x.broadcast_to(&shape).transpose(&[1, 0, 2])), "broadcast");
    assert_eq!(left(|_, x| x.broadcast_to(&shape).transpose(&[2, 0, 1])), "transpose broadcast");
    assert_eq!(left(|_, x| x.slice(1, 0, 2).slice(1, 1, 2)), "slice");
    assert_eq!(left(|b, x| b.concatenate(&[x.exp(), x], 0).slice(0, 2, 4)), "");
    assert_eq!(left(|_, x| x.reverse(&[0]).reverse(&[0])), "");
    assert_eq!(left(|_, x| x.expand(0).sum(&[0])), "");
    assert_eq!(left(|_, x| x.zeros_like().sum(&[0])), "constant broadcast");
}

#[test]
fn constants() {
    assert_eq!(left(|b, x| x * (b.scalar(2.0) * 3.0 + 1.0)), "constant broadcast multiply");
    assert_eq!(left(|b, x| b.scalar(1.0).less(2.0).select(x.exp(), x)), "exp");
    // Not rounded correctly everywhere, so not done here.
    assert_eq!(left(|b, x| x * b.scalar(2.0).exp()), "constant exp broadcast multiply");
}

fn only_scan(graph: &thalweg_graph::Graph) -> Scan {
    let scans: Vec<_> =
        graph.nodes().iter().filter(|node| matches!(node.op, Op::Scan(_))).collect();
    let [node] = scans[..] else { panic!("one scan in {graph}") };
    let Op::Scan(scan) = &node.op else { panic!("a scan") };
    (**scan).clone()
}

#[test]
fn loops_lose_what_nobody_reads() {
    let b = Builder::new(DType::F64);
    let vector = TensorType::new(DType::F64, [2]);
    let (x, fixed) = (b.input("x", vector.clone()), b.input("fixed", vector));
    let rows = b.input("rows", TensorType::new(DType::F64, [5, 2]));
    // The carries: one that counts, one that never changes, one that only feeds itself.
    let carry = [x, fixed, x];
    let (carry, ys) = b.scan(5, &carry, &[rows, rows], &[fixed, fixed], 0, |step| {
        let next = step.carry[0] * step.carry[1] + step.constants[0] * step.constants[1];
        let own = step.carry[2].exp();
        (vec![next + step.xs[0] * step.xs[1], step.carry[1], own], vec![own, next])
    });
    let graph = b.finish(&[("end", carry[0]), ("fixed", carry[1]), ("rows", ys[1])]).unwrap();
    let simpler = simplify(&graph);
    let scan = only_scan(&simpler);
    assert_eq!(
        (scan.n_carry, scan.n_xs, scan.body.n_inputs(), scan.body.n_outputs()),
        (1, 1, 3, 2)
    );
    let inputs = [
        Array::vector(&[0.1, 0.2]),
        Array::vector(&[0.3, -0.4]),
        Array::from_slice(&[5, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]).unwrap(),
    ];
    let evaluate = |graph| thalweg_exec::reference::evaluate(graph, &inputs).unwrap();
    assert_eq!(evaluate(&graph), evaluate(&simpler));
}

#[test]
fn equal_loops_are_one_and_short_ones_are_none() {
    let run = |b: &Builder, x: Tensor<'_>, length: usize| {
        let (carry, ys) = b.scan(length, &[x], &[], &[], 0, |step| {
            (vec![step.carry[0].exp()], vec![step.carry[0]])
        });
        (carry[0].value(), ys[0].value())
    };
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, []));
    let (first, second) = (run(&b, x + 0.0, 4), run(&b, x * 1.0, 4));
    let graph = b.finish(&[("y", b.tensor(first.0) + b.tensor(second.0))]).unwrap();
    only_scan(&simplify(&graph));
    let (end, row) = run(&b, x, 1);
    let graph = b.finish(&[("y", b.tensor(end)), ("rows", b.tensor(row))]).unwrap();
    let names: Vec<_> = simplify(&graph).nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["input", "exp", "reshape"]);
}
