//! Pictures made worse, by degrees.

use crate::{DataError, Stream};

/// A way in which pictures are made worse.
///
/// Each has five severities, from one that is hardly seen to one that leaves little. Their strengths
/// are chosen for pictures of about 28 pixels a side; [`Corruption::apply`] takes a strength of its own.
///
/// # Source    the kinds are among those of Hendrycks, Dietterich, Benchmarking neural network robustness
/// to common corruptions and perturbations, 2019, arXiv 1903.12261; the strengths are theirs for impulse
/// noise up to the third severity and for contrast, and ours for the rest
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// A share of the pixels, all channels of each, becomes black or white with equal chance.
    ImpulseNoise,
    /// A Gaussian blur of a standard deviation in pixels; beyond its border a picture goes on with the
    /// pixels at the border.
    Blur,
    /// Each channel's distance from its mean over the picture is multiplied by `1 - strength`.
    ContrastLoss,
    /// A rotation by an angle in degrees, to either side with equal chance, about the centre; what comes
    /// from outside of the picture is 0. Pixels in between are taken from four neighbours.
    Rotation,
}

impl Corruption {
    /// Every corruption.
    pub const ALL: [Corruption; 4] = [
        Corruption::ImpulseNoise,
        Corruption::Blur,
        Corruption::ContrastLoss,
        Corruption::Rotation,
    ];

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Corruption::ImpulseNoise => "impulse noise",
            Corruption::Blur => "blur",
            Corruption::ContrastLoss => "contrast loss",
            Corruption::Rotation => "rotation",
        }
    }

    /// The strength of a severity from 1 to 5; one beyond them is taken for the nearest.
    pub fn strength(self, severity: usize) -> f64 {
        let strengths = match self {
            Corruption::ImpulseNoise => [0.03, 0.06, 0.09, 0.2, 0.4],
            Corruption::Blur => [0.5, 1.0, 1.5, 2.0, 3.0],
            Corruption::ContrastLoss => [0.25, 0.5, 0.6, 0.7, 0.85],
            Corruption::Rotation => [15.0, 30.0, 45.0, 60.0, 90.0],
        };
        strengths[severity.clamp(1, 5) - 1]
    }

    /// A changed copy of a picture whose values lie from 0 (black) to 1 (white), row after row, the
    /// channels of a pixel side by side.
    ///
    /// Draws are those of `stream`, which is to be the picture's own: `stream.at(place)` of a stream of
    /// many.
    ///
    /// # Shapes    `[height, width, channels]` -> the same
    /// # Errors
    /// Values of another number, none, or a strength that is negative or not finite; a share above one.
    pub fn apply(
        self,
        picture: &[f64],
        [height, width, channels]: [usize; 3],
        strength: f64,
        stream: &Stream,
    ) -> Result<Vec<f64>, DataError> {
        let size = height.saturating_mul(width).saturating_mul(channels);
        if size == 0 || picture.len() != size {
            return Err(DataError::Mismatch {
                what: "a picture to corrupt",
                expected: format!("{height} x {width} x {channels} values"),
                got: vec![picture.len()],
            });
        }
        let share = matches!(self, Corruption::ImpulseNoise | Corruption::ContrastLoss);
        if !(0.0..f64::INFINITY).contains(&strength) || (share && strength > 1.0) {
            return Err(DataError::Range {
                what: "the strength of a corruption",
                expected: if share { "0 to 1" } else { "a finite number of at least 0" }.into(),
                got: strength.to_string(),
            });
        }
        let at = |row: usize, column: usize, channel: usize| {
            picture[(row * width + column) * channels + channel]
        };
        Ok(match self {
            Corruption::ImpulseNoise => {
                let mut noisy = picture.to_vec();
                for (pixel, values) in noisy.chunks_exact_mut(channels).enumerate() {
                    if stream.uniform(2 * pixel as u64) < strength {
                        values.fill((stream.u64(2 * pixel as u64 + 1) >> 63) as f64);
                    }
                }
                noisy
            }
            Corruption::ContrastLoss => {
                let mut flat = picture.to_vec();
                for channel in 0..channels {
                    let values = picture.iter().skip(channel).step_by(channels);
                    let mean = values.sum::<f64>() / (height * width) as f64;
                    for value in flat.iter_mut().skip(channel).step_by(channels) {
                        *value = mean + (1.0 - strength) * (*value - mean);
                    }
                }
                flat
            }
            Corruption::Blur if strength == 0.0 => picture.to_vec(),
            Corruption::Blur => {
                let reach = ((3.0 * strength).ceil() as isize).min(1 << 12);
                let weight = |d: isize| libm::exp(-0.5 * (d as f64 / strength).powi(2));
                let weights: Vec<f64> = (-reach..=reach).map(weight).collect();
                let all: f64 = weights.iter().sum();
                let held = |at: usize, d: isize, extent: usize| {
                    (at as isize + d).clamp(0, extent as isize - 1) as usize
                };
                let blurred = |of: &dyn Fn(isize) -> f64| {
                    let terms = weights.iter().zip(-reach..=reach).map(|(w, d)| w * of(d));
                    terms.sum::<f64>() / all
                };
                let mut rows = Vec::with_capacity(size);
                for (row, column, channel) in places([height, width, channels]) {
                    rows.push(blurred(&|d| at(row, held(column, d, width), channel)));
                }
                let half = |row: usize, column: usize, channel: usize| {
                    rows[(row * width + column) * channels + channel]
                };
                places([height, width, channels])
                    .map(|(row, column, channel)| {
                        blurred(&|d| half(held(row, d, height), column, channel))
                    })
                    .collect()
            }
            Corruption::Rotation => {
                let sign = if stream.u64(0) >> 63 == 1 { 1.0 } else { -1.0 };
                let (sine, cosine) = libm::sincos(sign * strength.to_radians());
                let centre = [(height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0];
                let inside = |row: f64, column: f64, channel: usize| {
                    let held = (0.0..height as f64).contains(&row)
                        && (0.0..width as f64).contains(&column);
                    if held { at(row as usize, column as usize, channel) } else { 0.0 }
                };
                places([height, width, channels])
                    .map(|(row, column, channel)| {
                        let (y, x) = (row as f64 - centre[0], column as f64 - centre[1]);
                        let from =
                            [cosine * y - sine * x + centre[0], sine * y + cosine * x + centre[1]];
                        // A turn by a right angle is to hit the pixels.
                        let from = from.map(|place| match (place - place.round()).abs() < 1e-9 {
                            true => place.round(),
                            false => place,
                        });
                        let [r, c] = from.map(f64::floor);
                        let [v, u] = [from[0] - r, from[1] - c];
                        (1.0 - v) * (1.0 - u) * inside(r, c, channel)
                            + (1.0 - v) * u * inside(r, c + 1.0, channel)
                            + v * (1.0 - u) * inside(r + 1.0, c, channel)
                            + v * u * inside(r + 1.0, c + 1.0, channel)
                    })
                    .collect()
            }
        })
    }
}

fn places([height, width, channels]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..height).flat_map(move |row| {
        (0..width).flat_map(move |column| (0..channels).map(move |channel| (row, column, channel)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [5, 5, 1];

    fn picture() -> Vec<f64> {
        (0..25).map(|i| f64::from(i * 7 % 25) / 25.0).collect()
    }

    fn apply(
        corruption: Corruption,
        picture: &[f64],
        shape: [usize; 3],
        strength: f64,
    ) -> Vec<f64> {
        corruption.apply(picture, shape, strength, &Stream::new(3, "corrupt")).unwrap()
    }

    #[test]
    fn no_strength_changes_nothing_and_severities_grow() {
        for corruption in Corruption::ALL {
            let same = apply(corruption, &picture(), SHAPE, 0.0);
            assert!(same.iter().zip(picture()).all(|(a, b)| (a - b).abs() < 1e-15));
            let strengths: Vec<f64> = (1..=5).map(|s| corruption.strength(s)).collect();
            assert!(strengths.windows(2).all(|pair| pair[0] < pair[1]), "{strengths:?}");
            let once = apply(corruption, &picture(), SHAPE, strengths[2]);
            assert_eq!(once, apply(corruption, &picture(), SHAPE, strengths[2]));
            assert_ne!(once, picture());
        }
    }

    #[test]
    fn by_hand() {
        let flat = apply(Corruption::ContrastLoss, &[0.0, 1.0, 0.5, 0.3], [2, 1, 2], 0.5);
        // Channels 0.0, 0.5 and 1.0, 0.3.
        for (found, expected) in flat.iter().zip([0.125, 0.825, 0.375, 0.475]) {
            assert!((found - expected).abs() < 1e-15);
        }
        // A quarter turn moves a corner to a corner.
        let mut corner = vec![0.0; 25];
        corner[0] = 1.0;
        let turned = apply(Corruption::Rotation, &corner, SHAPE, 90.0);
        assert!(turned[4] == 1.0 || turned[20] == 1.0, "{turned:?}");
        assert_eq!(turned.iter().sum::<f64>(), 1.0);
        // A blur keeps a constant picture, and spreads a point evenly to four sides.
        let constant = apply(Corruption::Blur, &[0.5; 25], SHAPE, 1.0);
        assert!(constant.iter().all(|x| (x - 0.5).abs() < 1e-15));
        let mut point = vec![0.0; 25];
        point[12] = 1.0;
        let spread = apply(Corruption::Blur, &point, SHAPE, 0.6);
        let sides = [7, 11, 13, 17].map(|i| spread[i]);
        assert!(sides.iter().all(|x| (x - sides[0]).abs() < 1e-15) && sides[0] < spread[12]);
        assert!((spread[7] / spread[12] - (-0.5f64 / 0.36).exp()).abs() < 1e-12);
    }

    #[test]
    fn impulses_hit_their_share_in_black_and_white() {
        let n = 100;
        let grey = vec![0.5; n * n * 3];
        let noisy = apply(Corruption::ImpulseNoise, &grey, [n, n, 3], 0.2);
        let hit: Vec<&[f64]> = noisy.chunks(3).filter(|pixel| pixel[0] != 0.5).collect();
        assert!(hit.iter().all(|p| *p == [0.0; 3] || *p == [1.0; 3]));
        let white = hit.iter().filter(|p| p[0] == 1.0).count() as f64;
        let (share, total) = (hit.len() as f64 / 1e4, hit.len() as f64);
        // Five standard deviations.
        assert!((share - 0.2).abs() < 5.0 * (0.16f64 / 1e4).sqrt(), "{share}");
        assert!((white / total - 0.5).abs() < 5.0 * (0.25 / total).sqrt());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let stream = Stream::new(0, "x");
        let blur =
            |picture: &[f64], strength| Corruption::Blur.apply(picture, SHAPE, strength, &stream);
        assert!(blur(&[0.0; 24], 1.0).is_err() && blur(&[0.0; 25], -1.0).is_err());
        assert!(blur(&[0.0; 25], f64::NAN).is_err());
        let noise = Corruption::ImpulseNoise.apply(&[0.0; 25], SHAPE, 1.5, &stream);
        assert!(noise.is_err());
    }
}
