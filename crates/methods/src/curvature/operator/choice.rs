//! Every curvature operator by name: the matrices and their approximations.

use super::{Curvature, CurvatureMatrix, KroneckerFactored, Scope, diagonal};
use crate::common::{LinearOperator, Objective, Solvable};
use crate::{Context, MethodError};
use std::fmt;
use std::str::FromStr;
use thalweg_nn::Weights;

/// What is kept of a curvature matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Approximation {
    /// All of it.
    #[default]
    None,
    /// Its [`diagonal`].
    Diagonal,
    /// A Kronecker product for each layer: [`KroneckerFactored`].
    Kfac,
}

impl Approximation {
    /// What its name adds to that of the matrix.
    fn suffix(self) -> &'static str {
        match self {
            Approximation::None => "",
            Approximation::Diagonal => "-diagonal",
            Approximation::Kfac => "-kfac",
        }
    }
}

/// A curvature operator: a matrix, or an approximation of one under a name of its own.
///
/// # Example
/// ```
/// use thalweg_methods::curvature::{Approximation, CurvatureMatrix, OperatorChoice};
/// let choice: OperatorChoice = "fisher-kfac".parse()?;
/// assert_eq!(choice.matrix, CurvatureMatrix::Fisher);
/// assert_eq!(choice.approximation, Approximation::Kfac);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OperatorChoice {
    /// The matrix.
    pub matrix: CurvatureMatrix,
    /// What is kept of it.
    pub approximation: Approximation,
}

impl OperatorChoice {
    /// Every operator, of one draw where there are draws.
    pub fn all() -> Vec<OperatorChoice> {
        let of = |approximation| {
            let fits = move |matrix: &CurvatureMatrix| match (approximation, matrix) {
                (Approximation::None, _) => true,
                (_, CurvatureMatrix::Hessian) => false,
                (Approximation::Kfac, CurvatureMatrix::GradientCovariance) => false,
                _ => true,
            };
            let each = CurvatureMatrix::ALL.into_iter().filter(fits);
            each.map(move |matrix| OperatorChoice { matrix, approximation })
        };
        [Approximation::None, Approximation::Diagonal, Approximation::Kfac]
            .into_iter()
            .flat_map(of)
            .collect()
    }

    /// The operator at a point.
    ///
    /// # Errors
    /// Those of [`Curvature::new`], [`diagonal`] and [`KroneckerFactored::new`].
    pub fn operator<'a>(
        &self,
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        scope: &Scope,
    ) -> Result<Box<dyn LinearOperator + 'a>, MethodError> {
        Ok(match self.solvable(ctx, objective, point, scope)? {
            Some(operator) => operator,
            None => Box::new(Curvature::new(ctx, objective, point, self.matrix, scope)?),
        })
    }

    /// The operator at a point as one whose equations are solved directly, where it is one: an
    /// approximation.
    ///
    /// # Errors
    /// As [`OperatorChoice::operator`].
    pub fn solvable<'a>(
        &self,
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        scope: &Scope,
    ) -> Result<Option<Box<dyn Solvable + 'a>>, MethodError> {
        let matrix = self.matrix;
        Ok(match self.approximation {
            Approximation::None => None,
            Approximation::Diagonal => {
                Some(Box::new(diagonal(ctx, objective, point, matrix, scope)?))
            }
            Approximation::Kfac => {
                Some(Box::new(KroneckerFactored::new(ctx, objective, point, matrix, scope)?))
            }
        })
    }

    /// Its name in a sentence, after "the".
    pub fn words(&self) -> String {
        let matrix = match self.matrix {
            CurvatureMatrix::Hessian | CurvatureMatrix::GradientCovariance => {
                self.matrix.words().to_owned()
            }
            matrix => format!("{} matrix", matrix.words()),
        };
        match self.approximation {
            Approximation::None => matrix,
            Approximation::Diagonal => format!("diagonal of the {matrix}"),
            Approximation::Kfac => format!("K-FAC approximation of the {matrix}"),
        }
    }
}

impl From<CurvatureMatrix> for OperatorChoice {
    fn from(matrix: CurvatureMatrix) -> OperatorChoice {
        OperatorChoice { matrix, approximation: Approximation::None }
    }
}

impl fmt::Display for OperatorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.matrix, self.approximation.suffix())
    }
}

impl FromStr for OperatorChoice {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<OperatorChoice, MethodError> {
        let known = OperatorChoice::all().into_iter().find(|choice| choice.to_string() == text);
        known.ok_or_else(|| {
            let names = CurvatureMatrix::ALL.map(CurvatureMatrix::name).join(", ");
            let expected = format!(
                "one of {names}, or -diagonal (not of hessian) or -kfac (not of hessian or \
                 gradient-covariance) behind one of them"
            );
            MethodError::config("matrix", expected, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_goes_round() {
        let all = OperatorChoice::all();
        assert_eq!(all.len(), 6 + 5 + 4);
        for choice in all {
            assert_eq!(choice.to_string().parse::<OperatorChoice>().unwrap(), choice);
        }
        let of = |text: &str| text.parse::<OperatorChoice>();
        assert_eq!(of("fisher").unwrap(), CurvatureMatrix::Fisher.into());
        assert_eq!(
            of("empirical-fisher-diagonal").unwrap().words(),
            "diagonal of the empirical Fisher matrix"
        );
        for none in ["hessian-kfac", "hessian-diagonal", "gradient-covariance-kfac", "kfac", ""] {
            let message = of(none).unwrap_err().to_string();
            assert!(message.starts_with("matrix: expected one of hessian, "), "{message}");
        }
    }
}
