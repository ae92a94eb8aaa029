//! Where large and small batches end on digits, and the loss between.

use super::Sizes;
use crate::bench::Bench;
use crate::data::all_digits;
use crate::spectrum::objective;
use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_methods::common::gradient;
use thalweg_methods::surface::{BatchRuns, batch_path};
use thalweg_methods::{Silent, evaluate};
use thalweg_nn::architecture::Mlp;
use thalweg_nn::{Architecture, Loss, Model};
use thalweg_train::{Length, Member, Optimizer, Schedule, TrainConfig, initialize};

/// Points of the path between two ends.
pub(super) const PATH: usize = 21;
/// The runs: large batches, small ones from there, small ones from the same start.
pub(super) const RUNS: usize = 3;
/// The lines between their ends, in the order of [`thalweg_methods::surface::BatchPath`].
pub(super) const LINES: [&str; 3] = [
    "large batches and small ones from there",
    "large batches and small ones from the same start",
    "small batches from there and from the same start",
];
const RATE: f64 = 0.1;

/// Of one seed: barriers as shares of the loss at the start, and gradients' norms and losses at ends.
pub(super) struct Basins {
    pub(super) barriers: [f64; 3],
    pub(super) steepness: [f64; 3],
    pub(super) losses: [f64; 3],
}

pub(super) fn network(hidden: usize) -> Result<Model> {
    Ok(Architecture::from(Mlp { hidden: vec![hidden], ..Mlp::default() }).build(&[64], 10)?)
}

pub(super) fn basins(bench: &Bench<'_>, sizes: &Sizes, seeds: &[u64]) -> Result<Vec<Basins>> {
    let numbers = bench.numbers("basins", || {
        let model = network(sizes.hidden)?;
        let examples = all_digits(DType::F32)?;
        let trainer = |run: usize| {
            let config = TrainConfig {
                optimizer: Optimizer::sgd(),
                schedule: Schedule::default(),
                batch: sizes.batch[usize::from(run > 0)],
                length: Length::Steps(sizes.steps[run]),
                segment: 250,
                ..TrainConfig::default()
            };
            bench.trainer(&model, &examples, config)
        };
        let (large, onward, small) = (trainer(0)?, trainer(1)?, trainer(2)?);
        let runs = BatchRuns { large: &large, onward: &onward, small: &small };
        let ctx = bench.context().clone().with_units(&Silent);
        let objective = objective(&ctx, &model, Loss::default(), &examples)?;
        let members = Member::product(seeds, &[RATE]);
        let mut numbers = Vec::new();
        for (path, &seed) in batch_path(&ctx, &objective, &runs, &members, PATH)?.iter().zip(seeds)
        {
            let start = evaluate(&ctx, &objective, &initialize(&model, seed, DType::F32)?)?.loss;
            numbers.extend(path.barriers().map(|barrier| barrier / start));
            let mut ends = Vec::new();
            for end in &path.ends {
                ends.push(gradient(&ctx, &objective, end)?);
            }
            numbers.extend(ends.iter().map(|end| end.norm()));
            numbers.extend(ends.iter().map(|end| end.at.loss));
        }
        Ok(numbers)
    })?;
    let of = |row: &[f64]| {
        let three = |first: usize| std::array::from_fn(|i| row[first + i]);
        Basins { barriers: three(0), steepness: three(RUNS), losses: three(2 * RUNS) }
    };
    Ok(numbers.chunks_exact(3 * RUNS).map(of).collect())
}
