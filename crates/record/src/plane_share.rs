//! How much of what there is the plane of a picture holds.

use crate::{Quantity, Trajectory};
use serde::{Deserialize, Serialize};

/// How much of something the shown plane, or line, holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaneShare {
    /// Of what: `trajectory`: the squared distances of the checkpoints from the centre; `distances`:
    /// those of the networks of the plane from the first; `curvature`: the squared Frobenius norm of
    /// the Hessian at the centre.
    pub of: String,
    /// The pair of directions, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<u32>,
    /// The share, 0 to 1.
    pub share: Quantity,
}

/// Where a network lies beside a plane, in units of the plane's directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// First coordinate of its foot.
    pub x: f64,
    /// Second coordinate.
    pub y: f64,
    /// Its distance from the plane.
    pub distance: f64,
}

/// Shares below are told as that they are, not as numbers.
const LEAST: f64 = 1e-5;

/// Digits behind the point of a percentage, at most.
const MOST_DIGITS: f64 = 4.0;

impl PlaneShare {
    /// The share of a trajectory's squared distances from the centre that its plane holds.
    pub fn of_trajectory(trajectory: &Trajectory) -> Option<PlaneShare> {
        let Trajectory { x, y, residual, .. } = trajectory;
        PlaneShare::of_squares("trajectory", x.iter().chain(y), residual)
    }

    /// The share of the networks' squared distances from the first that their plane holds.
    pub fn of_networks(places: &[Place]) -> Option<PlaneShare> {
        let inside = places.iter().flat_map(|place| [&place.x, &place.y]);
        PlaneShare::of_squares("distances", inside, places.iter().map(|place| &place.distance))
    }

    /// The share of squares inside of the plane among all.
    fn of_squares<'a>(
        of: &str,
        inside: impl IntoIterator<Item = &'a f64>,
        outside: impl IntoIterator<Item = &'a f64>,
    ) -> Option<PlaneShare> {
        let inside: f64 = inside.into_iter().map(|v| v * v).sum();
        let all = inside + outside.into_iter().map(|v| v * v).sum::<f64>();
        let share = (inside / all).into();
        (all > 0.0).then(|| PlaneShare { of: of.into(), pair: None, share })
    }

    /// Whether it is of the curvature.
    pub fn is_of_curvature(&self) -> bool {
        self.of == "curvature"
    }

    /// How much of what, in words.
    pub fn words(&self) -> String {
        let what = match self.of.as_str() {
            "curvature" => "of the Hessian's squared Frobenius norm",
            "distances" => "of the networks' squared distances from the first",
            _ => "of the trajectory's squared length",
        };
        format!("{} {what}", self.percent())
    }

    /// How much of what, in few words.
    pub fn short_words(&self) -> String {
        format!("{} of the {}", self.percent(), self.of)
    }

    /// How much.
    fn percent(&self) -> String {
        let (share, error) = (self.share.value(), self.share.standard_error().unwrap_or(0.0));
        if share + 2.0 * error < LEAST {
            return format!("less than {} %", 100.0 * LEAST);
        }
        let (share, error) = (100.0 * share, 100.0 * error);
        let digits = |value: f64| (1.0 - value.log10().floor()).clamp(0.0, MOST_DIGITS) as usize;
        let shown = |value: f64| value > 0.5 * 10f64.powf(-MOST_DIGITS);
        // Two digits of the error; without one, of what is held or of what is left out.
        if shown(error) {
            let n = digits(error);
            return format!("{share:.n$} ± {error:.n$} %");
        }
        let part = share.min(100.0 - share);
        let n = if shown(part) { digits(part).max(1) } else { 1 };
        format!("{share:.n$} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimate;

    #[test]
    fn a_plane_says_how_much_it_holds() {
        let trajectory = Trajectory {
            x: vec![3.0, 0.0],
            y: vec![0.0; 2],
            residual: vec![1.0, 0.0],
            gradients: None,
        };
        let share = PlaneShare::of_trajectory(&trajectory).unwrap();
        assert_eq!(share.words(), "90.0 % of the trajectory's squared length");
        assert_eq!(share.short_words(), "90.0 % of the trajectory");
        assert!(PlaneShare::of_trajectory(&Trajectory::default()).is_none());
        let place = |x, distance| Place { x, y: 1.0, distance };
        let share = PlaneShare::of_networks(&[Place::default(), place(1.0, 0.0), place(0.0, 1.0)]);
        let share = share.unwrap();
        assert_eq!(share.words(), "75.0 % of the networks' squared distances from the first");
        assert_eq!(share.short_words(), "75.0 % of the distances");
    }

    #[test]
    fn shares_have_the_digits_that_their_errors_leave() {
        let said = |value, standard_error| {
            let share = Estimate { value, standard_error, samples: 14 }.into();
            PlaneShare { of: "curvature".into(), pair: None, share }.percent()
        };
        assert_eq!(said(0.4032, 0.0213), "40.3 ± 2.1 %");
        assert_eq!(said(0.4, 0.13), "40 ± 13 %");
        assert_eq!(said(0.000321, 0.000051), "0.0321 ± 0.0051 %");
        assert_eq!(said(3e-6, 1e-5), "0.0003 ± 0.0010 %");
        assert_eq!([1.0, 0.9995, 0.0012].map(|v| said(v, 0.0)), ["100.0 %", "99.950 %", "0.12 %"]);
        assert_eq!([0.0, 3e-6].map(|v| said(v, 1e-6)), ["less than 0.001 %"; 2]);
    }
}
