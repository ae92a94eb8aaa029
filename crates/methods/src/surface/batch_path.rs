//! Whether large and small batches end in one basin: the loss on lines between where they lead.

use crate::common::{Objective, barrier, linear_path};
use crate::{Context, MethodError};
use std::ops::ControlFlow;
use thalweg_nn::Weights;
use thalweg_train::{Member, Segment, Status, TrainState, Trainer};

/// The three runs of [`batch_path`], each with its own batch and length.
#[derive(Clone, Copy)]
pub struct BatchRuns<'a> {
    /// Large batches from the start.
    pub large: &'a Trainer,
    /// Small batches from where the large ones end.
    pub onward: &'a Trainer,
    /// Small batches from the same start.
    pub small: &'a Trainer,
}

/// Where the runs of one member end, and the loss between these ends.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPath {
    /// The end of large batches, of small ones that went on from there, and of small ones from the
    /// same start; of a run that diverged the last weights that were finite.
    pub ends: [Weights; 3],
    /// Whether the loss of each of these runs stayed finite.
    pub finished: [bool; 3],
    /// Losses on the straight lines: large to onward, large to small, onward to small.
    pub lines: [Vec<f64>; 3],
}

impl BatchPath {
    /// How far each line rises above the one between the losses at its ends.
    pub fn barriers(&self) -> [f64; 3] {
        self.lines.each_ref().map(|line| barrier(line))
    }
}

/// Trains each member with large batches, goes on from there with small ones, trains it with small
/// ones from the same start, and evaluates the loss at `points` points of each line between the ends.
///
/// A barrier of none says something only where the runs have arrived: look at the gradient at their
/// ends.
///
/// # Errors
/// Those of the trainers and of [`linear_path`]; `Interrupted` between segments.
/// # Source    Sagun, Evci, Guney, Dauphin, Bottou, Empirical analysis of the Hessian of
/// over-parametrized neural networks, 2017, arXiv 1706.04454, the experiment on small and large batches
pub fn batch_path(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    runs: &BatchRuns<'_>,
    members: &[Member],
    points: usize,
) -> Result<Vec<BatchPath>, MethodError> {
    let large = ended(ctx, "large batches", runs.large, runs.large.start(members)?)?;
    let from: Vec<Weights> = large.iter().map(|(weights, _)| weights.clone()).collect();
    let start = runs.onward.start_from(members, &from)?;
    let onward = ended(ctx, "small batches from there", runs.onward, start)?;
    let small = ended(ctx, "small batches", runs.small, runs.small.start(members)?)?;
    let mut found = Vec::with_capacity(members.len());
    for ((large, onward), small) in large.into_iter().zip(onward).zip(small) {
        let finished = [large.1, onward.1, small.1];
        let ends = [large.0, onward.0, small.0];
        let line = |a: usize, b: usize| linear_path(ctx, objective, &ends[a], &ends[b], points);
        let lines = [line(0, 1)?, line(0, 2)?, line(1, 2)?];
        found.push(BatchPath { ends, finished, lines });
    }
    Ok(found)
}

/// Takes all steps; of each member its weights, and whether its loss stayed finite.
fn ended(
    ctx: &Context<'_>,
    what: &str,
    trainer: &Trainer,
    mut state: TrainState,
) -> Result<Vec<(Weights, bool)>, MethodError> {
    ctx.progress().start(what, trainer.total_steps());
    let mut look = |segment: &Segment<'_>| {
        ctx.progress().advance(segment.end - segment.first);
        match ctx.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    trainer.run(&mut state, &mut look)?;
    ctx.check()?;
    let mut found = Vec::with_capacity(state.len());
    for (i, member) in state.members().iter().enumerate() {
        found.push((state.weights(i)?, member.status == Status::Running));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ModelObjective, ObjectiveConfig};
    use std::slice::from_ref;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Model};
    use thalweg_train::{Examples, Length, Resources, Schedule, TrainConfig};

    const X: [f64; 4] = [1.0, -0.5, 2.0, 0.25];
    const Y: [f64; 4] = [0.5, 1.0, -1.0, 2.0];

    fn line() -> (Model, Array, Array) {
        let model = "linear".parse::<Architecture>().unwrap().build(&[1], 1).unwrap();
        let column = |values: &[f64]| Array::from_slice(&[4, 1], values).unwrap();
        (model, column(&X), column(&Y))
    }

    fn trainer(executor: &Arc<Executor>, batch: usize, steps: u64) -> Trainer {
        let (model, inputs, targets) = line();
        let config = TrainConfig {
            optimizer: "sgd".parse().unwrap(),
            schedule: Schedule::default(),
            loss: Loss::HalfSquaredError,
            batch,
            length: Length::Steps(steps),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let examples = Examples::from_arrays(inputs, targets, false, DType::F64).unwrap();
        let resources = Resources::default();
        Trainer::new(executor.clone(), model, examples, config, resources).unwrap()
    }

    #[test]
    fn lines_join_the_ends_of_a_bowl_without_a_barrier() {
        let executor = Arc::new(Executor::new(1));
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (model, inputs, targets) = line();
        let (loss, config) = (Loss::HalfSquaredError, ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, vec![inputs], targets, false, &config)
                .unwrap();
        let [large, onward, small] =
            [(4, 2000), (1, 3), (1, 3)].map(|(batch, steps)| trainer(&executor, batch, steps));
        let runs = BatchRuns { large: &large, onward: &onward, small: &small };
        let members = [Member::new(1, 0.1), Member::new(2, 0.1)];
        let found = batch_path(&ctx, &objective, &runs, &members, 5).unwrap();
        assert_eq!(found.len(), 2);
        for (path, member) in found.iter().zip(&members) {
            assert_eq!(path.finished, [true; 3]);
            // Least squares by hand: whole batches end there.
            let mean = |of: &dyn Fn(usize) -> f64| (0..4).map(of).sum::<f64>() / 4.0;
            let (x, y) = (mean(&|i| X[i]), mean(&|i| Y[i]));
            let slope = mean(&|i| (X[i] - x) * (Y[i] - y)) / mean(&|i| (X[i] - x) * (X[i] - x));
            let least = mean(&|i| 0.5 * (Y[i] - y - slope * (X[i] - x)).powi(2));
            assert!((path.lines[0][0] - least).abs() < 1e-12, "{} {least}", path.lines[0][0]);
            assert_eq!(path.lines[0][0], path.lines[1][0]);
            // The loss is convex, so that no line rises above the one between its ends.
            assert!(path.barriers().iter().all(|barrier| *barrier < 1e-12), "{path:?}");
            // A run goes on from where the large batches ended, not from their start.
            let alone = onward.start_from(from_ref(member), &path.ends[..1]).unwrap();
            let alone = ended(&ctx, "alone", &onward, alone).unwrap();
            assert_eq!(path.ends[1], alone[0].0);
            let fresh = small.start(from_ref(member)).unwrap();
            let fresh = ended(&ctx, "fresh", &small, fresh).unwrap();
            assert_eq!(path.ends[2], fresh[0].0);
            assert_ne!(path.ends[1], path.ends[2]);
        }
        let fast = batch_path(&ctx, &objective, &runs, &[Member::new(1, 1e9)], 3).unwrap();
        assert!(!fast[0].finished[0]);
        assert!(batch_path(&ctx, &objective, &runs, &members, 1).is_err());
        let stop = AtomicBool::new(true);
        let ctx = ctx.clone().with_cancellation(&stop);
        let stopped = batch_path(&ctx, &objective, &runs, &members, 5);
        assert_eq!(stopped.unwrap_err(), MethodError::Interrupted);
    }
}
