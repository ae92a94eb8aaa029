//! How far a set of inputs is from another.

use crate::MethodError;
use crate::common::{Logistic, logistic};
use thalweg_data::Stream;

/// How sets are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OodScoreConfig {
    /// Penalty of the regression's weights, `l2 / 2 |w|^2` beside a sum over examples.
    pub l2: f64,
    /// Share of each set that is held out for the score.
    pub held_out: f64,
    /// Fits whose scores are averaged, each with other examples held out.
    pub fits: usize,
}

impl Default for OodScoreConfig {
    fn default() -> OodScoreConfig {
        OodScoreConfig { l2: 10.0, held_out: 0.1, fits: 30 }
    }
}

/// How well a weak classifier tells a shifted set from one that is not: the mean log probability, in nats,
/// that a logistic regression on standardised features gives to `shifted` being shifted, on examples that
/// it was not fitted to. `-ln 2` for sets of one size that are alike, near zero for sets far apart.
///
/// Features are any fixed ones: pixels, projections, [`random_convolution_features`].
///
/// # Errors
/// `Config` for a share that leaves no examples on one side, or no fits; as [`logistic`].
/// # Source    Kang, Setlur, Tomlin, Levine, Deep neural networks tend to extrapolate predictably, 2024,
/// arXiv 2310.00873; its code fits 30 regressions with alpha 10
pub fn ood_score(
    inside: &[Vec<f64>],
    shifted: &[Vec<f64>],
    config: &OodScoreConfig,
    stream: &Stream,
) -> Result<f64, MethodError> {
    let cut = |n: usize| {
        let held_out = (config.held_out * n as f64).round() as usize;
        (held_out >= 1 && held_out < n).then_some(held_out)
    };
    let (Some(inside_out), Some(shifted_out)) = (cut(inside.len()), cut(shifted.len())) else {
        let expected = "one that leaves examples to fit and to score";
        return Err(MethodError::config("share held out", expected, config.held_out));
    };
    if config.fits == 0 {
        return Err(MethodError::config("fits of a score", "at least 1", 0));
    }
    let mut sum = 0.0;
    for fit in 0..config.fits {
        let draws = stream.at(fit as u64);
        let of_inside = draws.child("inside").permutation(inside.len());
        let of_shifted = draws.child("shifted").permutation(shifted.len());
        let fitted = of_inside[inside_out..].iter().map(|&i| &inside[i]);
        let others = of_shifted[shifted_out..].iter().map(|&i| &shifted[i]);
        let rows: Vec<&Vec<f64>> = fitted.chain(others).collect();
        let scale = Standard::of(&rows)?;
        let features: Vec<Vec<f64>> = rows.iter().map(|x| scale.apply(x)).collect();
        let n_inside = inside.len() - inside_out;
        let labels: Vec<bool> = (0..features.len()).map(|i| i >= n_inside).collect();
        let found: Logistic = logistic(&features, &labels, config.l2)?;
        let scored = of_shifted[..shifted_out].iter();
        let logs = scored.map(|&i| found.log_probability(&scale.apply(&shifted[i])));
        sum += logs.sum::<f64>() / shifted_out as f64;
    }
    Ok(sum / config.fits as f64)
}

/// Means and standard deviations of features.
struct Standard {
    mean: Vec<f64>,
    divisor: Vec<f64>,
}

impl Standard {
    fn of(rows: &[&Vec<f64>]) -> Result<Standard, MethodError> {
        let d = rows.first().map_or(0, |x| x.len());
        if let Some(other) = rows.iter().find(|x| x.len() != d) {
            return Err(MethodError::mismatch("features", d.to_string(), other.len()));
        }
        let n = rows.len() as f64;
        let mean: Vec<f64> = (0..d).map(|k| rows.iter().map(|x| x[k]).sum::<f64>() / n).collect();
        let spread = |k: usize| {
            let squares = rows.iter().map(|x| (x[k] - mean[k]).powi(2));
            let deviation = (squares.sum::<f64>() / n).sqrt();
            if deviation > 0.0 { deviation } else { 1.0 }
        };
        let divisor = (0..d).map(spread).collect();
        Ok(Standard { mean, divisor })
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let parts = x.iter().zip(&self.mean).zip(&self.divisor);
        parts.map(|((x, mean), divisor)| (x - mean) / divisor).collect()
    }
}

/// Features of a picture from random filters: the mean, over all places where a filter fits, of the
/// positive part of its response, and of the square of that.
///
/// The `filters` are of 5 x 5 pixels, normal with variance 1/25, from the stream.
///
/// # Shapes    pictures `[height, width]`, row after row -> `2 filters` numbers each
/// # Errors
/// `Mismatch` for pictures of another size, or smaller than a filter.
pub fn random_convolution_features<'a>(
    pictures: impl IntoIterator<Item = &'a [f64]>,
    [height, width]: [usize; 2],
    filters: usize,
    stream: &Stream,
) -> Result<Vec<Vec<f64>>, MethodError> {
    const SIDE: usize = 5;
    if height < SIDE || width < SIDE {
        let got = format!("{height} x {width}");
        return Err(MethodError::mismatch("pictures", "at least 5 x 5 pixels", got));
    }
    let weights: Vec<Vec<f64>> = (0..filters as u64)
        .map(|f| (0..25).map(|i| stream.at(f).normal(i) / SIDE as f64).collect())
        .collect();
    let places = ((height - SIDE + 1) * (width - SIDE + 1)) as f64;
    let of = |picture: &[f64]| -> Result<Vec<f64>, MethodError> {
        if picture.len() != height * width {
            let expected = format!("{height} x {width} pixels");
            return Err(MethodError::mismatch("a picture", expected, picture.len()));
        }
        let mut features = Vec::with_capacity(2 * filters);
        for filter in &weights {
            let (mut sum, mut squares) = (0.0, 0.0);
            for row in 0..=height - SIDE {
                for column in 0..=width - SIDE {
                    let mut response = 0.0;
                    for (i, weights) in filter.chunks(SIDE).enumerate() {
                        let start = (row + i) * width + column;
                        let pixels = &picture[start..start + SIDE];
                        response += weights.iter().zip(pixels).map(|(w, x)| w * x).sum::<f64>();
                    }
                    let positive = response.max(0.0);
                    sum += positive;
                    squares += positive * positive;
                }
            }
            features.extend([sum / places, squares / places]);
        }
        Ok(features)
    };
    pictures.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(name: &str, n: u64, mean: f64) -> Vec<Vec<f64>> {
        let stream = Stream::new(1, name);
        (0..n).map(|i| (0..3).map(|k| mean + stream.at(i).normal(k)).collect()).collect()
    }

    #[test]
    fn sets_score_by_their_distance() {
        let config = OodScoreConfig { fits: 10, ..OodScoreConfig::default() };
        let stream = Stream::new(0, "score");
        let inside = normal("inside", 400, 0.0);
        let score =
            |mean| ood_score(&inside, &normal("shifted", 400, mean), &config, &stream).unwrap();
        let scores = [0.0, 0.5, 1.5, 4.0].map(score);
        assert!((scores[0] + 2f64.ln()).abs() < 0.03, "{scores:?}");
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]), "{scores:?}");
        assert!(scores[3] > -0.05);
        assert!(ood_score(&inside[..3], &inside, &config, &stream).is_err());
        let none = OodScoreConfig { fits: 0, ..config };
        assert!(ood_score(&inside, &inside, &none, &stream).is_err());
    }

    #[test]
    fn features_see_what_is_in_a_picture_and_not_where() {
        let stream = Stream::new(3, "filters");
        let mut picture = vec![0.0; 144];
        picture[5 * 12 + 5] = 1.0;
        let mut moved = vec![0.0; 144];
        moved[6 * 12 + 7] = 1.0;
        let pictures = [picture.as_slice(), moved.as_slice(), &[0.0; 144]];
        let found = random_convolution_features(pictures, [12, 12], 4, &stream).unwrap();
        assert_eq!(found[0].len(), 8);
        for (a, b) in found[0].iter().zip(&found[1]) {
            assert!((a - b).abs() < 1e-15 && *a > 0.0);
        }
        assert_eq!(found[2], [0.0; 8]);
        // The point meets each weight of a filter once.
        let positive = (0..25).map(|i| (stream.at(0).normal(i) / 5.0).max(0.0)).sum::<f64>();
        assert!((found[0][0] - positive / 64.0).abs() < 1e-15);
        let small = random_convolution_features([[0.0; 16].as_slice()], [4, 4], 1, &stream);
        assert!(small.is_err());
    }
}
