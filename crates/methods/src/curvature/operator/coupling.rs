//! What two parts of a model have to do with each other.

use super::products::Products;
use super::{CurvatureMatrix, ExampleGroup, ParameterBlock};
use crate::common::{LinearOperator, Objective, check_lengths};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The block of a curvature matrix between two groups of parameters.
///
/// As an operator it is the symmetric `[[0, H_ab], [H_ba, 0]]`, on vectors of the parameters of the
/// first group followed by those of the second: its eigenvalues are the singular values of `H_ab`
/// with both signs (and zeros), its squared Frobenius norm is twice that of `H_ab`.
///
/// # Source    Golub and Van Loan, Matrix computations, section 8.6.1
pub struct Coupling<'a> {
    name: String,
    /// Rows of the first group, columns of the second; and the other way round.
    upper: Products<'a>,
    lower: Products<'a>,
}

impl<'a> Coupling<'a> {
    /// The block between two groups of parameters, of some of the examples.
    ///
    /// # Errors
    /// As [`super::Curvature::new`]; groups with a parameter in common.
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        [first, second]: [&ParameterBlock; 2],
        examples: &ExampleGroup,
    ) -> Result<Coupling<'a>, MethodError> {
        let places = second.places(objective.parameters())?;
        let mut common = first.places(objective.parameters())?;
        common.retain(|place| places.contains(place));
        if let Some(&place) = common.first() {
            let got = format!("{} in both", objective.parameters()[place].name);
            return Err(MethodError::mismatch("two groups of parameters", "none in common", got));
        }
        let block =
            |of: [&ParameterBlock; 2]| Products::new(ctx, objective, point, matrix, of, examples);
        let (upper, lower) = (block([first, second])?, block([second, first])?);
        Ok(Coupling {
            name: format!("{} between {first} and {second}", matrix.name()),
            upper,
            lower,
        })
    }

    /// `H_ab v` for each of some vectors of the second group's parameters.
    ///
    /// # Errors
    /// A vector of another length; those of the engine.
    pub fn block(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        let width = self.upper.width();
        match vectors.iter().find(|vector| vector.len() != width) {
            None => self.upper.apply(vectors),
            Some(vector) => {
                let (what, expected) = ("a vector", format!("{width} elements"));
                Err(MethodError::mismatch(what, expected, vector.len()))
            }
        }
    }
}

impl LinearOperator for Coupling<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.upper.height() + self.upper.width()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let split = self.upper.height();
        let part = |first: bool| -> Vec<Vec<f64>> {
            let of = |v: &Vec<f64>| if first { v[..split].to_vec() } else { v[split..].to_vec() };
            vectors.iter().map(of).collect()
        };
        let mut products = self.upper.apply(&part(false))?;
        for (product, rest) in products.iter_mut().zip(self.lower.apply(&part(true))?) {
            product.extend(rest);
        }
        Ok(products)
    }
}
