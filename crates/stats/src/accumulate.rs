//! Sums and moments that keep their digits.

/// A sum whose rounding errors are added up beside it.
///
/// # Source    Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen,
/// 1974
/// # Example
/// ```
/// let sum: thalweg_stats::CompensatedSum = [1.0, 1e100, 1.0, -1e100].into_iter().collect();
/// assert_eq!(sum.value(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() {
            (self.sum - sum) + term
        } else {
            (term - sum) + self.sum
        };
        self.sum = sum;
    }

    /// The sum.
    pub fn value(&self) -> f64 {
        // With an infinite sum the correction is NaN and means nothing.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl FromIterator<f64> for CompensatedSum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> CompensatedSum {
        let mut sum = CompensatedSum::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// The sum by halving: the rounding error grows with the logarithm of the number of terms. The
/// order depends on that number only.
pub fn pairwise_sum(terms: &[f64]) -> f64 {
    if terms.len() <= 32 {
        return terms.iter().fold(0.0, |sum, term| sum + term);
    }
    let (left, right) = terms.split_at(terms.len() / 2);
    pairwise_sum(left) + pairwise_sum(right)
}

/// Count, mean and spread of a stream of numbers, in one pass; two of them can be merged.
///
/// # Source    Welford 1962; merging: Chan, Golub, LeVeque 1979
/// # Example
/// ```
/// use thalweg_stats::Moments;
/// let mut left: Moments = [1.0, 2.0].into_iter().collect();
/// let right: Moments = [3.0, 6.0].into_iter().collect();
/// left.merge(&right);
/// assert_eq!((left.count(), left.mean()), (4, 3.0));
/// assert_eq!(left.variance(), Some(14.0 / 3.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a number.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// Adds all that another has seen.
    pub fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let between = other.mean - self.mean;
        self.count += other.count;
        self.mean += between * (theirs / (ours + theirs));
        self.squares += other.squares + between * between * (ours * theirs / (ours + theirs));
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Sum of squared deviations from the mean.
    pub fn squared_deviations(&self) -> f64 {
        self.squares
    }

    /// The unbiased variance (divided by n - 1), from two numbers on.
    pub fn variance(&self) -> Option<f64> {
        (self.count >= 2).then(|| self.squares / (self.count - 1) as f64)
    }

    /// The square root of [`Moments::variance`].
    pub fn standard_deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Moments {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_their_digits() {
        let tenths = vec![0.1; 10_000_000];
        let exact = 0.1f64 * 1e7;
        let naive = tenths.iter().fold(0.0, |sum, term| sum + term);
        assert!((naive - exact).abs() > 1e-5);
        assert!((pairwise_sum(&tenths) - exact).abs() < 1e-8);
        let compensated: CompensatedSum = tenths.into_iter().collect();
        assert!((compensated.value() - exact).abs() < 1e-9);
        let infinite: CompensatedSum = [f64::INFINITY, 1.0].into_iter().collect();
        assert_eq!(infinite.value(), f64::INFINITY);
    }

    #[test]
    fn a_large_offset_does_not_drown_the_spread() {
        let moments: Moments = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect();
        assert_eq!(moments.mean(), 1e9 + 0.5);
        assert!((moments.variance().unwrap() - 0.25 * 1000.0 / 999.0).abs() < 1e-9);
    }

    #[test]
    fn merging_is_adding() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i * i % 37)).collect();
        let whole: Moments = values.iter().copied().collect();
        let mut merged = Moments::default();
        for part in values.chunks(7) {
            merged.merge(&part.iter().copied().collect());
        }
        merged.merge(&Moments::default());
        assert_eq!(merged.count(), whole.count());
        assert!((merged.mean() - whole.mean()).abs() < 1e-12);
        assert!((merged.variance().unwrap() - whole.variance().unwrap()).abs() < 1e-11);
        assert_eq!(Moments::default().variance(), None);
    }
}
