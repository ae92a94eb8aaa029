//! Loops and solves.

use super::check::check;
use std::sync::Arc;
use thalweg_graph::{
    Builder, DType, FixedPoint, Graph, LinearSolve, Op, Solver, Tensor, TensorType, While,
};
use thalweg_transform::vjp;

#[test]
fn scans() {
    for branching in [0, 2] {
        check("scan", &[&[2], &[5, 2], &[2]], &move |b, x| {
            let zero = b.zeros(&x[0].ty());
            let carry = [x[0], zero, zero];
            let (carry, ys) = b.scan(5, &carry, &[x[1]], &[x[2]], branching, |step| {
                let [a, c, counted] = [step.carry[0], step.carry[1], step.carry[2]];
                let next = (a * step.xs[0]).sin() + c;
                // The last carry is the same for all members, whatever the others are.
                (vec![next, c + step.constants[0], counted + 1.0], vec![next, counted])
            });
            let mut outputs = [carry, ys].concat();
            let cts: Vec<_> = outputs.iter().map(|y| y.zeros_like() + 1.0).collect();
            let gradient = vjp(&outputs, &x[..1], &cts);
            outputs.extend(gradient.cotangents.into_iter().flatten());
            outputs
        });
    }
}

fn inner(shapes: &[&[usize]], f: &dyn for<'b> Fn(&[Tensor<'b>]) -> Tensor<'b>) -> Arc<Graph> {
    let b = Builder::new(DType::F64);
    let x: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| b.input(&format!("x{i}"), TensorType::new(DType::F64, *shape)))
        .collect();
    Arc::new(b.finish(&[("y", f(&x))]).unwrap())
}

#[test]
fn members_leave_a_loop_at_different_times() {
    let shapes: [&[usize]; 3] = [&[2], &[], &[2]];
    check("while", &shapes, &move |b, x| {
        let looped = While {
            condition: inner(&shapes, &|x| x[0].sum_all().abs().less(x[1].abs() + 3.0)),
            body: inner(&shapes, &|x| x[0] * 1.5 + x[2] * 0.1),
            n_carry: 1,
        };
        vec![b.emit_one(Op::While(Arc::new(looped)), &[x[0] + 2.0, x[1], x[2]])]
    });
    let shapes: [&[usize]; 3] = [&[2], &[], &[]];
    check("while on a shared count", &shapes, &move |b, x| {
        let b2 = Builder::new(DType::F64);
        let y: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(i, s)| b2.input(&format!("x{i}"), TensorType::new(DType::F64, *s)))
            .collect();
        let body = b2.finish(&[("y", y[0] * y[2]), ("n", y[1] + 1.0)]).unwrap();
        let looped = While {
            condition: inner(&shapes, &|x| x[1].less(3.0)),
            body: Arc::new(body),
            n_carry: 2,
        };
        let count = b.scalar(0.0);
        b.emit(Op::While(Arc::new(looped)), &[x[0], count, x[1] + x[2]])
    });
}

#[test]
fn solves() {
    check("linear solve", &[&[2, 2], &[2]], &|b, x| {
        let matvec = inner(&[&[2, 2], &[2]], &|x| x[0].matmul(x[1]) * 0.3 + x[1] * 2.0);
        let solve = LinearSolve {
            matvec,
            solver: Solver::BiConjugateGradientStabilized,
            max_iterations: 20,
            tolerance_bits: 1e-14f64.to_bits(),
            n_batch: 0,
        };
        vec![b.emit_one(Op::LinearSolve(Arc::new(solve)), &[x[0], x[1]])]
    });
    check("fixed point", &[&[2], &[2]], &|b, x| {
        let body = inner(&[&[2], &[2]], &|x| (x[0] + x[1].sin() * 0.5).tanh());
        let fixed = FixedPoint {
            body,
            max_iterations: 200,
            tolerance_bits: 1e-15f64.to_bits(),
            n_batch: 0,
        };
        vec![b.emit_one(Op::FixedPoint(Arc::new(fixed)), &[x[0], x[1]])]
    });
}
