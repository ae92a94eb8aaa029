//! The Hessian's two parts by all of their eigenvalues: for small models.

use super::{Curvature, CurvatureMatrix, Scope, dense};
use crate::common::{LinearOperator, ModelObjective, symmetric_eigen, vector};
use crate::{Context, MethodError};
use thalweg_nn::{Loss, Weights};

/// All eigenvalues of the Hessian `H`, of its Gauss-Newton part `G`, of what is left, and of the
/// outputs' gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussNewtonSplit {
    /// Of `H`, ascending.
    pub hessian: Vec<f64>,
    /// Of `G`, ascending.
    pub gauss_newton: Vec<f64>,
    /// Of `R = H - G`, ascending.
    pub residual: Vec<f64>,
    /// Of `1/n sum over examples and outputs of grad z grad z^T`, ascending: the outputs' gradients'
    /// covariance around zero, which is `G` under half the squared error. Several positions of an
    /// example count as their mean.
    pub outputs: Vec<f64>,
    /// How far the spaces of the `top` largest eigenvalues of `H` and of `G` are one: the mean squared
    /// cosine of their principal angles, `|V_H^T V_G|_F^2 / top`. It is 1 for the same space, and
    /// `top / n` on average for random ones of `n` dimensions.
    pub overlap: f64,
}

/// Whole spectra of `H = G + R`, from every column of the matrices.
///
/// For models of some thousand parameters at most; [`super::curvature_split`] has the ends of the
/// spectra of larger ones.
///
/// # Errors
/// A `top` of none or of more than there are parameters; matrices that the memory does not hold; a
/// loss that is not curved in the outputs; those of the engine; `Interrupted`.
/// # Source    Sagun, Evci, Guney, Dauphin, Bottou, Empirical analysis of the Hessian of
/// over-parametrized neural networks, 2017, arXiv 1706.04454
pub fn gauss_newton_split(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    point: &Weights,
    top: usize,
) -> Result<GaussNewtonSplit, MethodError> {
    /// Matrices that are held at once: two that are kept, and three of a decomposition.
    const MATRICES: usize = 5;
    let scope = Scope::default();
    let of = |objective, matrix| Curvature::new(ctx, objective, point, matrix, &scope);
    let operator = of(objective, CurvatureMatrix::Hessian)?;
    let n = operator.dimension();
    if top == 0 || top > n {
        let expected = format!("1 to {n}");
        return Err(MethodError::config("eigenvectors that are compared", expected, top));
    }
    let needed = n.saturating_mul(n).saturating_mul(8 * MATRICES);
    if needed > ctx.memory() {
        let what = format!("the whole spectra of {n} parameters");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let hessian = dense(ctx, &operator)?.rows().to_vec();
    let gauss_newton = dense(ctx, &of(objective, CurvatureMatrix::GaussNewton)?)?;
    let mut rest = hessian;
    let (hessian, leading) = decomposed(&rest, top);
    for (row, part) in rest.iter_mut().zip(gauss_newton.rows()) {
        vector::add_scaled(row, -1.0, part);
    }
    ctx.check()?;
    let (residual, _) = decomposed(&rest, 0);
    drop(rest);
    ctx.check()?;
    let (gauss_newton, other) = decomposed(gauss_newton.rows(), top);
    ctx.check()?;
    let cosine = |a: &Vec<f64>| other.iter().map(|b| vector::dot(a, b).powi(2)).sum::<f64>();
    let overlap = leading.iter().map(cosine).sum::<f64>() / top as f64;
    let plain = objective.clone().with_loss(Loss::HalfSquaredError)?;
    let outputs = dense(ctx, &of(&plain, CurvatureMatrix::GaussNewton)?)?;
    let (outputs, _) = decomposed(outputs.rows(), 0);
    Ok(GaussNewtonSplit { hessian, gauss_newton, residual, outputs, overlap })
}

/// All eigenvalues, ascending, and the eigenvectors of the `top` largest.
fn decomposed(matrix: &[Vec<f64>], top: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut eigen = symmetric_eigen(matrix);
    let leading = eigen.vectors.split_off(eigen.vectors.len().saturating_sub(top));
    (eigen.values, leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectiveConfig;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;

    /// Outputs `w x + b` are linear, so that `R = 0`; `G = 1/n sum p (1 - p) (x, 1) (x, 1)^T`, and the
    /// outputs' gradients are `(x, 1)`.
    #[test]
    fn of_a_logistic_regression_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[1], 1).unwrap();
        let inputs = Array::from_slice(&[2, 1], &[1.0, -1.0]).unwrap();
        let targets = Array::from_slice(&[2, 1], &[1.0, 0.0]).unwrap();
        let config = ObjectiveConfig::default();
        let loss = Loss::BinaryCrossEntropy;
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, vec![inputs], targets, false, &config)
                .unwrap();
        let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        point.parameters = point.parameters.unflatten(&[0.0, 0.0]).unwrap();
        let close = |found: &[f64], expected: [f64; 2]| {
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == 2 && off < 1e-15, "{found:?} {expected:?}");
        };
        let found = gauss_newton_split(&ctx, &objective, &point, 2).unwrap();
        close(&found.hessian, [0.25, 0.25]);
        close(&found.gauss_newton, [0.25, 0.25]);
        close(&found.residual, [0.0, 0.0]);
        close(&found.outputs, [1.0, 1.0]);
        assert!((found.overlap - 1.0).abs() < 1e-14, "{found:?}");
        for top in [0, 3] {
            assert!(gauss_newton_split(&ctx, &objective, &point, top).is_err());
        }
        let small = ctx.clone().with_memory(64);
        assert!(gauss_newton_split(&small, &objective, &point, 1).is_err());
        let flat = objective.with_loss(Loss::MeanAbsoluteError).unwrap();
        assert!(gauss_newton_split(&ctx, &flat, &point, 1).is_err());
    }
}
