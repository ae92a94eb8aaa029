//! Training steps of a population whose members see targets of their own.

mod program;

use super::optimizer_inputs::{fresh_slots, hyper_values};
use crate::{Context, MethodError};
use program::outputs_graph;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_nn::{Loss, Model, Weights};
use thalweg_train::{Argument, Optimizer, Population, Recipe, Resources};

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
    /// The step before which each member's optimizer began.
    begun: Vec<u64>,
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
            let optimizer = fresh_slots(model, &self.recipe.rule, self.float);
            Ok([parameters.into_arrays(), buffers.into_arrays(), optimizer].concat())
        };
        let members = weights.iter().map(state).collect::<Result<_, _>>()?;
        Ok(StreamedNets { members, steps: 0, begun: vec![0; weights.len()] })
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

    /// Lets a member's optimizer begin anew, its count of steps too; weights and data order go on.
    ///
    /// # Errors
    /// A member that is none.
    /// # Source    as an intervention: Lyle et al., Understanding plasticity in neural networks, 2023,
    /// arXiv 2303.01486
    pub fn reset_optimizer(
        &self,
        nets: &mut StreamedNets,
        member: usize,
    ) -> Result<(), MethodError> {
        let count = nets.members.len();
        let (Some(arrays), Some(begun)) =
            (nets.members.get_mut(member), nets.begun.get_mut(member))
        else {
            let expected = format!("below {count}");
            return Err(MethodError::mismatch("a member", expected, member));
        };
        let n = self.model().parameters().len() + self.model().buffers().len();
        arrays.truncate(n);
        arrays.extend(fresh_slots(self.model(), &self.recipe.rule, self.float));
        *begun = nets.steps;
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
        let hyper = hyper_values(&self.recipe.rule, hyper)?;
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

    #[test]
    fn an_optimizer_that_begins_anew_is_one_that_has_taken_no_step() {
        let (streamed, weights) = setting(TargetKind::Values(2), Loss::MeanSquaredError);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let values: Vec<Array> = (0..3).map(|m| Array::full(&[8, 2], f64::from(m))).collect();
        let targets = MemberTargets::Values(&values);
        let hyper = vec![BTreeMap::from([("lr", 0.02)]); 3];

        let orders: Vec<Stream> = (0..3).map(|m| Stream::new(m, "order")).collect();
        let mut nets = streamed.start(&weights).unwrap();
        streamed.steps(&ctx, &mut nets, &hyper, targets, &orders, 7).unwrap();
        let here = streamed.weights(&nets, 1).unwrap();
        let mut other = nets.clone();
        streamed.reset_optimizer(&mut nets, 1).unwrap();
        assert_eq!(streamed.weights(&nets, 1).unwrap(), here);
        streamed.steps(&ctx, &mut nets, &hyper, targets, &orders, 1).unwrap();
        streamed.steps(&ctx, &mut other, &hyper, targets, &orders, 1).unwrap();
        // Adam's first step moves every weight that has a gradient by the rate, whatever its size.
        let after = streamed.weights(&nets, 1).unwrap().parameters.flatten();
        let moved: Vec<f64> =
            after.iter().zip(here.parameters.flatten()).map(|(a, b)| (a - b).abs()).collect();
        let large = moved.iter().filter(|step| **step > 1e-9);
        assert!(large.clone().count() > 10, "{moved:?}");
        assert!(large.clone().all(|step| (step - 0.02).abs() < 1e-5), "{moved:?}");
        // Its neighbours go on as they were, and so would it have.
        assert_eq!(nets.members[0], other.members[0]);
        assert_ne!(nets.members[1], other.members[1]);
        assert!(streamed.reset_optimizer(&mut nets, 3).is_err());
    }
}
