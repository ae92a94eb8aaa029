//! The passes over the data that give the Kronecker factors of each layer.

use super::diagonal::unit_columns;
use super::layers::{Layer, Reads, layers};
use super::score::Traced;
use super::source::Source;
use super::{CurvatureMatrix, likelihood};
use crate::common::{Objective, declare, even_chunks, fit, program_within, vector};
use crate::{Context, MethodError, Pass};
use std::collections::HashMap;
use thalweg_array::Array;
use thalweg_graph::{Builder, Graph, Tensor, TensorType, Value};
use thalweg_nn::Weights;
use thalweg_transform::{Replacement, gradient as gradient_of, substitute, vmap};

/// Columns of the root at the outputs that go at once.
const COLUMNS: usize = 8;

/// A layer with its factors.
pub(super) struct Found {
    pub(super) weight: usize,
    pub(super) bias: Option<usize>,
    pub(super) turned: bool,
    pub(super) input: Vec<Vec<f64>>,
    pub(super) output: Vec<Vec<f64>>,
}

/// The passes over the data that give the factors.
pub(super) struct Factors<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) matrix: CurvatureMatrix,
    pub(super) source: &'a Source<'a>,
    pub(super) point: &'a Weights,
    pub(super) places: &'a [usize],
}

impl Factors<'_> {
    fn objective(&self) -> &dyn Objective {
        self.source.objective()
    }

    /// The layers with their factors.
    ///
    /// # Errors
    /// No layer; factors or a pass beyond the memory; those of the engine.
    pub(super) fn found(&self) -> Result<Vec<Found>, MethodError> {
        let objective = self.objective();
        let (mut found, positions, outputs) = self.layers()?;
        let needed = found.iter().map(|layer| layer.input.len().pow(2) + layer.output.len().pow(2));
        let needed = needed.sum::<usize>().saturating_mul(4 * size_of::<f64>());
        if needed > self.ctx.memory() {
            let what = "the factors of K-FAC".to_owned();
            return Err(MethodError::Memory { what, needed, budget: self.ctx.memory() });
        }
        found.iter_mut().for_each(Found::open);
        let shared = [self.point.parameters.arrays(), self.point.buffers.arrays()].concat();
        let mut inputs = HashMap::new();
        for (size, batch) in objective.sizes() {
            let (_, program) = fit(self.ctx, "the inputs of K-FAC", 1, |_| self.inputs(batch))?;
            inputs.insert(size, program);
        }
        for (batch, size) in objective.batches().iter().enumerate() {
            self.ctx.check()?;
            self.ctx.spend(Pass::Loss, *size);
            let Some(program) = inputs.get(size) else { continue };
            let results = program.run([shared.as_slice(), &objective.data(batch)?].concat())?;
            for (layer, array) in found.iter_mut().zip(results) {
                add(&mut layer.input, &array);
            }
        }
        let columns: Vec<usize> = (0..outputs.iter().product()).collect();
        let with_columns = self.matrix.has_columns();
        let groups: Vec<&[usize]> = match with_columns {
            true => even_chunks(&columns, COLUMNS).collect(),
            false => vec![&[]; self.matrix.passes()],
        };
        let mut members = groups.iter().map(|group| group.len()).max().unwrap_or(0).max(1);
        let mut programs = HashMap::new();
        let what = format!("one column of the {} K-FAC", self.matrix.words());
        for (size, batch) in objective.sizes() {
            let graph = |members| self.gradients(batch, &outputs, members);
            let (fitting, program) = fit(self.ctx, &what, members, graph)?;
            members = fitting;
            programs.insert((size, members), program);
        }
        let draws = self.ctx.stream("curvature/targets");
        for (pass, group) in groups.into_iter().enumerate() {
            let mut first = 0;
            for (batch, &size) in objective.batches().iter().enumerate() {
                let float = objective.float();
                let mut given = [shared.as_slice(), &objective.data(batch)?].concat();
                if self.matrix.draws_targets() {
                    let streams = self.source.streams(&draws.at(pass as u64), first, size);
                    let loss = objective.loss().unwrap_or_default();
                    let shape = [&[size], &outputs[1..]].concat();
                    given.push(likelihood::noise_array(loss, &streams, &shape, float)?);
                }
                // Memory decides how many columns go at once, and not in which order they are added.
                let parts: Vec<&[usize]> = match with_columns {
                    true => even_chunks(group, members).collect(),
                    false => vec![group],
                };
                for part in parts {
                    self.ctx.check()?;
                    let members = part.len().max(1);
                    self.ctx.spend(Pass::Gradient, size * members);
                    let mut given = given.clone();
                    if with_columns {
                        given.push(unit_columns(part, &outputs)?.convert(float));
                    }
                    let program = match programs.get(&(size, members)) {
                        Some(known) => known.clone(),
                        None => {
                            let graph = self.gradients(batch, &outputs, members)?;
                            let program = program_within(self.ctx, &what, &graph)?;
                            programs.insert((size, members), program.clone());
                            program
                        }
                    };
                    for (layer, array) in found.iter_mut().zip(program.run(given)?) {
                        add(&mut layer.output, &array);
                    }
                }
                first += size;
            }
        }
        let n = objective.examples() as f64;
        let draws = if with_columns { 1 } else { self.matrix.passes() };
        for (layer, positions) in found.iter_mut().zip(positions) {
            let scaled = |matrix: &mut Vec<Vec<f64>>, share: f64| {
                matrix.iter_mut().for_each(|row| vector::scale(row, share));
            };
            scaled(&mut layer.input, 1.0 / (n * positions as f64));
            scaled(&mut layer.output, 1.0 / (n * draws as f64));
        }
        Ok(found)
    }

    /// The layers with factors of the right sizes but empty rows, the positions of an example in
    /// each, and the shape of an example's outputs, `[1, ..]`.
    #[allow(clippy::type_complexity)]
    fn layers(&self) -> Result<(Vec<Found>, Vec<usize>, Vec<usize>), MethodError> {
        let objective = self.objective();
        let builder = Builder::new(objective.float());
        let declared = declare(&builder, objective, 0)?;
        let outputs = declared.outputs.unwrap_or(declared.losses).shape();
        let size = objective.batches().first().copied().unwrap_or(1);
        let found = layers(&builder, &declared.parameters, self.places);
        let positions = found.iter().map(|layer| layer.rows() / size.max(1)).collect();
        let found: Vec<Found> = found
            .into_iter()
            .map(|layer| Found {
                weight: layer.weight,
                bias: layer.bias,
                turned: matches!(layer.reads, Reads::Rows { turned: true }),
                input: vec![Vec::new(); layer.extents[0] + usize::from(layer.bias.is_some())],
                output: vec![Vec::new(); layer.extents[1]],
            })
            .collect();
        if found.is_empty() {
            let expected = "parameters of a dense or ungrouped convolutional layer among them";
            return Err(MethodError::mismatch("the parameters of K-FAC", expected, "none"));
        }
        Ok((found, positions, [&[1], outputs.get(1..).unwrap_or_default()].concat()))
    }

    /// Weights, buffers, data; to the sum of the outer products of each layer's inputs.
    fn inputs(&self, batch: usize) -> Result<Graph, MethodError> {
        let builder = Builder::new(self.objective().float());
        let declared = declare(&builder, self.objective(), batch)?;
        let sums = layers(&builder, &declared.parameters, self.places).into_iter().map(|layer| {
            let mut x = layer.inputs();
            if layer.bias.is_some() {
                let ones = builder.full(&TensorType::new(x.dtype(), [layer.rows(), 1]), 1.0);
                x = builder.concatenate(&[x, ones], 1);
            }
            x.transpose(&[1, 0]).matmul(x)
        });
        finish(&builder, sums.collect())
    }

    /// Weights, buffers, data, what goes in at the outputs; to the outer products of the score's
    /// gradients by each layer's outputs, `[members, out, out]`.
    fn gradients(
        &self,
        batch: usize,
        outputs: &[usize],
        members: usize,
    ) -> Result<Graph, MethodError> {
        let objective = self.objective();
        let float = objective.float();
        let builder = Builder::new(float);
        let declared = declare(&builder, objective, batch)?;
        let found = layers(&builder, &declared.parameters, self.places);
        let loss = objective.loss().unwrap_or_default();
        let plain = Traced {
            losses: declared.losses,
            outputs: declared.outputs.unwrap_or(declared.losses),
            weights: declared.weights,
        };
        let (moved, moves) = moved(&builder, plain, &found);
        let shape = plain.outputs.shape();
        let mut replacements = Vec::new();
        let mut column = None;
        let mut noise = None;
        if self.matrix.has_columns() {
            let member = builder.placeholder(TensorType::new(float, outputs));
            let stacked = [&[members], outputs].concat();
            let batched = builder.input("columns", TensorType::new(float, stacked));
            replacements.push(Replacement { member, batched, axis: 0 });
            column = Some(member.broadcast_to(&shape));
        } else if self.matrix.draws_targets() {
            noise = Some(builder.input("noise", TensorType::new(float, shape)));
        }
        let score = self.matrix.score(loss, moved, column, noise);
        let products: Vec<Tensor<'_>> = gradient_of(score, &moves)
            .into_iter()
            .zip(&found)
            .map(|(gradient, layer)| {
                let rows = gradient.reshape(&[layer.rows(), layer.extents[1]]);
                rows.transpose(&[1, 0]).matmul(rows)
            })
            .collect();
        let zeros: Vec<_> = moves.iter().map(|&by| (by, by.zeros_like())).collect();
        let products = substitute(&products, &zeros);
        finish(&builder, vmap(&products, &replacements, members))
    }
}

impl Found {
    /// Fills the rows with zeros.
    fn open(&mut self) {
        for factor in [&mut self.input, &mut self.output] {
            let n = factor.len();
            factor.iter_mut().for_each(|row| row.resize(n, 0.0));
        }
    }
}

fn finish(builder: &Builder, sums: Vec<Tensor<'_>>) -> Result<Graph, MethodError> {
    let names: Vec<String> = (0..sums.len()).map(|i| format!("sum.{i}")).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(sums).collect();
    Ok(builder.finish(&outputs)?)
}

/// Adds a matrix, or each of several one after the other.
fn add(sum: &mut [Vec<f64>], array: &Array) {
    let (values, n) = (array.to_f64_vec(), sum.len().max(1));
    for one in values.chunks(n * n) {
        for (row, part) in sum.iter_mut().zip(one.chunks(n)) {
            vector::add_scaled(row, 1.0, part);
        }
    }
}

/// What is traced with something added to each layer's outputs, and what: placeholders. The
/// derivative by one of them is that by the layer's outputs, through all the layers above.
fn moved<'b>(
    builder: &'b Builder,
    traced: Traced<'b>,
    layers: &[Layer<'b>],
) -> (Traced<'b>, Vec<Tensor<'b>>) {
    let n_nodes = builder.node_count();
    let moves: Vec<_> = layers.iter().map(|layer| builder.placeholder(layer.y.ty())).collect();
    let mut replaced: HashMap<Value, Tensor<'b>> = HashMap::new();
    for index in 0..n_nodes {
        let node = builder.node(index);
        if node.inputs.iter().any(|input| replaced.contains_key(input)) {
            let now = |value: &Value| replaced.get(value).copied();
            let operands: Vec<_> =
                node.inputs.iter().map(|v| now(v).unwrap_or_else(|| builder.tensor(*v))).collect();
            let results = builder.emit_at(node.op.clone(), &operands, node.place);
            for (output, tensor) in results.into_iter().enumerate() {
                replaced.insert(Value { node: index, output: output as u32 }, tensor);
            }
        }
        for (layer, &by) in layers.iter().zip(&moves) {
            let value = layer.y.value();
            if value.node == index {
                let y = replaced.get(&value).copied().unwrap_or(layer.y);
                replaced.insert(value, y + by);
            }
        }
    }
    let now = |tensor: Tensor<'b>| replaced.get(&tensor.value()).copied().unwrap_or(tensor);
    let Traced { losses, outputs, weights } = traced;
    (Traced { losses: now(losses), outputs: now(outputs), weights }, moves)
}
