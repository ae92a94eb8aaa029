//! What is told of a program's steps, and what the steps are.

use thalweg_exec::Executor;
use thalweg_graph::{Array, Builder, DType, Graph, TensorType};
use thalweg_transform::gradient;

/// What each step of a run was, and the results.
fn watched(graph: &Graph, inputs: &[Array]) -> (Vec<String>, Vec<Array>) {
    let program = Executor::new(2).compile(graph).unwrap();
    let mut steps = Vec::new();
    let results = program.run_watched(inputs.to_vec(), &mut |step| steps.push(step.to_string()));
    assert_eq!(results, program.run(inputs.to_vec()), "being watched changes nothing");
    (steps, results.unwrap())
}

#[test]
fn steps_inside_of_loops_are_told_each_time() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [3, 3]));
    let (last, _) = b.scan(5, &[x], &[], &[], 0, |s| (vec![s.carry[0].matmul(s.carry[0])], vec![]));
    let graph = b.finish(&[("y", last[0])]).unwrap();
    let half =
        Array::from_slice(&[3, 3], &[0.5f64, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5]).unwrap();
    let (steps, results) = watched(&graph, &[half]);
    assert_eq!(steps.iter().filter(|step| *step == "product 3x3x3").count(), 5, "{steps:?}");
    assert_eq!(steps.last().map(String::as_str), Some("scan of 5 steps"));
    assert_eq!(results[0].to_f64_vec()[0], 0.5f64.powi(32));
}

/// The value under a rectifier is needed where it is made, its sign and what it lets through later:
/// only these two are stored.
#[test]
fn what_only_its_own_loop_reads_is_not_stored() {
    let b = Builder::new(DType::F32);
    let x = b.input("x", TensorType::new(DType::F32, [64, 16]));
    let w = b.input("w", TensorType::new(DType::F32, [16, 16]));
    let scale = b.input("scale", TensorType::new(DType::F32, [16]));
    let wide = scale.broadcast_in(&[64, 16], &[1]);
    let below = ((x * wide + wide) * wide - wide) * wide;
    let rectified = below.greater(below.zeros_like()).select(below, below.zeros_like());
    let y = rectified.matmul(w);
    let loss = (y * y).sum_all();
    let graph = b.finish(&[("dx", gradient(loss, &[x])[0])]).unwrap();
    let array = |shape: &[usize], at: f32| {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| (i as f32 * at).sin()).collect();
        Array::from_slice(shape, &values).unwrap()
    };
    let inputs = [array(&[64, 16], 0.3), array(&[16, 16], 0.7), array(&[16], 1.1)];
    let (steps, _) = watched(&graph, &inputs);
    let first = steps.iter().find(|step| step.starts_with("loop")).expect("a loop comes first");
    assert!(first.contains(" 2 stores"), "{steps:?}");
}
