//! Transposition of a scan that is linear in some of its operands, the rest being data.
//!
//! The data are run forward and their carries stored at checkpoints. Going back, each step runs
//! its data again from the carry that it began with and applies the transpose of its linear part;
//! the cotangents of constants are summed up in the carry.
//!
//! With branching `k` the checkpoints are a tree: a run of `T` steps stores the beginnings of at
//! most `k` chunks of `k^d` steps, `d` as large as leaves more than one chunk, and of what remains
//! likewise; going back into a chunk runs it forward again, storing the beginnings of its `k`
//! parts, and beside those of single steps what the step back would have to compute again
//! ([`Kept`]). So a gradient runs each step at most `1 + log_k T` times, once more where nothing is
//! kept, and about `k log_k T` carries are there at once, or at most `k` more for what is kept.
//!
//! # Source
//! The tree of checkpoints is that of REPLAY: L. Engstrom et al., *Optimizing ML training with
//! metagradient descent*, 2025, arXiv:2503.13751.

use crate::inner::trace;
use crate::reach::settle;
use crate::scan::kept::Kept;
use crate::scan::steps::{Backward, Forward, Returning, Run, State, in_time, row_types};
use crate::scan::{Place, flagged, input_types};
use crate::transpose::{Operand, transpose};
use std::sync::Arc;
use thalweg_graph::{Builder, Graph, Scan, Tensor};

/// A loop's data, run forward.
pub(crate) struct Tape<'b> {
    looped: Arc<Scan>,
    /// Which operands of the loop, and which of its results, are linear.
    linear: Vec<bool>,
    linear_results: Vec<bool>,
    operands: Vec<Tensor<'b>>,
    forward: Forward,
    state: State<'b>,
    segments: Vec<Segment<'b>>,
}

/// Chunks of one length that follow each other.
struct Segment<'b> {
    /// Steps before it.
    first: usize,
    n: usize,
    length: usize,
    starts: Vec<Tensor<'b>>,
}

/// Runs the data of a loop; gives its results that are data, and the tape if it is to be run back.
pub(crate) fn forward<'b>(
    builder: &'b Builder,
    looped: &Arc<Scan>,
    place: Place,
    operands: &[Operand<'b>],
    keep: bool,
) -> (Vec<Option<Tensor<'b>>>, Option<Tape<'b>>) {
    let (n_carry, n_xs) = (looped.n_carry, looped.n_xs);
    let mut linear: Vec<bool> = operands.iter().map(|operand| operand.linear).collect();
    let linear_results = settle(&looped.body, n_carry, &mut linear);
    let none = || vec![None; linear_results.len()];
    let operands: Vec<Tensor<'b>> = operands.iter().map(|operand| operand.tensor).collect();
    let data: Vec<bool> = linear.iter().map(|linear| !linear).collect();
    let Some(step) = data_step(builder, looped, &linear, &linear_results) else {
        return (none(), None);
    };
    let kind = |range: std::ops::Range<usize>| flagged(&operands[range.clone()], &data[range]);
    let state = State {
        carry: kind(0..n_carry),
        xs: kind(n_carry..n_carry + n_xs),
        constants: kind(n_carry + n_xs..operands.len()),
    };
    let forward = Forward {
        step,
        n_carry: state.carry.len(),
        n_xs: state.xs.len(),
        reverse: looped.reverse,
        branching: looped.checkpoint_branching,
        place,
    };
    let run = if keep {
        run_segments(builder, &forward, &state, looped.length)
    } else {
        forward.advance(builder, &state, looped.length).map(|(carry, ys)| (carry, ys, Vec::new()))
    };
    let Some((carry, ys, segments)) = run else { return (none(), None) };
    let mut known = carry.into_iter().chain(ys);
    let results =
        linear_results.iter().map(|&linear| if linear { None } else { known.next() }).collect();
    let tape =
        Tape { looped: looped.clone(), linear, linear_results, operands, forward, state, segments };
    (results, keep.then_some(tape))
}

/// The step without what is linear.
fn data_step(
    builder: &Builder,
    looped: &Scan,
    linear: &[bool],
    linear_results: &[bool],
) -> Option<Graph> {
    let (n_carry, n_xs) = (looped.n_carry, looped.n_xs);
    let types = input_types(&looped.body);
    let data: Vec<bool> = linear.iter().map(|linear| !linear).collect();
    let kind = |range: std::ops::Range<usize>| flagged(&types[range.clone()], &data[range]);
    let groups = [
        ("carry", kind(0..n_carry)),
        ("x", kind(n_carry..n_carry + n_xs)),
        ("constant", kind(n_carry + n_xs..types.len())),
    ];
    trace(builder, &groups, |inner, inputs| {
        let (arguments, placeholders) = arguments(inner, looped, linear, &inputs.concat());
        let outputs = inner.inline(&looped.body, &arguments);
        let known: Vec<bool> = linear_results.iter().map(|linear| !linear).collect();
        transpose(inner, &[], &placeholders, &flagged(&outputs, &known)).data
    })
}

/// Arguments of the body: `data` in order, and a placeholder for each linear one.
fn arguments<'s>(
    inner: &'s Builder,
    looped: &Scan,
    linear: &[bool],
    data: &[Tensor<'s>],
) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>) {
    let mut data = data.iter().copied();
    let arguments: Vec<_> = looped
        .body
        .inputs()
        .zip(linear)
        .map(|(port, &linear)| match data.next_if(!linear) {
            Some(one) => one,
            None => inner.placeholder(port.ty.clone()),
        })
        .collect();
    let placeholders = flagged(&arguments, linear);
    (arguments, placeholders)
}

/// Takes the next element on a condition.
trait NextIf: Iterator {
    fn next_if(&mut self, condition: bool) -> Option<Self::Item> {
        if condition { self.next() } else { None }
    }
}

impl<I: Iterator> NextIf for I {}

type Segmented<'b> = (Vec<Tensor<'b>>, Vec<Tensor<'b>>, Vec<Segment<'b>>);

/// Runs all steps, segment by segment, chunks getting shorter.
fn run_segments<'b>(
    builder: &'b Builder,
    forward: &Forward,
    state: &State<'b>,
    length: usize,
) -> Option<Segmented<'b>> {
    if length == 0 {
        let (carry, ys) = forward.advance(builder, state, 0)?;
        return Some((carry, ys, Vec::new()));
    }
    let (mut segments, mut parts) = (Vec::new(), Vec::new());
    let mut state = state.clone();
    let all = state.xs.clone();
    let mut first = 0;
    while first < length {
        let (n, chunk) = forward.chunks(length - first);
        let rows = n * chunk;
        state.xs = all.iter().map(|x| in_time(*x, first, rows, forward.reverse)).collect();
        let run = forward.advance_chunks(builder, &state, (n, chunk))?;
        state.carry = run.carry;
        parts.push(run.ys);
        segments.push(Segment { first, n, length: chunk, starts: run.starts });
        first += rows;
    }
    Some((state.carry, join(builder, parts, forward.reverse), segments))
}

/// Rows of parts that follow each other in time.
fn join<'b>(
    builder: &'b Builder,
    mut parts: Vec<Vec<Tensor<'b>>>,
    reverse: bool,
) -> Vec<Tensor<'b>> {
    if reverse {
        parts.reverse();
    }
    let n = parts.first().map_or(0, Vec::len);
    (0..n)
        .map(|i| {
            let rows: Vec<_> = parts.iter().map(|part| part[i]).collect();
            builder.concatenate(&rows, 0)
        })
        .collect()
}

/// The step back for some cotangents, and which cotangents it gives.
struct StepBack {
    graph: Graph,
    /// Of the linear carries, those that have a cotangent.
    carries: Vec<bool>,
    /// Of the linear sequences and constants likewise.
    xs: Vec<bool>,
    constants: Vec<bool>,
}

impl<'b> Tape<'b> {
    /// The cotangent of each linear operand, from those of the results.
    pub(crate) fn transpose(
        self,
        builder: &'b Builder,
        results: &[Option<Tensor<'b>>],
    ) -> Vec<Option<Tensor<'b>>> {
        let n_operands = self.operands.len();
        self.cotangents(builder, results).unwrap_or_else(|| vec![None; n_operands])
    }

    fn cotangents(
        self,
        builder: &'b Builder,
        results: &[Option<Tensor<'b>>],
    ) -> Option<Vec<Option<Tensor<'b>>>> {
        let n_carry = self.looped.n_carry;
        let linear_results = flagged(results, &self.linear_results);
        let n_linear = flagged(&self.linear[..n_carry], &self.linear[..n_carry]).len();
        let (ct_carry, ct_rows) = linear_results.split_at(n_linear);
        let with_ct: Vec<bool> = ct_rows.iter().map(Option::is_some).collect();
        let live: Vec<bool> = ct_carry.iter().map(Option::is_some).collect();
        let back = self.step_back(builder, live, &with_ct)?;
        let linear = flagged(&self.operands, &self.linear);
        let (carries, rest) = linear.split_at(n_linear);
        let (xs, constants) = rest.split_at(back.xs.len());
        let or_zero =
            |ct: Option<Tensor<'b>>, like: Tensor<'b>| ct.unwrap_or_else(|| like.zeros_like());
        let ends: Vec<_> = ct_carry.iter().zip(carries).map(|(&ct, &x)| or_zero(ct, x)).collect();
        let mut returning = Returning {
            carry: flagged(&ends, &back.carries),
            constants: flagged(constants, &back.constants)
                .into_iter()
                .map(|constant| constant.zeros_like())
                .collect(),
        };
        let ct_ys: Vec<Tensor<'b>> = ct_rows.iter().copied().flatten().collect();
        let mut step = Backward {
            step: back.graph,
            n_carry: returning.carry.len(),
            n_xs: back.xs.iter().filter(|&&x| x).count(),
            kept: None,
        };
        step.kept = Kept::new(builder, &self.forward, &step, &self.state).map(Box::new);
        let mut parts = Vec::new();
        for segment in self.segments.iter().rev() {
            let rows = segment.n * segment.length;
            let reverse = self.forward.reverse;
            let part = |rows_of: &[Tensor<'b>]| -> Vec<Tensor<'b>> {
                rows_of.iter().map(|x| in_time(*x, segment.first, rows, reverse)).collect()
            };
            let state = State { xs: part(&self.state.xs), ..self.state.clone() };
            let run = Run {
                starts: &segment.starts,
                state: &state,
                ct_ys: &part(&ct_ys),
                n: segment.n,
                length: segment.length,
            };
            let (returned, ct_xs) = self.forward.retreat_chunks(&step, builder, run, &returning)?;
            returning = returned;
            parts.push(ct_xs);
        }
        parts.reverse();
        let ct_xs = if parts.is_empty() {
            flagged(xs, &back.xs).into_iter().map(|x| x.zeros_like()).collect()
        } else {
            join(builder, parts, self.forward.reverse)
        };
        let spread = |cts: Vec<Tensor<'b>>, flags: &[bool]| -> Vec<Option<Tensor<'b>>> {
            let mut cts = cts.into_iter();
            flags.iter().map(|&flag| cts.next_if(flag)).collect()
        };
        let mut cts = spread(returning.carry, &back.carries);
        cts.extend(spread(ct_xs, &back.xs));
        cts.extend(spread(returning.constants, &back.constants));
        let mut cts = cts.into_iter();
        Some(self.linear.iter().map(|&linear| cts.next_if(linear).flatten()).collect())
    }

    /// Traces the step back. `live` are the linear carries that have a cotangent after the last
    /// step; those that get one on the way are added.
    fn step_back(
        &self,
        builder: &Builder,
        mut live: Vec<bool>,
        with_ct: &[bool],
    ) -> Option<StepBack> {
        let n_carry = self.looped.n_carry;
        let body_types: Vec<_> = self.looped.body.output_types().cloned().collect();
        let linear_types = flagged(&body_types, &self.linear_results);
        let (carry_types, row_types_) = linear_types.split_at(live.len());
        loop {
            let state = &self.state;
            let groups = [
                ("carry", crate::inner::types(&state.carry)),
                ("x", row_types(&state.xs)),
                ("constant", crate::inner::types(&state.constants)),
                ("cotangent", flagged(carry_types, &live)),
                ("row", flagged(row_types_, with_ct)),
            ];
            let mut given = Vec::new();
            let live_now = live.clone();
            let graph = trace(builder, &groups, |inner, inputs| {
                let [carry, xs, constants, ct_carry, ct_rows] = inputs else { return Vec::new() };
                let data = [&carry[..], xs, constants].concat();
                let (arguments, placeholders) = arguments(inner, &self.looped, &self.linear, &data);
                let outputs = inner.inline(&self.looped.body, &arguments);
                let linear = flagged(&outputs, &self.linear_results);
                let (carries, rows) = linear.split_at(live_now.len());
                let pairs: Vec<_> = flagged(carries, &live_now)
                    .into_iter()
                    .zip(ct_carry)
                    .chain(flagged(rows, with_ct).into_iter().zip(ct_rows))
                    .map(|(output, &ct)| (output, Some(ct)))
                    .collect();
                let cts = transpose(inner, &pairs, &placeholders, &[]).cotangents;
                given = cts.iter().map(Option::is_some).collect();
                let (ct_carries, rest) = cts.split_at(live_now.len());
                let ct_carries = flagged(ct_carries, &live_now).into_iter().zip(ct_carry);
                let ct_carries =
                    ct_carries.map(|(ct, like)| ct.unwrap_or_else(|| like.zeros_like()));
                ct_carries.chain(rest.iter().copied().flatten()).collect()
            })?;
            let mut grown = false;
            for (live, &given) in live.iter_mut().zip(&given) {
                grown |= given && !*live;
                *live |= given;
            }
            if !grown {
                let rest = given.split_off(live.len());
                let is_sequence = &self.linear[n_carry..n_carry + self.looped.n_xs];
                let n_xs = is_sequence.iter().filter(|&&x| x).count();
                let (xs, constants) = rest.split_at(n_xs);
                let (xs, constants) = (xs.to_vec(), constants.to_vec());
                return Some(StepBack { graph, carries: live, xs, constants });
            }
        }
    }
}
