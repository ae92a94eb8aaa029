//! Optimizers as traced parts.
//!
//! An [`UpdateRule`] is a [`GradientRule`] (where the gradient is taken) and a chain of
//! [`Transformation`]s (what becomes of it). Each part states the hyper-parameters that it reads
//! and the arrays that it keeps for each parameter; hyper-parameters are scalar inputs of the
//! graph, so that they can be batched and differentiated.

mod adam;
mod clip;
mod decay;
mod learning_rate;
mod momentum;
mod project;
mod pull;
mod sam;
mod table;

pub use adam::ScaleByAdam;
pub use clip::ClipByGlobalNorm;
pub use decay::{AddDecayedWeights, DecayOn};
pub use learning_rate::ScaleByLearningRate;
pub use momentum::Momentum;
pub use project::ProjectNorm;
pub use pull::PullAffine;
pub use sam::{AscentKind, AscentNorm, AscentScale, Sam};
pub use table::ScaleByTable;

use std::sync::Arc;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::Parameter;

/// A scalar that a part reads, with its usual value.
#[derive(Clone, Debug, PartialEq)]
pub struct HyperParameter {
    /// Its name; parts that use one name share one value.
    pub name: &'static str,
    /// The value unless a member has another.
    pub default: f64,
}

/// An array of each parameter's shape that a part keeps from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name, unique in a chain.
    pub name: &'static str,
    /// The value of every element before the first step.
    pub initial: f64,
}

/// Values of the hyper-parameters in a graph.
#[derive(Clone, Debug, Default)]
pub struct HyperValues<'b> {
    values: Vec<(String, Tensor<'b>)>,
}

impl<'b> HyperValues<'b> {
    /// Values under their names.
    pub fn new(values: Vec<(String, Tensor<'b>)>) -> HyperValues<'b> {
        HyperValues { values }
    }

    /// The value of a name; one that is missing is the builder's error.
    #[track_caller]
    pub fn get(&self, builder: &'b Builder, name: &str) -> Tensor<'b> {
        match self.values.iter().find(|(known, _)| known == name) {
            Some(&(_, value)) => value,
            None => {
                let known: Vec<_> = self.values.iter().map(|(known, _)| known.as_str()).collect();
                builder.reject("hyper-parameter", name, known.join(", "));
                builder.scalar(0.0)
            }
        }
    }

    /// The values in order.
    pub fn tensors(&self) -> Vec<Tensor<'b>> {
        self.values.iter().map(|&(_, value)| value).collect()
    }

    /// The names in order.
    pub fn names(&self) -> Vec<String> {
        self.values.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// What a part sees of a step, beside its own gradients and state.
#[derive(Clone, Copy)]
pub struct StepContext<'a, 'b> {
    /// Builds the step.
    pub builder: &'b Builder,
    /// What the model says about each parameter.
    pub descriptions: &'a [Parameter],
    /// The parameters before the step.
    pub parameters: &'a [Tensor<'b>],
    /// The hyper-parameters.
    pub hyper: &'a HyperValues<'b>,
    /// The schedule's factor of the learning rate.
    pub factor: Tensor<'b>,
    /// This step's number, counted from one, as a float.
    pub count: Tensor<'b>,
}

impl<'b> StepContext<'_, 'b> {
    /// A hyper-parameter.
    #[track_caller]
    pub fn hyper(&self, name: &str) -> Tensor<'b> {
        self.hyper.get(self.builder, name)
    }
}

/// A part of an optimizer: turns gradients, or what an earlier part made of them, into updates.
pub trait Transformation: Send + Sync {
    /// The scalars that it reads.
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        Vec::new()
    }

    /// The arrays that it keeps for each parameter.
    fn slots(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// The updates and the next state. `state[slot][parameter]` comes in the order of
    /// [`Transformation::slots`] and goes out in the same.
    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        state: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>);
}

/// The loss at a point, and what comes with it.
#[derive(Clone, Debug)]
pub struct Evaluated<'b> {
    /// The loss.
    pub loss: Tensor<'b>,
    /// Its gradient with respect to each parameter.
    pub gradient: Vec<Tensor<'b>>,
    /// The buffers after the batch.
    pub new_buffers: Vec<Tensor<'b>>,
    /// The model's first output.
    pub output: Tensor<'b>,
    /// The loss where the gradient was taken, if that is not the point itself.
    pub perturbed_loss: Option<Tensor<'b>>,
}

/// Evaluates the loss and its gradient at given parameters, on one batch with the same draws.
pub type Objective<'a, 'b> = dyn Fn(&[Tensor<'b>]) -> Evaluated<'b> + 'a;

/// Where the gradient of a step is taken.
pub trait GradientRule: Send + Sync {
    /// The scalars that it reads.
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        Vec::new()
    }

    /// Examples that it is asked about at once, if those are not the whole batch: then the batch is
    /// cut into shards of so many, it is asked about each, and what it says is averaged.
    fn shard(&self) -> Option<usize> {
        None
    }

    /// The loss that is reported, the gradient that is used, and the buffers after the step.
    fn evaluate<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        objective: &Objective<'_, 'b>,
    ) -> Evaluated<'b>;
}

/// The gradient at the current point.
#[derive(Clone, Copy, Debug)]
pub struct AtPoint;

impl GradientRule for AtPoint {
    fn evaluate<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        objective: &Objective<'_, 'b>,
    ) -> Evaluated<'b> {
        objective(step.parameters)
    }
}

/// A whole optimizer: where gradients are taken, and the parts that they go through.
#[derive(Clone)]
pub struct UpdateRule {
    gradient: Arc<dyn GradientRule>,
    chain: Vec<Arc<dyn Transformation>>,
}

impl std::fmt::Debug for UpdateRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateRule")
            .field("hyper_parameters", &self.hyper_parameters())
            .field("slots", &self.slots())
            .finish()
    }
}

impl UpdateRule {
    /// A rule from its parts, in the order in which gradients go through them.
    pub fn new(gradient: Arc<dyn GradientRule>, chain: Vec<Arc<dyn Transformation>>) -> UpdateRule {
        UpdateRule { gradient, chain }
    }

    /// The same rule with one more part at the end of the chain.
    #[must_use]
    pub fn then(mut self, part: Arc<dyn Transformation>) -> UpdateRule {
        self.chain.push(part);
        self
    }

    /// Where gradients are taken.
    pub fn gradient(&self) -> &dyn GradientRule {
        &*self.gradient
    }

    /// Every scalar that a part reads, each once.
    pub fn hyper_parameters(&self) -> Vec<HyperParameter> {
        let parts = self.chain.iter().flat_map(|part| part.hyper_parameters());
        let mut all: Vec<HyperParameter> = Vec::new();
        for hyper in self.gradient.hyper_parameters().into_iter().chain(parts) {
            if !all.iter().any(|known| known.name == hyper.name) {
                all.push(hyper);
            }
        }
        all
    }

    /// Every kind of array that is kept for each parameter.
    pub fn slots(&self) -> Vec<Slot> {
        self.chain.iter().flat_map(|part| part.slots()).collect()
    }

    /// The parameters after a step and the next state, of gradients and the state before.
    ///
    /// The state is flat: for each slot, an array for each parameter.
    pub fn apply<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        gradient: Vec<Tensor<'b>>,
        state: &[Tensor<'b>],
    ) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
        let n = step.parameters.len();
        let expected = self.slots().len() * n;
        if state.len() != expected {
            let got = state.len().to_string();
            step.builder.reject("optimizer state", format!("{expected} arrays"), got);
            return (step.parameters.to_vec(), state.to_vec());
        }
        let mut rest = state;
        let mut updates = gradient;
        let mut next_state = Vec::with_capacity(state.len());
        for part in &self.chain {
            let (own, others) = rest.split_at(part.slots().len() * n);
            rest = others;
            let own: Vec<Vec<_>> = own.chunks(n.max(1)).map(<[_]>::to_vec).collect();
            let (next_updates, next) = part.update(step, updates, &own);
            updates = next_updates;
            next_state.extend(next.into_iter().flatten());
        }
        let moved = step.parameters.iter().zip(updates).map(|(&p, update)| p + update);
        (moved.collect(), next_state)
    }
}

/// The Euclidean norm of all tensors together; its derivative at zero is taken as zero.
#[track_caller]
pub fn global_norm<'b>(builder: &'b Builder, tensors: &[Tensor<'b>]) -> Tensor<'b> {
    let mut sum = builder.scalar(0.0);
    for tensor in tensors {
        sum = sum + tensor.square().sum_all();
    }
    safe_sqrt(sum)
}

/// `sqrt(x)` with derivative zero where `x` is zero.
#[track_caller]
pub(crate) fn safe_sqrt(x: Tensor<'_>) -> Tensor<'_> {
    // The select inside keeps the infinite slope at zero out of the derivative; a NaN is not
    // equal to zero and goes through.
    let zero = x.equal(0.0);
    zero.select(x, zero.select(1.0, x).sqrt())
}
