//! What is seen of a run from outside.

use crate::TrainState;
use std::ops::ControlFlow;

/// Metrics of some steps of every member, in `[member][step]`.
///
/// After a member has diverged its entries are NaN; at the step at which it did, they are what
/// was computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Loss of each step's batch before the step.
    pub loss: Vec<Vec<f64>>,
    /// Norm of the gradient that each update is made of, before clipping.
    pub gradient_norm: Vec<Vec<f64>>,
    /// Share of the batch classified rightly before the step; empty for real-valued targets.
    pub accuracy: Vec<Vec<f64>>,
    /// Loss of each step's batch at the end of SAM's ascent; empty for optimizers without one. Less
    /// the loss before the step it is the rise that SAM makes small beside the loss.
    pub perturbed_loss: Vec<Vec<f64>>,
}

/// Some steps that all members have just taken.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The first step, counted from zero.
    pub first: u64,
    /// One past the last step.
    pub end: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Steps of an epoch.
    pub epoch: u64,
    /// What happened in these steps.
    pub metrics: &'a Metrics,
    /// Where all members are now.
    pub state: &'a TrainState,
}

/// Looks at a run after each segment and may stop it.
pub trait Observer {
    /// Called when all members have taken the segment's steps; `Break` stops the run there.
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()>;
}

impl<F: FnMut(&Segment<'_>) -> ControlFlow<()>> Observer for F {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        self(segment)
    }
}

/// Sees nothing and stops nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn segment(&mut self, _: &Segment<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Keeps the metrics of every step that it sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// First step that was seen.
    pub first: u64,
    /// Metrics of all steps since then.
    pub metrics: Metrics,
}

impl Observer for History {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        if self.metrics.loss.is_empty() {
            self.first = segment.first;
        }
        let append = |to: &mut Vec<Vec<f64>>, from: &[Vec<f64>]| {
            to.resize(from.len(), Vec::new());
            to.iter_mut().zip(from).for_each(|(to, from)| to.extend(from));
        };
        append(&mut self.metrics.loss, &segment.metrics.loss);
        append(&mut self.metrics.gradient_norm, &segment.metrics.gradient_norm);
        append(&mut self.metrics.accuracy, &segment.metrics.accuracy);
        append(&mut self.metrics.perturbed_loss, &segment.metrics.perturbed_loss);
        ControlFlow::Continue(())
    }
}
