//! The Hessian of an objective, by its products.

use super::{Curvature, CurvatureMatrix, Scope};
use crate::common::{LinearOperator, Objective};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The Hessian of an objective at a point: [`Curvature`] of the whole model and all examples.
///
/// `H v = 1/n sum over examples of d/de grad l_i(w + e v) at e = 0`
pub struct Hessian<'a>(Curvature<'a>);

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
        let whole = Scope::default();
        Curvature::new(ctx, objective, point, CurvatureMatrix::Hessian, &whole).map(Hessian)
    }

    /// Largest number of products taken at once.
    pub fn members(&self) -> usize {
        self.0.members()
    }
}

impl LinearOperator for Hessian<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        self.0.apply(vectors)
    }
}
