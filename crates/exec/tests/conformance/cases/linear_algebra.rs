//! Factorisations and solvers.

use crate::case::{Case, case, plain};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_graph::{Builder, FixedPoint, Graph, LinearSolve, Op, Solver, Tensor, TensorType};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let bad = [
        [4.0, 0.0, 2.0, 1.0],
        [-1.0, 0.0, 2.0, 1.0],
        [4.0, 0.0, 2.0, 0.5],
        [f64::NAN, 0.0, 0.0, 1.0],
        [1.0, f64::INFINITY, 0.0, 2.0],
    ];
    // Vectors such as (1, 1) and (1, -1), whose sign must not hang on rounding.
    let tied = [[2.0, 0.0, 1.0, 2.0], [2.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.3, 0.0]];
    let stack = |rows: &[[f64; 4]]| {
        Array::from_slice(&[rows.len(), 2, 2], &rows.concat()).expect("matrices of two by two")
    };
    let (bad, tied) = (stack(&bad), stack(&tied));
    cases.push(plain(
        "factors of matrices that have none",
        move |_| vec![bad],
        |b, x| {
            let eigen = b.emit(Op::SymmetricEigen, x);
            vec![b.emit_one(Op::Cholesky, x), eigen[0], eigen[1].slice(0, 3, 4)]
        },
    ));
    cases.push(plain(
        "eigenvectors with components of one size",
        move |_| vec![tied],
        |b, x| b.emit(Op::SymmetricEigen, x),
    ));
    for shape in [&[3usize, 3][..], &[2, 3, 3]] {
        cases.push(case(
            format!("cholesky {shape:?}"),
            |draw| vec![draw.positive_definite(shape)],
            |b, x| vec![b.emit_one(Op::Cholesky, x)],
        ));
        cases.push(
            case(
                format!("symmetric_eigen {shape:?}"),
                |draw| vec![draw.positive_definite(shape)],
                |b, x| b.emit(Op::SymmetricEigen, x),
            )
            .tolerance(1e-10, 2e-4, "division by gaps between eigenvalues"),
        );
        for (lower, transpose) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut right = shape.to_vec();
            *right.last_mut().expect("a matrix") = 2;
            cases.push(case(
                format!("triangular_solve {shape:?}, lower {lower}, transpose {transpose}"),
                |draw| vec![draw.positive_definite(shape), draw.signed(&right)],
                move |b, x| vec![b.emit_one(Op::TriangularSolve { lower, transpose }, x)],
            ));
        }
    }
    for n_batch in [0, 1] {
        cases.push(
            case(
                format!("linear_solve by conjugate gradients, {n_batch} batch axes"),
                move |draw| {
                    let batch = [2usize][..n_batch].to_vec();
                    let matrix = draw.positive_definite(&[&batch[..], &[3, 3]].concat());
                    vec![matrix, draw.signed(&[&batch[..], &[3]].concat())]
                },
                move |b, x| vec![solve(b, x, Solver::ConjugateGradient, n_batch, true)],
            )
            .tolerance(
                1e-9,
                1e-4,
                "the solver stops at 1e-13, or at the precision of f32",
            ),
        );
        cases.push(
            case(
                format!("linear_solve by stabilised gradients, {n_batch} batch axes"),
                move |draw| {
                    let batch = [2usize][..n_batch].to_vec();
                    let matrix = draw.positive_definite(&[&batch[..], &[3, 3]].concat());
                    vec![matrix, draw.signed(&[&batch[..], &[3]].concat())]
                },
                move |b, x| {
                    vec![solve(b, x, Solver::BiConjugateGradientStabilized, n_batch, false)]
                },
            )
            .tolerance(
                1e-9,
                1e-4,
                "the solver stops at 1e-13, or at the precision of f32",
            ),
        );
        cases.push(
            case(
                format!("fixed_point, {n_batch} batch axes"),
                move |draw| {
                    let shape = [&[2usize][..n_batch], &[3]].concat();
                    vec![draw.positive(&shape), draw.signed(&shape)]
                },
                move |b, x| {
                    // The start does not move the point it ends at, however far it is itself.
                    vec![fixed(b, &[x[0], x[1].stop_gradient()], n_batch)]
                },
            )
            .tolerance(
                1e-9,
                1e-4,
                "the iteration stops at 1e-14, or at the precision of f32",
            ),
        );
    }
    cases
}

fn tolerance_bits(b: &Builder, wide: f64) -> u64 {
    let narrow = b.float() == thalweg_array::DType::F32;
    (if narrow { 1e-7 } else { wide }).to_bits()
}

/// The graph of a function of values of these types.
fn inner(
    like: &[Tensor<'_>],
    float: thalweg_array::DType,
    body: impl for<'s> Fn(&[Tensor<'s>]) -> Tensor<'s>,
) -> Arc<Graph> {
    let b = Builder::new(float);
    let types: Vec<TensorType> = like.iter().map(|tensor| tensor.ty()).collect();
    let inputs: Vec<_> =
        types.into_iter().enumerate().map(|(i, ty)| b.input(&format!("x{i}"), ty)).collect();
    Arc::new(b.finish(&[("y", body(&inputs))]).expect("a sound body"))
}

/// `(a + a^T) x = b`, or `(a + cyclic shift) x = b`, which is not symmetric.
fn solve<'b>(
    b: &'b Builder,
    x: &[Tensor<'b>],
    solver: Solver,
    n_batch: usize,
    symmetric: bool,
) -> Tensor<'b> {
    let matvec = inner(x, b.float(), move |x| {
        let (a, v) = (x[0], x[1]);
        let rank = v.rank();
        let row = v.expand(rank - 1);
        let image = (a * row).sum(&[rank]);
        if symmetric {
            let column = v.expand(rank);
            image + (a * column).sum(&[rank - 1])
        } else {
            let last = v.slice(rank - 1, 2, 3);
            let first = v.slice(rank - 1, 0, 2);
            image + v.builder().concatenate(&[last, first], rank - 1) * 0.3
        }
    });
    let solve = LinearSolve {
        matvec,
        solver,
        max_iterations: 60,
        tolerance_bits: tolerance_bits(b, 1e-13),
        n_batch,
    };
    b.emit_one(Op::LinearSolve(Arc::new(solve)), x)
}

/// `v = tanh(0.3 (v + reverse v)) + c`, a contraction.
fn fixed<'b>(b: &'b Builder, x: &[Tensor<'b>], n_batch: usize) -> Tensor<'b> {
    let body = inner(x, b.float(), |x| {
        let (c, v) = (x[0], x[1]);
        ((v + v.reverse(&[v.rank() - 1])) * 0.3).tanh() + c.sin()
    });
    let fixed =
        FixedPoint { body, max_iterations: 200, tolerance_bits: tolerance_bits(b, 1e-14), n_batch };
    b.emit_one(Op::FixedPoint(Arc::new(fixed)), x)
}
