//! One training step as a graph, and a loop of them.

use crate::part::{Evaluated, HyperValues, StepContext, UpdateRule, global_norm};
use thalweg_array::DType;
use thalweg_graph::{Builder, ScanStep, Tensor, TensorType};
use thalweg_nn::{BatchNormMode, Loss, Mode, Model};
use thalweg_transform::gradient;

/// What a step of training does: model, loss and update rule.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The model.
    pub model: Model,
    /// The loss.
    pub loss: Loss,
    /// The optimizer.
    pub rule: UpdateRule,
}

/// A point of training: all that one step hands to the next.
#[derive(Clone, Debug)]
pub struct Point<'b> {
    /// The parameters.
    pub parameters: Vec<Tensor<'b>>,
    /// The buffers.
    pub buffers: Vec<Tensor<'b>>,
    /// The optimizer's arrays: for each slot, one for each parameter.
    pub optimizer: Vec<Tensor<'b>>,
}

impl<'b> Point<'b> {
    /// All of it: parameters, buffers, optimizer.
    pub fn tensors(&self) -> Vec<Tensor<'b>> {
        [self.parameters.as_slice(), &self.buffers, &self.optimizer].concat()
    }

    pub(crate) fn from_tensors(recipe: &Recipe, tensors: &[Tensor<'b>]) -> Point<'b> {
        let (parameters, rest) = tensors.split_at(recipe.model.parameters().len());
        let (buffers, optimizer) = rest.split_at(recipe.model.buffers().len());
        Point {
            parameters: parameters.to_vec(),
            buffers: buffers.to_vec(),
            optimizer: optimizer.to_vec(),
        }
    }
}

/// The examples of one step.
#[derive(Clone, Debug)]
pub struct Batch<'b> {
    /// Each of the model's inputs, `[batch, ..]`.
    pub inputs: Vec<Tensor<'b>>,
    /// Labels `[batch]` or values `[batch, k]`.
    pub targets: Tensor<'b>,
    /// A weight for each example, `[batch]`; one unless given.
    pub weights: Option<Tensor<'b>>,
}

/// What changes from step to step from outside.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'b> {
    /// The schedule's factor of the learning rate.
    pub factor: Tensor<'b>,
    /// The step's number, counted from one, as a float.
    pub count: Tensor<'b>,
    /// Key of this step's dropout masks, `u32 [2]`; without one nothing is dropped.
    pub dropout_key: Option<Tensor<'b>>,
}

/// What a person wants to know of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo<'b> {
    /// Loss of the batch before the step.
    pub loss: Tensor<'b>,
    /// Norm of the gradient that the update is made of, before clipping.
    pub gradient_norm: Tensor<'b>,
    /// Share of the batch classified rightly before the step, where targets are labels.
    pub accuracy: Option<Tensor<'b>>,
}

/// The sequences that a loop of `S` steps reads.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'b> {
    /// Positions of each step's examples, `i32 [S, batch]`.
    pub indices: Tensor<'b>,
    /// Factors of the learning rate, `[S]`.
    pub factors: Tensor<'b>,
    /// Numbers of the steps, counted from one, `[S]` floats.
    pub counts: Tensor<'b>,
    /// Keys of the dropout masks, `u32 [S, 2]`.
    pub dropout_keys: Option<Tensor<'b>>,
    /// The first input of each step, `[S, batch, ..]`, where it is none of [`Shared::inputs`].
    pub inputs: Option<Tensor<'b>>,
}

/// The data that all steps of a loop share.
#[derive(Clone, Debug)]
pub struct Shared<'b> {
    /// Each of the model's inputs, `[n, ..]`, but one that each step brings.
    pub inputs: Vec<Tensor<'b>>,
    /// Labels `[n]` or values `[n, k]`.
    pub targets: Tensor<'b>,
    /// A weight for each example, `[n]`.
    pub weights: Option<Tensor<'b>>,
}

impl Recipe {
    /// Types of the optimizer's arrays in a float type.
    pub fn optimizer_types(&self, float: DType) -> Vec<TensorType> {
        let each = self.model.parameter_types(float);
        self.rule.slots().iter().flat_map(|_| each.clone()).collect()
    }

    /// Names of the optimizer's arrays, as `momentum.fc1.weight`.
    pub fn optimizer_names(&self) -> Vec<String> {
        let of = |slot: &str| {
            let parameters = self.model.parameters().iter();
            parameters.map(|p| format!("{slot}.{}", p.name)).collect::<Vec<_>>()
        };
        self.rule.slots().iter().flat_map(|slot| of(slot.name)).collect()
    }

    /// One step: the next point, and what to know of this one.
    pub fn step<'b>(
        &self,
        builder: &'b Builder,
        point: &Point<'b>,
        batch: Batch<'b>,
        clock: Clock<'b>,
        hyper: &HyperValues<'b>,
    ) -> (Point<'b>, StepInfo<'b>) {
        let context = StepContext {
            builder,
            descriptions: self.model.parameters(),
            parameters: &point.parameters,
            hyper,
            factor: clock.factor,
            count: clock.count,
        };
        let mode = Mode { batch_norm: BatchNormMode::Batch, dropout_key: clock.dropout_key };
        let objective = |parameters: &[Tensor<'b>]| {
            let applied =
                self.model.apply_to_all(builder, parameters, &point.buffers, &batch.inputs, &mode);
            let loss = self.loss.of(applied.output, batch.targets, batch.weights);
            Evaluated {
                loss,
                gradient: gradient(loss, parameters),
                new_buffers: applied.new_buffers,
                output: applied.output,
            }
        };
        let evaluated = self.rule.gradient().evaluate(&context, &objective);
        let labels = batch.targets.dtype() == DType::I32;
        let info = StepInfo {
            loss: evaluated.loss,
            gradient_norm: global_norm(builder, &evaluated.gradient),
            accuracy: labels.then(|| Loss::correct(evaluated.output, batch.targets).mean(&[0])),
        };
        let (parameters, optimizer) =
            self.rule.apply(&context, evaluated.gradient, &point.optimizer);
        (Point { parameters, buffers: evaluated.new_buffers, optimizer }, info)
    }

    /// As many steps as the sequences are long, in one `scan`; the infos are sequences `[S]`.
    ///
    /// With `alive`, a boolean scalar, the point stays where it was from the first step on whose
    /// loss or gradient norm is not finite, and always if it is false. Derivatives go through the
    /// loop with a tree of checkpoints of the given branching
    /// (see [`thalweg_graph::Scan::checkpoint_branching`]).
    pub fn run<'b>(
        &self,
        point: &Point<'b>,
        hyper: &HyperValues<'b>,
        sequences: Sequences<'b>,
        shared: Shared<'b>,
        alive: Option<Tensor<'b>>,
        checkpoint_branching: usize,
    ) -> (Point<'b>, StepInfo<'b>) {
        let builder = sequences.indices.builder();
        let length = sequences.indices.shape().first().copied().unwrap_or(0);
        let carry = [point.tensors(), alive.into_iter().collect()].concat();
        let xs: Vec<Tensor<'b>> = [sequences.indices, sequences.factors, sequences.counts]
            .into_iter()
            .chain(sequences.dropout_keys)
            .chain(sequences.inputs)
            .collect();
        let n_shared_inputs = shared.inputs.len();
        let constants: Vec<Tensor<'b>> = hyper
            .tensors()
            .into_iter()
            .chain(shared.inputs)
            .chain([shared.targets])
            .chain(shared.weights)
            .collect();
        let names = hyper.names();
        let body = Body {
            recipe: self,
            names: &names,
            keys: sequences.dropout_keys.is_some(),
            own_input: sequences.inputs.is_some(),
            n_shared_inputs,
            weights: shared.weights.is_some(),
            freezes: alive.is_some(),
        };
        let (carry, infos) =
            builder.scan(length, &carry, &xs, &constants, checkpoint_branching, |step| {
                body.trace(&step)
            });
        let info = match infos[..] {
            [loss, gradient_norm] => StepInfo { loss, gradient_norm, accuracy: None },
            [loss, gradient_norm, accuracy] => {
                StepInfo { loss, gradient_norm, accuracy: Some(accuracy) }
            }
            // Only after a mistake that the builder keeps.
            _ => {
                let zero = builder.scalar(0.0);
                StepInfo { loss: zero, gradient_norm: zero, accuracy: None }
            }
        };
        let n = carry.len() - usize::from(alive.is_some());
        (Point::from_tensors(self, &carry[..n]), info)
    }
}

/// How the operands of the loop's body are laid out.
struct Body<'a> {
    recipe: &'a Recipe,
    names: &'a [String],
    keys: bool,
    own_input: bool,
    n_shared_inputs: usize,
    weights: bool,
    freezes: bool,
}

impl Body<'_> {
    fn trace<'s>(&self, step: &ScanStep<'s, '_>) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>) {
        let n_point = step.carry.len() - usize::from(self.freezes);
        let point = Point::from_tensors(self.recipe, &step.carry[..n_point]);
        let (values, data) = step.constants.split_at(self.names.len());
        let named = self.names.iter().cloned().zip(values.iter().copied());
        let hyper = HyperValues::new(named.collect());
        let indices = step.xs[0];
        let (shared, targets) = data.split_at(self.n_shared_inputs);
        let own = self.own_input.then(|| step.xs[step.xs.len() - 1]);
        let batch = Batch {
            inputs: own.into_iter().chain(shared.iter().map(|x| x.take(indices))).collect(),
            targets: targets[0].take(indices),
            weights: self.weights.then(|| targets[1].take(indices)),
        };
        let clock = Clock {
            factor: step.xs[1],
            count: step.xs[2],
            dropout_key: self.keys.then(|| step.xs[3]),
        };
        let (next, info) = self.recipe.step(step.builder, &point, batch, clock, &hyper);
        let carry = match self.freezes {
            false => next.tensors(),
            true => {
                let finite = info.loss.is_finite().and(info.gradient_norm.is_finite());
                let alive = step.carry[n_point].and(finite);
                let kept = next.tensors().into_iter().zip(&step.carry[..n_point]);
                kept.map(|(new, &old)| alive.select(new, old)).chain([alive]).collect()
            }
        };
        let infos = [info.loss, info.gradient_norm].into_iter().chain(info.accuracy).collect();
        (carry, infos)
    }
}
