//! The smallest distance between points of different classes.

use super::distances::{radius, squared};
use crate::{Context, MethodError};

/// How [`class_separation`] looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SeparationConfig {
    /// The smallest distance that is seen.
    Seen {
        /// Pairs of different classes that are looked at, at most.
        pairs: usize,
        /// Pairs nearer than this share of the largest norm are left out: the same example under two
        /// labels.
        duplicate: f64,
    },
    /// The smallest distance that all pairs are expected to have, by extreme value theory: the
    /// largest inverse distances seen are extrapolated to the number of all pairs by the moment
    /// estimator. Never above the smallest that is seen.
    ///
    /// # Source    Dekkers, Einmahl, de Haan, A moment estimator for the index of an extreme-value
    /// distribution, 1989
    Extrapolated {
        /// As above.
        pairs: usize,
        /// As above.
        duplicate: f64,
        /// Largest inverse distances that the tail is fitted to; 2,000 in the authors' code.
        tail: usize,
    },
    /// A distance that is known otherwise; no pair is looked at.
    Given(f64),
}

impl Default for SeparationConfig {
    fn default() -> SeparationConfig {
        SeparationConfig::Seen { pairs: 1_000_000, duplicate: 1e-3 }
    }
}

/// What [`class_separation`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// The distance, in the units of the points.
    pub distance: f64,
    /// The smallest that was seen; infinite if none was looked at.
    pub seen: f64,
    /// Pairs that were looked at.
    pub pairs: usize,
    /// Of them, those that were left out as duplicates.
    pub left_out: usize,
}

/// The smallest Euclidean distance between points of different classes: over all pairs of points if
/// that is not more than are asked for, else over so many from the stream `class separation`. A given
/// one is taken as it is.
///
/// # Shapes    x `[point][feature]`, y `[point]` -> `[]`
/// # Errors
/// Points and labels of different numbers; no two classes; every pair a duplicate; a number that is not
/// finite; a share of duplicates that is negative; a given distance that is not positive; a tail that is
/// not smaller than the pairs.
pub fn class_separation(
    ctx: &Context<'_>,
    x: &[Vec<f64>],
    y: &[i32],
    config: &SeparationConfig,
) -> Result<Separation, MethodError> {
    if x.len() != y.len() {
        return Err(MethodError::mismatch("labels", format!("{}, one a point", x.len()), y.len()));
    }
    let radius = radius(x)?;
    let (pairs, duplicate) = match *config {
        SeparationConfig::Seen { pairs, duplicate }
        | SeparationConfig::Extrapolated { pairs, duplicate, .. } => (pairs, duplicate),
        SeparationConfig::Given(distance) if distance > 0.0 && distance.is_finite() => {
            return Ok(Separation { distance, seen: f64::INFINITY, pairs: 0, left_out: 0 });
        }
        SeparationConfig::Given(distance) => {
            return Err(MethodError::config("separation", "a positive number", distance));
        }
    };
    if !(duplicate >= 0.0 && duplicate.is_finite()) {
        let expected = "a finite share of at least 0";
        return Err(MethodError::config("distance of duplicates", expected, duplicate));
    }
    let least = duplicate * radius;
    let n = x.len();
    let all = n * (n - 1) / 2;
    let mut found: Vec<f64> = Vec::new();
    let (mut looked, mut left_out) = (0, 0);
    let mut look = |i: usize, j: usize| {
        if y[i] != y[j] {
            looked += 1;
            let distance = squared(&x[i], &x[j]).sqrt();
            match distance > 0.0 && distance >= least {
                true => found.push(distance),
                false => left_out += 1,
            }
        }
    };
    if all <= pairs {
        for i in 0..n {
            ctx.check()?;
            (0..i).for_each(|j| look(i, j));
        }
    } else {
        let stream = ctx.stream("class separation");
        for pair in 0..pairs as u64 {
            let i = stream.below(2 * pair, n as u64) as usize;
            let j = stream.below(2 * pair + 1, n as u64) as usize;
            look(i, j);
        }
    }
    if found.is_empty() {
        let expected = "two points of different classes that are no duplicates";
        return Err(MethodError::mismatch("class separation", expected, "none"));
    }
    let seen = found.iter().copied().fold(f64::INFINITY, f64::min);
    let distance = match *config {
        SeparationConfig::Seen { .. } | SeparationConfig::Given(_) => seen,
        SeparationConfig::Extrapolated { tail, .. } => {
            // As many pairs of different classes among all as among those looked at.
            let share = if all <= pairs { 1.0 } else { all as f64 / pairs as f64 };
            let expected = extrapolated(found, tail, share)?;
            expected.min(seen)
        }
    };
    Ok(Separation { distance, seen, pairs: looked, left_out })
}

/// One over the value that inverse distances exceed once in `share` times as many pairs.
fn extrapolated(mut distances: Vec<f64>, tail: usize, share: f64) -> Result<f64, MethodError> {
    if tail < 2 || tail >= distances.len() {
        let expected = format!("at least 2 and below the {} pairs", distances.len());
        return Err(MethodError::config("tail of inverse distances", expected, tail));
    }
    distances.sort_unstable_by(f64::total_cmp);
    let threshold = 1.0 / distances[tail];
    let logs: Vec<f64> =
        distances[..tail].iter().map(|distance| -(distance * threshold).ln()).collect();
    let mean = |power: i32| logs.iter().map(|log| log.powi(power)).sum::<f64>() / tail as f64;
    let (first, second) = (mean(1), mean(2));
    if second <= 0.0 {
        return Ok(1.0 / threshold);
    }
    let negative = 1.0 - 0.5 / (1.0 - first * first / second);
    let index = first + negative;
    let scale = threshold * first * (1.0 - negative);
    let ratio = tail as f64 * share;
    let rise = if index.abs() < 1e-9 { ratio.ln() } else { (ratio.powf(index) - 1.0) / index };
    Ok(1.0 / (threshold + scale * rise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    #[test]
    fn the_smallest_distance_between_classes_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        // The two at 0 are one example under two labels.
        let x: Vec<Vec<f64>> = [0.0, 0.0, 1.0, 3.0, 3.5].iter().map(|&x| vec![x]).collect();
        let y = [0, 1, 0, 0, 1];
        let found = class_separation(&ctx, &x, &y, &SeparationConfig::default()).unwrap();
        assert_eq!(found, Separation { distance: 0.5, seen: 0.5, pairs: 6, left_out: 1 });
        assert!(class_separation(&ctx, &x, &[0; 5], &SeparationConfig::default()).is_err());
        assert!(class_separation(&ctx, &x, &[0, 1], &SeparationConfig::default()).is_err());
    }

    #[test]
    fn a_given_distance_is_taken_and_what_is_none_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let x: Vec<Vec<f64>> = [0.0, 1.0, 3.0].iter().map(|&x| vec![x]).collect();
        let find = |config| class_separation(&ctx, &x, &[0, 1, 0], &config);
        let found = find(SeparationConfig::Given(0.25)).unwrap();
        assert_eq!((found.distance, found.seen, found.pairs), (0.25, f64::INFINITY, 0));
        for distance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = find(SeparationConfig::Given(distance)).unwrap_err().to_string();
            assert!(message.starts_with("separation: expected a positive number"), "{message}");
        }
        for duplicate in [-1e-3, f64::NAN, f64::INFINITY] {
            let seen = SeparationConfig::Seen { pairs: 10, duplicate };
            let extrapolated = SeparationConfig::Extrapolated { pairs: 10, duplicate, tail: 1 };
            for config in [seen, extrapolated] {
                let message = find(config).unwrap_err().to_string();
                assert!(
                    message.starts_with("distance of duplicates: expected a finite"),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn the_extrapolated_distance_is_that_of_more_pairs() {
        // Inverse distances with a Pareto tail of index one: distances uniform on (0, 1).
        let stream = Stream::new(0, "pairs");
        let distances: Vec<f64> = (0..20_000).map(|i| stream.uniform(i)).collect();
        let found = extrapolated(distances, 2000, 50.0).unwrap();
        // The least of a million uniform numbers is about one millionth.
        assert!((0.4e-6..2.5e-6).contains(&found), "{found}");
        assert!(extrapolated(vec![1.0, 2.0], 2, 1.0).is_err());
    }
}
