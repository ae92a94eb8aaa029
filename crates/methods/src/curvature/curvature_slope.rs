//! How the largest eigenvalue changes on the way down.

use super::{CurvatureMatrix, CurvatureSlope, Hessian, LanczosConfig, Scope, lanczos};
use crate::common::{LinearOperator, Objective, gradient, vector};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// How the eigenpair is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvatureSlopeConfig {
    /// Largest residual of the eigenpair, as a share of the largest absolute eigenvalue. The error of
    /// the slope is of its order, times what eigenvalues differ by over the gap.
    pub tolerance: f64,
    /// Products after which the iteration stops, converged or not.
    pub max_products: usize,
}

impl Default for CurvatureSlopeConfig {
    fn default() -> CurvatureSlopeConfig {
        CurvatureSlopeConfig { tolerance: 1e-3, max_products: 200 }
    }
}

impl CurvatureSlopeConfig {
    fn lanczos(&self) -> LanczosConfig {
        let CurvatureSlopeConfig { tolerance, max_products } = *self;
        LanczosConfig { top: 1, bottom: 0, tolerance, max_products }
    }
}

/// The largest eigenvalue and its gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvatureSlopeReading {
    /// The largest eigenvalue of the Hessian.
    pub eigenvalue: f64,
    /// Its residual.
    pub residual: f64,
    /// Whether that is within the tolerance. An instrument reads NaN where it is not.
    pub converged: bool,
    /// Its derivative along the unit vector of steepest descent: above zero it sharpens on the way
    /// down. 0 where the loss has no gradient.
    pub downhill: f64,
    /// The length of its gradient by the weights.
    pub steepness: f64,
}

/// How the Hessian's largest eigenvalue changes to first order on the way down, and how fast it
/// changes at most.
///
/// The eigenvalue's gradient is the third derivative `D^3 L[v, v, .]` on its eigenvector `v` twice,
/// where it is simple: one product. Along steepest descent, `d = -g / |g|`, it changes by
/// `D^3 L[v, v, d]`. Progressive sharpening is a positive slope; the length of the gradient says how
/// fast a swing along `v` takes the eigenvalue down again at the edge of stability.
///
/// # Errors
/// A tolerance that is not positive; no products; those of [`lanczos`].
/// # Source    Damian, Nichani, Lee, Self-stabilization: the implicit bias of gradient descent at the
/// edge of stability, 2023, arXiv 2209.15594, section 2 (alpha, here for a gradient of length one,
/// and beta, here with the part along `v`)
#[derive(Clone, Copy, Debug)]
pub struct CurvatureSlopes;

impl Instrument for CurvatureSlopes {
    const ID: &'static str = "curvature_slope";
    const SUMMARY: &'static str = "change of the Hessian's largest eigenvalue on the way down";
    const SOURCE: &'static str = "Damian, Nichani, Lee 2023, arXiv 2209.15594";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = CurvatureSlopeConfig;
    type Reading = CurvatureSlopeReading;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &CurvatureSlopeConfig,
    ) -> Result<CurvatureSlopeReading, MethodError> {
        let LanczosConfig { tolerance, max_products, .. } = config.lanczos();
        if tolerance.is_nan() || tolerance <= 0.0 {
            return Err(MethodError::config("tolerance", "a positive number", tolerance));
        }
        if max_products == 0 {
            return Err(MethodError::config("largest number of products", "at least 1", 0));
        }
        let mut downhill = gradient(ctx, objective, point)?.gradient;
        let length = vector::norm(&downhill);
        vector::scale(&mut downhill, if length > 0.0 { -1.0 / length } else { 0.0 });
        let hessian = Hessian::new(ctx, objective, point)?;
        let found = lanczos(ctx, &hessian, &config.lanczos())?;
        found.tell(ctx);
        let Some(pair) = found.top.first() else {
            return Err(MethodError::mismatch("eigenpairs", "one", "none"));
        };
        let (matrix, whole, v) = (CurvatureMatrix::Hessian, Scope::default(), &pair.vector);
        let slope = CurvatureSlope::new(ctx, objective, point, matrix, &whole, v)?.product(v)?;
        Ok(CurvatureSlopeReading {
            eigenvalue: pair.value,
            residual: pair.residual,
            converged: found.converged,
            downhill: vector::dot(&slope, &downhill),
            steepness: vector::norm(&slope),
        })
    }

    fn cost(config: &CurvatureSlopeConfig, _: &Size) -> Cost {
        // The last product is differentiated once more, and costs two.
        Cost::at_most(0, 1, config.max_products.saturating_add(2))
    }

    fn quantities(reading: &CurvatureSlopeReading) -> Vec<Quantity> {
        let known = |value: f64| if reading.converged { value } else { f64::NAN };
        vec![
            Quantity::exact("slope of the largest eigenvalue downhill", known(reading.downhill)),
            Quantity::exact(
                "length of the largest eigenvalue's gradient",
                known(reading.steepness),
            ),
        ]
    }

    fn watch() -> CurvatureSlopeConfig {
        CurvatureSlopeConfig { tolerance: 1e-2, max_products: 60 }
    }

    fn trial() -> CurvatureSlopeConfig {
        CurvatureSlopeConfig { tolerance: 1e-9, max_products: 300 }
    }

    fn refused() -> Vec<CurvatureSlopeConfig> {
        let usual = CurvatureSlopeConfig::default();
        vec![
            CurvatureSlopeConfig { tolerance: 0.0, ..usual },
            CurvatureSlopeConfig { max_products: 0, ..usual },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;

    /// `(2 x^2 + x^3 + y^2 + x y^2) / 2 + x + y`: of the Hessian `[[2 + 3 x, y], [y, 1 + x]]`.
    #[test]
    fn a_cubic_has_its_slopes() {
        let cubic = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
            let (x, y) = (w[0], w[1]);
            (x.square() * (x + 2.0) + y.square() * (x + 1.0)) * 0.5 + y + x
        });
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let at = |x: f64, y: f64| {
            let config = CurvatureSlopeConfig { tolerance: 1e-12, max_products: 50 };
            CurvatureSlopes::measure(&ctx, &cubic, &cubic.point(&[x, y]).unwrap(), &config).unwrap()
        };
        // At the origin v = (1, 0), the gradient is (1, 1), and the eigenvalue 2 grows by 3 an x.
        let found = at(0.0, 0.0);
        assert!((found.eigenvalue - 2.0).abs() < 1e-12, "{found:?}");
        assert!((found.downhill + 3.0 / 2f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.steepness - 3.0).abs() < 1e-12, "{found:?}");
        // Elsewhere as the eigenvalue itself changes.
        let (x, y) = (0.3, -0.4);
        let value = |x: f64, y: f64| {
            let (a, c) = (2.0 + 3.0 * x, 1.0 + x);
            0.5 * (a + c) + (0.25 * (a - c) * (a - c) + y * y).sqrt()
        };
        let g = [2.0 * x + 1.5 * x * x + 0.5 * y * y + 1.0, y * (x + 1.0) + 1.0];
        let length = f64::hypot(g[0], g[1]);
        let e = 1e-5;
        let moved = |by: f64| value(x - by * g[0] / length, y - by * g[1] / length);
        let slope = (moved(e) - moved(-e)) / (2.0 * e);
        let found = at(x, y);
        assert!((found.downhill - slope).abs() < 1e-8, "{found:?} {slope}");
    }
}
