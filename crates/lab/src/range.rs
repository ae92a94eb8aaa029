//! Ranges on the command line: grids, seeds, rates.

use std::fmt;
use std::str::FromStr;

/// The most points that a grid may have.
pub const MOST_POINTS: u64 = 100_000_000;

/// Coordinates `A:B:N`: `N` points from `A` to `B`, both included.
///
/// Point `i` is `(A (N - 1 - i) + B i) / (N - 1)`, which is exactly zero in the middle of a
/// symmetric range of an odd number of points; the ends are as given, without rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// The first coordinate.
    pub start: f64,
    /// The last coordinate.
    pub end: f64,
    /// How many.
    pub points: u64,
}

impl Axis {
    /// The single coordinate zero.
    pub const ORIGIN: Axis = Axis { start: 0.0, end: 0.0, points: 1 };

    /// The coordinates.
    pub fn coordinates(&self) -> Vec<f64> {
        let n = self.points;
        if n < 2 {
            return vec![self.start];
        }
        let last = (n - 1) as f64;
        let at = |i: u64| match i {
            0 => self.start,
            i if i == n - 1 => self.end,
            i => (self.start * (n - 1 - i) as f64 + self.end * i as f64) / last,
        };
        (0..n).map(at).collect()
    }
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Axis, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [start, end, points] = parts[..] else {
            return Err("expected A:B:N, as -1:1:51".into());
        };
        let number = |text: &str| {
            let value: Option<f64> = text.trim().parse().ok();
            value
                .filter(|v| v.is_finite() && v.abs() <= 1e150)
                .ok_or_else(|| format!("expected numbers in A:B:N, got {text:?}"))
        };
        let (start, end) = (number(start)?, number(end)?);
        let digits = points.trim();
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return Err(format!("expected a whole number of points in A:B:N, got {points:?}"));
        }
        // A number beyond 64 bits is a number all the same: the limit's message is the right one.
        let points = digits.parse().unwrap_or(u64::MAX);
        match points {
            0 => return Err("a grid of 0 points has nothing to compute; give at least 1".into()),
            1 if start != end => {
                return Err(format!("one point lies at one place; give {start}:{start}:1"));
            }
            n if n > MOST_POINTS => {
                return Err(format!("{digits} points are more than the {MOST_POINTS} of a grid"));
            }
            _ => {}
        }
        Ok(Axis { start, end, points })
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.end, self.points)
    }
}

/// Seeds: `0..16` (16 left out), `3`, or a list of both as `0..4,7`.
///
/// # Errors
/// What is wrong, as a clause.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, String> {
    parse_numbers(text, "seed")
}

/// Examples by their places from 0 on, as [`parse_seeds`].
///
/// # Errors
/// What is wrong, as a clause.
pub fn parse_examples(text: &str) -> Result<Vec<usize>, String> {
    let places = parse_numbers(text, "example")?;
    let place = |place: u64| {
        usize::try_from(place).map_err(|_| format!("no example has the place {place}"))
    };
    places.into_iter().map(place).collect()
}

/// Whole numbers, each of them once.
fn parse_numbers(text: &str, one: &str) -> Result<Vec<u64>, String> {
    const MOST: u64 = 100_000;
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let number = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| {
                format!("expected {one}s as 0..16 (16 left out) or 0,3,5, got {text:?}")
            })
        };
        match part.split_once("..") {
            Some((first, end)) => {
                let (first, end) = (number(first)?, number(end)?);
                if first >= end {
                    return Err(format!("{part} holds no {one}: the end is left out"));
                }
                if end - first > MOST {
                    return Err(format!("{part} holds more than {MOST} {one}s"));
                }
                numbers.extend(first..end);
            }
            None => numbers.push(number(part)?),
        }
    }
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{one} {} comes twice", pair[0])),
        None => Ok(numbers),
    }
}

/// Learning rates: a list of positive numbers, as `0.1,0.03`.
///
/// # Errors
/// What is wrong, as a clause.
pub fn parse_rates(text: &str) -> Result<Vec<f64>, String> {
    let mut rates: Vec<f64> = Vec::new();
    for part in text.split(',') {
        let rate: Option<f64> = part.trim().parse().ok();
        let rate = rate
            .filter(|rate| rate.is_finite() && *rate >= 0.0)
            .ok_or_else(|| format!("expected rates as 0.1,0.03, got {part:?}"))?;
        if rates.contains(&rate) {
            return Err(format!("rate {rate} comes twice"));
        }
        rates.push(rate);
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_ranges_hit_zero_exactly() {
        let axis: Axis = "-0.7:0.7:51".parse().unwrap();
        let at = axis.coordinates();
        assert_eq!((at.len(), at[0], at[25], at[50]), (51, -0.7, 0.0, 0.7));
        let axis: Axis = "-0.7:0.7:7".parse().unwrap();
        assert_eq!((axis.coordinates()[0], axis.coordinates()[6]), (-0.7, 0.7));
        assert_eq!("-1:1:3".parse::<Axis>().unwrap().coordinates(), [-1.0, 0.0, 1.0]);
        assert_eq!("2:2:1".parse::<Axis>().unwrap().coordinates(), [2.0]);
        assert_eq!(axis.to_string().parse(), Ok(axis));
    }

    #[test]
    fn wrong_ranges_are_told_apart() {
        let message = |text: &str| text.parse::<Axis>().unwrap_err();
        assert!(message("-1:1:0").contains("0 points"));
        assert!(message("-1:1:10000000000000000000000").contains("more than"));
        assert!(message("-1:1:1").contains("one place"));
        assert!(message("-1:1").contains("A:B:N"));
        assert!(message("a:1:3").contains("\"a\""));
        assert!(message("-1:1:-3").contains("whole number"));
        assert!(message("-1:inf:3").contains("\"inf\""));
    }

    #[test]
    fn seeds_leave_the_end_out_and_lists_join() {
        assert_eq!(parse_seeds("0..3"), Ok(vec![0, 1, 2]));
        assert_eq!(parse_seeds("7,0..2"), Ok(vec![7, 0, 1]));
        for text in ["", "3..3", "0..1000000", "1,1", "-1", "a..b"] {
            assert!(parse_seeds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_positive_numbers() {
        assert_eq!(parse_rates("0.1,0.03"), Ok(vec![0.1, 0.03]));
        for text in ["", "x", "-1", "nan", "0.1,0.1"] {
            assert!(parse_rates(text).is_err(), "{text}");
        }
    }
}
