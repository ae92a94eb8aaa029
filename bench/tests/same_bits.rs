//! The spike's programs give the same bits whatever the threads and the population, and agree
//! with the oracle.

use thalweg_array::{Array, DType};
use thalweg_bench::{
    hvp_graph, inputs, metagradient_graph, population, population_inputs, training_graph,
};
use thalweg_exec::{Executor, reference};
use thalweg_graph::Graph;
use thalweg_nn::{Architecture, Model};

const IMAGE: [usize; 3] = [8, 8, 3];
const BATCH: usize = 24;

fn model() -> Model {
    let architecture: Architecture = "resnet depth=8 width=4".parse().expect("known options");
    architecture.build(&IMAGE, 10).expect("a model of this shape")
}

fn programs(model: &Model, float: DType) -> Vec<(&'static str, Graph)> {
    vec![
        ("training step", training_graph(model, float, &IMAGE, BATCH).expect("a sound graph")),
        ("hvp", hvp_graph(model, float, &IMAGE, BATCH).expect("a sound graph")),
        (
            "metagradient",
            metagradient_graph(model, float, &IMAGE, BATCH, 5, 2).expect("a sound graph"),
        ),
    ]
}

fn run(threads: usize, graph: &Graph, arrays: &[Array]) -> Vec<Array> {
    let program = Executor::new(threads).compile(graph).expect("a graph that plans");
    program.run(arrays.to_vec()).expect("arrays of the right types")
}

#[test]
fn threads_do_not_change_bits() {
    let model = model();
    for (name, graph) in programs(&model, DType::F32) {
        let arrays = inputs(&graph, &model, 3);
        let alone = run(1, &graph, &arrays);
        for threads in 2..=4 {
            assert!(run(threads, &graph, &arrays) == alone, "{name} on {threads} threads");
        }
    }
}

#[test]
fn a_member_has_the_bits_that_it_has_alone() {
    let model = model();
    for (name, graph) in programs(&model, DType::F32) {
        for size in [2, 5] {
            let together = population(&graph, &[], size).expect("a sound population");
            let arrays = population_inputs(&graph, &model, &[], size, 3);
            let results = run(2, &together, &arrays);
            for member in 0..size {
                let alone = run(2, &graph, &inputs(&graph, &model, 3 + member as u64));
                for (i, (own, all)) in alone.iter().zip(&results).enumerate() {
                    let found = all.row(member).expect("a row for each member");
                    assert!(found == *own, "{name}, member {member} of {size}, output {i}");
                }
            }
        }
    }
}

#[test]
fn a_given_away_input_does_not_change_bits() {
    let model = model();
    let (_, graph) = programs(&model, DType::F32).swap_remove(0);
    let program = Executor::new(2).compile(&graph).expect("a graph that plans");
    let kept = inputs(&graph, &model, 3);
    let borrowed = program.run(kept.clone()).expect("a run");
    let own: Vec<Array> = inputs(&graph, &model, 3);
    let addresses: Vec<_> = own.iter().map(Array::as_ptr).collect();
    let given = program.run(own).expect("a run");
    assert!(given == borrowed);
    let reused = given.iter().filter(|array| addresses.contains(&array.as_ptr())).count();
    assert!(reused > 10, "only {reused} outputs took over an input's place");
}

#[test]
fn the_executor_agrees_with_the_oracle() {
    let model = model();
    for (name, graph) in programs(&model, DType::F64) {
        let arrays = inputs(&graph, &model, 3);
        let expected = reference::evaluate(&graph, &arrays).expect("the oracle evaluates");
        for (i, (got, expected)) in run(2, &graph, &arrays).iter().zip(expected).enumerate() {
            let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
            let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
            let difference: Vec<f64> = got.iter().zip(&expected).map(|(a, b)| a - b).collect();
            let relative = norm(&difference) / norm(&expected).max(1e-300);
            assert!(
                relative < 1e-10 || norm(&difference) < 1e-13,
                "{name}, output {i}: off by {relative:e}"
            );
        }
    }
}
