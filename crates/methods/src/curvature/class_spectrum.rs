//! How the loss of one class curves.

use super::{
    Curvature, CurvatureMatrix, Density, DensityConfig, ExampleGroup, LanczosConfig,
    ParameterBlock, Scope, density, lanczos,
};
use crate::common::{LinearOperator, Objective};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// What [`class_spectrum`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSpectrumConfig {
    /// Products for the two ends, at most.
    pub products: usize,
    /// Largest residual, as a share of the largest absolute eigenvalue.
    pub tolerance: f64,
    /// How the density is looked at; none: not at all.
    pub density: Option<DensityConfig>,
}

impl Default for ClassSpectrumConfig {
    fn default() -> ClassSpectrumConfig {
        let density = Some(DensityConfig { steps: 100, ..DensityConfig::default() });
        ClassSpectrumConfig { products: 100, tolerance: 1e-3, density }
    }
}

/// The spectrum of a class's Hessian.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSpectrum {
    /// The class.
    pub class: i32,
    /// Examples of the class.
    pub examples: usize,
    /// The smallest eigenvalue, from inside: not below the true one.
    pub smallest: f64,
    /// The largest, not above the true one.
    pub largest: f64,
    /// Whether both residuals are within the tolerance.
    pub converged: bool,
    /// The density of all, if it was asked for.
    pub density: Option<Density>,
    /// Number of eigenvalues.
    pub dimension: usize,
}

impl ClassSpectrum {
    /// `|smallest / largest|`: near zero in a valley, of the order of one at a saddle.
    pub fn saddle(&self) -> f64 {
        (self.smallest / self.largest).abs()
    }

    /// The trace by the probes of the density.
    pub fn trace(&self) -> Option<f64> {
        self.density.as_ref().map(|density| density.mean.value * self.dimension as f64)
    }
}

/// Ends and density of the spectrum of the Hessian of `L_k`, the mean loss over the examples of class
/// `k` alone, at a point: whether training ended at a saddle of a class, though not of all classes.
///
/// # Errors
/// An objective whose examples have no classes; a class without examples; those of [`lanczos`] and
/// [`density`](super::density()).
/// # Source    Rangwani, Aithal, Mishra, Babu, Escaping saddle points for effective generalization on
/// class-imbalanced data, 2022, arXiv 2212.13827, section 3
pub fn class_spectrum(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    class: i32,
    config: &ClassSpectrumConfig,
) -> Result<ClassSpectrum, MethodError> {
    let ctx = ctx.within(&format!("class {class}"));
    let scope = Scope { parameters: ParameterBlock::All, examples: ExampleGroup::Class(class) };
    let hessian = Curvature::new(&ctx, objective, point, CurvatureMatrix::Hessian, &scope)?;
    let ends = LanczosConfig {
        top: 1,
        bottom: 1,
        tolerance: config.tolerance,
        max_products: config.products,
    };
    let found = lanczos(&ctx, &hessian, &ends)?;
    let (Some(top), Some(bottom)) = (found.top.first(), found.bottom.first()) else {
        return Err(MethodError::mismatch("eigenvalues", "both ends", "none"));
    };
    let density = match &config.density {
        Some(config) => Some(density(&ctx, &hessian, config)?),
        None => None,
    };
    Ok(ClassSpectrum {
        class,
        examples: hessian.examples(),
        smallest: bottom.value,
        largest: top.value,
        converged: found.converged,
        density,
        dimension: hessian.dimension(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::quadrature::{Asked, quadratures};
    use super::*;
    use crate::common::symmetric_eigen;
    use crate::curvature::dense;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::initialize;

    /// A network of 50 parameters on 40 examples of 5 classes, in double precision.
    fn scene(ctx: &Context<'_>, loss: Loss) -> (ModelObjective, Weights) {
        let text = "mlp hidden=5 activation=tanh";
        let model = text.parse::<Architecture>().unwrap().build(&[3], 5).unwrap();
        assert_eq!(model.parameter_count(), 50);
        let stream = Stream::new(0, "scene");
        let x: Vec<f64> = (0..120).map(|i| stream.normal(i)).collect();
        let inputs = vec![Array::from_slice(&[40, 3], &x).unwrap()];
        let labels = Array::vector(&(0..40).map(|i| i % 5).collect::<Vec<i32>>());
        let config = ObjectiveConfig::default();
        let objective =
            ModelObjective::from_arrays(ctx, &model, loss, inputs, labels, true, &config).unwrap();
        (objective, initialize(&model, 0, DType::F64).unwrap())
    }

    #[test]
    fn as_many_steps_as_parameters_give_the_whole_spectrum() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights) = scene(&ctx, Loss::HalfSquaredError);
        let hessian = super::super::Hessian::new(&ctx, &objective, &weights).unwrap();
        let rows = dense(&ctx, &hessian).unwrap();
        let columns = rows.apply(&(0..50).map(|i| unit(i, 50)).collect::<Vec<_>>()).unwrap();
        let exact = symmetric_eigen(&columns).values;
        let asked = Asked { what: "all", key: "all", probes: 1, steps: 50, shorter: None };
        let found = quadratures(&ctx, &hessian, &asked).unwrap();
        let largest = exact[49].abs().max(exact[0].abs());
        let mut nodes = found.whole[0].nodes.clone();
        nodes.sort_unstable_by(f64::total_cmp);
        for (node, value) in nodes.iter().zip(&exact) {
            assert!((node - value).abs() < 1e-8 * largest, "{node} {value}");
        }
    }

    fn unit(i: usize, n: usize) -> Vec<f64> {
        (0..n).map(|j| f64::from(u8::from(i == j))).collect()
    }

    #[test]
    fn the_classes_hessians_average_to_that_of_all() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights) = scene(&ctx, Loss::default());
        let config = DensityConfig { probes: 2, steps: 50, ..DensityConfig::default() };
        let config =
            ClassSpectrumConfig { tolerance: 1e-9, density: Some(config), ..Default::default() };
        let mut trace = 0.0;
        for class in 0..5 {
            let found = class_spectrum(&ctx, &objective, &weights, class, &config).unwrap();
            assert_eq!((found.examples, found.dimension), (8, 50));
            // Of one class cross-entropy has its minimum at infinity, and curves both ways.
            assert!(found.smallest < 0.0 && found.largest > 0.0 && found.converged);
            assert!(found.saddle() > 0.0);
            trace += found.trace().unwrap() / 5.0;
        }
        // The same probes of signs for every class, and each is linear in the Hessian.
        let hessian = super::super::Hessian::new(&ctx, &objective, &weights).unwrap();
        let whole = density(&ctx, &hessian, &config.density.unwrap()).unwrap().mean.value * 50.0;
        assert!((trace - whole).abs() < 1e-9 * whole.abs(), "{trace} {whole}");
        assert!(class_spectrum(&ctx, &objective, &weights, 5, &config).is_err());
    }
}
