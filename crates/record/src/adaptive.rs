//! What a surface to a tolerance says beyond an exact one.

use crate::{Result, Surface, number, shape_error};
use serde::{Deserialize, Serialize};

/// The errors of a surface to a tolerance, point by point, in the order of its values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AdaptiveErrors {
    /// The standard error against the exact surface of the same examples.
    #[serde(with = "number::vec")]
    pub sampling: Vec<f64>,
    /// The estimated error of interpolation, judged at held-out points; 0 at evaluated ones.
    #[serde(with = "number::vec")]
    pub interpolation: Vec<f64>,
    /// Examples that a point was evaluated on; 0 where it was interpolated.
    pub samples: Vec<u32>,
}

/// How a surface to a tolerance came about.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AdaptiveSummary {
    /// The tolerance: an error may be this share of the height over the centre and the centre's
    /// own size.
    pub tolerance: f64,
    /// Points that were evaluated; the others are interpolated.
    pub evaluated: u64,
    /// Losses of single examples evaluated; an exact surface takes points times examples.
    pub evaluations: u64,
    /// Points held out of the interpolation to judge it.
    pub held_out: u64,
    /// How many of these were off by more than the tolerance.
    pub beyond_tolerance: u64,
    /// The median over points of twice the sampling error, in tolerances.
    #[serde(with = "number")]
    pub sampling: f64,
    /// The median over interpolated points of the interpolation error, in tolerances; 0 if none
    /// was interpolated.
    #[serde(with = "number")]
    pub interpolation: f64,
}

impl AdaptiveErrors {
    pub(crate) fn check(&self, points: usize) -> Result<()> {
        for (name, length) in [
            ("sampling_error", self.sampling.len()),
            ("interpolation_error", self.interpolation.len()),
            ("samples", self.samples.len()),
        ] {
            if length != points {
                return Err(shape_error(name, format!("{points} points"), length));
            }
        }
        Ok(())
    }
}

impl Surface {
    /// The medians of twice the sampling error, and of the interpolation error where there is one,
    /// each in what a tolerance allows around a loss at the centre. None of an exact surface.
    pub fn errors_in_tolerances(&self, centre: f64, tolerance: f64) -> Option<[f64; 2]> {
        let errors = self.adaptive.as_ref()?;
        let allowed = |loss: f64| tolerance * ((loss - centre).abs() + centre.abs());
        let of = |values: &[f64], factor: f64| -> Vec<f64> {
            let shares = values.iter().zip(&self.loss);
            let shares = shares.map(|(error, &loss)| factor * error / allowed(loss));
            shares.filter(|share| share.is_finite()).collect()
        };
        let mut between = of(&errors.interpolation, 1.0);
        between.retain(|&error| error > 0.0);
        Some([median(of(&errors.sampling, 2.0)), median(between)])
    }
}

/// The upper median; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SurfaceAttributes;
    use crate::zarr::MemoryStore;

    fn surface() -> Surface {
        let at = vec![0.0, 1.0, 2.0];
        let mut surface = Surface::new(at, vec![0.0], None, SurfaceAttributes::default()).unwrap();
        surface.loss = vec![1.0, 2.0, f64::INFINITY];
        surface.adaptive = Some(AdaptiveErrors {
            sampling: vec![0.0, 0.01, f64::NAN],
            interpolation: vec![0.0, 0.05, 0.0],
            samples: vec![64, 0, 32],
        });
        surface
    }

    #[test]
    fn errors_go_round_and_their_medians_are_in_tolerances() {
        let surface = surface();
        let [sampling, interpolation] = surface.errors_in_tolerances(1.0, 0.1).unwrap();
        // Allowed is 0.1 at the first and 0.2 at the second point.
        assert!((sampling - 0.1).abs() < 1e-12 && (interpolation - 0.25).abs() < 1e-12);
        let store = MemoryStore::default();
        surface.write_zarr(&store).unwrap();
        let read = Surface::read_zarr(&store, "").unwrap().adaptive.unwrap();
        let written = surface.adaptive.unwrap();
        assert_eq!((read.samples, read.interpolation), (written.samples, written.interpolation));
        assert!(read.sampling[2].is_nan());
    }

    #[test]
    fn errors_of_other_points_are_refused() {
        let mut short = surface();
        short.adaptive.as_mut().unwrap().samples.pop();
        assert!(short.check().unwrap_err().to_string().starts_with("samples: expected 3"));
    }
}
