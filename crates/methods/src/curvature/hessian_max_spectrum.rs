//! The eigenvalues of largest magnitude of single batches.

use super::{Curvature, CurvatureMatrix, ExampleGroup, LanczosConfig, Scope, lanczos};
use crate::common::{Damped, Objective};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// What [`hessian_max_spectrum`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxSpectrumConfig {
    /// Eigenvalues of a batch.
    pub top: usize,
    /// Steps of Lanczos iteration for a batch.
    pub products: usize,
    /// Factor of half the squared norm of all weights, which is added to the loss.
    pub decay: f64,
}

impl Default for MaxSpectrumConfig {
    fn default() -> MaxSpectrumConfig {
        MaxSpectrumConfig { top: 5, products: 20, decay: 0.0 }
    }
}

/// Eigenvalues of single batches.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxSpectrum {
    /// Those of each batch, the one of largest magnitude first.
    pub batches: Vec<Vec<f64>>,
}

impl MaxSpectrum {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.batches.iter().flatten().copied()
    }

    /// The share of all eigenvalues that are below zero.
    pub fn negative_share(&self) -> f64 {
        mean(self.values().map(|value| f64::from(u8::from(value < 0.0))))
    }

    /// The mean of those below zero; NaN where there is none.
    pub fn negative_mean(&self) -> f64 {
        mean(self.values().filter(|value| *value < 0.0))
    }

    /// The mean magnitude.
    pub fn mean_magnitude(&self) -> f64 {
        mean(self.values().map(f64::abs))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0u32, 0.0), |(n, sum), value| (n + 1, sum + value));
    sum / f64::from(n)
}

/// The eigenvalues of largest magnitude of the Hessian of each of an objective's batches by itself, the
/// decay of weights included.
///
/// `H_b = 1/|b| sum over the batch of d^2 l_i / dw^2 + decay I`: pictures that are augmented in training
/// are to be augmented in the objective. From Lanczos iteration of a fixed number of steps, both ends are
/// taken and the largest magnitudes of both kept; so many steps find isolated eigenvalues well, and those
/// at the edge of the bulk roughly.
///
/// # Errors
/// No eigenvalue asked for, or more than half as many as steps or weights; a decay below zero; weights of
/// another model; batch statistics of batch normalisation; those of the engine.
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, figure 4 and
/// appendix ("Hessian max eigenvalue spectrum")
pub fn hessian_max_spectrum(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &MaxSpectrumConfig,
) -> Result<MaxSpectrum, MethodError> {
    let ends = LanczosConfig {
        top: config.top,
        bottom: config.top,
        // None is that small, so that every batch has as many steps.
        tolerance: f64::MIN_POSITIVE,
        max_products: config.products,
    };
    let mut batches = Vec::with_capacity(objective.batches().len());
    let mut first = 0;
    for (batch, &size) in objective.batches().iter().enumerate() {
        ctx.check()?;
        let examples = ExampleGroup::At((first..first + size).collect());
        first += size;
        let scope = Scope { examples, ..Scope::default() };
        let hessian = Curvature::new(ctx, objective, point, CurvatureMatrix::Hessian, &scope)?;
        let whole = Damped::new(&hessian, config.decay)?;
        let found = lanczos(&ctx.within(&format!("batch{batch}")), &whole, &ends)?;
        let mut values: Vec<f64> =
            found.top.iter().chain(&found.bottom).map(|pair| pair.value).collect();
        values.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        values.truncate(config.top);
        batches.push(values);
    }
    Ok(MaxSpectrum { batches })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::symmetric_eigen;
    use crate::curvature::dense;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    #[test]
    fn shares_and_means_by_hand() {
        let found = MaxSpectrum { batches: vec![vec![5.0, -3.0], vec![-1.0, 1.0]] };
        assert_eq!(found.negative_share(), 0.5);
        assert_eq!((found.negative_mean(), found.mean_magnitude()), (-2.0, 2.5));
        let none = MaxSpectrum { batches: vec![vec![5.0]] };
        assert!(none.negative_mean().is_nan() && none.negative_share() == 0.0);
    }

    #[test]
    fn eigenvalues_of_a_thousand_weights_are_those_of_the_matrix() {
        let executor = Executor::new(2);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let text = "vit patch=2 depth=1 width=8 heads=2";
        let model = text.parse::<Architecture>().unwrap().build(&[4, 4, 1], 3).unwrap();
        assert!((950..1050).contains(&model.parameter_count()), "{}", model.parameter_count());
        let mut weights = thalweg_train::initialize(&model, 3, DType::F64).unwrap();
        // Away from the first point, where the last layer is zero.
        let stream = Stream::new(4, "moved");
        let moved: Vec<f64> = (weights.parameters.flatten().iter().enumerate())
            .map(|(i, w)| w + 0.3 * stream.normal(i as u64))
            .collect();
        weights.parameters = weights.parameters.unflatten(&moved).unwrap();
        let pictures: Vec<f64> = (0..8 * 16).map(|i| stream.child("x").normal(i)).collect();
        let inputs = vec![Array::from_slice(&[8, 4, 4, 1], &pictures).unwrap()];
        let targets = Array::vector(&[0, 1, 2, 0, 1, 2, 0, 1]);
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let loss = Loss::default();
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
        let objective = objective.unwrap();
        let config = MaxSpectrumConfig { top: 5, products: 400, decay: 0.05 };
        let found = hessian_max_spectrum(&ctx, &objective, &weights, &config).unwrap();
        assert_eq!(found.batches.len(), 2);
        assert_ne!(found.batches[0], found.batches[1]);
        let examples = ExampleGroup::At((4..8).collect());
        let scope = Scope { examples, ..Scope::default() };
        let matrix = CurvatureMatrix::Hessian;
        let hessian = Curvature::new(&ctx, &objective, &weights, matrix, &scope).unwrap();
        let mut rows = dense(&ctx, &hessian).unwrap().rows().to_vec();
        (0..rows.len()).for_each(|i| rows[i][i] += 0.05);
        let mut expected = symmetric_eigen(&rows).values;
        expected.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        for (found, expected) in found.batches[1].iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-8 * expected.abs(), "{found} {expected}");
        }
        // There is something to be told apart.
        assert!((0.05..0.95).contains(&found.negative_share()), "{found:?}");
        let half = MaxSpectrumConfig { top: 11, products: 20, decay: 0.0 };
        assert!(hessian_max_spectrum(&ctx, &objective, &weights, &half).is_err());
        let below = MaxSpectrumConfig { decay: -1.0, ..MaxSpectrumConfig::default() };
        assert!(hessian_max_spectrum(&ctx, &objective, &weights, &below).is_err());
    }
}
