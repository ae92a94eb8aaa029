//! What each example of a sample contributed to a number.

use super::evaluation::standard_error;
use super::objective::{BatchNorm, Objective, Sampling};

/// Places of the examples of each stratum of a sample, and how many it was taken from, as in
/// [`Sampling::Strata`].
type Strata = [(Vec<usize>, usize)];

/// The strata of an objective whose examples are a sample; none where it takes all, or where it
/// normalises by statistics of the examples themselves, so that none has a loss of its own.
pub(crate) fn sampled_strata(objective: &dyn Objective) -> Option<&Strata> {
    let Sampling::Strata(strata) = objective.sampling() else { return None };
    let own = objective.batch_norm() == BatchNorm::Frozen || objective.buffers().is_empty();
    own.then_some(strata)
}

/// What each example of a sample contributed to a number, to first order: the number is the mean of the
/// contributions, and uncertain by their spread.
///
/// Contributions are known, or drawn with an error of their own, as those to a trace are by probes.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleTerms {
    /// `[draw, example]`; a single draw is no draw but the contributions themselves.
    draws: Vec<Vec<f64>>,
    strata: Vec<(Vec<usize>, usize)>,
}

impl SampleTerms {
    /// Contributions by draw and example, to a number of an objective with these strata.
    pub fn new(draws: Vec<Vec<f64>>, strata: &Strata) -> SampleTerms {
        SampleTerms { draws, strata: strata.to_vec() }
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.strata.iter().map(|(places, _)| places.len()).sum()
    }

    /// The standard error over the choice of examples: that of a mean of a stratified sample without
    /// replacement.
    ///
    /// With `q_ik` of example `i` in draw `k` of `m`, and `V` the squared standard error of a mean over
    /// examples,
    ///
    /// `(m^2 V(mean over k of q_k) - sum over k of V(q_k)) / (m (m - 1))`
    ///
    /// is the mean covariance of two different draws: the variance without bias, whatever each draw says
    /// of single examples. A negative one counts as zero.
    pub fn standard_error(&self) -> f64 {
        let (n, m) = (self.draws.first().map_or(0, Vec::len), self.draws.len() as f64);
        if let [only] = self.draws.as_slice() {
            return standard_error(only, &self.strata);
        }
        let mut mean = vec![0.0; n];
        for draw in &self.draws {
            super::vector::add_scaled(&mut mean, 1.0 / m, draw);
        }
        let both = (m * standard_error(&mean, &self.strata)).powi(2);
        let each: f64 =
            self.draws.iter().map(|draw| standard_error(draw, &self.strata).powi(2)).sum();
        let variance = (both - each) / (m * (m - 1.0));
        // `max` would make zero of what is not a number.
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }

    /// Those of so many times this number.
    pub(crate) fn scaled(mut self, factor: f64) -> SampleTerms {
        self.draws.iter_mut().for_each(|draw| super::vector::scale(draw, factor));
        self
    }

    /// Those of `a` times this number plus `b` times another of the same examples and draws, as of a
    /// difference; none for one of others.
    pub fn combined(&self, a: f64, other: &SampleTerms, b: f64) -> Option<SampleTerms> {
        let alike = self.strata == other.strata && self.draws.len() == other.draws.len();
        alike.then(|| {
            let both = |(own, others): (&Vec<f64>, &Vec<f64>)| {
                own.iter().zip(others).map(|(x, y)| a * x + b * y).collect()
            };
            let draws = self.draws.iter().zip(&other.draws).map(both).collect();
            SampleTerms { draws, strata: self.strata.clone() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    fn terms(draws: &[&[f64]]) -> SampleTerms {
        let n = draws[0].len();
        // A population so large that it corrects nothing.
        let strata = vec![((0..n).collect(), 1 << 52)];
        SampleTerms::new(draws.iter().map(|draw| draw.to_vec()).collect(), &strata)
    }

    #[test]
    fn known_contributions_have_the_error_of_their_mean() {
        // Variance 5 / 3 of four.
        let found = terms(&[&[1.0, 2.0, 3.0, 4.0]]);
        assert!((found.standard_error() - (5.0f64 / 12.0).sqrt()).abs() < 1e-15);
        assert_eq!(found.examples(), 4);
        // Of half of all examples the other half is left.
        let half = SampleTerms::new(vec![vec![1.0, 2.0, 3.0, 4.0]], &[(vec![0, 1, 2, 3], 8)]);
        assert!((half.standard_error() - (5.0f64 / 24.0).sqrt()).abs() < 1e-15);
    }

    /// What draws say of single examples is no matter of which examples they are.
    #[test]
    fn the_noise_of_draws_is_left_out() {
        let (n, noise) = (50, Stream::new(3, "noise"));
        let of = |i: usize| (i % 7) as f64;
        let exact: Vec<f64> = (0..n).map(of).collect();
        let expected = terms(&[&exact]).standard_error();
        let mut sum = 0.0;
        for trial in 0..400u64 {
            let drawn = |k: u64| -> Vec<f64> {
                let normal = |i: usize| noise.at(trial).at(k).normal(i as u64);
                (0..n).map(|i| of(i) + 3.0 * normal(i)).collect()
            };
            let draws: Vec<Vec<f64>> = (0..4).map(drawn).collect();
            let draws: Vec<&[f64]> = draws.iter().map(Vec::as_slice).collect();
            sum += terms(&draws).standard_error().powi(2) / 400.0;
        }
        // One draw alone has a variance of 4 + 9.
        assert!((sum.sqrt() / expected - 1.0).abs() < 0.05, "{} {expected}", sum.sqrt());
    }

    #[test]
    fn a_difference_is_that_of_each_example() {
        let (one, other) = (terms(&[&[1.0, 5.0, 9.0]]), terms(&[&[2.0, 6.0, 10.0]]));
        let difference = other.combined(1.0, &one, -1.0).unwrap();
        assert_eq!(difference.standard_error(), 0.0);
        assert!(one.standard_error() > 1.0);
        let twice = terms(&[&[1.0, 5.0, 9.0], &[1.0, 5.0, 9.0]]);
        assert_eq!(one.combined(1.0, &twice, -1.0), None);
        assert_eq!(one.combined(1.0, &terms(&[&[1.0, 2.0]]), 1.0), None);
    }
}
