//! What a sample of examples leaves open of a curvature matrix's Frobenius norm.

use super::{Curvature, CurvatureMatrix, ParameterBlock, Scope};
use crate::common::{
    Gathered, LinearOperator, Objective, SampleTerms, blocks_alike, sample_of_blocks,
    sampled_strata, signs, vector,
};
use crate::error::stored;
use crate::registry::{Cost, Size};
use crate::{Context, MethodError, Passes};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, Jackknife, pairwise_sum};

/// Blocks that the examples are dealt into.
const BLOCKS: usize = 16;

/// What a sample leaves open of the squared Frobenius norm of a matrix that is a mean over examples.
#[derive(Clone, Debug, PartialEq)]
pub struct NormOfSample {
    /// By how much that of the sample's matrix is too large on average, with the probes' error.
    bias: Estimate,
    /// What each block of examples contributed, by probe.
    pub terms: SampleTerms,
}

impl NormOfSample {
    /// The squared norm of the matrix on all the data from that on the sample.
    pub fn corrected(&self, on_sample: Estimate) -> Estimate {
        let standard_error = on_sample.standard_error.hypot(self.bias.standard_error);
        Estimate { value: on_sample.value - self.bias.value, standard_error, ..on_sample }
    }

    /// That of so many times the squared norm.
    pub(super) fn scaled(self, factor: f64) -> NormOfSample {
        let Estimate { value, standard_error, samples } = self.bias;
        let (value, standard_error) = (factor * value, factor * standard_error);
        let bias = Estimate { value, standard_error, samples };
        NormOfSample { bias, terms: self.terms.scaled(factor) }
    }
}

/// The cost of an instrument with the products that the error of a norm over a sample takes.
pub(super) fn with_norm(cost: Cost, size: &Size, probes: usize) -> Cost {
    match size.sampled {
        true => Cost::AtMost(cost.passes() + Passes::new(0, 0, probes)),
        false => cost,
    }
}

/// What a sample leaves open of `|A|_F^2 = E[|A z|^2]` over random signs `z`, with the matrix `A` of a
/// block of the parameters; none where the objective takes
/// all examples, or where none has a matrix of its own.
///
/// The square of a mean is no mean over examples, and too large: by the spread of the examples' own
/// matrices over their number, whatever their choice. Both are what the jackknife says of the products
/// `A_b z` of 16 blocks of examples alike, whose mean is `A z`: without block `b` the form is
/// `|(16 A z - A_b z) / 15|^2`. A probe takes the passes of one product.
///
/// # Errors
/// Fewer than two probes; a block of no parameters; no room for a probe's products; those of [`Curvature::new`] and of the engine.
/// # Source    Quenouille, Notes on bias in estimation, 1956
pub fn norm_of_sample(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    matrix: CurvatureMatrix,
    block: &ParameterBlock,
    probes: usize,
) -> Result<Option<NormOfSample>, MethodError> {
    let Some(strata) = sampled_strata(objective) else { return Ok(None) };
    let blocks = blocks_alike(strata, &ctx.stream("sample norm/blocks"), BLOCKS);
    let (count, n) = (blocks.len(), objective.examples());
    let usual = objective.batches().iter().copied().max().unwrap_or(1).max(1);
    // So many batches of so many examples in each block; the few examples that are over stay out.
    let smallest = blocks.iter().map(Vec::len).min().unwrap_or(0);
    let parts = smallest.div_ceil(usual);
    if count < 2 || parts == 0 {
        return Ok(None);
    }
    let size = smallest / parts;
    let order = blocks.iter().flat_map(|block| &block[..parts * size]).copied().collect();
    let blockwise = Gathered::selected(objective, order, size)?;
    let scope = Scope { parameters: block.clone(), ..Scope::default() };
    let operator = Curvature::new(ctx, &blockwise, point, matrix, &scope)?;
    let dimension = operator.dimension();
    let needed = (count + 2).saturating_mul(dimension).saturating_mul(size_of::<f64>());
    if needed > ctx.memory() {
        let what = format!("{count} products of {dimension} elements");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    ctx.progress().start("error of the sample", probes as u64);
    let stream = ctx.stream("sample norm");
    let (mut bias, mut draws) = (Vec::with_capacity(probes), Vec::with_capacity(probes));
    for probe in 0..probes {
        let key = format!("sample-norm/{probe}");
        let arrays = ctx.unit(&key, || {
            let z = [signs(&stream.at(probe as u64), dimension)];
            let of_block = |block: usize| {
                let found = operator.over(&z, block * parts..(block + 1) * parts)?;
                Ok(found.concat())
            };
            let products = (0..count).map(of_block).collect::<Result<Vec<_>, MethodError>>()?;
            let found = left_out(&products);
            let arrays = [("bias", vec![found.bias()]), ("blocks", found.pseudo_values())];
            Ok(arrays.map(|(name, values)| (name.to_owned(), Array::vector(&values))).to_vec())
        })?;
        bias.push(stored(&key, &arrays, "bias", 1)?[0]);
        draws.push(stored(&key, &arrays, "blocks", count)?.to_vec());
        ctx.progress().advance(1);
    }
    let population = objective.sampling().population(n);
    let unseen = 1.0 - n as f64 / population.max(1) as f64;
    bias.iter_mut().for_each(|bias| *bias *= unseen);
    let terms = SampleTerms::new(draws, &sample_of_blocks(count, n, population));
    Ok(Some(NormOfSample { bias: Estimate::mean(&bias)?, terms }))
}

/// The squared length of the mean of vectors, and without each of them.
fn left_out(vectors: &[Vec<f64>]) -> Jackknife {
    let g = vectors.len() as f64;
    let mut mean = vec![0.0; vectors.first().map_or(0, Vec::len)];
    vectors.iter().for_each(|of| vector::add_scaled(&mut mean, 1.0 / g, of));
    let square = vector::dot(&mean, &mean);
    let without = |of: &Vec<f64>| {
        let terms = [g * g * square, -2.0 * g * vector::dot(of, &mean), vector::dot(of, of)];
        pairwise_sum(&terms) / (g - 1.0).powi(2)
    };
    Jackknife::new(square, vectors.iter().map(without).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_without_a_vector_are_those_of_the_others() {
        let vectors = [vec![1.0, 0.0], vec![0.0, 4.0], vec![3.0, 2.0]];
        let found = left_out(&vectors);
        // Means without each: (1.5, 3), (2, 1), (0.5, 2); of all (4/3, 2).
        let expected = Jackknife::new(16.0 / 9.0 + 4.0, vec![11.25, 5.0, 4.25]);
        assert!((found.bias() - expected.bias()).abs() < 1e-12);
        for (a, b) in found.pseudo_values().iter().zip(expected.pseudo_values()) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}
