//! An operator seen through other operators.

use super::{LinearOperator, check_lengths, vector};
use crate::MethodError;

/// `D A D` with a diagonal `D`: an operator in other units of each weight.
///
/// With `D = P^-1/2` its eigenvalues are those of `P^-1 A`, the curvature that steps
/// preconditioned by `P` meet, and its eigenvectors `y` give generalised ones: `A x = l P x` with
/// `x = D y`.
pub struct Scaled<'a> {
    operator: &'a dyn LinearOperator,
    scale: Vec<f64>,
    name: String,
}

impl<'a> Scaled<'a> {
    /// `D A D` with `D` of these elements.
    ///
    /// # Errors
    /// Another number of elements than the operator has; one that is not finite.
    pub fn new(operator: &'a dyn LinearOperator, scale: Vec<f64>) -> Result<Self, MethodError> {
        let n = operator.dimension();
        if scale.len() != n {
            let expected = format!("{n} elements");
            return Err(MethodError::mismatch("a diagonal scaling", expected, scale.len()));
        }
        if let Some(value) = scale.iter().find(|x| !x.is_finite()) {
            let what = "an element of a diagonal scaling".to_owned();
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
        let name = format!("scaled {}", operator.name());
        Ok(Scaled { operator, scale, name })
    }

    /// `P^-1/2 A P^-1/2` with a positive diagonal `P`.
    ///
    /// # Errors
    /// As [`Scaled::new`]; an element that is not positive.
    pub fn preconditioned(
        operator: &'a dyn LinearOperator,
        preconditioner: &[f64],
    ) -> Result<Self, MethodError> {
        if let Some(value) = preconditioner.iter().find(|&&p| p.is_nan() || p <= 0.0) {
            let what = "an element of a preconditioner";
            return Err(MethodError::mismatch(what, "a positive number", value));
        }
        Scaled::new(operator, preconditioner.iter().map(|p| 1.0 / p.sqrt()).collect())
    }

    /// `D y`: with a preconditioner, the generalised eigenvector of an eigenvector.
    pub fn unscaled(&self, vector: &[f64]) -> Vec<f64> {
        vector.iter().zip(&self.scale).map(|(x, d)| x * d).collect()
    }
}

impl LinearOperator for Scaled<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> usize {
        self.scale.len()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let inside: Vec<Vec<f64>> = vectors.iter().map(|v| self.unscaled(v)).collect();
        Ok(self.operator.apply(&inside)?.iter().map(|v| self.unscaled(v)).collect())
    }
}

/// `P` of Adam's step `w -= rate P^-1 m` along its running mean `m` of gradients:
/// `P = (1 - beta1^t) (sqrt(v / (1 - beta2^t)) + eps)`, from its second moments `v` (`exp_avg_sq`)
/// after `steps` steps `t`.
///
/// The first factor is the correction of `m` for its start. In a quadratic of largest preconditioned
/// eigenvalue above `2 (1 + beta1) / (rate (1 - beta1))` such steps diverge.
///
/// # Errors
/// Settings outside of their range; a second moment that is negative; no steps.
/// # Source    Cohen et al., Adaptive gradient methods at the edge of stability, 2022, arXiv
/// 2207.14484, section 2
/// # Example
/// ```
/// use thalweg_methods::common::{DenseOperator, LinearOperator, Scaled, adam_preconditioner};
/// let hessian = DenseOperator::new(vec![vec![8.0, 0.0], vec![0.0, 3.0]])?;
/// // Without memory moments are squared gradients.
/// let preconditioner = adam_preconditioner(&[16.0, 1.0], 1, (0.0, 0.0), 0.0)?;
/// let effective = Scaled::preconditioned(&hessian, &preconditioner)?;
/// assert_eq!(effective.product(&[1.0, 1.0])?, [2.0, 3.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn adam_preconditioner(
    second_moments: &[f64],
    steps: u64,
    (beta1, beta2): (f64, f64),
    eps: f64,
) -> Result<Vec<f64>, MethodError> {
    for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
        if !(0.0..1.0).contains(&beta) {
            return Err(MethodError::config(name, "from 0 to below 1", beta));
        }
    }
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(MethodError::config("eps", "0 or a positive number", eps));
    }
    if steps == 0 {
        return Err(MethodError::config("steps of Adam", "at least 1", 0));
    }
    if let Some(value) = second_moments.iter().find(|&&v| v.is_nan() || v < 0.0) {
        return Err(MethodError::mismatch("a second moment", "0 or a positive number", value));
    }
    // 1 - beta^t without the loss of digits near beta = 1.
    let seen = |beta: f64| if beta == 0.0 { 1.0 } else { -(steps as f64 * beta.ln()).exp_m1() };
    let (first, second) = (seen(beta1), seen(beta2));
    Ok(second_moments.iter().map(|v| first * ((v / second).sqrt() + eps)).collect())
}

/// `(I - V V^T) A (I - V V^T)`: an operator without what orthonormal vectors span.
pub(crate) struct Deflated<'a> {
    operator: &'a dyn LinearOperator,
    basis: Vec<Vec<f64>>,
}

impl<'a> Deflated<'a> {
    /// # Errors
    /// A vector of another length.
    pub(crate) fn new(
        operator: &'a dyn LinearOperator,
        basis: Vec<Vec<f64>>,
    ) -> Result<Deflated<'a>, MethodError> {
        let n = operator.dimension();
        match basis.iter().find(|vector| vector.len() != n) {
            None => Ok(Deflated { operator, basis }),
            Some(vector) => {
                let what = "a known eigenvector";
                Err(MethodError::mismatch(what, format!("{n} elements"), vector.len()))
            }
        }
    }

    /// Dimensions that are left.
    pub(crate) fn left(&self) -> usize {
        self.dimension().saturating_sub(self.basis.len())
    }

    /// Takes what the vectors span out of `x`.
    pub(crate) fn project(&self, x: &mut [f64]) {
        vector::orthogonalize(x, &self.basis, &mut vec![0.0; self.basis.len()]);
    }
}

impl LinearOperator for Deflated<'_> {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        if self.basis.is_empty() {
            return self.operator.apply(vectors);
        }
        let mut inside = vectors.to_vec();
        inside.iter_mut().for_each(|x| self.project(x));
        let mut products = self.operator.apply(&inside)?;
        products.iter_mut().for_each(|x| self.project(x));
        Ok(products)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::DenseOperator;

    #[test]
    fn adams_preconditioner_is_corrected_for_its_start() {
        // After one step v = (1 - beta2) g^2 and m = (1 - beta1) g, and the step is the rate.
        let (gradient, eps) = (5.0, 1e-8);
        let moments = [0.001 * gradient * gradient, 0.0];
        let found = adam_preconditioner(&moments, 1, (0.9, 0.999), eps).unwrap();
        let step = 0.1 * gradient / found[0];
        assert!((step - 1.0 / (1.0 + eps / gradient)).abs() < 1e-12, "{step}");
        assert!((found[1] / (0.1 * eps) - 1.0).abs() < 1e-12, "{}", found[1]);
        // After many the correction is gone.
        let late = adam_preconditioner(&[25.0], 100_000, (0.9, 0.999), 0.0).unwrap();
        assert!((late[0] - 5.0).abs() < 1e-12, "{}", late[0]);
    }

    #[test]
    fn scales_that_are_none_are_named() {
        let adam = |moment, steps, beta2, eps| {
            adam_preconditioner(&[moment], steps, (0.9, beta2), eps).unwrap_err().to_string()
        };
        assert_eq!(adam(1.0, 1, 1.0, 0.0), "beta2: expected from 0 to below 1, got 1");
        let first = adam_preconditioner(&[1.0], 1, (-0.1, 0.9), 0.0).unwrap_err().to_string();
        assert_eq!(first, "beta1: expected from 0 to below 1, got -0.1");
        assert_eq!(adam(1.0, 1, 0.9, -1.0), "eps: expected 0 or a positive number, got -1");
        assert_eq!(adam(1.0, 0, 0.9, 0.0), "steps of Adam: expected at least 1, got 0");
        assert_eq!(
            adam(-1.0, 1, 0.9, 0.0),
            "a second moment: expected 0 or a positive number, got -1"
        );
        let matrix = DenseOperator::new(vec![vec![1.0]]).unwrap();
        let refused =
            |scale: &[f64]| Scaled::new(&matrix, scale.to_vec()).map(drop).unwrap_err().to_string();
        assert_eq!(refused(&[1.0, 1.0]), "a diagonal scaling: expected 1 elements, got 2");
        assert_eq!(
            refused(&[f64::NAN]),
            "an element of a diagonal scaling is NaN, expected a finite number"
        );
        let flat = Scaled::preconditioned(&matrix, &[0.0]).map(drop).unwrap_err().to_string();
        assert_eq!(flat, "an element of a preconditioner: expected a positive number, got 0");
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        let matrix = DenseOperator::new(vec![vec![2.0, 1.0], vec![1.0, 2.0]]).unwrap();
        let root = 0.5f64.sqrt();
        let deflated = Deflated::new(&matrix, vec![vec![root, root]]).unwrap();
        let product = deflated.product(&[3.0, 1.0]).unwrap();
        assert!((product[0] - 1.0).abs() < 1e-15 && (product[1] + 1.0).abs() < 1e-15);
        assert_eq!(deflated.left(), 1);
        let short = Deflated::new(&matrix, vec![vec![1.0]]).map(drop).unwrap_err().to_string();
        assert_eq!(short, "a known eigenvector: expected 2 elements, got 1");
    }
}
