//! The smallest and the largest sizes: what is empty is computed and touches nothing, and what no
//! machine holds is refused.

use thalweg_exec::{ExecError, Executor};
use thalweg_graph::{Array, Builder, ConvolutionWindow, DType, Op, TensorType};

/// Members none, the other operand shared: a kernel that ran for one member would write over what
/// lies where an empty result has no room.
#[test]
fn an_empty_population_writes_nothing() {
    let executor = Executor::new(1);
    let plain = ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };
    for [lhs_population, rhs_population] in [[true, false], [false, true], [true, true]] {
        let window = ConvolutionWindow { lhs_population, rhs_population, ..plain };
        let shape = |population: bool, shape: [usize; 4]| -> Vec<usize> {
            if population { [&[0], &shape[..]].concat() } else { shape.to_vec() }
        };
        let [x, y, w] = [[4, 5, 5, 3], [4, 5, 5, 8], [3, 3, 3, 8]];
        for (op, left, right) in [
            (Op::Convolution(window), x, w),
            (Op::ConvolutionInputGradient { window, input: [5, 5] }, y, w),
            (Op::ConvolutionWeightGradient { window, kernel: [3, 3] }, x, y),
        ] {
            let b = Builder::new(DType::F64);
            let name = op.name();
            let ty = |shape: Vec<usize>| TensorType::new(DType::F64, shape);
            let left = b.input("left", ty(shape(lhs_population, left)));
            let right = b.input("right", ty(shape(rhs_population, right)));
            let a = b.input("a", ty(vec![300, 300]));
            // A value that lives across the convolution, at the start of working memory.
            let sums = a.cumulative_sum(0, false);
            let result = b.emit_one(op, &[left, right]);
            let n = result.rank();
            let nothing = result.sum(&(0..n).collect::<Vec<_>>());
            let graph = b.finish(&[("y", (sums + nothing).cumulative_sum(1, false))]).unwrap();
            let values: Vec<f64> = (0..90_000).map(|i| f64::from(i % 7)).collect();
            let ones = |t: thalweg_graph::Tensor<'_>| Array::full(&t.shape(), 1.0f64);
            let inputs =
                [ones(left), ones(right), Array::from_slice(&[300, 300], &values).unwrap()];
            let alone = b.finish(&[("y", sums.cumulative_sum(1, false))]).unwrap();
            let run = |graph| executor.compile(graph).unwrap().run(inputs.to_vec()).unwrap();
            assert!(run(&graph) == run(&alone), "{name} {window:?}");
        }
    }
}

/// Four values of 2^62 bytes together would wrap to nothing, and a plan with room for nothing be
/// run.
#[test]
fn sizes_that_no_machine_holds_are_refused() {
    let executor = Executor::new(1);
    for [rows, columns] in [[1 << 59, 1], [1 << 40, 1 << 10]] {
        let b = Builder::new(DType::F64);
        let x = b.input("x", TensorType::new(DType::F64, []));
        let wide = x.broadcast_to(&[rows, columns]);
        let sums: Vec<_> = (0..4).map(|i| (wide + f64::from(i)).cumulative_sum(0, false)).collect();
        let all = sums[0] * sums[1] * sums[2] * sums[3];
        let graph = b.finish(&[("y", all.sum(&[0, 1]))]).unwrap();
        let error = executor.compile(&graph).err().expect("too large");
        assert!(matches!(error, ExecError::OutOfMemory { .. }), "{error}");
    }
    // Within a loop too.
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, []));
    let (carry, _) = b.scan(2, &[x], &[], &[], 0, |step| {
        let wide = step.carry[0].broadcast_to(&[1 << 59]).cumulative_sum(0, false);
        (vec![wide.sum(&[0])], vec![])
    });
    let graph = b.finish(&[("y", carry[0])]).unwrap();
    assert!(matches!(executor.compile(&graph), Err(ExecError::OutOfMemory { .. })));
}
