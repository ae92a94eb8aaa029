//! The Hessian of an objective, by its products.

use crate::common::{
    LinearOperator, Objective, check_lengths, declare, even_chunks, fit, frozen_at, vector,
};
use crate::{Context, MethodError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::Weights;
use thalweg_transform::{Replacement, hvp, vmap};

/// How many products are taken at once where memory allows it. They share the primal pass, which
/// is about a fourth of a product; from so many on, the caches take what is left to be saved.
const DIRECTIONS: usize = 8;

/// The Hessian of an objective at a point.
///
/// `H v = 1/n sum over examples of d/de grad l_i(w + e v) at e = 0`
///
/// Forward over reverse differentiation, streamed over all batches and added up in `f64`; a batch
/// of directions shares what does not depend on them. Under recalibrated batch normalisation the
/// statistics are those of the point, held; under batch statistics their derivatives count.
/// Exact but for rounding in the objective's float type: vectors are rounded to it.
pub struct Hessian<'a> {
    ctx: Context<'a>,
    objective: &'a dyn Objective,
    point: Weights,
    members: usize,
    /// By examples in a batch and number of vectors; planned when they are first needed, since a
    /// plan takes far less than the products of vectors that only fill a program up.
    programs: RefCell<HashMap<(usize, usize), Arc<Program>>>,
}

impl<'a> Hessian<'a> {
    /// The Hessian at a point.
    ///
    /// # Errors
    /// Weights of another model; no room for a single product; those of the engine.
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
    ) -> Result<Hessian<'a>, MethodError> {
        let point = frozen_at(ctx, objective, point)?;
        let mut members = DIRECTIONS.min(objective.dimension()).max(1);
        let mut programs = HashMap::new();
        // The largest batch comes first and so decides.
        for (size, batch) in objective.sizes() {
            let graph = |members| graph(objective, batch, members);
            let (fitting, program) = fit(ctx, "one Hessian product", members, graph)?;
            members = fitting;
            programs.insert((size, members), program);
        }
        let programs = RefCell::new(programs);
        Ok(Hessian { ctx: ctx.clone(), objective, point, members, programs })
    }

    /// Largest number of products taken at once.
    pub fn members(&self) -> usize {
        self.members
    }

    fn program(&self, batch: usize, members: usize) -> Result<Arc<Program>, MethodError> {
        let key = (self.objective.batches()[batch], members);
        if let Some(known) = self.programs.borrow().get(&key) {
            return Ok(known.clone());
        }
        let program = self.ctx.executor().compile(&graph(self.objective, batch, members)?)?;
        self.programs.borrow_mut().insert(key, program.clone());
        Ok(program)
    }

    /// Products with at most as many vectors as fit at once.
    fn chunk(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        let float = self.objective.float();
        let n = self.objective.dimension();
        let mut offset = 0;
        let mut inputs = Vec::new();
        for parameter in self.objective.parameters() {
            let end = offset + parameter.count();
            let values: Vec<f64> =
                vectors.iter().flat_map(|vector| vector[offset..end].iter().copied()).collect();
            let shape = [&[vectors.len()], parameter.shape.as_slice()].concat();
            inputs.push(Array::from_slice(&shape, &values)?.convert(float));
            offset = end;
        }
        inputs.extend_from_slice(self.point.parameters.arrays());
        inputs.extend_from_slice(self.point.buffers.arrays());
        let mut sums = vec![vec![0.0; n]; vectors.len()];
        for batch in 0..self.objective.batches().len() {
            self.ctx.check()?;
            let data = self.objective.data(batch)?;
            let program = self.program(batch, vectors.len())?;
            let results = program.run([inputs.as_slice(), &data].concat())?;
            let mut offset = 0;
            for array in results {
                let values = array.to_f64_vec();
                let count = values.len() / vectors.len();
                for (sum, part) in sums.iter_mut().zip(values.chunks(count.max(1))) {
                    vector::add_scaled(&mut sum[offset..offset + count], 1.0, part);
                }
                offset += count;
            }
        }
        let share = 1.0 / self.objective.examples() as f64;
        sums.iter_mut().for_each(|sum| vector::scale(sum, share));
        Ok(sums)
    }
}

impl LinearOperator for Hessian<'_> {
    fn name(&self) -> &str {
        "hessian"
    }

    fn dimension(&self) -> usize {
        self.objective.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let mut products = Vec::with_capacity(vectors.len());
        for chunk in even_chunks(vectors, self.members) {
            products.extend(self.chunk(chunk)?);
        }
        Ok(products)
    }
}

/// Vectors `[member, ..]` of each parameter, weights, buffers, data; to the products, summed over
/// the batch.
fn graph(objective: &dyn Objective, batch: usize, members: usize) -> Result<Graph, MethodError> {
    let float = objective.float();
    let builder = Builder::new(float);
    let (mut vectors, mut replacements) = (Vec::new(), Vec::new());
    for parameter in objective.parameters() {
        let member = builder.placeholder(TensorType::new(float, parameter.shape.clone()));
        let stacked = [&[members], parameter.shape.as_slice()].concat();
        let name = format!("vector.{}", parameter.name);
        let batched = builder.input(&name, TensorType::new(float, stacked));
        vectors.push(member);
        replacements.push(Replacement { member, batched, axis: 0 });
    }
    let declared = declare(&builder, objective, batch)?;
    let products = hvp(declared.losses.sum_all(), &declared.parameters, &vectors);
    let products = vmap(&products, &replacements, members);
    let names: Vec<String> =
        objective.parameters().iter().map(|p| format!("product.{}", p.name)).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(products).collect();
    Ok(builder.finish(&outputs)?)
}
