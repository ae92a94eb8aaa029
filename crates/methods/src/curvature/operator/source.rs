//! The examples that a matrix is the mean over.

use super::ExampleGroup;
use crate::MethodError;
use crate::common::{BatchNorm, Gathered, Objective};
use thalweg_data::Stream;

/// An objective, or some of its examples.
pub(super) enum Source<'a> {
    All(&'a dyn Objective),
    Some(Gathered<'a>),
}

impl<'a> Source<'a> {
    /// # Errors
    /// A group that is none; some of the examples where an example's loss depends on its batch.
    pub(super) fn new(
        objective: &'a dyn Objective,
        examples: &ExampleGroup,
    ) -> Result<Source<'a>, MethodError> {
        let Some(places) = examples.places(objective)? else { return Ok(Source::All(objective)) };
        separate(objective, "some of the examples")?;
        let block = objective.batches().iter().copied().max().unwrap_or(1);
        Ok(Source::Some(Gathered::selected(objective, places, block)?))
    }

    pub(super) fn objective(&self) -> &dyn Objective {
        match self {
            Source::All(objective) => *objective,
            Source::Some(gathered) => gathered,
        }
    }

    /// The streams of so many examples from a place on; an example's is the same in every group.
    pub(super) fn streams(&self, draws: &Stream, first: usize, count: usize) -> Vec<Stream> {
        let place = |at: usize| match self {
            Source::All(_) => at,
            Source::Some(gathered) => gathered.order().get(at).copied().unwrap_or(at),
        };
        (first..first + count).map(|at| draws.at(place(at) as u64)).collect()
    }
}

/// Refuses an objective in which the loss of an example depends on the batch that it is in.
pub(super) fn separate(objective: &dyn Objective, what: &str) -> Result<(), MethodError> {
    if objective.batch_norm() != BatchNorm::Batch || objective.buffers().is_empty() {
        return Ok(());
    }
    let expected = format!("frozen or recalibrated batch normalisation, for {what}");
    Err(MethodError::mismatch("the objective", expected, "batch"))
}
