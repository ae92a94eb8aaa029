//! How a curvature matrix changes along a direction: third derivatives by their products.

use super::products::Products;
use super::{CurvatureMatrix, Scope};
use crate::common::{LinearOperator, Objective, check_lengths, symmetric_eigen, vector};
use crate::curvature::Eigenpair;
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The derivative of a curvature matrix along a direction, a symmetric operator.
///
/// `d/dt M(w + t d)` at `t = 0`; of the Hessian its product with `v` is the third derivative
/// `D^3 L[d, v, .]`, by forward over forward over reverse differentiation, and
/// `u^T (d/dt H) u` is how the curvature along `u` changes on the way along `d`. A product costs
/// about two of the matrix's own. Recalibrated statistics are held, as everywhere that derivatives
/// are taken; kinks have the derivative beside them.
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_graph::DType;
/// use thalweg_methods::common::LinearOperator;
/// use thalweg_methods::curvature::{CurvatureMatrix, CurvatureSlope, Scope};
/// use thalweg_methods::{Context, Function};
/// // x^2 y: the Hessian is [[2 y, 2 x], [2 x, 0]].
/// let cubic = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| w[0].square() * w[1]);
/// let executor = Executor::new(1);
/// let (ctx, point) = (Context::new(&executor, 0), cubic.point(&[2.0, 1.0])?);
/// let (hessian, whole) = (CurvatureMatrix::Hessian, Scope::default());
/// let slope = CurvatureSlope::new(&ctx, &cubic, &point, hessian, &whole, &[1.0, 3.0])?;
/// assert_eq!(slope.product(&[1.0, 0.0])?, [6.0, 2.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub struct CurvatureSlope<'a> {
    name: String,
    products: Products<'a>,
}

impl<'a> CurvatureSlope<'a> {
    /// The derivative of a matrix of a scope along a direction over all parameters.
    ///
    /// # Errors
    /// As [`super::Curvature::new`]; a direction of another length; a matrix whose draws or mean
    /// gradient would have to move along: the Monte Carlo Fisher, the gradient covariance.
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        scope: &Scope,
        direction: &[f64],
    ) -> Result<CurvatureSlope<'a>, MethodError> {
        if matrix.draws_targets() || matrix == CurvatureMatrix::GradientCovariance {
            let expected =
                "the Hessian, the Gauss-Newton, the Fisher or the empirical Fisher matrix";
            return Err(MethodError::config("the slope of a matrix", expected, matrix.words()));
        }
        let n = objective.dimension();
        if direction.len() != n {
            let expected = format!("{n} elements");
            return Err(MethodError::mismatch("a direction", expected, direction.len()));
        }
        let moves = point.parameters.unflatten(direction)?;
        let float = objective.float();
        let moves = moves.arrays().iter().map(|array| array.convert(float)).collect();
        let blocks = [&scope.parameters; 2];
        let examples = &scope.examples;
        let products =
            Products::along(ctx, objective, point, matrix, blocks, examples, Some(moves))?;
        Ok(CurvatureSlope { name: format!("slope of the {}", matrix.words()), products })
    }
}

impl LinearOperator for CurvatureSlope<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.products.width()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        self.products.apply(vectors)
    }
}

/// How eigenvalues change along a direction to first order, from the eigenpairs of a matrix and its
/// slope `D`, in the order of the pairs.
///
/// `d l_i / dt = v_i^T D v_i` of a simple eigenvalue. Of several whose neighbours are at most
/// `apart` from each other, which are one multiple eigenvalue as far as that goes, the slopes are the
/// eigenvalues of `V^T D V`, descending: only with all of its vectors among the pairs.
///
/// # Errors
/// A vector of another length; those of the operator.
/// # Source    Kato, Perturbation theory for linear operators, 1966, section II.6
pub fn eigenvalue_slopes(
    pairs: &[Eigenpair],
    slope: &dyn LinearOperator,
    apart: f64,
) -> Result<Vec<f64>, MethodError> {
    let vectors: Vec<Vec<f64>> = pairs.iter().map(|pair| pair.vector.clone()).collect();
    let images = slope.apply(&vectors)?;
    let mut slopes = Vec::with_capacity(pairs.len());
    let together = |a: &Eigenpair, b: &Eigenpair| (a.value - b.value).abs() <= apart;
    for group in pairs.chunk_by(together) {
        let places = slopes.len()..slopes.len() + group.len();
        let rows: Vec<Vec<f64>> = places
            .clone()
            .map(|i| places.clone().map(|j| vector::dot(&vectors[i], &images[j])).collect())
            .collect();
        slopes.extend(symmetric_eigen(&rows).values.into_iter().rev());
    }
    Ok(slopes)
}
