//! Products with affine points: where they become sums of products, and what stays the same then.

use std::sync::Arc;
use thalweg_exec::{Executor, Program, reference};
use thalweg_graph::{Array, Builder, ConvolutionWindow, DType, Graph, Op, Tensor, TensorType};
use thalweg_transform::{Replacement, distribute_points, gradient, jvp, simplify, vmap};

/// What is computed of a point and what all members share.
type Of<'f> = &'f dyn for<'b> Fn(&'b Builder, Tensor<'b>, &[Tensor<'b>]) -> Vec<Tensor<'b>>;

/// A function of points `w + sum over j of c_j d_j`, as a surface is traced: coordinates first,
/// then `w` and the directions, then what all members share.
struct Points<'f> {
    weights: &'f [usize],
    directions: usize,
    others: &'f [TensorType],
    of: Of<'f>,
}

impl Points<'_> {
    fn graph(&self, float: DType, members: usize) -> Graph {
        let b = Builder::new(float);
        let own = |j: usize| {
            let member = b.placeholder(TensorType::new(float, []));
            let batched = b.input(&format!("c{j}"), TensorType::new(float, [members]));
            Replacement { member, batched, axis: 0 }
        };
        let coordinates: Vec<_> = (0..self.directions).map(own).collect();
        let weights = |name: &str| b.input(name, TensorType::new(float, self.weights));
        let mut point = weights("w");
        for (j, coordinate) in coordinates.iter().enumerate() {
            point = point + weights(&format!("d{j}")) * coordinate.member;
        }
        let others: Vec<Tensor<'_>> = self
            .others
            .iter()
            .enumerate()
            .map(|(i, ty)| b.input(&format!("x{i}"), typed(ty, float)))
            .collect();
        let outputs = (self.of)(&b, point, &[&others[..], &members_of(&coordinates)[..]].concat());
        finish(&b, &vmap(&outputs, &coordinates, members))
    }

    /// Inputs of so many members, of numbers of `f32`.
    fn inputs(&self, float: DType, members: usize) -> Vec<Array> {
        let mut seed = 0;
        let mut next = |shape: &[usize]| {
            seed += 1;
            numbers(shape, seed)
        };
        let mut arrays: Vec<Array> = (0..self.directions).map(|_| next(&[members])).collect();
        arrays.extend((0..=self.directions).map(|_| next(self.weights)));
        for ty in self.others {
            arrays.push(match ty.dtype {
                DType::F32 => next(&ty.shape),
                dtype => next(&ty.shape).convert(dtype),
            });
        }
        let convert = |a: Array| if a.dtype().is_float() { a.convert(float) } else { a };
        arrays.into_iter().map(convert).collect()
    }

    /// The distributed program agrees with the oracle on the graph as it is written.
    fn check(&self, what: &str) {
        let graph = self.graph(DType::F64, 3);
        let inputs = self.inputs(DType::F64, 3);
        let expected = reference::evaluate_f64(&graph, &inputs).unwrap();
        let found = compile(2, &graph).run(inputs).unwrap();
        assert!(!found.is_empty());
        for (found, expected) in found.iter().zip(&expected) {
            let (found, expected) = (found.to_f64_vec(), expected.to_f64_vec());
            let scale = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(scale > 1e-3, "{what}: nothing to see");
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() <= 1e-10 * scale, "{what}: {a} and {b}");
            }
        }
    }
}

/// The program of the graph with its points distributed.
fn compile(threads: usize, graph: &Graph) -> Arc<Program> {
    Executor::new(threads).compile(&distribute_points(graph)).unwrap()
}

/// Single members' coordinates, for derivatives.
fn members_of<'b>(coordinates: &[Replacement<'b>]) -> Vec<Tensor<'b>> {
    coordinates.iter().map(|coordinate| coordinate.member).collect()
}

fn typed(ty: &TensorType, float: DType) -> TensorType {
    let dtype = if ty.dtype.is_float() { float } else { ty.dtype };
    TensorType::new(dtype, ty.shape.clone())
}

fn finish(b: &Builder, outputs: &[Tensor<'_>]) -> Graph {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    b.finish(&named).unwrap()
}

fn numbers(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    Array::from_slice(shape, &(0..n).map(value).collect::<Vec<_>>()).unwrap()
}

fn floats(shape: &[usize]) -> TensorType {
    TensorType::new(DType::F32, shape)
}

/// Whether some operation of a kind still has a population, or so many operands' axes.
fn distributes(points: &Points<'_>, members: usize) -> bool {
    let graph = points.graph(DType::F32, members);
    let linear = |op: &Op| {
        matches!(
            op,
            Op::Dot(_)
                | Op::Convolution(_)
                | Op::ConvolutionInputGradient { .. }
                | Op::ConvolutionWeightGradient { .. }
                | Op::Gather(_)
        )
    };
    let count = |graph: &Graph| graph.nodes().iter().filter(|node| linear(&node.op)).count();
    let simple = distribute_points(&graph);
    assert_eq!(distribute_points(&simple), simple, "simple at once");
    // Only if it is asked for.
    assert_eq!(count(&simplify(&graph)), count(&graph));
    let (before, after) = (count(&graph), count(&simple));
    assert!(after == before || after == before * (1 + points.directions), "{simple}");
    after != before
}

const DENSE: Of<'static> = &|_, w, x| vec![x[0].matmul(w).tanh()];
const WINDOW: ConvolutionWindow =
    ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };

#[test]
fn many_products_are_distributed_and_few_are_not() {
    // (directions, products summed in an element, distributed)
    for (directions, depth, expected) in [
        (1, 2, true),
        (2, 8, false),
        (2, 16, true),
        (2, 784, true),
        (5, 32, false),
        (5, 64, true),
        (15, 200, false),
        (15, 784, true),
        (16, 4096, false),
    ] {
        // Neither members nor examples nor results decide.
        for (members, examples, results) in [(1, 1, 1), (2, 50, 3), (64, 7, 40)] {
            let x = [floats(&[examples, depth])];
            let points = Points { weights: &[depth, results], directions, others: &x, of: DENSE };
            let found = distributes(&points, members);
            assert_eq!(found, expected, "{directions} {depth} {members} {examples} {results}");
        }
    }
    // Of images, whose results are read from memory: by input channels of kernels of 3x3.
    for (directions, channels, expected) in
        [(1, 1, true), (2, 1, false), (2, 3, false), (2, 8, true), (4, 8, false)]
    {
        for (members, examples) in [(1, 2), (9, 1)] {
            let x = [floats(&[examples, 4, 5, channels])];
            let weights = [3, 3, channels, 4];
            let of: Of<'_> = &|_, w, x| vec![x[0].convolution(w, WINDOW)];
            let points = Points { weights: &weights, directions, others: &x, of };
            let found = distributes(&points, members);
            assert_eq!(found, expected, "{directions} {channels} {members}");
        }
    }
}

#[test]
fn what_members_have_of_their_own_stays() {
    let others = [floats(&[6, 784]), floats(&[784, 5])];
    let stays = |of: Of<'_>| {
        let points = Points { weights: &[784, 5], directions: 1, others: &others, of };
        assert!(!distributes(&points, 3));
    };
    // The other operand is each member's own; the point is a function of more than one number of
    // each; it is not linear in them; the point is a single one.
    stays(&|_, w, x| vec![(x[0] * x[2]).matmul(w)]);
    stays(&|_, w, x| {
        vec![x[0].matmul(w + x[1].take((x[2] * 3.0).convert(DType::I32).broadcast_to(&[784])))]
    });
    stays(&|_, w, x| vec![x[0].matmul(w.tanh())]);
    stays(&|_, w, x| vec![x[0].matmul(x[1] * 2.0 + x[1]) + w.sum_all()]);
    // A graph that is not batched at all.
    let b = Builder::new(DType::F32);
    let input = |name: &str, shape: &[usize]| b.input(name, floats(shape));
    let (x, w, d, c) =
        (input("x", &[6, 784]), input("w", &[784, 5]), input("d", &[784, 5]), input("c", &[]));
    let graph = finish(&b, &[x.matmul(w + d * c)]);
    assert_eq!(distribute_points(&graph), graph);
}

#[test]
fn linear_operations_keep_their_values() {
    for directions in 1..=3 {
        let dense = [floats(&[5, 96])];
        let of = |weights, others, of| Points { weights, directions, others, of };
        let rows = of(&[96, 7], &dense, DENSE);
        assert!(distributes(&rows, 3));
        rows.check("right operand");
        let input = [floats(&[96, 7])];
        let left = of(&[5, 96], &input, &|_, w, x| vec![w.matmul(x[0])]);
        assert!(distributes(&left, 3));
        left.check("left operand");
        // Scaled as a whole, as parameters with a multiplier are, and subtracted.
        let scaled = of(&[96, 7], &dense, &|_, w, x| vec![x[0].matmul(-(w * 0.25))]);
        assert!(distributes(&scaled, 3));
        scaled.check("multiplier");
        let images = [floats(&[2, 6, 6, 24])];
        let convolution = of(&[3, 3, 24, 5], &images, &|_, w, x| vec![x[0].convolution(w, WINDOW)]);
        assert!(distributes(&convolution, 3));
        convolution.check("convolution");
        let grouped = of(&[3, 3, 12, 6], &images, &|_, w, x| {
            let window = ConvolutionWindow { groups: 2, stride: [2, 1], ..WINDOW };
            vec![x[0].convolution(w, window)]
        });
        assert!(distributes(&grouped, 3));
        grouped.check("grouped convolution");
        let moved = of(&[3, 3, 4, 24], &images, &|b, w, x| {
            let op = Op::ConvolutionInputGradient { window: WINDOW, input: [6, 6] };
            vec![b.emit_one(op, &[x[0], w])]
        });
        assert!(distributes(&moved, 3));
        moved.check("input gradient");
        let images = [floats(&[4, 6, 6, 3])];
        let weights = of(&[4, 6, 6, 2], &images, &|b, w, x| {
            let op = Op::ConvolutionWeightGradient { window: WINDOW, kernel: [3, 3] };
            vec![b.emit_one(op, &[x[0], w])]
        });
        assert!(distributes(&weights, 3));
        weights.check("weight gradient");
    }
}

#[test]
fn a_table_keeps_its_bits() {
    let of: Of<'_> = &|_, w, x| vec![w.take(x[0]).exp()];
    let places = [TensorType::new(DType::I32, [4, 3])];
    let large = Points { weights: &[50, 6], directions: 2, others: &places, of };
    assert!(distributes(&large, 3));
    large.check("table");
    // Forming a small table costs less than the terms of many places.
    let small = Points { weights: &[2, 6], directions: 2, others: &places, of };
    assert!(!distributes(&small, 3));
    small.check("small table");
    // Out of the table, too: zeros are read there.
    let graph = large.graph(DType::F32, 3);
    let mut inputs = large.inputs(DType::F32, 3);
    let at: Vec<i32> = vec![0, 49, 50, -1, 7, 7, 13, 48, 1, 2, 100, 3];
    inputs[5] = Array::from_slice(&[4, 3], &at).unwrap();
    let found = compile(1, &graph).run(inputs.clone()).unwrap();
    for member in 0..3 {
        let table = |row: usize, column: usize| {
            let at = |i: usize| inputs[i].as_slice::<f32>().unwrap()[row * 6 + column];
            let c = |j: usize| inputs[j].as_slice::<f32>().unwrap()[member];
            at(2) + at(3) * c(0) + at(4) * c(1)
        };
        let expected: Vec<f32> = at
            .iter()
            .flat_map(|&row| (0..6).map(move |column| (row, column)))
            .map(
                |(row, column)| {
                    if (0..50).contains(&row) { table(row as usize, column) } else { 0.0 }
                },
            )
            .collect();
        let row = found[0].row(member).unwrap();
        let logarithms: Vec<f32> = row.as_slice::<f32>().unwrap().to_vec();
        let exponentials = exponentials(&expected);
        assert_eq!(logarithms, exponentials, "member {member}");
    }
}

/// The executor's own.
fn exponentials(x: &[f32]) -> Vec<f32> {
    let b = Builder::new(DType::F32);
    let input = b.input("x", floats(&[x.len()]));
    let graph = finish(&b, &[input.exp()]);
    let found = Executor::new(1).compile(&graph).unwrap().run(vec![Array::vector(x)]).unwrap();
    found[0].as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn derivatives_go_through() {
    let x = [floats(&[9, 80]), floats(&[6, 4])];
    let loss: Of<'_> = &|_, w, x| {
        let (hidden, c) = (x[0].matmul(w).tanh(), x[2]);
        let loss = hidden.matmul(x[1]).square().mean(&[0, 1]) * c.cos();
        let once = jvp(&[loss], &[c], &[c.zeros_like() + 1.0]);
        let slope = once.tangents[0].unwrap();
        let twice = jvp(&[slope], &[c], &[c.zeros_like() + 1.0]);
        // Of the point, of a coordinate, and of what all share.
        let gradients = gradient(loss, &[w, c, x[0]]);
        let mixed = gradient(gradients[1], &[c, x[0]]);
        [vec![loss, slope, twice.tangents[0].unwrap()], gradients, mixed].concat()
    };
    for directions in [1, 2] {
        let points = Points { weights: &[80, 6], directions, others: &x, of: loss };
        let graph = points.graph(DType::F64, 3);
        let simple = distribute_points(&graph);
        let shared = |graph: &Graph| {
            let first = |op: &Op| matches!(op, Op::Dot(_));
            let alone = |shape: &[usize]| shape == [9, 6];
            graph.nodes().iter().filter(|n| first(&n.op) && alone(&n.types[0].shape)).count()
        };
        assert!(shared(&graph) < 1 + directions && shared(&simple) == 1 + directions, "{simple}");
        points.check("derivatives");
    }
}

#[test]
fn bits_do_not_depend_on_members_or_threads() {
    let dense = [floats(&[33, 300])];
    let images = [floats(&[3, 7, 7, 20])];
    let all = [
        Points { weights: &[300, 17], directions: 2, others: &dense, of: DENSE },
        Points {
            weights: &[3, 3, 20, 6],
            directions: 2,
            others: &images,
            of: &|_, w, x| vec![x[0].convolution(w, WINDOW).tanh()],
        },
    ];
    for points in &all {
        assert!(distributes(points, 1) && distributes(points, 9));
        let run = |threads: usize, from: usize, members: usize| -> Vec<Array> {
            let mut inputs = points.inputs(DType::F32, 9);
            for array in &mut inputs[..points.directions] {
                let some = array.as_slice::<f32>().unwrap()[from..from + members].to_vec();
                *array = Array::vector(&some);
            }
            let graph = points.graph(DType::F32, members);
            let found = compile(threads, &graph).run(inputs).unwrap();
            (0..members).map(|member| found[0].row(member).unwrap()).collect()
        };
        let whole = run(1, 0, 9);
        assert_ne!(whole[0], whole[1]);
        for threads in 1..=3 {
            for size in [1, 2, 4, 9] {
                for from in (0..9).step_by(size) {
                    let size = size.min(9 - from);
                    let part = run(threads, from, size);
                    assert_eq!(part[..], whole[from..from + size], "{threads} {size} {from}");
                }
            }
        }
    }
}

/// The norm of the difference of two results.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn terms_are_rounded_no_worse_than_weights() {
    let x = [floats(&[40, 784])];
    let points = Points {
        weights: &[784, 30],
        directions: 2,
        others: &x,
        of: &|_, w, x| vec![x[0].matmul(w)],
    };
    assert!(distributes(&points, 5));
    // Points formed first, as a loop over points does.
    let formed = Points { of: &|_, w, _| vec![w], ..points };
    let members = 5;
    let inputs = points.inputs(DType::F32, members);
    let run = |graph: &Graph, inputs| compile(1, graph).run(inputs).unwrap().remove(0);
    let found = run(&points.graph(DType::F32, members), inputs.clone());
    let weights = run(&formed.graph(DType::F32, members), inputs.clone());
    let b = Builder::new(DType::F32);
    let one = b.input("x", floats(&[40, 784])).matmul(b.input("w", floats(&[784, 30])));
    let product = finish(&b, &[one]);
    let exact = run(&points.graph(DType::F64, members), points.inputs(DType::F64, members));
    for member in 0..members {
        let direct =
            run(&product, vec![inputs[5].clone(), weights.row(member).unwrap()]).to_f64_vec();
        let truth = exact.row(member).unwrap().to_f64_vec();
        let found = distance(&found.row(member).unwrap().to_f64_vec(), &truth);
        let direct = distance(&direct, &truth);
        assert!(found > 0.0 && found < 3.0 * direct, "{member}: {found:e} and {direct:e}");
    }
}
