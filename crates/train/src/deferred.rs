//! A run whose examples, or their weights, change on the way.

use crate::{Ended, Observer, Segment, TrainError, TrainState, Trainer};
use std::ops::ControlFlow;

/// Takes the steps before `at` by one trainer and the others by another: deferred re-weighting, where
/// the second one's examples have weights ([`Examples::with_weights`](crate::Examples::with_weights),
/// [`class_balanced_weights`](thalweg_nn::class_balanced_weights)) and everything else is the same.
///
/// The schedule, momentum and the order of the data go on. The change comes at the end of the first
/// segment that reaches `at`.
///
/// # Errors
/// Trainers of runs that are not the same; those of [`Trainer::run`].
/// # Source    Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with
/// label-distribution-aware margin loss, 2019, arXiv 1906.07413, algorithm 1
pub fn run_deferred(
    before: &Trainer,
    after: &Trainer,
    state: &mut TrainState,
    at: u64,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    if before.total_steps() != after.total_steps() {
        let expected = format!("{} steps", before.total_steps());
        return Err(TrainError::setting("the second trainer", expected, after.total_steps()));
    }
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
