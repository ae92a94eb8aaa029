//! Random graphs keep their results.
//!
//! Of the rewrites that the documentation lists, the sign of a zero is one; no operation here
//! makes more of it than that.

use super::trace;
use thalweg_exec::{Executor, reference};
use thalweg_graph::{
    Array, Builder, Comparison, DType, GatherAxes, Graph, Op, Reduction, Tensor, Unary,
};
use thalweg_transform::{gradient, simplify, stages};

/// A small generator of reproducible numbers.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Numbers {
        let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            numbers.bits();
        }
        numbers
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n.max(1)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn array(&mut self, shape: &[usize]) -> Array {
        let n = shape.iter().product();
        // Few values, so that equal ones and zeros turn up.
        let elements: Vec<f32> = (0..n).map(|_| (self.below(9) as f32 - 4.0) * 0.375).collect();
        Array::from_slice(shape, &elements).unwrap()
    }
}

const SHAPES: [&[usize]; 4] = [&[2, 3], &[3], &[], &[2, 1]];

/// One more value, made of those that are there.
fn grow<'b>(b: &'b Builder, values: &[Tensor<'b>], numbers: &mut Numbers) -> Tensor<'b> {
    let x = numbers.pick(values);
    let shape = x.shape();
    let rank = x.rank();
    // Another value of the same shape, a constant, or the same value.
    let alike: Vec<_> = values.iter().copied().filter(|y| y.shape() == shape).collect();
    let y = match numbers.below(4) {
        0 => b.full(&x.ty(), numbers.pick(&[0.0, 1.0, -1.0, 2.0])),
        _ => numbers.pick(&alike),
    };
    let axis = numbers.below(rank);
    match numbers.below(24) {
        0 => x + y,
        1 => x - y,
        2 => x * y,
        3 => x.maximum(y),
        4 => x.minimum(y),
        5 | 6 => -x,
        7 => x.unary(numbers.pick(&[Unary::Abs, Unary::Tanh, Unary::Floor, Unary::Sin])),
        8 => {
            let comparison = numbers.pick(&Comparison::ALL);
            let condition = b.emit_one(Op::Compare(comparison), &[x, y]);
            let condition = if numbers.below(2) == 0 { condition.logical_not() } else { condition };
            condition.select(x, numbers.pick(&alike))
        }
        9 => x.convert(DType::F64).convert(DType::F32),
        10 | 11 => {
            let mut permutation: Vec<usize> = (0..rank).collect();
            permutation.rotate_left(axis);
            x.transpose(&permutation)
        }
        12 if rank > 0 => x.reshape(&[shape.iter().product()]),
        13 => x.expand(numbers.below(rank + 1)),
        14 if rank < 3 => x.broadcast_to(&[&[2], &shape[..]].concat()),
        15 if rank < 3 => x.expand(rank).broadcast_to(&[&shape[..], &[3]].concat()),
        16 if rank > 0 => {
            let kind = numbers.pick(&[Reduction::Sum, Reduction::Max, Reduction::Min]);
            if shape.contains(&0) { x } else { x.reduce(kind, &[axis]) }
        }
        17 if rank > 0 => {
            let start = numbers.below(shape[axis]);
            let limit = start + 1 + numbers.below(shape[axis] - start);
            x.slice(axis, start, limit)
        }
        18 if rank > 0 => {
            let mut stride = vec![1; rank];
            stride[axis] = 2;
            x.slice_all(&vec![0; rank], &shape, &stride)
        }
        19 if rank > 0 => b.concatenate(&[x, y], axis),
        20 if rank > 0 => x.reverse(&[axis]),
        21 if rank > 0 => {
            let mut low = vec![0; rank];
            low[axis] = numbers.below(2);
            x.pad(0.5, &low, &vec![0; rank], &vec![0; rank])
        }
        22 if rank > 0 => {
            let index = x.reshape(&[shape.iter().product()]).convert(DType::I32);
            x.gather(index, GatherAxes { batch: 0, trailing: 0 })
        }
        23 if rank > 0 && shape[0] < 5 => {
            let start = b.zeros(&thalweg_graph::TensorType::new(DType::F32, &shape[1..]));
            let dead = b.scalar(1.0);
            let (carry, ys) = b.scan(shape[0], &[start, dead], &[x], &[], 0, |step| {
                let next = step.carry[0] * 0.5 + step.xs[0];
                (vec![next, step.carry[1] * 2.0], vec![step.carry[0] - next])
            });
            if numbers.below(2) == 0 { carry[0] } else { ys[0] }
        }
        _ => x,
    }
}

fn small(x: &Tensor<'_>) -> bool {
    x.rank() <= 4 && x.ty().element_count() <= 200
}

fn bits(arrays: &[Array]) -> Vec<Vec<u64>> {
    let of = |x: f64| if x.is_nan() { 1 } else { (x + 0.0).to_bits() };
    arrays.iter().map(|array| array.to_f64_vec().into_iter().map(of).collect()).collect()
}

#[test]
fn random_graphs() {
    let executor = Executor::new(1);
    for seed in 0..400 {
        let graph = trace(&SHAPES, &|b, x| {
            let mut numbers = Numbers::new(seed);
            let mut values = x.to_vec();
            for _ in 0..30 {
                let value = grow(b, &values, &mut numbers);
                if small(&value) {
                    values.push(value);
                }
            }
            let last = values.len() - 1;
            vec![values[last], values[last / 2 + 2], values[last - 3]]
        });
        let simple = simplify(&graph);
        simple.verify().unwrap();
        let mut numbers = Numbers::new(seed + 1000);
        let inputs: Vec<Array> = SHAPES.iter().map(|shape| numbers.array(shape)).collect();
        let run = |graph| executor.compile(graph).unwrap().run(inputs.clone()).unwrap();
        assert_eq!(bits(&run(&simple)), bits(&run(&graph)), "seed {seed}:\n{graph}\n{simple}");
        let oracle = |graph| reference::evaluate(graph, &inputs).unwrap();
        assert_eq!(
            bits(&oracle(&simple)),
            bits(&oracle(&graph)),
            "seed {seed}:\n{graph}\n{simple}"
        );
        in_two_parts(&executor, &simple, &inputs);
    }
}

/// Each choice of one late input, or of none, splits a graph into parts that compute the same, and
/// other values of the late input need the first part no more.
fn in_two_parts(executor: &Executor, graph: &Graph, inputs: &[Array]) {
    let run = |graph: &Graph, inputs: &[Array]| {
        bits(&executor.compile(graph).unwrap().run(inputs.to_vec()).unwrap())
    };
    for late in 0..=inputs.len() {
        let changing: Vec<usize> = (0..inputs.len()).filter(|&i| i == late).collect();
        let Some(parts) = stages(graph, &changing).unwrap() else { continue };
        let early: Vec<Array> =
            inputs.iter().enumerate().filter(|(i, _)| *i != late).map(|(_, x)| x.clone()).collect();
        let kept = executor.compile(&parts.early).unwrap().run(early).unwrap();
        let mut inputs = inputs.to_vec();
        for scale in [1.0, -0.5] {
            if let Some(input) = inputs.get_mut(late) {
                let scaled: Vec<f64> = input.to_f64_vec().iter().map(|x| scale * x).collect();
                *input = Array::from_slice(input.shape(), &scaled).unwrap().convert(DType::F32);
            }
            let found = run(&parts.late, &[&inputs[..], &kept].concat());
            assert_eq!(found, run(graph, &inputs), "{late} is late in\n{graph}\n{}", parts.late);
        }
    }
}

#[test]
fn a_gradient_becomes_smaller_and_keeps_its_bits() {
    let shapes: [&[usize]; 4] = [&[8, 5], &[5, 6], &[6], &[6, 3]];
    let graph = trace(&shapes, &|_, x| {
        let hidden = (x[0].matmul(x[1]) + x[2]).tanh();
        let loss = -hidden.matmul(x[3]).log_softmax(1).slice(1, 0, 1).mean(&[0, 1]);
        let mut outputs = gradient(loss, &x[1..]);
        outputs.push(loss);
        outputs
    });
    let simple = simplify(&graph);
    assert!(simple.nodes().len() < graph.nodes().len(), "{simple}");
    let mut numbers = Numbers::new(7);
    let inputs: Vec<Array> = shapes.iter().map(|shape| numbers.array(shape)).collect();
    let executor = Executor::new(2);
    let run = |graph| executor.compile(graph).unwrap().run(inputs.clone()).unwrap();
    assert_eq!(bits(&run(&simple)), bits(&run(&graph)));
}
