//! A run whose examples, or their weights, change on the way.

use crate::{Ended, Observer, Segment, TrainError, TrainState, Trainer};
use std::ops::ControlFlow;

/// Takes a share of the steps by one trainer and the others by another: deferred re-weighting, where
/// the second one's examples have weights ([`Examples::with_weights`](crate::Examples::with_weights),
/// [`class_balanced_weights`](thalweg_nn::class_balanced_weights)) and everything else is the same.
///
/// The schedule, momentum and the order of the data go on. The change comes at the end of the first
/// segment that reaches the share.
///
/// # Errors
/// Trainers of runs that are not the same, a share that is none; those of [`Trainer::run`].
/// # Source    Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with
/// label-distribution-aware margin loss, 2019, arXiv 1906.07413, algorithm 1
pub fn run_deferred(
    before: &Trainer,
    after: &Trainer,
    state: &mut TrainState,
    share: f64,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    if before.total_steps() != after.total_steps() {
        let expected = format!("{} steps", before.total_steps());
        return Err(TrainError::setting("the second trainer", expected, after.total_steps()));
    }
    if !(0.0..=1.0).contains(&share) {
        return Err(TrainError::setting("the share of the first trainer", "0 to 1", share));
    }
    let at = steps_of(share, before.total_steps());
    if state.step() < at {
        let mut asked_to_stop = false;
        let mut look = |segment: &Segment<'_>| {
            let told = observer.segment(segment);
            asked_to_stop = told == ControlFlow::Break(());
            if segment.end >= at { ControlFlow::Break(()) } else { told }
        };
        let ended = before.run(state, &mut look)?;
        if ended == Ended::Finished || asked_to_stop {
            return Ok(ended);
        }
    }
    after.run(state, observer)
}

/// The least number of steps that is a share of all.
fn steps_of(share: f64, total: u64) -> u64 {
    let near = (share * total as f64).ceil() as u64;
    // The product of a share that is a number of steps may be above it, which the quotient is not.
    let before = near.saturating_sub(1);
    if before as f64 / total as f64 >= share { before } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Examples, Length, Member, Resources, Schedule, TrainConfig};
    use std::sync::Arc;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;

    #[test]
    fn the_second_trainer_goes_on_from_the_share() {
        let model = "linear".parse::<Architecture>().unwrap().build(&[2], 2).unwrap();
        let inputs = Array::from_slice(&[2, 2], &[1.0, 0.5, -0.5, 2.0]).unwrap();
        let examples =
            Examples::from_arrays(inputs, Array::vector(&[0i32, 1]), true, DType::F64).unwrap();
        let config = TrainConfig {
            optimizer: "sgd".parse().unwrap(),
            schedule: Schedule::default(),
            batch: 2,
            length: Length::Steps(4),
            precision: DType::F64,
            segment: 1,
            ..TrainConfig::default()
        };
        let trainer = |examples: Examples| {
            let (executor, resources) = (Arc::new(Executor::new(1)), Resources::default());
            Trainer::new(executor, model.clone(), examples, config.clone(), resources).unwrap()
        };
        // Without a weight on any example nothing moves.
        let weightless = examples.clone().with_weights(Array::zeros(DType::F64, &[2])).unwrap();
        let (before, after) = (trainer(examples), trainer(weightless));
        for (share, moving) in [(0.0, 0), (0.25, 1), (0.3, 2), (1.0, 4)] {
            let mut state = before.start(&[Member::new(0, 0.1)]).unwrap();
            let mut last = state.weights(0).unwrap();
            let mut moved = Vec::new();
            let mut look = |segment: &Segment<'_>| {
                let now = segment.state.weights(0).unwrap();
                moved.push(now != last);
                last = now;
                ControlFlow::Continue(())
            };
            let ended = run_deferred(&before, &after, &mut state, share, &mut look).unwrap();
            assert_eq!((ended, state.step()), (Ended::Finished, 4));
            assert_eq!(moved, [0, 1, 2, 3].map(|step| step < moving), "{share}");
        }
        let mut state = before.start(&[Member::new(0, 0.1)]).unwrap();
        let mut look = |_: &Segment<'_>| ControlFlow::Continue(());
        assert!(run_deferred(&before, &after, &mut state, 1.5, &mut look).is_err());
    }

    #[test]
    fn a_share_of_the_steps_is_the_least_number_that_is_as_much() {
        for (share, total, expected) in [
            (0.0, 30, 0),
            (1.0, 30, 30),
            (0.8, 1260, 1008),
            (0.5, 1, 1),
            (0.1, 25, 3),
            // 0.1 times 30 is above 3.
            (0.1, 30, 3),
        ] {
            assert_eq!(steps_of(share, total), expected, "{share} of {total}");
        }
        for total in 1..=200u64 {
            for steps in 0..=total {
                assert_eq!(steps_of(steps as f64 / total as f64, total), steps, "of {total}");
            }
        }
    }
}
