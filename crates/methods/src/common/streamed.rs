//! Training steps of a population whose members see targets of their own.

use crate::{Context, MethodError};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_graph::{Builder, Graph, GraphError, TensorType};
use thalweg_nn::{Loss, Mode, Model, Weights};
use thalweg_train::part::HyperValues;
use thalweg_train::{Argument, Optimizer, Point, Population, Recipe, Resources, Sequences, Shared};

/// Steps in one program.
const SEGMENT: u64 = 100;

/// What every member's targets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// One of so many classes for each example.
    Classes(usize),
    /// So many numbers for each example.
    Values(usize),
}

/// The targets of each member.
#[derive(Clone, Copy, Debug)]
pub enum MemberTargets<'a> {
    /// Classes, one an example.
    Classes(&'a [Vec<usize>]),
    /// Values `[n, k]`.
    Values(&'a [Array]),
}

/// Takes steps of one recipe with a population: the inputs are the same for all members, targets and
/// hyper-parameters each member's own, and targets may change between any two steps.
///
/// Labels never reach the program: an example stands among the inputs once for each class, and a
/// step picks those of the classes that it means. A member's bits depend on its own weights, targets
/// and orders alone.
pub struct Streamed {
    executor: Arc<Executor>,
    recipe: Recipe,
    float: DType,
    batch: usize,
    examples: usize,
    targets: TargetKind,
    /// Each example once, or once for each class.
    inputs: Array,
    plain_inputs: Array,
    segments: Mutex<HashMap<u64, Arc<Population>>>,
    outputs: Population,
}

/// A population between two steps, optimizer and all.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamedNets {
    members: Vec<Vec<Array>>,
    steps: u64,
}

/// What was seen of a member along some steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamedMetrics {
    /// The loss of each step's batch before the step.
    pub loss: Vec<f64>,
    /// The share of it that was classified rightly; empty for values.
    pub accuracy: Vec<f64>,
}

impl Streamed {
    /// Steps of a model with an optimizer on examples `[n, ..]`, in the inputs' float type.
    ///
    /// # Errors
    /// A batch that is larger than the data or zero, inputs that do not fit the model.
    pub fn new(
        executor: Arc<Executor>,
        model: &Model,
        optimizer: &Optimizer,
        loss: Loss,
        inputs: &Array,
        targets: TargetKind,
        batch: usize,
    ) -> Result<Streamed, MethodError> {
        let examples = inputs.shape().first().copied().unwrap_or(0);
        if batch == 0 || batch > examples {
            let expected = format!("from 1 to {examples}");
            return Err(MethodError::config("batch", expected, batch));
        }
        let copies = match targets {
            TargetKind::Classes(classes) => classes,
            TargetKind::Values(_) => 1,
        };
        let rows: Vec<Array> = (0..examples * copies)
            .map(|row| inputs.row(row / copies.max(1)))
            .collect::<Result<_, _>>()?;
        let float = inputs.dtype();
        let rule = optimizer.rule();
        let recipe = Recipe { model: model.clone(), loss, adjustment: None, rule };
        let (graph, axes) = outputs_graph(&recipe, inputs, float)?;
        Ok(Streamed {
            outputs: Population::new(executor.clone(), graph, axes),
            executor,
            recipe,
            float,
            batch,
            examples,
            targets,
            inputs: Array::stack(&rows)?,
            plain_inputs: inputs.clone(),
            segments: Mutex::default(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.recipe.model
    }

    /// Steps that see each example once.
    pub fn epoch_steps(&self) -> u64 {
        (self.examples / self.batch) as u64
    }

    /// Members before their first step, at given weights.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn start(&self, weights: &[Weights]) -> Result<StreamedNets, MethodError> {
        let state = |weights: &Weights| -> Result<Vec<Array>, MethodError> {
            let weights = weights.convert(self.float);
            let model = self.model();
            let parameters = model.parameter_tree(weights.parameters.arrays().to_vec())?;
            let buffers = model.buffer_tree(weights.buffers.arrays().to_vec())?;
            Ok([parameters.into_arrays(), buffers.into_arrays(), self.fresh_optimizer()].concat())
        };
        let members = weights.iter().map(state).collect::<Result<_, _>>()?;
        Ok(StreamedNets { members, steps: 0 })
    }

    fn fresh_optimizer(&self) -> Vec<Array> {
        let types = self.model().parameter_types(self.float);
        let slots = self.recipe.rule.slots();
        let of = |slot: &thalweg_train::part::Slot| {
            let fill = |ty: &TensorType| Array::full(&ty.shape, slot.initial).convert(ty.dtype);
            types.iter().map(fill).collect::<Vec<_>>()
        };
        slots.iter().flat_map(of).collect()
    }

    /// The weights of a member.
    ///
    /// # Errors
    /// A member that is none.
    pub fn weights(&self, nets: &StreamedNets, member: usize) -> Result<Weights, MethodError> {
        let Some(arrays) = nets.members.get(member) else {
            let expected = format!("below {}", nets.members.len());
            return Err(MethodError::mismatch("a member", expected, member));
        };
        let (model, n) = (self.model(), self.model().parameters().len());
        let buffers = arrays[n..n + model.buffers().len()].to_vec();
        Ok(Weights {
            parameters: model.parameter_tree(arrays[..n].to_vec())?,
            buffers: model.buffer_tree(buffers)?,
        })
    }

    /// Gives a member other weights; its optimizer goes on.
    ///
    /// # Errors
    /// A member that is none; weights of another model.
    pub fn replace(
        &self,
        nets: &mut StreamedNets,
        member: usize,
        weights: &Weights,
    ) -> Result<(), MethodError> {
        let fresh = self.start(std::slice::from_ref(weights))?.members.concat();
        let n = self.model().parameters().len() + self.model().buffers().len();
        let count = nets.members.len();
        let Some(arrays) = nets.members.get_mut(member) else {
            let expected = format!("below {count}");
            return Err(MethodError::mismatch("a member", expected, member));
        };
        arrays[..n].clone_from_slice(&fresh[..n]);
        Ok(())
    }

    /// Takes steps. Each member has hyper-parameters by name (`lr` among them), targets, and a
    /// stream of orders: an epoch shuffles the examples anew, and what fills no batch is left out.
    ///
    /// # Errors
    /// Members without targets, hyper-parameters or orders, or hyper-parameters that the optimizer
    /// does not have; a label that is none; those of the engine; `Interrupted` between segments.
    pub fn steps(
        &self,
        ctx: &Context<'_>,
        nets: &mut StreamedNets,
        hyper: &[BTreeMap<&str, f64>],
        targets: MemberTargets<'_>,
        orders: &[Stream],
        steps: u64,
    ) -> Result<Vec<StreamedMetrics>, MethodError> {
        let n = nets.members.len();
        let given = match targets {
            MemberTargets::Classes(labels) => labels.len(),
            MemberTargets::Values(values) => values.len(),
        };
        if [hyper.len(), given, orders.len()] != [n; 3] {
            let expected = format!("hyper-parameters, targets and orders of {n} members");
            let got = format!("{}, {given}, {}", hyper.len(), orders.len());
            return Err(MethodError::mismatch("members", expected, got));
        }
        let hyper = self.hyper(hyper)?;
        let mut metrics = vec![StreamedMetrics::default(); n];
        let mut left = steps;
        while left > 0 {
            ctx.check()?;
            let length = left.min(SEGMENT);
            let population = self.segment(length)?;
            let resources = Resources { memory: Some(ctx.memory()), chunk: None };
            let chunking = population.chunking("training steps", n, 0, &resources)?;
            for (own, filled) in chunking.chunks(n) {
                let arguments = self.arguments(nets, &filled, &hyper, targets, orders, length)?;
                let outputs = population.run(chunking.size, arguments)?;
                let count = nets.members[own.start].len();
                for (row, member) in own.enumerate() {
                    for (to, from) in nets.members[member].iter_mut().zip(&outputs[..count]) {
                        *to = from.row(row)?;
                    }
                    metrics[member].loss.extend(outputs[count].row(row)?.to_f64_vec());
                    if let Some(accuracy) = outputs.get(count + 2) {
                        metrics[member].accuracy.extend(accuracy.row(row)?.to_f64_vec());
                    }
                }
            }
            nets.steps += length;
            left -= length;
        }
        Ok(metrics)
    }

    /// Values of the rule's hyper-parameters, in its order, for each member.
    fn hyper(&self, given: &[BTreeMap<&str, f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        let known = self.recipe.rule.hyper_parameters();
        let of = |own: &BTreeMap<&str, f64>| {
            if let Some(name) = own.keys().find(|name| !known.iter().any(|h| h.name == **name)) {
                let names: Vec<_> = known.iter().map(|hyper| hyper.name).collect();
                let expected = format!("one of {}", names.join(", "));
                return Err(MethodError::config("hyper-parameter", expected, name));
            }
            Ok(known.iter().map(|h| own.get(h.name).copied().unwrap_or(h.default)).collect())
        };
        given.iter().map(of).collect()
    }

    fn arguments(
        &self,
        nets: &StreamedNets,
        members: &[usize],
        hyper: &[Vec<f64>],
        targets: MemberTargets<'_>,
        orders: &[Stream],
        length: u64,
    ) -> Result<Vec<Argument>, MethodError> {
        let count = nets.members.first().map_or(0, Vec::len);
        let arrays = (0..count).map(|i| {
            Argument::Members(members.iter().map(|&m| nets.members[m][i].clone()).collect())
        });
        let mut arguments: Vec<Argument> = arrays.collect();
        for i in 0..hyper.first().map_or(0, Vec::len) {
            let values: Vec<f64> = members.iter().map(|&m| hyper[m][i]).collect();
            arguments.push(Argument::Packed(Array::vector(&values).convert(self.float)));
        }
        let (epoch, batch) = (self.epoch_steps(), self.batch);
        let mut indices: Vec<i32> = Vec::with_capacity(length as usize * members.len() * batch);
        let mut known: HashMap<usize, (u64, Vec<usize>)> = HashMap::new();
        for step in nets.steps..nets.steps + length {
            let (number, place) = (step / epoch, (step % epoch) as usize);
            for &member in members {
                let order = known.entry(member).or_insert((u64::MAX, Vec::new()));
                if order.0 != number {
                    *order = (number, orders[member].at(number).permutation(self.examples));
                }
                for &example in &order.1[place * batch..(place + 1) * batch] {
                    indices.push(self.row(targets, member, example)? as i32);
                }
            }
        }
        let shape = [length as usize, members.len(), batch];
        arguments.push(Argument::Packed(Array::from_slice(&shape, &indices)?));
        let counts: Vec<f64> =
            (nets.steps..nets.steps + length).map(|step| (step + 1) as f64).collect();
        arguments.push(Argument::Shared(Array::full(&[length as usize], 1.0).convert(self.float)));
        arguments.push(Argument::Shared(Array::vector(&counts).convert(self.float)));
        arguments.push(Argument::Shared(self.inputs.clone()));
        arguments.push(match (targets, self.targets) {
            (MemberTargets::Classes(_), TargetKind::Classes(classes)) => {
                let rows = 0..self.examples * classes;
                let labels: Vec<i32> = rows.map(|row| (row % classes) as i32).collect();
                Argument::Shared(Array::vector(&labels))
            }
            (MemberTargets::Values(values), TargetKind::Values(_)) => {
                let of = |&m: &usize| values[m].convert(self.float);
                Argument::Members(members.iter().map(of).collect())
            }
            _ => {
                let expected = "those that the steps were made for";
                return Err(MethodError::mismatch("targets", expected, "others"));
            }
        });
        Ok(arguments)
    }

    /// The row of an example with the label that a member gives it.
    fn row(
        &self,
        targets: MemberTargets<'_>,
        member: usize,
        example: usize,
    ) -> Result<usize, MethodError> {
        let (MemberTargets::Classes(labels), TargetKind::Classes(classes)) =
            (targets, self.targets)
        else {
            return Ok(example);
        };
        match labels[member].get(example) {
            Some(&label) if label < classes => Ok(example * classes + label),
            other => {
                let expected = format!("one below {classes}");
                Err(MethodError::mismatch("a label", expected, format!("{other:?}")))
            }
        }
    }

    fn segment(&self, length: u64) -> Result<Arc<Population>, MethodError> {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = segments.get(&length) {
            return Ok(known.clone());
        }
        let (graph, axes) = self.graph(length as usize)?;
        let population = Arc::new(Population::new(self.executor.clone(), graph, axes));
        segments.insert(length, population.clone());
        Ok(population)
    }

    fn graph(&self, length: usize) -> Result<(Graph, Vec<Option<usize>>), GraphError> {
        let (recipe, float) = (&self.recipe, self.float);
        let builder = Builder::new(float);
        let mut axes: Vec<Option<usize>> = Vec::new();
        let mut input = |name: &str, ty: TensorType, axis: Option<usize>| {
            axes.push(axis);
            builder.input(name, ty)
        };
        let mut of = |kind: &str, types: Vec<TensorType>| -> Vec<_> {
            let each = types.into_iter().enumerate();
            each.map(|(i, ty)| input(&format!("{kind}.{i}"), ty, Some(0))).collect()
        };
        let point = Point {
            parameters: of("parameter", recipe.model.parameter_types(float)),
            buffers: of("buffer", recipe.model.buffer_types(float)),
            optimizer: of("optimizer", recipe.optimizer_types(float)),
        };
        let scalar = TensorType::new(float, []);
        let hyper = recipe.rule.hyper_parameters().into_iter().map(|h| {
            let value = input(&format!("hyper.{}", h.name), scalar.clone(), Some(0));
            (h.name.to_owned(), value)
        });
        let hyper = HyperValues::new(hyper.collect());
        let indices = TensorType::new(DType::I32, [length, self.batch]);
        let indices = input("indices", indices, Some(1));
        let sequence = TensorType::new(float, [length]);
        let factors = input("factors", sequence.clone(), None);
        let counts = input("counts", sequence, None);
        let inputs = input("inputs", TensorType::new(float, self.inputs.shape()), None);
        let targets = match self.targets {
            TargetKind::Classes(_) => {
                let rows = self.inputs.shape()[0];
                input("targets", TensorType::new(DType::I32, [rows]), None)
            }
            TargetKind::Values(width) => {
                input("targets", TensorType::new(float, [self.examples, width]), Some(0))
            }
        };
        let sequences = Sequences { indices, factors, counts, dropout_keys: None, inputs: None };
        let shared = Shared { inputs: vec![inputs], targets, weights: None };
        let (point, info) = recipe.run(&point, &hyper, sequences, shared, None, 0);
        let infos = [Some(info.loss), Some(info.gradient_norm), info.accuracy];
        let found = [point.tensors(), infos.into_iter().flatten().collect()].concat();
        let names: Vec<String> = (0..found.len()).map(|i| format!("value{i}")).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(found).collect();
        Ok((builder.finish(&named)?, axes))
    }

    /// What each member says of every example, `[n, k]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn outputs(
        &self,
        ctx: &Context<'_>,
        nets: &StreamedNets,
    ) -> Result<Vec<Array>, MethodError> {
        let n = nets.members.len();
        let count = self.model().parameters().len() + self.model().buffers().len();
        let resources = Resources { memory: Some(ctx.memory()), chunk: None };
        let chunking = self.outputs.chunking("outputs", n, 0, &resources)?;
        let mut found = Vec::with_capacity(n);
        for (own, filled) in chunking.chunks(n) {
            let arrays = (0..count).map(|i| {
                Argument::Members(filled.iter().map(|&m| nets.members[m][i].clone()).collect())
            });
            let data = Argument::Shared(self.plain_inputs.clone());
            let arguments: Vec<Argument> = arrays.chain([data]).collect();
            let outputs = self.outputs.run(chunking.size, arguments)?;
            for row in 0..own.len() {
                found.push(outputs[0].row(row)?);
            }
        }
        Ok(found)
    }
}

/// A member's outputs for all examples, with frozen statistics.
fn outputs_graph(
    recipe: &Recipe,
    inputs: &Array,
    float: DType,
) -> Result<(Graph, Vec<Option<usize>>), GraphError> {
    let builder = Builder::new(float);
    let (parameters, buffers) = recipe.model.declare(&builder);
    let x = builder.input("inputs of all", TensorType::new(float, inputs.shape()));
    let applied = recipe.model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE);
    let members = vec![Some(0); parameters.len() + buffers.len()];
    Ok((builder.finish(&[("outputs", applied.output)])?, [members, vec![None]].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_nn::Architecture;

    fn setting(kind: TargetKind, loss: Loss) -> (Streamed, Vec<Weights>) {
        let model = "mlp hidden=5".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let values: Vec<f64> = (0..24).map(|i| (i as f64 * 1.3).sin()).collect();
        let inputs = Array::from_slice(&[8, 3], &values).unwrap();
        let weights = (0..3).map(|seed| thalweg_train::initialize(&model, seed, DType::F64));
        let weights = weights.collect::<Result<_, _>>().unwrap();
        let executor = Arc::new(Executor::new(1));
        let streamed =
            Streamed::new(executor, &model, &Optimizer::adam(), loss, &inputs, kind, 4).unwrap();
        (streamed, weights)
    }

    #[test]
    fn a_member_does_not_depend_on_its_neighbours_and_learns_its_own_labels() {
        let (streamed, weights) = setting(TargetKind::Classes(2), Loss::default());
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let labels: Vec<Vec<usize>> =
            (0..3).map(|m| (0..8).map(|i| (i >> (m + 1)) & 1).collect()).collect();
        let orders: Vec<Stream> = (0..3).map(|m| Stream::new(m, "order")).collect();
        let hyper = vec![BTreeMap::from([("lr", 0.03)]); 3];
        let mut all = streamed.start(&weights).unwrap();
        let targets = MemberTargets::Classes(&labels);
        let seen = streamed.steps(&ctx, &mut all, &hyper, targets, &orders, 400).unwrap();
        assert_eq!((seen.len(), seen[1].loss.len(), seen[1].accuracy.len()), (3, 400, 400));
        let late = seen.iter().map(|m| m.accuracy[350..].iter().sum::<f64>() / 50.0);
        let late: Vec<f64> = late.collect();
        assert!(late.iter().all(|share| *share > 0.9), "{late:?}");
        let mut alone = streamed.start(&weights[1..2]).unwrap();
        let targets = MemberTargets::Classes(&labels[1..2]);
        // In two parts, which end within an epoch and a segment.
        for steps in [233, 167] {
            streamed.steps(&ctx, &mut alone, &hyper[1..2], targets, &orders[1..2], steps).unwrap();
        }
        assert_eq!(alone.members[0], all.members[1]);
        let decided = |outputs: &Array, example: usize| {
            let row = outputs.row(example).unwrap().to_f64_vec();
            usize::from(row[1] > row[0])
        };
        let outputs = streamed.outputs(&ctx, &all).unwrap();
        for (outputs, labels) in outputs.iter().zip(&labels) {
            let right = (0..8).filter(|&i| decided(outputs, i) == labels[i]).count();
            assert!(right >= 7, "{right}");
        }
    }

    #[test]
    fn values_are_fitted_and_what_does_not_fit_is_told() {
        let (streamed, weights) = setting(TargetKind::Values(2), Loss::MeanSquaredError);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let orders: Vec<Stream> = (0..3).map(|m| Stream::new(m, "order")).collect();
        let values: Vec<Array> = (0..3).map(|m| Array::full(&[8, 2], f64::from(m))).collect();
        let hyper = vec![BTreeMap::from([("lr", 0.02)]); 3];
        let mut nets = streamed.start(&weights).unwrap();
        let targets = MemberTargets::Values(&values);
        let seen = streamed.steps(&ctx, &mut nets, &hyper, targets, &orders, 300).unwrap();
        assert!(seen.iter().all(|m| m.loss[299] < 1e-2 && m.accuracy.is_empty()), "{seen:?}");
        let wrong = MemberTargets::Classes(&[]);
        assert!(streamed.steps(&ctx, &mut nets, &hyper, wrong, &orders, 1).is_err());
        let hyper = vec![BTreeMap::from([("rate", 0.02)]); 3];
        let error = streamed.steps(&ctx, &mut nets, &hyper, targets, &orders, 1).unwrap_err();
        assert!(error.to_string().starts_with("hyper-parameter: expected one of beta1"), "{error}");
        streamed.replace(&mut nets, 1, &weights[0]).unwrap();
        assert_eq!(streamed.weights(&nets, 1).unwrap(), weights[0]);
        assert!(streamed.replace(&mut nets, 3, &weights[0]).is_err());
    }
}
