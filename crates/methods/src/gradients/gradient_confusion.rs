//! How far the gradients of batches point apart.

use super::gram::{BatchGradients, BatchGradientsConfig, batch_gradients};
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, Jackknife};

/// What [`gradient_confusion`] found, over all pairs of the batches drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confusion {
    /// Pairs of batches.
    pub pairs: usize,
    /// The smallest inner product of two batches' gradients, with the other sign, or 0: the bound
    /// `eta` of the definition, for these pairs.
    pub bound: f64,
    /// The smallest cosine of two batches' gradients, of these pairs.
    pub smallest_cosine: f64,
    /// The mean cosine: their alignment. Its standard error is that of the jackknife over batches, NaN
    /// of two of them.
    pub mean_cosine: Estimate,
}

/// How far the gradients of batches point apart.
///
/// `<g_a, g_b> >= -eta` for all pairs of batches: definition 2.1 for batches. Where `eta` is large a
/// step for one batch undoes another's. Cosines say the same without the gradients' lengths; their
/// mean is the alignment (stiffness). A gradient of zero has the cosine 0 with every other.
///
/// The two extremes are those of the pairs drawn: of more of them they lie further out, and no error bar
/// says how far those of all pairs do. The mean is an estimate of that of all pairs of batches of what
/// the examples stand for.
///
/// # Errors
/// As [`batch_gradients()`].
/// # Source    Sankararaman, De, Xu, Huang, Goldstein, The impact of neural network
/// overparameterization on gradient confusion and stochastic gradient descent, 2020, arXiv
/// 1904.06963; alignment: Fort, Nowak, Jastrzebski, Narayanan, Stiffness, 2019, arXiv 1901.09491
pub fn gradient_confusion(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &BatchGradientsConfig,
) -> Result<Confusion, MethodError> {
    Ok(confusion(&batch_gradients(ctx, objective, point, config)?))
}

fn confusion(found: &BatchGradients) -> Confusion {
    let (gram, cosines) = (&found.gram, found.cosines());
    let pairs = || (0..gram.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let cosine = |(a, b): (usize, usize)| cosines[a][b];
    let smallest = pairs().map(|(a, b)| gram[a][b]).fold(f64::INFINITY, f64::min);
    let k = gram.len();
    // The sum over all pairs, and over those that each batch is one of.
    let (mut sum, mut own) = (0.0, vec![0.0; k]);
    for (a, b) in pairs() {
        let cosine = cosine((a, b));
        sum += cosine;
        own[a] += cosine;
        own[b] += cosine;
    }
    let mean = |sum: f64, batches: usize| sum / (batches * batches.saturating_sub(1) / 2) as f64;
    let without = own.iter().map(|own| mean(sum - own, k.saturating_sub(1))).collect();
    let value = mean(sum, k);
    let standard_error = Jackknife::new(value, without).standard_error();
    Confusion {
        pairs: k * k.saturating_sub(1) / 2,
        bound: (-smallest).max(0.0),
        smallest_cosine: pairs().map(cosine).fold(f64::INFINITY, f64::min),
        mean_cosine: Estimate { value, standard_error, samples: k },
    }
}

/// [`gradient_confusion`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct GradientConfusion;

impl Instrument for GradientConfusion {
    const ID: &'static str = "gradient_confusion";
    const SUMMARY: &'static str = "how far the gradients of batches point apart, and their cosines";
    const SOURCE: &'static str = "Sankararaman et al. 2020, arXiv 1904.06963";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = BatchGradientsConfig;
    type Reading = Confusion;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &BatchGradientsConfig,
    ) -> Result<Confusion, MethodError> {
        gradient_confusion(ctx, objective, point, config)
    }

    fn cost(config: &BatchGradientsConfig, size: &Size) -> Cost {
        config.cost(size)
    }

    fn quantities(reading: &Confusion) -> Vec<Quantity> {
        let Confusion { pairs, bound, smallest_cosine, mean_cosine } = *reading;
        vec![
            Quantity::exact(format!("gradient confusion of {pairs} pairs drawn"), bound),
            Quantity::exact(format!("least cosine of {pairs} pairs drawn"), smallest_cosine),
            Quantity::estimated("mean cosine", mean_cosine).of_data(),
        ]
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
        // Gradients (1, 0), (0, 2), (-3, 0): inner products 0, -3, 0.
        let gram = vec![vec![1.0, 0.0, -3.0], vec![0.0, 4.0, 0.0], vec![-3.0, 0.0, 9.0]];
        let gradients = BatchGradients { m: 1, gram };
        let expected = [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]];
        assert_eq!(gradients.cosines(), expected);
        let found = confusion(&gradients);
        assert_eq!((found.pairs, found.bound, found.smallest_cosine), (3, 3.0, -1.0));
        assert!((found.mean_cosine.value + 1.0 / 3.0).abs() < 1e-15);
        // Without one of them the cosine of the others: 0, -1 and 0, around -1/3.
        assert!((found.mean_cosine.standard_error - 2.0 / 3.0).abs() < 1e-15, "{found:?}");
        let alike = vec![vec![1.0, 2.0], vec![2.0, 4.0]];
        let found = confusion(&BatchGradients { m: 1, gram: alike });
        assert_eq!((found.bound, found.smallest_cosine), (0.0, 1.0));
        assert_eq!(found.mean_cosine.value, 1.0);
        assert!(found.mean_cosine.standard_error.is_nan());
    }

    #[test]
    fn the_bar_covers_the_mean_cosine_of_gaussian_gradients() {
        // Gradients m + z in so many dimensions that all are nearly as long: the mean cosine of two
        // is |m|^2 / (|m|^2 + n), up to 1 / n.
        let (n, size) = (400u32, 10.0);
        let expected = size * size / (size * size + f64::from(n));
        let mut covered = 0;
        for seed in 0..200 {
            let found = confusion(&BatchGradients { m: 1, gram: gaussian_gram(seed, 12, n, size) });
            covered += usize::from(found.mean_cosine.interval(0.95).unwrap().contains(expected));
        }
        assert!((180..=198).contains(&covered), "{covered}");
    }
}
