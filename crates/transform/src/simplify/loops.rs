//! Loops without what nobody reads.

use super::{Rewriter, simpler};
use crate::inner::trace;
use crate::scan::{Place, flagged, input_types};
use std::ops::Range;
use std::sync::Arc;
use thalweg_graph::{Builder, Graph, Op, Scan, Tensor, TensorType, Value};

/// Where an input of the body goes.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// It stays what it is.
    Kept,
    /// A carry that no step changes.
    Invariant,
    /// The same operand as another input of its kind, which is read instead.
    Twin(usize),
    /// Nothing that is read depends on it.
    Dead,
}

pub(super) fn scan<'b>(
    builder: &'b Builder,
    place: Place,
    scan: &Arc<Scan>,
    operands: &[Tensor<'b>],
    used: &[bool],
) -> Vec<Tensor<'b>> {
    let body = simpler(&scan.body);
    let plain = |body: Arc<Graph>| {
        let scan = Scan { body, ..(**scan).clone() };
        builder.emit_at(Op::Scan(Arc::new(scan)), operands, place)
    };
    if scan.length <= 1 {
        return few_steps(builder, place, scan, &body, operands);
    }
    let (n_carry, n_xs) = (scan.n_carry, scan.n_xs);
    let outputs: Vec<Value> = body.output_values().collect();
    let inputs: Vec<Value> = body.input_nodes().map(Value::first).collect();
    let live = live_outputs(&body, n_carry, used);
    let needed = needed_inputs(&body, &live);
    let roles: Vec<Role> = (0..inputs.len())
        .map(|i| {
            let kind = kind(i, n_carry, n_xs, inputs.len());
            let same = |&j: &usize| needed[j] && operands[j].value() == operands[i].value();
            let twin = (kind.start..i).find(same);
            match twin {
                _ if i < n_carry && outputs[i] == inputs[i] => Role::Invariant,
                _ if i < n_carry && live[i] => Role::Kept,
                _ if !needed[i] => Role::Dead,
                Some(twin) if i >= n_carry => Role::Twin(twin),
                _ => Role::Kept,
            }
        })
        .collect();
    if live.iter().all(|&live| live) && roles.iter().all(|&role| role == Role::Kept) {
        return plain(body);
    }
    let kept_carry: Vec<bool> = roles[..n_carry].iter().map(|&role| role == Role::Kept).collect();
    let Some(pruned) = prune(builder, &body, n_carry, n_xs, &roles, &live) else {
        return plain(body);
    };
    let of = |range: Range<usize>, wanted: Role| -> Vec<Tensor<'b>> {
        range.filter(|&i| roles[i] == wanted).map(|i| operands[i]).collect()
    };
    let carry = of(0..n_carry, Role::Kept);
    let xs = of(n_carry..n_carry + n_xs, Role::Kept);
    let constants =
        [of(0..n_carry, Role::Invariant), of(n_carry + n_xs..inputs.len(), Role::Kept)].concat();
    let shorter = Scan {
        body: simpler(&Arc::new(pruned)),
        n_carry: carry.len(),
        n_xs: xs.len(),
        ..(**scan).clone()
    };
    let results = if carry.is_empty() && !live[n_carry..].contains(&true) {
        Vec::new()
    } else {
        let all = [carry, xs, constants].concat();
        builder.emit_at(Op::Scan(Arc::new(shorter)), &all, place)
    };
    let mut results = results.into_iter();
    let mut finals: Vec<Tensor<'b>> = Vec::with_capacity(outputs.len());
    for i in 0..n_carry {
        let own = if kept_carry[i] { results.next() } else { None };
        finals.push(own.unwrap_or(operands[i]));
    }
    for (i, ty) in body.output_types().enumerate().skip(n_carry) {
        let own = if live[i] { results.next() } else { None };
        // Nobody reads the other rows; zeros stand for them and are dropped.
        let rows = || TensorType::new(ty.dtype, [&[scan.length], &ty.shape[..]].concat());
        finals.push(own.unwrap_or_else(|| builder.zeros(&rows())));
    }
    finals
}

/// The inputs of the same kind as input `i`.
fn kind(i: usize, n_carry: usize, n_xs: usize, n: usize) -> Range<usize> {
    let ends = [0, n_carry, n_carry + n_xs, n];
    let which = ends[1..3].iter().filter(|&&end| i >= end).count();
    ends[which]..ends[which + 1]
}

/// The outputs of a body that reach, in some step, something that is read.
fn live_outputs(body: &Graph, n_carry: usize, used: &[bool]) -> Vec<bool> {
    let mut live = used.to_vec();
    loop {
        let needed = needed_inputs(body, &live);
        let mut grown = false;
        for (live, needed) in live[..n_carry].iter_mut().zip(needed) {
            grown |= needed && !*live;
            *live |= needed;
        }
        if !grown {
            return live;
        }
    }
}

/// The inputs that the flagged outputs need.
fn needed_inputs(body: &Graph, outputs: &[bool]) -> Vec<bool> {
    let nodes = body.nodes();
    let mut needed = vec![false; nodes.len()];
    for (value, _) in body.output_values().zip(outputs).filter(|(_, live)| **live) {
        needed[value.node as usize] = true;
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        if needed[index] {
            for input in &node.inputs {
                needed[input.node as usize] = true;
            }
        }
    }
    body.input_nodes().map(|node| needed[node as usize]).collect()
}

/// The body with inputs in their new roles: kept carries, sequences, then constants with the
/// carries that have become such in front.
fn prune(
    builder: &Builder,
    body: &Graph,
    n_carry: usize,
    n_xs: usize,
    roles: &[Role],
    live: &[bool],
) -> Option<Graph> {
    let types = input_types(body);
    let has = |role: Role| roles.iter().map(|&own| own == role).collect::<Vec<bool>>();
    let (kept, invariant) = (has(Role::Kept), has(Role::Invariant));
    let group = |range: Range<usize>, flags: &[bool]| flagged(&types[range.clone()], &flags[range]);
    let last = n_carry + n_xs..types.len();
    let constants = [group(0..n_carry, &invariant), group(last, &kept)].concat();
    let groups = [
        ("carry", group(0..n_carry, &kept)),
        ("x", group(n_carry..n_carry + n_xs, &kept)),
        ("constant", constants),
    ];
    trace(builder, &groups, |inner, inputs| {
        let [carry, xs, constants] = inputs else { return Vec::new() };
        let n_invariant = invariant.iter().filter(|&&invariant| invariant).count();
        let (invariants, constants) = constants.split_at(n_invariant);
        let mut kept = [&carry[..], xs, constants].concat().into_iter();
        let mut invariants = invariants.iter().copied();
        let mut arguments: Vec<Tensor<'_>> = Vec::with_capacity(roles.len());
        for (&role, ty) in roles.iter().zip(&types) {
            let argument = match role {
                Role::Kept => kept.next(),
                Role::Invariant => invariants.next(),
                Role::Twin(other) => arguments.get(other).copied(),
                Role::Dead => None,
            };
            arguments.push(argument.unwrap_or_else(|| inner.placeholder(ty.clone())));
        }
        let outputs = inner.inline(body, &arguments);
        let wanted: Vec<bool> = (0..outputs.len())
            .map(|i| if i < n_carry { roles[i] == Role::Kept } else { live[i] })
            .collect();
        flagged(&outputs, &wanted)
    })
}

/// No step, or a single one without a loop.
fn few_steps<'b>(
    builder: &'b Builder,
    place: Place,
    scan: &Scan,
    body: &Graph,
    operands: &[Tensor<'b>],
) -> Vec<Tensor<'b>> {
    let rewriter = Rewriter { builder, place, points: false };
    let (n_carry, n_xs) = (scan.n_carry, scan.n_xs);
    if scan.length == 0 {
        let mut results = operands[..n_carry].to_vec();
        results.extend(
            body.output_types().skip(n_carry).map(|ty| {
                builder.zeros(&TensorType::new(ty.dtype, [&[0], &ty.shape[..]].concat()))
            }),
        );
        return results;
    }
    let mut arguments = operands.to_vec();
    for x in &mut arguments[n_carry..n_carry + n_xs] {
        let shape = x.shape()[1..].to_vec();
        *x = rewriter.emit(Op::Reshape { shape }, &[*x]);
    }
    let mut results = builder.inline(body, &arguments);
    for y in &mut results[n_carry..] {
        let shape = [&[1], &y.shape()[..]].concat();
        *y = rewriter.emit(Op::Reshape { shape }, &[*y]);
    }
    results
}
