//! Symmetric matrices that are known by their products.

use crate::MethodError;
use crate::common::vector;

/// A symmetric linear map, given by what it makes of vectors.
///
/// Vectors are `f64` on the host, in the order of [`thalweg_nn::Parameters::flatten`].
pub trait LinearOperator {
    /// What it is, for messages.
    fn name(&self) -> &str;

    /// Length of vectors.
    fn dimension(&self) -> usize;

    /// The product with each of a batch of vectors. A product does not depend on its neighbours
    /// in the batch.
    ///
    /// # Errors
    /// A vector of another length; those of the engine.
    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError>;

    /// The product with one vector.
    ///
    /// # Errors
    /// As [`LinearOperator::apply`].
    fn product(&self, vector: &[f64]) -> Result<Vec<f64>, MethodError> {
        let mut products = self.apply(std::slice::from_ref(&vector.to_vec()))?;
        products.pop().ok_or_else(|| MethodError::mismatch(self.name(), "one product", "none"))
    }
}

/// Refuses vectors of another length than the operator's.
pub(crate) fn check_lengths(
    operator: &dyn LinearOperator,
    vectors: &[Vec<f64>],
) -> Result<(), MethodError> {
    match vectors.iter().find(|vector| vector.len() != operator.dimension()) {
        None => Ok(()),
        Some(vector) => {
            let what = format!("a vector for the {}", operator.name());
            let expected = format!("{} elements", operator.dimension());
            Err(MethodError::mismatch(what, expected, vector.len()))
        }
    }
}

/// A matrix that is known entry by entry.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseOperator {
    rows: Vec<Vec<f64>>,
}

impl DenseOperator {
    /// The operator of a square matrix given by rows.
    ///
    /// # Errors
    /// A matrix that is not square.
    pub fn new(rows: Vec<Vec<f64>>) -> Result<DenseOperator, MethodError> {
        match rows.iter().find(|row| row.len() != rows.len()) {
            None => Ok(DenseOperator { rows }),
            Some(row) => {
                let (expected, got) = (rows.len(), row.len());
                let expected = format!("{expected} columns, as it has rows");
                Err(MethodError::mismatch("a symmetric matrix", expected, got))
            }
        }
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }
}

impl LinearOperator for DenseOperator {
    fn name(&self) -> &str {
        "matrix"
    }

    fn dimension(&self) -> usize {
        self.rows.len()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let product = |x: &Vec<f64>| self.rows.iter().map(|row| vector::dot(row, x)).collect();
        Ok(vectors.iter().map(product).collect())
    }
}
