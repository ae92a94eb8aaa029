//! Products of a block of a curvature matrix with vectors, streamed over data.

use super::likelihood;
use super::primal::{Primal, ProductProgram};
use super::source::Source;
use super::{CurvatureMatrix, ExampleGroup, ParameterBlock};
use crate::common::{
    Declared, Objective, declare, even_chunks, fit, frozen_at, gradient, program_within, vector,
};
use crate::{Context, MethodError, Pass};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::{Loss, Parameter, Weights};
use thalweg_transform::{Replacement, gradient as gradient_of, jvp, linearize, vmap};

/// How many products are taken at once where memory allows it. They share the primal pass, which
/// is about a third of a product; from so many on, the caches take what is left to be saved.
const DIRECTIONS: usize = 8;

/// A block of a matrix: rows of some parameters, columns of the same or of others.
pub(super) struct Products<'a> {
    ctx: Context<'a>,
    matrix: CurvatureMatrix,
    source: Source<'a>,
    point: Weights,
    /// Places of the parameters that products range over, and of those that vectors do.
    rows: Vec<usize>,
    columns: Vec<usize>,
    /// The mean gradient along the columns, for what is taken around it.
    mean: Vec<f64>,
    /// Along what the products are differentiated once more, by all parameters.
    direction: Option<Vec<Array>>,
    /// Of each batch size, the shape of the outputs.
    outputs: HashMap<usize, Vec<usize>>,
    draws: Stream,
    members: usize,
    /// By examples in a batch and number of vectors; planned when they are first needed, since a
    /// plan takes far less than the products of vectors that only fill a program up.
    programs: RefCell<HashMap<(usize, usize), ProductProgram>>,
    primal: RefCell<Primal>,
}

impl<'a> Products<'a> {
    pub(super) fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        blocks: [&ParameterBlock; 2],
        examples: &ExampleGroup,
    ) -> Result<Products<'a>, MethodError> {
        Products::along(ctx, objective, point, matrix, blocks, examples, None)
    }

    /// With a direction, products with the derivative of the matrix along it.
    pub(super) fn along(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        [rows, columns]: [&ParameterBlock; 2],
        examples: &ExampleGroup,
        direction: Option<Vec<Array>>,
    ) -> Result<Products<'a>, MethodError> {
        matrix.check(objective)?;
        let rows = rows.places(objective.parameters())?;
        let columns = columns.places(objective.parameters())?;
        // Statistics are those of all examples, for a group of them too.
        let point = frozen_at(ctx, objective, point)?;
        let source = Source::new(objective, examples)?;
        let mut products = Products {
            ctx: ctx.clone(),
            matrix,
            source,
            point,
            rows,
            columns,
            mean: Vec::new(),
            direction,
            outputs: HashMap::new(),
            draws: ctx.stream("curvature/targets"),
            members: 1,
            programs: RefCell::default(),
            primal: RefCell::default(),
        };
        products.plan()?;
        if matrix == CurvatureMatrix::GradientCovariance {
            let mean = gradient(ctx, products.objective(), &products.point)?.gradient;
            products.mean = products.restrict(&products.columns, &mean);
        }
        Ok(products)
    }

    /// As many products at once as memory allows, and the programs for so many.
    fn plan(&mut self) -> Result<(), MethodError> {
        let mut members = DIRECTIONS.min(self.width()).max(1);
        let mut programs = HashMap::new();
        let mut outputs = HashMap::new();
        // The largest batch comes first and so decides.
        for (size, batch) in self.objective().sizes() {
            outputs.insert(size, self.output_shape(batch)?);
            self.outputs.clone_from(&outputs);
            let graph = |members| self.graph(batch, members);
            let (fitting, program) = fit(&self.ctx, &self.what(), members, graph)?;
            members = fitting;
            let program = ProductProgram::new(graph(members)?, self.late_inputs(), program);
            programs.insert((size, members), program);
        }
        self.members = members;
        self.programs = RefCell::new(programs);
        Ok(())
    }

    /// What the smallest program does.
    fn what(&self) -> String {
        format!("one {} product", self.matrix.words())
    }

    fn output_shape(&self, batch: usize) -> Result<Vec<usize>, MethodError> {
        if !self.matrix.draws_targets() {
            return Ok(Vec::new());
        }
        let builder = Builder::new(self.objective().float());
        let declared = declare(&builder, self.objective(), batch)?;
        Ok(declared.outputs.map(|outputs| outputs.shape()).unwrap_or_default())
    }

    pub(super) fn objective(&self) -> &dyn Objective {
        self.source.objective()
    }

    pub(super) fn members(&self) -> usize {
        self.members
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.primal.borrow().bytes()
    }

    /// Length of vectors.
    pub(super) fn width(&self) -> usize {
        self.count(&self.columns)
    }

    /// Length of products.
    pub(super) fn height(&self) -> usize {
        self.count(&self.rows)
    }

    fn parameters<'p>(&'p self, places: &'p [usize]) -> impl Iterator<Item = &'p Parameter> {
        places.iter().map(|&place| &self.objective().parameters()[place])
    }

    fn count(&self, places: &[usize]) -> usize {
        self.parameters(places).map(Parameter::count).sum()
    }

    /// The elements of a vector over all parameters that belong to the columns.
    pub(super) fn restricted(&self, whole: &[f64]) -> Vec<f64> {
        self.restrict(&self.columns, whole)
    }

    /// A vector of the columns among zeros.
    pub(super) fn embedded(&self, part: &[f64]) -> Vec<f64> {
        let mut whole = Vec::with_capacity(self.objective().dimension());
        let mut rest = part;
        for (place, parameter) in self.objective().parameters().iter().enumerate() {
            match self.columns.contains(&place) && rest.len() >= parameter.count() {
                true => {
                    let (head, tail) = rest.split_at(parameter.count());
                    whole.extend_from_slice(head);
                    rest = tail;
                }
                false => whole.resize(whole.len() + parameter.count(), 0.0),
            }
        }
        whole
    }

    fn restrict(&self, places: &[usize], whole: &[f64]) -> Vec<f64> {
        let mut offset = 0;
        let mut part = Vec::new();
        for (place, parameter) in self.objective().parameters().iter().enumerate() {
            let end = offset + parameter.count();
            if places.contains(&place) {
                part.extend_from_slice(whole.get(offset..end).unwrap_or_default());
            }
            offset = end;
        }
        part
    }

    /// The product with each vector, whose lengths are right.
    pub(super) fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        self.over(vectors, 0..self.objective().batches().len())
    }

    /// The product of the mean over the examples of some batches with each vector.
    pub(super) fn over(
        &self,
        vectors: &[Vec<f64>],
        batches: Range<usize>,
    ) -> Result<Vec<Vec<f64>>, MethodError> {
        let mut products = Vec::with_capacity(vectors.len());
        for chunk in even_chunks(vectors, self.members) {
            products.extend(self.chunk(chunk, batches.clone())?);
        }
        Ok(products)
    }

    /// Inputs of a product's program that come with the vectors.
    fn late_inputs(&self) -> usize {
        self.columns.len() + usize::from(self.matrix == CurvatureMatrix::GradientCovariance)
    }

    /// Runs the program of so many vectors with a batch.
    fn run(
        &self,
        pass: usize,
        batch: usize,
        members: usize,
        inputs: Vec<Array>,
    ) -> Result<Vec<Array>, MethodError> {
        let key = (self.objective().batches()[batch], members);
        let mut programs = self.programs.borrow_mut();
        let program = match programs.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let graph = self.graph(batch, members)?;
                let whole = program_within(&self.ctx, &self.what(), &graph)?;
                place.insert(ProductProgram::new(graph, self.late_inputs(), whole))
            }
        };
        self.primal.borrow_mut().run(&self.ctx, (pass, batch), program, inputs)
    }

    /// Products with at most as many vectors as fit at once.
    fn chunk(
        &self,
        vectors: &[Vec<f64>],
        batches: Range<usize>,
    ) -> Result<Vec<Vec<f64>>, MethodError> {
        let objective = self.objective();
        let float = objective.float();
        let mut inputs = Vec::new();
        let mut offset = 0;
        for parameter in self.parameters(&self.columns) {
            let end = offset + parameter.count();
            let values: Vec<f64> =
                vectors.iter().flat_map(|vector| vector[offset..end].iter().copied()).collect();
            let shape = [&[vectors.len()], parameter.shape.as_slice()].concat();
            inputs.push(Array::from_slice(&shape, &values)?.convert(float));
            offset = end;
        }
        if self.matrix == CurvatureMatrix::GradientCovariance {
            let along: Vec<f64> = vectors.iter().map(|v| vector::dot(v, &self.mean)).collect();
            inputs.push(Array::vector(&along).convert(float));
        }
        inputs.extend(self.direction.iter().flatten().cloned());
        inputs.extend_from_slice(self.point.parameters.arrays());
        inputs.extend_from_slice(self.point.buffers.arrays());
        // Differentiated once more, a product costs two.
        let cost = 1 + usize::from(self.direction.is_some());
        let mut sums = vec![vec![0.0; self.height()]; vectors.len()];
        let passes = self.matrix.passes();
        for pass in 0..passes {
            let mut first = objective.batches()[..batches.start].iter().sum();
            for batch in batches.clone() {
                self.ctx.check()?;
                self.ctx.spend(Pass::Product, cost * vectors.len() * objective.batches()[batch]);
                let mut data = objective.data(batch)?;
                if self.matrix.draws_targets() {
                    data.push(self.drawn(pass, batch, first)?);
                }
                let inputs = [inputs.as_slice(), &data].concat();
                let results = self.run(pass, batch, vectors.len(), inputs)?;
                let mut offset = 0;
                for array in results {
                    let values = array.to_f64_vec();
                    let count = values.len() / vectors.len();
                    for (sum, part) in sums.iter_mut().zip(values.chunks(count.max(1))) {
                        vector::add_scaled(&mut sum[offset..offset + count], 1.0, part);
                    }
                    offset += count;
                }
                first += objective.batches()[batch];
            }
        }
        let examples: usize = objective.batches()[batches].iter().sum();
        let share = 1.0 / (examples as f64 * passes as f64);
        sums.iter_mut().for_each(|sum| vector::scale(sum, share));
        Ok(sums)
    }

    /// The noise that draws the targets of a batch; an example's is the same in every group.
    fn drawn(&self, pass: usize, batch: usize, first: usize) -> Result<Array, MethodError> {
        let objective = self.objective();
        let size = objective.batches()[batch];
        let stream = self.draws.at(pass as u64);
        let examples = self.source.streams(&stream, first, size);
        let loss = objective.loss().unwrap_or_default();
        let shape = self.outputs.get(&size).map(Vec::as_slice).unwrap_or_default();
        likelihood::noise_array(loss, &examples, shape, objective.float())
    }

    /// Vectors `[member, ..]` of each column parameter, what goes with each, weights, buffers,
    /// data; to the products along each row parameter, summed over the batch.
    fn graph(&self, batch: usize, members: usize) -> Result<Graph, MethodError> {
        let objective = self.objective();
        let float = objective.float();
        let builder = Builder::new(float);
        let mut replacements = Vec::new();
        let mut stacked = |name: String, shape: &[usize]| {
            let member = builder.placeholder(TensorType::new(float, shape));
            let stacked = [&[members], shape].concat();
            let batched = builder.input(&name, TensorType::new(float, stacked));
            replacements.push(Replacement { member, batched, axis: 0 });
            member
        };
        let vectors: Vec<Tensor<'_>> = self
            .parameters(&self.columns)
            .map(|p| stacked(format!("vector.{}", p.name), &p.shape))
            .collect();
        let along_mean = (self.matrix == CurvatureMatrix::GradientCovariance)
            .then(|| stacked("along_mean".into(), &[]));
        let direction: Vec<Tensor<'_>> = match &self.direction {
            None => Vec::new(),
            Some(_) => (objective.parameters().iter())
                .map(|p| {
                    let ty = TensorType::new(float, p.shape.as_slice());
                    builder.input(&format!("direction.{}", p.name), ty)
                })
                .collect(),
        };
        let declared = declare(&builder, objective, batch)?;
        let noise = self.matrix.draws_targets().then(|| {
            let shape = self.outputs.get(&objective.batches()[batch]).cloned().unwrap_or_default();
            builder.input("noise", TensorType::new(float, shape))
        });
        let products = self.traced(&declared, objective.loss(), &vectors, along_mean, noise);
        let products = match direction.is_empty() {
            true => products,
            false => jvp(&products, &declared.parameters, &direction)
                .tangents
                .into_iter()
                .zip(&products)
                .map(|(along, product)| along.unwrap_or_else(|| product.zeros_like()))
                .collect(),
        };
        let products = vmap(&products, &replacements, members);
        let names: Vec<String> =
            self.parameters(&self.rows).map(|p| format!("product.{}", p.name)).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(products).collect();
        Ok(builder.finish(&outputs)?)
    }

    /// The product of one member.
    fn traced<'b>(
        &self,
        declared: &Declared<'b>,
        loss: Option<Loss>,
        vectors: &[Tensor<'b>],
        along_mean: Option<Tensor<'b>>,
        noise: Option<Tensor<'b>>,
    ) -> Vec<Tensor<'b>> {
        let of = |places: &[usize]| -> Vec<Tensor<'b>> {
            places.iter().map(|&place| declared.parameters[place]).collect()
        };
        let (rows, columns) = (of(&self.rows), of(&self.columns));
        let (losses, weights) = (declared.losses, declared.weights);
        // `J v` along the columns, something made of it, then `J^T` along the rows.
        let around = |values: Tensor<'b>, made: &dyn Fn(Tensor<'b>) -> Tensor<'b>| {
            let forward = linearize(&[values], &columns);
            let moved = made(forward.apply(vectors)[0]);
            match self.rows == self.columns {
                true => forward.transpose(&[moved]),
                false => linearize(&[values], &rows).transpose(&[moved]),
            }
        };
        let outputs = declared.outputs.unwrap_or(losses);
        let loss = loss.unwrap_or_default();
        match self.matrix {
            CurvatureMatrix::Hessian => {
                let gradient = gradient_of(losses.sum_all(), &rows);
                let along = jvp(&gradient, &columns, vectors);
                let or_zero = |(tangent, row): (Option<Tensor<'b>>, &Tensor<'b>)| {
                    tangent.unwrap_or_else(|| row.zeros_like())
                };
                along.tangents.into_iter().zip(&rows).map(or_zero).collect()
            }
            CurvatureMatrix::GaussNewton => {
                around(outputs, &|moved| likelihood::output_hessian(losses, outputs, moved))
            }
            CurvatureMatrix::Fisher => {
                around(outputs, &|moved| likelihood::output_fisher(loss, weights, outputs, moved))
            }
            CurvatureMatrix::MonteCarloFisher { .. } => {
                let drawn = match noise {
                    Some(noise) => likelihood::drawn_losses(loss, weights, outputs, noise),
                    None => losses,
                };
                around(drawn, &|moved| moved)
            }
            CurvatureMatrix::EmpiricalFisher => around(losses, &|moved| moved),
            CurvatureMatrix::GradientCovariance => around(losses, &|moved| match along_mean {
                Some(mean) => moved - mean,
                None => moved,
            }),
        }
    }
}
