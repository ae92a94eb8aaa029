//! Equally spaced coordinates.

use crate::MethodError;
use std::fmt;
use std::str::FromStr;

/// The most points that one range may have.
const LARGEST: usize = 1 << 24;

/// Coordinates from `start` to `end`, both included.
///
/// `x_i = (start (n - 1 - i) + end i) / (n - 1)`: exactly zero in the middle of a symmetric range
/// of an odd number of points. Its text is `A:B:N`.
///
/// # Example
/// ```
/// use thalweg_methods::surface::GridRange;
/// let range: GridRange = "-1:1:5".parse()?;
/// assert_eq!(range.values(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridRange {
    start: f64,
    end: f64,
    points: usize,
}

impl GridRange {
    /// A range of `points` coordinates; a single one is `start`, which must equal `end`.
    ///
    /// # Errors
    /// No points, or more than 16,777,216; ends that are not finite or too far apart; one point
    /// between two different ends.
    pub fn new(start: f64, end: f64, points: usize) -> Result<GridRange, MethodError> {
        if points == 0 || points > LARGEST {
            let expected = format!("1 to {LARGEST} points");
            return Err(MethodError::config("grid", expected, points));
        }
        // The weighted sum of the ends must not overflow.
        let far = f64::MAX / (2.0 * LARGEST as f64);
        for end in [start, end] {
            if end.is_nan() || end.abs() > far {
                return Err(MethodError::config("grid", "finite ends", end));
            }
        }
        if points == 1 && start != end {
            let got = format!("{start}:{end}:1");
            return Err(MethodError::config("grid", "equal ends for a single point", got));
        }
        Ok(GridRange { start, end, points })
    }

    /// The coordinates.
    pub fn values(&self) -> Vec<f64> {
        let last = self.points - 1;
        if last == 0 {
            return vec![self.start];
        }
        let at = |i: usize| (self.start * (last - i) as f64 + self.end * i as f64) / last as f64;
        (0..self.points).map(at).collect()
    }

    /// Number of coordinates.
    pub fn points(&self) -> usize {
        self.points
    }
}

impl FromStr for GridRange {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<GridRange, MethodError> {
        let wrong = || MethodError::config("grid", "A:B:N, as -1:1:51", format!("{text:?}"));
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let [start, end, points] = parts[..] else { return Err(wrong()) };
        let (start, end) = (start.parse().map_err(|_| wrong())?, end.parse().map_err(|_| wrong())?);
        if points.is_empty() || !points.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        // Digits that do not fit are a number that is too large.
        match points.parse() {
            Ok(points) => GridRange::new(start, end, points),
            Err(_) => Err(MethodError::config("grid", format!("1 to {LARGEST} points"), points)),
        }
    }
}

impl fmt::Display for GridRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.end, self.points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_zero_are_exact() {
        for n in [3, 31, 51, 101] {
            let values = GridRange::new(-0.7, 0.7, n).unwrap().values();
            assert_eq!((values[0], values[n / 2], values[n - 1]), (-0.7, 0.0, 0.7));
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(GridRange::new(0.0, 0.0, 1).unwrap().values(), [0.0]);
    }

    #[test]
    fn text_goes_round_and_nonsense_is_refused() {
        let range: GridRange = "-0.5:2:4".parse().unwrap();
        assert_eq!(range.to_string().parse::<GridRange>().unwrap(), range);
        for text in
            ["", "1:2", "1:2:0", "a:1:3", "0:1:-3", "0:1:2.5", "0:inf:3", "nan:1:3", "0:1:1"]
        {
            assert!(text.parse::<GridRange>().is_err(), "{text}");
        }
        let huge = "-1:1:10000000000000000000000".parse::<GridRange>().unwrap_err();
        assert_eq!(
            huge.to_string(),
            "grid: expected 1 to 16777216 points, got 10000000000000000000000"
        );
    }
}
