//! Values computed again where memory is short: the same bits, within the budget.

use thalweg_exec::{Executor, Program};
use thalweg_graph::{Array, Builder, ConvolutionWindow, DType, Graph, Tensor, TensorType};
use thalweg_transform::gradient;

fn numbers(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    Array::from_slice(shape, &(0..n).map(value).collect::<Vec<_>>()).unwrap()
}

fn inputs(graph: &Graph) -> Vec<Array> {
    graph.inputs().enumerate().map(|(seed, port)| numbers(&port.ty.shape, seed)).collect()
}

fn input<'b>(b: &'b Builder, name: &str, shape: &[usize]) -> Tensor<'b> {
    b.input(name, TensorType::new(DType::F32, shape))
}

fn finish(b: &Builder, outputs: &[Tensor<'_>]) -> Graph {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    b.finish(&named).unwrap()
}

/// The gradient of a deep dense network.
fn dense() -> Graph {
    let b = Builder::new(DType::F32);
    let x = input(&b, "x", &[200, 24]);
    let weights: Vec<_> = (0..16).map(|i| input(&b, &format!("w{i}"), &[24, 24])).collect();
    let y = weights.iter().fold(x, |y, &w| y.matmul(w).tanh());
    let loss = (y * y).mean(&[0, 1]);
    finish(&b, &[&gradient(loss, &weights)[..], &[loss]].concat())
}

/// Normalised over all but the channels, and rectified.
fn layer(x: Tensor<'_>) -> Tensor<'_> {
    let shape = x.shape();
    let centred = x - x.mean(&[0, 1, 2]).broadcast_in(&shape, &[3]);
    let variance = (centred * centred).mean(&[0, 1, 2]);
    (centred * (variance + 1e-3).rsqrt().broadcast_in(&shape, &[3])).maximum(0.0)
}

/// The gradient of a convolutional network with normalisation, rectifiers and skips.
fn residual() -> Graph {
    let b = Builder::new(DType::F32);
    let x = input(&b, "x", &[4, 12, 12, 10]);
    let kernel = [3, 3, 10, 10];
    let weights: Vec<_> = (0..8).map(|i| input(&b, &format!("w{i}"), &kernel)).collect();
    let window = ConvolutionWindow { padding: [(1, 1), (1, 1)], ..ConvolutionWindow::PLAIN };
    let y = weights.iter().fold(x, |y, &w| y + layer(y.convolution(w, window)));
    let loss = (y * y).mean(&[0, 1, 2, 3]);
    finish(&b, &[&gradient(loss, &weights)[..], &[loss]].concat())
}

/// Training steps in a loop, each of which goes through a deep network.
fn trained() -> Graph {
    let b = Builder::new(DType::F32);
    let x = input(&b, "x", &[200, 16]);
    let weights: Vec<_> = (0..12).map(|i| input(&b, &format!("w{i}"), &[16, 16])).collect();
    let (last, _) = b.scan(3, &weights, &[], &[x], 0, |step| {
        let y = step.carry.iter().fold(step.constants[0], |y, &w| y.matmul(w).tanh());
        let gradients = gradient((y * y).mean(&[0, 1]), step.carry);
        let moved = step.carry.iter().zip(gradients).map(|(w, g)| *w - g * 0.1);
        (moved.collect(), Vec::new())
    });
    finish(&b, &last)
}

fn run(program: &Program, graph: &Graph) -> Vec<Array> {
    program.run(inputs(graph)).unwrap()
}

#[test]
fn a_program_fits_its_budget_with_the_same_bits() {
    // How small each can be made, of what it needs otherwise.
    let graphs = [
        ("dense", dense(), [90, 70, 55]),
        ("residual", residual(), [90, 75, 65]),
        ("loop", trained(), [90, 80, 70]),
    ];
    for (name, graph, shares) in graphs {
        let executor = Executor::new(2);
        let whole = executor.compile(&graph).unwrap();
        let expected = run(&whole, &graph);
        let mut before = 0;
        for share in shares {
            let budget = whole.memory().peak() / 100 * share;
            let less = executor.compile_within(&graph, budget).unwrap();
            let (peak, flops) = (less.memory().peak(), less.recomputed_flops());
            assert!(peak <= budget, "{name}: {peak} bytes, for {budget}, {share} %");
            assert!(flops > before, "{name}, {share} %: {flops} operations again, {before} before");
            before = flops;
            assert_eq!(run(&less, &graph), expected, "{name}, {share} %");
            // Kept as others are, and made alike by whoever makes it.
            let again = executor.compile_within(&graph, budget).unwrap();
            assert!(std::sync::Arc::ptr_eq(&less, &again));
            for threads in [1, 3] {
                let other = Executor::new(threads).compile_within(&graph, budget).unwrap();
                assert_eq!(run(&other, &graph), expected, "{name}, {share} %, {threads} threads");
            }
        }
    }
}

#[test]
fn enough_memory_computes_nothing_again() {
    let graph = dense();
    let executor = Executor::new(1);
    let whole = executor.compile(&graph).unwrap();
    assert_eq!(whole.recomputed_flops(), 0);
    let same = executor.compile_within(&graph, whole.memory().peak()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&whole, &same));
    run(&whole, &graph);
    assert_eq!(executor.recomputed_flops(), 0);
}

#[test]
fn runs_add_up_what_they_compute_again() {
    let graph = dense();
    let executor = Executor::new(1);
    let budget = executor.compile(&graph).unwrap().memory().peak() / 2;
    let less = executor.compile_within(&graph, budget).unwrap();
    assert_eq!(executor.recomputed_flops(), 0);
    (0..3).for_each(|_| drop(run(&less, &graph)));
    assert!(less.recomputed_flops() > 0);
    assert_eq!(executor.recomputed_flops(), 3 * less.recomputed_flops());
}

#[test]
fn what_cannot_fit_says_what_it_needs() {
    let graph = residual();
    let executor = Executor::new(1);
    let whole = executor.compile(&graph).unwrap();
    let least = executor.compile_within(&graph, 0).unwrap();
    assert!(least.memory().peak() > 0 && least.memory().peak() < whole.memory().peak());
    assert_eq!(run(&least, &graph), run(&whole, &graph));
}

/// Chains of what was dropped are computed in order, each part once.
#[test]
fn what_is_computed_again_may_rest_on_what_is_too() {
    let graph = dense();
    let executor = Executor::new(1);
    let whole = executor.compile(&graph).unwrap();
    let layer = 2 * 200 * 24 * 24;
    let (mut steps, mut flops) = (whole.n_steps(), 0);
    for share in [80, 65, 50] {
        let less = executor.compile_within(&graph, whole.memory().peak() / 100 * share).unwrap();
        assert!(less.n_steps() >= steps && less.recomputed_flops() >= flops, "{share} %");
        (steps, flops) = (less.n_steps(), less.recomputed_flops());
        // Sixteen layers, each once more and its element-wise part, and hardly more than that.
        assert!(flops < 3 * 16 * layer, "{share} %: {flops}");
    }
}
