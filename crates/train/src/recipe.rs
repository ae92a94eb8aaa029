//! One training step as a graph, and a loop of them.

use crate::part::{Evaluated, HyperValues, StepContext, UpdateRule, global_norm};
use thalweg_array::DType;
use thalweg_graph::{Builder, ScanStep, Tensor, TensorType};
use thalweg_nn::{BatchNormMode, ClassAdjustment, Loss, Mode, Model};
use thalweg_transform::{gradient, vmap_of};

/// What a step of training does: model, loss and update rule.
///
/// An output of the model after its first that is called `penalty` and has one number an example, as the
/// balance of a mixture of experts, is added to the loss: its mean over the batch. Evaluations leave it
/// out.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The model.
    pub model: Model,
    /// The loss.
    pub loss: Loss,
    /// What is done to outputs before it.
    pub adjustment: Option<ClassAdjustment>,
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
    /// Loss of the batch where the gradient is taken, if that is not the point itself.
    pub perturbed_loss: Option<Tensor<'b>>,
}

impl<'b> StepInfo<'b> {
    /// What there is, in order.
    fn tensors(&self) -> Vec<Tensor<'b>> {
        let always = [self.loss, self.gradient_norm];
        always.into_iter().chain(self.accuracy).chain(self.perturbed_loss).collect()
    }
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
    /// The place among the model's outputs of one that is added to the loss.
    fn penalty(&self) -> Option<usize> {
        let outputs = self.model.outputs();
        let place = outputs.iter().position(|port| port.name == "penalty")?;
        (place > 0 && outputs[place].shape.is_empty()).then_some(place)
    }

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
        let evaluated = match self.rule.gradient().shard() {
            None => self.evaluate(&context, &point.buffers, &batch, clock.dropout_key),
            Some(shard) => {
                self.evaluate_shards(&context, &point.buffers, &batch, clock.dropout_key, shard)
            }
        };
        let labels = batch.targets.dtype() == DType::I32;
        let info = StepInfo {
            loss: evaluated.loss,
            gradient_norm: global_norm(builder, &evaluated.gradient),
            accuracy: labels.then(|| Loss::correct(evaluated.output, batch.targets).mean(&[0])),
            perturbed_loss: evaluated.perturbed_loss,
        };
        let (parameters, optimizer) =
            self.rule.apply(&context, evaluated.gradient, &point.optimizer);
        (Point { parameters, buffers: evaluated.new_buffers, optimizer }, info)
    }

    /// What the gradient rule says of a batch.
    fn evaluate<'b>(
        &self,
        context: &StepContext<'_, 'b>,
        buffers: &[Tensor<'b>],
        batch: &Batch<'b>,
        dropout_key: Option<Tensor<'b>>,
    ) -> Evaluated<'b> {
        let mode = Mode { batch_norm: BatchNormMode::Batch, dropout_key };
        let objective = |parameters: &[Tensor<'b>]| {
            let inputs = &batch.inputs;
            let applied =
                self.model.apply_to_all(context.builder, parameters, buffers, inputs, &mode);
            let seen = match &self.adjustment {
                Some(adjustment) => adjustment.apply(applied.output, batch.targets),
                None => applied.output,
            };
            let loss = self.loss.of(seen, batch.targets, batch.weights);
            let loss = match self.penalty() {
                Some(place) => loss + applied.outputs[place].mean(&[0]),
                None => loss,
            };
            Evaluated {
                loss,
                gradient: gradient(loss, parameters),
                new_buffers: applied.new_buffers,
                output: applied.output,
                perturbed_loss: None,
            }
        };
        self.rule.gradient().evaluate(context, &objective)
    }

    /// The mean of what the gradient rule says of shards of a batch, each normalised by its own
    /// statistics and with dropout masks of its own; the outputs are those of all examples.
    fn evaluate_shards<'b>(
        &self,
        context: &StepContext<'_, 'b>,
        buffers: &[Tensor<'b>],
        batch: &Batch<'b>,
        dropout_key: Option<Tensor<'b>>,
        shard: usize,
    ) -> Evaluated<'b> {
        let builder = context.builder;
        let n = batch.targets.shape().first().copied().unwrap_or(0);
        if shard == 0 || n == 0 || !n.is_multiple_of(shard) {
            let expected = format!("shards that divide a batch of {n}");
            builder.reject("gradient of shards", expected, shard.to_string());
            return self.evaluate(context, buffers, batch, dropout_key);
        }
        let count = n / shard;
        let cut = |x: Tensor<'b>| {
            let shape = x.shape();
            x.reshape(&[&[count, shard], shape.get(1..).unwrap_or_default()].concat())
        };
        // The first shard has the step's own key, so that a single one is the whole batch.
        let keys = dropout_key.map(|key| {
            let own = builder.iota(DType::U32, &[count, 1], 0);
            let still = builder.zeros(&TensorType::new(DType::U32, [count, 1]));
            key.broadcast_in(&[count, 2], &[1]) + builder.concatenate(&[still, own], 1)
        });
        let arguments: Vec<(Tensor<'b>, Option<usize>)> = (batch.inputs.iter().copied())
            .chain([batch.targets])
            .chain(batch.weights)
            .map(cut)
            .chain(keys)
            .map(|x| (x, Some(0)))
            .collect();
        let n_inputs = batch.inputs.len();
        let n_parameters = context.parameters.len();
        let mut perturbs = false;
        let all = vmap_of(
            |x| {
                let (inputs, rest) = x.split_at(n_inputs);
                let part = Batch {
                    inputs: inputs.to_vec(),
                    targets: rest[0],
                    weights: batch.weights.map(|_| rest[1]),
                };
                let key = keys.map(|_| rest[rest.len() - 1]);
                let found = self.evaluate(context, buffers, &part, key);
                perturbs = found.perturbed_loss.is_some();
                let perturbed = found.perturbed_loss.into_iter().collect();
                [vec![found.output, found.loss], perturbed, found.gradient, found.new_buffers]
                    .concat()
            },
            &arguments,
            count,
        );
        let shape = all[0].shape();
        let output = all[0].reshape(&[&[n], shape.get(2..).unwrap_or_default()].concat());
        let mut means = all[1..].iter().map(|x| x.mean(&[0]));
        let loss = means.next().unwrap_or_else(|| builder.scalar(0.0));
        let perturbed_loss = if perturbs { means.next() } else { None };
        let gradient = means.by_ref().take(n_parameters).collect();
        Evaluated { loss, gradient, new_buffers: means.collect(), output, perturbed_loss }
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
        let labels = shared.targets.dtype() == DType::I32;
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
        let mut infos = infos.into_iter();
        // Neither is missing but after a mistake that the builder keeps.
        let [loss, gradient_norm] =
            [infos.next(), infos.next()].map(|info| info.unwrap_or_else(|| builder.scalar(0.0)));
        let accuracy = if labels { infos.next() } else { None };
        let info = StepInfo { loss, gradient_norm, accuracy, perturbed_loss: infos.next() };
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
        (carry, info.tensors())
    }
}
