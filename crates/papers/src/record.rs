//! The record of a check: what was measured, and what the check's rule says of it.
//!
//! The words of a record (its claim, its bounds and its verdicts) follow from its numbers and from the
//! rule as it is now. [`judge`] writes them when a record is made and again whenever one is read, so that
//! a rule that is corrected leaves no old words behind.

use crate::check::{Findings, Gate, Measured, Part, Protocol, Reading, Scale, verdict};
use crate::registry::Paper;
use thalweg_lab::Result;
use thalweg_record::reply::{
    CheckGate, CheckInterval, CheckPart, CheckReading, ReproduceBody, Verdict,
};
use thalweg_record::{Estimate, Quantity};
use thalweg_stats::Interval;

/// The record of what a check found.
///
/// # Errors
/// A protocol of fewer than two seeds.
pub(crate) fn record(
    paper: &Paper,
    protocol: &Protocol,
    scale: Scale,
    gates: Vec<Gate>,
    findings: Findings,
) -> Result<ReproduceBody> {
    let Findings { parts, readings, .. } = findings;
    let gate = |Gate { name, passed, found }| CheckGate { name, passed, found };
    let part = |(rule, measured): (&Part, &Measured)| CheckPart {
        name: rule.name.to_owned(),
        statistic: quantity(measured),
        interval: stored(measured.interval),
        criterion: String::new(),
        verdict: Verdict::Inconclusive,
    };
    let reading = |reading: Reading| CheckReading {
        name: reading.name,
        value: reading.value,
        interval: reading.interval.map(stored),
    };
    let mut record = ReproduceBody {
        slug: paper.slug.clone(),
        claim: String::new(),
        verdict: Verdict::Inconclusive,
        statistic: parts.first().map_or(Quantity::Exact(f64::NAN), quantity),
        criterion: String::new(),
        seeds: protocol.seeds.clone(),
        scale: scale.name().to_owned(),
        flops: protocol.flops,
        settings: protocol.settings as u64,
        detectable: protocol.detectable()?,
        gates: gates.into_iter().map(gate).collect(),
        parts: protocol.parts.iter().zip(&parts).map(part).collect(),
        readings: readings.into_iter().map(reading).collect(),
    };
    judge(&mut record, paper, protocol);
    Ok(record)
}

/// Writes the words of a record: what is claimed, by which bounds it is judged, and the verdicts.
pub fn judge(record: &mut ReproduceBody, paper: &Paper, protocol: &Protocol) {
    let interval = |part: &CheckPart| Interval { low: part.interval.low, high: part.interval.high };
    let intervals: Vec<Interval> = record.parts.iter().map(interval).collect();
    let gates_hold = record.gates.iter().all(|gate| gate.passed);
    record.claim.clone_from(&paper.claim);
    record.criterion = protocol.criterion();
    record.verdict = recorded(verdict(protocol, gates_hold, &intervals));
    for ((part, rule), interval) in record.parts.iter_mut().zip(&protocol.parts).zip(intervals) {
        part.criterion = format!("{}; {}", rule.statistic, rule.bound);
        part.verdict = recorded(rule.bound.judge(interval));
    }
}

/// Whether what a record measured is what a protocol decides by; nothing where a gate did not hold.
pub(crate) fn is_of(record: &ReproduceBody, protocol: &Protocol) -> bool {
    let measured = record.parts.iter().map(|part| part.name.as_str());
    record.parts.is_empty() || measured.eq(protocol.parts.iter().map(|part| part.name))
}

fn stored(interval: Interval) -> CheckInterval {
    CheckInterval { low: interval.low, high: interval.high }
}

/// An estimate, or what is not a number where there was too little to estimate from.
fn quantity(measured: &Measured) -> Quantity {
    if measured.samples < 2 {
        return Quantity::Exact(f64::NAN);
    }
    Quantity::Estimate(Estimate {
        value: measured.value,
        standard_error: measured.standard_error,
        samples: measured.samples as u64,
    })
}

fn recorded(verdict: thalweg_stats::Verdict) -> Verdict {
    match verdict {
        thalweg_stats::Verdict::Confirmed => Verdict::Confirmed,
        thalweg_stats::Verdict::Refuted => Verdict::Refuted,
        thalweg_stats::Verdict::Inconclusive => Verdict::Inconclusive,
    }
}
