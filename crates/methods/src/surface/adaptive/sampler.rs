//! The losses of more and more examples at chosen points.

use crate::common::{BatchNorm, Evaluator, ExampleValues, Gathered, Objective};
use crate::error::stored;
use crate::{Context, MethodError};
use std::cell::Cell;
use std::ops::Range;
use thalweg_array::Array;
use thalweg_nn::{Parameters, Weights};

/// Examples in a block: sizes of samples are multiples of it.
const BLOCK: usize = 32;

/// Points in a unit of work. Fixed, so that what was stored under one memory budget serves
/// another.
const UNIT: usize = 32;

/// Populations of which programs are kept, so that a few points are not padded to many.
const POPULATIONS: [usize; 3] = [UNIT, 8, 1];

/// The objective with its examples in the order in which they are drawn.
pub(super) enum Drawn<'a> {
    /// In a random order.
    Shuffled(Gathered<'a>),
    /// As it is, to be seen whole: what an example's loss is depends on the others.
    Whole(&'a dyn Objective),
}

impl<'a> Drawn<'a> {
    pub(super) fn new(ctx: &Context<'_>, objective: &'a dyn Objective) -> Drawn<'a> {
        let frozen = objective.batch_norm() == BatchNorm::Frozen || objective.buffers().is_empty();
        match frozen && objective.examples() > BLOCK {
            true => {
                let stream = ctx.stream("surface/examples");
                Drawn::Shuffled(Gathered::shuffled(objective, &stream, BLOCK))
            }
            false => Drawn::Whole(objective),
        }
    }

    fn objective(&self) -> &dyn Objective {
        match self {
            Drawn::Shuffled(shuffled) => shuffled,
            Drawn::Whole(objective) => *objective,
        }
    }

    /// Numbers of batches that a sample may have, increasing; the last is all of them.
    ///
    /// About three halves from one to the next: a sample is at most half as large again as it need
    /// be, and a sum over all sizes stays short.
    fn ladder(&self) -> Vec<usize> {
        let all = self.objective().batches().len();
        let mut ladder = Vec::new();
        if let Drawn::Shuffled(_) = self {
            let mut step = 2;
            // A sample that is nearly everything is everything.
            while 5 * step < 4 * all {
                ladder.extend([step, step + step / 2]);
                step *= 2;
            }
            ladder.retain(|&blocks| 5 * blocks < 4 * all);
        }
        ladder.push(all);
        ladder
    }

    /// Values in the objective's own order, if these are of all examples.
    pub(super) fn in_order(&self, values: &[f64]) -> Vec<f64> {
        let Drawn::Shuffled(shuffled) = self else { return values.to_vec() };
        let mut ordered = vec![f64::NAN; shuffled.order().len()];
        for (&place, &value) in shuffled.order().iter().zip(values) {
            ordered[place] = value;
        }
        ordered
    }
}

/// Evaluates points of one plane on the first examples of the drawn order.
pub(super) struct Sampler<'a> {
    ctx: Context<'a>,
    evaluators: Vec<Evaluator<'a>>,
    /// Examples in a sample of each size.
    sizes: Vec<usize>,
    ladder: Vec<usize>,
    dimensions: usize,
    evaluations: Cell<u64>,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(
        ctx: &Context<'a>,
        drawn: &'a Drawn<'a>,
        centre: &Weights,
        directions: &[Parameters],
    ) -> Result<Sampler<'a>, MethodError> {
        let objective = drawn.objective();
        let ladder = drawn.ladder();
        let batches = objective.batches();
        let sizes = ladder.iter().map(|&blocks| batches[..blocks].iter().sum()).collect();
        let mut evaluators: Vec<Evaluator<'a>> = Vec::new();
        for wanted in POPULATIONS {
            if evaluators.last().is_none_or(|last| last.members() > wanted) {
                evaluators.push(Evaluator::affine(ctx, objective, centre, directions, wanted)?);
            }
        }
        let evaluations = Cell::new(0);
        let dimensions = directions.len();
        Ok(Sampler { ctx: ctx.clone(), evaluators, sizes, ladder, dimensions, evaluations })
    }

    /// Coordinates that a point has.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Bytes that may be held.
    pub(super) fn memory(&self) -> usize {
        self.ctx.memory()
    }

    /// Examples in a sample of each size that there is, increasing; the last has all.
    pub(super) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Losses of single examples that were asked for until now.
    pub(super) fn evaluations(&self) -> u64 {
        self.evaluations.get()
    }

    /// What the sample of size number `size` has beyond that of number `after`, at some points.
    /// The key names the piece of work.
    pub(super) fn sample(
        &self,
        key: &str,
        points: &[Vec<f64>],
        after: Option<usize>,
        size: usize,
    ) -> Result<Vec<ExampleValues>, MethodError> {
        let (start, first) = after.map_or((0, 0), |after| (self.ladder[after], self.sizes[after]));
        let batches = start..self.ladder[size];
        let examples = self.sizes[size] - first;
        let mut found = Vec::with_capacity(points.len());
        for (unit, points) in points.chunks(UNIT).enumerate() {
            found.extend(self.unit(&format!("{key}/{unit}"), points, batches.clone(), examples)?);
        }
        self.evaluations.set(self.evaluations.get() + (points.len() * examples) as u64);
        Ok(found)
    }

    fn unit(
        &self,
        key: &str,
        points: &[Vec<f64>],
        batches: Range<usize>,
        examples: usize,
    ) -> Result<Vec<ExampleValues>, MethodError> {
        let arrays = self.ctx.unit(key, || {
            let mut losses = Vec::with_capacity(points.len() * examples);
            let mut correct = Vec::new();
            let mut left = points;
            while let Some(last) = self.evaluators.last().filter(|_| !left.is_empty()) {
                let fits = |e: &&Evaluator<'a>| e.members() <= left.len();
                let evaluator = self.evaluators.iter().find(fits).unwrap_or(last);
                let (now, later) = left.split_at(evaluator.members().min(left.len()));
                for values in evaluator.examples_at(now, batches.clone())? {
                    losses.extend(values.losses);
                    correct.extend(values.correct.into_iter().flatten());
                }
                left = later;
            }
            let column = |name: &str, values: &[f64]| (name.to_owned(), Array::vector(values));
            Ok(vec![column("losses", &losses), column("correct", &correct)])
        })?;
        let losses = stored(key, &arrays, "losses", points.len() * examples)?;
        let classified = arrays.iter().any(|(name, a)| name == "correct" && !a.is_empty());
        let correct = match classified {
            true => Some(stored(key, &arrays, "correct", points.len() * examples)?),
            false => None,
        };
        let part = |values: &[f64], point: usize| {
            values[point * examples..(point + 1) * examples].to_vec()
        };
        let of_point = |point: usize| ExampleValues {
            losses: part(losses, point),
            correct: correct.map(|values| part(values, point)),
            ..ExampleValues::default()
        };
        Ok((0..points.len()).map(of_point).collect())
    }
}
