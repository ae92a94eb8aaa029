//! `thalweg reproduce`.

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Measured, Protocol, Scale, verdict};
use crate::registry::{Paper, checks};
use crate::{results, work};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};
use thalweg_data::Sha256;
use thalweg_lab::command::{Outcome, within};
use thalweg_lab::{
    BudgetSection, Common, LabError, Output, Precision, Result, RunDirectory, Session, VERSION,
    atomic_write_bytes, device,
};
use thalweg_methods::UnitStore;
use thalweg_record::reply::{
    Body, CheckGate, CheckInterval, CheckPart, CheckReading, DatedCheck, ReproduceAllBody,
    ReproduceBody, Verdict,
};
use thalweg_record::{Estimate, Explanation, Provenance, Quantity, Report};

/// What `reproduce` was asked.
#[derive(Debug, Clone, Default)]
pub struct ReproduceRequest {
    /// The papers.
    pub slugs: Vec<String>,
    /// Whether all that have a check were asked for instead.
    pub all: bool,
    /// Whether a reduced form is enough.
    pub sample: bool,
    /// Where else the table of results is written.
    pub results: Option<PathBuf>,
    /// Where to.
    pub output: Output,
}

/// `study.toml` of `reproduce`. A check's protocol is not in it: a result under another protocol is
/// made anew, and all others stay.
#[derive(Serialize)]
struct Study {
    #[serde(flatten)]
    common: Common,
    paper: String,
    scale: &'static str,
    budget: BudgetSection,
}

/// The table of results in a run directory.
const TABLE: &str = "RESULTS.md";

/// Runs the checks of some papers, or of all.
///
/// # Errors
/// A paper that there is not, or that has no check; a directory that cannot be written; those of the
/// engine; `Interrupted`.
pub fn reproduce(session: &Session, request: &ReproduceRequest) -> Result<Outcome> {
    let scale = if request.sample { Scale::Sample } else { Scale::Whole };
    let chosen = chosen(request)?;
    if session.precision != Precision::F32 {
        let text = "--precision: each check sets its own; leave it out";
        return Err(LabError::Usage(text.into()));
    }
    let name = if request.all { "all".to_owned() } else { request.slugs.join(" ") };
    let one = chosen.len() == 1 && !request.all;
    let study = Study {
        common: Common::new("reproduce", session),
        paper: name,
        scale: scale.name(),
        budget: BudgetSection::new(session),
    };
    let run = RunDirectory::open("reproduce", &request.output, &study)?;
    let (run, found) = within(run, |run| {
        let mut found = Vec::new();
        for (paper, check) in &chosen {
            if !one {
                session.console.about(&paper.slug);
            }
            found.push(kept(session, run, paper, *check, scale)?);
            session.console.about("");
        }
        let table = results::table(&found);
        run.write(TABLE, table.as_bytes())?;
        if let Some(path) = &request.results {
            atomic_write_bytes(path, table.as_bytes())?;
        }
        Ok(found)
    })?;
    session.console.finish();
    let report = report(session, &found);
    let results = run.join(TABLE).display().to_string();
    let body = match found.first() {
        Some(first) if one => Body::Reproduce(first.found.clone()),
        _ => Body::ReproduceAll(ReproduceAllBody { checks: found, results }),
    };
    Ok(Outcome { run, body, report })
}

/// The papers that were asked for, each with its check.
fn chosen(request: &ReproduceRequest) -> Result<Vec<(&'static Paper, &'static dyn Check)>> {
    if request.results.is_some() && request.sample {
        let text = "--write-results: a sample's results mean nothing; leave out --sample";
        return Err(LabError::Usage(text.into()));
    }
    if request.all != request.slugs.is_empty() {
        return Err(LabError::Usage("expected papers or --all, one of the two".into()));
    }
    if request.all {
        return checks().into_iter().map(|check| Ok((Paper::find(check.slug())?, check))).collect();
    }
    let mut chosen: Vec<(&Paper, &dyn Check)> = Vec::new();
    for slug in &request.slugs {
        let paper = Paper::find(slug)?;
        let check = paper.check().ok_or_else(|| {
            let known: Vec<&str> = checks().iter().map(|check| check.slug()).collect();
            let known = known.join(", ");
            LabError::Usage(format!("{slug} has no check yet; those that have one are {known}"))
        })?;
        if chosen.iter().any(|(known, _)| known.n == paper.n) {
            return Err(LabError::Usage(format!("{slug}: expected each paper once")));
        }
        chosen.push((paper, check));
    }
    Ok(chosen)
}

/// The result of a check that the run directory has under the same protocol, or that of a run.
fn kept(
    session: &Session,
    run: &RunDirectory,
    paper: &Paper,
    check: &dyn Check,
    scale: Scale,
) -> Result<DatedCheck> {
    let protocol = check.protocol(scale, session.seed)?;
    // Whatever follows from another protocol has another name.
    let mut hash = Sha256::new();
    hash.update(format!("{VERSION} {} {protocol:?}", paper.claim).as_bytes());
    let key = format!("{}-{}", paper.slug, &hash.hex()[..12]);
    let file = format!("checks/{key}.json");
    let known = std::fs::read_to_string(run.join(&file)).ok();
    if let Some(known) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(known);
    }
    let begun = Instant::now();
    let units = run.units();
    let found = run_check(session, &units, &key, paper, check, &protocol, scale)?;
    let dated = DatedCheck {
        found,
        seconds: begun.elapsed().as_secs_f64(),
        date: date(SystemTime::now()),
        version: VERSION.to_owned(),
    };
    let text = serde_json::to_string_pretty(&dated)
        .map_err(|error| LabError::Input(format!("{}: {error}", paper.slug)))?;
    run.write(&file, text.as_bytes())?;
    Ok(dated)
}

/// Says what is planned, then runs gates and experiment.
pub(crate) fn run_check(
    session: &Session,
    units: &dyn UnitStore,
    key: &str,
    paper: &Paper,
    check: &dyn Check,
    protocol: &Protocol,
    scale: Scale,
) -> Result<ReproduceBody> {
    let bench = Bench::new(session, units, key, scale)?;
    let detectable = protocol.detectable()?;
    let tell = |text: String| bench.context().progress().message(&text);
    tell(format!("{}: {}", paper.slug, paper.claim));
    tell(format!("  data: {}", protocol.data));
    for arm in &protocol.arms {
        tell(format!("  arm: {arm}"));
    }
    let (n, settings) = (protocol.seeds.len(), protocol.settings);
    tell(format!("  {n} seeds, {settings} setting(s) for each arm to choose among"));
    for part in &protocol.parts {
        tell(format!("  decides: {part}"));
    }
    tell(format!("  could show: {detectable}"));
    tell(format!("  planned: {}", work::words(protocol.flops)));
    if scale == Scale::Sample {
        tell("  a sample: its verdict means nothing".into());
    }
    let mut gates = check.gates(&bench)?;
    let mut findings = Findings::default();
    if gates.iter().all(|gate| gate.passed) {
        findings = check.measure(&bench)?;
        gates.append(&mut findings.gates);
    }
    for gate in &gates {
        let word = if gate.passed { "holds" } else { "does not hold" };
        tell(format!("  {word}: {} ({})", gate.name, gate.found));
    }
    Ok(body(paper, protocol, scale, detectable, &gates, findings))
}

/// The record of a check.
fn body(
    paper: &Paper,
    protocol: &Protocol,
    scale: Scale,
    detectable: String,
    gates: &[Gate],
    findings: Findings,
) -> ReproduceBody {
    let decided = verdict(protocol, gates, &findings.parts);
    let statistic = findings.parts.first().map_or(Quantity::Exact(f64::NAN), quantity);
    let interval = |interval: thalweg_stats::Interval| CheckInterval {
        low: interval.low,
        high: interval.high,
    };
    let parts = protocol.parts.iter().zip(&findings.parts);
    ReproduceBody {
        slug: paper.slug.clone(),
        claim: paper.claim.clone(),
        verdict: recorded(decided),
        statistic,
        criterion: protocol.criterion(),
        seeds: protocol.seeds.clone(),
        scale: scale.name().to_owned(),
        flops: protocol.flops,
        settings: protocol.settings as u64,
        detectable,
        gates: gates
            .iter()
            .map(|gate| CheckGate {
                name: gate.name.clone(),
                passed: gate.passed,
                found: gate.found.clone(),
            })
            .collect(),
        parts: parts
            .map(|(part, measured)| CheckPart {
                name: part.name.to_owned(),
                statistic: quantity(measured),
                interval: interval(measured.interval),
                criterion: format!("{}; {}", part.statistic, part.bound),
                verdict: recorded(part.bound.judge(measured.interval)),
            })
            .collect(),
        readings: findings
            .readings
            .into_iter()
            .map(|reading| CheckReading {
                name: reading.name,
                value: reading.value,
                interval: reading.interval.map(interval),
            })
            .collect(),
    }
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

/// The page: each claim with what was found, in words.
fn report(session: &Session, found: &[DatedCheck]) -> Report {
    let title = match found {
        [one] => format!("{}: {}", one.found.slug, results::outcome(&one.found)),
        several => format!("{} claims", several.len()),
    };
    let provenance = Provenance {
        version: VERSION.to_owned(),
        seed: session.seed,
        device: device(),
        data: "as each check says".into(),
        data_fingerprint: String::new(),
        precision: "as each check sets".into(),
        command: session.command_line.clone(),
    };
    let mut report = Report::new(title, "as each check says", provenance);
    if let [one] = found {
        report.summary = one.found.claim.clone();
    }
    let entries = match found {
        [one] => results::entries(&one.found),
        several => {
            let paragraph = |dated: &DatedCheck| results::paragraph(&dated.found);
            several.iter().map(|dated| (dated.found.slug.clone(), paragraph(dated))).collect()
        }
    };
    let explained = |(quantity, how)| Explanation { quantity, how };
    report.explanations = entries.into_iter().map(explained).collect();
    report
}

/// A moment's day in universal time, as `2026-01-31`.
///
/// # Source    the usual days-to-civil algorithm over 400-year eras that begin in March
fn date(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |span| span.as_secs());
    // Days since the first of March of the year 0.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{of_month:02}", year + era * 400 + later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_by_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn what_cannot_be_run_is_told() {
        let asked = |slugs: &[&str], all, sample, results: Option<&str>| {
            let request = ReproduceRequest {
                slugs: slugs.iter().map(|&slug| slug.to_owned()).collect(),
                all,
                sample,
                results: results.map(PathBuf::from),
                ..ReproduceRequest::default()
            };
            match chosen(&request) {
                Ok(chosen) => panic!("{} are chosen", chosen.len()),
                Err(error) => {
                    assert_eq!(error.exit_code(), 2);
                    error.to_string()
                }
            }
        };
        assert!(asked(&["sma"], false, false, None).contains("sam"));
        assert!(asked(&["llm4distreconfig"], false, false, None).contains("no check yet"));
        assert!(asked(&[], false, false, None).contains("--all"));
        assert!(asked(&["sam"], true, false, None).contains("one of the two"));
        assert!(asked(&[], true, true, Some("RESULTS.md")).contains("leave out --sample"));
        let slug = checks()[0].slug();
        assert!(asked(&[slug, slug], false, false, None).contains("each paper once"));
    }
}
