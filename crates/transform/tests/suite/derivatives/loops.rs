//! Loops and solves.

use super::check::{anywhere, check, check_to};
use std::sync::Arc;
use thalweg_graph::{Builder, DType, FixedPoint, LinearSolve, Op, Scan, ScanStep, Solver, Tensor};

/// `builder.scan` with the direction as asked.
fn scan<'b>(
    length: usize,
    reverse: bool,
    branching: usize,
    operands: [&[Tensor<'b>]; 3],
    step: impl for<'s> FnOnce(ScanStep<'s, '_>) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>),
) -> Vec<Tensor<'b>> {
    let [carry, xs, constants] = operands;
    let b = carry[0].builder();
    let (forward, _) = b.scan(length, carry, xs, constants, branching, step);
    let node = b.node(forward[0].value().node);
    let Op::Scan(looped) = &node.op else { panic!("a scan") };
    let looped = Scan { reverse, ..(**looped).clone() };
    b.emit(Op::Scan(Arc::new(looped)), &operands.concat())
}

fn recurrent<'b>(x: &[Tensor<'b>], length: usize, reverse: bool, k: usize) -> Vec<Tensor<'b>> {
    let b = x[0].builder();
    let count = b.scalar_of(DType::I32, 0.0);
    scan(length, reverse, k, [&[x[0], count], &[x[1]], &[x[2]]], |step| {
        let (h, count) = (step.carry[0], step.carry[1]);
        let drift = count.convert(DType::F64) * 0.1;
        let next = (h * step.constants[0] + step.xs[0].sin() + drift).tanh();
        (vec![next, count + 1.0], vec![next * step.xs[0], h.exp()])
    })
}

#[test]
fn scans_of_every_length_and_branching() {
    for branching in [0, 2, 3] {
        for reverse in [false, true] {
            for length in [0, 1, 2, 3, 4, 5, 8, 9, 11] {
                let name = format!("scan {length} {branching} {reverse}");
                let shapes: [&[usize]; 3] = [&[2], &[length, 2], &[2]];
                check_to(2, &name, &shapes, anywhere, &move |_, x| {
                    recurrent(x, length, reverse, branching)
                });
            }
        }
    }
    check("scan to order three", &[&[1], &[5, 1], &[1]], anywhere, &|_, x| {
        recurrent(x, 5, false, 2)
    });
}

#[test]
fn a_tangent_that_enters_on_the_way() {
    // Only the constant varies: the first carry has no tangent, the second gets its own from it.
    check("enters late", &[&[]], anywhere, &|b, x| {
        let zero = b.scalar(0.3);
        scan(4, false, 2, [&[zero, zero], &[], &[x[0]]], |step| {
            let (first, second) = (step.carry[0], step.carry[1]);
            (vec![first.sin() + step.constants[0], second * first + 1.0], vec![])
        })
    });
}

/// The rows have a tangent that reaches no result: the loop is no part of the linear map, but its
/// results are data of it.
#[test]
fn a_tangent_that_a_loop_does_not_use() {
    for length in [1, 3] {
        check("rows unused", &[&[2], &[length, 2]], anywhere, &move |b, x| {
            let start = b.iota(DType::F64, &[2], 0);
            let data = scan(length, false, 2, [&[start], &[x[1].sin()], &[]], |step| {
                (vec![step.carry[0] + 1.0], vec![step.carry[0]])
            });
            let next = scan(length, true, 0, [&[x[0] * data[0]], &[data[1]], &[x[1]]], |step| {
                (vec![(step.carry[0] * step.xs[0]).sin()], vec![])
            });
            vec![next[0] + x[0]]
        });
    }
}

#[test]
fn scans_in_scans() {
    for branching in [0, 2] {
        check_to(2, "nested", &[&[2], &[2]], anywhere, &move |_, x| {
            scan(3, false, branching, [&[x[0]], &[], &[x[1]]], |step| {
                let inner = scan(4, true, branching, [step.carry, &[], step.constants], |step| {
                    let next = (step.carry[0] * step.constants[0]).sin();
                    (vec![next], vec![next + step.carry[0]])
                });
                (vec![(inner[0] + inner[1].sum(&[0])) * 0.3], vec![inner[1]])
            })
        });
    }
}

fn inner_graph(
    shapes: &[&[usize]],
    f: &dyn for<'b> Fn(&[Tensor<'b>]) -> Tensor<'b>,
) -> Arc<thalweg_graph::Graph> {
    let b = Builder::new(DType::F64);
    let x: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, s)| b.input(&format!("x{i}"), thalweg_graph::TensorType::new(DType::F64, *s)))
        .collect();
    Arc::new(b.finish(&[("y", f(&x))]).unwrap())
}

#[test]
fn linear_solves() {
    for solver in [Solver::ConjugateGradient, Solver::BiConjugateGradientStabilized] {
        let symmetric = solver == Solver::ConjugateGradient;
        check(&format!("{solver:?}"), &[&[3, 3], &[3]], anywhere, &move |b, x| {
            // Far enough from singular, and symmetric where the solver asks for it.
            let matvec = inner_graph(&[&[3, 3], &[3]], &move |x| {
                let product = x[0].sin().matmul(x[1]) * 0.3;
                let mirrored = x[0].sin().transpose(&[1, 0]).matmul(x[1]) * 0.3;
                x[1] * 4.0 + product + if symmetric { mirrored } else { product * 0.5 }
            });
            let solve = LinearSolve {
                matvec,
                solver,
                max_iterations: 20,
                tolerance_bits: 1e-14f64.to_bits(),
                n_batch: 0,
            };
            vec![b.emit_one(Op::LinearSolve(Arc::new(solve)), &[x[0], x[1].exp()])]
        });
    }
}

#[test]
fn fixed_points() {
    check("fixed point", &[&[3], &[3]], anywhere, &|b, x| {
        let body = inner_graph(&[&[3], &[3]], &|x| (x[0] + x[1].sin() * 0.5).tanh());
        let fixed = FixedPoint {
            body,
            max_iterations: 200,
            tolerance_bits: 1e-15f64.to_bits(),
            n_batch: 1,
        };
        let start = x[1].stop_gradient() * 0.0;
        vec![b.emit_one(Op::FixedPoint(Arc::new(fixed)), &[x[0].sin(), start]) * x[1]]
    });
}

#[test]
fn factorisations() {
    let positive = |a: Tensor<'_>| -> thalweg_graph::Value {
        let b = a.builder();
        let grid = |axis| b.iota(DType::F64, &[2, 3, 3], axis);
        let unit = grid(1).equal(grid(2)).convert(DType::F64);
        let axes = thalweg_graph::DotAxes {
            lhs_batch: vec![0],
            rhs_batch: vec![0],
            lhs_contract: vec![2],
            rhs_contract: vec![2],
        };
        (a.dot(a, axes) * 0.2 + unit).value()
    };
    check("cholesky", &[&[2, 3, 3]], anywhere, &move |b, x| {
        // What stands above the diagonal is not read, and has no derivative.
        let a = b.tensor(positive(x[0])) + b.iota(DType::F64, &[2, 3, 3], 1) * 0.1;
        vec![b.emit_one(Op::Cholesky, &[a])]
    });
    for (lower, transpose) in [(false, false), (false, true), (true, false), (true, true)] {
        let name = format!("triangular {lower} {transpose}");
        check(&name, &[&[2, 3, 3], &[2, 3, 2]], anywhere, &move |b, x| {
            let op = Op::TriangularSolve { lower, transpose };
            vec![b.emit_one(op, &[x[0] * 0.3 + 1.5, x[1].exp()])]
        });
    }
    check("eigen", &[&[2, 3, 3]], anywhere, &|b, x| {
        let spread = b.iota(DType::F64, &[2, 3, 3], 1) * b.iota(DType::F64, &[2, 3, 3], 2);
        b.emit(Op::SymmetricEigen, &[x[0] * 0.3 + spread])
    });
}
