//! Runs of steps, forward and back.

use super::kept::Kept;
use crate::inner::{trace, types};
use crate::scan::{Place, emit};
use std::sync::Arc;
use thalweg_graph::{Builder, Graph, Scan, Tensor, TensorType};

/// One step of a loop's data, `(carry.., x.., constants..) -> (carry.., y..)`.
pub(super) struct Forward {
    pub(super) step: Graph,
    pub(super) n_carry: usize,
    pub(super) n_xs: usize,
    pub(super) reverse: bool,
    /// How many checkpoints a level of the tree has; 0 keeps every carry.
    pub(super) branching: usize,
    pub(super) place: Place,
}

/// One step back: `(carry.., x.., constants.., cotangents of carries.., of ys..) ->
/// (cotangents of carries.., of xs.., of constants..)`.
pub(super) struct Backward {
    pub(super) step: Graph,
    pub(super) n_carry: usize,
    pub(super) n_xs: usize,
    /// What a run of single steps keeps for it.
    pub(super) kept: Option<Box<Kept>>,
}

/// Where a loop stands: its carries, the rows still to come and the constants.
#[derive(Clone)]
pub(super) struct State<'b> {
    pub(super) carry: Vec<Tensor<'b>>,
    pub(super) xs: Vec<Tensor<'b>>,
    pub(super) constants: Vec<Tensor<'b>>,
}

/// Cotangents on the way back.
#[derive(Clone)]
pub(super) struct Returning<'b> {
    /// Of the carries.
    pub(super) carry: Vec<Tensor<'b>>,
    /// Of the constants, summed so far.
    pub(super) constants: Vec<Tensor<'b>>,
}

/// Results of a run of chunks.
pub(super) struct Advanced<'b> {
    pub(super) carry: Vec<Tensor<'b>>,
    pub(super) ys: Vec<Tensor<'b>>,
    /// The carries that each chunk began with.
    pub(super) starts: Vec<Tensor<'b>>,
}

impl Forward {
    /// Steps in the largest chunk of a run of `n`, and how many such chunks fit.
    pub(super) fn chunks(&self, n: usize) -> (usize, usize) {
        let mut length = 1usize;
        if self.branching >= 2 {
            while length.saturating_mul(self.branching) < n {
                length *= self.branching;
            }
        }
        (n / length, length)
    }

    /// Runs `n` steps and stores nothing.
    pub(super) fn advance<'b>(
        &self,
        builder: &'b Builder,
        state: &State<'b>,
        n: usize,
    ) -> Option<(Vec<Tensor<'b>>, Vec<Tensor<'b>>)> {
        let scan = self.scan(Arc::new(self.step.clone()), n);
        let operands = [&state.carry[..], &state.xs, &state.constants].concat();
        Some(emit(builder, self.place, scan, &operands))
    }

    fn scan(&self, body: Arc<Graph>, length: usize) -> Scan {
        Scan {
            body,
            length,
            n_carry: self.n_carry,
            n_xs: self.n_xs,
            reverse: self.reverse,
            checkpoint_branching: self.branching,
        }
    }

    /// Runs `n` chunks of `length` steps and stores the carries that each begins with.
    pub(super) fn advance_chunks<'b>(
        &self,
        builder: &'b Builder,
        state: &State<'b>,
        (n, length): (usize, usize),
    ) -> Option<Advanced<'b>> {
        let xs: Vec<_> = state.xs.iter().map(|x| chunked(*x, n, length)).collect();
        let groups = [
            ("carry", types(&state.carry)),
            ("x", row_types(&xs)),
            ("constant", types(&state.constants)),
        ];
        let body = trace(builder, &groups, |inner, inputs| {
            let [carry, xs, constants] = inputs else { return Vec::new() };
            let state =
                State { carry: carry.clone(), xs: xs.clone(), constants: constants.clone() };
            let run = if length == 1 {
                let mut carry = inner.inline(&self.step, &inputs.concat());
                let ys = carry.split_off(self.n_carry);
                Some((carry, ys))
            } else {
                self.advance(inner, &state, length)
            };
            let Some((next, ys)) = run else { return Vec::new() };
            [next, carry.clone(), ys].concat()
        })?;
        let operands = [&state.carry[..], &xs, &state.constants].concat();
        let scan = self.scan(Arc::new(body), n);
        let (carry, mut starts) = emit(builder, self.place, scan, &operands);
        let ys = starts.split_off(self.n_carry.min(starts.len()));
        let ys = ys.into_iter().map(|y| unchunked(y, length)).collect();
        Some(Advanced { carry, ys, starts })
    }

    /// Goes back over chunks, last one first, from the carries that each began with. Gives the
    /// cotangents and those of the sequences' rows.
    pub(super) fn retreat_chunks<'b>(
        &self,
        back: &Backward,
        builder: &'b Builder,
        run: Run<'_, 'b>,
        returning: &Returning<'b>,
    ) -> Option<(Returning<'b>, Vec<Tensor<'b>>)> {
        let Run { starts, state, ct_ys, n, length } = run;
        let chunks = |rows: &[Tensor<'b>]| -> Vec<_> {
            rows.iter().map(|row| chunked(*row, n, length)).collect()
        };
        let (xs, ct_ys) = (chunks(&state.xs), chunks(ct_ys));
        let groups = [
            ("carry", types(&returning.carry)),
            ("sum", types(&returning.constants)),
            ("start", row_types(starts)),
            ("x", row_types(&xs)),
            ("cotangent", row_types(&ct_ys)),
            ("constant", types(&state.constants)),
        ];
        let body = trace(builder, &groups, |inner, inputs| {
            let [carry, sums, starts, xs, ct_ys, constants] = inputs else { return Vec::new() };
            let returning = Returning { carry: carry.clone(), constants: sums.clone() };
            let state =
                State { carry: starts.clone(), xs: xs.clone(), constants: constants.clone() };
            let gone = self.retreat(back, inner, &state, ct_ys, length, &returning);
            let Some((returned, ct_xs)) = gone else { return Vec::new() };
            [returned.carry, returned.constants, ct_xs].concat()
        })?;
        let scan = Scan {
            body: Arc::new(body),
            length: n,
            n_carry: returning.carry.len() + returning.constants.len(),
            n_xs: starts.len() + xs.len() + ct_ys.len(),
            reverse: !self.reverse,
            checkpoint_branching: self.branching,
        };
        let operands =
            [&returning.carry[..], &returning.constants, starts, &xs, &ct_ys, &state.constants];
        let (mut carry, ct_xs) = emit(builder, self.place, scan, &operands.concat());
        let constants = carry.split_off(returning.carry.len().min(carry.len()));
        let ct_xs = ct_xs.into_iter().map(|row| unchunked(row, length)).collect();
        Some((Returning { carry, constants }, ct_xs))
    }

    /// Goes back over one chunk from the carries that it began with: over a single step by the
    /// step back, over more by running its parts forward and going back over them in turn. Parts
    /// of a single step keep what the way back needs, if that is little.
    fn retreat<'b>(
        &self,
        back: &Backward,
        builder: &'b Builder,
        state: &State<'b>,
        ct_ys: &[Tensor<'b>],
        length: usize,
        returning: &Returning<'b>,
    ) -> Option<(Returning<'b>, Vec<Tensor<'b>>)> {
        if length == 1 {
            let arguments =
                [&state.carry[..], &state.xs, &state.constants, &returning.carry, ct_ys].concat();
            let mut carry = builder.inline(&back.step, &arguments);
            let mut ct_xs = carry.split_off(back.n_carry.min(carry.len()));
            let ct_constants = ct_xs.split_off(back.n_xs.min(ct_xs.len()));
            let sums = returning.constants.iter().zip(ct_constants);
            let constants = sums.map(|(&sum, ct)| sum + ct).collect();
            return Some((Returning { carry, constants }, ct_xs));
        }
        let (n, part) = self.chunks(length);
        if let (1, Some(kept)) = (part, &back.kept) {
            let mut run = kept.forward.advance_chunks(builder, state, (n, 1))?;
            let rows = run.ys.split_off(kept.n_ys.min(run.ys.len()));
            let state = State { xs: [&state.xs[..], &rows].concat(), ..state.clone() };
            let run = Run { starts: &run.starts, state: &state, ct_ys, n, length: 1 };
            return kept.forward.retreat_chunks(&kept.back, builder, run, returning);
        }
        // The last part's start is what the others end with; it is not run here.
        let rows = (n - 1) * part;
        let first = State {
            xs: state.xs.iter().map(|x| in_time(*x, 0, rows, self.reverse)).collect(),
            ..state.clone()
        };
        let run = self.advance_chunks(builder, &first, (n - 1, part))?;
        let starts: Vec<_> = run
            .starts
            .into_iter()
            .zip(run.carry)
            .map(|(starts, last)| {
                let last = last.expand(0);
                let both = if self.reverse { [last, starts] } else { [starts, last] };
                builder.concatenate(&both, 0)
            })
            .collect();
        let run = Run { starts: &starts, state, ct_ys, n, length: part };
        self.retreat_chunks(back, builder, run, returning)
    }
}

/// Chunks to go back over.
pub(super) struct Run<'a, 'b> {
    /// The carries that each began with.
    pub(super) starts: &'a [Tensor<'b>],
    /// Their rows and the constants.
    pub(super) state: &'a State<'b>,
    /// Cotangents of the rows that they wrote.
    pub(super) ct_ys: &'a [Tensor<'b>],
    /// How many there are.
    pub(super) n: usize,
    /// Steps in each.
    pub(super) length: usize,
}

/// `n` rows from step `first` on; a reversed loop begins with its last row.
pub(super) fn in_time(rows: Tensor<'_>, first: usize, n: usize, reverse: bool) -> Tensor<'_> {
    let all = rows.shape()[0];
    let start = if reverse { all - first - n } else { first };
    rows.slice(0, start, start + n)
}

/// `[n * length, ..]` as `[n, length, ..]`; single rows stay rows.
fn chunked(rows: Tensor<'_>, n: usize, length: usize) -> Tensor<'_> {
    if length == 1 {
        return rows;
    }
    let shape = rows.shape();
    rows.reshape(&[&[n, length], &shape[1..]].concat())
}

fn unchunked(rows: Tensor<'_>, length: usize) -> Tensor<'_> {
    if length == 1 {
        return rows;
    }
    let shape = rows.shape();
    rows.reshape(&[&[shape[0] * length], &shape[2..]].concat())
}

pub(super) fn row_types(rows: &[Tensor<'_>]) -> Vec<TensorType> {
    let types = rows.iter().map(|row| row.ty());
    types.map(|ty| TensorType::new(ty.dtype, ty.shape.get(1..).unwrap_or_default())).collect()
}
