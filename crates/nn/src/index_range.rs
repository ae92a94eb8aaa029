//! Which whole numbers a model looks up.

use std::ops::Range;
use thalweg_graph::{Binary, Comparison, Graph, Node, Op, Value};

/// For each input, the numbers that are found in every table in which the graph looks its elements
/// up; none where it looks up nothing, or what it computes, or a part of the elements.
///
/// A graph may count from the end: `select(x < 0, x + n, x)`.
pub(crate) fn index_ranges(graph: &Graph) -> Vec<Option<Range<i64>>> {
    let mut ranges: Vec<Option<Range<i64>>> = vec![None; graph.n_inputs()];
    for node in graph.nodes() {
        let (Op::Gather(axes), [table, index]) = (&node.op, &node.inputs[..]) else { continue };
        let extent = i64::try_from(graph.type_of(*table).shape[axes.batch]).unwrap_or(i64::MAX);
        let (input, start) = match (elements(graph, *index), from_the_end(graph, *index)) {
            (Some(input), _) => (input, 0),
            (_, Some((input, offset))) if offset == extent as f64 => (input, -extent),
            _ => continue,
        };
        let known = ranges[input].take().unwrap_or(i64::MIN..i64::MAX);
        ranges[input] = Some(known.start.max(start)..known.end.min(extent));
    }
    ranges
}

fn node(graph: &Graph, value: Value) -> &Node {
    &graph.nodes()[value.node as usize]
}

/// What is left of a value when all that moves or converts its elements is taken away.
fn bare(graph: &Graph, mut value: Value) -> Value {
    while let (
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Broadcast { .. }
        | Op::Reverse { .. }
        | Op::Convert(_)
        | Op::StopGradient,
        &[operand],
    ) = (&node(graph, value).op, &node(graph, value).inputs[..])
    {
        value = operand;
    }
    value
}

/// The input whose elements these are.
fn elements(graph: &Graph, value: Value) -> Option<usize> {
    match node(graph, bare(graph, value)).op {
        Op::Input { index } => Some(index as usize),
        _ => None,
    }
}

fn constant(graph: &Graph, value: Value) -> Option<f64> {
    match &node(graph, bare(graph, value)).op {
        Op::Constant(array) if array.len() == 1 => array.to_f64_vec().first().copied(),
        _ => None,
    }
}

/// The input of which these are the elements where they are not negative, and else the elements
/// plus a number.
fn from_the_end(graph: &Graph, value: Value) -> Option<(usize, f64)> {
    let select = node(graph, bare(graph, value));
    let (Op::Select, &[condition, moved, kept]) = (&select.op, &select.inputs[..]) else {
        return None;
    };
    let input = elements(graph, kept)?;
    let less = node(graph, bare(graph, condition));
    let (Op::Compare(Comparison::Less), &[left, right]) = (&less.op, &less.inputs[..]) else {
        return None;
    };
    let add = node(graph, bare(graph, moved));
    let (Op::Binary(Binary::Add), &[index, offset]) = (&add.op, &add.inputs[..]) else {
        return None;
    };
    let same = elements(graph, left) == Some(input) && elements(graph, index) == Some(input);
    let is_wrapped = same && constant(graph, right) == Some(0.0);
    is_wrapped.then(|| constant(graph, offset)).flatten().map(|offset| (input, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::DType;
    use thalweg_graph::{Builder, Tensor, TensorType};

    fn found(lookup: impl for<'b> Fn(Tensor<'b>, Tensor<'b>) -> Tensor<'b>) -> Option<Range<i64>> {
        let builder = Builder::new(DType::F32);
        let x = builder.input("x", TensorType::new(DType::I32, [2, 4]));
        let table = builder.input("table", TensorType::new(DType::F32, [10, 3]));
        let graph = builder.finish(&[("y", lookup(x, table))]).unwrap();
        let ranges = index_ranges(&graph);
        assert_eq!(ranges[1], None);
        ranges[0].clone()
    }

    #[test]
    fn numbers_that_a_table_has() {
        assert_eq!(found(|x, table| table.take(x)), Some(0..10));
        let moved = found(|x, t| {
            t.take(x.transpose(&[1, 0]).reshape(&[8]).convert(DType::F32).convert(DType::I32))
        });
        assert_eq!(moved, Some(0..10));
        assert_eq!(found(|x, t| t.take(x.less(0.0).select(x + 10.0, x))), Some(-10..10));
        // The smaller of two tables.
        let two = found(|x, t| t.take(x).sum_all() + t.slice(0, 0, 7).take(x).sum_all());
        assert_eq!(two, Some(0..7));
    }

    #[test]
    fn what_is_computed_or_a_part_has_no_range() {
        assert_eq!(found(|x, t| t.take(x + 1.0)), None);
        assert_eq!(found(|x, t| t.take(x.slice(1, 0, 2))), None);
        assert_eq!(found(|x, t| t.take(x.less(0.0).select(x + 9.0, x))), None);
        assert_eq!(found(|x, t| t.take(x.less(1.0).select(x + 10.0, x))), None);
        assert_eq!(found(|x, t| t.sum_all() + x.convert(DType::F32).sum_all()), None);
    }
}
