//! Loops lose what nobody reads.

use super::trace;
use std::sync::Arc;
use thalweg_graph::{Graph, Op, Scan};
use thalweg_transform::simplify;

fn scans(graph: &Graph) -> Vec<Arc<Scan>> {
    graph
        .nodes()
        .iter()
        .filter_map(|node| match &node.op {
            Op::Scan(scan) => Some(scan.clone()),
            _ => None,
        })
        .collect()
}

/// Two carries of which the second reads the first, a third on its own, and rows of each.
fn graph(keep: &'static [usize]) -> Graph {
    trace(&[&[2], &[2], &[2], &[5, 2], &[2]], &|b, x| {
        let (carry, ys) = b.scan(5, &x[..3], &[x[3]], &[x[4]], 0, |step| {
            let [first, second, third] = [step.carry[0], step.carry[1], step.carry[2]];
            let next = [first + step.xs[0], second * first, third.sin() * step.constants[0]];
            (next.to_vec(), vec![first, second, third])
        });
        let all = [carry, ys].concat();
        keep.iter().map(|&i| all[i]).collect()
    })
}

/// Carries, sequences, all inputs and all outputs of the body that is left.
fn sizes(graph: &Graph) -> [usize; 4] {
    let scan = &scans(graph)[0];
    [scan.n_carry, scan.n_xs, scan.body.n_inputs(), scan.body.n_outputs()]
}

#[test]
fn dead_parts() {
    assert_eq!(sizes(&simplify(&graph(&[0, 1, 2, 3, 4, 5]))), [3, 1, 5, 6]);
    assert_eq!(sizes(&simplify(&graph(&[0]))), [1, 1, 2, 1]);
    assert_eq!(sizes(&simplify(&graph(&[1]))), [2, 1, 3, 2]);
    assert_eq!(sizes(&simplify(&graph(&[5]))), [1, 0, 2, 2]);
    assert_eq!(sizes(&simplify(&graph(&[2, 5]))), [1, 0, 2, 2]);
}

#[test]
fn a_carry_that_never_changes_is_no_carry() {
    let graph = trace(&[&[], &[]], &|b, x| {
        let (carry, _) = b.scan(3, &[x[0], x[1]], &[], &[], 0, |step| {
            (vec![step.carry[0] * step.carry[1], step.carry[1]], vec![])
        });
        carry
    });
    let simple = simplify(&graph);
    assert_eq!(sizes(&simple), [1, 0, 2, 1]);
    assert!(
        simple.output_values().nth(1)
            == simple.input_nodes().nth(1).map(thalweg_graph::Value::first)
    );
}

#[test]
fn bodies_are_simplified_once_each() {
    let graph = trace(&[&[]], &|b, x| {
        let mut carry = x[0];
        for _ in 0..3 {
            let (next, _) = b.scan(4, &[carry], &[], &[], 0, |step| {
                (vec![(step.carry[0] * 1.0).sin() + (-step.carry[0])], vec![])
            });
            carry = next[0];
        }
        vec![carry]
    });
    let simple = simplify(&graph);
    let scans = scans(&simple);
    assert_eq!(scans.len(), 3);
    let names: Vec<_> = scans[0].body.nodes().iter().map(|node| node.op.name()).collect();
    assert_eq!(names, ["input", "sin", "subtract"]);
    assert!(scans.iter().all(|scan| scan.body == scans[0].body));
}
