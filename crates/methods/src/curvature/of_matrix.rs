//! What an instrument measures, where it can be any curvature matrix.

use super::{Curvature, CurvatureMatrix, Scope};
use crate::common::Objective;
use crate::{Context, MethodError};
use std::ops::{Deref, DerefMut};
use thalweg_nn::Weights;

/// A configuration beside the matrix that it is for: of the whole model and all examples.
///
/// It stands for the configuration itself, whose fields are then options as the matrix is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OfMatrix<C> {
    /// The matrix.
    pub of: CurvatureMatrix,
    /// How it is measured.
    pub how: C,
}

impl<C> OfMatrix<C> {
    /// The matrix at a point.
    ///
    /// # Errors
    /// Those of [`Curvature::new`].
    pub(super) fn at<'a>(
        &self,
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
    ) -> Result<Curvature<'a>, MethodError> {
        Curvature::new(ctx, objective, point, self.of, &Scope::default())
    }

    /// Each of the Hessian, and one that no objective has.
    pub(super) fn refused(all: Vec<C>) -> Vec<OfMatrix<C>>
    where
        C: Default,
    {
        let none = CurvatureMatrix::MonteCarloFisher { draws: 0 };
        let none = OfMatrix { of: none, how: C::default() };
        all.into_iter().map(OfMatrix::from).chain([none]).collect()
    }
}

impl<C> From<C> for OfMatrix<C> {
    fn from(how: C) -> OfMatrix<C> {
        OfMatrix { of: CurvatureMatrix::Hessian, how }
    }
}

impl<C> Deref for OfMatrix<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.how
    }
}

impl<C> DerefMut for OfMatrix<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.how
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::{Along, Quantity, instrument};
    use crate::{Context, Function, MethodError, ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Weights};

    fn scene(ctx: &Context<'_>) -> (ModelObjective, Weights) {
        let text = "mlp hidden=3 activation=tanh";
        let model = text.parse::<Architecture>().unwrap().build(&[2], 2).unwrap();
        let stream = Stream::new(4, "scene");
        let inputs: Vec<f64> = (0..20).map(|i| stream.normal(i)).collect();
        let inputs = vec![Array::from_slice(&[10, 2], &inputs).unwrap()];
        let labels = Array::vector(&(0..10).map(|i| i * i % 2).collect::<Vec<i32>>());
        let config = ObjectiveConfig::default();
        let loss = Loss::default();
        let objective =
            ModelObjective::from_arrays(ctx, &model, loss, inputs, labels, true, &config).unwrap();
        let mut weights = thalweg_train::initialize(&model, 1, DType::F64).unwrap();
        // Steep, so that the Hessian has eigenvalues below zero.
        let far: Vec<f64> = weights.parameters.flatten().iter().map(|w| 2.0 * w + 0.3).collect();
        weights.parameters = weights.parameters.unflatten(&far).unwrap();
        (objective, weights)
    }

    /// With a small lambda a sum over the Hessian's eigenvalues is refused, and those over matrices
    /// without eigenvalues below zero are those of the matrix that is meant.
    #[test]
    fn instruments_measure_the_matrix_that_is_named() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 3).with_precision(DType::F64).unwrap();
        let (objective, point) = scene(&ctx);
        let read = |id: &str, with: &str| -> Result<Vec<Quantity>, MethodError> {
            let pair = |word: &str| {
                let (name, value) = word.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            };
            let settings: Vec<(String, String)> = with.split(':').map(pair).collect();
            let entry = instrument(id).unwrap();
            let alone = Along::default();
            (entry.configured)(false, &settings)?.measure(&ctx, &objective, &point, &alone)
        };
        for id in ["effective_dimension", "log_determinant"] {
            let refused = read(id, "lambda=1e-3:of=hessian").unwrap_err().to_string();
            assert!(refused.starts_with("lambda: expected more than "), "{id}: {refused}");
            let usual = read(id, "lambda=1e-3:of=gauss-newton").unwrap();
            // Of cross-entropy on logits both are one matrix.
            let fisher = read(id, "lambda=1e-3:of=fisher").unwrap();
            let numbers =
                |of: &[Quantity]| -> Vec<f64> { of.iter().map(|one| one.value.number()).collect() };
            let (one, other) = (numbers(&usual)[0], numbers(&fisher)[0]);
            assert!(one > 0.0 && (one - other).abs() < 1e-9 * one, "{id}: {one} {other}");
        }
        for id in ["frobenius_norm", "xdiag"] {
            let with = if id == "xdiag" { "products=40" } else { "probes=40" };
            // The largest diagonal element is of a bias, by which outputs are linear; not the smallest.
            let last = |of: Vec<Quantity>| of.last().unwrap().value.number();
            let [hessian, newton, empirical] = ["hessian", "gauss-newton", "empirical-fisher"]
                .map(|of| last(read(id, &format!("{with}:of={of}")).unwrap()));
            assert!((hessian - newton).abs() > 1e-3 * newton, "{id}: {hessian} {newton}");
            assert!((empirical - newton).abs() > 1e-3 * newton, "{id}: {empirical} {newton}");
        }
        let none = read("xdiag", "of=fisher-kfac").unwrap_err().to_string();
        assert!(none.starts_with("of: expected a curvature matrix"), "{none}");
        let bowl = Function::new(DType::F64, &[("w", &[2])], |_, w| w[0].square().sum_all());
        let point = bowl.point(&[1.0, 2.0]).unwrap();
        let settings = [("of".to_owned(), "fisher".to_owned())];
        let one = (instrument("xdiag").unwrap().configured)(false, &settings).unwrap();
        let refused = one.measure(&ctx, &bowl, &point, &Along::default());
        assert!(matches!(refused, Err(MethodError::Mismatch { .. })));
    }
}
