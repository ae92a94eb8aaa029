//! Loops whose bodies are random graphs themselves.

use crate::grow::{Grower, step as grow};
use crate::numbers::Numbers;
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_graph::{Builder, Op, Scan, Tensor, TensorType, While};

pub fn step<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    if grower.depth >= 2 {
        return Vec::new();
    }
    if grower.exact && numbers.once_in(4) { repeat(grower, numbers) } else { scan(grower, numbers) }
}

/// Small values: a body of large ones would take the oracle too long.
fn small(x: &Tensor<'_>) -> bool {
    x.ty().element_count() <= 400
}

fn scan<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let length = numbers.pick(&[0, 1, 2, 3, 5]);
    let several = |numbers: &mut Numbers, most: usize| -> Vec<Tensor<'b>> {
        let n = numbers.between(1, most);
        (0..n).filter_map(|_| grower.pick(numbers, small)).collect()
    };
    let carry = several(numbers, 3);
    let rows = if numbers.once_in(3) { Vec::new() } else { several(numbers, 2) };
    let xs: Vec<_> = rows
        .iter()
        .map(|x| {
            let row = if x.rank() > 0 { x.shape()[1..].to_vec() } else { Vec::new() };
            grower.resized(*x, &TensorType::new(x.dtype(), [&[length], &row[..]].concat()))
        })
        .collect();
    let constants = if numbers.once_in(2) { several(numbers, 2) } else { Vec::new() };
    let operands = [&carry[..], &xs, &constants].concat();
    let body = Builder::new(grower.b.float());
    let inputs: Vec<Tensor<'_>> = operands
        .iter()
        .enumerate()
        .map(|(i, operand)| {
            let mut ty = operand.ty();
            if (carry.len()..carry.len() + xs.len()).contains(&i) {
                ty.shape.remove(0);
            }
            body.input(&format!("s{i}"), ty)
        })
        .collect();
    let mut inner =
        Grower { b: &body, values: inputs.clone(), exact: grower.exact, depth: grower.depth + 1 };
    for _ in 0..numbers.between(0, 4) {
        grow(&mut inner, numbers);
    }
    let mut outputs: Vec<Tensor<'_>> = Vec::new();
    for i in 0..carry.len() {
        let ty = inputs[i].ty();
        // A new value, another carry as it is, the same carry, what another carry becomes.
        let next = match numbers.below(6) {
            0 => inner.pick(numbers, |x| x.ty() == ty).unwrap_or(inputs[i]),
            1 => inputs.iter().copied().rev().find(|x| x.ty() == ty).unwrap_or(inputs[i]),
            2 => outputs.iter().copied().find(|x| x.ty() == ty).unwrap_or(inputs[i]),
            _ => {
                let fits =
                    |x: &Tensor<'_>| grower.exact || x.dtype().is_float() == ty.dtype.is_float();
                let new = inner.pick(numbers, fits).unwrap_or(inputs[i]);
                inner.resized(new, &ty)
            }
        };
        outputs.push(next);
    }
    for _ in 0..numbers.below(3) {
        outputs.extend(inner.pick(numbers, small));
    }
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("o{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let body = body.finish(&named).expect("the generator builds sound bodies");
    let scan = Scan {
        body: Arc::new(body),
        length,
        n_carry: carry.len(),
        n_xs: xs.len(),
        reverse: numbers.once_in(2),
        checkpoint_branching: numbers.pick(&[0, 2, 3]),
    };
    grower.b.emit(Op::Scan(Arc::new(scan)), &operands)
}

/// Counts a first carry up while others go round.
fn repeat<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, small) else { return Vec::new() };
    let others: Vec<_> = grower.pick(numbers, |y| y.ty() == x.ty()).into_iter().collect();
    let b = grower.b;
    let start = grower.indices(numbers, 5, &[]).convert(DType::I32);
    let limit = b.scalar_of(DType::I32, numbers.below(5) as f64);
    let carry = [&[start, x][..], &others].concat();
    let operands = [&carry[..], &[limit]].concat();
    let traced = |condition: bool, numbers: &mut Numbers| {
        let inner = Builder::new(b.float());
        let inputs: Vec<Tensor<'_>> = operands
            .iter()
            .enumerate()
            .map(|(i, operand)| inner.input(&format!("s{i}"), operand.ty()))
            .collect();
        let outputs = if condition {
            vec![inputs[0].less(inputs[carry.len()])]
        } else {
            let mut grower = Grower {
                b: &inner,
                values: inputs[1..carry.len()].to_vec(),
                exact: true,
                depth: grower.depth + 1,
            };
            for _ in 0..numbers.below(3) {
                grow(&mut grower, numbers);
            }
            let mut next = vec![inputs[0] + 1.0];
            for input in inputs[1..carry.len()].iter().rev() {
                let new = grower.pick(numbers, |_| true).unwrap_or(*input);
                next.push(grower.resized(new, &input.ty()));
            }
            next
        };
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("o{i}")).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
        Arc::new(inner.finish(&named).expect("the generator builds sound bodies"))
    };
    let condition = traced(true, numbers);
    let looped = While { condition, body: traced(false, numbers), n_carry: carry.len() };
    b.emit(Op::While(Arc::new(looped)), &operands)
}
