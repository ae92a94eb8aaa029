//! Rules of operations that hold graphs.

use super::rule::Rule;
use super::{Item, inline_batched};
use crate::reach::Reach;
use std::sync::Arc;
use thalweg_graph::{Builder, FixedPoint, Graph, LinearSolve, Op, Reduction, Scan, Tensor, While};

fn axes(flags: &[bool]) -> Vec<Option<usize>> {
    flags.iter().map(|&flag| flag.then_some(0)).collect()
}

/// Builds an inner graph; a mistake in it is recorded outside.
fn inner(
    rule: &Rule<'_, '_>,
    names: &Graph,
    build: impl for<'s> FnOnce(&'s Builder) -> Vec<Tensor<'s>>,
) -> Option<Arc<Graph>> {
    let builder = Builder::new(rule.builder.float());
    let outputs = build(&builder);
    match builder.finish(&names.output_names().zip(outputs).collect::<Vec<_>>()) {
        Ok(graph) => Some(Arc::new(graph)),
        Err(error) => {
            let what = format!("{} at {}:{} in a body", error.op, error.file, error.line);
            rule.builder.reject(&what, error.expected, error.got);
            None
        }
    }
}

/// A body with batched inputs and outputs where flagged; outputs that depend on a batched input
/// are flagged.
fn batched_body(
    rule: &Rule<'_, '_>,
    body: &Graph,
    inputs: &[bool],
    outputs: &[bool],
) -> Option<Arc<Graph>> {
    inner(rule, body, |builder| {
        let results = inline_batched(builder, body, &axes(inputs), rule.size);
        matching(&results, outputs, rule.size)
    })
}

/// The operands for a batched body: the last one, which the solver moves, always has the axis.
fn solver_operands<'b>(rule: &Rule<'b, '_>, operands: &[Item<'b>]) -> (Vec<bool>, Vec<Tensor<'b>>) {
    let last = operands.len() - 1;
    let flags: Vec<bool> =
        operands.iter().enumerate().map(|(i, operand)| operand.batched || i == last).collect();
    let tensors = matching(operands, &flags, rule.size);
    (flags, tensors)
}

/// Values with the batch axis where flagged; what is not flagged has none.
fn matching<'b>(items: &[Item<'b>], flags: &[bool], size: usize) -> Vec<Tensor<'b>> {
    let one = |(item, &flag): (&Item<'b>, &bool)| if flag { item.full(size) } else { item.tensor };
    items.iter().zip(flags).map(one).collect()
}

pub(super) fn linear_solve<'b>(
    rule: &Rule<'b, '_>,
    solve: &LinearSolve,
    operands: &[Item<'b>],
) -> Tensor<'b> {
    let (flags, operands) = solver_operands(rule, operands);
    let right = operands[operands.len() - 1];
    let Some(matvec) = batched_body(rule, &solve.matvec, &flags, &[true]) else { return right };
    let solve = LinearSolve { matvec, n_batch: solve.n_batch + 1, ..solve.clone() };
    rule.emit_one(Op::LinearSolve(Arc::new(solve)), &operands)
}

pub(super) fn fixed_point<'b>(
    rule: &Rule<'b, '_>,
    fixed: &FixedPoint,
    operands: &[Item<'b>],
) -> Tensor<'b> {
    let (flags, operands) = solver_operands(rule, operands);
    let start = operands[operands.len() - 1];
    let Some(body) = batched_body(rule, &fixed.body, &flags, &[true]) else { return start };
    let fixed = FixedPoint { body, n_batch: fixed.n_batch + 1, ..fixed.clone() };
    rule.emit_one(Op::FixedPoint(Arc::new(fixed)), &operands)
}

/// Flags the carries that a batched value flows into, in any number of steps; gives the flags of
/// the body's outputs, where a carry is as it is flagged.
fn settle(body: &Graph, n_carry: usize, flags: &mut [bool]) -> Vec<bool> {
    loop {
        let mut outputs = Reach::outputs(body, flags);
        let mut changed = false;
        for (flag, output) in flags[..n_carry].iter_mut().zip(&mut outputs) {
            changed |= *output && !*flag;
            *flag |= *output;
            *output = *flag;
        }
        if !changed {
            return outputs;
        }
    }
}

/// A carry that becomes batched in some step is so from the start. Rows of a sequence have the
/// batch axis first, so the sequence has it second.
pub(super) fn scan<'b>(rule: &Rule<'b, '_>, scan: &Scan, operands: &[Item<'b>]) -> Vec<Item<'b>> {
    let mut flags: Vec<bool> = operands.iter().map(|operand| operand.batched).collect();
    let outputs = settle(&scan.body, scan.n_carry, &mut flags);
    let mut tensors = matching(operands, &flags, rule.size);
    for i in (scan.n_carry..scan.n_carry + scan.n_xs).filter(|&i| flags[i]) {
        tensors[i] = tensors[i].move_axis(0, 1);
    }
    let Some(body) = batched_body(rule, &scan.body, &flags, &outputs) else {
        return rule.stand_ins();
    };
    let results = rule.emit(Op::Scan(Arc::new(Scan { body, ..scan.clone() })), &tensors);
    results
        .into_iter()
        .zip(outputs)
        .enumerate()
        .map(|(i, (tensor, batched))| {
            let is_sequence = batched && i >= scan.n_carry;
            let tensor = if is_sequence { tensor.move_axis(1, 0) } else { tensor };
            Item { tensor, batched }
        })
        .collect()
}

/// When members may stop at different steps, the loop runs while any goes on, and one that has
/// stopped keeps its carries.
pub(super) fn repeat<'b>(rule: &Rule<'b, '_>, looped: &While, operands: &[Item<'b>]) -> Vec<Item<'b>> {
    let n_carry = looped.n_carry;
    let mut flags: Vec<bool> = operands.iter().map(|operand| operand.batched).collect();
    settle(&looped.body, n_carry, &mut flags);
    let own_length = Reach::outputs(&looped.condition, &flags).contains(&true);
    if own_length {
        flags[..n_carry].fill(true);
    }
    let tensors = matching(operands, &flags, rule.size);
    let (condition, body) = if own_length {
        let goes_on = inner(rule, &looped.condition, |builder| {
            let each = inline_batched(builder, &looped.condition, &axes(&flags), rule.size);
            vec![each[0].full(rule.size).reduce(Reduction::Any, &[0])]
        });
        (goes_on, guarded_body(rule, looped, &flags))
    } else {
        (
            batched_body(rule, &looped.condition, &flags, &[false]),
            batched_body(rule, &looped.body, &flags, &flags[..n_carry]),
        )
    };
    let (Some(condition), Some(body)) = (condition, body) else { return rule.stand_ins() };
    let looped = While { condition, body, n_carry };
    rule.emit(Op::While(Arc::new(looped)), &tensors)
        .into_iter()
        .zip(&flags)
        .map(|(tensor, &batched)| Item { tensor, batched })
        .collect()
}

/// One step for the members whose condition holds; the carries of the others as they are.
fn guarded_body(rule: &Rule<'_, '_>, looped: &While, flags: &[bool]) -> Option<Arc<Graph>> {
    let condition = batched_body(rule, &looped.condition, flags, &[true])?;
    inner(rule, &looped.body, |builder| {
        let next = inline_batched(builder, &looped.body, &axes(flags), rule.size);
        let inputs: Vec<Tensor<'_>> = input_tensors(builder, looped.body.n_inputs());
        let goes_on = builder.inline(&condition, &inputs)[0];
        next.into_iter()
            .zip(inputs)
            .map(|(next, before)| {
                let shape = before.shape();
                let keep = goes_on.broadcast_in(&shape, &[0]);
                keep.select(next.full(rule.size), before)
            })
            .collect()
    })
}

/// The inputs of a builder, in order.
fn input_tensors(builder: &Builder, n_inputs: usize) -> Vec<Tensor<'_>> {
    let mut inputs = vec![None; n_inputs];
    for index in 0..builder.node_count() {
        if let Op::Input { index: position } = builder.node(index).op {
            // Placeholders are numbered from above.
            if let Some(input) = inputs.get_mut(position as usize) {
                *input = Some(builder.tensor(thalweg_graph::Value::first(index)));
            }
        }
    }
    inputs.into_iter().flatten().collect()
}
