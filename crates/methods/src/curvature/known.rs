//! What eigenpairs that are known say of an operator, and the operator without them.

use super::Eigenpair;
use crate::MethodError;
use crate::common::{Deflated, LinearOperator};

/// Known eigenpairs, taken out of an operator.
pub(super) struct Known<'a> {
    /// The operator outside of their span.
    pub(super) outside: Deflated<'a>,
    /// The sum of their values.
    pub(super) trace: f64,
    /// The squared Frobenius norm of the operator on their span: their values' squares, and those of
    /// their residuals.
    pub(super) frobenius_squared: f64,
}

impl<'a> Known<'a> {
    /// Takes orthonormal eigenpairs out.
    ///
    /// # Errors
    /// A vector of another length.
    pub(super) fn new(
        operator: &'a dyn LinearOperator,
        pairs: &[Eigenpair],
    ) -> Result<Known<'a>, MethodError> {
        let basis = pairs.iter().map(|pair| pair.vector.clone()).collect();
        let square = |pair: &Eigenpair| pair.value.powi(2) + pair.residual.powi(2);
        Ok(Known {
            outside: Deflated::new(operator, basis)?,
            trace: pairs.iter().map(|pair| pair.value).sum(),
            frobenius_squared: pairs.iter().map(square).sum(),
        })
    }
}
