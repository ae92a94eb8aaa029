//! K-FAC: a Kronecker product for each layer.

use super::diagonal::{Squares, check};
use super::kronecker::Block;
use super::kronecker_factors::{Factors, Found};
use super::source::Source;
use super::{CurvatureMatrix, Scope};
use crate::common::{
    DiagonalOperator, LinearOperator, Objective, Solvable, check_damping, check_lengths, frozen_at,
};
use crate::{Context, MethodError};
use std::collections::HashMap;
use std::ops::Range;
use thalweg_nn::Weights;

/// The Kronecker-factored approximation of a curvature matrix ("expand"): for each dense and each
/// ungrouped convolutional layer with inputs `x` (with a one for the bias) and gradients `g` of the
/// score by its outputs, at each of `R` positions of an example,
///
/// `A (x) G`, `A = 1/(n R) sum of x x^T`, `G = 1/n sum of g g^T`,
///
/// and nothing between layers. Positions count as if they were examples. The gradients are those of
/// the matrix asked for: along every column of the middle matrix's root (Gauss-Newton, Fisher), of
/// drawn targets, or of the losses (empirical Fisher). Layers are found in the graph, of any model:
/// weights that are used once. Everything else (norms, embeddings, grouped convolutions, tied
/// weights) keeps the exact diagonal of the same matrix.
///
/// Exact for the blocks of one layer each where every example has one position and either there is
/// one example and one score, or `g` does not depend on the example, as in a deep linear network
/// with squared error.
///
/// # Deviations from the paper    the damping of [`Solvable::solve`] is added to the whole matrix and
/// not shared out between the factors; no running averages
/// # Source    Martens, Grosse, Optimizing neural networks with Kronecker-factored approximate
/// curvature, 2015, arXiv 1503.05671; convolutions: Grosse, Martens 2016, arXiv 1602.01407; expand:
/// Eschenhagen et al., Kronecker-factored approximate curvature for modern neural network
/// architectures, 2023, arXiv 2311.00636
pub struct KroneckerFactored {
    name: String,
    dimension: usize,
    blocks: Vec<Block>,
    rest: DiagonalOperator,
    /// Where the elements of the rest stand.
    elsewhere: Vec<Range<usize>>,
}

/// The two factors of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KroneckerFactors<'f> {
    /// The name of the layer's weight.
    pub weight: &'f str,
    /// `A`, its last row that of the bias if it has one.
    pub input: &'f [Vec<f64>],
    /// `G`.
    pub output: &'f [Vec<f64>],
}

impl KroneckerFactored {
    /// The approximation of a matrix of a scope at a point.
    ///
    /// # Errors
    /// As [`super::Curvature::new`]; the Hessian and the gradient covariance; batch statistics; a
    /// scope without a dense or convolutional layer; factors beyond the memory.
    pub fn new(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        scope: &Scope,
    ) -> Result<KroneckerFactored, MethodError> {
        matrix.check(objective)?;
        let what = "K-FAC";
        if matrix == CurvatureMatrix::GradientCovariance {
            let expected = "the Gauss-Newton or a Fisher matrix";
            return Err(MethodError::config("the matrix of K-FAC", expected, matrix.words()));
        }
        check(matrix, objective, what)?;
        let places = scope.parameters.places(objective.parameters())?;
        let point = frozen_at(ctx, objective, point)?;
        let source = Source::new(objective, &scope.examples)?;
        let factors = Factors { ctx, matrix, source: &source, point: &point, places: &places };
        let mut offset = 0;
        let mut ranges = HashMap::new();
        for &place in &places {
            let end = offset + objective.parameters()[place].count();
            ranges.insert(place, offset..end);
            offset = end;
        }
        let range = |place: usize| ranges.get(&place).cloned().unwrap_or(0..0);
        let mut blocks = Vec::new();
        let mut taken = Vec::new();
        for Found { weight, bias, turned, input, output } in factors.found()? {
            let parts = (range(weight), bias.map(range), turned);
            let name = &objective.parameters()[weight].name;
            blocks.push(Block::new(name, parts, [input, output]));
            taken.extend([Some(weight), bias].into_iter().flatten());
        }
        let others: Vec<usize> =
            places.iter().copied().filter(|place| !taken.contains(place)).collect();
        let values = match others.is_empty() {
            true => Vec::new(),
            false => Squares::new(ctx, matrix, &source, &point, &others)?.mean()?,
        };
        Ok(KroneckerFactored {
            name: format!("{}-kfac", matrix.name()),
            dimension: offset,
            blocks,
            rest: DiagonalOperator::new(format!("{}-diagonal", matrix.name()), values)?,
            elsewhere: others.into_iter().map(range).collect(),
        })
    }

    /// The factors of each layer, in the order of the parameters.
    pub fn factors(&self) -> impl ExactSizeIterator<Item = KroneckerFactors<'_>> {
        self.blocks.iter().map(|block| KroneckerFactors {
            weight: &block.name,
            input: &block.input,
            output: &block.output,
        })
    }

    /// The sum of its eigenvalues, exactly.
    pub fn trace(&self) -> f64 {
        let blocks: f64 = self.blocks.iter().map(Block::trace).sum();
        blocks + self.rest.values().iter().sum::<f64>()
    }

    /// All its eigenvalues, ascending.
    ///
    /// # Errors
    /// Factors that are not finite.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, MethodError> {
        let mut values = self.rest.values().to_vec();
        for block in &self.blocks {
            values.extend(block.eigenvalues()?);
        }
        values.sort_by(f64::total_cmp);
        Ok(values)
    }

    /// The elements outside of every layer.
    fn others(&self, whole: &[f64]) -> Vec<f64> {
        self.elsewhere.iter().flat_map(|range| whole[range.clone()].iter().copied()).collect()
    }

    fn put_others(&self, part: &[f64], whole: &mut [f64]) {
        let places = self.elsewhere.iter().cloned().flatten();
        for (place, value) in places.zip(part) {
            whole[place] = *value;
        }
    }
}

impl LinearOperator for KroneckerFactored {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let product = |vector: &Vec<f64>| {
            let mut product = vec![0.0; self.dimension];
            self.blocks.iter().for_each(|block| block.apply(vector, &mut product));
            self.put_others(&self.rest.product(&self.others(vector))?, &mut product);
            Ok(product)
        };
        vectors.iter().map(product).collect()
    }
}

impl Solvable for KroneckerFactored {
    fn solve(&self, vectors: &[Vec<f64>], damping: f64) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        check_damping(damping)?;
        let solved = |vector: &Vec<f64>| {
            let mut solution = vec![0.0; self.dimension];
            for block in &self.blocks {
                block.solve(vector, damping, &mut solution)?;
            }
            let others = self.rest.solve(&[self.others(vector)], damping)?;
            self.put_others(&others.concat(), &mut solution);
            Ok(solution)
        };
        vectors.iter().map(solved).collect()
    }

    fn log_determinant(&self, damping: f64) -> Result<f64, MethodError> {
        check_damping(damping)?;
        Ok(self.eigenvalues()?.iter().map(|value| (value.max(0.0) + damping).ln()).sum())
    }
}
