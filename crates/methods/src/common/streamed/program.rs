//! The programs of a streamed population, and what they are given.

use super::{MemberTargets, Streamed, StreamedNets, TargetKind};
use crate::MethodError;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_graph::{Builder, Graph, GraphError, TensorType};
use thalweg_nn::Mode;
use thalweg_train::part::HyperValues;
use thalweg_train::{Argument, Point, Population, Recipe, Sequences, Shared};

impl Streamed {
    /// What a program of `length` steps is given for some members.
    pub(super) fn arguments(
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
        let mut counts: Vec<f64> = Vec::with_capacity(length as usize * members.len());
        for step in nets.steps..nets.steps + length {
            counts.extend(members.iter().map(|&m| (step + 1 - nets.begun[m]) as f64));
        }
        arguments.push(Argument::Shared(Array::full(&[length as usize], 1.0).convert(self.float)));
        let counts = Array::from_slice(&[length as usize, members.len()], &counts)?;
        arguments.push(Argument::Packed(counts.convert(self.float)));
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

    pub(super) fn segment(&self, length: u64) -> Result<Arc<Population>, MethodError> {
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
        let counts = input("counts", sequence, Some(1));
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
}

/// A member's outputs for all examples, with frozen statistics.
pub(super) fn outputs_graph(
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
