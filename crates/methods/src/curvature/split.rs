//! The Hessian's two parts: what comes from the loss, and what from the model's own curvature.

use super::{Curvature, CurvatureMatrix, LanczosConfig, Scope, lanczos};
use crate::common::{LinearOperator, Objective, check_lengths};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// The difference of the Hessian and its Gauss-Newton part, `R = H - G = 1/n sum over examples and
/// outputs of (dl/dz_k) d^2 z_k / dw^2`.
pub struct ResidualCurvature<'a> {
    hessian: Curvature<'a>,
    gauss_newton: Curvature<'a>,
}

impl<'a> ResidualCurvature<'a> {
    /// The operator at a point.
    ///
    /// # Errors
    /// Those of [`Curvature::new`].
    pub fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
        scope: &Scope,
    ) -> Result<ResidualCurvature<'a>, MethodError> {
        let of = |matrix| Curvature::new(ctx, objective, point, matrix, scope);
        let hessian = of(CurvatureMatrix::Hessian)?;
        Ok(ResidualCurvature { hessian, gauss_newton: of(CurvatureMatrix::GaussNewton)? })
    }
}

impl LinearOperator for ResidualCurvature<'_> {
    fn name(&self) -> &str {
        "residual of the Hessian"
    }

    fn dimension(&self) -> usize {
        self.hessian.dimension()
    }

    fn apply(&self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MethodError> {
        check_lengths(self, vectors)?;
        let mut products = self.hessian.apply(vectors)?;
        for (product, other) in products.iter_mut().zip(self.gauss_newton.apply(vectors)?) {
            product.iter_mut().zip(other).for_each(|(a, b)| *a -= b);
        }
        Ok(products)
    }
}

/// The extreme eigenvalues of the Hessian's parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvatureSplit {
    /// The largest of the Hessian.
    pub hessian: f64,
    /// The largest of the Gauss-Newton part. Of half the squared error it is the largest of the tangent
    /// kernel `J J^T / n`.
    pub gauss_newton: f64,
    /// The largest of the residual.
    pub residual: f64,
    /// The smallest of the residual.
    pub residual_smallest: f64,
    /// The norm of what is left of each of these pairs, in this order: an eigenvalue lies within it
    /// of the number.
    pub errors: [f64; 4],
    /// Whether all of them are within a thousandth of the largest absolute eigenvalue of their
    /// matrix. Otherwise `products` were too few.
    pub converged: bool,
}

/// The extreme eigenvalues of the Hessian and of its two parts, `H = G + R`, by at most `products`
/// products each.
///
/// # Errors
/// Those of [`Curvature::new`] and [`lanczos`].
/// # Source    Noci et al. 2024, arXiv 2402.17457, section 4
pub fn curvature_split(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    products: usize,
) -> Result<CurvatureSplit, MethodError> {
    let scope = Scope::default();
    let ends = |name: &str, operator: &dyn LinearOperator, bottom: usize| {
        let config =
            LanczosConfig { top: 1, bottom, max_products: products, ..LanczosConfig::default() };
        lanczos(&ctx.within(name), operator, &config)
    };
    let top = |name: &str, matrix| {
        let operator = Curvature::new(ctx, objective, point, matrix, &scope)?;
        ends(name, &operator, 0)
    };
    let hessian = top("hessian", CurvatureMatrix::Hessian)?;
    let gauss_newton = top("gauss-newton", CurvatureMatrix::GaussNewton)?;
    let residual = ResidualCurvature::new(ctx, objective, point, &scope)?;
    let residual = ends("residual", &residual, 1)?;
    let pairs = [&hessian.top[0], &gauss_newton.top[0], &residual.top[0], &residual.bottom[0]];
    let [h, g, r, smallest] = pairs.map(|pair| pair.value);
    Ok(CurvatureSplit {
        hessian: h,
        gauss_newton: g,
        residual: r,
        residual_smallest: smallest,
        errors: pairs.map(|pair| pair.residual),
        converged: hessian.converged && gauss_newton.converged && residual.converged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{gradient, symmetric_eigen, vector};
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Model};
    use thalweg_train::initialize;

    const N: usize = 6;

    fn objective(ctx: &Context<'_>, model: &Model, x: &[f64], y: &[f64]) -> ModelObjective {
        let n = y.len();
        let inputs = vec![Array::from_slice(&[n, x.len() / n], x).unwrap()];
        let targets = Array::from_slice(&[n, 1], y).unwrap();
        let (loss, config) = (Loss::HalfSquaredError, ObjectiveConfig::default());
        ModelObjective::from_arrays(ctx, model, loss, inputs, targets, false, &config).unwrap()
    }

    #[test]
    fn the_kernels_top_is_that_of_gauss_newton_and_nothing_is_left_at_a_fit() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "mlp hidden=4 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[2], 1).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let stream = Stream::new(0, "x");
        let x: Vec<f64> = (0..2 * N as u64).map(|i| stream.normal(i)).collect();
        // Of one example with target z the gradient is (f - z) df/dw: two targets give both.
        let mut rows = Vec::new();
        let mut fitted = Vec::new();
        for pair in x.chunks(2) {
            let at = |z: f64| {
                let one = objective(&ctx, &model, pair, &[z]);
                gradient(&ctx, &one, &weights).unwrap().gradient
            };
            let row: Vec<f64> = at(0.0).iter().zip(at(1.0)).map(|(a, b)| a - b).collect();
            let square = vector::dot(&row, &row);
            fitted.push(vector::dot(&at(0.0), &row) / square);
            rows.push(row);
        }
        let kernel: Vec<Vec<f64>> = rows
            .iter()
            .map(|a| rows.iter().map(|b| vector::dot(a, b) / N as f64).collect())
            .collect();
        let top = symmetric_eigen(&kernel).values[N - 1];
        let targets: Vec<f64> = (0..N as u64).map(|i| stream.normal(100 + i)).collect();
        let away = objective(&ctx, &model, &x, &targets);
        let found = curvature_split(&ctx, &away, &weights, 60).unwrap();
        assert!((found.gauss_newton - top).abs() < 1e-8 * top, "{found:?} {top}");
        assert!(found.converged && found.errors.iter().all(|error| *error < 1e-2 * top));
        // Two products are too few, and say so.
        let early = curvature_split(&ctx, &away, &weights, 2).unwrap();
        assert!(!early.converged && early.errors[0] > 1e-3 * early.hessian, "{early:?}");
        assert!(found.residual > 1e-3 && found.residual_smallest < -1e-3, "{found:?}");
        // Where targets are the outputs, the Hessian is its Gauss-Newton part.
        let there = objective(&ctx, &model, &x, &fitted);
        let scope = Scope::default();
        let rest = ResidualCurvature::new(&ctx, &there, &weights, &scope).unwrap();
        let n = rest.dimension();
        for i in 0..n {
            let unit: Vec<f64> = (0..n).map(|j| f64::from(u8::from(i == j))).collect();
            assert!(vector::norm(&rest.product(&unit).unwrap()) < 1e-9);
        }
    }

    #[test]
    fn both_parts_add_up_to_differences_of_gradients() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "mlp hidden=4 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[2], 1).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let away = objective(&ctx, &model, &[0.3, -1.0, 0.8, 0.2], &[1.0, -2.0]);
        let scope = Scope::default();
        let rest = ResidualCurvature::new(&ctx, &away, &weights, &scope).unwrap();
        let matrix = CurvatureMatrix::GaussNewton;
        let gauss_newton = Curvature::new(&ctx, &away, &weights, matrix, &scope).unwrap();
        let v: Vec<f64> = (0..rest.dimension()).map(|i| (i as f64).sin()).collect();
        let flat = weights.parameters.flatten();
        let eps = 1e-5;
        let moved = |sign: f64| {
            let at: Vec<f64> = flat.iter().zip(&v).map(|(w, v)| w + sign * eps * v).collect();
            let parameters = weights.parameters.unflatten(&at).unwrap();
            let at = Weights { parameters, buffers: weights.buffers.clone() };
            gradient(&ctx, &away, &at).unwrap().gradient
        };
        let (r, g) = (rest.product(&v).unwrap(), gauss_newton.product(&v).unwrap());
        for (i, (ahead, behind)) in moved(1.0).iter().zip(moved(-1.0)).enumerate() {
            let expected = (ahead - behind) / (2.0 * eps);
            assert!((r[i] + g[i] - expected).abs() < 1e-8, "{} {expected}", r[i] + g[i]);
        }
    }
}
