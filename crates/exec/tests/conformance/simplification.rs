//! Simplified graphs against the graphs they came from.

use crate::batching::{MEMBERS, members};
use crate::case::Case;
use crate::compare::{assert_all_close, cotangents, extended, oracle};
use crate::draw::Draw;
use crate::tolerance::IDENTITY;
use crate::transforms::{batch, forward, jvp, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::{Graph, Op};
use thalweg_transform::simplify;

/// The case, its derivatives to the second order and its batch keep their values, and a simplified
/// graph can still be differentiated.
pub fn simplified_graphs_keep_their_values(case: &Case) {
    let name = &case.name;
    let mut draw = Draw::new(&format!("{name} simplified"));
    let graph = case.graph(DType::F64);
    check(&graph, &case.operands, name);
    let axes = vec![Some(0); case.operands.len()];
    let (stacked, _) = members(&case.operands, &axes, &mut draw);
    check(&batch(&graph, MEMBERS, &axes), &stacked, &format!("vmap of {name}"));
    if case.orders == 0 {
        return;
    }
    let pushed = extended(&case.operands, forward(&graph), &mut draw);
    check(&jvp(&graph), &pushed, &format!("jvp of {name}"));
    let what = format!("jvp of simplified {name}");
    let moved = oracle(&jvp(&simplify(&graph)), &pushed, &what);
    assert_all_close(&moved, &oracle(&jvp(&graph), &pushed, &what), IDENTITY, &what);
    let pulled = [&case.operands[..], &cotangents(&graph, &mut draw)].concat();
    let gradient = vjp(&graph);
    check(&gradient, &pulled, &format!("vjp of {name}"));
    let pushed = extended(&pulled, forward(&gradient), &mut draw);
    check(&jvp(&gradient), &pushed, &format!("jvp of vjp of {name}"));
}

fn check(graph: &Graph, inputs: &[Array], what: &str) {
    let what = format!("{what}, simplified");
    let simple = simplify(graph);
    simple.verify().unwrap_or_else(|error| panic!("{what}: {error}\n{simple}"));
    assert!(simple.inputs().eq(graph.inputs()), "{what}: other inputs");
    assert!(simple.output_names().eq(graph.output_names()), "{what}: other outputs");
    // A loop of one step is written out.
    let loops = graph.nodes().iter().any(|node| matches!(node.op, Op::Scan(_)));
    assert!(
        loops || simple.nodes().len() <= graph.nodes().len(),
        "{what}: {} operations of {}\n{simple}\nfrom {graph}",
        simple.nodes().len(),
        graph.nodes().len()
    );
    let (got, expected) = (oracle(&simple, inputs, &what), oracle(graph, inputs, &what));
    assert_all_close(&got, &expected, IDENTITY, &format!("{what}\n{simple}\nfrom {graph}\n"));
    assert_eq!(simplify(&simple), simple, "{what}: not simple at once");
}
