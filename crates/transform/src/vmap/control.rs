//! Batching of loops and solves: their bodies batched, for the values that members differ in.

use crate::inner::trace;
use crate::reach::{Reach, settle};
use crate::vmap::{Rule, Slot, slots};
use std::sync::Arc;
use thalweg_graph::{
    Builder, FixedPoint, Graph, LinearSolve, Op, Reduction, Scan, Tensor, TensorType, While,
};

/// Inputs of a body, named by kind.
type Kinds<'a> = &'a [(&'a str, usize)];

/// Traces a body anew with the flagged inputs batched; `finish` makes its outputs of the body's.
fn body(
    rule: &Rule<'_, '_>,
    graph: &Graph,
    kinds: Kinds<'_>,
    flags: &[bool],
    finish: impl for<'s> FnOnce(&'s Builder, &[Tensor<'s>], Vec<Slot<'s>>) -> Vec<Tensor<'s>>,
) -> Option<Arc<Graph>> {
    let size = rule.size;
    let member: Vec<TensorType> = graph.inputs().map(|port| port.ty.clone()).collect();
    let mut types = member.iter().zip(flags).map(|(ty, &batched)| {
        let mut ty = ty.clone();
        if batched {
            ty.shape.insert(0, size);
        }
        ty
    });
    let groups: Vec<_> =
        kinds.iter().map(|&(name, n)| (name, types.by_ref().take(n).collect())).collect();
    let traced = trace(rule.builder, &groups, |inner, groups| {
        let inputs = groups.concat();
        let mut seeds = Vec::new();
        let arguments: Vec<_> = (0..inputs.len())
            .map(|i| {
                if !flags[i] {
                    return inputs[i];
                }
                let one = inner.placeholder(member[i].clone());
                seeds.push((one, inputs[i]));
                one
            })
            .collect();
        let outputs = inner.inline(graph, &arguments);
        let outputs = slots(inner, &outputs, &seeds, size);
        finish(inner, &inputs, outputs)
    });
    traced.map(Arc::new)
}

/// Outputs stretched where their flag says that members differ.
fn flagged<'s>(outputs: Vec<Slot<'s>>, flags: &[bool], size: usize) -> Vec<Tensor<'s>> {
    let slots = outputs.into_iter().zip(flags);
    slots.map(|(slot, &own)| if own { slot.stretched(size) } else { slot.tensor }).collect()
}

/// What stands for results that could not be had; the builder knows the mistake.
pub(super) fn nothing<'b>(rule: &Rule<'_, 'b>) -> Vec<Slot<'b>> {
    rule.node
        .types
        .iter()
        .map(|ty| Slot::batched(Slot::shared(rule.builder.zeros(ty)).stretched(rule.size)))
        .collect()
}

pub(super) fn scan<'b>(rule: &Rule<'_, 'b>, looped: &Arc<Scan>) -> Vec<Slot<'b>> {
    let (size, n_carry, n_xs) = (rule.size, looped.n_carry, looped.n_xs);
    let mut flags: Vec<bool> = rule.operands.iter().map(|operand| operand.batched).collect();
    let own = settle(&looped.body, n_carry, &mut flags);
    let n_constants = flags.len() - n_carry - n_xs;
    let kinds = [("carry", n_carry), ("x", n_xs), ("constant", n_constants)];
    let traced =
        body(rule, &looped.body, &kinds, &flags, |_, _, outputs| flagged(outputs, &own, size));
    let Some(body) = traced else { return nothing(rule) };
    let operands: Vec<Tensor<'b>> = rule
        .operands
        .iter()
        .enumerate()
        .map(|(i, operand)| match flags[i] {
            true if (n_carry..n_carry + n_xs).contains(&i) => operand.tensor.move_axis(0, 1),
            true => operand.stretched(size),
            false => operand.tensor,
        })
        .collect();
    let op = Op::Scan(Arc::new(Scan { body, ..(**looped).clone() }));
    let results = rule.emit(op, &operands);
    let results = results.into_iter().zip(own).enumerate();
    results
        .map(|(i, (tensor, batched))| {
            let rows_first = batched && i >= n_carry;
            Slot { tensor: if rows_first { tensor.move_axis(1, 0) } else { tensor }, batched }
        })
        .collect()
}

/// Runs while any member's condition holds; a member whose own no longer does stays as it is.
pub(super) fn repeat_while<'b>(rule: &Rule<'_, 'b>, looped: &Arc<While>) -> Vec<Slot<'b>> {
    let (size, n_carry) = (rule.size, looped.n_carry);
    let mut flags: Vec<bool> = rule.operands.iter().map(|operand| operand.batched).collect();
    settle(&looped.body, n_carry, &mut flags);
    let own_condition = Reach::outputs(&looped.condition, &flags).contains(&true);
    if own_condition {
        flags[..n_carry].fill(true);
    }
    let kinds = [("carry", n_carry), ("constant", flags.len() - n_carry)];
    let condition = body(rule, &looped.condition, &kinds, &flags, |_, _, outputs| {
        let holds = outputs[0];
        vec![if holds.batched { holds.tensor.reduce(Reduction::Any, &[0]) } else { holds.tensor }]
    });
    let body = body(rule, &looped.body, &kinds, &flags, |inner, inputs, outputs| {
        let next = flagged(outputs, &flags, size);
        if !own_condition {
            return next;
        }
        let member: Vec<TensorType> =
            looped.condition.inputs().map(|port| port.ty.clone()).collect();
        let mut seeds = Vec::new();
        let arguments: Vec<_> = (0..inputs.len())
            .map(|i| {
                let one = inner.placeholder(member[i].clone());
                if flags[i] {
                    seeds.push((one, inputs[i]));
                    one
                } else {
                    inputs[i]
                }
            })
            .collect();
        let holds = inner.inline(&looped.condition, &arguments);
        let holds = slots(inner, &holds, &seeds, size)[0].stretched(size);
        let kept = next.iter().zip(inputs);
        kept.map(|(&next, &old)| holds.broadcast_in(&old.shape(), &[0]).select(next, old)).collect()
    });
    let (Some(condition), Some(body)) = (condition, body) else { return nothing(rule) };
    let operands: Vec<Tensor<'b>> = rule
        .operands
        .iter()
        .zip(&flags)
        .map(|(operand, &own)| if own { operand.stretched(size) } else { operand.tensor })
        .collect();
    let op = Op::While(Arc::new(While { condition, body, n_carry }));
    let results = rule.emit(op, &operands).into_iter().zip(flags);
    results.map(|(tensor, batched)| Slot { tensor, batched }).collect()
}

pub(super) fn linear_solve<'b>(rule: &Rule<'_, 'b>, it: &Arc<LinearSolve>) -> Tensor<'b> {
    let (operands, matvec) = last_batched(rule, &it.matvec);
    let Some(matvec) = matvec else { return nothing(rule)[0].tensor };
    let solve = LinearSolve { matvec, n_batch: it.n_batch + 1, ..(**it).clone() };
    rule.emit_one(Op::LinearSolve(Arc::new(solve)), &operands)
}

pub(super) fn fixed_point<'b>(rule: &Rule<'_, 'b>, it: &Arc<FixedPoint>) -> Tensor<'b> {
    let (operands, body) = last_batched(rule, &it.body);
    let Some(body) = body else { return nothing(rule)[0].tensor };
    let fixed = FixedPoint { body, n_batch: it.n_batch + 1, ..(**it).clone() };
    rule.emit_one(Op::FixedPoint(Arc::new(fixed)), &operands)
}

/// Operands with the unknown batched, whether or not members begin with different ones, and the
/// graph that maps it.
fn last_batched<'b>(rule: &Rule<'_, 'b>, graph: &Graph) -> (Vec<Tensor<'b>>, Option<Arc<Graph>>) {
    let size = rule.size;
    let last = rule.operands.len() - 1;
    let mut flags: Vec<bool> = rule.operands.iter().map(|operand| operand.batched).collect();
    flags[last] = true;
    let kinds = [("constant", last), ("x", 1)];
    let graph = body(rule, graph, &kinds, &flags, |_, _, outputs| flagged(outputs, &[true], size));
    let mut operands: Vec<Tensor<'b>> =
        rule.operands.iter().map(|operand| operand.tensor).collect();
    operands[last] = rule.operands[last].stretched(size);
    (operands, graph)
}
