//! A decision process as the tables and the draws of a program.

use super::{DeepQConfig, DeepQLearning};
use crate::MethodError;
use std::ops::Range;
use thalweg_array::{Array, DType};
use thalweg_data::{BlockMdp, Stream};
use thalweg_train::Argument;

/// A process as arrays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tables {
    states: usize,
    arrays: [Array; Tables::COUNT],
}

impl Tables {
    /// Number of arrays.
    pub(super) const COUNT: usize = 6;

    /// The state of each example `[n]`; examples in the order of their states `[n]`, where those of
    /// a state begin and how many they are, both `[states]`; rewards `[states * actions]`; and how
    /// likely the next state is one before the next `[states * actions, states]`.
    pub(super) fn new(process: &BlockMdp, float: DType) -> Result<Tables, MethodError> {
        let states = process.states();
        let rows: Vec<&[usize]> = (0..states).map(|state| process.rows(state)).collect();
        let order: Vec<i32> = rows.concat().into_iter().map(|row| row as i32).collect();
        let counts: Vec<i32> = rows.iter().map(|rows| rows.len() as i32).collect();
        let mut state_of = vec![0i32; order.len()];
        for (state, rows) in rows.iter().enumerate() {
            rows.iter().for_each(|&row| state_of[row] = state as i32);
        }
        let begin = |sum: &mut i32, count: &i32| {
            *sum += count;
            Some(*sum - count)
        };
        let first: Vec<i32> = counts.iter().scan(0, begin).collect();
        let places = states * process.actions();
        let mut cumulative = Vec::with_capacity(places * states);
        for place in 0..places {
            cumulative.extend(sums(process, place / process.actions(), place % process.actions()));
        }
        let cumulative = Array::from_slice(&[places, states], &cumulative)?;
        let arrays = [
            Array::vector(&state_of),
            Array::vector(&order),
            Array::vector(&first),
            Array::vector(&counts),
            Array::vector(process.rewards()).convert(float),
            cumulative.convert(float),
        ];
        Ok(Tables { states, arrays })
    }

    pub(super) fn states(&self) -> usize {
        self.states
    }

    pub(super) fn arrays(&self) -> &[Array; Tables::COUNT] {
        &self.arrays
    }
}

/// For each state how likely the next one is it or one before. From the last one on that can come,
/// more than any draw, so that rounding makes no other one possible.
fn sums(process: &BlockMdp, state: usize, action: usize) -> Vec<f64> {
    let next = process.next(state, action);
    let last = next.iter().rposition(|p| *p > 0.0).unwrap_or(0);
    let mut sum = 0.0;
    let upto = next.iter().enumerate().map(|(state, p)| {
        sum += p;
        if state >= last { 2.0 } else { sum }
    });
    upto.collect()
}

/// A uniform number below one that a single-precision number holds exactly.
fn coarse(stream: &Stream, index: u64) -> f64 {
    f64::from(stream.u32(index) >> 8) / f64::from(1u32 << 24)
}

/// Draws of some steps of some members, step after step.
pub(super) struct Draws {
    explores: Vec<i32>,
    actions: Vec<i32>,
    next: Vec<f64>,
    rows: Vec<f64>,
    remembered: Vec<i32>,
}

/// What each member draws in each of some steps.
pub(super) fn draws(
    streams: &[Stream],
    steps: Range<u64>,
    actions: usize,
    config: &DeepQConfig,
) -> Draws {
    let names = ["explore", "action", "next", "row", "replay"];
    let own: Vec<[Stream; 5]> =
        streams.iter().map(|stream| names.map(|name| stream.child(name))).collect();
    let mut all = Draws {
        explores: Vec::new(),
        actions: Vec::new(),
        next: Vec::new(),
        rows: Vec::new(),
        remembered: Vec::new(),
    };
    for step in steps {
        // The transition of this step is among them.
        let filled = (config.warm_up as u64 + step + 1).min(config.capacity as u64);
        for [explore, action, next, row, replay] in &own {
            all.explores.push(i32::from(explore.uniform(step) < config.exploration));
            all.actions.push(action.below(step, actions as u64) as i32);
            all.next.push(coarse(next, step));
            all.rows.push(coarse(row, step));
            let places = replay.at(step);
            let batch = 0..config.batch as u64;
            all.remembered.extend(batch.map(|i| places.below(i, filled) as i32));
        }
    }
    all
}

impl Draws {
    /// The arguments of a program of so many steps and members.
    pub(super) fn packed(
        &self,
        length: usize,
        members: usize,
        learning: &DeepQLearning,
    ) -> Result<Vec<Argument>, MethodError> {
        let each = [length, members];
        let batches = [length, members, learning.config.batch];
        let float = |values: &[f64]| -> Result<Array, MethodError> {
            Ok(Array::from_slice(&each, values)?.convert(learning.float))
        };
        Ok(vec![
            Argument::Packed(Array::from_slice(&each, &self.explores)?),
            Argument::Packed(Array::from_slice(&each, &self.actions)?),
            Argument::Packed(float(&self.next)?),
            Argument::Packed(float(&self.rows)?),
            Argument::Packed(Array::from_slice(&batches, &self.remembered)?),
        ])
    }
}

/// A memory after the warm-up: what is seen now `[]`, and of each transition what was seen, the
/// action, the reward, and what was seen then, all `[capacity]`.
pub(super) fn warmed_up(
    process: &BlockMdp,
    stream: &Stream,
    config: &DeepQConfig,
    float: DType,
) -> Result<Vec<Array>, MethodError> {
    let stream = stream.child("warm up");
    let seen = |state: usize, draws: &Stream| {
        let rows = process.rows(state);
        let place = (coarse(draws, 2) * rows.len() as f64) as usize;
        rows.get(place).copied().unwrap_or(0)
    };
    let first = stream.child("first");
    let mut state = first.below(0, process.states() as u64) as usize;
    let mut row = seen(state, &first);
    let n = config.capacity;
    let [mut from, mut action, mut to] = [(); 3].map(|()| vec![0i32; n]);
    let mut reward = vec![0.0; n];
    for step in 0..config.warm_up {
        let draws = stream.at(step as u64);
        let taken = draws.below(0, process.actions() as u64) as usize;
        let draw = coarse(&draws.child("next"), 0);
        let next = sums(process, state, taken).iter().filter(|sum| **sum <= draw).count();
        (from[step], action[step]) = (row as i32, taken as i32);
        reward[step] = process.rewards()[state * process.actions() + taken];
        state = next;
        row = seen(state, &draws);
        to[step] = row as i32;
    }
    Ok(vec![
        Array::scalar(row as i32),
        Array::vector(&from),
        Array::vector(&action),
        Array::vector(&reward).convert(float),
        Array::vector(&to),
    ])
}
