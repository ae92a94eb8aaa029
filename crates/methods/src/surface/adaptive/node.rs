//! The loss at a point from some of the examples, and its sampling error.

use super::scale::Scale;
use crate::common::vector::add_scaled;
use crate::common::{ExampleValues, Sampling, standard_error};
use std::collections::BTreeMap;
use thalweg_stats::{Moments, pairwise_sum};

/// Examples on which variances are estimated at most.
const JUDGES: usize = 1024;

/// What is known of a point: its estimate and what other points need to lean on it.
///
/// Samples are the first examples of one drawn order, so that the smaller is part of the larger.
/// An estimate is a sum of means over such samples,
///
/// `v = const + sum over sizes n of mean_{i <= n} a_n,i`,
///
/// the residuals of a point at its own size and, through its control variate, those of the points
/// that it leans on at theirs. Means of nested samples without replacement from `N` have the
/// covariance `(1 / max(n, m) - 1 / N) S(a_n, a_m)`, which gives the variance of the sum.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// How many examples it rests on.
    examples: usize,
    /// Losses of these examples, unless they were forgotten.
    pub(super) losses: Vec<f64>,
    /// Which of them are classified rightly.
    pub(super) correct: Option<Vec<f64>>,
    /// The estimate of the loss.
    pub(super) value: f64,
    /// That of the accuracy.
    pub(super) accuracy: f64,
    /// `a_n` by `n`, without a size that is all examples.
    influence: BTreeMap<usize, Vec<f64>>,
    /// The variance of the estimate.
    pub(super) variance: f64,
    /// The standard error that the choice of the objective's examples leaves in it.
    pub(super) choice: f64,
}

/// A point that others lean on, with its weight in the loss and in the accuracy.
pub(super) struct Support<'n> {
    pub(super) node: &'n Node,
    pub(super) loss_weight: f64,
    pub(super) weight: f64,
}

impl Node {
    /// How many examples it rests on.
    pub(super) fn examples(&self) -> usize {
        self.examples
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let influence: usize = self.influence.values().map(Vec::len).sum();
        let correct = self.correct.as_ref().map_or(0, Vec::len);
        size_of::<f64>() * (self.losses.len() + correct + influence)
    }

    /// Drops what only points need that lean on it.
    pub(super) fn forget(&mut self) {
        (self.losses, self.correct, self.influence) = Default::default();
    }

    /// Takes in more examples.
    pub(super) fn extend(&mut self, values: ExampleValues) {
        self.examples += values.losses.len();
        self.losses.extend(values.losses);
        if let Some(correct) = values.correct {
            self.correct.get_or_insert_default().extend(correct);
        }
    }

    /// Whether every loss seen is finite.
    pub(super) fn is_finite(&self) -> bool {
        self.losses.iter().all(|loss| loss.is_finite())
    }

    /// A point that was not evaluated: what its supports say.
    pub(super) fn interpolated(supports: &[Support<'_>], population: usize) -> Node {
        let n = supports.iter().map(|s| s.node.examples()).min().unwrap_or(0);
        let mut node = Node { examples: n, losses: control(supports, n), ..Node::default() };
        if supports.iter().all(|s| s.node.correct.is_some()) {
            node.correct = Some(correct_control(supports, n));
        }
        node.value = supports.iter().map(|s| s.loss_weight * s.node.value).sum();
        node.accuracy = supports.iter().map(|s| s.weight * s.node.accuracy).sum();
        node.influence = influence(supports);
        node.variance = variance(&node.influence, population);
        node
    }

    /// Settles the estimate: the mean of what its sample has beyond the control variate, and what
    /// that is over all examples. With all examples their plain mean; `in_order` gives them the
    /// order of the exact surface, and so its bits.
    pub(super) fn settle(
        &mut self,
        supports: &[Support<'_>],
        population: usize,
        in_order: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        let n = self.examples();
        let mean = |values: &[f64]| pairwise_sum(values) / values.len() as f64;
        if n == population {
            self.value = mean(&in_order(&self.losses));
            self.accuracy = self.correct.as_ref().map_or(f64::NAN, |c| mean(&in_order(c)));
            self.influence = BTreeMap::new();
            self.variance = 0.0;
            return;
        }
        let residuals = residuals(&self.losses, supports);
        let known: f64 = supports.iter().map(|s| s.loss_weight * s.node.value).sum();
        self.value = known + mean(&residuals);
        if let Some(correct) = &self.correct {
            let of = |s: &Support<'_>| s.weight * s.node.accuracy;
            let control = correct_control(supports, n);
            let off: Vec<f64> = correct.iter().zip(control).map(|(c, k)| c - k).collect();
            self.accuracy = supports.iter().map(of).sum::<f64>() + mean(&off);
        }
        self.influence = influence(supports);
        let judges = &residuals[..n.min(JUDGES)];
        let own = self.influence.entry(n).or_insert_with(|| vec![0.0; judges.len()]);
        own.iter_mut().zip(judges).for_each(|(own, residual)| *own += residual);
        self.variance = variance(&self.influence, population);
    }

    /// Settles the error that the choice of the objective's examples leaves: as in an exact surface
    /// where the point has all of them, else without the gain of the strata.
    pub(super) fn choose(&mut self, sampling: &Sampling, in_order: impl Fn(&[f64]) -> Vec<f64>) {
        let Sampling::Strata(strata) = sampling else { return };
        let taken: usize = strata.iter().map(|(positions, _)| positions.len()).sum();
        self.choice = match self.examples == taken {
            true => standard_error(&in_order(&self.losses), strata),
            false => error_of_taking(&self.losses, taken, strata.iter().map(|(_, n)| n).sum()),
        };
    }
}

/// The standard error of a mean over examples of which so many were `taken` without replacement, from
/// the losses of some of them.
fn error_of_taking(losses: &[f64], taken: usize, available: usize) -> f64 {
    let moments: Moments = losses.iter().copied().collect();
    let share = 1.0 / taken as f64 - 1.0 / available as f64;
    (moments.variance().unwrap_or(f64::NAN) * share).sqrt()
}

/// The variance that supports bring with them.
pub(super) fn inherited(supports: &[Support<'_>], population: usize) -> f64 {
    variance(&influence(supports), population)
}

/// The estimate that supports would give, and the unbiased variance of its residuals.
pub(super) fn judge(losses: &[f64], supports: &[Support<'_>]) -> (f64, f64) {
    let residuals = residuals(losses, supports);
    let known: f64 = supports.iter().map(|s| s.loss_weight * s.node.value).sum();
    let value = known + pairwise_sum(&residuals) / residuals.len() as f64;
    let moments: Moments = residuals.into_iter().collect();
    (value, moments.variance().unwrap_or(f64::INFINITY))
}

fn residuals(losses: &[f64], supports: &[Support<'_>]) -> Vec<f64> {
    let control = control(supports, losses.len());
    losses.iter().zip(control).map(|(loss, control)| loss - control).collect()
}

/// The losses that supports let expect of the first examples.
fn control(supports: &[Support<'_>], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    for support in supports {
        add_scaled(&mut sum, support.loss_weight, &support.node.losses[..n]);
    }
    sum
}

/// Which of the first examples they let expect to be right.
fn correct_control(supports: &[Support<'_>], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    for support in supports {
        if let Some(correct) = &support.node.correct {
            add_scaled(&mut sum, support.weight, &correct[..n]);
        }
    }
    sum
}

fn influence(supports: &[Support<'_>]) -> BTreeMap<usize, Vec<f64>> {
    let mut sums: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for support in supports {
        for (&n, values) in &support.node.influence {
            let sum = sums.entry(n).or_insert_with(|| vec![0.0; values.len()]);
            add_scaled(sum, support.loss_weight, values);
        }
    }
    sums
}

fn variance(influence: &BTreeMap<usize, Vec<f64>>, population: usize) -> f64 {
    let share = |n: usize| 1.0 / n as f64 - 1.0 / population as f64;
    let mut sum = 0.0;
    for (&n, of_n) in influence {
        sum += share(n) * covariance(of_n, of_n);
        for (&m, of_m) in influence.range(n + 1..) {
            sum += 2.0 * share(m) * covariance(of_n, of_m);
        }
    }
    // Estimated covariances may leave a little less than nothing.
    sum.max(0.0)
}

/// The unbiased covariance over the examples that both have.
fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    if n < 2 {
        return f64::INFINITY;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
    let (a, b) = (&a[..n], &b[..n]);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b));
    products.sum::<f64>() / (n - 1) as f64
}

/// The height of a point between its supports, and the supports with their weights: those of the
/// losses are the weights of the heights, carried over by `dL = slope dh`.
pub(super) fn lean<'n>(
    scale: &Scale,
    height: f64,
    nodes: impl Iterator<Item = (&'n Node, f64)>,
) -> Vec<Support<'n>> {
    let slope = scale.slope(scale.loss(height));
    let support = |(node, weight): (&'n Node, f64)| {
        let loss_weight = weight * slope / scale.slope(node.value);
        Support { node, loss_weight, weight }
    };
    nodes.map(support).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    fn values(seed: u64, n: usize) -> Vec<f64> {
        let stream = Stream::new(seed, "values");
        (0..n as u64).map(|i| stream.normal(i).exp()).collect()
    }

    /// Three points over the same examples, each leaning on the one before: sampling error against
    /// the variance that is said, over many drawn orders.
    #[test]
    fn the_variance_is_that_of_the_error_over_draws() {
        const N: usize = 300;
        let base = values(1, N);
        let second: Vec<f64> = base.iter().zip(values(2, N)).map(|(a, b)| a + 0.4 * b).collect();
        let third: Vec<f64> = second.iter().zip(values(3, N)).map(|(a, b)| a + 0.2 * b).collect();
        let truth = pairwise_sum(&third) / N as f64;
        let (mut squares, mut said, draws) = (0.0, 0.0, 2000);
        for draw in 0..draws {
            let order = Stream::new(draw, "order").permutation(N);
            let first = |values: &[f64], n: usize| ExampleValues {
                losses: order[..n].iter().map(|&i| values[i]).collect(),
                ..ExampleValues::default()
            };
            let settle = |values: &[f64], n: usize, on: Option<&Node>| {
                let mut node = Node::default();
                node.extend(first(values, n));
                let one = |node| Support { node, loss_weight: 0.9, weight: 1.0 };
                let supports: Vec<Support<'_>> = on.map(one).into_iter().collect();
                node.settle(&supports, N, <[f64]>::to_vec);
                node
            };
            let a = settle(&base, 120, None);
            let b = settle(&second, 60, Some(&a));
            let c = settle(&third, 30, Some(&b));
            squares += (c.value - truth).powi(2);
            said += c.variance;
        }
        let ratio = said / squares;
        assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn taking_more_of_what_there_is_leaves_less_error() {
        // A variance of 2, and 1/4 - 1/10 of it; nothing where all are taken.
        let error = error_of_taking(&[1.0, 3.0], 4, 10);
        assert!((error * error - 0.3).abs() < 1e-15, "{error}");
        assert_eq!(error_of_taking(&[1.0, 3.0], 10, 10), 0.0);
        assert!(error_of_taking(&[1.0], 4, 10).is_nan());
    }

    #[test]
    fn all_examples_have_no_error_and_the_order_of_the_objective() {
        let mut node = Node::default();
        node.extend(ExampleValues { losses: values(4, 50), ..ExampleValues::default() });
        let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<_>>();
        node.settle(&[], 50, reversed);
        assert_eq!(node.value, pairwise_sum(&reversed(&values(4, 50))) / 50.0);
        assert_eq!((node.variance, node.influence.len()), (0.0, 0));
    }
}
