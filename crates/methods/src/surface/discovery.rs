//! How many minima there are, from the runs that found some of them.

use thalweg_stats::Estimate;

/// What a number of runs, each of which ended in one minimum, says of all minima.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// How often each minimum was found, in the order in which they are named.
    pub hits: Vec<usize>,
    /// Chao's estimate of how many minima there are: a lower bound in expectation.
    pub chao1: Estimate,
    /// Runs after which all minima that were found are expected to have been found, if runs go on as
    /// they did.
    pub expected_runs: f64,
}

/// Counts the minima that runs found: `found[i]` names the minimum of run `i`, from 0 on.
///
/// Of `D` minima found, `f_1` once and `f_2` twice, Chao's estimate is
/// `D + f_1 (f_1 - 1) / (2 (f_2 + 1))` (bias-corrected), with the variance of its source. The expected
/// number of runs to collect all minima of frequencies `p_i` is
/// `integral from 0 to infinity of 1 - prod (1 - exp(-p_i t)) dt`, which is `N H_N` for `N` equal ones.
///
/// # Source    Chao, Nonparametric estimation of the number of classes in a population, 1984, and
/// Chao et al. 2005; Flajolet, Gardy, Thimonier, Birthday paradox, coupon collectors, 1992
pub fn discovery(found: &[usize]) -> Discovery {
    let known = found.iter().map(|&minimum| minimum.saturating_add(1)).max().unwrap_or(0);
    // A name that is far beyond the number of runs leaves the others unfound: no list that long.
    let mut names: Vec<usize> = found.to_vec();
    names.sort_unstable();
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for name in names {
        match counts.last_mut() {
            Some((last, n)) if *last == name => *n += 1,
            _ => counts.push((name, 1)),
        }
    }
    let hits = match known <= found.len() {
        true => {
            let mut hits = vec![0; known];
            counts.iter().for_each(|&(name, n)| hits[name] = n);
            hits
        }
        false => counts.iter().map(|&(_, n)| n).collect(),
    };
    let times = |n: usize| counts.iter().filter(|(_, hits)| *hits == n).count() as f64;
    let (once, twice, distinct) = (times(1), times(2), counts.len() as f64);
    let chao1 = distinct + once * (once - 1.0) / (2.0 * (twice + 1.0));
    let variance = once * (once - 1.0) / (2.0 * (twice + 1.0))
        + once * (2.0 * once - 1.0).powi(2) / (4.0 * (twice + 1.0).powi(2))
        + once * once * twice * (once - 1.0).powi(2) / (4.0 * (twice + 1.0).powi(4));
    let standard_error = if once > 0.0 { variance.max(0.0).sqrt() } else { 0.0 };
    let n = found.len() as f64;
    let shares: Vec<f64> = counts.iter().map(|&(_, hits)| hits as f64 / n).collect();
    Discovery {
        hits,
        chao1: Estimate { value: chao1, standard_error, samples: found.len() },
        expected_runs: collector(&shares),
    }
}

impl Discovery {
    /// How many minima were found.
    pub fn distinct(&self) -> usize {
        self.hits.iter().filter(|hits| **hits > 0).count()
    }

    /// How many of them `runs` further runs of the same frequencies are expected to find:
    /// `sum (1 - (1 - p_i)^runs)`.
    pub fn expected_distinct(&self, runs: f64) -> f64 {
        let all: usize = self.hits.iter().sum();
        let share = |hits: &usize| *hits as f64 / all.max(1) as f64;
        self.hits.iter().map(|hits| 1.0 - (runs * (-share(hits)).ln_1p()).exp()).sum()
    }
}

impl Discovery {
    /// As [`Discovery::expected_distinct`], with those minima that no run has found yet: Chao's estimate
    /// of their number, each as likely as the others, together as likely as the runs were to find one
    /// that was found once only (Good and Turing's share).
    ///
    /// Tends to [`Discovery::chao1`]. At once as many runs as there were it is near what they found.
    pub fn expected_with_unseen(&self, runs: f64) -> f64 {
        let all: usize = self.hits.iter().sum();
        let once = self.hits.iter().filter(|hits| **hits == 1).count() as f64;
        let unseen = self.chao1.value - self.distinct() as f64;
        if unseen <= 0.0 {
            return self.expected_distinct(runs);
        }
        let missing = (once / all.max(1) as f64).min(1.0);
        let by = |share: f64| 1.0 - (runs * (-share).ln_1p()).exp();
        let seen = |hits: &usize| by((1.0 - missing) * *hits as f64 / all.max(1) as f64);
        let known = self.hits.iter().filter(|hits| **hits > 0).map(seen).sum::<f64>();
        known + unseen * by((missing / unseen).min(1.0))
    }
}

/// The expected number of runs that collect everything, by Simpson's rule in `log t`.
fn collector(shares: &[f64]) -> f64 {
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    if !(least > 0.0 && least.is_finite()) {
        return 0.0;
    }
    // Below t = e^low something is missing for certain; above e^high nothing, to rounding.
    let (low, high) = (-20.0f64, (60.0 / least).ln());
    let steps = 4000;
    let missing = |s: f64| {
        let t = s.exp();
        let log: f64 = shares.iter().map(|p| (-(-p * t).exp()).ln_1p()).sum();
        -t * log.exp_m1()
    };
    let h = (high - low) / f64::from(steps);
    let weight = |i: i32| match i {
        0 => 1.0,
        i if i == steps => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let sum: f64 = (0..=steps).map(|i| weight(i) * missing(low + h * f64::from(i))).sum();
    low.exp() + sum * h / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    #[test]
    fn equal_basins_take_the_harmonic_sum() {
        let n = 12;
        let found = discovery(&(0..n).collect::<Vec<_>>());
        let expected: f64 = (1..=n).map(|k| n as f64 / k as f64).sum();
        assert!((found.expected_runs - expected).abs() < 1e-6, "{}", found.expected_runs);
        assert!((expected - 37.2385).abs() < 1e-3);
        assert!((found.expected_distinct(1.0) - 1.0).abs() < 1e-12);
        assert!((discovery(&[0, 0, 0]).expected_runs - 1.0).abs() < 1e-6);
    }

    #[test]
    fn counts_are_by_hand() {
        // Found: minimum 0 three times, 2 once, 3 once, 4 twice.
        let found = discovery(&[0, 0, 2, 4, 0, 3, 4]);
        assert_eq!((found.hits.clone(), found.distinct()), (vec![3, 0, 1, 1, 2], 4));
        assert_eq!(found.chao1.value, 4.0 + 2.0 * 1.0 / 4.0);
        assert!(found.chao1.standard_error > 0.0);
        assert_eq!(discovery(&[usize::MAX, 1]).hits, [1, 1]);
        assert_eq!(discovery(&[]).distinct(), 0);
    }

    #[test]
    fn the_unseen_are_expected_too() {
        // Of seven runs two found what no other did.
        let found = discovery(&[0, 0, 2, 4, 0, 3, 4]);
        let unseen = found.chao1.value - 4.0;
        assert!((unseen - 0.5).abs() < 1e-12);
        let share = 2.0 / 7.0;
        let by = |p: f64| 1.0 - (1.0 - p).powi(3);
        let seen: f64 = [3.0, 1.0, 1.0, 2.0].map(|h| by((1.0 - share) * h / 7.0)).iter().sum();
        let expected = seen + unseen * by(share / unseen);
        assert!((found.expected_with_unseen(3.0) - expected).abs() < 1e-12);
        assert!((found.expected_with_unseen(1e6) - found.chao1.value).abs() < 1e-9);
        let all = discovery(&[0, 0, 1, 1]);
        assert_eq!(all.expected_with_unseen(5.0), all.expected_distinct(5.0));
    }

    #[test]
    fn runs_collect_as_expected() {
        // Unequal basins: the mean over many collections against the integral.
        let shares = [0.5, 0.3, 0.15, 0.05];
        let stream = Stream::new(2, "coupons");
        let (mut sum, mut squares) = (0.0, 0.0);
        let times = 4000;
        for run in 0..times {
            let (draws, mut seen, mut n) = (stream.at(run), [false; 4], 0);
            while seen.contains(&false) {
                let u = (draws.u64(n) >> 11) as f64 / (1u64 << 53) as f64;
                let mut edge = 0.0;
                let at = shares.iter().position(|p| {
                    edge += p;
                    u < edge
                });
                seen[at.unwrap_or(3)] = true;
                n += 1;
            }
            sum += n as f64;
            squares += (n * n) as f64;
        }
        let mean = sum / times as f64;
        let error = ((squares / times as f64 - mean * mean) / times as f64).sqrt();
        assert!((collector(&shares) - mean).abs() < 4.0 * error, "{mean} ± {error}");
    }
}
