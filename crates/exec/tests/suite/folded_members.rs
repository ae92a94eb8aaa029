//! A population of populations: members that batching folds into channels keep their bits,
//! however many there are.

use thalweg_exec::Executor;
use thalweg_graph::{Array, Builder, ConvolutionWindow, DType, Op, Tensor, TensorType};
use thalweg_transform::{Replacement, gradient, vmap};

const OUTER: usize = 2;
/// Few output channels: the way to convolve changes if members count among them.
const CHANNELS: [usize; 2] = [20, 5];

fn numbers(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    Array::from_slice(shape, &(0..n).map(value).collect::<Vec<_>>()).unwrap()
}

/// Output and gradients of the first inner member of `inner`: of each outer member's images and
/// each inner member's weights.
fn first_of(inner: usize) -> Vec<Vec<u32>> {
    let [cin, cout] = CHANNELS;
    let b = Builder::new(DType::F32);
    let image = [3, 6, 6, cin];
    let kernel = [3, 3, cin, cout];
    let x = b.input("x", TensorType::new(DType::F32, [&[OUTER][..], &image].concat()));
    let w = b.input("w", TensorType::new(DType::F32, [&[inner, OUTER][..], &kernel].concat()));
    let (x1, w2) = (
        b.placeholder(TensorType::new(DType::F32, image)),
        b.placeholder(TensorType::new(DType::F32, kernel)),
    );
    let window = ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };
    let y = x1.convolution(w2, window);
    let loss = (y * y * y).sum(&[0, 1, 2, 3]);
    let results = [&[y][..], &gradient(loss, &[x1, w2])].concat();
    // Over the outer members, then over the inner ones, which have weights only.
    let w1 = b.placeholder(TensorType::new(DType::F32, [&[OUTER][..], &kernel].concat()));
    let outer: Vec<Tensor<'_>> = vmap(
        &results,
        &[
            Replacement { member: x1, batched: x, axis: 0 },
            Replacement { member: w2, batched: w1, axis: 0 },
        ],
        OUTER,
    );
    let nested = vmap(&outer, &[Replacement { member: w1, batched: w, axis: 0 }], inner);
    let names = ["y", "dx", "dw"];
    let graph = b.finish(&names.into_iter().zip(nested).collect::<Vec<_>>()).unwrap();
    let folds = graph.nodes().iter().any(|node| match &node.op {
        Op::Convolution(window) => window.folded != [1, 1],
        _ => false,
    });
    assert_eq!(folds, inner > 1, "members are folded into channels");
    let program = Executor::new(2).compile(&graph).unwrap();
    let weights = numbers(&[&[5, OUTER][..], &kernel].concat(), 2);
    let rows: Vec<Array> = (0..inner).map(|row| weights.row(row).unwrap()).collect();
    let inputs = vec![numbers(&[&[OUTER][..], &image].concat(), 1), Array::stack(&rows).unwrap()];
    let results = program.run(inputs).unwrap();
    results
        .iter()
        .map(|array| {
            let first = array.row(0).unwrap();
            first.to_f64_vec().iter().map(|&value| (value as f32).to_bits()).collect()
        })
        .collect()
}

#[test]
fn inner_members_keep_their_bits() {
    let alone = first_of(1);
    for inner in [2, 5] {
        let found = first_of(inner);
        for (name, (found, alone)) in ["y", "dx", "dw"].iter().zip(found.iter().zip(&alone)) {
            assert!(found == alone, "{name} of {inner} members");
        }
    }
}
