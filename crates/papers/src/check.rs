//! What a check of a claim is.

use crate::bench::Bench;
use crate::statistic::{column, mean};
use std::fmt;
use thalweg_lab::Result;
use thalweg_stats::{Bound, Interval, Verdict};

/// How much of a check is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// All of it, as the protocol says.
    Whole,
    /// A reduced form that shows in seconds that everything works. Its verdict means nothing.
    Sample,
}

impl Scale {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Whole => "whole",
            Scale::Sample => "sample",
        }
    }
}

/// A number that decides, and the bound that it is held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name in records.
    pub name: &'static str,
    /// What is measured, as a phrase.
    pub statistic: &'static str,
    /// What the claim says of it.
    pub bound: Bound,
}

/// What a check does, written down before anything runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// The data, in a sentence.
    pub data: String,
    /// What is compared, one phrase an arm.
    pub arms: Vec<String>,
    /// How many settings each arm was given to choose among; 1 where nothing is tuned.
    pub settings: usize,
    /// Seeds that are run; each gives one sample of every statistic.
    pub seeds: Vec<u64>,
    /// The numbers that decide; the first is the statistic of the record.
    pub parts: Vec<Part>,
    /// Floating-point operations of everything, baselines, gates and measurements included.
    pub flops: u64,
}

/// A condition without which the measurement would say nothing, or a control whose answer is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What must hold.
    pub name: String,
    /// Whether it does.
    pub passed: bool,
    /// What was found, with numbers.
    pub found: String,
}

impl Gate {
    /// A gate.
    pub fn new(name: &str, passed: bool, found: impl Into<String>) -> Gate {
        Gate { name: name.to_owned(), passed, found: found.into() }
    }
}

/// A number with its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// How many samples it rests on.
    pub samples: usize,
    /// Its 95 % interval.
    pub interval: Interval,
}

/// A number that decides nothing and is worth knowing.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its interval, if it has one.
    pub interval: Option<Interval>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Findings {
    /// One for each part of the protocol, in its order.
    pub parts: Vec<Measured>,
    /// Gates that only the measurement itself can show.
    pub gates: Vec<Gate>,
    /// What else was seen.
    pub readings: Vec<Reading>,
}

impl Findings {
    /// Adds a reading without an interval.
    pub fn read(&mut self, name: impl Into<String>, value: f64) {
        self.readings.push(Reading { name: name.into(), value, interval: None });
    }

    /// Adds a reading with its interval.
    pub fn read_with(&mut self, name: impl Into<String>, measured: &Measured) {
        let interval = Some(measured.interval);
        self.readings.push(Reading { name: name.into(), value: measured.value, interval });
    }

    /// Adds the mean over seeds of the first columns of rows, one a seed: `called` makes a reading's
    /// name of a column's.
    ///
    /// # Errors
    /// Fewer than two rows; a number that is not finite.
    pub fn read_columns<const N: usize>(
        &mut self,
        columns: &[&str],
        rows: &[[f64; N]],
        called: impl Fn(&str) -> String,
    ) -> Result<()> {
        for (place, what) in columns.iter().take(N).enumerate() {
            self.read_with(called(what), &mean(&column(rows, place))?);
        }
        Ok(())
    }
}

/// A paper's claim as an experiment: one file, and one line in its family's list.
///
/// The documentation of the file states the claim, the data, the protocol and every deviation from
/// the paper with its reason. All of it is fixed before the first whole run.
///
/// The verdict is not the check's: [`verdict`] has one rule for all.
pub trait Check: Sync {
    /// The paper's slug: the name of the file.
    fn slug(&self) -> &'static str;

    /// What will be done. Reads no data and takes no time.
    ///
    /// # Errors
    /// None that a user could cause.
    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol>;

    /// Which version of the measurement it is: to be raised with every change of what `gates` or
    /// `measure` find that its protocol does not show, so that no older number stands for a new one.
    fn revision(&self) -> u32 {
        1
    }

    /// Validity gates and the positive control, before anything else runs. At least one.
    ///
    /// # Errors
    /// Those of the engine; `Interrupted`.
    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>>;

    /// The experiment.
    ///
    /// # Errors
    /// Those of the engine; `Interrupted`.
    fn measure(&self, bench: &Bench<'_>) -> Result<Findings>;

    /// What a reader of the result should know, written after it came out: why a claim was refuted,
    /// or what a bound was decided by. It changes nothing.
    fn remark(&self) -> Option<&'static str> {
        None
    }
}

/// What measured intervals say of the claim: each is held against the bound of its part; the claim is
/// confirmed if every part is and refuted if any is. With a gate that did not hold, or a part that
/// was not measured, it is inconclusive.
///
/// Every part must hold for a confirmation, so that none of its intervals needs a correction for
/// their number. A refutation by any of `m` parts is wrong with up to `m` times the chance of one.
pub fn verdict(protocol: &Protocol, gates_hold: bool, intervals: &[Interval]) -> Verdict {
    if !gates_hold || intervals.len() != protocol.parts.len() {
        return Verdict::Inconclusive;
    }
    let judged = protocol.parts.iter().zip(intervals);
    Verdict::of_all(judged.map(|(part, interval)| part.bound.judge(*interval)))
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.name, self.statistic, self.bound)
    }
}

impl Protocol {
    /// What is measured: all of it but the bounds, which judge what was measured and may be corrected
    /// without measuring again.
    pub fn measurement(&self) -> String {
        let Protocol { data, arms, settings, seeds, parts, flops } = self;
        let parts: Vec<_> = parts.iter().map(|part| (part.name, part.statistic)).collect();
        format!("{data:?} {arms:?} {settings} {seeds:?} {parts:?} {flops}")
    }

    /// The criterion in one line: every part with its bound.
    pub fn criterion(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        parts.join("; and ")
    }

    /// The smallest effect that is likely to be seen, in words.
    ///
    /// # Errors
    /// Fewer than two seeds.
    pub fn detectable(&self) -> Result<String> {
        let n = self.seeds.len();
        let effect = thalweg_stats::detectable_effect(n, 0.95, 0.8)
            .map_err(thalweg_methods::MethodError::from)?;
        Ok(format!(
            "a mean that lies {effect:.2} standard deviations between seeds beyond its bound is \
             found in 8 of 10 such checks of {n} seeds"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(bounds: &[Bound]) -> Protocol {
        let part = |&bound| Part { name: "difference", statistic: "a minus b", bound };
        Protocol {
            data: "none".into(),
            arms: vec!["a".into(), "b".into()],
            settings: 1,
            seeds: (0..10).collect(),
            parts: bounds.iter().map(part).collect(),
            flops: 1,
        }
    }

    #[test]
    fn one_rule_for_every_verdict() {
        let protocol = protocol(&[Bound::above(0.0), Bound::below(1.0)]);
        let says = |intervals: &[[f64; 2]]| {
            let intervals: Vec<Interval> =
                intervals.iter().map(|&[low, high]| Interval { low, high }).collect();
            [true, false].map(|gates_hold| verdict(&protocol, gates_hold, &intervals))
        };
        let open = Verdict::Inconclusive;
        assert_eq!(says(&[[0.1, 0.2], [0.1, 0.2]]), [Verdict::Confirmed, open]);
        assert_eq!(says(&[[0.1, 0.2], [0.9, 1.2]]), [open, open]);
        assert_eq!(says(&[[0.1, 0.2], [1.1, 1.2]]), [Verdict::Refuted, open]);
        assert_eq!(says(&[[0.1, 0.2]]), [open, open], "a part is missing");
    }

    #[test]
    fn bounds_are_no_part_of_what_is_measured() {
        let [one, other] = [0.0, 1.0].map(|threshold| protocol(&[Bound::above(threshold)]));
        assert_ne!(one, other);
        assert_eq!(one.measurement(), other.measurement());
        let seeds = Protocol { seeds: vec![1], ..one.clone() };
        let statistic = Part { statistic: "a over b", ..one.parts[0].clone() };
        let parts = Protocol { parts: vec![statistic], ..one.clone() };
        for changed in [seeds, parts] {
            assert_ne!(changed.measurement(), one.measurement());
        }
    }

    #[test]
    fn a_protocol_says_what_it_could_see() {
        let protocol = protocol(&[Bound::above(0.0), Bound::below(1.0)]);
        assert!(protocol.detectable().unwrap().starts_with("a mean that lies 0.99 standard"));
        assert_eq!(
            protocol.criterion(),
            "difference: a minus b; interval above 0; and difference: a minus b; interval below 1"
        );
    }
}
