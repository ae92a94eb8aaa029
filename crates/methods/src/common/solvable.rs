//! Operators whose equations are solved directly, and their inverses as operators.

use super::{LinearOperator, check_lengths};
use crate::MethodError;

/// A symmetric operator without eigenvalues below zero, whose equations are solved directly.
pub trait Solvable: LinearOperator {
    /// `(A + damping I)^-1 v` for each of some vectors.
    ///
    /// # Errors
    /// A damping below zero, or one with which the operator is singular; a vector of another length.
    fn solve(&self, vectors: &[Vec<f64>], damping: f64) -> Result<Vec<Vec<f64>>, MethodError>;

    /// `log det (A + damping I)`, minus infinity where it is singular.
    ///
    /// # Errors
    /// A damping below zero; factors that are not finite.
    fn log_determinant(&self, damping: f64) -> Result<f64, MethodError>;
}

/// Refuses a damping that is none.
pub(crate) fn check_damping(damping: f64) -> Result<(), MethodError> {
    match damping >= 0.0 && damping.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("damping", "0 or a positive number", damping)),
    }
}

/// `1 / (value + damping)` for eigenvalues of an operator that has none below zero but by rounding.
pub(crate) fn reciprocal(value: f64, damping: f64) -> Result<f64, MethodError> {
    let damped = value.max(0.0) + damping;
    match damped > 0.0 && damped.is_finite() {
        true => Ok(1.0 / damped),
        false => {
            let (what, expected) = ("an eigenvalue plus damping", "a positive number");
            Err(MethodError::mismatch(what, expected, damped))
        }
    }
}

/// A diagonal matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalOperator {
    name: String,
    values: Vec<f64>,
}

impl DiagonalOperator {
    /// The matrix of these elements.
    ///
    /// # Errors
    /// An element that is not finite.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Result<Self, MethodError> {
        let name = name.into();
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(DiagonalOperator { name, values }),
            Some(value) => {
                let what = format!("an element of the {name}");
                Err(MethodError::NotFinite { what, value: value.to_string() })
            }
        }
    }

    /// The identity.
    pub fn identity(n: usize) -> DiagonalOperator {
        DiagonalOperator { name: "identity".into(), values: vec![1.0; n] }
    }

    /// The elements.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl LinearOperator for DiagonalOperator {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.values.len()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let product = |v: &Vec<f64>| v.iter().zip(&self.values).map(|(v, d)| v * d).collect();
        Ok(vectors.iter().map(product).collect())
    }
}

impl Solvable for DiagonalOperator {
    fn solve(&self, vectors: &[Vec<f64>], damping: f64) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        check_damping(damping)?;
        let inverse: Vec<f64> = self
            .values
            .iter()
            .map(|&value| reciprocal(value, damping))
            .collect::<Result<_, _>>()?;
        let solved = |v: &Vec<f64>| v.iter().zip(&inverse).map(|(v, d)| v * d).collect();
        Ok(vectors.iter().map(solved).collect())
    }

    fn log_determinant(&self, damping: f64) -> Result<f64, MethodError> {
        check_damping(damping)?;
        Ok(self.values.iter().map(|value| (value.max(0.0) + damping).ln()).sum())
    }
}

/// `A + damping I`.
pub struct Damped<'a> {
    operator: &'a dyn LinearOperator,
    damping: f64,
    name: String,
}

impl<'a> Damped<'a> {
    /// An operator with so much of the identity added.
    ///
    /// # Errors
    /// A damping that is not finite, or below zero.
    pub fn new(operator: &'a dyn LinearOperator, damping: f64) -> Result<Self, MethodError> {
        check_damping(damping)?;
        let name = format!("damped {}", operator.name());
        Ok(Damped { operator, damping, name })
    }
}

impl LinearOperator for Damped<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        let mut products = self.operator.apply(vectors)?;
        for (product, vector) in products.iter_mut().zip(vectors) {
            super::vector::add_scaled(product, self.damping, vector);
        }
        Ok(products)
    }
}

/// `(A + damping I)^-1`.
pub struct Inverse<'a> {
    operator: &'a dyn Solvable,
    damping: f64,
    name: String,
}

impl<'a> Inverse<'a> {
    /// The inverse of an operator with so much of the identity added.
    ///
    /// # Errors
    /// A damping that is not finite, or below zero.
    pub fn new(operator: &'a dyn Solvable, damping: f64) -> Result<Self, MethodError> {
        check_damping(damping)?;
        let name = format!("inverse {}", operator.name());
        Ok(Inverse { operator, damping, name })
    }
}

impl LinearOperator for Inverse<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        self.operator.solve(vectors, self.damping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_is_solved_element_by_element() {
        let diagonal = DiagonalOperator::new("diagonal", vec![3.0, 0.0]).unwrap();
        let damped = Damped::new(&diagonal, 1.0).unwrap();
        let inverse = Inverse::new(&diagonal, 1.0).unwrap();
        assert_eq!(damped.product(&[1.0, 2.0]).unwrap(), [4.0, 2.0]);
        assert_eq!(inverse.product(&[4.0, 2.0]).unwrap(), [1.0, 2.0]);
        assert_eq!(diagonal.log_determinant(1.0).unwrap(), 4f64.ln());
        assert_eq!(diagonal.log_determinant(0.0).unwrap(), f64::NEG_INFINITY);
        let message = |damping| diagonal.solve(&[vec![1.0; 2]], damping).unwrap_err().to_string();
        assert_eq!(message(0.0), "an eigenvalue plus damping: expected a positive number, got 0");
        assert_eq!(message(f64::NAN), "damping: expected 0 or a positive number, got NaN");
        assert!(DiagonalOperator::new("diagonal", vec![f64::INFINITY]).is_err());
    }
}
