//! Batched functions against stacked ones.

use crate::case::Case;
use crate::compare::{assert_all_close, cotangents, extended, oracle};
use crate::derivatives::inner_products_agree;
use crate::draw::Draw;
use crate::tolerance::IDENTITY;
use crate::transforms::{batch, forward, jvp, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::Graph;

/// `vmap(f)` against stacked `f`, for every subset of operands; likewise of the gradient, the
/// gradient of the batched function, and two axes at once.
pub fn batching_agrees_with_stacking(case: &Case) {
    let name = &case.name;
    let graph = case.graph(DType::F64);
    let mut draw = Draw::new(&format!("{name} batched"));
    for axes in all_axes(&case.operands) {
        check_batch(&graph, &case.operands, &axes, &mut draw, &format!("vmap of {name}"));
    }
    check_nested(&graph, &case.operands, &mut draw, name);
    if case.orders == 0 {
        return;
    }
    let pushed = extended(&case.operands, forward(&graph), &mut draw);
    let forward_graph = jvp(&graph);
    for axes in leading_subsets(pushed.len()) {
        let what = format!("vmap of jvp of {name}");
        check_batch(&forward_graph, &pushed, &axes, &mut draw, &what);
    }
    let pulled = [&case.operands[..], &cotangents(&graph, &mut draw)].concat();
    let gradient = vjp(&graph);
    for axes in leading_subsets(pulled.len()) {
        let what = format!("vmap of vjp of {name}");
        check_batch(&gradient, &pulled, &axes, &mut draw, &what);
    }
    check_nested(&gradient, &pulled, &mut draw, &format!("vjp of {name}"));
    for axes in leading_subsets(case.operands.len()) {
        let (batched, inputs) = batched(&graph, &case.operands, &axes, &mut draw);
        let what = format!("vjp of vmap of {name} on {axes:?}");
        inner_products_agree(&batched, &inputs, &mut draw, &what);
    }
    if case.orders > 1 {
        let all = vec![Some(0); pulled.len()];
        let (batched, inputs) = batched(&gradient, &pulled, &all, &mut draw);
        let what = format!("vjp of vmap of vjp of {name}");
        inner_products_agree(&batched, &inputs, &mut draw, &what);
    }
}

/// Members of a batch.
pub const MEMBERS: usize = 3;

/// Every choice of an axis or none for each operand if there are few; else every subset at the
/// first axis, at the last, and at a mixture, and every axis of every operand alone.
fn all_axes(operands: &[Array]) -> Vec<Vec<Option<usize>>> {
    const FEW: usize = 40;
    let choices: Vec<Vec<Option<usize>>> = operands
        .iter()
        .map(|operand| std::iter::once(None).chain((0..=operand.rank()).map(Some)).collect())
        .collect();
    let mut found: Vec<Vec<Option<usize>>> = Vec::new();
    let total: usize = choices.iter().map(Vec::len).product();
    if total <= FEW {
        for number in 0..total {
            let mut rest = number;
            found.push(
                choices
                    .iter()
                    .map(|of| {
                        let choice = of[rest % of.len()];
                        rest /= of.len();
                        choice
                    })
                    .collect(),
            );
        }
    } else {
        for subset in leading_subsets(operands.len()) {
            for shift in 0..3 {
                let place = |i: usize, operand: &Array| match shift {
                    0 => 0,
                    1 => operand.rank(),
                    _ => (i + 1) % (operand.rank() + 1),
                };
                let axes = subset.iter().zip(operands).enumerate();
                found.push(axes.map(|(i, (at, operand))| at.map(|_| place(i, operand))).collect());
            }
        }
        for (i, of) in choices.iter().enumerate() {
            for choice in of {
                let mut axes = vec![None; operands.len()];
                axes[i] = *choice;
                found.push(axes);
            }
        }
    }
    found.retain(|axes| axes.iter().any(Option::is_some));
    found.sort();
    found.dedup();
    found
}

/// Every subset of operands, batched at the leading axis; of more than four, those of one, those
/// of all but one, and all.
pub fn leading_subsets(n: usize) -> Vec<Vec<Option<usize>>> {
    let subset = |bits: u32| (0..n).map(|i| (bits >> i & 1 == 1).then_some(0)).collect();
    let all = (1u32 << n) - 1;
    let wanted = |bits: &u32| {
        n <= 4 || matches!(bits.count_ones() as usize, 1) || bits.count_ones() as usize >= n - 1
    };
    (1..=all).filter(wanted).map(subset).collect()
}

/// The graph over members, and operands stacked at `axes` from variants of the given ones.
fn batched(
    graph: &Graph,
    operands: &[Array],
    axes: &[Option<usize>],
    draw: &mut Draw,
) -> (Graph, Vec<Array>) {
    let (stacked, _) = members(operands, axes, draw);
    (batch(graph, MEMBERS, axes), stacked)
}

/// Operands stacked at `axes`, and those of each member.
pub fn members(
    operands: &[Array],
    axes: &[Option<usize>],
    draw: &mut Draw,
) -> (Vec<Array>, Vec<Vec<Array>>) {
    let mut each = vec![Vec::new(); MEMBERS];
    let mut stacked = Vec::new();
    for (operand, axis) in operands.iter().zip(axes) {
        match axis {
            None => {
                stacked.push(operand.clone());
                each.iter_mut().for_each(|member| member.push(operand.clone()));
            }
            Some(axis) => {
                let variants: Vec<Array> =
                    (0..MEMBERS).map(|number| draw.variant(operand, number)).collect();
                stacked.push(stack_at(&variants, *axis));
                for (member, variant) in each.iter_mut().zip(variants) {
                    member.push(variant);
                }
            }
        }
    }
    (stacked, each)
}

/// `vmap` on `axes` against stacked members.
pub fn check_batch(
    graph: &Graph,
    operands: &[Array],
    axes: &[Option<usize>],
    draw: &mut Draw,
    what: &str,
) {
    let what = format!("{what} on {axes:?}");
    let (stacked, each) = members(operands, axes, draw);
    let batched = batch(graph, MEMBERS, axes);
    let got = oracle(&batched, &stacked, &what);
    let rows: Vec<Vec<Array>> = each.iter().map(|member| oracle(graph, member, &what)).collect();
    let expected: Vec<Array> = (0..graph.n_outputs())
        .map(|i| Array::stack(&rows.iter().map(|row| row[i].clone()).collect::<Vec<_>>()).unwrap())
        .collect();
    assert_all_close(&got, &expected, IDENTITY, &what);
}

/// `vmap(vmap(f))`: both over everything; and the inner over the even operands with the outer
/// over the odd ones.
fn check_nested(graph: &Graph, operands: &[Array], draw: &mut Draw, name: &str) {
    if operands.is_empty() {
        return;
    }
    let all = vec![Some(0); operands.len()];
    let even: Vec<Option<usize>> = (0..operands.len()).map(|i| (i % 2 == 0).then_some(0)).collect();
    let odd: Vec<Option<usize>> = even.iter().map(|at| at.map_or(Some(0), |_| None)).collect();
    for (inner, outer) in [(&all, &all), (&even, &odd), (&even, &all), (&all, &even)] {
        if outer.iter().all(Option::is_none) {
            continue;
        }
        let what = format!("vmap on {outer:?} of vmap of {name} on {inner:?}");
        let (batched, stacked) = batched(graph, operands, inner, draw);
        check_batch(&batched, &stacked, outer, draw, &what);
    }
}

/// Arrays of one type stacked along a new axis at any place.
fn stack_at(arrays: &[Array], axis: usize) -> Array {
    let shape = arrays[0].shape();
    let (before, after) = shape.split_at(axis);
    let n_before: usize = before.iter().product();
    let mut result_shape = shape.to_vec();
    result_shape.insert(axis, arrays.len());
    let mut pieces = Vec::new();
    for i in 0..n_before {
        for array in arrays {
            pieces.push(
                array
                    .reshape(&[n_before, after.iter().product()])
                    .and_then(|flat| flat.row(i))
                    .unwrap(),
            );
        }
    }
    match Array::stack(&pieces) {
        Ok(stacked) => stacked.reshape(&result_shape).unwrap(),
        Err(_) => Array::zeros(arrays[0].dtype(), &result_shape),
    }
}
