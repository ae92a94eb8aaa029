//! How many directions a network's features have.

use crate::common::{
    Features, Objective, RankSlopes, Ranks, Sampling, features, gram, standard_error,
    symmetric_eigen, vector,
};
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// Which share of the singular values counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureRankConfig {
    /// The share of the sum of singular values to which directions are counted.
    pub share: f64,
}

impl Default for FeatureRankConfig {
    fn default() -> FeatureRankConfig {
        FeatureRankConfig { share: 0.99 }
    }
}

/// What [`feature_rank`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRanks {
    /// The ranks.
    pub ranks: Ranks,
    /// The effective and the stable rank, to each of which the influence of each example is added.
    pub terms: [Vec<f64>; 2],
    /// Standard errors of both where the examples are a sample.
    pub standard_errors: Option<[f64; 2]>,
}

/// The ranks of the matrix of penultimate features, a row an example, or a row a position.
///
/// An example's influence is the derivative by its weight in `C = mean of h h^T`:
/// `I_i = sum over j of (d rank / d lambda_j) (u_j^T h_i)^2` with the eigenpairs of `C`. They sum to
/// zero, and their spread over the square root of their number is the standard error.
///
/// # Errors
/// A share that is none; a network without penultimate features; weights of another model; those of
/// the engine.
/// # Source    features: Kumar et al., Implicit under-parameterization, 2021, arXiv 2010.14498;
/// influences: Efron, The jackknife, the bootstrap and other resampling plans, 1982, chapter 6; the
/// ranks: see [`Ranks`]
pub fn feature_rank(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &FeatureRankConfig,
) -> Result<FeatureRanks, MethodError> {
    if !(config.share > 0.0 && config.share <= 1.0) {
        let expected = "a share above 0 and at most 1";
        return Err(MethodError::config("share of singular values", expected, config.share));
    }
    let (ranks, terms) = of_features(&features(ctx, objective, point)?, config.share);
    let standard_errors = match objective.sampling() {
        Sampling::All => None,
        Sampling::Strata(strata) => {
            Some(terms.each_ref().map(|terms| standard_error(terms, strata)))
        }
    };
    Ok(FeatureRanks { ranks, terms, standard_errors })
}

fn of_features(found: &Features, share: f64) -> (Ranks, [Vec<f64>; 2]) {
    let rows = &found.rows;
    let n = rows.len().max(1) as f64;
    let mut matrix = gram(rows);
    matrix.iter_mut().flatten().for_each(|entry| *entry /= n);
    let eigen = symmetric_eigen(&matrix);
    let (ranks, slopes) = (Ranks::of(&eigen.values, share), RankSlopes::of(&eigen.values));
    // Of more positions than there are features the matrix is that of the features, and its
    // eigenvectors are directions; else it is that of the positions, and they are the components.
    let by_features = rows.len() > rows.first().map_or(0, Vec::len);
    let component = |row: usize, j: usize| match by_features {
        true => vector::dot(&rows[row], &eigen.vectors[j]),
        false => (n * eigen.values[j].max(0.0)).sqrt() * eigen.vectors[j][row],
    };
    let positions = found.positions.max(1);
    let terms = [(&slopes.effective, ranks.effective), (&slopes.stable, ranks.stable)];
    let terms = terms.map(|(slopes, rank)| {
        let influence = |row: usize| -> f64 {
            let each = slopes.iter().enumerate().filter(|(_, slope)| **slope != 0.0);
            each.map(|(j, slope)| slope * component(row, j).powi(2)).sum()
        };
        let example = |first: usize| {
            let own = first..(first + positions).min(rows.len());
            rank + own.map(influence).sum::<f64>() / positions as f64
        };
        (0..rows.len()).step_by(positions).map(example).collect()
    });
    (ranks, terms)
}

/// [`feature_rank`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRank;

impl Instrument for FeatureRank {
    const ID: &'static str = "feature_rank";
    const SUMMARY: &'static str = "effective and stable rank of the penultimate features, and how many singular values make up \
         99 % of their sum";
    const SOURCE: &'static str =
        "Roy and Vetterli 2007; Rudelson and Vershynin 2007; Kumar et al. 2021, arXiv 2010.14498";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::NormalizedFilters,
        Invariance::Rotation,
        Invariance::LinearCoordinates,
        Invariance::LossScale,
    ];
    type Config = FeatureRankConfig;
    type Reading = FeatureRanks;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &FeatureRankConfig,
    ) -> Result<FeatureRanks, MethodError> {
        feature_rank(ctx, objective, point, config)
    }

    fn cost(_: &FeatureRankConfig, _: &Size) -> Cost {
        Cost::exactly(1, 0, 0)
    }

    fn quantities(reading: &FeatureRanks) -> Vec<Quantity> {
        let Ranks { effective, stable, to_share } = reading.ranks;
        let of = |name: &str, value: f64, which: usize| {
            let terms = &reading.terms[which];
            let quantity = match reading.standard_errors {
                None => Quantity::exact(name, value),
                Some(errors) => {
                    let (standard_error, samples) = (errors[which], terms.len());
                    Quantity::estimated(name, Estimate { value, standard_error, samples })
                }
            };
            quantity.with_terms(Over::Examples, terms)
        };
        vec![
            of("effective rank", effective, 0),
            of("stable rank", stable, 1),
            Quantity::exact("rank to a share", to_share),
        ]
    }

    fn refused() -> Vec<FeatureRankConfig> {
        [0.0, 1.5, f64::NAN].map(|share| FeatureRankConfig { share }).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::matrix_ranks;
    use thalweg_data::Stream;

    fn drawn(n: usize, width: usize) -> Features {
        let stream = &Stream::new(3, "features");
        let row = |i: usize| {
            (0..width).map(move |j| {
                // Directions of different lengths.
                stream.normal((i * width + j) as u64) / (1.0 + j as f64)
            })
        };
        let rows = (0..n).map(|i| row(i).collect()).collect();
        Features { rows, positions: 1, ..Features::default() }
    }

    #[test]
    fn influences_are_what_more_weight_of_an_example_does() {
        for (n, width) in [(12, 4), (4, 7)] {
            let features = drawn(n, width);
            let (ranks, terms) = of_features(&features, 0.99);
            let other = matrix_ranks(&features.rows, 0.99);
            assert!((ranks.effective - other.effective).abs() < 1e-9, "{ranks:?} {other:?}");
            assert!((ranks.stable - other.stable).abs() < 1e-9, "{ranks:?} {other:?}");
            for example in 0..n {
                let weighted = |weight: f64| {
                    let mut rows = features.rows.clone();
                    // A weight of 1 / n more is a factor sqrt(1 + weight).
                    vector::scale(&mut rows[example], (1.0 + weight).sqrt());
                    matrix_ranks(&rows, 0.99)
                };
                let (above, below) = (weighted(1e-5), weighted(-1e-5));
                let slopes = [
                    (above.effective - below.effective) / 2e-5 * n as f64,
                    (above.stable - below.stable) / 2e-5 * n as f64,
                ];
                for ((terms, slope), rank) in
                    terms.iter().zip(slopes).zip([ranks.effective, ranks.stable])
                {
                    let influence = terms[example] - rank;
                    assert!((influence - slope).abs() < 1e-5, "{n}: {influence} {slope}");
                }
            }
        }
    }

    #[test]
    fn standard_errors_hold_what_other_examples_give() {
        // The spread over sets of examples beside the mean standard error of one set.
        let (sets, n, width) = (60, 80, 4);
        let all = drawn(sets * n, width).rows;
        let mut values = [Vec::new(), Vec::new()];
        let mut errors = [0.0, 0.0];
        for rows in all.chunks(n) {
            let set = Features { rows: rows.to_vec(), positions: 1, ..Features::default() };
            let (ranks, terms) = of_features(&set, 0.99);
            for (which, value) in [ranks.effective, ranks.stable].into_iter().enumerate() {
                values[which].push(value);
                let error = Estimate::mean(&terms[which]).unwrap().standard_error;
                errors[which] += error / sets as f64;
            }
        }
        for (values, error) in values.iter().zip(errors) {
            let spread = Estimate::mean(values).unwrap().standard_error * (sets as f64).sqrt();
            assert!((0.7..1.4).contains(&(error / spread)), "{error} {spread}");
        }
    }
}
