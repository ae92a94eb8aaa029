//! The scale of a gradient's noise.

use super::gram::{BatchGradients, BatchGradientsConfig, batch_gradients};
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, Jackknife};

/// What [`gradient_noise_scale`] found. Standard errors are those of the jackknife over batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseScale {
    /// Examples at which noise and signal of a gradient are alike. Not positive where the gradient
    /// cannot be told from zero.
    pub scale: Estimate,
    /// The trace of the covariance of one example's gradient.
    pub covariance: Estimate,
    /// The squared length of the gradient without what noise adds to it.
    pub square: Estimate,
}

/// How noisy a gradient is beside its length: the batch size from which on more examples help
/// little.
///
/// `B = tr(S) / |G|^2` with the covariance `S` of one example's gradient and its mean `G`:
/// equation 2.9. From `k` batches of `m` examples with gradients `g_b` and their mean `g`, without
/// bias: `tr(S) = (mean |g_b|^2 - |g|^2) k m / (k - 1)`, `|G|^2 = (k |g|^2 - mean |g_b|^2) / (k - 1)`,
/// which are the paper's appendix A.1 for the batch sizes `m` and `k m`. The examples are seen as
/// drawn from what they stand for.
///
/// # Errors
/// As [`batch_gradients()`].
/// # Source    McCandlish, Kaplan, Amodei, An empirical model of large-batch training, 2018, arXiv
/// 1812.06162
pub fn gradient_noise_scale(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &BatchGradientsConfig,
) -> Result<NoiseScale, MethodError> {
    let found = batch_gradients(ctx, objective, point, config)?;
    Ok(noise_scale(&found))
}

fn noise_scale(found: &BatchGradients) -> NoiseScale {
    let k = found.gram.len();
    let all: Vec<usize> = (0..k).collect();
    let whole = moments(found, &all);
    // Of two batches one is left when another is taken out, which has no spread.
    let left: Vec<[f64; 3]> = match k > 2 {
        true => all
            .iter()
            .map(|out| {
                let rest: Vec<usize> = all.iter().copied().filter(|b| b != out).collect();
                moments(found, &rest)
            })
            .collect(),
        false => Vec::new(),
    };
    let [scale, covariance, square] = [0, 1, 2].map(|i| {
        let without = left.iter().map(|values| values[i]).collect();
        let standard_error = Jackknife::new(whole[i], without).standard_error();
        Estimate { value: whole[i], standard_error, samples: k }
    });
    NoiseScale { scale, covariance, square }
}

/// The ratio, the covariance's trace and the squared length from some of the batches.
fn moments(found: &BatchGradients, of: &[usize]) -> [f64; 3] {
    let (k, m) = (of.len() as f64, found.m as f64);
    let squares = of.iter().map(|&b| found.gram[b][b]).sum::<f64>() / k;
    let all = of.iter().flat_map(|&a| of.iter().map(move |&b| found.gram[a][b]));
    let square_of_mean = all.sum::<f64>() / (k * k);
    let covariance = (squares - square_of_mean) * k * m / (k - 1.0);
    let square = (k * square_of_mean - squares) / (k - 1.0);
    [covariance / square, covariance, square]
}

/// [`gradient_noise_scale`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct GradientNoiseScale;

impl Instrument for GradientNoiseScale {
    const ID: &'static str = "gradient_noise_scale";
    const SUMMARY: &'static str =
        "number of examples at which a gradient's noise equals its length";
    const SOURCE: &'static str = "McCandlish et al. 2018, arXiv 1812.06162";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::Rotation, Invariance::LossScale];
    type Config = BatchGradientsConfig;
    type Reading = NoiseScale;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &BatchGradientsConfig,
    ) -> Result<NoiseScale, MethodError> {
        gradient_noise_scale(ctx, objective, point, config)
    }

    fn cost(config: &BatchGradientsConfig, size: &Size) -> Cost {
        config.cost(size)
    }

    fn quantities(reading: &NoiseScale) -> Vec<Quantity> {
        // The parts have the loss's scale; the ratio is the instrument.
        vec![Quantity::estimated("gradient noise scale", reading.scale).of_data()]
    }

    fn trial() -> BatchGradientsConfig {
        BatchGradientsConfig { m: 1, batches: 15 }
    }

    fn refused() -> Vec<BatchGradientsConfig> {
        BatchGradientsConfig::refused()
    }
}

#[cfg(test)]
mod tests {
    use super::super::gram::gaussian_gram;
    use super::*;

    #[test]
    fn values_by_hand() {
        // Gradients (1, 0), (3, 0), (2, 3) of batches of 2: the mean is (2, 1), squares are 1, 9, 13.
        let gradients = [[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]];
        let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
        let gram = gradients.map(|a| gradients.map(|b| dot(a, b)).to_vec()).to_vec();
        let found = noise_scale(&BatchGradients { m: 2, gram });
        // tr S = (23/3 - 5) 3 2 / 2 = 8, |G|^2 = (15 - 23/3) / 2 = 11/3.
        assert!((found.covariance.value - 8.0).abs() < 1e-12);
        assert!((found.square.value - 11.0 / 3.0).abs() < 1e-12);
        assert!((found.scale.value - 24.0 / 11.0).abs() < 1e-12);
        assert_eq!(found.scale.samples, 3);
        // Without one: tr S = 2 |a - b|^2 / 2 of the others, which is 10, 10 and 4.
        let expected = (2.0 / 3.0 * (2.0 * 2.0f64.powi(2) + 4.0f64.powi(2))).sqrt();
        assert!((found.covariance.standard_error - expected).abs() < 1e-12);
    }

    #[test]
    fn bars_cover_the_scale_of_gaussian_gradients() {
        // A covariance of trace n for the gradient of a batch of 2 is one of 2 n for an example.
        let (n, size) = (400u32, 6.0);
        let truth = [2.0 * f64::from(n) / (size * size), 2.0 * f64::from(n), size * size];
        let mut covered = [0; 3];
        for seed in 0..200 {
            let found =
                noise_scale(&BatchGradients { m: 2, gram: gaussian_gram(seed, 24, n, size) });
            let NoiseScale { scale, covariance, square } = found;
            for (count, (of, truth)) in
                covered.iter_mut().zip([scale, covariance, square].into_iter().zip(truth))
            {
                *count += usize::from(of.interval(0.95).unwrap().contains(truth));
            }
        }
        assert!(covered.iter().all(|count| (180..=198).contains(count)), "{covered:?}");
    }
}
