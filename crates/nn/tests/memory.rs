//! Gradients of whole networks in less memory than they would take: the same bits.

mod common;

use common::{CLASSES, graph};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_graph::Graph;
use thalweg_nn::{Architecture, Model, PortType};

fn numbers(start: usize, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let at = |i: usize| (((start + i) * 7919 % 2003) as f32 / 1001.5 - 1.0) * 0.3;
    Array::from_slice(shape, &(0..n).map(at).collect::<Vec<_>>()).unwrap()
}

fn indices(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let at = |i: usize| ((i * i + i / 2) % CLASSES) as i32;
    Array::from_slice(shape, &(0..n).map(at).collect::<Vec<_>>()).unwrap()
}

fn arrays(model: &Model, graph: &Graph) -> Vec<Array> {
    let buffers = model.initial_buffers(DType::F32).into_arrays();
    let n = model.parameters().len();
    graph
        .inputs()
        .enumerate()
        .map(|(i, port)| match port.ty.dtype {
            DType::I32 => indices(&port.ty.shape),
            _ if (n..n + buffers.len()).contains(&i) => buffers[i - n].clone(),
            _ => numbers(97 * i, &port.ty.shape),
        })
        .collect()
}

#[test]
fn gradients_fit_a_budget_with_the_same_bits() {
    // Of the working memory that each takes, the least share that is asked of it.
    for (text, input, least) in [
        ("mlp hidden=64-64-64-64-64-64", &[32][..], 70),
        ("resnet depth=8 width=8", &[16, 16, 3], 60),
        ("gpt depth=2 heads=2 width=16", &[24], 70),
    ] {
        let model = text.parse::<Architecture>().unwrap().build(input, CLASSES).unwrap();
        assert!(matches!(model.inputs()[0].ty, PortType::Float | PortType::Index));
        let (graph, executor) = (graph(&model), Executor::new(2));
        let arrays = arrays(&model, &graph);
        let whole = executor.compile(&graph).unwrap();
        let expected = whole.run(arrays.clone()).unwrap();
        assert!(expected[0].item().is_some_and(f64::is_finite), "{text}");
        for share in [90, least] {
            let working = whole.memory().working;
            let budget = whole.memory().peak() - working + working / 100 * share;
            let less = executor.compile_within(&graph, budget).unwrap();
            let peak = less.memory().peak();
            assert!(peak <= budget && less.recomputed_flops() > 0, "{text}: {peak} of {budget}");
            assert!(less.run(arrays.clone()).unwrap() == expected, "{text}, {share} %");
        }
    }
}
