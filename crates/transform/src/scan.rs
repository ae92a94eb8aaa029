//! Derivatives of loops.
//!
//! A scan's tangent is a scan over values and tangents together. What is linear in such a scan is
//! transposed by running its data forward, storing some carries, and going back over the steps:
//! see [`tape`].

mod kept;
mod steps;
mod tape;

pub(crate) use tape::{Tape, forward};

use crate::inner::trace;
use crate::jvp::{Dual, duals};
use std::panic::Location;
use std::sync::Arc;
use thalweg_graph::{Builder, Graph, Op, Scan, Tensor, TensorType, While};

pub(crate) type Place = &'static Location<'static>;

/// Emits a loop; its results are the carries and the rows.
pub(crate) fn emit<'b>(
    builder: &'b Builder,
    place: Place,
    scan: Scan,
    operands: &[Tensor<'b>],
) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
    let n_carry = scan.n_carry;
    let mut carry = builder.emit_at(Op::Scan(Arc::new(scan)), operands, place);
    let rows = carry.split_off(n_carry.min(carry.len()));
    (carry, rows)
}

/// The elements whose flag is set.
pub(crate) fn flagged<T: Clone>(all: &[T], flags: &[bool]) -> Vec<T> {
    all.iter().zip(flags).filter(|(_, flag)| **flag).map(|(one, _)| one.clone()).collect()
}

/// Types of a body's inputs.
pub(crate) fn input_types(body: &Graph) -> Vec<TensorType> {
    body.inputs().map(|port| port.ty.clone()).collect()
}

/// The scan over `(carry, tangents of carries)`, the tangents of sequences and constants being
/// more sequences and constants.
pub(crate) fn jvp<'b>(
    builder: &'b Builder,
    looped: &Arc<Scan>,
    place: Place,
    operands: &[Dual<'b>],
) -> Vec<Dual<'b>> {
    let (n_carry, n_xs) = (looped.n_carry, looped.n_xs);
    let mut flags: Vec<bool> = operands.iter().map(|operand| operand.tangent.is_some()).collect();
    let Some((body, rows_flow)) = derived_body(builder, looped, &mut flags) else {
        return looped
            .body
            .output_types()
            .map(|ty| Dual { primal: builder.zeros(ty), tangent: None })
            .collect();
    };
    let primals: Vec<Tensor<'b>> = operands.iter().map(|operand| operand.primal).collect();
    let tangents: Vec<Tensor<'b>> = operands
        .iter()
        .map(|operand| operand.tangent.unwrap_or_else(|| operand.primal.zeros_like()))
        .collect();
    let ends = [0, n_carry, n_carry + n_xs, operands.len()];
    let kinds: Vec<Vec<Tensor<'b>>> = ends
        .windows(2)
        .map(|range| {
            let range = range[0]..range[1];
            let moved = flagged(&tangents[range.clone()], &flags[range.clone()]);
            [&primals[range], &moved].concat()
        })
        .collect();
    let scan = Scan {
        body: Arc::new(body),
        n_carry: kinds[0].len(),
        n_xs: kinds[1].len(),
        ..(**looped).clone()
    };
    let (carry, rows) = emit(builder, place, scan, &kinds.concat());
    let mut paired = pair(&carry, &flags[..n_carry]);
    paired.extend(pair(&rows, &rows_flow));
    paired
}

/// Values followed by the tangents of those whose flag is set, side by side.
fn pair<'b>(results: &[Tensor<'b>], flags: &[bool]) -> Vec<Dual<'b>> {
    let (primals, tangents) = results.split_at(flags.len().min(results.len()));
    let mut tangents = tangents.iter().copied();
    let primals = primals.iter().zip(flags);
    primals
        .map(|(&primal, &flag)| Dual { primal, tangent: if flag { tangents.next() } else { None } })
        .collect()
}

/// The body over values and tangents, and which rows have tangents. `flags` say which operands
/// have tangents; the carries that get one on the way are added.
fn derived_body(
    builder: &Builder,
    looped: &Scan,
    flags: &mut [bool],
) -> Option<(Graph, Vec<bool>)> {
    let (n_carry, n_xs) = (looped.n_carry, looped.n_xs);
    let types = input_types(&looped.body);
    loop {
        let group = |range: std::ops::Range<usize>| {
            [&types[range.clone()], &flagged(&types[range.clone()], &flags[range])].concat()
        };
        let groups = [
            ("carry", group(0..n_carry)),
            ("x", group(n_carry..n_carry + n_xs)),
            ("constant", group(n_carry + n_xs..types.len())),
        ];
        let counts = [n_carry, n_xs, types.len() - n_carry - n_xs];
        let (mut carries_flow, mut rows_flow) = (Vec::new(), Vec::new());
        let body = trace(builder, &groups, |inner, inputs| {
            let halves = inputs.iter().zip(counts).map(|(group, n)| group.split_at(n));
            let (primals, tangents): (Vec<_>, Vec<_>) = halves.unzip();
            let primals = primals.concat();
            let moved = flagged(&primals, flags);
            let seeds: Vec<_> = moved.into_iter().zip(tangents.concat()).collect();
            let outputs = inner.inline(&looped.body, &primals);
            let results = duals(inner, &outputs, &seeds);
            let (carries, rows) = results.split_at(n_carry);
            carries_flow = carries.iter().map(|dual| dual.tangent.is_some()).collect();
            rows_flow = rows.iter().map(|dual| dual.tangent.is_some()).collect();
            let mut all: Vec<_> = carries.iter().map(|dual| dual.primal).collect();
            let moved = flagged(carries, &flags[..n_carry]);
            all.extend(moved.iter().map(|d| d.tangent.unwrap_or_else(|| d.primal.zeros_like())));
            all.extend(rows.iter().map(|dual| dual.primal));
            all.extend(rows.iter().filter_map(|dual| dual.tangent));
            all
        })?;
        let mut grown = false;
        for (flag, flows) in flags[..n_carry].iter_mut().zip(carries_flow) {
            grown |= flows && !*flag;
            *flag |= flows;
        }
        if !grown {
            return Some((body, rows_flow));
        }
    }
}

/// A loop of unknown length has no tangent; one that would be needed is an error.
pub(crate) fn while_jvp<'b>(
    builder: &'b Builder,
    looped: &Arc<While>,
    t: &[Option<Tensor<'b>>],
) -> Vec<Option<Tensor<'b>>> {
    let flags: Vec<bool> = t.iter().map(Option::is_some).collect();
    let mut flows = flags[..looped.n_carry].contains(&true);
    if !flows {
        let types = input_types(&looped.body);
        let groups = [("x", types.clone()), ("tangent", flagged(&types, &flags))];
        trace(builder, &groups, |inner, inputs| {
            let moved = flagged(&inputs[0], &flags);
            let seeds: Vec<_> = moved.into_iter().zip(inputs[1].iter().copied()).collect();
            let outputs = inner.inline(&looped.body, &inputs[0]);
            flows = duals(inner, &outputs, &seeds).iter().any(|dual| dual.tangent.is_some());
            Vec::new()
        });
    }
    if flows {
        builder.reject(
            "derivative of while",
            "a loop of known length (`scan`), or no derivative through the loop, which runs forward only",
            "a tangent of its carry",
        );
    }
    vec![None; looped.n_carry]
}
