//! The replies of `thalweg reproduce`.

use crate::{Quantity, number};
use serde::{Deserialize, Serialize};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The claim's bound holds.
    Confirmed,
    /// The opposite bound holds.
    Refuted,
    /// Neither does.
    Inconclusive,
}

/// The keys of `reproduce`: what was found of one claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReproduceBody {
    /// The paper.
    pub slug: String,
    /// What it claims.
    pub claim: String,
    /// What was found.
    pub verdict: Verdict,
    /// The number that decides; of several the first.
    pub statistic: Quantity,
    /// The bound it is held against, and those of the others.
    pub criterion: String,
    /// The seeds that were run.
    pub seeds: Vec<u64>,
    /// `whole`, or `sample` for a reduced form whose verdict means nothing.
    pub scale: String,
    /// Floating-point operations that were planned.
    pub flops: u64,
    /// How many settings each arm was given to choose among.
    pub settings: u64,
    /// The smallest effect that was likely to be seen, in words.
    pub detectable: String,
    /// Conditions and controls.
    pub gates: Vec<CheckGate>,
    /// Each number that decides; none if a gate did not hold.
    pub parts: Vec<CheckPart>,
    /// Numbers that decide nothing.
    pub readings: Vec<CheckReading>,
}

/// A condition of a check, or a control whose answer is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckGate {
    /// What must hold.
    pub name: String,
    /// Whether it does.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// A number that decides on a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckPart {
    /// Its name.
    pub name: String,
    /// The number.
    pub statistic: Quantity,
    /// Its 95 % interval.
    pub interval: CheckInterval,
    /// The bound that the interval is held against.
    pub criterion: String,
    /// What that says.
    pub verdict: Verdict,
}

/// A number that decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReading {
    /// What it is.
    pub name: String,
    /// Its value.
    #[serde(with = "number")]
    pub value: f64,
    /// Its 95 % interval, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<CheckInterval>,
}

/// A range of plausible values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CheckInterval {
    /// The lower end.
    #[serde(with = "number")]
    pub low: f64,
    /// The upper end.
    #[serde(with = "number")]
    pub high: f64,
}

/// The keys of `reproduce --all`, or of several papers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReproduceAllBody {
    /// One entry a check.
    pub checks: Vec<DatedCheck>,
    /// Those that could not be run. A check that was run and decides nothing is not among them.
    pub failed: Vec<FailedCheck>,
    /// The path of the table of results.
    pub results: String,
}

/// A check that could not be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedCheck {
    /// The paper.
    pub slug: String,
    /// What was wrong.
    pub error: String,
}

/// A check, when it was run and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatedCheck {
    /// What was found.
    #[serde(flatten)]
    pub found: ReproduceBody,
    /// How long it took, without what was done before it was resumed.
    pub seconds: f64,
    /// The day on which it ended, as `2026-01-31`.
    pub date: String,
    /// The version of Thalweg.
    pub version: String,
}
