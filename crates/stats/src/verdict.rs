//! What a measured interval says of a claim.

use crate::Interval;
use std::fmt;

/// What was found of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The claim's bound holds.
    Confirmed,
    /// The opposite bound holds.
    Refuted,
    /// Neither does: a wide interval refutes nothing.
    Inconclusive,
}

impl Verdict {
    /// The verdict on a claim of several parts: confirmed if every part is, refuted if any is.
    /// Nothing at all is inconclusive.
    pub fn of_all(parts: impl IntoIterator<Item = Verdict>) -> Verdict {
        let parts: Vec<Verdict> = parts.into_iter().collect();
        if parts.contains(&Verdict::Refuted) {
            return Verdict::Refuted;
        }
        match !parts.is_empty() && parts.iter().all(|part| *part == Verdict::Confirmed) {
            true => Verdict::Confirmed,
            false => Verdict::Inconclusive,
        }
    }

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Refuted => "refuted",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a claim says that a number lies, and where its opposite does.
///
/// Written down before anything is measured. The two thresholds may differ: what lies between them
/// neither confirms nor refutes.
///
/// # Example
/// ```
/// use thalweg_stats::{Bound, Interval, Verdict};
/// let bound = Bound::above(0.0);
/// assert_eq!(bound.judge(Interval { low: 0.1, high: 0.4 }), Verdict::Confirmed);
/// assert_eq!(bound.judge(Interval { low: -0.4, high: -0.1 }), Verdict::Refuted);
/// assert_eq!(bound.judge(Interval { low: -0.1, high: 0.4 }), Verdict::Inconclusive);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The whole interval above `claim`; refuted by one wholly below `opposite`, which may be
    /// infinite: then nothing refutes.
    Above {
        /// What the claim says the number exceeds.
        claim: f64,
        /// Below what the claim is refuted.
        opposite: f64,
    },
    /// The whole interval below `claim`; refuted by one wholly above `opposite`.
    Below {
        /// What the claim says the number stays under.
        claim: f64,
        /// Above what the claim is refuted.
        opposite: f64,
    },
    /// The whole interval between `low` and `high`; refuted by one wholly below `below` or wholly above
    /// `above`, each of which may be infinite: then nothing refutes on that side.
    Within {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
        /// Below what the claim is refuted.
        below: f64,
        /// Above what the claim is refuted.
        above: f64,
    },
}

impl Bound {
    /// Above a threshold, below which the claim is refuted.
    pub fn above(threshold: f64) -> Bound {
        Bound::Above { claim: threshold, opposite: threshold }
    }

    /// Below a threshold, above which the claim is refuted.
    pub fn below(threshold: f64) -> Bound {
        Bound::Below { claim: threshold, opposite: threshold }
    }

    /// What an interval says of the claim. One with an end that is not a number says nothing.
    pub fn judge(&self, interval: Interval) -> Verdict {
        let Interval { low, high } = interval;
        let (holds, opposite) = match *self {
            Bound::Above { claim, opposite } => (low > claim, high < opposite),
            Bound::Below { claim, opposite } => (high < claim, low > opposite),
            Bound::Within { low: from, high: to, below, above } => {
                (low > from && high < to, high < below || low > above)
            }
        };
        match (low.is_nan() || high.is_nan(), holds, opposite) {
            (false, true, false) => Verdict::Confirmed,
            (false, false, true) => Verdict::Refuted,
            _ => Verdict::Inconclusive,
        }
    }
}

/// The bound as it is written beside a number: what confirms, and what refutes if that is not simply the
/// other side.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (claim, refuted, other_side) = match *self {
            Bound::Above { claim, opposite } => (
                format!("above {claim}"),
                [("below", opposite), ("above", f64::INFINITY)],
                opposite == claim,
            ),
            Bound::Below { claim, opposite } => (
                format!("below {claim}"),
                [("below", f64::NEG_INFINITY), ("above", opposite)],
                opposite == claim,
            ),
            Bound::Within { low, high, below, above } => {
                let other_side = below == low && above == high;
                (
                    format!("within {low} to {high}"),
                    [("below", below), ("above", above)],
                    other_side,
                )
            }
        };
        write!(f, "interval {claim}")?;
        if other_side {
            return Ok(());
        }
        let finite = refuted.into_iter().filter(|(_, threshold)| threshold.is_finite());
        let refuted: Vec<String> =
            finite.map(|(word, threshold)| format!("{word} {threshold}")).collect();
        match refuted.is_empty() {
            true => write!(f, " (nothing refutes)"),
            false => write!(f, " (refuted {})", refuted.join(" or ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Interval {
        Interval { low, high }
    }

    #[test]
    fn a_bound_is_held_against_the_whole_interval() {
        use Verdict::{Confirmed, Inconclusive, Refuted};
        let within = |below: f64, above: f64| Bound::Within { low: 0.7, high: 1.3, below, above };
        let apart = Bound::Above { claim: 0.3, opposite: 0.0 };
        for (bound, low, high, expected) in [
            (Bound::above(1.0), 1.1, 2.0, Confirmed),
            (Bound::above(1.0), 1.0, 2.0, Inconclusive),
            (Bound::above(1.0), 0.0, 0.9, Refuted),
            (Bound::below(1.0), 0.0, 0.9, Confirmed),
            (Bound::below(1.0), 1.1, 2.0, Refuted),
            (Bound::below(1.0), 0.9, 1.1, Inconclusive),
            (apart, 0.31, 0.5, Confirmed),
            (apart, 0.1, 0.2, Inconclusive),
            (apart, -0.2, -0.1, Refuted),
            (within(0.7, 1.3), 0.8, 1.2, Confirmed),
            (within(0.7, 1.3), 0.6, 1.2, Inconclusive),
            (within(0.7, 1.3), 1.4, 1.5, Refuted),
            (within(0.7, 1.3), 0.1, 0.2, Refuted),
            (within(0.5, f64::INFINITY), 0.4, 0.49, Refuted),
            (within(0.5, f64::INFINITY), 0.4, 0.51, Inconclusive),
            (within(0.5, f64::INFINITY), 5.0, 6.0, Inconclusive),
            (Bound::above(0.0), f64::NAN, f64::NAN, Inconclusive),
            (Bound::above(0.0), 1.0, f64::NAN, Inconclusive),
        ] {
            assert_eq!(bound.judge(interval(low, high)), expected, "{bound}: {low} to {high}");
        }
    }

    #[test]
    fn all_parts_confirm_and_one_refutes() {
        use Verdict::{Confirmed, Inconclusive, Refuted};
        assert_eq!(Verdict::of_all([Confirmed, Confirmed]), Confirmed);
        assert_eq!(Verdict::of_all([Confirmed, Inconclusive]), Inconclusive);
        assert_eq!(Verdict::of_all([Confirmed, Inconclusive, Refuted]), Refuted);
        assert_eq!(Verdict::of_all([]), Inconclusive);
    }

    #[test]
    fn a_bound_says_what_refutes_it() {
        assert_eq!(Bound::below(0.5).to_string(), "interval below 0.5");
        let apart = Bound::Above { claim: 0.5, opposite: 0.0 };
        assert_eq!(apart.to_string(), "interval above 0.5 (refuted below 0)");
        let within = |below, above| Bound::Within { low: 0.75, high: 1.25, below, above };
        for (below, above, expected) in [
            (0.75, 1.25, ""),
            (0.5, 2.0, " (refuted below 0.5 or above 2)"),
            (0.5, f64::INFINITY, " (refuted below 0.5)"),
            (f64::NEG_INFINITY, f64::INFINITY, " (nothing refutes)"),
        ] {
            let text = within(below, above).to_string();
            assert_eq!(text, format!("interval within 0.75 to 1.25{expected}"));
        }
        let free_below = Bound::Below { claim: 0.0, opposite: f64::INFINITY };
        assert_eq!(free_below.to_string(), "interval below 0 (nothing refutes)");
    }
}
