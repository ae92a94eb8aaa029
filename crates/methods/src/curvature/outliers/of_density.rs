//! Where the bulk of a density of eigenvalues ends, and how many lie beyond.

use crate::MethodError;
use thalweg_stats::Estimate;

/// The share of all eigenvalues on each side of the bulk's width that do not count for it.
const TAIL: f64 = 0.05;
/// How far the bulk reaches from its median, in the distance of that tail.
const REACH: f64 = 2.0;
/// Eigenvalues under a bell of the density's width, below which they are told apart.
const FEWEST: f64 = 0.5;

/// The ends of the bulk of a spectrum, and what stands out of it.
///
/// The bulk reaches on each side from the median to twice the distance at which 5 % of all eigenvalues are
/// left, and at least as far as there lies, on average, more than half an eigenvalue under a bell of
/// the density's width: so far it does not tell them apart. The rule is ours.
///
/// A spectrum that falls off slowly has no bulk in this sense, and its last eigenvalues that the
/// density tells apart are called outliers. Of a spectrum with more than one in twenty on one side of
/// the bulk they are the bulk's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outliers {
    /// Smaller eigenvalues stand out.
    pub below: f64,
    /// Larger ones stand out.
    pub above: f64,
    /// How many stand out: the density's mass beyond both, times their number. Its standard error is
    /// that over the probes, with the ends held.
    pub count: Estimate,
}

impl Outliers {
    /// The outliers of `n` eigenvalues from a density at equally spaced places and the mass that each
    /// probe has beyond both ends.
    ///
    /// # Errors
    /// Fewer than two probes.
    pub(in crate::curvature) fn new(
        [centres, values]: [&[f64]; 2],
        width: f64,
        n: usize,
        masses: impl Fn(&dyn Fn(f64) -> bool) -> Vec<f64>,
    ) -> Result<Outliers, MethodError> {
        let [below, above] = ends(centres, values, width * n as f64);
        let each = masses(&|value| value < below || value > above);
        let all: Vec<f64> = each.iter().map(|mass| mass * n as f64).collect();
        Ok(Outliers { below, above, count: Estimate::mean(&all)? })
    }

    /// Whether an eigenvalue stands out of the bulk.
    pub fn holds(&self, value: f64) -> bool {
        value < self.below || value > self.above
    }
}

/// The ends of the bulk; `scale` is the density's width times the number of eigenvalues.
fn ends(centres: &[f64], values: &[f64], scale: f64) -> [f64; 2] {
    let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
    // Of a density that is nowhere given nothing stands out.
    let nothing = [f64::NEG_INFINITY, f64::INFINITY];
    let place = |level: f64| {
        let mut so_far = 0.0;
        values.iter().position(|value| {
            so_far += value.max(0.0);
            so_far >= level * total
        })
    };
    let Some([low, middle, high]) = (total > 0.0)
        .then(|| [place(TAIL), place(0.5), place(1.0 - TAIL)])
        .and_then(|[low, middle, high]| Some([low?, middle?, high?]))
    else {
        return nothing;
    };
    let dense = |&&i: &&usize| scale * values[i] * std::f64::consts::TAU.sqrt() >= FEWEST;
    let (before, behind): (Vec<usize>, Vec<usize>) =
        ((0..middle).rev().collect(), (middle + 1..values.len()).collect());
    let last = |way: &[usize]| way.iter().take_while(dense).last().copied().unwrap_or(middle);
    let reach = |end: usize| centres[middle] + REACH * (centres[end] - centres[middle]);
    [reach(low).min(centres[last(&before)]), reach(high).max(centres[last(&behind)])]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bells of width 0.1 around eigenvalues, each tenth of a width.
    fn density(values: &[f64]) -> [Vec<f64>; 2] {
        let centres: Vec<f64> = (-500..=1500).map(|i| f64::from(i) * 0.01).collect();
        let scale = 1.0 / (0.1 * std::f64::consts::TAU.sqrt() * values.len() as f64);
        let at = |x: &f64| {
            values.iter().map(|v| scale * (-0.5 * ((x - v) / 0.1).powi(2)).exp()).sum::<f64>()
        };
        let found = centres.iter().map(at).collect();
        [centres, found]
    }

    fn found(values: &[f64]) -> Outliers {
        let [centres, density] = density(values);
        let masses = |beyond: &dyn Fn(f64) -> bool| {
            let share = values.iter().filter(|value| beyond(**value)).count() as f64;
            vec![share / values.len() as f64; 2]
        };
        Outliers::new([&centres, &density], 0.1, values.len(), masses).unwrap()
    }

    #[test]
    fn what_stands_out_of_a_bulk_is_counted_on_both_sides() {
        let bulk: Vec<f64> = (0..200).map(|i| f64::from(i) / 100.0).collect();
        let with = |beside: &[f64]| found(&[&bulk, beside].concat());
        let none = with(&[]);
        assert!(none.below < 0.0 && none.above > 2.0 && none.count.value == 0.0, "{none:?}");
        let some = with(&[-4.0, 6.0, 6.05, 9.0]);
        assert!((some.count.value - 4.0).abs() < 1e-12 && some.count.standard_error == 0.0);
        // The median is 1, and the tails begin 0.9 from it.
        assert!((some.above - 2.8).abs() < 0.1 && (some.below + 0.8).abs() < 0.1, "{some:?}");
        assert!(some.holds(3.0) && some.holds(-1.0) && !some.holds(2.5) && !some.holds(0.0));
    }

    /// Of a narrow bulk what the density does not tell apart belongs to it, however far it is.
    #[test]
    fn what_is_not_told_apart_is_no_outlier() {
        let mut values: Vec<f64> = (0..2000).map(|i| f64::from(i) * 1e-5).collect();
        values.extend((1..=20).map(|i| f64::from(i) * 0.1));
        values.extend([5.0, 7.0]);
        let some = found(&values);
        assert!((some.count.value - 2.0).abs() < 1e-12, "{some:?}");
        assert!((2.0..2.5).contains(&some.above), "{some:?}");
    }

    #[test]
    fn nothing_stands_out_of_nothing() {
        assert_eq!(ends(&[0.0, 1.0], &[0.0, 0.0], 1.0), [f64::NEG_INFINITY, f64::INFINITY]);
        assert_eq!(ends(&[], &[], 1.0), [f64::NEG_INFINITY, f64::INFINITY]);
    }
}
