//! Curvature matrices of an objective, by their products.

mod choice;
mod coupling;
mod diagonal;
mod kfac;
mod kronecker;
mod kronecker_factors;
mod layers;
mod likelihood;
mod primal;
mod products;
mod scope;
mod score;
mod slope;
mod source;

pub use choice::{Approximation, OperatorChoice};
pub use coupling::Coupling;
pub use diagonal::diagonal;
pub use kfac::{KroneckerFactored, KroneckerFactors};
pub use scope::{ExampleGroup, ParameterBlock, Scope};
pub use slope::{CurvatureSlope, eigenvalue_slopes};

use crate::common::{LinearOperator, Objective, check_lengths};
use crate::{Context, MethodError};
use products::Products;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use thalweg_nn::Weights;

/// A symmetric matrix that says how an objective curves, or how its examples differ.
///
/// `n` examples with losses `l_i(w)`, gradients `g_i`, outputs `z_i(w)` and Jacobians `J_i`; the
/// mean gradient is `g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CurvatureMatrix {
    /// `1/n sum of d^2 l_i / dw^2`: forward over reverse differentiation.
    #[default]
    Hessian,
    /// `1/n sum of J_i^T (d^2 l_i / dz^2) J_i`: the Hessian without what the model's own curvature
    /// adds to it. Never less than zero where the loss is convex in the outputs.
    ///
    /// # Source    Schraudolph, Fast curvature matrix-vector products for second-order gradient
    /// descent, 2002
    GaussNewton,
    /// `1/n sum of E[s s^T]` with the score `s` of targets drawn from the model's own distribution,
    /// the mean in closed form. Equal to the Gauss-Newton matrix where outputs are natural
    /// parameters (cross-entropy, mse, half-squared-error, bce). Defined for every loss as that of
    /// the density `exp(-l)`: an example's loss is a mean over positions or elements, and so is its
    /// information; the weight of an example is a factor of it.
    ///
    /// # Source    Amari, Natural gradient works efficiently in learning, 1998; Martens, New
    /// insights and perspectives on the natural gradient method, 2020, arXiv 1412.1193
    Fisher,
    /// The same with the mean over `draws` targets for each example, from the stream
    /// `curvature/targets`.
    MonteCarloFisher {
        /// Targets drawn for each example.
        draws: usize,
    },
    /// `1/n sum of g_i g_i^T`, at the targets that there are. No approximation of the Fisher
    /// information away from a good fit. Of a weighted example `g_i` is the gradient of its loss times
    /// its weight.
    ///
    /// # Source    Kunstner, Balles, Hennig, Limitations of the empirical Fisher approximation for
    /// natural gradient descent, 2019, arXiv 1905.12558
    EmpiricalFisher,
    /// `1/n sum of (g_i - g)(g_i - g)^T`: the noise of a gradient from one example.
    GradientCovariance,
}

impl CurvatureMatrix {
    /// Every matrix, of one draw where there are draws.
    pub const ALL: [CurvatureMatrix; 6] = [
        CurvatureMatrix::Hessian,
        CurvatureMatrix::GaussNewton,
        CurvatureMatrix::Fisher,
        CurvatureMatrix::MonteCarloFisher { draws: 1 },
        CurvatureMatrix::EmpiricalFisher,
        CurvatureMatrix::GradientCovariance,
    ];

    /// The name in commands and records.
    pub fn name(self) -> &'static str {
        match self {
            CurvatureMatrix::Hessian => "hessian",
            CurvatureMatrix::GaussNewton => "gauss-newton",
            CurvatureMatrix::Fisher => "fisher",
            CurvatureMatrix::MonteCarloFisher { .. } => "monte-carlo-fisher",
            CurvatureMatrix::EmpiricalFisher => "empirical-fisher",
            CurvatureMatrix::GradientCovariance => "gradient-covariance",
        }
    }

    /// Its name in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            CurvatureMatrix::Hessian => "Hessian",
            CurvatureMatrix::GaussNewton => "Gauss-Newton",
            CurvatureMatrix::Fisher => "Fisher",
            CurvatureMatrix::MonteCarloFisher { .. } => "Monte Carlo Fisher",
            CurvatureMatrix::EmpiricalFisher => "empirical Fisher",
            CurvatureMatrix::GradientCovariance => "gradient covariance",
        }
    }

    /// Whether it has no eigenvalue below zero whatever the model (of a convex loss).
    pub fn is_positive(self) -> bool {
        self != CurvatureMatrix::Hessian
    }

    fn draws_targets(self) -> bool {
        matches!(self, CurvatureMatrix::MonteCarloFisher { .. })
    }

    fn passes(self) -> usize {
        match self {
            CurvatureMatrix::MonteCarloFisher { draws } => draws,
            _ => 1,
        }
    }

    /// Refuses objectives that have no such matrix.
    fn check(self, objective: &dyn Objective) -> Result<(), MethodError> {
        if self == (CurvatureMatrix::MonteCarloFisher { draws: 0 }) {
            return Err(MethodError::config("draws of the Monte Carlo Fisher", "at least 1", 0));
        }
        let of_outputs = matches!(
            self,
            CurvatureMatrix::GaussNewton
                | CurvatureMatrix::Fisher
                | CurvatureMatrix::MonteCarloFisher { .. }
        );
        match objective.loss() {
            _ if !of_outputs => Ok(()),
            Some(loss) if self == CurvatureMatrix::GaussNewton => {
                likelihood::check_gauss_newton(loss)
            }
            // Outputs less a margin of the true class differ from target to target.
            Some(_) if !objective.is_likelihood() => {
                let expected = "outputs that are a distribution of targets";
                let got = "outputs less a margin of the true class";
                Err(MethodError::mismatch(format!("the {} matrix", self.words()), expected, got))
            }
            Some(_) => Ok(()),
            None => {
                let what = format!("the {} matrix", self.words());
                let expected = "an objective that is the loss of a model's outputs";
                Err(MethodError::mismatch(what, expected, "a plain function of weights"))
            }
        }
    }
}

impl fmt::Display for CurvatureMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CurvatureMatrix {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<CurvatureMatrix, MethodError> {
        let known = CurvatureMatrix::ALL.into_iter().find(|matrix| matrix.name() == text);
        known.ok_or_else(|| {
            let names = CurvatureMatrix::ALL.map(CurvatureMatrix::name);
            MethodError::config("matrix", format!("one of {}", names.join(", ")), text)
        })
    }
}

/// A curvature matrix of an objective at a point, or a block of it on the diagonal.
///
/// Products are streamed over all batches and added up in `f64`; a batch of directions shares what
/// does not depend on them, and from the second product on so do all, as far as half of the memory
/// budget holds it. No Jacobian and no example's gradient is ever stored: `J v` by forward
/// mode, something made of it at the outputs or losses, then `J^T` by transposition. Under
/// recalibrated batch normalisation the statistics are those of the point and of all examples,
/// held; under batch statistics their derivatives count. Exact but for rounding in the objective's
/// float type: vectors are rounded to it.
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_graph::DType;
/// use thalweg_methods::common::LinearOperator;
/// use thalweg_methods::curvature::{Curvature, CurvatureMatrix, Scope};
/// use thalweg_methods::{Context, Function};
/// let bowl = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
///     w[0].square() * 1.5 + w[0] * w[1]
/// });
/// let executor = Executor::new(1);
/// let (ctx, point) = (Context::new(&executor, 0), bowl.point(&[2.0, 1.0])?);
/// let whole = Scope::default();
/// let hessian = Curvature::new(&ctx, &bowl, &point, CurvatureMatrix::Hessian, &whole)?;
/// assert_eq!(hessian.product(&[1.0, 2.0])?, [5.0, 1.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub struct Curvature<'a> {
    matrix: CurvatureMatrix,
    products: Products<'a>,
}

impl<'a> Curvature<'a> {
    /// A matrix of the objective at a point: the block of the scope's parameters, the mean over the
    /// scope's examples.
    ///
    /// # Errors
    /// Weights of another model; a scope without parameters or examples; an objective without
    /// outputs, or a loss without such a matrix, as a Fisher matrix of outputs with margins; no room
    /// for a single product; those of the engine.
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        matrix: CurvatureMatrix,
        scope: &Scope,
    ) -> Result<Curvature<'a>, MethodError> {
        let blocks = [&scope.parameters; 2];
        let products = Products::new(ctx, objective, point, matrix, blocks, &scope.examples)?;
        Ok(Curvature { matrix, products })
    }

    /// Which matrix it is.
    pub fn matrix(&self) -> CurvatureMatrix {
        self.matrix
    }

    /// Largest number of products taken at once.
    pub fn members(&self) -> usize {
        self.products.members()
    }

    /// Bytes of what products have in common, as far as it is kept so far.
    pub fn kept_bytes(&self) -> usize {
        self.products.kept_bytes()
    }

    /// How many examples it is the mean over.
    pub fn examples(&self) -> usize {
        self.products.objective().examples()
    }

    /// The elements of a vector over all parameters that belong to the scope's.
    pub fn restricted(&self, whole: &[f64]) -> Vec<f64> {
        self.products.restricted(whole)
    }

    /// The product of the mean over the examples of some of the objective's batches with each vector.
    ///
    /// # Errors
    /// As [`LinearOperator::apply`].
    pub(super) fn over(
        &self,
        vectors: &[Vec<f64>],
        batches: Range<usize>,
    ) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        self.products.over(vectors, batches)
    }

    /// A vector of the scope's parameters among zeros: a direction in the whole weight space.
    pub fn embedded(&self, part: &[f64]) -> Vec<f64> {
        self.products.embedded(part)
    }
}

impl LinearOperator for Curvature<'_> {
    fn name(&self) -> &str {
        self.matrix.name()
    }

    fn dimension(&self) -> usize {
        self.products.width()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        self.products.apply(vectors)
    }
}
