//! That every kernel stays inside its operands.

use super::*;
use std::sync::Arc;
use thalweg_graph::{Array, Builder, FixedPoint, GatherAxes, LinearSolve, Solver, Window};

/// An operation, its operands and the types of its results.
type Case = (Op, Vec<Array>, Vec<TensorType>);

/// Operations with operands that they read, and results that they write, to both ends.
fn cases() -> Vec<Case> {
    let array = |shape: &[usize]| Array::full(shape, 0.5f32);
    let f32 = |shape: &[usize]| TensorType::new(DType::F32, shape);
    let i32 = |shape: &[usize]| TensorType::new(DType::I32, shape);
    let zero = || Array::scalar(0i32);
    let gather = |batch: usize, trailing: usize| GatherAxes { batch, trailing };
    let ends = |shape: &[usize], last: i32| {
        let n: usize = shape.iter().product();
        let places: Vec<i32> = (0..n).map(|at| if at < n / 2 { 0 } else { last }).collect();
        Array::from_slice(shape, &places).unwrap()
    };
    let window = Window {
        size: vec![2, 1],
        stride: vec![1, 1],
        padding: vec![(0, 0); 2],
        dilation: vec![1, 1],
    };
    let pairs = Window { size: vec![1, 2], ..window.clone() };
    let b = Builder::new(DType::F32);
    let x = b.input("x", f32(&[2, 3]));
    let identity = Arc::new(b.finish(&[("y", x)]).unwrap());
    let solve = |solver: Solver| {
        Op::LinearSolve(Arc::new(LinearSolve {
            matvec: identity.clone(),
            solver,
            max_iterations: 3,
            tolerance_bits: 0.0f64.to_bits(),
            n_batch: 1,
        }))
    };
    let fixed = FixedPoint {
        body: identity.clone(),
        max_iterations: 3,
        tolerance_bits: 0.0f64.to_bits(),
        n_batch: 1,
    };
    let square = || array(&[2, 3, 3]);
    vec![
        (
            Op::DynamicSlice { sizes: vec![4, 3] },
            vec![array(&[4, 3]), zero(), zero()],
            vec![f32(&[4, 3])],
        ),
        (
            Op::DynamicUpdateSlice,
            vec![array(&[4, 3]), array(&[2, 3]), zero(), zero()],
            vec![f32(&[4, 3])],
        ),
        (
            Op::Gather(gather(1, 0)),
            vec![array(&[2, 5, 3]), ends(&[2, 2], 4)],
            vec![f32(&[2, 2, 3])],
        ),
        (
            Op::Gather(gather(0, 1)),
            vec![array(&[5, 2, 3]), ends(&[4, 3], 4)],
            vec![f32(&[4, 2, 3])],
        ),
        (
            Op::ScatterAdd(gather(1, 0)),
            vec![array(&[2, 5, 3]), ends(&[2, 2], 4), array(&[2, 2, 3])],
            vec![f32(&[2, 5, 3])],
        ),
        (
            Op::ScatterAdd(gather(0, 1)),
            vec![array(&[5, 2, 3]), ends(&[4, 3], 4), array(&[4, 2, 3])],
            vec![f32(&[5, 2, 3])],
        ),
        (Op::WindowSum(window.clone()), vec![array(&[5, 3])], vec![f32(&[4, 3])]),
        (Op::WindowSum(pairs.clone()), vec![array(&[5, 3])], vec![f32(&[5, 2])]),
        (Op::WindowArgMax(window), vec![array(&[5, 3])], vec![i32(&[4, 3])]),
        (Op::WindowArgMax(pairs), vec![array(&[5, 3])], vec![i32(&[5, 2])]),
        (Op::ArgMax { axis: 0 }, vec![array(&[5, 3])], vec![i32(&[3])]),
        (
            Op::Sort { axis: 0, descending: true },
            vec![array(&[5, 3]), array(&[5, 3])],
            vec![f32(&[5, 3]); 2],
        ),
        (Op::CumulativeSum { axis: 0, reverse: true }, vec![array(&[5, 3])], vec![f32(&[5, 3])]),
        (Op::Cholesky, vec![square()], vec![f32(&[2, 3, 3])]),
        (
            Op::TriangularSolve { lower: true, transpose: false },
            vec![square(), array(&[2, 3, 2])],
            vec![f32(&[2, 3, 2])],
        ),
        (Op::SymmetricEigen, vec![square()], vec![f32(&[2, 3]), f32(&[2, 3, 3])]),
        (solve(Solver::ConjugateGradient), vec![array(&[2, 3])], vec![f32(&[2, 3])]),
        (solve(Solver::BiConjugateGradientStabilized), vec![array(&[2, 3])], vec![f32(&[2, 3])]),
        (Op::FixedPoint(Arc::new(fixed)), vec![array(&[2, 3])], vec![f32(&[2, 3])]),
    ]
}

#[test]
fn the_ends_of_every_operand_are_watched() {
    let pool = Pool::new(1);
    for (op, inputs, outputs) in cases() {
        let of = |array: &Array| TensorType::new(array.dtype(), array.shape());
        let in_types: Vec<TensorType> = inputs.iter().map(of).collect();
        let bodies = match &op {
            Op::LinearSolve(solve) => vec![Plan::new(&solve.matvec, &pool)],
            Op::FixedPoint(fixed) => vec![Plan::new(&fixed.body, &pool)],
            _ => Vec::new(),
        };
        let plain = Plain { op, inputs: Vec::new(), outputs: Vec::new(), bodies };
        let mut results: Vec<Array> =
            outputs.iter().map(|ty| Array::zeros(ty.dtype, &ty.shape)).collect();
        let ins: Vec<Slot<'_>> = inputs
            .iter()
            .zip(&in_types)
            .map(|(array, ty)| Slot { start: array.as_ptr().cast_mut(), ty })
            .collect();
        let outs: Vec<Slot<'_>> = results
            .iter_mut()
            .zip(&outputs)
            .map(|(array, ty)| Slot { start: array.as_mut_ptr(), ty })
            .collect();
        // More than solvers need of so few elements.
        let mut scratch = vec![0u64; 1024];
        let scratch = scratch.as_mut_ptr().cast::<u8>();
        // The identity.
        let run_plan = |_: &Plan, ins: &[*mut u8], outs: &[*mut u8], _: *mut u8| {
            // SAFETY: both are vectors of six numbers.
            unsafe { std::ptr::copy_nonoverlapping(ins[0], outs[0], 24) };
            Ok(())
        };
        let known: Vec<Operand> = operands(&ins, &outs).collect();
        let work = [Operand::dense(scratch, 8 * 1024, true)];
        bounds::assert_watched(plain.op.name(), &known, &work, || {
            // SAFETY: slots are the arrays of their types, apart from each other.
            unsafe { kernel(&plain, &pool, &ins, &outs, scratch, &run_plan) }.unwrap();
        });
    }
}
