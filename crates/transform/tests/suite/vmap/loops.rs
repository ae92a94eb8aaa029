//! Loops and solvers.

use super::check::{check, floats, integers, trace};
use std::sync::Arc;
use thalweg_graph::{DType, FixedPoint, Graph, LinearSolve, Op, Scan, Solver, Tensor, While};
use thalweg_transform::vmap_graph;

#[test]
fn scans() {
    let inputs = [floats(&[2]), floats(&[]), floats(&[5, 2]), floats(&[2])];
    check("scan", &inputs, &|b, x| {
        // The second carry is the first one's before; only the third is independent of both.
        let carry = [x[0], x[0] * 0.5, x[1]];
        let (carry, ys) = b.scan(5, &carry, &[x[2]], &[x[3]], 0, |step| {
            let [first, second, third] = [step.carry[0], step.carry[1], step.carry[2]];
            let next = first * step.constants[0] * 0.25 + step.xs[0];
            (vec![next, first, third * 0.5 + 1.0], vec![second * third, third, step.xs[0]])
        });
        carry.into_iter().chain(ys).collect()
    });
}

#[test]
fn reversed_scan_with_an_inner_scan() {
    let inputs = [floats(&[]), floats(&[4, 3]), floats(&[3])];
    check("scan in scan", &inputs, &|b, x| {
        let (carry, ys) = b.scan(4, &[x[0]], &[x[1]], &[x[2]], 2, |step| {
            let products = step.xs[0] * step.constants[0];
            let (carry, ys) =
                step.builder.scan(3, &[step.carry[0]], &[products], &[], 0, |inner| {
                    let next = inner.carry[0] * 0.5 + inner.xs[0];
                    (vec![next], vec![next.tanh()])
                });
            (carry, ys)
        });
        carry.into_iter().chain(ys).collect()
    });
    let forward = trace(&[floats(&[2]), floats(&[3, 2])], &|b, x| {
        let (carry, ys) = b.scan(3, &[x[0]], &[x[1]], &[], 0, |step| {
            (vec![step.carry[0] * 0.5 + step.xs[0]], vec![step.carry[0]])
        });
        vec![carry[0], ys[0]]
    });
    let node = forward.nodes().iter().find_map(|node| match &node.op {
        Op::Scan(scan) => Some(Scan { reverse: true, ..(**scan).clone() }),
        _ => None,
    });
    let reversed = Arc::new(node.unwrap());
    check("reversed scan", &[floats(&[2]), floats(&[3, 2])], &move |b, x| {
        b.emit(Op::Scan(reversed.clone()), x)
    });
}

#[test]
fn what_is_not_batched_stays_shared() {
    let graph = trace(&[floats(&[3]), floats(&[3])], &|b, x| {
        let (carry, _) = b.scan(2, &[x[0], x[1]], &[], &[], 0, |step| {
            (vec![step.carry[0].sin(), step.carry[1] * step.carry[0]], vec![])
        });
        carry
    });
    let batched = vmap_graph(&graph, &[None, Some(0)], 7).unwrap();
    let scan = batched.nodes().iter().find_map(|node| match &node.op {
        Op::Scan(scan) => Some(scan.body.inputs().map(|port| port.ty.rank()).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(scan, Some(vec![1, 2]));
}

fn body(inputs: &[super::check::Input], f: &super::check::Function) -> Arc<Graph> {
    Arc::new(trace(inputs, f))
}

#[test]
fn whiles() {
    let operands = [integers(DType::I32, &[], 0, 9), floats(&[2]), integers(DType::I32, &[], 3, 9)];
    let looped = |use_third: bool| {
        Arc::new(While {
            condition: body(&operands, &move |_, x| {
                vec![if use_third { x[0].less(x[2]) } else { x[0].less(6.0) }]
            }),
            body: body(&operands, &|_, x| vec![x[0] + 1.0, x[1] * 0.5 + 1.0]),
            n_carry: 2,
        })
    };
    for use_third in [false, true] {
        let looped = looped(use_third);
        check("while", &operands, &move |b, x| b.emit(Op::While(looped.clone()), x));
    }
}

/// `diag(2 + c^2) x + sum(x) / 8`: symmetric and positive definite, for systems `[batch, n]`.
fn operator<'b>(c: Tensor<'b>, x: Tensor<'b>) -> Tensor<'b> {
    x * (c.square() + 2.0) + (x.sum(&[1]) * 0.125).keep(&[1])
}

#[test]
fn solvers() {
    let operands = [floats(&[3]), floats(&[2, 3])];
    for solver in [Solver::ConjugateGradient, Solver::BiConjugateGradientStabilized] {
        let solve = Arc::new(LinearSolve {
            matvec: body(&operands, &|_, x| vec![operator(x[0], x[1])]),
            solver,
            max_iterations: 20,
            tolerance_bits: 1e-5f64.to_bits(),
            n_batch: 1,
        });
        check("linear solve", &operands, &move |b, x| {
            vec![b.emit_one(Op::LinearSolve(solve.clone()), x)]
        });
    }
    let fixed = Arc::new(FixedPoint {
        body: body(&operands, &|_, x| vec![x[1].sin() * 0.5 + x[0]]),
        max_iterations: 30,
        tolerance_bits: 1e-3f64.to_bits(),
        n_batch: 1,
    });
    check("fixed point", &operands, &move |b, x| {
        vec![b.emit_one(Op::FixedPoint(fixed.clone()), x)]
    });
}
