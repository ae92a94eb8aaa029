//! Whatever is asked of the builder, the answer is a graph that verifies or an error at `finish`:
//! nothing panics, and no size overflows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::{
    Binary, Builder, Comparison, ConvolutionWindow, DotAxes, FixedPoint, GatherAxes, Graph,
    LinearSolve, Op, Reduction, Scan, Solver, Tensor, TensorType, Unary, While, Window,
};

/// A stream of choices (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.word() % n.max(1) as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// Mostly small, now and then absurd.
    fn size(&mut self) -> usize {
        match self.below(12) {
            0 => self.pick(&[1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 61, 1 << 62, 1 << 63]),
            1 => self.pick(&[usize::MAX, usize::MAX - 1, usize::MAX / 2, usize::MAX / 8]),
            _ => self.below(5),
        }
    }

    fn sizes(&mut self, near: usize) -> Vec<usize> {
        let n = if self.below(4) == 0 { self.below(6) } else { near };
        (0..n).map(|_| self.size()).collect()
    }

    fn axes(&mut self, near: usize) -> Vec<usize> {
        let n = self.below(near + 2);
        (0..n)
            .map(|_| if self.below(9) == 0 { self.size() } else { self.below(near + 1) })
            .collect()
    }

    fn pairs(&mut self, near: usize) -> Vec<(usize, usize)> {
        let (low, high) = (self.sizes(near), self.sizes(near));
        low.into_iter().zip(high).collect()
    }

    fn ty(&mut self) -> TensorType {
        let rank = self.below(6);
        TensorType::new(self.pick(&DType::ALL), self.sizes(rank))
    }
}

fn body(numbers: &mut Numbers, like: &[TensorType]) -> Arc<Graph> {
    let b = Builder::new(DType::F64);
    let mut inputs: Vec<Tensor<'_>> = Vec::new();
    for (i, ty) in like.iter().enumerate() {
        inputs.push(b.input(&format!("x{i}"), ty.clone()));
    }
    if numbers.below(3) == 0 {
        inputs.push(b.input("more", TensorType::new(DType::F64, [])));
    }
    let n = numbers.below(inputs.len() + 1);
    let outputs: Vec<_> = (0..n).map(|_| numbers.pick(&inputs)).collect();
    let names: Vec<String> = (0..n).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let fallback = || Builder::new(DType::F64).finish(&[]).unwrap();
    Arc::new(b.finish(&named).unwrap_or_else(|_| fallback()))
}

/// An operation with attributes that fit only by luck.
fn op(numbers: &mut Numbers, operands: &[Tensor<'_>]) -> Op {
    let rank = operands.first().map_or(2, |x| x.rank());
    let two = |numbers: &mut Numbers| [numbers.size(), numbers.size()];
    let window = ConvolutionWindow {
        stride: two(numbers),
        padding: [two(numbers), two(numbers)].map(|[low, high]| (low, high)),
        dilation: two(numbers),
        groups: numbers.size(),
        lhs_population: numbers.below(2) == 0,
        rhs_population: numbers.below(2) == 0,
        folded: [1, 1],
    };
    let sliding = |numbers: &mut Numbers| Window {
        size: numbers.sizes(rank),
        stride: numbers.sizes(rank),
        padding: numbers.pairs(rank),
        dilation: numbers.sizes(rank),
    };
    let gather = GatherAxes { batch: numbers.size(), trailing: numbers.size() };
    let types: Vec<TensorType> = operands.iter().map(|x| x.ty()).collect();
    let axis = numbers.size();
    let kinds = [Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::All, Reduction::Any];
    match numbers.below(36) {
        0 => Op::Unary(numbers.pick(&Unary::ALL)),
        1 => Op::Binary(numbers.pick(&Binary::ALL)),
        2 => Op::Compare(numbers.pick(&Comparison::ALL)),
        3 => Op::Select,
        4 => Op::Convert(numbers.pick(&DType::ALL)),
        5 => Op::Bitcast(numbers.pick(&DType::ALL)),
        6 => Op::Threefry,
        7 => Op::StopGradient,
        8 => Op::Broadcast { shape: numbers.sizes(rank + 1), axes: numbers.axes(rank) },
        9 => Op::Reshape { shape: numbers.sizes(rank) },
        10 => Op::Transpose { permutation: numbers.axes(rank) },
        11 => Op::Slice {
            start: numbers.sizes(rank),
            limit: numbers.sizes(rank),
            stride: numbers.sizes(rank),
        },
        12 => Op::Pad {
            low: numbers.sizes(rank),
            high: numbers.sizes(rank),
            interior: numbers.sizes(rank),
        },
        13 => Op::Concatenate { axis },
        14 => Op::Reverse { axes: numbers.axes(rank) },
        15 => Op::DynamicSlice { sizes: numbers.sizes(rank) },
        16 => Op::DynamicUpdateSlice,
        17 => Op::Gather(gather),
        18 => Op::ScatterAdd(gather),
        19 => Op::Reduce { kind: numbers.pick(&kinds), axes: numbers.axes(rank) },
        20 => Op::WindowSum(sliding(numbers)),
        21 => Op::WindowArgMax(sliding(numbers)),
        22 => Op::ArgMax { axis },
        23 => Op::Sort { axis, descending: numbers.below(2) == 0 },
        24 => Op::CumulativeSum { axis, reverse: numbers.below(2) == 0 },
        25 => Op::Dot(DotAxes {
            lhs_batch: numbers.axes(rank),
            rhs_batch: numbers.axes(rank),
            lhs_contract: numbers.axes(rank),
            rhs_contract: numbers.axes(rank),
        }),
        26 => Op::Convolution(window),
        27 => Op::ConvolutionInputGradient { window, input: two(numbers) },
        28 => Op::ConvolutionWeightGradient { window, kernel: two(numbers) },
        29 => numbers.pick(&[Op::Cholesky, Op::SymmetricEigen]),
        30 => Op::TriangularSolve { lower: numbers.below(2) == 0, transpose: false },
        31 => Op::LinearSolve(Arc::new(LinearSolve {
            matvec: body(numbers, &types),
            solver: Solver::ConjugateGradient,
            max_iterations: numbers.size(),
            tolerance_bits: 0,
            n_batch: numbers.size(),
        })),
        32 => Op::FixedPoint(Arc::new(FixedPoint {
            body: body(numbers, &types),
            max_iterations: numbers.size(),
            tolerance_bits: 0,
            n_batch: numbers.size(),
        })),
        33 => Op::While(Arc::new(While {
            condition: body(numbers, &types),
            body: body(numbers, &types),
            n_carry: numbers.size(),
        })),
        34 => Op::Iota { dtype: numbers.pick(&DType::ALL), shape: numbers.sizes(rank), axis },
        _ => Op::Scan(Arc::new(Scan {
            body: body(numbers, &types),
            length: numbers.size(),
            n_carry: numbers.size(),
            n_xs: numbers.size(),
            reverse: false,
            checkpoint_branching: numbers.below(3),
        })),
    }
}

/// The methods of a tensor, each with arguments at random.
fn method<'b>(b: &'b Builder, numbers: &mut Numbers, x: Tensor<'b>, y: Tensor<'b>) -> Tensor<'b> {
    let rank = x.rank();
    let axis = if numbers.below(5) == 0 { numbers.size() } else { numbers.below(rank + 1) };
    let window = Window {
        size: numbers.sizes(rank),
        stride: numbers.sizes(rank),
        padding: numbers.pairs(rank),
        dilation: numbers.sizes(rank),
    };
    match numbers.below(34) {
        0 => x + y,
        1 => x * 0.5,
        2 => 2.0 / x,
        3 => -x,
        4 => x.maximum(y),
        5 => x.select(y, x),
        6 => x.broadcast_in(&numbers.sizes(rank), &numbers.axes(rank)),
        7 => x.broadcast_to(&numbers.sizes(rank)),
        8 => x.reshape(&numbers.sizes(rank)),
        9 => x.expand(axis),
        10 => x.transpose(&numbers.axes(rank)),
        11 => x.move_axis(axis, numbers.size()),
        12 => x.slice(axis, numbers.size(), numbers.size()),
        13 => x.slice_all(&numbers.sizes(rank), &numbers.sizes(rank), &numbers.sizes(rank)),
        14 => x.index(axis, numbers.size()),
        15 => x.pad(1.0, &numbers.sizes(rank), &numbers.sizes(rank), &numbers.sizes(rank)),
        16 => x.reverse(&numbers.axes(rank)),
        17 => x.dynamic_slice(&[y, x], &numbers.sizes(rank)),
        18 => x.dynamic_update_slice(y, &[x]),
        19 => x.take(y),
        20 => x.take_along(y, axis),
        21 => x.scatter_add(y, x, GatherAxes { batch: axis, trailing: numbers.size() }),
        22 => x.sum(&numbers.axes(rank)),
        23 => x.mean(&numbers.axes(rank)),
        24 => x.keep(&numbers.axes(rank)),
        25 => x.softmax(axis),
        26 => x.logsumexp(&numbers.axes(rank)),
        27 => x.matmul(y),
        28 => x.one_hot(numbers.size(), DType::F64),
        29 => x.window_max(&window),
        30 => x.sort_with(&[y], axis, true)[1],
        31 => b.stack(&[x, y, x]),
        32 => b.concatenate(&[x, y], axis),
        _ => {
            let (carry, xs) = (numbers.below(3), numbers.below(3));
            let given = vec![x; carry];
            let (carries, rows) = b.scan(numbers.size(), &given, &vec![y; xs], &[x], 0, |step| {
                let all = [step.carry, step.xs, step.constants].concat();
                let n = numbers.below(4);
                let next: Vec<_> = (0..n).map(|_| numbers.pick(&all)).collect();
                (next, vec![all[all.len() - 1]])
            });
            // Who passes carries gets as many back.
            given.iter().zip(0..).map(|(_, i)| carries[i]).last().unwrap_or(rows[0])
        }
    }
}

fn trace(seed: u64) {
    let mut numbers = Numbers(seed);
    let b = Builder::new(DType::F64);
    let mut values: Vec<Tensor<'_>> = Vec::new();
    for i in 0..3 {
        let ty = numbers.ty();
        values.push(b.input(&format!("x{i}"), ty));
    }
    values.push(b.constant(Array::vector(&[1.0, 2.0])));
    // One mistake ends most traces; what follows it must not panic either.
    for _ in 0..numbers.below(6) + 1 {
        let (x, y) = (numbers.pick(&values), numbers.pick(&values));
        if numbers.below(2) == 0 {
            values.push(method(&b, &mut numbers, x, y));
        } else {
            let n = numbers.below(5);
            let operands: Vec<_> = (0..n).map(|_| numbers.pick(&values)).collect();
            values.extend(b.emit(op(&mut numbers, &operands), &operands));
        }
    }
    if let Ok(graph) = b.finish(&[("y", values[values.len() - 1])]) {
        graph.verify().unwrap();
        for node in graph.nodes() {
            for ty in &node.types {
                let bytes = ty.shape.iter().try_fold(ty.dtype.size(), |n, &extent| {
                    if ty.shape.contains(&0) { Some(0) } else { n.checked_mul(extent) }
                });
                assert!(bytes.is_some_and(|n| isize::try_from(n).is_ok()), "{ty} in\n{graph}");
            }
        }
        let _ = graph.to_string();
    }
}

#[test]
fn misuse_is_an_error_and_never_a_panic() {
    let count = std::env::var("MISUSES").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000);
    let mut failed: Vec<u64> = Vec::new();
    for seed in 0..count {
        if catch_unwind(AssertUnwindSafe(|| trace(seed))).is_err() {
            failed.push(seed);
        }
        if failed.len() > 8 {
            break;
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

/// Every one of 2^60 windows that start in the padding would have its element: they are not to be
/// looked at one by one.
#[test]
fn windows_without_number_are_refused_at_once() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [1]));
    let padding = (1 << 61) - 2;
    let window = Window {
        size: vec![1 << 60],
        stride: vec![2],
        padding: vec![(padding, padding)],
        dilation: vec![2],
    };
    let error = b.finish(&[("y", x.window_max(&window))]).unwrap_err();
    assert_eq!(error.op, "window_arg_max");
}
